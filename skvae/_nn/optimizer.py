r"""Adam on one tensor.

.. math:: m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
    v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
    \theta \leftarrow \theta - \eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon}

with the moments corrected for their start at 0 (Kingma & Ba 2015, arXiv:1412.6980). The operator is
that of ``torch.optim.Adam(fused=True)``. It is called here because all parameters of a model are
one tensor already, and because the first optimiser of ``torch.optim`` in a process takes a second
to import what it then does not use.
"""

from __future__ import annotations

import torch
from torch import Tensor

BETAS = 0.9, 0.999


class Adam:
    """Descends along gradients; `values` is changed in place.

    Parameters
    ----------
    values : Tensor
        The parameters.
    state : dict, default=None
        What ``state`` of an earlier run holds, to go on from.
    """

    def __init__(self, values: Tensor, state: dict | None = None, eps: float = 1e-8) -> None:
        self.values, self.eps = values, eps
        self.mean, self.square = torch.zeros_like(values), torch.zeros_like(values)
        self.n_steps = torch.zeros((), dtype=torch.float32, device=values.device)
        if state:
            self.mean.copy_(state["mean"])
            self.square.copy_(state["square"])
            self.n_steps += state["n_steps"]

    @property
    def state(self) -> dict:
        return {"mean": self.mean, "square": self.square, "n_steps": int(self.n_steps)}

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: float) -> None:
        self.n_steps += 1
        torch.ops.aten._fused_adam_(
            [self.values], [gradient], [self.mean], [self.square], [], [self.n_steps],
            lr=rate, beta1=BETAS[0], beta2=BETAS[1], eps=self.eps,
            weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip
