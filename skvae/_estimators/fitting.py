"""The four steps of fit: encode the table, build or take over the model, train, finalize.

Each step returns a value, and nothing is set on the estimator before the last has succeeded: after
an error it is what it was before the call.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from skvae._constraints.relations import Relation
from skvae._fitted.fitted_model import Axes, FittedModel
from skvae._model.rows import Rows, canonical_order
from skvae._model.schema import Schema
from skvae._model.vae import VAE, for_inference
from skvae._nn.defaults import with_library_defaults
from skvae._streaming.batches import StreamBatches
from skvae._table.margins import margins_of
from skvae._table.reading import Table
from skvae._table.transforms import AFFINE
from skvae._training.budget import Budget, default_steps
from skvae._training.cross_validation import folds, held_out_curve
from skvae._training.history import join_histories
from skvae._training.loop import Result, Split, train_all, warn_of_interruption
from skvae._training.weights import check_sample_weight, split_rows
from skvae._validation import as_layers, check_size, check_unchanged, fitted_names

from .building import (
    finalize_model,
    fit_table_schema,
    initial_model,
    initial_models,
    warn_of_empty_table,
)
from .callbacks import RoundCallbacks
from .choosing import choose_n_components, default_n_components
from .choosing_maps import choose_schema
from .components import Components
from .constraining import fit_relations
from .mode import FitContext, Mode
from .parameters import VAEParameters

SHAPING = (  # parameters that must not change while a model is trained further
    "n_components", "latent", "prior", "likelihood", "hidden_layer_sizes", "activation",
    "numeric_transform", "categorical_features", "handle_unknown", "max_categories",
    "min_frequency", "informative_missing", "n_estimators",
)  # fmt: skip
MIN_CROSS_VALIDATED, MAX_CROSS_VALIDATED = 6, 1000  # rows
MASK_RATIO = 0.6
FOR_TRAINING = 0.9  # of the time of fit: the rest is for what follows it
PARTIAL_FIT_RATE = 0.25  # of the peak: a constant learning rate must be lower to converge


@dataclass
class TrainingData:
    """The table that was read, as training sees it.

    Attributes
    ----------
    names : dict
        `n_features_in_` and `feature_names_in_`.
    rows : Rows
        In single precision and in an order that depends on their contents alone.
    split : Split
        Rows to train on with their weights, and rows held out.
    relations : list of Relation
        Constraints between the columns.
    stream : StreamBatches or None
        Where the rows to train on are read, if `rows` are a sample of them.
    """

    names: dict[str, Any]
    schema: Schema
    rows: Rows
    split: Split
    relations: list[Relation]
    stream: StreamBatches | None = None

    @property
    def n_train(self) -> int:
        """Rows to train on, of the stream where there is one."""
        return len(self.split.train) if self.stream is None else self.stream.n_rows

    @property
    def n_workers(self) -> int:
        """Processes that train, each with batches of its own."""
        return 1 if self.stream is None else self.stream.n_workers


@with_library_defaults
def fit_attributes(
    estimator: VAEParameters,
    X: Any,
    table: Table,
    sample_weight: Any,
    mode: Mode,
    n_models: int = 1,
    share: float = 1.0,
) -> dict[str, Any]:
    """The fitted attributes of an estimator, for a table that was read from X.

    `share` is the proportion of `max_time` to take.
    """
    started = time.monotonic()
    context = FitContext.of(estimator, mode)
    shape = shape_of(estimator, mode)
    data = encode_table(estimator, table, sample_weight, context)
    budget = budget_of(estimator, data, mode)
    if estimator.max_time is not None:
        budget.deadline = started + FOR_TRAINING * share * estimator.max_time
    if mode.is_new:
        models, k = build_models(estimator, data, context, budget, n_models)
        budget.n_planned = planned_steps(estimator, data, k, context, budget)
    else:
        earlier = estimator.fitted_model_.models
        models, k = take_over(earlier, data.schema), estimator.n_components_
    as_fitted = partial(as_fitted_model, data.schema, data.relations, context.components)
    callbacks = RoundCallbacks(estimator, X, lambda history: {
        **data.names, "n_components_": k, "history_": joined_history(estimator, history, mode),
        "fitted_model_": as_fitted(models),
    })  # fmt: skip
    try:
        results = train_models(estimator, models, data, context, budget, callbacks)
    finally:
        callbacks.end_progress()
    models = [model for result in results for model in result.models]
    if mode.is_new and all(result.is_start for result in results):
        models = start_from_all_rows(estimator, data, k, context, n_models) or models
    # The generator is used from the last to the first, whose attributes are those of the estimator.
    what = data.schema, data.rows, data.split, context, mode
    units = [finalize_model(model, *what) for model in models[::-1]][-1]
    axes = Axes(units.pop("center"), units.pop("spread"), units.get("explained_variance_"))
    attributes = {
        **data.names,
        **units,
        **described(data.schema, context.components, models[0]),
        **_progress(estimator, results, data, mode),
        **constraints_of(estimator, data.relations),
        "fitted_model_": as_fitted(models, axes),
        "n_components_": k,
        "_shape": shape,
    }
    callbacks.close(attributes)
    return attributes


# ----------------------------------------------------------------------- 1. encode the table


def encode_table(
    estimator: VAEParameters, table: Table, sample_weight: Any, context: FitContext
) -> TrainingData:
    """The rows of weight above 0 as tensors, in canonical order, and their split."""
    mode, owner = context.mode, type(estimator).__name__
    names = fitted_names(table.header()) if mode.is_new else {}
    weights = check_sample_weight(sample_weight, table.n_rows)
    check_size(int((weights > 0).sum()), len(table.names), 2, owner)
    if not weights.all():
        table, weights = table.take(np.flatnonzero(weights)), weights[weights > 0]
    if mode.is_new:
        schema = new_schema(estimator, table, weights, context)
    else:
        schema = estimator.fitted_model_.schema.updated(margins_of(table, weights))
    rows = schema.encode(table, torch.float32)
    if table.stream is not None and table.has_missing[schema.order].any():
        rows = rows.with_mask()
    if mode.is_new:
        warn_of_empty_table(schema)
    order = canonical_order(rows)
    relations = fit_relations(estimator, schema, table, order, ())
    rows.reorder(torch.from_numpy(order))
    fraction = estimator.validation_fraction if estimator.early_stopping else 0.0
    split = split_rows(rows, weights[order], fraction, context.generator)
    data = TrainingData(names, schema, rows, split, relations)
    if table.stream is not None:
        places = table.stream.sample_rows[order]
        make = table.stream.batch_source or StreamBatches
        data.stream = make(table.stream, schema, rows, places, split)
    return data


def new_schema(
    estimator: VAEParameters, table: Table, weights: np.ndarray, context: FitContext
) -> Schema:
    """The fitted columns, with the maps that describe the rows best."""
    fit = partial(fit_table_schema, estimator, table, weights, context.components.objective)
    if not estimator._chooses_maps:
        return fit(automatic_transform=AFFINE)
    schema = fit()
    if not schema.has_quantile_map:
        return schema
    affine = fit(automatic_transform=AFFINE)
    if not schema.differs(affine):  # it is the user who asked for the quantile map
        return schema

    def start(schema: Schema, rows: Rows, split: Split) -> VAE:
        requested = estimator.n_components
        requested = None if isinstance(requested, str) else requested
        k = context.components.latent.size(requested, schema.n_components(requested))
        return initial_model(estimator, schema, context, rows, split, k)

    training = estimator.batch_size, estimator.learning_rate_init, estimator.max_iter
    return choose_schema((schema, affine), start, table, weights, context, *training)


# ------------------------------------------------------- 2. build, or take over, the models


def build_models(
    estimator: VAEParameters, data: TrainingData, context: FitContext, budget: Budget, n_models: int
) -> tuple[list[VAE], int]:
    """Untrained models at the closed-form start, and their number of components."""
    latent, n_components = context.components.latent, estimator.n_components
    is_auto = isinstance(n_components, str)
    default = data.schema.n_components(n_components)
    if n_components is None and estimator.init == "pca":
        default = default_n_components(data.schema, data.rows, data.split, context.seed)
    k = latent.size(None if is_auto else n_components, default)
    work = estimator, data.schema, context, data.rows, data.split
    if is_auto:
        start = partial(initial_model, *work)
        k = choose_n_components(start, k, latent, data.rows, data.split, context, budget)
    return initial_models(*work, k, n_models), k


def planned_steps(
    estimator: VAEParameters, data: TrainingData, k: int, context: FitContext, budget: Budget
) -> int | None:
    """How long to train by cross-validation, where the rows to hold out would be too few."""
    if not estimator.early_stopping or len(data.split.held_out):
        return None
    if not MIN_CROSS_VALIDATED <= len(data.split.train) <= MAX_CROSS_VALIDATED:
        return None
    splits = folds(data.split, context.generator)
    start = partial(initial_model, estimator, data.schema, context, data.rows)
    models = [start(split, k) for split in splits]
    objective = context.components.objective
    half = budget.share(2)  # of the time that is left
    try:
        curve = held_out_curve(models, data.rows, splits, objective, half, context.generator)
    except KeyboardInterrupt:  # the model is left at its start
        warn_of_interruption(0, budget.n_steps)
        return 0
    return curve.best(first=objective.warmup * budget.n_steps)


def start_from_all_rows(
    estimator: VAEParameters, data: TrainingData, k: int, context: FitContext, n_models: int
) -> list[VAE] | None:
    """Untrained models at the start from all rows, where training was not better than the start.

    None: no row was held out.
    """
    split = data.split
    if split.weights is not None or not len(split.held_out):
        return None
    data.split = Split(torch.cat([split.train, split.held_out]), None, split.held_out[:0])
    return initial_models(estimator, data.schema, context, data.rows, data.split, k, n_models)


def take_over(fitted: Sequence[VAE], schema: Schema) -> list[VAE]:
    """Copies of fitted models that can be trained further."""
    models = [copy.deepcopy(m).float().requires_grad_(True).train() for m in fitted]
    for model in models:
        model.update_schema(schema)
    return models


# -------------------------------------------------------------------------------- 3. train


def train_models(
    estimator: VAEParameters,
    models: Sequence[VAE],
    data: TrainingData,
    context: FitContext,
    budget: Budget,
    callbacks: RoundCallbacks,
    states: list[dict] | None = None,
) -> list[Result]:
    """Train in place, on the device of the estimator; the models end on the CPU.

    `states` are those of the optimizers of a training that goes on.
    """
    device, noise = context.device, context.generator
    if device.type != "cpu":
        noise = torch.Generator(device).manual_seed(context.generator.initial_seed())
    there = [model.to(device) for model in models]
    train = train_all if data.stream is None else data.stream.train
    results = train(
        there, data.rows.to(device), data.split.to(device), context.components.objective,
        budget, noise, callbacks, states, context.checkpoint,
    )  # fmt: skip
    for model in models:
        model.cpu()
    return results


def budget_of(estimator: VAEParameters, data: TrainingData, mode: Mode) -> Budget:
    n_rows = data.n_train
    per_epoch = math.ceil(n_rows / (estimator.batch_size * data.n_workers))
    n_steps = math.ceil(default_steps(n_rows) / data.n_workers)
    if estimator.max_iter is not None:
        n_steps = estimator.max_iter * per_epoch
    return Budget(
        n_steps=per_epoch if mode.is_one_pass else n_steps,
        batch_size=int(estimator.batch_size),  # torch takes no integers of numpy
        learning_rate=estimator.learning_rate_init * (PARTIAL_FIT_RATE if mode.is_one_pass else 1),
        schedule=not mode.is_one_pass,
        warms_up=mode is Mode.NEW,
        patience=estimator.n_iter_no_change if estimator.early_stopping else None,
        tol=estimator.tol,
        mask_ratio=_mask_ratio(estimator, data.rows.missing is not None),
    )


def _mask_ratio(estimator: VAEParameters, has_missing: bool) -> float:
    """The mask ratio; "auto": 0.6 with missing values and hidden layers, else 0.

    A linear encoder cannot be right both for complete rows and for rows with missing values.
    """
    if estimator.mask_ratio == "auto":
        return MASK_RATIO if has_missing and as_layers(estimator.hidden_layer_sizes) else 0.0
    return float(estimator.mask_ratio)


# ------------------------------------------------------------------------------ 4. finalize


def as_fitted_model(
    schema: Schema,
    relations: list[Relation],
    components: Components,
    models: Sequence[VAE],
    axes: Axes | None = None,
) -> FittedModel:
    """Trained models as what gives answers."""
    parts = components.latent, components.prior, components.objective
    networks = [for_inference(model) for model in models]
    return FittedModel(networks, schema, *parts, axes, relations)


def constraints_of(estimator: VAEParameters, relations: list[Relation]) -> dict[str, Any]:
    """The constraints by what users see, of estimators that have some."""
    if not hasattr(estimator, "constraints"):
        return {}
    return {"constraints_": [relation.constraint for relation in relations]}


def described(schema: Schema, components: Components, model: VAE) -> dict[str, Any]:
    """The components by their public names, and the likelihood of each column."""
    return {
        "latent_": components.latent,
        "prior_": components.prior,
        "objective_": components.objective,
        "likelihood_": {name: likelihood for name, (likelihood, _) in schema.choices.items()},
        "likelihood_reasons_": {name: why for name, (_, why) in schema.choices.items()},
        "_n_features_out": len(model.latent.shown),
    }


def _progress(
    estimator: VAEParameters, results: Sequence[Result], data: TrainingData, mode: Mode
) -> dict[str, Any]:
    """History and number of passes, those of earlier calls included."""
    first, n_rows = results[0], data.n_train
    per_epoch = math.ceil(n_rows / (estimator.batch_size * data.n_workers))
    n_before = 0 if mode.is_new else estimator.n_iter_
    n_iter = n_before + max(1, math.ceil(first.n_steps / per_epoch))
    return {
        "n_iter_": n_iter, "history_": joined_history(estimator, first.history, mode),
        "_optimizer_states": None, "_is_interrupted": results[-1].is_interrupted,
    }  # fmt: skip


def joined_history(estimator: VAEParameters, history: dict, mode: Mode) -> dict[str, list[float]]:
    """A history as a copy, with that of earlier calls before it."""
    return join_histories({} if mode.is_new else estimator.history_, history)


def shape_of(estimator: VAEParameters, mode: Mode) -> dict[str, Any]:
    """The parameters that shape the model; unchanged, where it is trained further."""
    shape = {name: copy.deepcopy(getattr(estimator, name, None)) for name in SHAPING}
    if not mode.is_new:
        check_unchanged(shape, estimator._shape, type(estimator).__name__)
    return shape
