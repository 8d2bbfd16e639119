"""The aggregated posterior as prior."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skvae._nn.densities import log_mixture, log_normals, shifted_exp
from skvae._nn.noise import multinomial, normal, priority, uniform
from skvae._nn.optimizer import Adam
from skvae._validation import a_real, an_int

from ._base import MixtureOfGaussians, Prior, PriorModule
from ._guard import is_clear, mixed
from .mixture import Mixture

RATE, N_STEPS = 0.15, 40
DENSE = 0.3  # quantile of the density above which improbable exemplars are a cluster
NARROW = 4.0  # difference of the logarithms of two initial bandwidths
MAX_QUERIES = 500
MIN_SHRINKAGE = 0.25  # of the variance of the exemplars' means


class Aggregated(Prior):
    r"""Aggregated posterior of M exemplars, a kernel density estimate, mixed with a broad prior,

    .. math:: p(z) = (1 - w) \sum_{m=1}^M \pi_m\,
        N(z; \bar\mu + a(\mu(x_m) - \bar\mu), \mathrm{diag}(\sigma(x_m)^2 + b^2))
        + w\, p_\text{guard}(z),

    with proportions :math:`\pi_m` by the frequency of the rows and, for each dimension,
    :math:`a^2 = 1 - b^2 / \mathrm{Var}\,\mu(x_m)`, at least 1/4: without it drawn codes would have
    a larger variance than those of the rows.

    During training the prior is the guard alone. Afterwards the exemplars are set to the posteriors
    of rows of the table, and the bandwidths b (one for each dimension) and the weight w maximize
    the leave-one-out likelihood, in which one repetition of a row does not contribute to the
    density of draws from its own posterior. If this is not clearly higher than the likelihood of
    the guard alone, the prior is the guard.

    Parameters
    ----------
    n_exemplars : int, default=2000
        Maximum number M of exemplars. They are a uniform sample of the distinct rows of the
        training data.
    guard : Prior, default=None
        The prior during training and, afterwards, a component that keeps p(z) positive far from
        the exemplars. None: ``Mixture()``.
    trim : float, default=0.0
        Proportion of the exemplars, those with the lowest density under the guard, that are left
        out if they are dense among themselves: a cluster of outliers, in which each raises the
        density around the others. Exemplars in the tails of the guard are kept.

    Notes
    -----
    Exemplars are means and variances of posteriors, not rows, but their decoded values resemble
    rows. If the data are confidential, ``Mixture`` is preferable, which stores clusters only. The
    log-density of an exemplar is higher than that of a new row; ``model_.prior.exemplar_bias``
    estimates the mean difference in nats.

    The exemplars are the rows with the smallest values of a hash of their contents (bottom-k
    sampling). After several calls of ``partial_fit`` they are a uniform sample of the distinct rows
    of all batches, whatever their order and repetitions, and the proportions are the exact relative
    frequencies of the sampled rows.

    References
    ----------
    West (1993), Approximating Posterior Distributions by Mixtures, for the variance of a kernel
    density. Tomczak & Welling (2018), VAE with a VampPrior, arXiv:1705.07120. Norouzi, Fleet &
    Norouzi (2020), Exemplar VAE, arXiv:2004.04795. Cohen & Kaplan (2007), Summarizing Data using
    Bottom-k Sketches.

    Examples
    --------
    >>> from skvae.priors import Aggregated
    >>> Aggregated(n_exemplars=500)
    Aggregated(n_exemplars=500)
    """

    _constraints: ClassVar = {
        "n_exemplars": an_int(2),
        "trim": a_real("[0, 1)", least=0, below=1),
        "guard": ("None or a StandardNormal, Mixture or FlowPrior object",
                  lambda v: v is None or (isinstance(v, Prior) and not v.over_codes
                                          and not isinstance(v, Aggregated))),
    }  # fmt: skip

    def __init__(self, n_exemplars: int = 2000, *, guard: Any = None, trim: float = 0.0) -> None:
        self.n_exemplars = n_exemplars
        self.guard = guard
        self.trim = trim

    def build(self, n_components: int, generator: torch.Generator) -> PriorModule:
        guard = Mixture() if self.guard is None else self.guard
        return AggregatedModule(guard.build(n_components, generator), self.n_exemplars, self.trim)


class AggregatedModule(PriorModule):
    mean: Tensor
    var: Tensor
    weight: Tensor
    bandwidth: Tensor
    guard_logit: Tensor
    key: Tensor

    def __init__(self, guard: PriorModule, n_exemplars: int, trim: float) -> None:
        super().__init__()
        self.guard, self.n_exemplars, self.trim = guard, n_exemplars, trim
        self.width = guard.width
        self.n_posteriors = max(n_exemplars, guard.n_posteriors)
        self.exemplar_bias = 0.0
        self.uses_exemplars = False
        for name in ("mean", "var", "weight", "bandwidth", "guard_logit"):
            self.register_buffer(name, torch.zeros(0))
        # Keys of the rows of the exemplars, which are sorted by the priority of the keys.
        self.register_buffer("key", torch.zeros(0, dtype=torch.long))

    def get_extra_state(self) -> Tensor:
        """What ``state_dict`` has beside the parameters and buffers."""
        return torch.tensor([float(self.uses_exemplars), self.exemplar_bias], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        uses_exemplars, self.exemplar_bias = state.tolist()
        self.uses_exemplars = bool(uses_exemplars)

    @property
    def supports_reordering(self) -> bool:  # type: ignore[override]
        return self.guard.supports_reordering

    def reorder(self, order: Tensor, sign: Tensor) -> None:
        self.guard.reorder(order, sign)
        if len(self.mean):
            self.mean, self.var = self.mean[:, order] * sign, self.var[:, order]
            self.bandwidth = self.bandwidth[order]

    @property
    def has_exemplars(self) -> bool:
        """Whether p(z) is the aggregated posterior: not during training."""
        return self.uses_exemplars and not self.training

    def log_prob(self, z: Tensor) -> Tensor:
        if not self.has_exemplars:
            return self.guard.log_prob(z)
        each = self._exemplars()
        log_exemplars = log_mixture(z, each.log_proportions, each.mean, each.log_var)
        return mixed(log_exemplars, self.guard.log_prob(z), self.guard_logit)

    def _exemplars(self) -> MixtureOfGaussians:
        log_proportions = (self.weight / self.weight.sum()).log()
        return MixtureOfGaussians(log_proportions, self.centers(), self._log_var(self.bandwidth))

    def centers(self) -> Tensor:
        """Means of the components: μ(x_m), drawn together so that b adds no variance."""
        proportion = (self.weight / self.weight.sum()).unsqueeze(1)
        middle = (proportion * self.mean).sum(0)
        spread = (proportion * (self.mean - middle).square()).sum(0)
        shrinkage = 1 - self.bandwidth.square() / spread.clamp(min=1e-12)
        return middle + shrinkage.clamp(min=MIN_SHRINKAGE).sqrt() * (self.mean - middle)

    def as_mixture(self) -> MixtureOfGaussians | None:
        guard = self.guard.as_mixture()
        if guard is None or not self.has_exemplars:
            return guard
        log_weights = [nn.functional.logsigmoid(-self.guard_logit),
                       nn.functional.logsigmoid(self.guard_logit)]  # fmt: skip
        return MixtureOfGaussians.weighted(log_weights, [self._exemplars(), guard])

    def _log_var(self, bandwidth: Tensor) -> Tensor:
        return (self.var + bandwidth.square()).log()

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        return None if self.has_exemplars else self.guard.kl(mean, log_var)

    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        from_guard = self.guard.sample(n_samples, generator)
        if not self.has_exemplars:
            return from_guard
        m = multinomial(self.weight, n_samples, generator)
        noise = normal(from_guard.shape, generator, from_guard)
        from_exemplars = self.centers()[m] + (0.5 * self._log_var(self.bandwidth)).exp()[m] * noise
        u = uniform((n_samples, 1), generator, from_guard)
        return torch.where(u < torch.sigmoid(self.guard_logit), from_guard, from_exemplars)

    def initialize(self, mean: Tensor, log_var: Tensor, generator: torch.Generator) -> None:
        self.guard.initialize(mean, log_var, generator)

    def finalize(
        self,
        mean: Tensor,
        log_var: Tensor,
        weight: Tensor,
        generator: torch.Generator,
        *,
        keys: Tensor | None = None,
        copies: bool = True,
        continued: bool = False,
    ) -> None:
        if keys is None:
            keys = torch.randint(-(2**63), 2**63 - 1, (len(mean),), generator=generator)
        merged = [keys, mean, log_var.exp(), weight.to(mean)]
        if continued and len(self.mean):
            old = (self.key, self.mean, self.var, self.weight)
            merged = [torch.cat(pair) for pair in zip(merged, old, strict=True)]
        # The first occurrence of a key has the newest posterior.
        found, index = torch.unique(merged[0], return_inverse=True)
        position = torch.arange(len(index))
        first = torch.full_like(found, len(index)).scatter_reduce(0, index, position, "amin")
        total = torch.zeros(len(found), dtype=mean.dtype).index_add(0, index, merged[3])
        order = priority(found).argsort()[: self.n_exemplars]
        if len(order) < 2:
            return
        self.key, self.weight = found[order], total[order]
        self.mean, self.var = (values[first[order]] for values in merged[1:3])
        if self.trim:
            self._leave_out_dense_outliers()
        # Several draws of a row that occurs several times, if there are few rows.
        most = max(1, MAX_QUERIES // len(self.mean))
        n_draws = self.weight[:MAX_QUERIES].clamp(1, most).long()
        own = torch.repeat_interleave(torch.arange(len(n_draws)), n_draws)
        noise = torch.randn((len(own), self.mean.shape[1]), generator=generator)
        z = self.mean[own] + self.var[own].sqrt() * noise
        self._choose_bandwidth(z, own, (self.weight[: len(n_draws)] / n_draws)[own], copies)

    @torch.no_grad()
    def _leave_out_dense_outliers(self) -> None:
        """Drop exemplars that are improbable under the guard, but dense among themselves.

        In a cluster of outliers each raises the density around the others. Exemplars in the tails
        are improbable under the guard, too, but are not dense.
        """
        variance = self.var + self._silverman().exp().square()
        each = log_normals(self.mean, self.mean, variance.log()) + self.weight.log()
        each.fill_diagonal_(-torch.inf)
        density, log_guard = torch.logsumexp(each, 1), self.guard.log_prob(self.mean)
        is_improbable = log_guard < log_guard.quantile(self.trim)
        kept = ~(is_improbable & (density > density.quantile(DENSE)))
        if kept.sum() < 2:
            return
        self.key, self.weight = self.key[kept], self.weight[kept]
        self.mean, self.var = self.mean[kept], self.var[kept]

    def _silverman(self) -> Tensor:
        """Logarithm of a bandwidth for each dimension by Silverman's rule."""
        spread = self.mean.std(0, correction=0).clamp(min=1e-3)
        return (len(self.mean) ** (-1 / (self.mean.shape[1] + 4)) * spread).log()

    @torch.no_grad()
    def _choose_bandwidth(self, z: Tensor, own: Tensor, query: Tensor, copies: bool) -> None:
        """Maximize the leave-one-out likelihood of draws z from exemplars `own`.

        One repetition of a row is left out, or all of them if they are copies. `query` are the
        weights of the draws.
        """
        log_guard, proportion = self.guard.log_prob(z), query / query.sum()
        start = self._silverman()
        has_evidence = not copies and bool((self.weight > 1).any())
        starts = [start, start - NARROW] if has_evidence else [start]
        log_weight = self._log_weights_of_others(own, copies)
        best, left_out = log_guard.new_tensor(-torch.inf), log_guard
        for start in starts:
            log_bandwidth, guard_logit = self._ascend(z, log_weight, log_guard, proportion, start)
            *_, others = self._leave_one_out(z, log_bandwidth, log_weight)
            each = mixed(others, log_guard, guard_logit)
            if (proportion * each).sum() > best:
                best, left_out = (proportion * each).sum(), each
                self.bandwidth, self.guard_logit = log_bandwidth.exp(), guard_logit
        self.uses_exemplars = is_clear(left_out - log_guard, proportion)
        self.exemplar_bias = 0.0
        if self.uses_exemplars:
            self.eval()
            self.exemplar_bias = float((proportion * (self.log_prob(z) - left_out)).sum())

    def _log_weights_of_others(self, own: Tensor, copies: bool) -> Tensor:
        """Log-proportions of the exemplars, (n, M), without the row that each query came from."""
        n = torch.arange(len(own))
        weight = self.weight[own]
        left = torch.zeros_like(weight) if copies else (weight - 1).clamp(min=0)
        remaining = self.weight.repeat(len(own), 1)
        remaining[n, own] = left
        return (remaining / (self.weight.sum() - weight + left).unsqueeze(1)).log()

    def _ascend(
        self, z: Tensor, log_weight: Tensor, log_guard: Tensor, proportion: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Log-bandwidths and logit of the guard after some steps of Adam.

        The gradient is analytic, which takes half the time of autograd: with the posterior
        probability r_nm that draw n comes from exemplar m and the variances v_mj,
        ∂/∂log b_j = b_j² Σ_nm r_nm ((z_nj − μ_mj)² / v_mj² − 1 / v_mj).
        """
        moments = torch.cat([z.square(), z, torch.ones_like(z[:, :1])], dim=1)
        sizes = [z.shape[1], z.shape[1], 1]
        parameters = torch.cat([start, start.new_tensor([-3.0])])
        log_bandwidth, guard_logit = parameters[:-1], parameters[-1]
        optimizer = Adam(parameters)
        for _ in range(N_STEPS):
            terms, total, others = self._leave_one_out(z, log_bandwidth, log_weight)
            log_exemplars = others + nn.functional.logsigmoid(-guard_logit)
            p_exemplars = torch.sigmoid(
                log_exemplars - log_guard - nn.functional.logsigmoid(guard_logit)
            )
            weight = (proportion * p_exemplars / total).unsqueeze(1)
            second, first, total = (terms.T @ (weight * moments)).split(sizes, 1)
            squares = second - 2 * first * self.mean + total * self.mean.square()
            precision = (-self._log_var(log_bandwidth.exp())).exp()
            b_squared = (2 * log_bandwidth).exp()
            grad_bandwidth = b_squared * (squares * precision**2 - total * precision).sum(0)
            grad_guard = (proportion * (torch.sigmoid(-guard_logit) - p_exemplars)).sum()
            optimizer.step(-torch.cat([grad_bandwidth, grad_guard.view(1)]), RATE)
        return log_bandwidth, guard_logit

    def _leave_one_out(
        self, z: Tensor, log_bandwidth: Tensor, log_weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Terms π_m N(z_n; …) of all exemplars m except the own one, and the log of their sum.

        The terms, (n, M), and their sums, (n,), are divided by the largest term of each draw.
        """
        each = log_normals(z, self.mean, self._log_var(log_bandwidth.exp())) + log_weight
        terms, top = shifted_exp(each)
        total = terms.sum(-1)
        return terms, total, total.log() + top.squeeze(-1)
