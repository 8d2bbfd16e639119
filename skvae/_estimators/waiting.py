"""Attributes that ``partial_fit`` leaves to the first answer."""

from __future__ import annotations

import threading
from typing import Any

ONE_AT_A_TIME = threading.RLock()
NEVER_WAIT = ("feature_names_in_", "n_features_in_")  # which each call of partial_fit asks for
WAITING = (  # what `Unfinished.attributes` of some estimator or family may give
    "fitted_model_", "explained_variance_", "explained_variance_ratio_", "reconstruction_r2_",
    "active_units_", "kl_per_unit_", "codebook_usage_", "perplexity_",
    "pool_weights_", "calibration_scores_", "offset_",
)  # fmt: skip


class WaitingMixin:
    """Finishes the model where an attribute is asked for that is not there yet.

    The attribute ``_unfinished`` makes the others. What they are does not depend on when, or how
    often between calls of ``partial_fit``, they are asked for.
    """

    def __getattr__(self, name: str) -> Any:
        is_fitted = name.endswith("_") and not name.startswith("_") and name not in NEVER_WAIT
        if is_fitted and self._finish() and name in vars(self):
            return vars(self)[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getstate__(self) -> Any:
        """A pickle or copy is that of the finished model."""
        self._finish()
        return super().__getstate__()

    def _finish(self) -> bool:
        """Set the attributes that wait; whether there are some."""
        with ONE_AT_A_TIME:
            unfinished = vars(self).get("_unfinished")
            if unfinished is None:
                return False
            vars(self).update(unfinished.attributes())
            vars(self).pop("_unfinished", None)
        return True
