"""The parameters that the estimators share, and what is legal for them."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import torch
from sklearn.base import BaseEstimator

from skvae._fitted.fitted_model import FittedModel
from skvae._nn.networks import ACTIVATIONS
from skvae._validation import (
    Constraint,
    a_bool,
    a_real,
    an_int,
    is_int,
    is_real,
    layers,
    one_of,
    or_none,
)
from skvae.objectives import ELBO


class VAEParameters(BaseEstimator):
    """Declarations: the parameters, and the fitted attributes that fit itself reads again."""

    fitted_model_: FittedModel
    n_components: Any
    latent: Any
    prior: Any
    likelihood: Any
    objective: Any
    hidden_layer_sizes: Any
    activation: str
    init: str
    numeric_transform: Any
    categorical_features: Any
    handle_unknown: str
    max_categories: int | None
    min_frequency: int | float | None
    mask_ratio: str | float
    informative_missing: Any
    constraints: Any
    batch_size: int
    learning_rate_init: float
    max_iter: int | None
    max_time: float | None
    max_memory: float
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    warm_start: bool
    verbose: bool | int
    random_state: Any
    device: Any
    precision: str
    checkpoint: Any
    checkpoint_every: float
    n_importance_samples: int
    n_refinement_steps: int
    n_components_: int
    n_iter_: int
    history_: dict[str, list[float]]
    _shape: dict[str, Any]
    _optimizer_states: list[dict] | None
    _is_interrupted: bool
    _n_features_out: int

    _has_lattices: ClassVar[bool] = False  # whether numbers may be rounded to lattices
    _chooses_maps: ClassVar[bool] = False  # whether "auto" may be the quantile map
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
        "max_time": or_none(a_real("(0, inf)", above=0)),
        "max_memory": a_real("[16, inf)", least=16),
        "early_stopping": a_bool(),
        "validation_fraction": a_real("(0, 1)", above=0, below=1),
        "n_iter_no_change": an_int(1),
        "tol": a_real("[0, inf)", least=0),
        "warm_start": a_bool(),
        "verbose": a_bool(or_int=True),
        "precision": one_of("double", "single"),
        "checkpoint": ("None or a path", lambda v: v is None or isinstance(v, (str, os.PathLike))),
        "checkpoint_every": a_real("[0, inf)", least=0),
        "device": ("a name of a device of torch", lambda v: isinstance(v, (str, torch.device))),
        "n_importance_samples": an_int(1),
        "n_refinement_steps": an_int(0),
    }
