"""What draws rows like those of a table: skvae and its settings, other libraries, and baselines.

A method is a function of a table and a seed that fits, and returns a function of the number of rows
that draws them, as a table with the same columns and dtypes. Libraries are imported by their
methods, so that ``ImportError`` says which are not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.compose import make_column_transformer
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvae import VAETransformer

Draw = Callable[[int], pd.DataFrame]
Method = Callable[[pd.DataFrame, int], Draw]

MISSING = "(missing)"
MAX_DECIMALS = 6


class CompleteTable:
    """A table without missing cells, for what cannot have them, and the way back.

    Levels are text, and a missing one is a level. Missing numbers are the median, and a column of
    levels says which they are. On the way back numbers are rounded to the decimals of the column
    and clipped to its range, as all methods here may do.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.numbers = [
            name for name in table
            if pd.api.types.is_numeric_dtype(table[name])
            and not pd.api.types.is_bool_dtype(table[name])
        ]  # fmt: skip
        self.flags = {name: f"{name} {MISSING}" for name in self.numbers
                      if table[name].isna().any()}  # fmt: skip
        self.levels = [name for name in table if name not in self.numbers]
        self.levels += self.flags.values()

    def encode(self) -> pd.DataFrame:
        columns: dict[str, Any] = {}
        for name, cells in self.table.items():
            if name in self.numbers:
                columns[name] = cells.astype(float).fillna(cells.median())
            else:
                columns[name] = cells.astype(object).where(cells.notna(), MISSING).astype(str)
        for name, flag in self.flags.items():
            columns[flag] = self.table[name].isna().map({True: "yes", False: "no"})
        return pd.DataFrame(columns).reset_index(drop=True)

    def decode(self, plain: pd.DataFrame) -> pd.DataFrame:
        columns: dict[str, Any] = {}
        for name, cells in self.table.items():
            if name not in self.numbers:
                known = {str(level): level for level in cells.dropna().unique()}
                drawn = [known.get(text) for text in plain[name]]
                columns[name] = pd.Series(drawn, dtype=cells.dtype)
                continue
            values = plain[name].to_numpy(float).clip(cells.min(), cells.max())
            values = np.round(values, decimals(cells))
            if name in self.flags:
                values = np.where(plain[self.flags[name]] == "yes", np.nan, values)
            columns[name] = pd.Series(values).astype(cells.dtype)
        return pd.DataFrame(columns)


def decimals(cells: pd.Series) -> int:
    values = cells.dropna().to_numpy(float)
    few = (d for d in range(MAX_DECIMALS) if np.allclose(values.round(d), values, rtol=0))
    return next(few, MAX_DECIMALS)


# ------------------------------------------------------------------------------- methods


def skvae(**settings: Any) -> Method:
    def fit(table: pd.DataFrame, seed: int) -> Draw:
        vae = VAETransformer(random_state=seed, **settings).fit(table)
        return lambda n: vae.sample(n, random_state=seed, missing="as_seen")

    return fit


def independent(table: pd.DataFrame, seed: int) -> Draw:
    """Each column by itself: the marginal distributions, and nothing else."""
    rng = np.random.default_rng(seed)
    return lambda n: pd.DataFrame(
        {name: table[name].array[rng.integers(len(table), size=n)] for name in table}
    )


def bootstrap(table: pd.DataFrame, seed: int) -> Draw:
    """The fitted rows themselves."""
    return lambda n: table.sample(n, replace=True, random_state=seed, ignore_index=True)


def gaussian_mixture(table: pd.DataFrame, seed: int) -> Draw:
    """Standardized numbers and indicators of levels, of which the largest is drawn."""
    complete = CompleteTable(table)
    scaler, one_hot = StandardScaler(), OneHotEncoder(sparse_output=False)
    columns = make_column_transformer((scaler, complete.numbers), (one_hot, complete.levels))
    X = columns.fit_transform(complete.encode())
    n_components = max(1, min(20, len(table) // 100))
    mixture = GaussianMixture(n_components, reg_covar=1e-3, random_state=seed).fit(X)

    def draw(n: int) -> pd.DataFrame:
        drawn, cut = mixture.sample(n)[0], len(complete.numbers)
        parts = (columns.transformers_[0][1].inverse_transform(drawn[:, :cut]),
                 columns.transformers_[1][1].inverse_transform(drawn[:, cut:]))  # fmt: skip
        names = complete.numbers, complete.levels
        frames = [pd.DataFrame(p, columns=c) for p, c in zip(parts, names, strict=True)]
        return complete.decode(pd.concat(frames, axis=1))

    return draw


def gaussian_copula(table: pd.DataFrame, seed: int) -> Draw:
    """What SDV's ``GaussianCopulaSynthesizer`` does by default, with the two libraries it uses.

    Levels are uniform numbers in intervals as long as they are frequent, marginal distributions
    are beta distributions.
    """
    from copulas.multivariate import GaussianMultivariate
    from copulas.univariate import BetaUnivariate
    from rdt.transformers import UniformEncoder

    complete = CompleteTable(table)
    plain, encoders = complete.encode(), {}
    for name in complete.levels:
        encoders[name] = UniformEncoder()
        plain = encoders[name].fit_transform(plain, name)
    model = GaussianMultivariate(distribution=BetaUnivariate, random_state=seed)
    model.fit(plain)

    def draw(n: int) -> pd.DataFrame:
        drawn = model.sample(n)
        for encoder in encoders.values():
            drawn = encoder.reverse_transform(drawn)
        return complete.decode(drawn)

    return draw


def ctgan(kind: str, **settings: Any) -> Method:
    """TVAE or CTGAN of the library ctgan, on the CPU."""

    def fit(table: pd.DataFrame, seed: int) -> Draw:
        import ctgan

        complete = CompleteTable(table)
        torch.manual_seed(seed)
        np.random.seed(seed)
        model = getattr(ctgan, kind)(enable_gpu=False, **settings)
        model.set_random_state(seed)
        model.fit(complete.encode(), complete.levels)
        return lambda n: complete.decode(model.sample(n))

    return fit


PEERS: dict[str, Method] = {
    "independent": independent,
    "bootstrap": bootstrap,
    "GaussianMixture": gaussian_mixture,
    "Gaussian copula": gaussian_copula,
    "TVAE": ctgan("TVAE"),
    "CTGAN": ctgan("CTGAN"),
}
SETTINGS: dict[str, Method] = {
    "skvae": skvae(),
    "diffusion": skvae(prior="diffusion"),
    "mixture": skvae(prior="mixture"),
    "no constraints": skvae(constraints=None),
    "student_t": skvae(likelihood="student_t"),  # neither atoms nor masses of integers
    "normal_mixture": skvae(likelihood="normal_mixture"),
    "binned": skvae(likelihood="binned"),
    "atoms": skvae(likelihood="atoms"),  # every repeated value has a mass
    "standard": skvae(numeric_transform="standard"),
    "power": skvae(numeric_transform="power"),
    "quantile": skvae(numeric_transform="quantile"),
}
METHODS: dict[str, Method] = {**SETTINGS, **PEERS}
