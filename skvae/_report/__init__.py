"""``skvae.report``: a fitted estimator and a table of rows as one HTML page.

``page.py`` puts the sections together, ``sections.py`` writes them, ``pictures.py`` draws,
``baselines.py`` has the simple densities that a model is compared with.
"""
