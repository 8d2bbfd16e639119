r"""The closed-form start: probabilistic PCA, or factor analysis, of the encoded table.

Both networks have a linear skip path. It is set so that the untrained model *is*

.. math:: x = W z + \text{mean} + \epsilon, \quad z \sim N(0, I), \quad
    \epsilon \sim N(0, \Psi),

with W and Ψ from the principal components (Tipping & Bishop 1999) and, where the noise is not
shared, some steps of EM towards factor analysis. The encoder is the exact posterior; the last
layers of the networks start at zero. Training can only improve on it. Levels enter as
indicators, for which the principal components are those of multiple correspondence analysis, and
leave through the linearized softmax.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd

from skvae._nn.networks import Linear
from skvae.latents import LinearPosterior

from .rows import Rows
from .schema import Schema
from .vae import VAE

MAX_EXACT = 1024  # features up to which the covariance matrix is decomposed whole
MAX_CELLS = 20_000_000  # rows × features that the start uses: more do not change it
EM_STEPS = 100
MAX_INCOMPLETE, INCOMPLETE_STEPS = 3000, 30  # rows and steps of EM with missing values
MIN_NOISE = 0.1  # standard deviation, in scaled units: a start with less is stuck


def observed_features(rows: Rows, model: VAE) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Means of the encoded features; the centered features; 1 where observed and 0 where not.

    Features that are missing are 0; None: all are observed.
    """
    x = model.inputs.features(rows.values, rows.codes).double().numpy()
    if rows.missing is None:
        return x.mean(0), x - x.mean(0), None
    seen = (~rows.missing).double().numpy()[:, _column_of_feature(model)]
    mean = x.sum(0) / np.maximum(seen.sum(0), 1)
    return mean, (x - mean) * seen, seen


def covariance(x: np.ndarray, seen: np.ndarray | None) -> np.ndarray:
    """Covariance of centered features, over the pairs of cells that were observed.

    From pairs it need not be that of any table: negative eigenvalues are set to zero.
    """
    if seen is None:
        return np.asarray(x.T @ x / len(x))
    S = x.T @ x / np.maximum(seen.T @ seen, 1)
    if len(S) > MAX_EXACT:
        return np.asarray(S)
    eigenvalues, vectors = np.linalg.eigh(S)
    return np.asarray((vectors * eigenvalues.clip(0)) @ vectors.T)


def _column_of_feature(model: VAE) -> np.ndarray:
    """Position in the model's order of the column that each encoded feature comes from."""
    inputs = model.inputs
    sizes = inputs.few_sizes.numpy()
    levels = np.repeat(inputs.n_values + np.array(inputs.few, dtype=int), sizes)
    return np.concatenate([np.arange(inputs.n_values), levels])


def probabilistic_pca(S: np.ndarray, k: int, seed: int) -> np.ndarray:
    """W of shape (n_features, k), the maximum-likelihood loadings of a covariance matrix S."""
    d = len(S)
    if d <= MAX_EXACT:
        eigenvalues, vectors = np.linalg.eigh(S)
        eigenvalues, vectors = eigenvalues[::-1].clip(0), vectors[:, ::-1]
    else:
        vectors, eigenvalues, _ = randomized_svd(S, n_components=k, random_state=seed)
    top = eigenvalues[:k]
    # With nothing left over any split of the smallest variance has the same likelihood.
    noise = (np.trace(S) - top.sum()) / (d - k) if k < d else top[-1] / 2
    return np.asarray(vectors[:, :k] * np.sqrt(np.maximum(top - max(noise, 0), 0)))


