"""The two noise levels of VAEOutlierDetector: a model of coarse and one of fine noise.

A high noise floor finds rows that are far from all others, and overlooks cells that contradict
their row; noise that is as small as the columns allow finds these.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from skvae._fitted.fitted_model import FittedModel
from skvae._fitted.pool import pool_weights
from skvae._table.reading import Table
from skvae._table.weighted import weighted_quantiles

from .components import is_auto
from .mode import Mode
from .passes import Unfinished

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
    fine = type(detector)()
    if earlier is not None:  # copy.copy would finish what partial_fit has left
        vars(fine).update(vars(earlier))
    path = detector.checkpoint
    params = {
        "likelihood": FINE, "calibration_fraction": None, "random_state": seed,
        "checkpoint": None if path is None else f"{os.fspath(path)}.fine",
    }  # fmt: skip
    for name, value in {**detector.get_params(deep=False), **params}.items():
        setattr(fine, name, value)
    return fine


def fitted_fine_noise(detector: Any, fine: Any, attributes: dict[str, Any], data: tuple) -> Any:
    """The second detector, fitted; where the first was interrupted, the one that was there."""
    if fine is not None and attributes["_is_interrupted"]:
        return None if data[3].is_new else detector.fine_noise_
    return fine if fine is None else fine._fit_fine_noise(*data)


Weighted = tuple[Table, np.ndarray]  # rows, and the weight of each


def pool_and_threshold(
    detector: Any, models: Sequence[FittedModel], train: Weighted, calibration: Weighted
) -> dict[str, Any]:
    """The weights of the models, the scores of the calibration rows, and the threshold."""
    settings = detector._settings()

    def scores(table: Table) -> np.ndarray:
        return np.stack([model.score(table, detector.score_method, settings) for model in models])

    (some, weights), n_calibration = calibration, calibration[0].n_rows
    if not n_calibration:
        rows = np.random.default_rng(0).permutation(train[0].n_rows)[:N_FENCE]
        some, weights = train[0].take(rows), train[1][rows]
    each = scores(some)
    pool = pool_weights(each, weights)
    found = pool @ each
    if detector.contamination == "auto":
        lower, upper = weighted_quantiles(found, weights, [0.25, 0.75])
        offset = lower - 1.5 * (upper - lower)
    else:
        offset = weighted_quantiles(pool @ scores(train[0]), train[1], detector.contamination)
    # An empty slice has the strides, and so the hash, of its pickle; an empty copy has not.
    return {
        "pool_weights_": pool,
        "calibration_scores_": np.sort(found)[len(found) - n_calibration :],
        "offset_": float(offset),
    }


@dataclass
class UnfinishedPool:
    """What ``partial_fit`` of a detector has left: that of its models, and the threshold.

    Attributes
    ----------
    detector : VAEOutlierDetector
        A copy with the parameters of the call.
    first : Unfinished
        Of the first model.
    fine : VAEOutlierDetector or None
        That of the second.
    calibration : tuple
        Rows that were held out of the last call, with their weights.
    """

    detector: Any
    first: Unfinished
    fine: Any
    calibration: Weighted

    @classmethod
    def of(cls, detector: Any, attributes: dict, fine: Any, calibration: Weighted) -> Self:
        """Of a call that has left some attributes of the first model."""
        own = type(detector)(**detector.get_params(deep=False))
        return cls(own, attributes["_unfinished"], fine, calibration)

    def __getattr__(self, name: str) -> Any:
        if name in ("models", "schema", "relations"):  # training goes on from those of the first
            return getattr(self.first, name)
        raise AttributeError(name)

    def attributes(self) -> dict[str, Any]:
        """The attributes that wait for it."""
        attributes = self.first.attributes()
        models = [attributes["fitted_model_"]]
        models += [] if self.fine is None else [self.fine.fitted_model_]
        rows = self.first.seen.rows
        train = rows.table(self.first.schema.layout), rows.estimates()
        return {**attributes, **pool_and_threshold(self.detector, models, train, self.calibration)}
