r"""The mean of the weights of late steps.

At a constant learning rate weights wander around a minimum. The mean of those of late steps is
nearer to it, whenever training ends,

.. math:: \bar\theta_t = \Big(1 - \frac{\eta + 1}{t + \eta}\Big) \bar\theta_{t-1}
    + \frac{\eta + 1}{t + \eta}\, \theta_t,

in which the last of :math:`\eta + 1` equal parts of the steps have most of the weight (Shamir &
Zhang 2013, Stochastic Gradient Descent for Non-smooth Optimization, arXiv:1212.1824).
"""

from __future__ import annotations

import torch
from torch import Tensor

ETA = 8.0


class Average:
    """The mean of weights, which are changed in place by an optimizer.

    Parameters
    ----------
    weights : Tensor
        The mean so far.
    state : dict
        As :meth:`ending` left it: the weights themselves, without which they are the mean, and the
        number of steps that the mean is of.
    """

    @torch.no_grad()
    def __init__(self, weights: Tensor, state: dict) -> None:
        self.weights, self.mean = weights, weights.clone()
        self.n_averaged = int(state.get("n_averaged", 0))
        if "weights" in state:
            weights.copy_(torch.as_tensor(state["weights"]))

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights after a step."""
        self.n_averaged += 1
        self.mean.lerp_(self.weights, (ETA + 1) / (self.n_averaged + ETA))

    @torch.no_grad()
    def ending(self) -> dict:
        """What to go on from; the mean takes the place of the weights."""
        state = {"weights": self.weights.cpu().numpy().copy(), "n_averaged": self.n_averaged}
        self.weights.copy_(self.mean)
        return state
