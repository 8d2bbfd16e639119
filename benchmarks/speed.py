"""How fast does a VAE train: skvae, a plain torch loop, the matrix products alone, the libraries?

Training rows per second at batch 256, 30 columns, 2 × 128, 8 latent dimensions. skvae stands there
in its default configuration and in the textbook one (Gaussian with one shared noise, random start),
each beside the loop that a user would write for the same model: a Module, a DataLoader, Adam; and
by default on a table of as many mixed columns. The products are those of the textbook nets, forward
and backward, and nothing else. pythae, PyOD, scvi-tools and ctgan take part where they are
installed, with the same widths and batches. All of ``fit`` counts, from reading the table on. The
runs alternate in one process; the table shows medians.

    python benchmarks/speed.py [--rows 20000] [--epochs 3] [--repeats 5] [--threads 2]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import statistics
import tempfile
import time
import warnings

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rows", type=int, default=20_000)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--repeats", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before torch is imported

from collections.abc import Callable  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
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


def with_mixed_columns(X: np.ndarray) -> float:
    """Seconds to fit the default to 20 numbers, 5 integers and 5 columns of six levels."""
    frame = pd.DataFrame(X[:, :20]).add_prefix("x")
    for j in range(20, 25):
        frame[f"integer{j}"] = np.round(2 * X[:, j]).astype(int)
        frame[f"level{j}"] = pd.cut(X[:, j + 5], 6, labels=list("abcdef"))
    vae = VAETransformer(
        LATENT, max_iter=options.epochs, prior="standard_normal", early_stopping=False
    )
    start = time.perf_counter()
    vae.fit(frame)
    return time.perf_counter() - start


def products(X: np.ndarray) -> float:
    """Seconds of the matrix products of the textbook nets."""
    sizes = [(COLUMNS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 2 * LATENT)]
    sizes += [(LATENT, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, COLUMNS)]
    layers = [(torch.randn(BATCH, a), torch.randn(b, a), torch.randn(BATCH, b)) for a, b in sizes]
    start = time.perf_counter()
    for _ in range(options.epochs * -(-len(X) // BATCH)):
        for i, (x, weight, gradient) in enumerate(layers):
            _ = x @ weight.T, gradient.T @ x
            if i:  # the table itself has no gradient
                _ = gradient @ weight
    return time.perf_counter() - start


def with_pythae(X: np.ndarray) -> float:
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            plain = PlainVAE(False)
            self.net, self.head = plain.encoder, plain.posterior

        def forward(self, x: torch.Tensor) -> ModelOutput:
            mean, log_var = self.head(self.net(x)).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            plain = PlainVAE(False)
            self.net, self.head = plain.decoder, plain.head

        def forward(self, z: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.head(self.net(z)))

    start = time.perf_counter()
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    config = VAEConfig(input_dim=(COLUMNS,), latent_dim=LATENT)
    with tempfile.TemporaryDirectory() as folder:
        how = BaseTrainerConfig(
            folder, per_device_train_batch_size=BATCH, num_epochs=options.epochs,
            learning_rate=1e-3, no_cuda=True,
        )  # fmt: skip
        data = BaseDataset(torch.from_numpy(X), torch.zeros(len(X)))
        BaseTrainer(VAE(config, Encoder(), Decoder()), data, training_config=how).train()
    return time.perf_counter() - start


def with_pyod(X: np.ndarray) -> float:
    from pyod.models.vae import VAE

    widths = [HIDDEN, HIDDEN]
    model = VAE(
        latent_dim=LATENT, encoder_neuron_list=widths, decoder_neuron_list=widths,
        hidden_activation_name="relu", batch_norm=False, dropout_rate=0.0, batch_size=BATCH,
        epoch_num=options.epochs, verbose=0,
    )  # fmt: skip
    model.decision_function = lambda _: np.zeros(len(X))  # scores of the training rows: not timed
    start = time.perf_counter()
    model.fit(X)
    return time.perf_counter() - start


def with_scvi(X: np.ndarray) -> float:
    """scvi-tools models counts, which have its Poisson likelihood here."""
    import anndata
    from scvi.model import SCVI

    counts = np.floor(np.exp(1 + X / X.std())).astype(np.float32)
    start = time.perf_counter()
    data = anndata.AnnData(counts)
    SCVI.setup_anndata(data)
    model = SCVI(
        data, n_hidden=HIDDEN, n_layers=2, n_latent=LATENT, dropout_rate=0.0,
        gene_likelihood="poisson",
    )  # fmt: skip
    model.train(
        options.epochs, accelerator="cpu", train_size=1.0, batch_size=BATCH,
        enable_progress_bar=False, check_val_every_n_epoch=None,
    )  # fmt: skip
    return time.perf_counter() - start


def with_ctgan(X: np.ndarray) -> float:
    from ctgan import TVAE

    widths = HIDDEN, HIDDEN
    model = TVAE(
        LATENT, compress_dims=widths, decompress_dims=widths, batch_size=BATCH,
        epochs=options.epochs,
    )  # fmt: skip
    frame = pd.DataFrame(X).add_prefix("x")
    start = time.perf_counter()
    model.fit(frame)
    return time.perf_counter() - start


RUNS: dict[str, Callable[[np.ndarray], float]] = {
    "matrix products alone": products,
    "skvae, textbook": lambda X: with_skvae(X, default=False),
    "skvae, default": lambda X: with_skvae(X, default=True),
    "skvae, default, mixed columns": with_mixed_columns,
    "plain torch loop, textbook": lambda X: plain_loop(X, default=False),
    "plain torch loop, default": lambda X: plain_loop(X, default=True),
    "pythae": with_pythae,
    "PyOD's VAE": with_pyod,
    "scvi-tools": with_scvi,
    "ctgan's TVAE": with_ctgan,
}


def quietly(run: Callable[[np.ndarray], float], X: np.ndarray) -> float | None:
    """Seconds; None where a library is not installed."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                return run(X)
            except ImportError:
                return None


def main() -> None:
    logging.disable(logging.WARNING)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(options.rows, LATENT)) @ rng.normal(size=(LATENT, COLUMNS))
    X = X + rng.normal(size=X.shape)
    seconds: dict[str, list[float]] = {name: [] for name in RUNS}
    for repeat in range(options.repeats + 1):
        for name, run in RUNS.items():
            elapsed = quietly(run, X)
            if elapsed is not None and repeat:  # the first round warms up
                seconds[name].append(elapsed)
    rows = options.rows * options.epochs
    rates = {name: rows / statistics.median(times) for name, times in seconds.items() if times}
    print(f"{options.rows} rows, {options.epochs} epochs, {options.threads} threads")
    print("\n| | rows per second | textbook skvae against it |\n|---|---:|---:|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} | {rates['skvae, textbook'] / rate:.2f} |")
    for kind in ("textbook", "default"):  # 0.05: noise
        slower = rates[f"skvae, {kind}"] < 0.95 * rates[f"plain torch loop, {kind}"]
        assert not slower, f"{kind}: slower than a plain loop"


if __name__ == "__main__":
    main()
