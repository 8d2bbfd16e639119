"""
Choose a density model in one search
====================================

Every candidate has ``score``, the mean log-density of rows in the units of the table, so that one
``GridSearchCV`` ranks VAEs of several kinds beside scikit-learn's models. A part of the difference
is that many columns of this table are rounded, which ``likelihood_reasons_`` says.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline

from skvae import VAETransformer

table = load_wine(as_frame=True).data
vae = VAETransformer(max_iter=60, n_importance_samples=16, random_state=0)
grid = [
    {"model": [vae], "model__n_components": [2, 8]},
    {"model": [vae], "model__prior": ["standard_normal", "mixture"]},
    {"model": [vae], "model__likelihood": ["normal"]},
    {"model": [vae], "model__latent": ["flow"]},
    {"model": [GaussianMixture(random_state=0)], "model__n_components": [1, 2, 3]},
    {"model": [FactorAnalysis()], "model__n_components": [2, 4, 8]},
]
splits = KFold(3, shuffle=True, random_state=0)
search = GridSearchCV(Pipeline([("model", vae)]), grid, cv=splits).fit(table)

# %%
# The candidates, best first, with the standard error over the splits.

rows = []
for i, params in enumerate(search.cv_results_["params"]):
    settings = [f"{k.removeprefix('model__')}={v}" for k, v in params.items() if k != "model"]
    rows.append({
        "model": f"{type(params['model']).__name__}({', '.join(settings)})",
        "log-density": search.cv_results_["mean_test_score"][i],
        "error": search.cv_results_["std_test_score"][i] / splits.n_splits**0.5,
    })  # fmt: skip
found = pd.DataFrame(rows).sort_values("log-density", ignore_index=True)
print(found[::-1].round(2).to_string(index=False))

figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
is_vae = found["model"].str.startswith("VAE")
for own, color in ((is_vae, "C0"), (~is_vae, "0.5")):
    part = found[own]
    ax.errorbar(part["log-density"], part.index, xerr=part["error"], fmt="o", color=color)
ax.set_yticks(found.index, found["model"])
ax.set(xlabel="held-out log-density, nats per row")
plt.show()
