"""BaseVAE: the parameters and the fit that the estimators share."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from skvae._fitted.density import DensityMixin
from skvae._model.rows import Rows, canonical_order
from skvae._model.vae import VAE, finished
from skvae._nn.networks import ACTIVATIONS
from skvae._table.reading import Table, read_table
from skvae._training.loop import Budget, Split, continued, default_steps, describe, train_all
from skvae._training.weights import check_sample_weight, random_seed, split_rows
from skvae._validation import (
    Constraint,
    a_bool,
    a_real,
    an_int,
    as_layers,
    check_device,
    check_names,
    check_nested,
    check_parameters,
    check_size,
    check_unchanged,
    fitted_names,
    is_int,
    is_real,
    layers,
    one_of,
    or_none,
)
from skvae.objectives import ELBO

from .building import (
    REGISTRIES,
    finalize_model,
    fitted_attributes,
    initial_model,
    resolved,
    schema_of,
)
from .callbacks import CallbackSupportMixin, RoundCallbacks, with_callbacks
from .choosing import choose_n_components

SHAPING = (  # parameters that a model which goes on must not have changed
    "n_components", "latent", "prior", "likelihood", "hidden_layer_sizes", "activation",
    "numeric_transform", "categorical_features", "handle_unknown", "max_categories",
    "min_frequency", "informative_missing", "n_estimators",
)  # fmt: skip
OF_ORDER = (
    "explained_variance_",
    "explained_variance_ratio_",
    "reconstruction_r2_",
)  # not every family has them
MASK_RATIO = 0.6
PARTIAL_FIT_RATE = 0.25  # of the peak: a constant rate must be one that settles


class BaseVAE(DensityMixin, CallbackSupportMixin, BaseEstimator):
    """Fit and log-density of a variational autoencoder of a table."""

    _automatic: ClassVar[dict[str, Any]] = {"objective": ELBO()}  # what "auto" stands for
    _constraints: ClassVar[dict[str, Constraint]] = {
        "n_components": (
            "None, 'auto' or an int in the range [1, inf)",
            lambda v: v is None or (isinstance(v, str) and v == "auto") or is_int(v, least=1),
        ),
        "hidden_layer_sizes": layers(),
        "activation": one_of(*ACTIVATIONS),
        "init": one_of("pca", "random"),
        "handle_unknown": one_of("infrequent_if_exist", "error"),
        "max_categories": or_none(an_int(2)),
        "min_frequency": (
            "None, an int in the range [1, inf) or a float in the range (0, 1)",
            lambda v: v is None or is_int(v, least=1) or is_real(v, above=0, below=1),
        ),
        "mask_ratio": (
            "'auto' or a number in the range [0, 1]",
            lambda v: (isinstance(v, str) and v == "auto") or is_real(v, least=0, most=1),
        ),
        "batch_size": an_int(1),
        "learning_rate_init": a_real("(0, inf)", above=0),
        "max_iter": or_none(an_int(1)),
        "early_stopping": a_bool(),
        "validation_fraction": a_real("(0, 1)", above=0, below=1),
        "n_iter_no_change": an_int(1),
        "tol": a_real("[0, inf)", least=0),
        "whiten": a_bool(),
        "warm_start": a_bool(),
        "verbose": a_bool(or_int=True),
        "precision": one_of("double", "single"),
        "device": ("a name of a device of torch", lambda v: isinstance(v, (str, torch.device))),
        "n_importance_samples": an_int(1),
        "n_refinement_steps": an_int(0),
    }

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
        numeric_transform="auto",
        categorical_features=None,
        handle_unknown="infrequent_if_exist",
        max_categories=100,
        min_frequency=2,
        mask_ratio="auto",
        informative_missing=None,
        batch_size=256,
        learning_rate_init=8e-3,
        max_iter=None,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=20,
        tol=1e-4,
        whiten=False,
        warm_start=False,
        verbose=False,
        random_state=None,
        device="cpu",
        precision="double",
        n_importance_samples=64,
        n_refinement_steps=10,
    ):
        self.n_components = n_components
        self.latent = latent
        self.prior = prior
        self.likelihood = likelihood
        self.objective = objective
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.init = init
        self.numeric_transform = numeric_transform
        self.categorical_features = categorical_features
        self.handle_unknown = handle_unknown
        self.max_categories = max_categories
        self.min_frequency = min_frequency
        self.mask_ratio = mask_ratio
        self.informative_missing = informative_missing
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.whiten = whiten
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.n_importance_samples = n_importance_samples
        self.n_refinement_steps = n_refinement_steps

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

    @with_callbacks
    def partial_fit(self, X, y=None, sample_weight=None):
        """Go on training with one pass over a table.

        The first call fixes the columns: their names, levels and scaling. No rows are held out;
        the learning rate is constant, a quarter of `learning_rate_init`, and the moments of Adam
        go on from call to call.

        Parameters
        ----------
        X, y, sample_weight
            As in :meth:`fit`.

        Returns
        -------
        self : object
        """
        return self._fit(X, sample_weight, keep=True, one_pass=True)

    def set_params(self, **params):
        """Set the parameters of this estimator, nested ones as ``component__parameter``."""
        check_nested(self, params, REGISTRIES)
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
        if hasattr(self, "feature_names_in_") and table.layout.container not in (
            "array",
            "sparse",
        ):
            check_names(table.names, list(self.feature_names_in_), type(self).__name__)
        validate_data(self, table.header(), reset=False, skip_check_array=True)
        return table

    def _rows(self, X: Any) -> Rows:
        return self._encode(self._read(X))

    def _encode(self, table: Table) -> Rows:
        if table.n_rows < 1:
            raise ValueError(
                f"Found array with 0 sample(s) (shape=(0, {len(table.names)})) while a minimum of "
                f"1 is required by {type(self).__name__}."
            )
        return self.schema_.encode(table)

    # ------------------------------------------------------------------------------ fitting

    @property
    def _n_models(self) -> int:
        """Models that are trained together; their densities are averaged."""
        return 1

    @property
    def _models(self) -> list[VAE]:
        return [self.model_, *self._others]

    def _at_precision(self, rows: Rows) -> tuple[list[VAE], Rows]:
        """The models and rows as they score and embed."""
        if self.precision == "double":
            return self._models, rows
        return [copy.deepcopy(model).float() for model in self._models], rows.float()

    def _fit(self, X: Any, sample_weight: Any, keep: bool, one_pass: bool) -> Any:
        """Work on local objects, so that an error leaves the estimator as it was."""
        check_parameters(self)
        least = 1 if keep and one_pass and hasattr(self, "model_") else 2
        device = check_device(self.device)
        keep = keep and hasattr(self, "model_")
        components = resolved(self)
        seed = random_seed(self.random_state)
        if keep:  # other noise than in the steps before, which the weights would fit to
            seed += int(sum(self.history_["step"][-1:]))
        generator = torch.Generator().manual_seed(seed)
        shape = self._shaping(keep)
        fitted, table, weights = self._take_in(X, sample_weight, keep, least)

        schema = self.schema_ if keep else schema_of(self, table, weights, components["objective"])
        data = schema.encode(table, torch.float32)
        order = canonical_order(data)
        data.reorder(torch.from_numpy(order))
        weights = weights[order]
        fraction = self.validation_fraction if self.early_stopping and not one_pass else 0.0
        split = split_rows(weights, fraction, generator)

        budget = self._budget(len(split.train), one_pass, keep, data.missing is not None)
        if keep:
            models = [copy.deepcopy(m).float().requires_grad_(True).train() for m in self._models]
        else:
            fitted.update(fitted_attributes(self, schema, components))
            models = self._untrained(fitted, data, split, generator, budget, seed)
        callbacks = RoundCallbacks(self, X, lambda: {**fitted, **answering(models)})

        def on_round(history: dict[str, list[float]]) -> bool:
            if self.verbose:
                print(f"[{type(self).__name__}] {describe(history, budget.n_steps)}")
            return callbacks.after_round()

        noise = generator
        if device.type != "cpu":
            noise = torch.Generator(device).manual_seed(generator.initial_seed())
        objective = components["objective"]
        there = [model.to(device) for model in models]
        states = getattr(self, "_optimizer_states", None) if keep and one_pass else None
        results = train_all(
            there, data.to(device), split.to(device), objective, budget, noise, on_round, states
        )
        result = results[0]
        finish = {"goes_on": keep and one_pass, "order": not one_pass, "trim": objective.trim}
        for model in models[::-1]:  # the attributes are those of the first
            fitted.update(finalize_model(model.cpu(), data, split, generator, **finish))
        n_iter = max(1, math.ceil(result.n_steps / math.ceil(len(split.train) / self.batch_size)))
        fitted.update(
            **answering(models),
            n_components_=models[0].latent.n_components,
            _n_features_out=len(models[0].latent.shown),
            objective_=objective,
            n_iter_=n_iter + (self.n_iter_ if keep else 0),
            history_=continued(self.history_, result.history) if keep else result.history,
            _shape=shape,
            _optimizer_states=[r.optimizer_state for r in results] if one_pass else None,
        )
        callbacks.close(fitted)
        self._become(fitted, keep)
        return self

    def _untrained(
        self, fitted: dict[str, Any], data: Rows, split: Split, generator: torch.Generator,
        budget: Budget, seed: int,
    ) -> list[VAE]:  # fmt: skip
        """The models that training starts from, of the size that was asked for."""
        start = partial(initial_model, self, fitted, data, split, generator)
        if self.n_components == "auto":
            how = data, split, resolved(self)["objective"], budget, seed
            fitted["n_components_"] = choose_n_components(start, fitted["n_components_"], *how)
        return [start() for _ in range(self._n_models)]

    def _become(self, fitted: dict[str, Any], keep: bool) -> None:
        """Take on what was fitted, and drop what an earlier fit left."""
        if not keep:
            of_family = self.model_.latent.attributes() if hasattr(self, "model_") else ()
            for name in (*OF_ORDER, "feature_names_in_", *of_family):
                self.__dict__.pop(name, None)
        for name, value in fitted.items():
            setattr(self, name, value)

    def _shaping(self, keep: bool) -> dict[str, str]:
        """The parameters that shape the model; unchanged, if it goes on."""
        values = {name: getattr(self, name, None) for name in SHAPING}
        shape = {k: repr(v.item() if isinstance(v, np.generic) else v) for k, v in values.items()}
        if keep:
            check_unchanged(shape, self._shape, type(self).__name__)
        return shape

    def _take_in(
        self, X: Any, sample_weight: Any, keep: bool, least: int
    ) -> tuple[dict[str, Any], Table, np.ndarray]:
        """Names of the columns, the table without rows of weight 0, and the other weights."""
        table = self._read(X) if keep else read_table(X)
        fitted = {} if keep else fitted_names(table.header())
        weights = check_sample_weight(sample_weight, table.n_rows)
        check_size(int((weights > 0).sum()), len(table.names), least, type(self).__name__)
        if not weights.all():
            table, weights = table.take(np.flatnonzero(weights)), weights[weights > 0]
        return fitted, table, weights

    def _budget(self, n_rows: int, one_pass: bool, keep: bool, has_holes: bool) -> Budget:
        per_epoch = math.ceil(n_rows / self.batch_size)
        n_steps = default_steps(n_rows) if self.max_iter is None else self.max_iter * per_epoch
        return Budget(
            n_steps=per_epoch if one_pass else n_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate_init * (PARTIAL_FIT_RATE if one_pass else 1),
            schedule=not one_pass,
            warms_up=not (one_pass or keep),
            patience=self.n_iter_no_change if self.early_stopping else None,
            tol=self.tol,
            mask_ratio=self._mask_ratio(has_holes),
        )

    def _mask_ratio(self, has_holes: bool) -> float:
        """A linear encoder cannot be right both for whole rows and for rows with holes."""
        if self.mask_ratio == "auto":
            return MASK_RATIO if has_holes and as_layers(self.hidden_layer_sizes) else 0.0
        return float(self.mask_ratio)


def answering(models: Sequence[VAE]) -> dict[str, Any]:
    """The models as they answer: the first, and those beside it."""
    first, *others = map(finished, models)
    return {"model_": first, "_others": others}
