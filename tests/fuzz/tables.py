"""Strategies of tables: random columns, containers, sizes and missing cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from columns_to_fuzz import FLOATS, PANDAS, PLAIN, can_be_missing, column
from hypothesis import strategies as st
from scipy import sparse

KINDS = {
    "pandas": PANDAS, "polars": PLAIN, "pyarrow": PLAIN, "array": FLOATS, "list": FLOATS,
    "sparse": FLOATS, "objects": FLOATS,
}  # fmt: skip
NAMES = {
    "letters": list("abcdefgh"),
    "odd": ["latent", "x0", "", "été 🌞", "a b", "'quoted'", "x1", "nan"],
    "numbers": [3, 0, 1, 7, 2, -1, 5, 4],
}


@dataclass
class FuzzedTable:
    """A table in its container, and the same cells as a frame of pandas.

    `frame` has the names that skvae gives the columns of an array: "x0", "x1", …
    """

    container: str
    frame: pd.DataFrame
    kinds: list[str]

    @property
    def X(self) -> Any:
        return in_container(self.frame, self.container)

    def __repr__(self) -> str:
        shown = self.frame.head(8).to_dict("list")
        return f"{self.container} {len(self.frame)} × {self.kinds}: {shown}"


def in_container(frame: pd.DataFrame, container: str) -> Any:
    """The cells of a frame in another container."""
    if container == "pandas":
        return frame
    if container == "polars":
        return pl.DataFrame({n: _polars(frame[n]) for n in frame})
    if container == "pyarrow":
        return pa.Table.from_pandas(frame, preserve_index=False)
    if container == "objects":
        return frame.astype(object).where(frame.notna(), None).to_numpy(dtype=object)
    array = frame.to_numpy()
    if array.dtype == object:  # booleans beside numbers
        array = frame.astype(float).to_numpy()
    if container == "list":
        return array.tolist()
    return sparse.csr_matrix(array) if container == "sparse" else array


def _polars(series: pd.Series) -> pl.Series:
    return pl.from_arrow(pa.Array.from_pandas(series))


def as_pandas(X: Any, names: list) -> pd.DataFrame:
    """Any container as a frame of pandas, to compare cells."""
    if isinstance(X, pd.DataFrame):
        return X
    if isinstance(X, (pl.DataFrame, pa.Table)):
        table = X.to_arrow() if isinstance(X, pl.DataFrame) else X
        return table.to_pandas(date_as_object=True)
    array = X.toarray() if sparse.issparse(X) else np.asarray(X)
    return pd.DataFrame(array, columns=names)


def empty_cells(frame: pd.DataFrame, how: str, seed: int) -> pd.DataFrame:
    """The frame with missing cells where the columns can hold them."""
    rng = np.random.default_rng(seed)
    missing = rng.random(frame.shape) < {"few": 0.1, "many": 0.6}.get(how, 0.0)
    if how == "rows":
        missing[rng.random(len(frame)) < 0.3] = True
    if how == "columns":
        missing[:, rng.random(frame.shape[1]) < 0.5] = True
    frame = frame.copy()
    for j, name in enumerate(frame.columns):
        if missing[:, j].any() and can_be_missing(frame[name]):
            frame[name] = frame[name].mask(missing[:, j])
    return frame


SIZES = st.sampled_from([30, 12, 60, 100, 300, 5, 3, 2, 1])


@st.composite
def tables(draw, containers=tuple(KINDS), sizes=SIZES, max_columns=5) -> FuzzedTable:
    """Random tables."""
    container = draw(st.sampled_from(containers))
    n = draw(sizes)
    kinds = draw(
        st.lists(st.sampled_from(sorted(KINDS[container])), min_size=1, max_size=max_columns)
    )
    styles = ["letters", "odd", "numbers"] if container == "pandas" else ["letters", "odd"]
    names = NAMES[draw(st.sampled_from(styles))][: len(kinds)]
    if container not in ("pandas", "polars", "pyarrow"):
        names = [f"x{j}" for j in range(len(kinds))]
    seed = draw(st.integers(0, 2**16))
    columns = [column(kind, seed + j, n) for j, kind in enumerate(kinds)]
    frame = pd.DataFrame(dict(zip(names, columns, strict=True)))
    if draw(st.integers(0, 3)) == 3:  # many rows twice
        rows = np.random.default_rng(seed).integers(0, max(1, n // 3), n)
        frame = frame.iloc[rows].reset_index(drop=True)
    frame = empty_cells(
        frame, draw(st.sampled_from(["none", "few", "many", "rows", "columns"])), seed
    )
    if container == "pandas" and draw(st.booleans()):
        frame.index = pd.Index(np.random.default_rng(seed).permutation(n) + 100)
    return FuzzedTable(container, frame, kinds)
