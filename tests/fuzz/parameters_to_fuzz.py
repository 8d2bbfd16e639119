"""Strategies of parameters: legal ones, which may not go together, and illegal ones."""

from __future__ import annotations

import components
import numpy as np
from hypothesis import strategies as st

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 1, "n_importance_samples": 8, "random_state": 0}
TRANSFORMS = ["auto", "standard", "robust", "power", "quantile", "log"]

# Each is left out, which means the default, or drawn from these.
SHARED = {
    "n_components": st.sampled_from([None, 1, 2, 5, "auto"]),
    "latent": st.sampled_from(
        ["gaussian", "flow", "ladder", "quantized", "finite_scalar", *components.LATENTS]
    ),
    "prior": st.sampled_from(["auto", "standard_normal", "mixture", "flow", *components.PRIORS]),
    "likelihood": st.sampled_from(["auto", *components.LIKELIHOODS]),
    "objective": st.sampled_from(["elbo", "embedding", "iwae", "trimmed", *components.OBJECTIVES]),
    "hidden_layer_sizes": st.sampled_from([(), 4, (8,), (8, 4)]),
    "activation": st.sampled_from(["silu", "relu", "tanh", "identity", "gelu"]),
    "init": st.sampled_from(["pca", "random"]),
    "numeric_transform": st.sampled_from(TRANSFORMS),
    "categorical_features": st.sampled_from([None, [0], [-1], [True], []]),
    "handle_unknown": st.sampled_from(["infrequent_if_exist", "error"]),
    "max_categories": st.sampled_from([None, 2, 3]),
    "min_frequency": st.sampled_from([None, 1, 5, 0.2]),
    "mask_ratio": st.sampled_from(["auto", 0.0, 0.5, 1.0]),
    "informative_missing": st.sampled_from([None, "all", [0]]),
    "batch_size": st.sampled_from([1, 7, 256]),
    "learning_rate_init": st.sampled_from([1e-12, 1e-2, 1.0]),
    "max_iter": st.sampled_from([1, 2, 3]),
    "early_stopping": st.booleans(),
    "validation_fraction": st.sampled_from([0.01, 0.5, 0.99]),
    "n_iter_no_change": st.sampled_from([1, 20]),
    "tol": st.sampled_from([0.0, 1e-4, 1e9]),
    "warm_start": st.booleans(),
    "random_state": st.sampled_from([0, 2**32 - 1]),
    "precision": st.sampled_from(["double", "single"]),
    "n_importance_samples": st.sampled_from([1, 3, 8, 17]),
    "n_refinement_steps": st.sampled_from([0, 1, 3]),
}
OF_TRANSFORMER = {**SHARED, "whiten": st.booleans()}
OF_DETECTOR = {
    **SHARED,
    "objective": st.sampled_from(["auto", "elbo", "trimmed", *components.OBJECTIVES]),
    "n_estimators": st.sampled_from([1, 2, 3]),
    "score_method": st.sampled_from(
        ["density", "density_per_cell", "joint", "reconstruction", "pseudo_likelihood",
         "mean_log_density"]),
    "contamination": st.sampled_from(["auto", 0.01, 0.5]),
    "calibration_fraction": st.sampled_from([None, 0.1, 0.5, 0.9]),
}  # fmt: skip


@st.composite
def some_of(draw, strategies, most=4) -> dict:
    """A few parameters away from their defaults: with all at once most cases would be refused."""
    names = draw(st.lists(st.sampled_from(sorted(strategies)), unique=True, max_size=most))
    return {name: draw(strategies[name]) for name in names}


@st.composite
def transformers(draw, most=4):
    return VAETransformer(**{**QUICK, **draw(some_of(OF_TRANSFORMER, most))})


@st.composite
def detectors(draw, most=4):
    return VAEOutlierDetector(**{**QUICK, **draw(some_of(OF_DETECTOR, most))})


@st.composite
def imputers(draw):
    return VAEImputer(
        draw(transformers(most=2)),
        strategy=draw(st.sampled_from(["mean", "median", "most_frequent"])),
        missing_values=draw(st.sampled_from([np.nan, None, -999.0, 0, "ash"])),
        sample_posterior=draw(st.booleans()),
        add_indicator=draw(st.booleans()),
        keep_empty_features=draw(st.booleans()),
        random_state=0,
    )


ODD_VALUES = [
    None, True, False, 0, 1, -1, 2, 3, 0.0, 0.5, 1.0, -0.5, 1e-320, 1e400, float("nan"),
    "", "auto", "a", "normal", "gaussian", "all", (), (0,), [], [1, 2], ["a"], {}, {"a": 1},
    {"x0": "normal"}, np.nan, np.int64(2), np.float32(0.5), np.array([1, 2]), np.array([]),
    np.bool_(True), b"a", 1j, object, VAETransformer, ValueError, {1, 2}, range(3),
]  # fmt: skip


@st.composite
def weights(draw, n: int):
    """Sample weights of n rows, or None."""
    kind = draw(st.sampled_from([None, None, "ones", "integers", "zeros", "real", "tiny", "huge"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return {
        None: None,
        "ones": np.ones(n),
        "integers": rng.integers(1, 4, n),
        "zeros": rng.integers(0, 2, n),
        "real": rng.uniform(0.1, 2, n),
        "tiny": rng.uniform(1e-12, 1, n) ** 3,
        "huge": rng.uniform(0.1, 2, n) * 1e12,
    }[kind]
