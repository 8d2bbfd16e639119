"""A diffusion model over the codes as prior."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from skvae._nn.densities import LOG_2PI
from skvae._nn.noise import normal, quasi_normal, uniform
from skvae._nn.tracing import is_traced
from skvae._nn.velocity import Clock, Velocity, from_noise, to_noise
from skvae._validation import an_int, one_of, or_none

from ._base import MixtureOfGaussians, Prior, PriorModule
from ._diffusion_training import (
    SCHEDULES,
    WEIGHTINGS,
    Posteriors,
    TrainingSettings,
    train,
)
from ._guard import is_clear, mixed
from .aggregated import Aggregated
from .mixture import Mixture

MAX_ROWS, MAX_NUMBERS = 20_000, 2**24  # posteriors, and numbers in their covariances
MIN_ROWS = 50  # posteriors, without which the prior is the guard
HELD_OUT, MAX_HELD_OUT = 0.2, 1000
MIN_VAR = 1e-3  # of a posterior, relative to that of all codes
MIN_TOTAL_VAR = 1e-8
N_DRAWS = 4  # of a row held out, by which the weight of the guard is chosen
N_EM_STEPS, FIRST_WEIGHT, MIN_WEIGHT = 30, 0.1, 1e-3
CONTINUED = 0.25  # of the steps and of the learning rate, where earlier training is continued
BLOCK_SIZE = 2**17  # numbers in a hidden layer for a block of codes


class Diffusion(Prior):
    r"""Diffusion model over the codes of the trained encoder, mixed with a broad prior,

    .. math:: p(z) = (1 - w)\, p_\theta(z) + w\, p_\text{guard}(z).

    Codes with mean 0 and covariance I become noise :math:`\epsilon \sim N(0, I)` along
    :math:`z_\phi = \cos\phi\, z + \sin\phi\, \epsilon` (variance-preserving, with the angle
    :math:`\phi \in [0, \pi/2]` as time). A network learns the mean
    :math:`v_\theta(z_\phi, \phi)` of the velocity :math:`v = dz_\phi / d\phi` by

    .. math:: L_w = \int_0^{\pi/2} w(\phi)\, E\|v_\theta(z_\phi, \phi) - v\|^2\, d\phi,

    and the flow of :math:`v_\theta` (the probability-flow ODE) leads from noise to codes and back:

    .. math:: \log p_\theta(z) = \log N(z_{\pi/2}; 0, I)
        + \int_0^{\pi/2} \nabla \cdot v_\theta(z_\phi, \phi)\, d\phi
        + \log |\det \text{standardization}|.

    Codes are drawn, and ``log_prob`` is computed, by this ODE with a fixed number of Runge-Kutta
    steps; the divergence is exact. The network has two hidden layers and is 0 at the start, where
    :math:`p_\theta` is the Gaussian with the mean and covariance of the codes.

    During training the prior is the guard alone. Afterwards the network is trained on the
    posteriors of rows of the table. A fifth of them is held out: they choose the best of the
    weights, which are averages over the steps, and the proportion w of the guard, which has the
    highest likelihood. If the density of their codes is not clearly higher than under the guard
    alone, or there are fewer than 50 rows, the prior is the guard.

    Parameters
    ----------
    n_hidden : int, default=128
        Width of the two hidden layers.
    prediction : {"velocity", "noise"}, default="velocity"
        What the network predicts: v, or :math:`\epsilon = \sin\phi\, z_\phi + \cos\phi\, v`.
    weighting : {"likelihood", "velocity", "uniform"}, default="likelihood"
        "likelihood": :math:`w = \cot\phi`, with which :math:`L_w` is the negative evidence lower
        bound of the diffusion, but for a constant. "velocity": w = 1, which is flow matching.
        "uniform": :math:`w = \cos^2\phi`, the error of the noise at uniform times, as in DDPM.
    schedule : {"learned", "cosine"}, default="learned"
        How the times of the training are distributed, which does not change :math:`L_w`, but the
        variance of its estimate. "learned": so that it is least. "cosine": uniform φ.
    n_steps : int or None, default=None
        Maximum number of gradient steps, each with 512 codes. None: two for each row, between 300
        and 4000.
    n_ode_steps : int, default=8
        Steps of the fourth-order Runge-Kutta method, each of which evaluates the network four
        times.
    guard : Prior, default=None
        The prior during training and, afterwards, a component that keeps p(z) positive far from
        the codes. None: ``Mixture()``.

    Notes
    -----
    ``score_samples`` draws codes around the guard, if that is a mixture of Gaussians, and weights
    them by p(z). There is an ODE for each draw, so that it takes some twenty times as long as with
    other priors. With ``precision="single"`` of the estimator it takes a third, and with
    ``n_importance_samples=16`` in place of 64 a third again, with a larger Monte-Carlo error.

    With the likelihood weighting, the sum of the loss and constants is a bound,

    .. math:: \log p_\theta(z) \geq \log N(z; 0, I) + \int_0^{\pi/2} \cot\phi\;
        E[2\, v \cdot v_\theta - \|v_\theta\|^2]\, d\phi

    for the generative stochastic process, here for standardized codes;
    ``model_.prior.bound_terms`` has its integrand, and ``examples/diffusion_prior.py`` shows it.
    The target of the network is the mean of v given :math:`z_\phi` and the row, which is known in
    closed form and has less variance than v.

    References
    ----------
    Sohl-Dickstein et al. (2015), arXiv:1503.03585, and Ho, Jain & Abbeel (2020), arXiv:2006.11239,
    for diffusion models. Song et al. (2021), arXiv:2011.13456, for the ODE. Kingma et al. (2021),
    Variational Diffusion Models, arXiv:2107.00630, for the bound and the learned schedule.
    Salimans & Ho (2022), arXiv:2202.00512, for the angle and the velocity. Lipman et al. (2023),
    arXiv:2210.02747, for flow matching. Vahdat, Kreis & Kautz (2021), arXiv:2106.05931, and Zhang
    et al. (2024), TabSyn, arXiv:2310.09656, for diffusion models over the codes of a VAE.

    Examples
    --------
    >>> from skvae.priors import Diffusion
    >>> Diffusion(n_hidden=64)
    Diffusion(n_hidden=64)
    """

    _constraints: ClassVar = {
        "n_hidden": an_int(1),
        "prediction": one_of("velocity", "noise"),
        "weighting": one_of(*WEIGHTINGS),
        "schedule": one_of(*SCHEDULES),
        "n_steps": or_none(an_int(1)),
        "n_ode_steps": an_int(1),
        "guard": ("None or a StandardNormal, Mixture or FlowPrior object",
                  lambda v: v is None or (isinstance(v, Prior) and not v.over_codes
                                          and not isinstance(v, (Aggregated, Diffusion)))),
    }  # fmt: skip

    def __init__(
        self,
        n_hidden: int = 128,
        *,
        prediction: str = "velocity",
        weighting: str = "likelihood",
        schedule: str = "learned",
        n_steps: int | None = None,
        n_ode_steps: int = 8,
        guard: Any = None,
    ) -> None:
        self.n_hidden = n_hidden
        self.prediction = prediction
        self.weighting = weighting
        self.schedule = schedule
        self.n_steps = n_steps
        self.n_ode_steps = n_ode_steps
        self.guard = guard

    def build(self, n_components: int, generator: torch.Generator) -> PriorModule:
        guard = Mixture() if self.guard is None else self.guard
        settings = TrainingSettings(
            self.n_hidden, self.prediction, self.weighting, self.schedule, self.n_steps
        )
        module = guard.build(n_components, generator)
        return DiffusionModule(module, n_components, settings, self.n_ode_steps)


class DiffusionModule(PriorModule):
    """The velocity is that of standardized codes, x = A (z − c).

    Attributes
    ----------
    theta : Tensor of shape (n_parameters,)
        The parameters of the network. Without any the prior is the guard.
    center, standardization : Tensor of shape (k,) and (k, k)
        c and A.
    resolution : Tensor of shape ()
        Standard deviation of the posteriors in x, a geometric mean.
    guard_logit : Tensor of shape ()
        Logit of w.
    """

    theta: Tensor
    center: Tensor
    standardization: Tensor
    resolution: Tensor
    guard_logit: Tensor

    def __init__(
        self, guard: PriorModule, n_components: int, settings: TrainingSettings, n_ode_steps: int
    ) -> None:
        super().__init__()
        self.guard, self.n_components = guard, n_components
        self.settings, self.n_ode_steps = settings, n_ode_steps
        self.width = max(guard.width, 4 * n_ode_steps * settings.n_hidden)
        most = min(MAX_ROWS, MAX_NUMBERS // n_components**2)
        self.n_posteriors = max(most, guard.n_posteriors)
        for name in ("theta", "center", "standardization", "resolution", "guard_logit"):
            self.register_buffer(name, torch.zeros(0))

    @property
    def is_diffusion(self) -> bool:
        """Whether p(z) is more than the guard: not during training."""
        return len(self.theta) > 0 and not self.training

    def velocity(self) -> Velocity:
        """v_θ of standardized codes."""
        settings, clock = self.settings, Clock(self.resolution)
        shape = self.n_components, settings.n_hidden
        return Velocity(self.theta, *shape, clock, settings.prediction)

    def standardized(self, z: Tensor) -> Tensor:
        """x, of the shape of z."""
        return (z - self.center) @ self.standardization.T

    def log_prob(self, z: Tensor) -> Tensor:
        log_guard = self.guard.log_prob(z)
        if not self.is_diffusion:
            return log_guard
        return mixed(self.log_diffusion(z), log_guard, self.guard_logit)

    def log_diffusion(self, z: Tensor) -> Tensor:
        """log p_θ(z) by the ODE, (...)."""
        flat, velocity = z.reshape(-1, z.shape[-1]), self.velocity()
        size = max(16, BLOCK_SIZE // self.settings.n_hidden)
        parts = []
        for block in [flat] if is_traced() else flat.split(size):
            noise, log_determinant = to_noise(velocity, self.standardized(block), self.n_ode_steps)
            parts.append(log_determinant - 0.5 * (noise.square() + LOG_2PI).sum(-1))
        return torch.cat(parts).view(z.shape[:-1]) + self._log_scale()

    def _log_scale(self) -> Tensor:
        """log |det A|."""
        return torch.linalg.slogdet(self.standardization).logabsdet

    def bound_terms(
        self, z: Tensor, n_times: int = 64, n_draws: int = 64
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The bound of log p_θ(z) in parts, as in the notes of :class:`Diffusion`.

        Parameters
        ----------
        z : Tensor of shape (n, k)
        n_times : int, default=64
        n_draws : int, default=64
            Pairs of noise and its negative for each time, the same for all codes.

        Returns
        -------
        log_gaussian : Tensor of shape (n,)
            The first term, log N(z) with the mean and covariance of all codes.
        angle : Tensor of shape (n_times,)
            φ, the middle of equal steps of the time of the ODE.
        terms : Tensor of shape (n_times, n)
            What each of the steps adds to the bound, which is the sum of all.
        """
        x, velocity = self.standardized(z), self.velocity()
        tau = ((torch.arange(n_times) + 0.5) / n_times).to(x)
        angle = velocity.clock.angle(tau)
        half = quasi_normal(n_draws, x.shape[-1]).to(x)
        noise = torch.cat([half, -half])
        terms = []
        for time, phi in zip(tau, angle, strict=True):
            v = phi.cos() * noise - phi.sin() * x
            found = velocity.at(time)(phi.cos() * x + phi.sin() * noise)
            step = velocity.clock.speed(time) / n_times / phi.tan()
            terms.append(step * (2 * v * found - found.square()).sum(-1).mean(0))
        log_gaussian = self._log_scale() - 0.5 * (x.square() + LOG_2PI).sum(-1)
        return log_gaussian, angle, torch.stack(terms)

    def as_mixture(self) -> MixtureOfGaussians | None:
        return None if self.is_diffusion else self.guard.as_mixture()

    def near_mixture(self) -> MixtureOfGaussians | None:
        return self.guard.near_mixture()

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        return None if self.is_diffusion else self.guard.kl(mean, log_var)

    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        from_guard = self.guard.sample(n_samples, generator)
        if not self.is_diffusion:
            return from_guard
        noise = normal((n_samples, self.n_components), generator, self.theta)
        size = max(16, BLOCK_SIZE // self.settings.n_hidden)
        velocity = self.velocity()
        x = torch.cat([from_noise(velocity, b, self.n_ode_steps) for b in noise.split(size)])
        z = self.center + torch.linalg.solve(self.standardization, x.T).T
        u = uniform((n_samples,), generator, self.theta)
        return torch.where((u < torch.sigmoid(self.guard_logit)).unsqueeze(1), from_guard, z)

    @property
    def supports_reordering(self) -> bool:  # type: ignore[override]
        return self.guard.supports_reordering

    def reorder(self, order: Tensor, sign: Tensor) -> None:
        self.guard.reorder(order, sign)
        if len(self.theta):
            self.center = self.center[order] * sign
            self.standardization = self.standardization[:, order] * sign

    def initialize(self, mean: Tensor, log_var: Tensor, generator: torch.Generator) -> None:
        self.guard.initialize(mean, log_var, generator)

    @torch.no_grad()
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
        if len(mean) < MIN_ROWS:
            return
        dtype, continued = mean.dtype, continued and len(self.theta) > 0
        mean, log_var, weight = mean.float(), log_var.float(), weight.float()
        if not continued:
            self._standardize(mean, log_var, weight)
        rows = self._posteriors(mean, log_var, weight)
        order = torch.randperm(len(rows), generator=generator)
        n_held = min(MAX_HELD_OUT, round(HELD_OUT * len(rows)))
        held_out, trained = rows.take(order[:n_held]), rows.take(order[n_held:])
        if not continued:
            proportion = trained.weight / trained.weight.sum()
            self.resolution = (0.5 * proportion @ trained.var.log()).mean().exp()
        clock, share = Clock(self.resolution.float()), CONTINUED if continued else 1.0
        start = self.theta.float() if continued else None
        theta = train(trained, held_out, clock, self.settings, share, generator, start)
        self.theta, self.resolution = theta.to(dtype), self.resolution.to(dtype)
        self.center, self.standardization = self.center.to(dtype), self.standardization.to(dtype)
        self._choose_weight(held_out, generator)

    def _standardize(self, mean: Tensor, log_var: Tensor, weight: Tensor) -> None:
        """Mean and covariance of the codes, those of their posteriors' means and variances."""
        share = (weight / weight.sum()).double()
        mean = mean.double()
        center = share @ mean
        deviation, var = mean - center, share @ log_var.double().exp()
        covariance = (share.unsqueeze(1) * deviation).T @ deviation + torch.diag(var)
        values, vectors = torch.linalg.eigh(covariance)
        root = vectors * values.clamp(min=MIN_TOTAL_VAR).rsqrt() @ vectors.T
        self.center, self.standardization = center.float(), root.float()

    def _posteriors(self, mean: Tensor, log_var: Tensor, weight: Tensor) -> Posteriors:
        """The posteriors in standardized coordinates."""
        center, root = self.center.float(), self.standardization.float()
        scaled = root * (0.5 * log_var).exp().unsqueeze(1)
        var, axes = torch.linalg.eigh(scaled @ scaled.mT)
        return Posteriors((mean - center) @ root.T, axes, var.clamp(min=MIN_VAR), weight)

    def _choose_weight(self, held_out: Posteriors, generator: torch.Generator) -> None:
        """The weight w with the highest likelihood of rows held out, or the guard alone.

        With draws from the posterior of a row the mean of p_θ(z) / p_guard(z) is the ratio of its
        densities under the two priors.
        """
        self.eval()
        half = torch.randn(N_DRAWS // 2, *held_out.mean.shape, generator=generator)
        x = torch.stack([held_out.draw(noise) for noise in torch.cat([half, -half])])
        inverse = torch.linalg.inv(self.standardization.double()).to(self.theta)
        z = self.center + x.to(inverse) @ inverse.T
        log_ratio = torch.logsumexp(self.log_diffusion(z) - self.guard.log_prob(z), 0)
        log_ratio = log_ratio - math.log(N_DRAWS)
        share = (held_out.weight / held_out.weight.sum()).to(z)
        w = z.new_tensor(FIRST_WEIGHT)
        for _ in range(N_EM_STEPS):  # of expectation-maximization
            w = (share * torch.sigmoid(torch.logit(w) - log_ratio)).sum()
            w = w.clamp(MIN_WEIGHT, 1 - MIN_WEIGHT)
        self.guard_logit = torch.logit(w)
        gain = mixed(log_ratio, torch.zeros_like(log_ratio), self.guard_logit)
        if not is_clear(gain, share):
            self.theta = torch.zeros(0, dtype=z.dtype)
