"""How well are hidden cells filled? Held-out rows, the same masks for all imputers, no tuning.

    python benchmarks/imputation.py FOLDER [--adbench FOLDER] [--hivae FOLDER] [--rows 5000]
    python benchmarks/imputation.py FOLDER --methods "large, masses" "large, smooth" VAEImputer

Three protocols, and with ``--adbench`` what hiding cells in training (`mask_ratio`) costs and
gains a model of a complete table:

- **tables**: every ``.csv`` of FOLDER (first column an index), numbers only; 80/20 split, 30 % of
  the cells of both parts hidden at random; fitted on the first, the hidden cells of the second
  imputed. Squared Pearson correlation and RMSE in training standard deviations of each column,
  averaged (the protocol of CACTI, arXiv:2506.02306). With ``--adbench`` also on five tables of
  ADBench. The tables of FOLDER are those of github.com/alps-lab/remasker.
- **mixed**: tables and masks of github.com/probabilistic-learning/HI-VAE (arXiv:1807.03653):
  error rate of levels, |difference| / levels of ordered ones, RMSE / (max − min) of numbers,
  averaged over the columns; the first ``--rows`` rows.
- **breast cancer**: half of the cells hidden, standardized columns, mean squared error over the
  hidden cells of the fitted rows, three seeds (the protocol of MIWAE, arXiv:1812.02633).
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler
from tables import continuous_tables, labelled_tables, standardized_split

from skvae import VAEImputer, VAETransformer

OF_ADBENCH = ("28_pendigits", "29_Pima", "38_thyroid", "40_vowels", "6_cardio")
N_DRAWS = 100  # for the intervals: their own quantiles are 2 % off


def forest() -> IterativeImputer:
    """missForest (Stekhoven & Bühlmann 2012), in scikit-learn's parts."""
    regressor = RandomForestRegressor(100, max_features="sqrt", random_state=0)
    return IterativeImputer(regressor, max_iter=5, random_state=0)


NUMERIC = {
    "mean": SimpleImputer,
    "5 neighbors": KNNImputer,
    "ridge": lambda: IterativeImputer(random_state=0),
    "forest": forest,
    "transformer": lambda: VAEImputer(VAETransformer(), random_state=0),
    "VAEImputer": lambda: VAEImputer(random_state=0),
}
LARGE = {"hidden_layer_sizes": (256, 256), "activation": "relu", "early_stopping": False,
         "constraints": None, "precision": "single", "n_importance_samples": 256}  # fmt: skip
MEMBERS = {  # models alone, beside which the default is two
    "large, masses": lambda: VAEImputer(VAETransformer(**LARGE), random_state=0),
    "large, smooth": lambda: VAEImputer(
        VAETransformer(likelihood="student_t", **LARGE), random_state=0
    ),
}
METHODS = {**NUMERIC, **MEMBERS}
OURS = ("transformer", "VAEImputer")


