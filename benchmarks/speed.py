"""Is skvae slower than a plain torch loop on the same nets? (It must not be.)

Training rows per second at batch 256, 30 columns, 2 × 128 SiLU, 8 latent dimensions, for the
default configuration of skvae and for the textbook one (Gaussian with one shared noise, random
start), each against the loop that a user would write for the same model: a Module, a DataLoader,
Adam. The runs alternate in one process; the table shows medians and ratios.

    python benchmarks/speed.py [--rows 20000] [--epochs 3] [--repeats 5] [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rows", type=int, default=20_000)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--repeats", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before torch is imported

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from skvae import Normal, VAETransformer  # noqa: E402

COLUMNS, HIDDEN, LATENT, BATCH = 30, 128, 8, 256


class PlainVAE(nn.Module):
    """The VAE of a tutorial; `default` adds what skvae's default configuration has.

    That is: skip paths, flags of missing cells, Student's t with a scale from the decoder.
    """

    def __init__(self, default: bool) -> None:
        super().__init__()
        self.default = default
        n_in = 2 * COLUMNS if default else COLUMNS
        self.encoder = nn.Sequential(
            nn.Linear(n_in, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU()
        )
        self.posterior = nn.Linear(HIDDEN + (n_in if default else 0), 2 * LATENT)
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU()
        )
        n_out = 2 * COLUMNS if default else COLUMNS
        self.head = nn.Linear(HIDDEN + (LATENT if default else 0), n_out)
        self.raw_scale = nn.Parameter(torch.zeros(()))
        self.log_nu = nn.Parameter(torch.ones(COLUMNS))

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        inputs = torch.cat([x, torch.zeros_like(x)], -1) if self.default else x
        h = self.encoder(inputs)
        h = torch.cat([inputs, h], -1) if self.default else h
        mean, log_var = self.posterior(h).chunk(2, -1)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        kl = 0.5 * (mean**2 + log_var.exp() - log_var - 1).sum(-1)
        h = self.decoder(z)
        if self.default:
            location, raw = self.head(torch.cat([z, h], -1)).chunk(2, -1)
            scale = 1e-3 + nn.functional.softplus(raw)
            p = torch.distributions.StudentT(1 + self.log_nu.exp(), location, scale)
        else:
            scale = 1e-3 + nn.functional.softplus(self.raw_scale)
            p = torch.distributions.Normal(self.head(h), scale)
        return (kl - p.log_prob(x).sum(-1)).mean()


def plain_loop(X: np.ndarray, default: bool) -> float:
    """Seconds to train."""
    start = time.perf_counter()
    X = (X - X.mean(0)) / X.std(0)
    torch.manual_seed(0)
    model = PlainVAE(default)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    data = TensorDataset(torch.from_numpy(X.astype(np.float32)))
    for _ in range(options.epochs):
        for (batch,) in DataLoader(data, batch_size=BATCH, shuffle=True):
            optimizer.zero_grad()
            loss = model.loss(batch)
            loss.backward()
            optimizer.step()
    return time.perf_counter() - start


def with_skvae(X: np.ndarray, default: bool) -> float:
    """Seconds to fit: reading, scaling, the closed-form start and all."""
    textbook = {} if default else {"likelihood": Normal(scale="shared"), "init": "random"}
    # The loop's prior; the aggregated posterior adds a fixed time after training.
    same = {"prior": "standard_normal", "early_stopping": False}
    vae = VAETransformer(LATENT, max_iter=options.epochs, **same, **textbook)
    start = time.perf_counter()
    vae.fit(X)
    return time.perf_counter() - start


def main() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(options.rows, LATENT)) @ rng.normal(size=(LATENT, COLUMNS))
    X = X + rng.normal(size=X.shape)
    print(
        f"{options.rows} rows × {COLUMNS} columns, {options.epochs} epochs of batches of {BATCH},"
    )
    print(f"{HIDDEN} + {HIDDEN} hidden, {LATENT} latent, {options.threads} threads, CPU")
    print(f"medians of {options.repeats} alternating runs, rows of training per second\n")
    print("| configuration | skvae | plain torch loop | ratio |")
    print("|---|---:|---:|---:|")
    for name, default in (("default", True), ("textbook", False)):
        seconds: dict[str, list[float]] = {"skvae": [], "loop": []}
        for repeat in range(options.repeats + 1):
            for key, run in (("skvae", with_skvae), ("loop", plain_loop)):
                elapsed = run(X, default)
                if repeat:  # the first round warms up
                    seconds[key].append(elapsed)
        rows = options.rows * options.epochs
        ours, loop = (rows / statistics.median(seconds[key]) for key in ("skvae", "loop"))
        print(f"| {name} | {ours:,.0f} | {loop:,.0f} | {ours / loop:.2f} |")
        assert ours >= 0.95 * loop, f"{name}: slower than a plain loop"  # 0.05: noise


if __name__ == "__main__":
    main()
