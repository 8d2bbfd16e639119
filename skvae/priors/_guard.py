"""What priors share that are set after training, beside a guard that is trained with the model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mixed(log_own: Tensor, log_guard: Tensor, logit: Tensor) -> Tensor:
    """log((1 − w) p_own + w p_guard) with w = s(logit)."""
    log_w, log_rest = nn.functional.logsigmoid(logit), nn.functional.logsigmoid(-logit)
    return torch.logaddexp(log_own + log_rest, log_guard + log_w)


def is_clear(gain: Tensor, proportion: Tensor) -> bool:
    """Whether the weighted mean of a gain is more than one standard error."""
    mean = (proportion * gain).sum()
    variance = (proportion.square() * (gain - mean).square()).sum()
    return bool(mean > variance.sqrt())
