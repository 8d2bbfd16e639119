"""The log-normal likelihood of positive numbers."""

from __future__ import annotations

import numpy as np

from ._base import FittedColumn
from .normal import Normal


class LogNormal(Normal):
    r"""Log-normal, :math:`\log x_j | z \sim N(\mu_j(z), \sigma_j^2)`, for positive numbers.

    The column enters the model as its logarithm, regardless of ``numeric_transform``, and
    ``inverse_transform`` returns the median.

    Parameters
    ----------
    scale : {"conditional", "column", "shared"} or float, default="conditional"
        :math:`\sigma`, as in :class:`Normal`, in units of the standard deviation of log x.
    min_scale : float, default=1e-3
        Lower bound of a learned :math:`\sigma`, as in :class:`Normal`.

    Notes
    -----
    Below the smallest value seen in ``fit`` the logarithm is continued by its tangent, so that
    zero or negative values of later rows have a small but positive density.

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

    def check(self, column: FittedColumn) -> None:
        if column.minimum <= 0:
            raise ValueError(
                f"{self!r} describes positive numbers, but column {column.name!r} holds "
                f"{column.minimum:g}. Choose likelihood='student_t', or 'atoms' where zero is "
                "repeated."
            )
