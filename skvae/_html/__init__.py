"""HTML as strings: what a fitted estimator shows of itself in a notebook, and parts of reports.

``text.py`` escapes, ``tables.py`` and ``curve.py`` are parts, ``columns.py`` and ``numbers.py`` say
what was fitted, ``summary.py`` puts them together, ``style.py`` is how they look.
"""
