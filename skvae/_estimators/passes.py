"""partial_fit: training on batches that the user brings.

Between its calls an estimator keeps a sample of the rows and statistics of all of them. A call

1. adds its rows to both;
2. *fits the columns*, if the rows have doubled since that was done, or if they hold what the
   columns do not describe and a tenth of them is new: a model is built at the closed-form start
   from the sample, and trained on it for as many steps as all calls together. After ``fit``,
   whose rows the model itself has to draw, columns that describe all rows change but once, and
   only when the rows have tripled;
3. *trains* on as many rows of the sample as it has rows itself, and on those of its own that the
   sample has no place for, so that rows of earlier calls are not forgotten;
4. leaves the rest to the first answer (`waiting.py`): what the prior and the units learn from the
   sample, once for any number of calls.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from skvae._constraints.relations import Relation
from skvae._fitted.fitted_model import Axes
from skvae._model.agreement import agree
from skvae._model.rows import canonical_order
from skvae._model.schema import Schema, warn_of_frozen
from skvae._model.vae import VAE
from skvae._nn.defaults import with_library_defaults
from skvae._table.columns import CategoricalColumn
from skvae._table.layouts import Cells
from skvae._table.margins import Margins, margins_of
from skvae._table.numeric_column import NumericColumn
from skvae._table.reading import Table
from skvae._table.scaling import QuantileMap
from skvae._table.transforms import AFFINE
from skvae._training.budget import default_steps
from skvae._training.loop import Result
from skvae._training.weights import check_sample_weight, split_rows
from skvae._validation import check_categorical_features, check_size, fitted_names

from .building import finalize_model, fit_table_schema, warn_of_empty_table
from .callbacks import RoundCallbacks
from .constraining import fit_relations
from .fitting import (
    TrainingData,
    as_fitted_model,
    budget_of,
    build_models,
    constraints_of,
    described,
    joined_history,
    shape_of,
    take_over,
    train_models,
)
from .mode import FitContext, Mode
from .parameters import VAEParameters
from .seen import Seen, cells_of, drawn_before

DOUBLED, TENTH_NEW = 2.0, 1.1  # growth of the rows since the columns were fitted
TRIPLED = 3.0  # after a fit: a model of as many drawn rows as others is worse than that of the fit
AFTER_FIT = 0.25  # of the learning rate: where weights had time to settle it must be lower


@dataclass
class Unfinished:
    """What training has left, before the prior and the units have seen the rows."""

    models: list[VAE]
    schema: Schema
    relations: list[Relation]
    seen: Seen
    context: FitContext

    @with_library_defaults
    def attributes(self) -> dict[str, Any]:
        """The attributes that wait for it; training can go on from what is here."""
        models, schema = copy.deepcopy(self.models), copy.copy(self.schema)
        schema.patterns = replace(schema.patterns, discriminant=None)
        context = replace(self.context, generator=torch.Generator().manual_seed(self.context.seed))
        data = sample_data(self.seen, schema, [], context)
        what = schema, data.rows, data.split, context, Mode.FIRST_PASS
        units = [finalize_model(model, *what) for model in models[::-1]][-1]
        axes = Axes(units.pop("center"), units.pop("spread"), units.get("explained_variance_"))
        fitted = as_fitted_model(schema, self.relations, context.components, models, axes)
        return {**units, "fitted_model_": fitted}


@with_library_defaults
def pass_attributes(
    estimator: Any,
    X: Any,
    table: Table,
    sample_weight: Any,
    mode: Mode,
    n_models: int = 1,
    share: float = 1.0,
) -> dict[str, Any]:
    """The attributes of an estimator after a call; "_unfinished" makes the others."""
    started = time.monotonic()
    context, shape = FitContext.of(estimator, mode), shape_of(estimator, mode)
    table, weights = _with_weight(table, sample_weight, mode, type(estimator).__name__)
    models, schema, relations, before = _earlier(estimator, table, context)
    cells = _cells(estimator, table, schema)
    seen, places = before.added(cells, weights)
    if schema is not None and relations:
        relations = fit_relations(estimator, schema, table, np.arange(len(weights)), relations)
    new, schema, seen = _columns(
        estimator, table, margins_of(table, weights), schema, seen, context
    )
    n_own = math.ceil(len(weights) / estimator.batch_size)
    if new:
        relations = _relations(estimator, schema, seen, relations, mode)
        data = sample_data(seen, schema, relations, context)
        n_steps = n_own + min(before.n_steps_for(seen.n_rows), default_steps(len(data.rows)))
    else:
        rows, weights = seen.rows_of_call(table.names, schema.layout, cells, weights, places,
                                          context.seed)  # fmt: skip
        data = training_data(rows, weights, schema, relations, context)
        n_steps = math.ceil(len(weights) / estimator.batch_size)
    data.names = fitted_names(table.header()) if mode.is_new else {}
    budget = replace(budget_of(estimator, data, mode), n_steps=n_steps, averages=True)
    if new and before.n_steps:  # a schedule of the learning rate, as in fit
        budget.schedule, budget.learning_rate = True, estimator.learning_rate_init
    elif seen.is_drawn:
        budget.learning_rate *= AFTER_FIT
    if estimator.max_time is not None:
        budget.deadline = started + share * estimator.max_time
    if new:
        models, k = build_models(estimator, data, context, budget, n_models)
    else:
        models, k = take_over(models, schema), estimator.n_components_
    as_fitted = partial(as_fitted_model, schema, relations, context.components)
    callbacks = RoundCallbacks(estimator, X, lambda history: {
        **data.names, "n_components_": k, "history_": joined_history(estimator, history, mode),
        "fitted_model_": as_fitted(models),
    })  # fmt: skip
    after_fit = [{"n_averaged": before.n_steps}]
    states = None if new else estimator._optimizer_states or after_fit
    try:
        results = train_models(estimator, models, data, context, budget, callbacks, states)
    finally:
        callbacks.end_progress()
    models = [model for result in results for model in result.models]
    seen = replace(seen, n_steps=before.n_steps + n_own)
    unfinished = Unfinished(models, schema, relations, seen, context)
    attributes = {
        **data.names,
        **described(schema, context.components, models[0]),
        **_progress(estimator, results, mode),
        **constraints_of(estimator, relations),
        "n_components_": k,
        "_shape": shape,
        "_seen": seen,
        "_unfinished": unfinished,
    }
    callbacks.close(lambda: {**attributes, **unfinished.attributes()})
    return attributes


def _with_weight(
    table: Table, sample_weight: Any, mode: Mode, owner: str
) -> tuple[Table, np.ndarray]:
    """The rows of weight above 0, and the weights."""
    weights = check_sample_weight(sample_weight, table.n_rows)
    least = 2 if mode.is_new else 1
    check_size(int((weights > 0).sum()), len(table.names), least, owner)
    if not weights.all():
        table, weights = table.take(np.flatnonzero(weights)), weights[weights > 0]
    return table, weights


def _earlier(
    estimator: Any, table: Table, context: FitContext
) -> tuple[list[VAE], Schema | None, list[Relation], Seen]:
    """Models, columns, constraints and rows of the calls before."""
    if context.mode.is_new:
        return [], None, [], Seen.of(table.names)
    waiting = vars(estimator).get("_unfinished")
    state = estimator.fitted_model_ if waiting is None else waiting
    seen = vars(estimator).get("_seen")
    if seen is None:
        seen = drawn_before(estimator, state, context.seed)
    return state.models, state.schema, state.relations, seen


def _cells(estimator: VAEParameters, table: Table, schema: Schema | None) -> list[Cells]:
    """The cells of each column of a batch."""
    as_label = check_categorical_features(estimator.categorical_features, table.names)
    if schema is not None:
        as_label = [column.type == "label" for column in schema.columns]
    return cells_of(table, as_label)


def _columns(
    estimator: Any,
    table: Table,
    margins: Margins,
    schema: Schema | None,
    seen: Seen,
    context: FitContext,
) -> tuple[bool, Schema, Seen]:
    """Whether the columns were fitted anew, the columns, and the rows seen so far."""
    if schema is None:
        schema = _fitted(estimator, None, table.layout, seen, context)
        warn_of_empty_table(schema)
        return True, schema, replace(seen, fitted_at=seen.n_rows)
    for j, column in enumerate(schema.columns):
        if isinstance(column, CategoricalColumn) and column.handle_unknown == "error":
            column.encode(table.cells(j, True))
    growth, beyond = seen.n_rows / seen.fitted_at, schema.beyond(margins)
    doubled = TRIPLED if seen.is_drawn else DOUBLED
    if growth < (TENTH_NEW if beyond else math.inf if seen.is_settled else doubled):
        return False, schema.updated(margins), seen
    new = _fitted(estimator, schema, schema.layout, seen, context)
    seen = replace(seen, fitted_at=seen.n_rows, is_settled=seen.is_drawn)
    if agree(schema, new):
        return False, schema.updated(margins), seen
    for j, text in new.beyond(margins).items():
        warn_of_frozen(new.columns[j], text)
        new.warned_of = (*new.warned_of, new.columns[j].name)
    return True, new, seen


def _fitted(
    estimator: Any, earlier: Schema | None, layout: Any, seen: Seen, context: FitContext
) -> Schema:
    """The columns of all rows, with the kinds of maps that they had."""
    transforms: Any = AFFINE
    if earlier is not None:
        transforms = [
            "quantile"
            if isinstance(column, NumericColumn) and isinstance(column.map_of_rest, QuantileMap)
            else AFFINE
            for column in earlier.columns
        ]
    table = seen.rows.table(layout)
    return fit_table_schema(
        estimator, table, seen.rows.estimates(), context.components.objective,
        automatic_transform=transforms, margins=seen.margins(table),
    )  # fmt: skip


def _relations(
    estimator: Any, schema: Schema, seen: Seen, earlier: list[Relation], mode: Mode
) -> list[Relation]:
    """The constraints of all rows: of a sample those that held in the calls before."""
    table = seen.rows.table(schema.layout)
    times = np.maximum(1, np.round(seen.rows.estimates()).clip(max=100)).astype(int)
    order = np.repeat(np.argsort(seen.rows.keys), times[np.argsort(seen.rows.keys)])
    found = fit_relations(estimator, schema, table, order, ())
    if mode.is_new or seen.is_all:
        return found
    known = [relation.constraint for relation in earlier]
    return [relation for relation in found if relation.constraint in known]


def sample_data(
    seen: Seen, schema: Schema, relations: list[Relation], context: FitContext
) -> TrainingData:
    """The sample of all rows, as training sees it."""
    table = seen.rows.table(schema.layout)
    return training_data(table, seen.rows.estimates(), schema, relations, context)


def training_data(
    table: Table,
    weights: np.ndarray,
    schema: Schema,
    relations: list[Relation],
    context: FitContext,
) -> TrainingData:
    """Rows with their weights, none of which is held out, as training sees them."""
    rows = schema.encode(table, torch.float32)
    if schema.has_missing:
        rows = rows.with_mask()
    order = canonical_order(rows)
    rows.reorder(torch.from_numpy(order))
    split = split_rows(rows, weights[order], 0.0, context.generator)
    return TrainingData({}, schema, rows, split, relations)


def _progress(estimator: VAEParameters, results: list[Result], mode: Mode) -> dict[str, Any]:
    """History and number of calls, earlier ones included."""
    return {
        "n_iter_": 1 if mode.is_new else estimator.n_iter_ + 1,
        "history_": joined_history(estimator, results[0].history, mode),
        "_optimizer_states": [result.optimizer_state for result in results],
        "_is_interrupted": results[-1].is_interrupted,
    }