def split(X: np.ndarray, seed: int, rate: float = 0.3) -> tuple[np.ndarray, ...]:
    """Train and test part with missing values, the test part, and its masked cells."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(X))
    cut = int(0.8 * len(X))
    parts, masks = (X[order[:cut]], X[order[cut:]]), []
    for part in parts:
        hidden = rng.random(part.shape) < rate
        hidden[hidden.all(1), 0] = False
        masks.append(hidden)
    train, test = (np.where(m, np.nan, p) for p, m in zip(parts, masks, strict=True))
    return train, test, parts[1], masks[1]


def errors(filled: np.ndarray, truth: np.ndarray, hidden: np.ndarray) -> tuple[float, float]:
    """Squared correlation and RMSE of standardized columns, averaged over the columns."""
    squared, rmse = [], []
    for p, t, m in zip(filled.T, truth.T, hidden.T, strict=True):
        rmse.append(np.sqrt(np.mean((p[m] - t[m]) ** 2)))
        varies = p[m].std() > 0 and t[m].std() > 0
        squared.append(np.corrcoef(p[m], t[m])[0, 1] ** 2 if varies else 0.0)
    return float(np.mean(squared)), float(np.mean(rmse))


def on_table(X: np.ndarray, name: str, seed: int) -> tuple[float, ...]:
    """Squared correlation, RMSE, seconds, and the share of hidden cells in 90 % intervals."""
    torch.set_num_threads(1)
    train, test, truth, hidden = split(X, seed)
    scaler = StandardScaler().fit(train)
    train, test, truth = (scaler.transform(part) for part in (train, test, truth))
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer = METHODS[name]().fit(train)
        filled = imputer.transform(test)
        seconds = time.perf_counter() - begin
        covered = np.nan
        if name in OURS:
            imputer.set_params(sample_posterior=True)
            draws = [imputer.set_params(random_state=i).transform(test) for i in range(N_DRAWS)]
            low, high = np.quantile(draws, [0.05, 0.95], axis=0)
            covered = ((low <= truth) & (truth <= high))[hidden].mean()
    return *errors(filled, truth, hidden), seconds, covered


def numeric_tables(folder: Path, adbench: Path | None) -> list[tuple[str, np.ndarray]]:
    tables = [(p.stem, pd.read_csv(p, index_col=0).to_numpy(float))
              for p in sorted(folder.glob("*.csv"))]  # fmt: skip
    for name, X, _ in labelled_tables(adbench) if adbench else []:
        if name in OF_ADBENCH:
            X = X[np.random.default_rng(0).permutation(len(X))[:2000]]
            tables.append((name, X[:, X.std(0) > 0]))
    return tables


# ------------------------------------------------------------------------------- mixed


def read_mixed(folder: Path, rows: int) -> tuple[pd.DataFrame, list[str]]:
    """The table with levels as text, and the kind of each column."""
    types = pd.read_csv(next(folder.glob("data_types.csv*")))["type"].tolist()
    table = pd.read_csv(next(folder.glob("data.csv*")), header=None)[:rows]
    table.columns = [f"c{j}" for j in range(len(types))]
    for name, kind in zip(table, types, strict=True):
        if kind == "cat":
            table[name] = table[name].astype(str)
        elif kind == "ordinal":
            levels = sorted(table[name].unique())
            table[name] = pd.Categorical(table[name], categories=levels, ordered=True)
    return table, types


def hide(table: pd.DataFrame, folder: Path, rate: int) -> tuple[pd.DataFrame, np.ndarray]:
    cells = pd.read_csv(next(folder.glob(f"Missing{rate}_1.csv*")), header=None).to_numpy() - 1
    cells = cells[cells[:, 0] < len(table)]
    hidden = np.zeros(table.shape, dtype=bool)
    hidden[cells[:, 0], cells[:, 1]] = True
    return table.mask(hidden), hidden


class OneHot:
    """A numeric imputer on standardized numbers and indicators of levels."""

    def __init__(self, imputer: object, types: list[str]) -> None:
        self.imputer, self.types = imputer, types

    def fit_transform(self, table: pd.DataFrame) -> pd.DataFrame:
        levels = [name for name, kind in zip(table, self.types, strict=True) if kind == "cat"]
        numbers = table.drop(columns=levels).astype(float)
        filled = table.copy()
        blocks, names = [], []
        for name in levels:
            seen = table[name].notna()
            block = pd.get_dummies(table[name]).astype(float)
            block[~seen] = np.nan
            blocks.append(block.to_numpy())
            names.append(block.columns)
        scaler = StandardScaler().fit(numbers)
        X = np.hstack([scaler.transform(numbers), *blocks])
        Y = self.imputer.fit_transform(X)
        filled[numbers.columns] = scaler.inverse_transform(Y[:, : numbers.shape[1]])
        first = numbers.shape[1]
        for name, known in zip(levels, names, strict=True):
            part = Y[:, first : first + len(known)]
            filled[name] = table[name].where(table[name].notna(), known.to_numpy()[part.argmax(1)])
            first += len(known)
        return filled


def mean_or_mode(table: pd.DataFrame, types: list[str]) -> pd.DataFrame:
    filled = table.copy()
    for name, kind in zip(table, types, strict=True):
        value = table[name].mode()[0] if kind in ("cat", "ordinal") else table[name].mean()
        filled[name] = table[name].where(table[name].notna(), value)
    return filled


MIXED = {
    "mean or mode": lambda t, types: mean_or_mode(t, types),
    "ridge": lambda t, types: OneHot(IterativeImputer(random_state=0), types).fit_transform(t),
    "5 neighbors": lambda t, types: OneHot(KNNImputer(), types).fit_transform(t),
    "transformer": lambda t, types: VAETransformer(random_state=0).fit(t).impute(t),
    "VAEImputer": lambda t, types: VAEImputer(random_state=0).fit_transform(t),
}


def mixed_error(folder: Path, rate: int, rows: int, name: str) -> tuple[float, float]:
    """The mean over the columns of HI-VAE's errors, and seconds."""
    torch.set_num_threads(1)
    table, types = read_mixed(folder, rows)
    incomplete, hidden = hide(table, folder, rate)
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filled = MIXED[name](incomplete, types)
    seconds = time.perf_counter() - begin
    found = []
    for column, kind, m in zip(table, types, hidden.T, strict=True):
        if not m.any():
            continue
        if kind == "cat":
            found.append((filled[column][m] != table[column][m]).mean())
            continue
        p, t = filled[column][m].astype(float), table[column][m].astype(float)
        if kind == "ordinal":
            found.append((p.round() - t).abs().mean() / table[column].nunique())
        else:
            span = float(table[column].max() - table[column].min())
            found.append(np.sqrt(((p - t) ** 2).mean()) / span)
    return float(np.mean(found)), seconds


def breast_cancer(name: str, seed: int) -> float:
    torch.set_num_threads(1)
    X = StandardScaler().fit_transform(load_breast_cancer().data)
    hidden = np.random.default_rng(seed).random(X.shape) < 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filled = NUMERIC[name]().fit_transform(np.where(hidden, np.nan, X))
    return float(((filled - X)[hidden] ** 2).mean())


