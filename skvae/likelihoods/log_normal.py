"""A positive number."""

from __future__ import annotations

from typing import Any

import numpy as np

from .normal import Normal


class LogNormal(Normal):
    r"""Log-normal, :math:`\log x_j | z \sim N(\mu_j(z), \sigma_j^2)`, for positive numbers.

    The column enters the model as its logarithm, whatever ``numeric_transform`` says, and
    ``inverse_transform`` returns the median.

    Parameters
    ----------
    scale : {"conditional", "column", "shared"} or float, default="conditional"
        :math:`\sigma`, as in :class:`Normal`, in units of the standard deviation of log x.
    min_scale : float, default=1e-3
        What a learned :math:`\sigma` does not fall below, as in :class:`Normal`.

    Notes
    -----
    Below the smallest value seen in ``fit`` the logarithm goes on as its tangent, so that a later
    zero or negative value has a small density, not none.

    References
    ----------
    Nazábal et al. (2020), Handling Incomplete Heterogeneous Data using VAEs, arXiv:1807.03653.

    Examples
    --------
    >>> from skvae import LogNormal, VAETransformer
    >>> VAETransformer(likelihood={"income": LogNormal()})
    VAETransformer(likelihood={'income': LogNormal()})
    """

    kinds = frozenset({"continuous"})
    transform = "log"

    def supports(self, x: np.ndarray) -> np.ndarray:
        return x > 0

    def check(self, column: Any) -> None:
        if column.minimum <= 0:
            raise ValueError(
                f"{self!r} describes positive numbers, but column {column.name!r} holds "
                f"{column.minimum:g}. Choose likelihood='student_t', or 'atoms' where zero is "
                "repeated."
            )