def factor_analysis(
    S: np.ndarray, W: np.ndarray, tie: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Some steps of EM from the loadings W (Rubin & Thayer 1982): loadings and noise.

    `tie` maps the residual standard deviations of the features to the noise that the likelihoods
    allow: with one noise for all features nothing moves, for probabilistic PCA is the maximum.
    """

    def noise_of(residual_variance: np.ndarray) -> np.ndarray:
        return tie(np.sqrt(np.maximum(residual_variance, MIN_NOISE**2)))

    noise = noise_of(np.diag(S) - (W**2).sum(1))
    for _ in range(EM_STEPS):
        scaled = W / noise[:, None] ** 2
        B = np.linalg.solve(np.eye(W.shape[1]) + W.T @ scaled, scaled.T)  # E[z | x] = B x
        SB = S @ B.T
        W = np.linalg.solve(B @ SB + np.eye(W.shape[1]) - B @ W, SB.T).T
        noise = noise_of(np.diag(S) - (W * SB).sum(1))
    return W, noise


def factor_analysis_of_incomplete_rows(
    x: np.ndarray,
    seen: np.ndarray,
    W: np.ndarray,
    noise: np.ndarray,
    tie: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """EM row by row, each with the cells that it has: shift of the means, loadings and noise."""
    x, seen = x[:MAX_INCOMPLETE], seen[:MAX_INCOMPLETE]
    (n, d), k = x.shape, W.shape[1]
    count = np.maximum(seen.sum(0), 1)
    shift = np.zeros(d)
    for _ in range(INCOMPLETE_STEPS):
        centered = (x - shift) * seen
        precision = seen / noise**2
        information = precision @ (W[:, :, None] * W[:, None, :]).reshape(d, -1)
        C = np.linalg.inv(np.eye(k) + information.reshape(n, k, k))  # Cov[z | x]
        z = np.einsum("nkl,nl->nk", C, (centered / noise**2) @ W)  # E[z | x]
        zz = (C + z[:, :, None] * z[:, None, :]).reshape(n, -1)
        A = (seen.T @ zz).reshape(d, k, k) + 1e-6 * np.eye(k)
        xz = centered.T @ z
        W = np.linalg.solve(A, xz[:, :, None])[:, :, 0]
        residual = ((centered**2).sum(0) - (W * xz).sum(1)) / count
        noise = tie(np.sqrt(np.maximum(residual, MIN_NOISE**2)))
        shift = shift + ((centered - z @ W.T) * seen).sum(0) / count
    return shift, W, noise


@torch.no_grad()
def initialize(model: VAE, schema: Schema, rows: Rows, seed: int) -> None:
    """Set the skip paths of an untrained model to probabilistic PCA of some rows."""
    k = model.latent.layers[0]  # what the decoder reads
    rows = next(rows.chunks(max(1000, MAX_CELLS // max(model.inputs.n_features, 1))))
    mean, x, seen = observed_features(rows, model)
    S = covariance(x, seen)
    W = probabilistic_pca(S, min(k, len(S)), seed) if len(S) else np.zeros((0, 0))
    W = np.pad(W, ((0, 0), (0, k - W.shape[1])))
    W, noise = factor_analysis(S, W, lambda residual: _noise(model, residual))
    if seen is not None and len(S):
        more, W, noise = factor_analysis_of_incomplete_rows(
            x, seen, W, noise, lambda residual: _noise(model, residual)
        )
        mean = mean + more
    psi = noise**2
    # Turn z so that the exact posterior N(A(x − mean), diag(1/(1 + g))) is diagonal.
    g, rotation = np.linalg.eigh(W.T @ (W / psi[:, None]))
    g, rotation = g[::-1].clip(0), rotation[:, ::-1]
    W = W @ rotation
    signs = np.sign(W.sum(0))
    W = W * np.where(signs == 0, 1, signs)
    A = (W / psi[:, None]).T / (1 + g)[:, None]

    weight = torch.zeros(k, model.inputs.n_outputs)
    weight[:, : len(S)] = torch.tensor(A)
    # log(1 + g) falls to 0 when all cells are missing; each takes its share of the information.
    information = np.zeros((k, model.inputs.n_columns))
    np.add.at(information.T, _column_of_feature(model), W**2 / psi[:, None])
    missing = torch.zeros(k, model.inputs.n_outputs)
    share = information * (np.log1p(g) / np.maximum(g, 1e-12))[:, None]
    missing[:, -model.inputs.n_columns :] = torch.tensor(share)
    model.latent.initialize(
        LinearPosterior(weight, torch.tensor(-A @ mean), torch.tensor(-np.log1p(g)), missing)
    )
    _initialize_encoder(model)
    _initialize_decoder(model, schema, W, mean, noise)


def _noise(model: VAE, residual: np.ndarray) -> np.ndarray:
    """Noise of each feature: the likelihood's for numbers, the residual for indicators."""
    noise = residual.copy()
    for group in model.groups:
        if group.likelihood.target != "code":
            noise[group.cells] = group.likelihood.initial_noise(residual[group.cells])
    return noise


def _initialize_encoder(model: VAE) -> None:
    """Flags of missing values have no weight in the hidden layers before training."""
    if len(model.encoder.layers):
        first = model.encoder.layers[0]
        assert isinstance(first, Linear)
        first.weight[:, -model.inputs.n_columns :] = 0


def _initialize_decoder(
    model: VAE, schema: Schema, W: np.ndarray, mean: np.ndarray, noise: np.ndarray
) -> None:
    """Decoder outputs = bias + gain · (W z + mean), group by group; no hidden part."""
    k = W.shape[1]
    model.head.weight.zero_()
    column_of_feature = _column_of_feature(model)
    row = 0
    for group, fitted in zip(model.groups, schema.groups, strict=True):
        is_code = group.likelihood.target == "code"
        first = group.cells.start + (model.inputs.n_values if is_code else 0)
        for i, column in enumerate(fitted.columns):
            features = np.flatnonzero(column_of_feature == first + i)
            level = float(noise[features].mean()) if len(features) else 1.0
            bias, gain = group.likelihood.initialize(column, level)
            bias = bias + gain[:, : len(features)] @ mean[features]
            weight = gain[:, : len(features)] @ W[features]
            n = min(len(bias) - group.constants.shape[1], group.n_outputs)
            model.head.weight[row : row + n, :k] = torch.tensor(weight[:n])
            model.head.bias[row : row + n] = torch.tensor(bias[:n])
            group.constants[i] = torch.tensor(bias[n:])
            row += group.n_outputs
