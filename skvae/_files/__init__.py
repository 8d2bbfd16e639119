"""Safe files: a fitted estimator as tensors and JSON, without pickle and without code.

A ``.skvae`` file is a safetensors file (``container.py``). Its metadata holds the version of the
format, a SHA-256 checksum, and the estimator as a tree of JSON (``tree.py``), in which everything
that is not plain has a type of the table ``estimators.CODECS``. Networks are built anew from the
parameters, and only their tensors are loaded. A loaded model is compared with log-densities that
were computed when it was saved.

Policy of versions. A file names the version of its format, ``container.FORMAT``.

- Every version of skvae reads the files of its own version of the format and of all earlier ones.
  ``tests/files`` keeps files of each version, which must load.
- The version is raised whenever a change would let an older skvae misread a new file, or a new one
  misread an old file: a field that is added, removed, renamed or has another meaning. Then
  ``Reader`` is given a tree that was converted from the old version to the new one.
- A file of a newer version is refused, with the advice to install a newer skvae.
"""