def cost_of_masks(X: np.ndarray) -> list[float]:
    """Held-out density of complete and of incomplete rows, without and with masked cells."""
    torch.set_num_threads(1)
    train, test = standardized_split(X, 1500, seed=0)
    incomplete = np.where(np.random.default_rng(0).random(test.shape) < 0.3, np.nan, test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = [VAETransformer(mask_ratio=m, random_state=0).fit(train) for m in (0.0, 0.6)]
        return [vae.score(part) for part in (test, incomplete) for vae in fitted]


# ---------------------------------------------------------------------------- printing


def row(name: str, cells: list[str]) -> None:
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def print_tables(options: argparse.Namespace) -> None:
    tables = numeric_tables(options.folder, options.adbench)
    names = options.methods
    jobs = [(X, n, s) for _, X in tables for n in names for s in range(options.seeds)]
    found = Parallel(options.jobs, batch_size=1)(delayed(on_table)(*job) for job in jobs)
    each = np.array(found).reshape(len(tables), len(names), options.seeds, 4).mean(2)
    row("table", [f"{n}, R² / RMSE" for n in names])
    print("|---|" + "---:|" * len(names))
    for (name, X), line in zip(tables, each, strict=True):
        label = f"{name} ({len(X)} × {X.shape[1]})"
        row(label, [f"{r2:.3f} / {rmse:.3f}" for r2, rmse in line[:, :2]])
    row("**mean**", [f"**{r2:.3f} / {rmse:.3f}**" for r2, rmse in each[..., :2].mean(0)])
    row("seconds", [f"{s:.1f}" for s in each[..., 2].mean(0)])
    row("cells in 90 % intervals", [f"{c:.2f}" for c in each[..., 3].mean(0)])
    if "VAEImputer" not in names:
        return
    ours = each[:, names.index("VAEImputer")]
    for i, other in enumerate(names):
        if other in OURS:
            continue
        print(f"VAEImputer against {other}: higher R² on {(ours[:, 0] > each[:, i, 0]).sum()}, "
              f"lower RMSE on {(ours[:, 1] < each[:, i, 1]).sum()} of {len(tables)}")  # fmt: skip
        assert ours[:, 0].mean() > each[:, i, 0].mean(), f"{other} fills better"


def print_mixed(options: argparse.Namespace) -> None:
    cases = [(f, r) for f in sorted(options.hivae.iterdir()) for r in (10, 20, 30, 50)]
    jobs = [(f, r, options.rows, n) for f, r in cases for n in MIXED]
    found = Parallel(options.jobs, batch_size=1)(delayed(mixed_error)(*job) for job in jobs)
    each = np.array(found).reshape(len(cases), len(MIXED), 2)
    row("table, % hidden", list(MIXED))
    print("|---|" + "---:|" * len(MIXED))
    for (folder, rate), line in zip(cases, each[..., 0], strict=True):
        row(f"{folder.name}, {rate}", [f"{e:.4f}" for e in line])
    row("**mean**", [f"**{e:.4f}**" for e in each[..., 0].mean(0)])
    row("seconds", [f"{s:.1f}" for s in each[..., 1].mean(0)])
    assert (each[:, -1:, 0] < each[:, : -len(OURS), 0]).all(), "a peer has a lower error"


def print_breast_cancer(options: argparse.Namespace) -> None:
    names = [n for n in NUMERIC if n != "forest"]
    jobs = [(n, s) for n in names for s in range(3)]
    found = Parallel(options.jobs, batch_size=1)(delayed(breast_cancer)(*job) for job in jobs)
    row("breast cancer, MSE", names)
    print("|---|" + "---:|" * len(names))
    row("", [f"{e:.3f}" for e in np.array(found).reshape(len(names), 3).mean(1)])


def print_cost_of_masks(options: argparse.Namespace) -> None:
    tables = continuous_tables(options.adbench)
    found = Parallel(options.jobs)(delayed(cost_of_masks)(X) for _, X in tables)
    for label, pair in zip(("complete rows", "incomplete rows"), np.hsplit(np.array(found), 2),
                           strict=True):  # fmt: skip
        gain = pair[:, 1] - pair[:, 0]
        print(f"mask_ratio=0.6 on {len(tables)} complete tables, {label}: {gain.mean():+.2f} ± "
              f"{gain.std(ddof=1) / len(gain) ** 0.5:.2f} nats")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="numeric tables as .csv")
    parser.add_argument("--adbench", type=Path)
    parser.add_argument("--hivae", type=Path)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(NUMERIC))
    options = parser.parse_args()
    if options.folder:
        print_tables(options)
    if options.adbench:
        print_cost_of_masks(options)
    if options.hivae:
        print_mixed(options)
    print_breast_cancer(options)


if __name__ == "__main__":
    main()
