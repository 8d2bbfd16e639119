"""The two noise levels of VAEOutlierDetector: a model of coarse and one of fine noise.

A high noise floor finds rows that are far from all others, and overlooks cells that contradict
their row; noise that is as small as the columns allow finds these.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from skvae._fitted.fitted_model import FittedModel
from skvae._fitted.pool import pool_weights
from skvae._table.reading import Table
from skvae._table.weighted import weighted_quantiles

from .components import is_auto
from .mode import Mode

FINE = "student_t"  # the likelihood of the second model
N_FENCE = 2000  # training rows, at most, that determine weights and the automatic threshold
SHARE = 0.5  # of `max_time`, for each of the two models


def fine_noise(detector: Any, mode: Mode, seed: int) -> Any:
    """A detector of fine noise with the same parameters: a new one, or a copy of the earlier one.

    None: the detector has one model.
    """
    earlier = None if mode.is_new else getattr(detector, "fine_noise_", None)
    if not is_auto(detector.likelihood) or (earlier is None and not mode.is_new):
        return None
    fine = type(detector)() if earlier is None else copy.copy(earlier)
    path = detector.checkpoint
    params = {
        "likelihood": FINE, "calibration_fraction": None, "random_state": seed,
        "checkpoint": None if path is None else f"{os.fspath(path)}.fine",
    }  # fmt: skip
    for name, value in {**detector.get_params(deep=False), **params}.items():
        setattr(fine, name, value)
    return fine


def pool_and_threshold(
    detector: Any,
    models: Sequence[FittedModel],
    table: Table,
    weights: np.ndarray,
    train: np.ndarray,
    calibration: np.ndarray,
) -> dict[str, Any]:
    """The weights of the models, the scores of the calibration rows, and the threshold."""
    settings = detector._settings()

    def scores(rows: np.ndarray) -> np.ndarray:
        part = table.take(rows)
        return np.stack([model.score(part, detector.score_method, settings) for model in models])

    some = calibration
    if not len(calibration):
        some = np.random.default_rng(0).permutation(train)[:N_FENCE]
    each = scores(some)
    pool = pool_weights(each, weights[some])
    found = pool @ each
    if detector.contamination == "auto":
        lower, upper = weighted_quantiles(found, weights[some], [0.25, 0.75])
        offset = lower - 1.5 * (upper - lower)
    else:
        proportion = detector.contamination
        offset = weighted_quantiles(pool @ scores(train), weights[train], proportion)
    # An empty slice has the strides, and so the hash, of its pickle; an empty copy has not.
    return {
        "pool_weights_": pool,
        "calibration_scores_": np.sort(found)[len(found) - len(calibration) :],
        "offset_": float(offset),
    }
