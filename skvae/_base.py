"""BaseVAE: the parameters and the fit that the estimators share."""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from . import latents, likelihoods, objectives, priors
from ._callbacks import CallbackSupportMixin, RoundCallbacks, with_callbacks
from ._inference import N_SCRAMBLINGS, log_density
from ._initialization import start
from ._model import VAE
from ._networks import ACTIVATIONS, Inputs, Trunk
from ._schema import Rows, Schema, canonical_order, fit_columns
from ._tables import Table, read_table
from ._training import MIN_HELD_OUT, Budget, default_steps, train
from ._validation import (
    check_categorical_features,
    check_names,
    check_parameters,
    check_sample_weight,
    is_int,
    is_real,
    resolve_component,
    resolve_likelihoods,
)

MAX_COMPONENTS = 16  # of n_components=None
MAX_REPETITIONS = 10_000_000  # rows that integer weights may stand for, before they are drawn


def _is_layers(value: Any) -> bool:
    sizes = (value,) if is_int(value) else value
    return isinstance(sizes, (tuple, list)) and all(is_int(s, least=1) for s in sizes)


class BaseVAE(CallbackSupportMixin, BaseEstimator):
    """Fit and log-density of a variational autoencoder of a table."""

    parameter_constraints: ClassVar[dict[str, tuple]] = {
        "n_components": (
            "None or an int in the range [1, inf)",
            lambda v: v is None or is_int(v, least=1),
        ),
        "hidden_layer_sizes": ("an int or a tuple of ints in the range [1, inf)", _is_layers),
        "activation": (f"one of {sorted(ACTIVATIONS)}", lambda v: v in list(ACTIVATIONS)),
        "init": ("'pca' or 'random'", lambda v: v in ("pca", "random")),
        "handle_unknown": (
            "'infrequent_if_exist' or 'error'",
            lambda v: v in ("infrequent_if_exist", "error"),
        ),
        "max_categories": (
            "None or an int in the range [2, inf)",
            lambda v: v is None or is_int(v, least=2),
        ),
        "min_frequency": (
            "None, an int in the range [1, inf) or a float in the range (0, 1)",
            lambda v: v is None or is_int(v, least=1) or is_real(v, above=0, most=1 - 1e-12),
        ),
        "batch_size": ("an int in the range [1, inf)", lambda v: is_int(v, least=1)),
        "learning_rate_init": ("a number in the range (0, inf)", lambda v: is_real(v, above=0)),
        "max_iter": (
            "None or an int in the range [1, inf)",
            lambda v: v is None or is_int(v, least=1),
        ),
        "early_stopping": ("a bool", lambda v: isinstance(v, (bool, np.bool_))),
        "validation_fraction": (
            "a number in the range (0, 1)",
            lambda v: is_real(v, above=0, most=1 - 1e-12),
        ),
        "n_iter_no_change": ("an int in the range [1, inf)", lambda v: is_int(v, least=1)),
        "tol": ("a number in the range [0, inf)", lambda v: is_real(v, least=0)),
        "warm_start": ("a bool", lambda v: isinstance(v, (bool, np.bool_))),
        "verbose": ("a bool or an int in the range [0, inf)",
                    lambda v: isinstance(v, (bool, np.bool_)) or is_int(v, least=0)),
        "device": ("'cpu', 'cuda' or another device of torch",
                   lambda v: isinstance(v, (str, torch.device))),
        "n_importance_samples": ("an int in the range [1, inf)", lambda v: is_int(v, least=1)),
    }  # fmt: skip

    def __init__(
        self,
        n_components=None,
        *,
        latent="gaussian",
        prior="auto",
        likelihood="auto",
        objective="elbo",
        hidden_layer_sizes=(128, 128),
        activation="silu",
        init="pca",
        categorical_features=None,
        handle_unknown="infrequent_if_exist",
        max_categories=100,
        min_frequency=2,
        batch_size=256,
        learning_rate_init=8e-3,
        max_iter=None,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=20,
        tol=1e-4,
        warm_start=False,
        verbose=False,
        random_state=None,
        device="cpu",
        n_importance_samples=64,
    ):
        self.n_components = n_components
        self.latent = latent
        self.prior = prior
        self.likelihood = likelihood
        self.objective = objective
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.init = init
        self.categorical_features = categorical_features
        self.handle_unknown = handle_unknown
        self.max_categories = max_categories
        self.min_frequency = min_frequency
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.device = device
        self.n_importance_samples = n_importance_samples

    # ------------------------------------------------------------------------------ public

    @with_callbacks
    def fit(self, X, y=None, sample_weight=None):
        """Fit the model to a table.

        Parameters
        ----------
        X : array, DataFrame or sparse matrix of shape (n_samples, n_features)
            numpy, pandas, polars or pyarrow; missing cells (NaN, None, NA, NaT) are welcome.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Rows of weight 0 are dropped, integer weights stand for repetitions, other weights
            act through weighted statistics and weighted draws.

        Returns
        -------
        self : object
            The fitted estimator. After an error it is what it was before the call.
        """
        return self._fit(X, sample_weight, keep=self.warm_start, one_pass=False)

    def partial_fit(self, X, y=None, sample_weight=None):
        """Go on training with one pass over a table.

        The first call fixes the columns: their names, levels and scaling. The learning rate is
        constant and no rows are held out.

        Parameters
        ----------
        X, y, sample_weight
            As in :meth:`fit`.

        Returns
        -------
        self : object
        """
        return self._fit(X, sample_weight, keep=True, one_pass=True)

    def score_samples(self, X, *, return_std=False):
        r"""Log-density of each row, in nats and in the units of the table.

        .. math:: \log p(x) \approx \log \tfrac1K \sum_k p(x|z_k)\, p(z_k) / q(z_k|x)

        with K = `n_importance_samples` quasi-random draws, the same for every row. Integers,
        booleans and levels are counted, continuous columns have densities (datetimes in days). A
        row with holes gets log p(seen cells); a row without any seen cell gets 0. A level or a
        constant never seen in n seen cells scores −log(n + 1), or −log(C + 1) beside the pooled
        rare levels, which stand for C cells.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
        return_std : bool, default=False
            Also return the Monte-Carlo standard error of each score, from the spread of eight
            independent scramblings of the draws.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Higher is more normal. A lower bound on log p(x) that rises with K on average.
        std : ndarray of shape (n_samples,)
            Only with `return_std`.
        """
        score, std = log_density(self._module(), self._rows(X), self.n_importance_samples)
        return (score, std) if return_std else score

    def score(self, X, y=None):
        """Mean of :meth:`score_samples`, so that model selection needs no scorer.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        float
            Mean log-density per row, in nats.
        """
        return float(self.score_samples(X).mean())

    def set_params(self, **params):
        """Set the parameters of this estimator, nested ones as ``component__parameter``."""
        for key in params:
            name, _, inner = key.partition("__")
            value = params.get(name, getattr(self, name, None))
            if inner and name in self.get_params(deep=False) and not hasattr(value, "set_params"):
                example = {"latent": "Gaussian()", "objective": "ELBO()", "likelihood": "Normal()",
                           "prior": "StandardNormal()"}.get(name, "an object")  # fmt: skip
                raise ValueError(
                    f"Cannot set {key!r} of {type(self).__name__} while {name}={value!r}: a name "
                    f"has no parameters. Pass an object, such as {name}={example}, to reach them."
                )
        return super().set_params(**params)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        return tags

    # ------------------------------------------------------------------------------ reading

    def _read(self, X: Any) -> Table:
        """X as a table, checked against the fitted columns."""
        check_is_fitted(self)
        table = read_table(X)
        if hasattr(self, "feature_names_in_") and table.layout.container != "array":
            check_names(table.names, list(self.feature_names_in_), type(self).__name__)
        validate_data(self, X, reset=False, skip_check_array=True)
        if len(table.names) != self.n_features_in_:
            raise ValueError(
                f"X has {len(table.names)} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        return table

    def _rows(self, X: Any) -> Rows:
        table = self._read(X)
        if table.n_rows < 1:
            raise ValueError(
                f"Found array with 0 sample(s) (shape=(0, {len(table.names)})) while a minimum of "
                f"1 is required by {type(self).__name__}."
            )
        return self.schema_.encode(table)

    def _module(self) -> VAE:
        check_is_fitted(self)
        return self.model_

    # ------------------------------------------------------------------------------ fitting

    def _fit(self, X: Any, sample_weight: Any, keep: bool, one_pass: bool) -> Any:
        """Work on local objects, so that an error leaves the estimator as it was."""
        check_parameters(self)
        device = _check_device(self.device)
        keep = keep and hasattr(self, "model_")
        table = self._read(X) if keep else read_table(X)
        fitted = {} if keep else self._names(X, table)
        weights = check_sample_weight(sample_weight, table.n_rows)
        _check_size(int((weights > 0).sum()), len(table.names), type(self).__name__)
        if not weights.all():
            table, weights = table.take(np.flatnonzero(weights)), weights[weights > 0]
        components = self._components()
        schema = self.schema_ if keep else self._schema(table, weights)
        generator = torch.Generator().manual_seed(_seed(self.random_state))

        data = schema.encode(table, torch.float32)
        order, distinct = canonical_order(data)
        data, weights = data.take(torch.from_numpy(order)), weights[order]
        fraction = self.validation_fraction if self.early_stopping and not one_pass else 0.0
        train_rows, train_weights, held_out = _split(weights, distinct, fraction, generator)

        if keep:
            model = copy.deepcopy(self.model_).float().requires_grad_(True)
        else:
            fitted["n_components_"] = self._n_components(schema)
            model = self._build(schema, fitted["n_components_"], components, generator)
            if self.init == "pca":
                seen = data.take(_drawn(train_rows, train_weights, generator))
                start(model, schema, seen, fitted["n_components_"], _seed(self.random_state))
            fitted.update(schema_=schema, latent_=components["latent"], prior_=components["prior"])
            fitted["likelihood_"] = {
                column.name: group.likelihood for group in schema.groups for column in group.columns
            }
        budget = self._budget(len(train_rows), one_pass)
        callbacks = RoundCallbacks(self, X, lambda: {**fitted, "model_": _finished(model)})

        def on_round(history: dict[str, list[float]]) -> bool:
            if self.verbose:
                print(f"[{type(self).__name__}] " + _describe(history, budget.n_steps))
            return callbacks.after_round()

        if device.type != "cpu":
            generator = torch.Generator(device).manual_seed(_seed(self.random_state))
        result = train(
            model.to(device), data.to(device), train_rows.to(device),
            None if train_weights is None else train_weights.to(device), held_out.to(device),
            components["objective"], budget, generator, on_round,
        )  # fmt: skip
        fitted.update(model_=_finished(model), objective_=components["objective"])
        per_epoch = math.ceil(len(train_rows) / self.batch_size)
        fitted["n_iter_"] = max(1, math.ceil(result.n_steps / per_epoch))
        fitted["history_"] = result.history
        if keep:
            fitted["n_iter_"] += self.n_iter_
            fitted["history_"] = _continued(self.history_, result.history)
        fitted["_n_features_out"] = fitted.get("n_components_", getattr(self, "n_components_", 0))
        callbacks.close(fitted)
        for name, value in fitted.items():
            setattr(self, name, value)
        if "feature_names_in_" not in fitted and not keep:
            self.__dict__.pop("feature_names_in_", None)
        return self

    def _names(self, X: Any, table: Table) -> dict[str, Any]:
        """n_features_in_ and feature_names_in_, by scikit-learn's rules."""
        shell = BaseEstimator()
        validate_data(shell, X, reset=True, skip_check_array=True)
        fitted = {"n_features_in_": len(table.names)}
        if hasattr(shell, "feature_names_in_"):
            fitted["feature_names_in_"] = shell.feature_names_in_
        elif table.layout.container not in ("array", "sparse") and all(
            isinstance(name, str) for name in table.names
        ):
            fitted["feature_names_in_"] = np.asarray(table.names, dtype=object)
        return fitted

    def _components(self) -> dict[str, Any]:
        owner = type(self).__name__
        prior = priors.AUTO if isinstance(self.prior, str) and self.prior == "auto" else self.prior
        return {
            "latent": resolve_component(
                self.latent, latents.LATENTS, latents.Latent, "latent", owner
            ),
            "prior": resolve_component(prior, priors.PRIORS, priors.Prior, "prior", owner),
            "objective": resolve_component(
                self.objective, objectives.OBJECTIVES, objectives.Objective, "objective", owner
            ),
        }

    def _schema(self, table: Table, weights: np.ndarray) -> Schema:
        columns = fit_columns(
            table,
            weights,
            check_categorical_features(self.categorical_features, table.names),
            max_categories=self.max_categories,
            min_frequency=self.min_frequency,
            handle_unknown=self.handle_unknown,
        )
        chosen = resolve_likelihoods(
            self.likelihood, columns, likelihoods.LIKELIHOODS, likelihoods.AUTO,
            likelihoods.Likelihood, type(self).__name__,
        )  # fmt: skip
        return Schema(table, columns, chosen)

    def _n_components(self, schema: Schema) -> int:
        n_features = max(1, schema.n_features)
        if self.n_components is None:
            return min(max(1, n_features // 2), MAX_COMPONENTS)
        if self.n_components > n_features:
            raise ValueError(
                f"n_components={self.n_components} is larger than the {n_features} encoded "
                "features of X (one a numeric column, one fewer than its levels a categorical "
                f"one, none a constant one). Choose n_components <= {n_features}."
            )
        return int(self.n_components)

    def _build(
        self, schema: Schema, k: int, components: dict[str, Any], generator: torch.Generator
    ) -> VAE:
        sizes = self.hidden_layer_sizes
        sizes = (int(sizes),) if is_int(sizes) else tuple(sizes)
        categorical = [schema.columns[j] for j in schema.categorical]
        inputs = Inputs(len(schema.numeric), categorical, generator)
        encoder = Trunk(inputs.n_outputs, sizes, self.activation, generator)
        latent = components["latent"].build(k, encoder.n_outputs, generator)
        prior = components["prior"].build(k)
        decoder = Trunk(k, sizes[::-1], self.activation, generator)
        return VAE(schema, inputs, encoder, latent, prior, decoder, generator)

    def _budget(self, n_rows: int, one_pass: bool) -> Budget:
        per_epoch = math.ceil(n_rows / self.batch_size)
        n_steps = default_steps(n_rows) if self.max_iter is None else self.max_iter * per_epoch
        return Budget(
            n_steps=per_epoch if one_pass else n_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate_init,
            schedule=not one_pass,
            patience=self.n_iter_no_change if self.early_stopping else None,
            tol=self.tol,
        )


def _check_device(device: Any) -> torch.device:
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"The 'device' parameter is {str(device)!r}, which torch cannot use here ({error}). "
            "Use device='cpu'."
        ) from error
    return resolved


def _check_size(n_rows: int, n_columns: int, owner: str) -> None:
    shape = f"(shape=({n_rows}, {n_columns}))"
    if n_columns < 1:
        raise ValueError(
            f"Found array with 0 feature(s) {shape} while a minimum of 1 is required by {owner}."
        )
    if n_rows < 2:
        raise ValueError(
            f"Found array with {n_rows} sample(s) {shape} while a minimum of 2 is required by "
            f"{owner}. n_samples={n_rows} does not tell how rows differ."
        )


def _seed(random_state: Any) -> int:
    """A seed; None takes fresh entropy and leaves numpy's global stream alone."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _split(
    weights: np.ndarray, distinct: np.ndarray, fraction: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """Rows to train on with their weights, and rows to hold out; equal rows stay together.

    Integer weights become repetitions; with others the held-out rows are drawn in proportion.
    """
    whole = bool((weights == np.round(weights)).all()) and weights.sum() <= MAX_REPETITIONS
    held = np.zeros(len(weights), dtype=bool)
    total = weights.sum() if whole else len(weights)
    if total * fraction >= MIN_HELD_OUT:
        order = torch.randperm(int(distinct[-1]) + 1, generator=generator).numpy()
        mass = np.bincount(distinct, weights=weights)[order]
        chosen = order[np.cumsum(mass) <= fraction * weights.sum()]
        held = np.isin(distinct, chosen)
    rows = torch.arange(len(weights))
    if whole:
        times = torch.from_numpy(weights.astype(np.int64))
        repeated = torch.repeat_interleave(rows, times)
        in_train = torch.from_numpy(~held)[repeated]
        return repeated[in_train], None, repeated[~in_train]
    weights_of = torch.from_numpy(weights)
    held_out = rows[held]
    held_out = _drawn(held_out, weights_of[held], generator) if len(held_out) else held_out
    return rows[~held], weights_of[~held], held_out


def _drawn(
    rows: torch.Tensor, weights: torch.Tensor | None, generator: torch.Generator
) -> torch.Tensor:
    """As many rows, drawn in proportion to their weights."""
    if weights is None:
        return rows
    cumulated = torch.cumsum(weights, 0)
    u = torch.rand(len(rows), generator=generator, dtype=torch.float64) * cumulated[-1]
    return rows[torch.searchsorted(cumulated, u).clamp(max=len(rows) - 1)]


def _finished(model: VAE) -> VAE:
    """The model as it answers: on the CPU, in float64, without gradients."""
    model = copy.deepcopy(model).cpu().double().requires_grad_(False)
    model.zero_grad(set_to_none=True)
    return model


def _describe(history: dict[str, list[float]], n_steps: int) -> str:
    step, *terms = (
        (name.replace("_", " "), series[-1]) for name, series in history.items()
    )  # fmt: skip
    return f"step {step[1]} of {n_steps}: " + ", ".join(f"{n} {v:.3f}" for n, v in terms)


def _continued(before: dict[str, list[float]], after: dict[str, list[float]]) -> dict:
    """The history of a model that was trained twice."""
    offset = before["step"][-1] if before["step"] else 0
    after = {**after, "step": [offset + step for step in after["step"]]}
    n_before, n_after = len(before["step"]), len(after["step"])
    names = dict.fromkeys([*before, *after])
    return {
        name: before.get(name, [math.nan] * n_before) + after.get(name, [math.nan] * n_after)
        for name in names
    }


def rounded_samples(n_samples: int) -> int:
    """Draws that a request for `n_samples` gets: as many in each scrambling."""
    return N_SCRAMBLINGS * math.ceil(n_samples / N_SCRAMBLINGS)
