"""Constraints between columns: found in a table, and kept in rows that the model decodes.

``values.py`` has the cells of rows as arrays, ``relations.py`` and ``combinations.py`` what is
fitted for each class of :mod:`skvae.constraints`: which rows break it, and how they are repaired.
``fitting.py`` fits what was declared, ``search.py`` finds relations in a table, by
``dependencies.py`` (columns that are functions of others), ``linear.py`` (sums) and ``order.py``
(inequalities); ``keeping.py`` makes rows keep all of them.
"""
