"""What is the default worth as a density, and what is each of its ideas worth?

For each table of a folder (``.npz`` with ``X`` and maybe ``y``: rows with y = 0; the continuous
columns, see ``tables.py``; at most `--rows` rows), split 80/20 and standardized by the training
part: mean held-out log-density per row of what scikit-learn has, of a neural spline flow given the
wall time of the default's fit, of the default, and with `--ablation` of the steps to it. Then how
far moments and quantiles of drawn rows are from those of the held-out rows, beside the same of the
training rows: a density may be good and its draws too wide.

    python benchmarks/density.py FOLDER [--rows 4000] [--seeds 3] [--jobs 2] [--ablation]

The tables are those of ADBench, ``adbench/datasets/Classical`` in github.com/Minqi824/ADBench.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from tables import continuous_tables, standardized_split

from skvae import Aggregated, Mixture, Normal, VAETransformer

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
DRAWN, TRAINED = "drawn rows", "training rows"
TEXTBOOK = {"prior": "standard_normal", "likelihood": Normal("shared"), "init": "random"}
STEPS = {
    "textbook": TEXTBOOK,
    "+ start at PCA": {**TEXTBOOK, "init": "pca"},
    "+ noise of each column": {"prior": "standard_normal", "likelihood": Normal("column")},
    "+ noise from z": {"prior": "standard_normal", "likelihood": Normal()},
    "+ Student's t and atoms": {"prior": "standard_normal"},
    "+ aggregated posterior (default)": {},
    "default, prior mixture": {"prior": "mixture"},
    "default, prior flow": {"prior": "flow"},
    "default, guard mixture": {"prior": Aggregated(guard=Mixture())},
    "default, objective iwae": {"objective": "iwae"},
    "default, no refinement": {"n_refinement_steps": 0},
}


def kernel_density(train: np.ndarray, test: np.ndarray) -> float:
    grid = {"bandwidth": np.logspace(-1.5, 0.5, 9)}
    return GridSearchCV(KernelDensity(), grid, cv=3).fit(train).score(test) / len(test)


def mixture(train: np.ndarray, test: np.ndarray) -> float:
    """The Gaussian mixture with the lowest BIC."""
    sizes = [k for k in (1, 2, 5, 10, 20, 50) if k < len(train) / 10]
    fitted = [GaussianMixture(k, reg_covar=1e-4, random_state=0).fit(train) for k in sizes]
    return min(fitted, key=lambda model: model.bic(train)).score(test)


def spline_flow(train: np.ndarray, test: np.ndarray, seconds: float, seed: int) -> float:
    """zuko's NSF, stopped early on a tenth of the rows or when its time is up."""
    import zuko

    torch.manual_seed(seed)
    order = torch.randperm(len(train))
    rows = torch.as_tensor(train, dtype=torch.float32)[order]
    held, rows = rows[: len(rows) // 10], rows[len(rows) // 10 :]
    flow = zuko.flows.NSF(train.shape[1], transforms=3, hidden_features=(64, 64))
    optimizer = torch.optim.Adam(flow.parameters(), lr=2e-3)
    best, weights, stale, begin = -np.inf, None, 0, time.perf_counter()
    while time.perf_counter() - begin < seconds and stale < 20:
        for index in torch.randperm(len(rows)).split(256):
            loss = -flow().log_prob(rows[index]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            bound = float(flow().log_prob(held).mean())
        stale += 1
        if bound > best:
            best, stale = bound, 0
            weights = {name: value.clone() for name, value in flow.state_dict().items()}
    flow.load_state_dict(weights)
    with torch.no_grad():
        return float(flow().log_prob(torch.as_tensor(test, dtype=torch.float32)).mean())


def moment_errors(rows: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Mean over the columns of the errors of mean, deviation and quantiles, in deviations."""
    deviation = np.maximum(test.std(0), 1e-12)
    drawn, held_out = (np.quantile(each, QUANTILES, axis=0) for each in (rows, test))
    return np.array([
        (np.abs(rows.mean(0) - test.mean(0)) / deviation).mean(),
        np.abs(rows.std(0) / deviation - 1).mean(),
        (np.abs(drawn - held_out) / deviation).mean(),
    ])  # fmt: skip


def measure(X: np.ndarray, rows: int, seed: int, ablation: bool) -> dict[str, float]:
    """Held-out log-density of every model on one split."""
    torch.set_num_threads(1)
    train, test = standardized_split(X, rows, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mixtures that have not converged, weak weights
        begin = time.perf_counter()
        default = VAETransformer(random_state=seed).fit(train)
        seconds = time.perf_counter() - begin
        scores = {
            "Gaussian": GaussianMixture(1).fit(train).score(test),
            "FactorAnalysis": FactorAnalysis(max(1, X.shape[1] // 2)).fit(train).score(test),
            "KernelDensity": kernel_density(train, test),
            "GaussianMixture": mixture(train, test),
            "NSF": spline_flow(train, test, seconds, seed),
            "skvae": default.score(test),
            "seconds": seconds,
            DRAWN: moment_errors(default.sample(10 * len(train), random_state=seed), test),
            TRAINED: moment_errors(train, test),
        }
        for name, params in STEPS.items() if ablation else ():
            scores[name] = VAETransformer(random_state=seed, **params).fit(train).score(test)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--ablation", action="store_true")
    options = parser.parse_args()
    tables = continuous_tables(options.folder)
    jobs = (
        delayed(measure)(X, options.rows, seed, options.ablation)
        for _, X in tables
        for seed in range(options.seeds)
    )
    found = Parallel(options.jobs, batch_size=1)(jobs)
    names = [name for name in found[0] if name not in {*STEPS, DRAWN, TRAINED}]
    scores = np.array([[one[n] for n in names] for one in found])
    scores = scores.reshape(len(tables), options.seeds, -1)
    error = scores.std(1, ddof=1) / options.seeds**0.5 if options.seeds > 1 else 0 * scores[:, 0]
    print("| table | rows × columns | " + " | ".join(names) + " |")
    print("|---|---|" + "---:|" * len(names))
    for (name, X), mean, e in zip(tables, scores.mean(1), error, strict=True):
        shape = f"{int(0.8 * min(len(X), options.rows))} × {X.shape[1]}"
        cells = " | ".join(f"{m:.2f} ± {s:.2f}" for m, s in zip(mean[:-1], e[:-1], strict=True))
        print(f"| {name} | {shape} | {cells} | {mean[-1]:.1f} |")
    by_table = scores.mean(1)
    print("| **mean** | | " + " | ".join(f"{m:.2f}" for m in by_table.mean(0)) + " |")
    ours = by_table[:, names.index("skvae")]
    for rival in names[:-2]:
        wins = int((ours > by_table[:, names.index(rival)]).sum())
        print(f"above {rival} on {wins} of {len(tables)} tables")
    print("\n| against held-out rows, mean over tables | mean | deviation | quantiles |")
    print("|---|---:|---:|---:|")
    for kind in (DRAWN, TRAINED):
        errors = np.mean([one[kind] for one in found], axis=0)
        print(f"| {kind} | " + " | ".join(f"{error:.3f}" for error in errors) + " |")
    if options.ablation:
        print("\n| configuration | mean | difference to the default, ± standard error |")
        print("|---|---:|---:|")
        final = np.array([one["skvae"] for one in found])
        for step in STEPS:
            each = np.array([one[step] for one in found])
            gap = (each - final).reshape(len(tables), -1).mean(1)
            spread = gap.std(ddof=1) / len(gap) ** 0.5
            print(f"| {step} | {each.mean():.2f} | {gap.mean():+.2f} ± {spread:.2f} |")
    mean = dict(zip(names, by_table.mean(0), strict=True))
    for rival in names[:-2]:
        assert mean["skvae"] > mean[rival] - 0.5 * (rival == "NSF"), f"below {rival} on average"


if __name__ == "__main__":
    main()
