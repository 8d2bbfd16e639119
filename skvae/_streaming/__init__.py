"""Tables that are read in batches: files, lazy frames, and functions that make iterators.

``fit`` reads such a source twice. The first pass (`first_pass.py`) leaves statistics of each column
that are exact for all rows (`column_statistics.py`) and a uniform sample of the rows
(`reservoir.py`). The sample is a table in memory, from which the code of any other table fits the
columns, starts the model and evaluates it; the statistics add what a sample does not know
(`margins.py`). The second pass (`batches.py`) reads the rows as often as they are trained on, in
random order, and encodes them in a thread (`prefetching.py`).
"""
