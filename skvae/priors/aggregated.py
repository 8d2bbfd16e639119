"""The aggregated posterior as prior."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skvae._validation import an_int

from ._base import Prior, PriorModule
from .mixture import log_mixture, log_normals
from .standard_normal import StandardNormal

N_STEPS = 40
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

    parameter_constraints: ClassVar = {
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
    def has_exemplars(self) -> bool:
        """Whether p(z) is the aggregated posterior: not while the nets are trained."""
        return len(self.mean) > 0 and not self.training

    def log_prob(self, z: Tensor) -> Tensor:
        if not self.has_exemplars:
            return self.guard.log_prob(z)
        log_shares = (self.weight / self.weight.sum()).log()
        near = log_mixture(z, log_shares, self.mean, self._log_var(self.bandwidth))
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

    def start(self, mean: Tensor, log_var: Tensor, generator: torch.Generator) -> None:
        self.guard.start(mean, log_var, generator)

    def finish(
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

    @torch.enable_grad()
    def _choose_bandwidth(self, z: Tensor, spread: Tensor) -> None:
        """Maximise the leave-one-out likelihood of draws; the i-th comes from exemplar i.

        Equal rows are one exemplar of more weight, and so do not vouch for each other.
        """
        query = self.weight[: len(z)]
        itself = torch.eye(len(z), len(self.mean), dtype=torch.bool)
        log_weight = self.weight.log() - (self.weight.sum() - query).log().unsqueeze(1)
        log_guard = self.guard.log_prob(z).detach()
        silverman = len(self.mean) ** (-1 / (len(spread) + 4))
        log_bandwidth = nn.Parameter((silverman * spread.clamp(min=1e-3)).log())
        guard_logit = nn.Parameter(torch.tensor(-3.0).to(z))
        optimizer = torch.optim.Adam([log_bandwidth, guard_logit], lr=0.15)

        def left_out() -> Tensor:
            each = log_normals(z, self.mean, self._log_var(log_bandwidth.exp())) + log_weight
            others = torch.logsumexp(each.masked_fill(itself, -torch.inf), -1)
            return (query * _mixed(others, log_guard, guard_logit)).sum() / query.sum()

        for _ in range(N_STEPS):
            optimizer.zero_grad()
            (-left_out()).backward()
            optimizer.step()
        self.bandwidth = log_bandwidth.detach().exp()
        self.guard_logit = guard_logit.detach()
        with torch.no_grad():
            self.eval()
            together = (query * self.log_prob(z)).sum() / query.sum()
            self.exemplar_bias = float(together - left_out())


def _mixed(log_near: Tensor, log_broad: Tensor, logit: Tensor) -> Tensor:
    """log((1 − w) near + w broad) with w = s(logit)."""
    log_w, log_rest = nn.functional.logsigmoid(logit), nn.functional.logsigmoid(-logit)
    return torch.logaddexp(log_near + log_rest, log_broad + log_w)
