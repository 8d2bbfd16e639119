"""From the parameters of an estimator to its parts: components, schema, model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from skvae import latents, objectives, priors
from skvae._inference.log_density import log_density
from skvae._inference.ordering import sort_units
from skvae._inference.units import MIN_ROWS, N_ROWS, unit_attributes
from skvae._model.initialization import initialize
from skvae._model.rows import Rows, patterns
from skvae._model.schema import Schema, fit_schema
from skvae._model.vae import VAE, build
from skvae._table.reading import Table
from skvae._table.scaling import TRANSFORMS
from skvae._training.loop import Split
from skvae._training.weights import distinct, drawn
from skvae._validation import (
    as_layers,
    check_categorical_features,
    check_informative,
    resolve_component,
    resolve_transforms,
)
from skvae.likelihoods import LIKELIHOODS, resolve_likelihoods

MIN_VARIANCE = 1e-8  # of a component, so that the way back is there
MAX_SEEN = 200_000  # rows that the closed-form start looks at
N_DRAWS = 8  # of a row, to tell which are fitted worst
REGISTRIES: dict[str, Mapping[str, type]] = {
    "latent": latents.LATENTS, "prior": priors.PRIORS, "likelihood": LIKELIHOODS,
    "objective": objectives.OBJECTIVES,
}  # fmt: skip


def resolved(estimator: Any) -> dict[str, Any]:
    owner = type(estimator).__name__

    def resolve(value: Any, base: type, name: str) -> Any:
        return resolve_component(value, REGISTRIES[name], base, name, owner)

    latent = resolve(estimator.latent, latents.Latent, "latent")
    prior = latent.default_prior() if estimator.prior == "auto" else estimator.prior
    prior = resolve(prior, priors.Prior, "prior")
    objective = resolve(unnamed(estimator, "objective"), objectives.Objective, "objective")
    if isinstance(estimator.objective, str):
        objective = objective.with_warmup(latent.warmup)
    latent.check_partners(prior, objective)
    return {"latent": latent, "prior": prior, "objective": objective}


def unnamed(estimator: Any, parameter: str) -> Any:
    """A parameter, or what its "auto" stands for in the estimator."""
    value = getattr(estimator, parameter)
    return estimator._automatic.get(parameter, value) if str(value) == "auto" else value


def schema_of(
    estimator: Any, table: Table, weights: np.ndarray, objective: objectives.Objective
) -> Schema:
    """The fitted table."""
    owner, likelihood = type(estimator).__name__, unnamed(estimator, "likelihood")
    if str(estimator.likelihood) == "auto" and objective.likelihood is not None:
        likelihood = objective.likelihood
    return fit_schema(
        table,
        weights,
        check_categorical_features(estimator.categorical_features, table.names),
        resolve_transforms(estimator.numeric_transform, table.names, TRANSFORMS, owner),
        lambda columns: resolve_likelihoods(likelihood, columns, LIKELIHOODS, owner),
        check_informative(estimator.informative_missing, table.names),
        max_categories=estimator.max_categories,
        min_frequency=estimator.min_frequency,
        handle_unknown=estimator.handle_unknown,
    )


def fitted_attributes(estimator: Any, schema: Schema, components: dict[str, Any]) -> dict[str, Any]:
    """What fit learned about the table, before training."""
    latent, k = components["latent"], estimator.n_components
    k = latent.size(None if k == "auto" else k, schema.n_components(k))
    choices = schema.choices
    return {
        "schema_": schema,
        "n_components_": k,
        "latent_": latent,
        "prior_": components["prior"],
        "likelihood_": {name: likelihood for name, (likelihood, _) in choices.items()},
        "likelihood_reasons_": {name: why for name, (_, why) in choices.items()},
    }


def initial_model(
    estimator: Any,
    fitted: dict[str, Any],
    data: Rows,
    split: Split,
    generator: torch.Generator,
    n_components: int | None = None,
) -> VAE:
    """The untrained model; of another size, where one is given."""
    sizes = as_layers(estimator.hidden_layer_sizes)
    schema, k = fitted["schema_"], n_components or fitted["n_components_"]
    latent, prior = fitted["latent_"], fitted["prior_"]
    model = build(schema, k, latent, prior, sizes, estimator.activation, generator)
    index = drawn(split.train, split.weights, generator)
    seen = data.take(index[torch.randperm(len(index), generator=generator)[:MAX_SEEN]])
    if estimator.init == "pca":
        initialize(model, schema, seen, generator.initial_seed() % 2**32)
    if model.prior.n_posteriors:
        mean, log_var = map(model.latent.under_prior, model.posteriors(seen))
        model.prior.initialize(mean, log_var, generator)
    if model.latent.uses_data:
        model.initialize_from_data(seen, generator)
    return model


def finalize_model(
    model: VAE,
    data: Rows,
    split: Split,
    generator: torch.Generator,
    *,
    goes_on: bool = False,
    order: bool = True,
    trim: float = 0.0,
) -> dict[str, Any]:
    """Settle the units, and show the trained posteriors to whom they concern.

    Parameters
    ----------
    goes_on : bool
        Whether these rows are more rows, of a model that has seen others.
    order : bool
        Whether to put the units in order; Adam's moments would not follow.
    trim : float
        Share of the rows, those fitted worst, that do not concern the prior.
    """
    different, weight = distinct(patterns(data), split)
    n_rows = max(N_ROWS, model.prior.n_posteriors)
    some = torch.randperm(len(different), generator=generator)[:n_rows]
    rows, weight = data.take(different[some]), weight[some]
    mean, log_var = model.posteriors(rows)
    ordered: dict[str, Any] = {}
    too_few = goes_on and len(rows) < MIN_ROWS  # to judge the units by
    if model.supports_reordering and not too_few:
        ordered = sort_units(model, rows, mean, weight, reorder=order)
        mean, log_var = model.posteriors(rows)
    share = (weight / weight.sum()).to(mean).unsqueeze(1)
    center = (share * mean).sum(0)
    spread = (share * (mean - center).square()).sum(0).sqrt()
    if not goes_on:  # coordinates stay what they are
        length = ordered.get("explained_variance_")
        ordered["_code_scale"] = (
            center.double().numpy(),
            spread.clamp(min=1e-6).double().numpy(),
            (None if length is None else np.sqrt(length.clip(MIN_VARIANCE))),
        )
    units = unit_attributes(model, rows, mean, log_var, weight, stacklevel=6)
    if too_few:
        units = {}
    if model.prior.n_posteriors:
        if trim:
            kept = _fit_well(model, rows, weight, trim)
            mean, log_var, weight = mean[kept], log_var[kept], weight[kept]
        mean, log_var = map(model.latent.under_prior, (mean, log_var))
        model.prior.finalize(mean, log_var, weight, generator, continued=goes_on)
    if model.latent.uses_data:
        model.finalize_latent(data.take(split.train), goes_on)
    return {**units, **ordered, **model.latent.attributes()}


def _fit_well(model: VAE, rows: Rows, weight: torch.Tensor, trim: float) -> torch.Tensor:
    """Rows without the share `trim` of the weight that has the lowest density."""
    order = torch.from_numpy(log_density(model, rows, N_DRAWS).score).argsort()
    below = torch.cumsum(weight[order], 0) <= trim * weight.sum()
    return order[~below].sort().values
