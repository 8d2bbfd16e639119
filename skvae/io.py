"""Answers about tables that are larger than the memory: batches in, files of Parquet out.

.. code-block:: python

    from skvae import io

    io.score_to(vae, "rows/*.parquet", "scores", keep=["id"])
    io.impute_to(vae, "rows/*.parquet", "filled")
    io.sample_to(vae, 10_000_000, "drawn", random_state=0)

A target is a folder of parts, each of `rows_per_part` rows in the order of the source. A part is
written to a temporary name and renamed, so that it is complete or not there. A call that was cut
off is repeated as it was: parts that are there are skipped, after their rows were counted and the
checksums of their pages compared. Memory does not grow with the number of rows.

Estimators are those of skvae, and pipelines that end with them. A source is a path, folder or glob
of Parquet or Arrow files, a data set of pyarrow, a LazyFrame of polars, a relation of DuckDB, any
object with Arrow's stream protocol, a function that returns an iterator of data frames, or a table
in memory. It needs pyarrow: ``pip install 'skvae[stream]'``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skvae._streaming.answering import Files, answer_rows, draw_rows, method_of

__all__ = ["impute_to", "sample_to", "score_to", "transform_to"]

BATCH_SIZE, ROWS_PER_PART = 65_536, 1_000_000


def score_to(
    estimator: Any,
    source: Any,
    target: str | os.PathLike,
    *,
    keep: Sequence[str] = (),
    n_jobs: int | None = None,
    batch_size: int = BATCH_SIZE,
    rows_per_part: int = ROWS_PER_PART,
    verbose: bool = True,
) -> list[Path]:
    """Write ``estimator.score_samples`` of all rows of a source, in the column "score".

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``score_samples``.
    source : source of batches, or table
        Rows with the fitted columns, and perhaps others, which are not given to the estimator.
    target : path
        A folder, which is made.
    keep : sequence of str, default=()
        Columns of the source to write beside the answers, such as keys of the rows.
    n_jobs : int or None, default=None
        Threads of each batch, as in ``score_samples``.
    batch_size : int, default=65536
        Rows that are in memory at once.
    rows_per_part : int, default=1000000
    verbose : bool, default=True
        Whether to show the progress.

    Returns
    -------
    parts : list of Path
        The files of the target, in the order of the rows.

    Raises
    ------
    ValueError
        If the target holds other answers, or the source cannot be read or is empty; the message
        names the file.
    TypeError
        If the estimator has no such method.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvae import VAETransformer, io
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 3)), columns=list("abc"))
    >>> vae = VAETransformer(1, max_iter=5, random_state=0).fit(X)
    >>> folder = tempfile.mkdtemp()
    >>> X.to_parquet(f"{folder}/rows.parquet")
    >>> parts = io.score_to(vae, f"{folder}/rows.parquet", f"{folder}/scores", verbose=False)
    >>> scores = pd.read_parquet(f"{folder}/scores")["score"]
    >>> bool(np.allclose(scores, vae.score_samples(X)))
    True
    """
    method = method_of(estimator, "score_samples")
    files = Files(target, batch_size, rows_per_part, verbose)
    return answer_rows(estimator, method, source, files, keep, n_jobs, names=["score"])


def transform_to(
    estimator: Any,
    source: Any,
    target: str | os.PathLike,
    *,
    keep: Sequence[str] = (),
    n_jobs: int | None = None,
    batch_size: int = BATCH_SIZE,
    rows_per_part: int = ROWS_PER_PART,
    verbose: bool = True,
) -> list[Path]:
    """Write ``estimator.transform`` of all rows of a source, with the names of its columns.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``transform``.
    source : source of batches, or table
        Rows with the fitted columns, and perhaps others, which are not given to the estimator.
    target : path
        A folder, which is made.
    keep : sequence of str, default=()
        Columns of the source to write beside the answers, such as keys of the rows.
    n_jobs : int or None, default=None
        Threads of each batch, as in ``transform``.
    batch_size : int, default=65536
        Rows that are in memory at once.
    rows_per_part : int, default=1000000
    verbose : bool, default=True
        Whether to show the progress.

    Returns
    -------
    parts : list of Path
        The files of the target, in the order of the rows.

    Raises
    ------
    ValueError
        If the target holds other answers, or the source cannot be read or is empty; the message
        names the file.
    TypeError
        If the estimator has no such method.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvae import VAETransformer, io
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 3)), columns=list("abc"))
    >>> vae = VAETransformer(1, max_iter=5, random_state=0).fit(X)
    >>> folder = tempfile.mkdtemp()
    >>> parts = io.transform_to(vae, X, folder, keep=["a"], verbose=False)
    >>> pd.read_parquet(folder).columns.tolist()
    ['a', 'vaetransformer0']
    """
    method = method_of(estimator, "transform")
    names = list(estimator.get_feature_names_out())
    files = Files(target, batch_size, rows_per_part, verbose)
    return answer_rows(estimator, method, source, files, keep, n_jobs, names)


def impute_to(
    estimator: Any,
    source: Any,
    target: str | os.PathLike,
    *,
    keep: Sequence[str] = (),
    n_jobs: int | None = None,
    batch_size: int = BATCH_SIZE,
    rows_per_part: int = ROWS_PER_PART,
    verbose: bool = True,
) -> list[Path]:
    """Write the rows of a source with their missing cells filled in.

    They are filled by ``estimator.impute``, or by ``transform`` of an imputer.

    Parameters
    ----------
    estimator : estimator
        Fitted; ``VAETransformer``, ``VAEImputer``, or a pipeline that ends with an imputer.
    source : source of batches, or table
        Rows with the fitted columns, and perhaps others, which are not given to the estimator.
    target : path
        A folder, which is made.
    keep : sequence of str, default=()
        Columns of the source to write beside the answers, such as keys of the rows.
    n_jobs : int or None, default=None
        Threads of each batch, as in ``impute``.
    batch_size : int, default=65536
        Rows that are in memory at once.
    rows_per_part : int, default=1000000
    verbose : bool, default=True
        Whether to show the progress.

    Returns
    -------
    parts : list of Path
        The files of the target, in the order of the rows.

    Raises
    ------
    ValueError
        If the target holds other answers, or the source cannot be read or is empty; the message
        names the file.
    TypeError
        If the estimator has no such method.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvae import VAETransformer, io
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 3)), columns=list("abc"))
    >>> X.loc[::3, "a"] = np.nan
    >>> vae = VAETransformer(1, max_iter=5, random_state=0).fit(X)
    >>> folder = tempfile.mkdtemp()
    >>> parts = io.impute_to(vae, X, folder, verbose=False)
    >>> int(pd.read_parquet(folder).isna().sum().sum())
    0
    """
    method = method_of(estimator, "impute" if hasattr(estimator, "impute") else "transform")
    files = Files(target, batch_size, rows_per_part, verbose)
    return answer_rows(estimator, method, source, files, keep, n_jobs)


def sample_to(
    estimator: Any,
    n_samples: int,
    target: str | os.PathLike,
    *,
    random_state: int,
    batch_size: int = BATCH_SIZE,
    rows_per_part: int = ROWS_PER_PART,
    verbose: bool = True,
    **options: Any,
) -> list[Path]:
    """Write rows that are drawn by ``estimator.sample``.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``sample``.
    n_samples : int
        Rows to draw.
    target : path
        A folder, which is made.
    random_state : int
        Each batch has a seed of its own, drawn from it and the number of the batch: with another
        `batch_size` or `rows_per_part` other rows are drawn.
    batch_size : int, default=65536
        Rows that are in memory at once.
    rows_per_part : int, default=1000000
    verbose : bool, default=True
        Whether to show the progress.
    **options : dict
        Further parameters of ``sample``, such as `given` as a dict.

    Returns
    -------
    parts : list of Path
        The files of the target.

    Raises
    ------
    ValueError
        If the target holds other rows, or a parameter is not valid.
    TypeError
        If the estimator has no such method.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvae import VAETransformer, io
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 3)), columns=list("abc"))
    >>> vae = VAETransformer(1, max_iter=5, random_state=0).fit(X)
    >>> folder = tempfile.mkdtemp()
    >>> parts = io.sample_to(vae, 1000, folder, random_state=0, rows_per_part=400, verbose=False)
    >>> len(parts), len(pd.read_parquet(folder))
    (3, 1000)
    """
    method_of(estimator, "sample")
    files = Files(target, batch_size, rows_per_part, verbose)
    return draw_rows(estimator, n_samples, files, random_state, options)
