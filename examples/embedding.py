"""
Digits in two numbers each, and the way back
============================================

With ``objective="embedding"`` the model is a nonlinear PCA: it is fitted without labels, embeds new
rows, and decodes any point of the plane.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skvae import VAETransformer
from skvae.plots import LatentPlaneDisplay

X, y = load_digits(return_X_y=True)
train, test, y_train, y_test = train_test_split(X, y, random_state=0)
vae = VAETransformer(2, objective="embedding", random_state=0).fit(train)
Z = vae.transform(train)

# %%
# The plane, and what the decoder makes of a grid of it.

figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
LatentPlaneDisplay.from_estimator(vae, train, color=y_train.astype(str), ax=axes[0])
low, high = np.quantile(Z, [0.004, 0.996], axis=0)
axes[0].set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), title="1 347 digits, two numbers each")
n = 12
x, height = (np.quantile(Z[:, i], np.linspace(0.03, 0.97, n)) for i in (0, 1))
grid = np.stack(np.meshgrid(x, height[::-1]), -1).reshape(-1, 2)
tiles = vae.inverse_transform(grid).reshape(n, n, 8, 8)
tiles = np.pad(tiles, ((0, 0), (0, 0), (1, 1), (2, 2))).swapaxes(1, 2).reshape(10 * n, 12 * n)
axes[1].imshow(tiles, cmap="gray_r")
axes[1].set(title="Decoded from a grid of the plane", xticks=[], yticks=[])
plt.show()

# %%
# Neighbors in the plane, of rows that were not fitted.

for name, model in {"PCA": PCA(2).fit(train), "VAETransformer": vae}.items():
    neighbors = KNeighborsClassifier(10).fit(model.transform(train), y_train)
    error = ((model.inverse_transform(model.transform(test)) - test) ** 2).sum()
    r2 = 1 - error / ((test - train.mean(0)) ** 2).sum()
    accuracy = neighbors.score(model.transform(test), y_test)
    print(f"{name}: accuracy of 10 neighbors {accuracy:.3f}, R² of the inverse {r2:.3f}")
