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

from dataclasses import dataclass

import numpy as np
import torch

from skvae._nn.networks import Inputs, Linear
from skvae.latents import LinearPosterior
from skvae.likelihoods import Residual

from .linear import (
    factor_analysis,
    factor_analysis_of_incomplete_rows,
    probabilistic_pca,
    spectrum,
)
from .linear_choice import choose_linear_start, closest_student_t, standardized_residuals
from .rows import Rows
from .schema import Schema
from .vae import VAE

FEW_ROWS = 1000  # up to which all features may have the same noise
MAX_CELLS = 20_000_000  # rows × features that the start uses: more do not change it


def observed_features(
    rows: Rows, inputs: Inputs
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Means of the encoded features; the centered features; 1 where observed and 0 where not.

    Features that are missing are 0; None: all are observed.
    """
    x = inputs.features(rows.values, rows.codes).double().numpy()
    if rows.missing is None:
        return x.mean(0), x - x.mean(0), None
    seen = (~rows.missing).double().numpy()[:, _column_of_feature(inputs)]
    mean = x.sum(0) / np.maximum(seen.sum(0), 1)
    return mean, (x - mean) * seen, seen


def _column_of_feature(inputs: Inputs) -> np.ndarray:
    """Position in the model's order of the column that each encoded feature comes from."""
    sizes = inputs.few_sizes.numpy()
    levels = np.repeat(inputs.n_values + np.array(inputs.few, dtype=int), sizes)
    return np.concatenate([np.arange(inputs.n_values), levels])


@dataclass(frozen=True)
class LinearModel:
    """A linear-Gaussian model of the encoded features, with z turned to a diagonal posterior.

    Attributes
    ----------
    mean, noise : ndarray of shape (n_features,)
    W : ndarray of shape (n_features, n_components)
    g : ndarray of shape (n_components,)
        Diagonal of Wᵀ Ψ⁻¹ W.
    tails : pair of ndarray of shape (n_features,)
        Degrees of freedom and scale of the Student's t that is closest to each residual.
    """

    mean: np.ndarray
    noise: np.ndarray
    W: np.ndarray
    g: np.ndarray
    tails: tuple[np.ndarray, np.ndarray]


@torch.no_grad()
def linear_model(model: VAE, rows: Rows) -> LinearModel:
    """The linear-Gaussian model of some rows that a model, and all of its shape, can start from."""
    k = model.latent.layers[0]  # what the decoder reads
    rows = next(rows.chunks(max(1000, MAX_CELLS // max(model.inputs.n_features, 1))))
    mean, x, seen = observed_features(rows, model.inputs)
    if x.shape[1]:
        shift, W, noise = _linear_model(model, x, seen)
        mean = mean + shift
    else:
        W, noise = np.zeros((0, 0)), np.zeros(0)
    W = np.pad(W, ((0, 0), (0, k - W.shape[1])))
    tails = closest_student_t(standardized_residuals(x, W, noise), seen)
    # Turn z so that the exact posterior N(A(x − mean), diag(1/(1 + g))) is diagonal.
    g, rotation = np.linalg.eigh(W.T @ (W / noise[:, None] ** 2))
    g, rotation = g[::-1].clip(0), rotation[:, ::-1]
    W = W @ rotation
    signs = np.sign(W.sum(0))
    W = W * np.where(signs == 0, 1, signs)
    return LinearModel(mean, noise, W, g, tails)


@torch.no_grad()
def initialize(model: VAE, schema: Schema, start: LinearModel) -> None:
    """Set the skip paths of an untrained model to a linear-Gaussian model."""
    mean, W, g, psi = start.mean, start.W, start.g, start.noise**2
    k = W.shape[1]
    A = (W / psi[:, None]).T / (1 + g)[:, None]

    weight = torch.zeros(k, model.inputs.n_outputs)
    weight[:, : len(W)] = torch.tensor(A)
    # log(1 + g) falls to 0 when all cells are missing; each takes its share of the information.
    information = np.zeros((k, model.inputs.n_columns))
    np.add.at(information.T, _column_of_feature(model.inputs), W**2 / psi[:, None])
    missing = torch.zeros(k, model.inputs.n_outputs)
    share = information * (np.log1p(g) / np.maximum(g, 1e-12))[:, None]
    missing[:, -model.inputs.n_columns :] = torch.tensor(share)
    model.latent.initialize(
        LinearPosterior(weight, torch.tensor(-A @ mean), torch.tensor(-np.log1p(g)), missing)
    )
    _initialize_encoder(model)
    _initialize_decoder(model, schema, start)


def _linear_model(
    model: VAE, x: np.ndarray, seen: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shift of the means, loadings and noise, with the noise that the likelihoods allow."""
    k, of = min(model.latent.layers[0], x.shape[1]), spectrum(x, seen)

    def tie(residual: np.ndarray) -> np.ndarray:
        return _noise(model, residual)

    shift = np.zeros(x.shape[1])
    if len(x) <= FEW_ROWS and choose_linear_start(x, seen, [k], k).is_shared:
        W, level = probabilistic_pca(of, k, rank=len(x))
        return shift, W, tie(np.full(len(W), level))
    W, _ = probabilistic_pca(of, k)
    W, noise = factor_analysis(of, W, tie)
    if seen is None:
        return shift, W, noise
    return factor_analysis_of_incomplete_rows(x, seen, W, noise, tie)


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


def _initialize_decoder(model: VAE, schema: Schema, start: LinearModel) -> None:
    """Decoder outputs = bias + gain · (W z + mean), group by group; no hidden part."""
    W, mean = start.W, start.mean
    k = W.shape[1]
    model.head.weight.zero_()
    column_of_feature = _column_of_feature(model.inputs)
    row = 0
    for group, fitted in zip(model.groups, schema.groups, strict=True):
        is_code = group.likelihood.target == "code"
        first = group.cells.start + (model.inputs.n_values if is_code else 0)
        for i, column in enumerate(fitted.columns):
            features = np.flatnonzero(column_of_feature == first + i)
            residual = Residual(1.0)
            if len(features):
                each = start.noise, *start.tails
                shape = (float(values[features].mean()) for values in each)
                residual = Residual(*shape)
            bias, gain = group.likelihood.initialize(column, residual)
            bias = bias + gain[:, : len(features)] @ mean[features]
            weight = gain[:, : len(features)] @ W[features]
            n = min(len(bias) - group.constants.shape[1], group.n_outputs)
            model.head.weight[row : row + n, :k] = torch.tensor(weight[:n])
            model.head.bias[row : row + n] = torch.tensor(bias[:n])
            group.constants[i] = torch.tensor(bias[n:])
            row += group.n_outputs
