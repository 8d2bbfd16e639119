"""The score-function estimator of gradients and its baseline."""

from __future__ import annotations

from torch import Tensor


def score_function(signal: Tensor, log_qz: Tensor) -> Tensor:
    r"""Zero, with the gradient :math:`\text{signal} \cdot \nabla_\phi \log q(z|x)`.

    Parameters
    ----------
    signal, log_qz : Tensor of shape (n_samples, n_rows)

    Returns
    -------
    zero : Tensor of shape (n_samples, n_rows)
    """
    return signal.detach() * (log_qz - log_qz.detach())


def leave_one_out_mean(signal: Tensor) -> Tensor:
    """Mean of the other draws of the row or, with one draw, of the other rows.

    It is independent of the draw, so that as a baseline it does not bias the gradient.

    Parameters
    ----------
    signal : Tensor of shape (n_samples, n_rows)

    Returns
    -------
    mean : Tensor of shape (n_samples, n_rows)
    """
    dim = 0 if signal.shape[0] > 1 else 1
    n = signal.shape[dim]
    return (signal.sum(dim, keepdim=True) - signal) / max(n - 1, 1)
