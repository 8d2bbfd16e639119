"""An objective without the rows that have the lowest bounds."""

from __future__ import annotations

from typing import ClassVar

import torch
from sklearn.base import clone
from torch import Tensor

from skvae._nn.draw import Draw
from skvae._validation import a_real
from skvae.likelihoods import Likelihood

from ._base import Objective
from .elbo import ELBO


class Trimmed(Objective):
    r"""Objective without the rows that have the lowest bounds, for tables with outliers,

    .. math:: \frac{1}{|S|} \sum_{n \in S} L(x_n), \quad
        S = \{n : L(x_n) \text{ is not among the lowest } \alpha \text{ of the batch}\}.

    Networks learn common rows first and outliers last (the inlier memorization effect), so that
    most of the rows that are left out of each batch are outliers. The rows that are fitted worst
    are not used as exemplars of the aggregated prior either, because an exemplar increases the
    density at its own position.

    Parameters
    ----------
    fraction : float, default=0.1
        :math:`\alpha`, the proportion of the rows that are left out.
    objective : Objective, default=None
        The objective of the other rows. None: ``ELBO()``.

    References
    ----------
    Rousseeuw (1984), Least Median of Squares Regression (trimmed squares). Kim et al. (2023),
    ODIM: Outlier Detection via Likelihood of Under-Fitted Generative Models, arXiv:2301.04257.
    Cho et al. (2024), ALTBI: Constructing Improved Outlier Detection Models via Optimization of
    Inlier-Memorization Effect, arXiv:2408.09791.

    Examples
    --------
    >>> from skvae import Trimmed
    >>> Trimmed(0.05)
    Trimmed(fraction=0.05)
    """

    _constraints: ClassVar = {
        "fraction": a_real("[0, 1)", least=0, below=1),
        "objective": ("None or an ELBO or IWAE object",
                      lambda v: v is None or (isinstance(v, Objective)
                                              and not isinstance(v, Trimmed))),
    }  # fmt: skip

    def __init__(self, fraction: float = 0.1, *, objective: Objective | None = None) -> None:
        self.fraction = fraction
        self.objective = objective

    @property
    def inner(self) -> Objective:
        """The objective of the other rows, with its default resolved."""
        return ELBO() if self.objective is None else self.objective

    @property
    def n_samples(self) -> int:  # type: ignore[override]
        return self.inner.n_samples

    @property
    def detach_z(self) -> bool:  # type: ignore[override]
        return self.inner.detach_z

    @property
    def supports_codes(self) -> bool:  # type: ignore[override]
        return self.inner.supports_codes

    @property
    def supports_vmap(self) -> bool:  # type: ignore[override]
        return self.inner.supports_vmap

    @property
    def warmup(self) -> float:  # type: ignore[override]
        return self.inner.warmup

    def neighbor_weight(self, n_components: int) -> float:
        return self.inner.neighbor_weight(n_components)

    @property
    def n_neighbors(self) -> int:  # type: ignore[override]
        return self.inner.n_neighbors

    @property
    def trim(self) -> float:  # type: ignore[override]
        return self.fraction

    @property
    def likelihood(self) -> Likelihood | None:  # type: ignore[override]
        return self.inner.likelihood

    def bound(self, log_px: Tensor, draw: Draw, progress: float) -> Tensor:
        bound = self.inner.bound(log_px, draw, progress)
        worst_kept = bound.detach().sort().values[int(self.fraction * len(bound))]
        kept = bound.detach() >= worst_kept
        return torch.where(kept, bound, 0.0) / kept.to(bound).mean()

    def with_warmup(self, warmup: float) -> Trimmed:
        if warmup == self.inner.warmup:
            return self
        objective: Trimmed = clone(self)
        return objective.set_params(objective=self.inner.with_warmup(warmup))
