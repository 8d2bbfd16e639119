"""From the parameters of an estimator to its parts: components, schema, models."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from skvae._inference.importance import InferenceSettings
from skvae._inference.log_density import log_density
from skvae._inference.units import MIN_ROWS, N_ROWS, sort_units, unit_attributes
from skvae._model.discriminant import Discriminant
from skvae._model.initialization import initialize, linear_model, observed_features
from skvae._model.missingness import Patterns
from skvae._model.rows import Rows, distinct_rows
from skvae._model.schema import Schema, fit_schema
from skvae._model.vae import VAE, build
from skvae._nn.noise import priority
from skvae._table.columns import ConstantColumn
from skvae._table.margins import Margins, margins_of
from skvae._table.reading import Table
from skvae._table.transforms import TRANSFORMS
from skvae._training.loop import Split
from skvae._training.weights import are_copies, draw_in_proportion
from skvae._validation import (
    as_layers,
    caller_stacklevel,
    check_categorical_features,
    check_informative,
    resolve_transforms,
)
from skvae.likelihoods import LIKELIHOODS, resolve_likelihoods
from skvae.objectives import Objective

from .components import automatic, is_auto
from .mode import FitContext, Mode
from .parameters import VAEParameters

MAX_INITIAL_ROWS = 200_000  # that the closed-form start sees
N_DRAWS = 8  # draws of z for each row, to find the rows with the lowest density


def fit_table_schema(
    estimator: VAEParameters,
    table: Table,
    weights: np.ndarray,
    objective: Objective,
    *,
    automatic_transform: str | Sequence[str] = "auto",
    margins: Margins | None = None,
) -> Schema:
    """The fitted columns of a table, with their likelihoods.

    `automatic_transform` is that of the numeric columns for which the user has chosen none, or of
    each column; `margins` are the distributions of the columns where they are not those of the
    table.
    """
    owner, likelihood = type(estimator).__name__, automatic(estimator, "likelihood")
    reason = "user-specified"
    if is_auto(estimator.likelihood):
        reason = f"default of {owner}"
        if objective.likelihood is not None:
            likelihood, reason = objective.likelihood, f"default of {objective!r}"
    transforms = resolve_transforms(estimator.numeric_transform, table.names, TRANSFORMS, owner)
    automatic_transforms = (
        [automatic_transform] * len(transforms)
        if isinstance(automatic_transform, str)
        else automatic_transform
    )
    return fit_schema(
        margins_of(table, weights) if margins is None else margins,
        check_categorical_features(estimator.categorical_features, table.names),
        [
            auto if name == "auto" else name
            for name, auto in zip(transforms, automatic_transforms, strict=True)
        ],
        resolve_likelihoods(likelihood, table.names, LIKELIHOODS, owner, reason),
        check_informative(estimator.informative_missing, table.names),
        has_lattices=estimator._has_lattices,
        max_categories=estimator.max_categories,
        min_frequency=estimator.min_frequency,
        handle_unknown=estimator.handle_unknown,
    )


def warn_of_empty_table(schema: Schema) -> None:
    """Warn if no column has a value."""
    if all(isinstance(c, ConstantColumn) and c.value is None for c in schema.columns):
        warnings.warn(
            "All cells of the table are missing, so there is nothing to learn: scores are 0 and "
            "imputed cells stay missing. Check how the table was read.",
            UserWarning,
            stacklevel=caller_stacklevel(),
        )


def initial_model(
    estimator: VAEParameters,
    schema: Schema,
    context: FitContext,
    rows: Rows,
    split: Split,
    n_components: int,
) -> VAE:
    """The untrained model, at the closed-form start."""
    return initial_models(estimator, schema, context, rows, split, n_components, 1)[0]


def initial_models(
    estimator: VAEParameters,
    schema: Schema,
    context: FitContext,
    rows: Rows,
    split: Split,
    n_components: int,
    n_models: int,
) -> list[VAE]:
    """Untrained models, which share the closed-form start and differ in their hidden layers."""
    sizes, generator = as_layers(estimator.hidden_layer_sizes), context.generator
    parts = context.components.latent, context.components.prior
    what = schema, n_components, *parts, sizes, estimator.activation, generator
    models = [build(*what) for _ in range(n_models)]
    index = draw_in_proportion(split.train, split.weights, generator)
    index = index[torch.randperm(len(index), generator=generator)[:MAX_INITIAL_ROWS]]
    some = rows.take(index)
    if estimator.init == "pca":
        start = linear_model(models[0], some)
        for model in models:
            initialize(model, schema, start)
    for model in models:
        if model is not models[0] and estimator.init == "pca":
            model.prior = copy.deepcopy(models[0].prior)  # of the same posteriors
        elif model.prior.n_posteriors:
            first = some.take(torch.arange(min(len(some), model.prior.n_posteriors)))
            mean, log_var = map(model.latent.under_prior, model.posteriors(first))
            model.prior.initialize(mean, log_var, generator)
        if model.latent.uses_data:
            model.initialize_from_data(some, generator)
    return models


def finalize_model(
    model: VAE, schema: Schema, rows: Rows, split: Split, context: FitContext, mode: Mode
) -> dict[str, Any]:
    """Sort the units, and show the trained posteriors to the prior and the latent family.

    The patterns of missing values of the schema learn which cells they occur with.

    The units keep their order where Adam's moments are kept, which would not follow. Returns the
    attributes of the units, and "center" and "spread" of the posterior means.
    """
    generator, continued = context.generator, mode is Mode.NEXT_PASS
    distinct, keys, weight = distinct_rows(rows, split.train, split.weights)
    n_rows = max(N_ROWS, model.prior.n_posteriors)
    some = priority(keys).argsort()[:n_rows]
    every, rows = rows, rows.take(distinct[some])
    keys, weight = keys[some], weight[some]
    if schema.patterns.discriminant is None:
        schema.patterns = _with_discriminant(model, schema, rows, weight)
    mean, log_var = model.posteriors(rows)
    units: dict[str, Any] = {}
    too_few = continued and len(rows) < MIN_ROWS  # to judge the units by
    if model.supports_reordering and not too_few:
        units = sort_units(model, rows, mean, weight, reorder=not mode.is_one_pass)
        mean, log_var = model.posteriors(rows)
    if not too_few:
        units = {**unit_attributes(model, rows, mean, log_var, weight), **units}
    proportion = (weight / weight.sum()).to(mean).unsqueeze(1)
    center = (proportion * mean).sum(0)
    spread = (proportion * (mean - center).square()).sum(0).sqrt().clamp(min=1e-6)
    if model.prior.n_posteriors:
        kept = _well_fitted(model, rows, weight, context.components.objective.trim)
        mean, log_var = map(model.latent.under_prior, (mean[kept], log_var[kept]))
        model.prior.finalize(
            mean, log_var, weight[kept], generator,
            keys=keys[kept], copies=are_copies(rows, weight), continued=continued,
        )  # fmt: skip
    if model.latent.uses_data:
        model.finalize_latent(every.take(split.train), continued)
    units.update(center=center.double().numpy(), spread=spread.double().numpy())
    return {**units, **model.latent.attributes()}


def _with_discriminant(model: VAE, schema: Schema, rows: Rows, weight: torch.Tensor) -> Patterns:
    if rows.missing is None:
        return schema.patterns
    center, x, _ = observed_features(rows, model.inputs)
    found = Discriminant.of(
        np.array(schema.order), rows.missing.numpy(), center, x, weight.double().numpy()
    )
    return replace(schema.patterns, discriminant=found)


def _well_fitted(model: VAE, rows: Rows, weight: torch.Tensor, trim: float) -> torch.Tensor:
    """Indices of the rows without the proportion `trim` of the weight with the lowest density."""
    if not trim:
        return torch.arange(len(rows))
    order = torch.from_numpy(log_density(model, rows, InferenceSettings(N_DRAWS)).score).argsort()
    below = torch.cumsum(weight[order], 0) <= trim * weight.sum()
    return order[~below].sort().values
