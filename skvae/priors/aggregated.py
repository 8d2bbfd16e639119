"""The aggregated posterior as prior."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skvae._nn.densities import log_mixture, log_normals, shifted_exp
from skvae._nn.optimizer import Adam
from skvae._validation import an_int

from ._base import Prior, PriorModule
from .standard_normal import StandardNormal

RATE, N_STEPS = 0.15, 40
MAX_QUERIES = 500


class Aggregated(Prior):
    r"""The aggregated posterior over M exemplars, widened, beside a broad guard,

    .. math:: p(z) = (1 - w) \sum_{m=1}^M \pi_m\,
        N(z; \mu(x_m), \mathrm{diag}(\sigma(x_m)^2 + b^2)) + w\, p_\text{guard}(z),

    with shares :math:`\pi_m` by how often a row is there.

    Training sees the guard alone. Afterwards the exemplars are set to the posteriors of rows of
    the table, and the bandwidths b (one a dimension) and the weight w are chosen by
    leave-one-out likelihood: no exemplar vouches for itself.

    Parameters
    ----------
    n_exemplars : int, default=2000
        M, at most; they are drawn from the different rows that were trained on.
    guard : Prior, default=None
        The prior in training and, afterwards, the component that keeps p(z) proper off the data.
        None: ``StandardNormal()``.

    Notes
    -----
    Exemplars are posterior means and widths, never rows; decoded, they resemble rows all the
    same. Where that matters, ``Mixture`` keeps clusters only. A row that was an exemplar scores
    somewhat higher than a new one; the fitted prior measures by how much, on average and in nats:
    ``model_.prior.exemplar_bias``. ``partial_fit`` adds its rows to the exemplars, and thins them
    out when they are too many.

    References
    ----------
    Tomczak & Welling (2018), VAE with a VampPrior, arXiv:1705.07120. Norouzi, Fleet & Norouzi
    (2020), Exemplar VAE, arXiv:2004.04795.

    Examples
    --------
    >>> from skvae.priors import Aggregated
    >>> Aggregated(n_exemplars=500)
    Aggregated(n_exemplars=500)
    """

    _constraints: ClassVar = {
        "n_exemplars": an_int(2),
        "guard": ("None or a StandardNormal, Mixture or FlowPrior object",
                  lambda v: v is None or (isinstance(v, Prior) and not v.over_codes
                                          and not isinstance(v, Aggregated))),
    }  # fmt: skip

    def __init__(self, n_exemplars: int = 2000, *, guard: Any = None) -> None:
        self.n_exemplars = n_exemplars
        self.guard = guard

    def build(self, n_components: int, generator: torch.Generator) -> PriorModule:
        guard = StandardNormal() if self.guard is None else self.guard
        return _AggregatedModule(guard.build(n_components, generator), self.n_exemplars)


class _AggregatedModule(PriorModule):
    mean: Tensor
    var: Tensor
    weight: Tensor
    bandwidth: Tensor
    guard_logit: Tensor

    def __init__(self, guard: PriorModule, n_exemplars: int) -> None:
        super().__init__()
        self.guard, self.n_exemplars = guard, n_exemplars
        self.width = guard.width
        self.n_posteriors = max(n_exemplars, guard.n_posteriors)
        self.exemplar_bias = 0.0
        for name in ("mean", "var", "weight", "bandwidth", "guard_logit"):
            self.register_buffer(name, torch.zeros(0))

    @property
    def supports_reordering(self) -> bool:  # type: ignore[override]
        return self.guard.supports_reordering

    @property
    def is_standard_normal(self) -> bool:  # type: ignore[override]
        return self.guard.is_standard_normal and not self.has_exemplars

    def reorder(self, order: Tensor, sign: Tensor) -> None:
        self.guard.reorder(order, sign)
        if len(self.mean):
            self.mean, self.var = self.mean[:, order] * sign, self.var[:, order]
            self.bandwidth = self.bandwidth[order]

    @property
    def has_exemplars(self) -> bool:
        """Whether p(z) is the aggregated posterior: not while the nets are trained."""
        return len(self.mean) > 0 and not self.training

    def log_prob(self, z: Tensor) -> Tensor:
        if not self.has_exemplars:
            return self.guard.log_prob(z)
        log_proportions = (self.weight / self.weight.sum()).log()
        near = log_mixture(z, log_proportions, self.mean, self._log_var(self.bandwidth))
        return _mixed(near, self.guard.log_prob(z), self.guard_logit)

    def _log_var(self, bandwidth: Tensor) -> Tensor:
        return (self.var + bandwidth.square()).log()

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        return None if self.has_exemplars else self.guard.kl(mean, log_var)

    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        broad = self.guard.sample(n_samples, generator)
        if not self.has_exemplars:
            return broad
        m = torch.multinomial(self.weight, n_samples, replacement=True, generator=generator)
        noise = torch.randn(broad.shape, generator=generator, dtype=broad.dtype)
        near = self.mean[m] + (0.5 * self._log_var(self.bandwidth)).exp()[m] * noise
        u = torch.rand((n_samples, 1), generator=generator, dtype=broad.dtype)
        return torch.where(u < torch.sigmoid(self.guard_logit), broad, near)

    def initialize(self, mean: Tensor, log_var: Tensor, generator: torch.Generator) -> None:
        self.guard.initialize(mean, log_var, generator)

    def finalize(
        self, mean: Tensor, log_var: Tensor, weight: Tensor, generator: torch.Generator,
        *, goes_on: bool = False,
    ) -> None:  # fmt: skip
        var, weight = log_var.exp(), weight.to(mean)
        if goes_on and len(self.mean):
            mean, var = torch.cat([mean, self.mean]), torch.cat([var, self.var])
            weight = torch.cat([weight, self.weight])
        order = torch.randperm(len(mean), generator=generator)[: self.n_exemplars]
        if len(order) < 2:
            return
        self.mean, self.var, self.weight = mean[order], var[order], weight[order]
        noise = torch.randn(self.mean.shape, generator=generator)
        z = (self.mean + self.var.sqrt() * noise)[:MAX_QUERIES]
        self._choose_bandwidth(z, self.mean.std(0))

    @torch.no_grad()
    def _choose_bandwidth(self, z: Tensor, spread: Tensor) -> None:
        """Maximise the leave-one-out likelihood of draws; the i-th comes from exemplar i.

        Equal rows are one exemplar of more weight, and so do not vouch for each other. The slopes
        are written out, which takes half the time: with the shares r_nm of the exemplars in a draw,
        ∂/∂log b_j = b_j² Σ_nm r_nm ((z_nj − μ_mj)² / v_mj² − 1 / v_mj).
        """
        query = self.weight[: len(z)]
        log_weight = self.weight.log() - (self.weight.sum() - query).log().unsqueeze(1)
        share, itself = query / query.sum(), torch.arange(len(z))
        log_guard = self.guard.log_prob(z)
        moments = torch.cat([z.square(), z, torch.ones_like(z[:, :1])], dim=1)
        sizes = [z.shape[1], z.shape[1], 1]
        silverman = len(self.mean) ** (-1 / (len(spread) + 4))
        start = (silverman * spread.clamp(min=1e-3)).log()
        both = torch.cat([start, start.new_tensor([-3.0])])
        log_bandwidth, guard_logit = both[:-1], both[-1]
        optimizer = Adam(both)
        for _ in range(N_STEPS):
            terms, total, others = self._left_out(z, log_bandwidth, log_weight, itself)
            near = others + nn.functional.logsigmoid(-guard_logit)
            is_near = torch.sigmoid(near - log_guard - nn.functional.logsigmoid(guard_logit))
            shares = (share * is_near / total).unsqueeze(1)  # of a draw, over those of its terms
            second, first, total = (terms.T @ (shares * moments)).split(sizes, 1)
            squares = second - 2 * first * self.mean + total * self.mean.square()
            precision, b_squared = (
                (-self._log_var(log_bandwidth.exp())).exp(),
                (2 * log_bandwidth).exp(),
            )
            of_bandwidth = b_squared * (squares * precision**2 - total * precision).sum(0)
            of_guard = (share * (torch.sigmoid(-guard_logit) - is_near)).sum()
            optimizer.step(-torch.cat([of_bandwidth, of_guard.view(1)]), RATE)
        *_, others = self._left_out(z, log_bandwidth, log_weight, itself)
        left_out = (share * _mixed(others, log_guard, guard_logit)).sum()
        self.bandwidth, self.guard_logit = log_bandwidth.exp(), guard_logit.clone()
        self.eval()
        self.exemplar_bias = float((share * self.log_prob(z)).sum() - left_out)

    def _left_out(
        self, z: Tensor, log_bandwidth: Tensor, log_weight: Tensor, itself: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """π_m N(z_n; …) of all exemplars but the draw's own, and log Σ of them.

        The terms, (n, M), and their sums, (n,), are relative to the greatest of a draw.
        """
        each = log_normals(z, self.mean, self._log_var(log_bandwidth.exp())) + log_weight
        each[itself, itself] = -torch.inf
        terms, top = shifted_exp(each)
        terms[itself, itself] = 0.0
        total = terms.sum(-1)
        return terms, total, total.log() + top.squeeze(-1)


def _mixed(log_near: Tensor, log_broad: Tensor, logit: Tensor) -> Tensor:
    """log((1 − w) near + w broad) with w = s(logit)."""
    log_w, log_rest = nn.functional.logsigmoid(logit), nn.functional.logsigmoid(-logit)
    return torch.logaddexp(log_near + log_rest, log_broad + log_w)
