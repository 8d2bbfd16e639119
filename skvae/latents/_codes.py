"""Base classes of the families with integer codes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from skvae._nn.draw import Draw
from skvae._nn.networks import Linear
from skvae._validation import a_real
from skvae.objectives import Objective
from skvae.priors import Autoregressive, Prior, PriorModule
from skvae.priors.autoregressive import AutoregressiveModule

from ._base import Latent, LatentModule, LinearPosterior

MIN_WIDTH = 1e-4  # of a code, in units of the encoder
WIDTH_DECAY = 0.99
TEMPERATURE = a_real("[0, inf)", least=0)


class CodeLatent(Latent):
    """Base class of families with integer codes."""

    temperature: float
    has_codes = True

    def default_prior(self) -> Prior:
        return Autoregressive()

    def check_partners(self, prior: Prior, objective: Objective) -> None:
        if not prior.over_codes:
            raise ValueError(
                f"latent={self!r} needs a prior over integer codes, which prior={prior!r} is not. "
                "Leave prior='auto', or pass Autoregressive(...)."
            )
        if not objective.supports_codes:
            raise ValueError(
                f"objective={objective!r} needs draws that are differentiable functions of the "
                f"row, which the integer codes of latent={self!r} are not. Use ELBO(...)."
            )
        if self.temperature == 0 and (objective.n_samples > 1 or objective.detach_z):
            raise ValueError(
                f"With temperature=0 latent={self!r} always takes the nearest code, so that "
                f"several draws or the score function have no effect, but objective={objective!r} "
                "uses them. Raise the temperature, or use n_samples=1 and "
                "gradient='reparameterization'."
            )


class CodeModule(LatentModule):
    r"""Posterior over integer codes, whose vectors are the entries of a codebook.

    .. math:: q(c_i | x) \propto \exp(-\|e_i(x) - v_{ic}\|^2 / 2 T s_i^2)

    Attributes
    ----------
    codebook : Tensor of shape (n_positions, n_codes, size)
        v.
    width_squared : Tensor of shape (n_positions,)
        s²: moving average of the squared distance from e to the nearest entry, per dimension.
    use : Tensor of shape (n_positions, n_codes)
        Number of training rows whose nearest entry this is.
    """

    n_moment_draws = 1
    uses_data = True
    is_refinable = False
    codebook: Tensor
    width_squared: Tensor
    use: Tensor

    def __init__(
        self, codebook: Tensor, n_hidden: int, temperature: float, generator: torch.Generator
    ) -> None:
        n_positions, self.n_codes, size = codebook.shape
        super().__init__([n_positions * size])
        self.n_noise, self.temperature = n_positions, temperature
        self.width = n_positions * self.n_codes
        self.n_enumerated = self.n_codes if n_positions == 1 else 0
        self.head = Linear(n_hidden, self.n_components, generator)
        self.register_buffer("codebook", codebook)
        self.register_buffer("width_squared", torch.ones(n_positions))
        self.register_buffer("use", torch.zeros(n_positions, self.n_codes))
        self._batch: tuple[Tensor, Tensor] | None = None  # e and its nearest codes of a step

    # ------------------------------------------------------------------------- codes

    def encodings(self, h: Tensor) -> Tensor:
        """e(x), (n_rows, n_positions, size)."""
        return self.split(self.head(h))

    def split(self, z: Tensor) -> Tensor:
        return z.unflatten(-1, self.codebook.shape[::2])

    def squared_distances(self, e: Tensor) -> Tensor:
        """‖e_i − v_ic‖², (..., n_positions, n_codes)."""
        across = torch.einsum("...pd,pcd->...pc", e, self.codebook)
        both = e.square().sum(-1, keepdim=True) + self.codebook.square().sum(-1)
        return (both - 2 * across).clamp(min=0)

    def codes(self, e: Tensor) -> Tensor:
        """The nearest entries, (..., n_positions)."""
        return self.squared_distances(e).argmin(-1)

    def vectors(self, codes: Tensor) -> Tensor:
        """z of codes, (..., n_components)."""
        position = torch.arange(codes.shape[-1], device=codes.device)
        return self.codebook[position, codes].flatten(-2)

    def log_proposals(self, e: Tensor) -> Tensor:
        """log q(c_i = c | x), (n_rows, n_positions, n_codes)."""
        width = (self.temperature or 1.0) * self.width_squared.unsqueeze(-1)
        return torch.log_softmax(-0.5 * self.squared_distances(e) / width, dim=-1)

    # ------------------------------------------------- methods of LatentModule

    def draw(self, h: Tensor, noise: Tensor, prior: PriorModule) -> Draw:
        e = self.encodings(h)
        nearest = self.codes(e.detach()) if self.training else None
        if nearest is not None and torch.is_grad_enabled():
            self._batch = e.detach(), nearest
        if nearest is not None and self.temperature == 0:
            return self._nearest(e, nearest, len(noise), prior)
        log_q = self.log_proposals(e)
        u = torch.special.ndtr(noise).expand(len(noise), *e.shape[:2]).permute(1, 2, 0)
        cumulated = log_q.detach().exp().cumsum(-1)
        codes = torch.searchsorted(cumulated, (u * cumulated[..., -1:]).contiguous())
        codes = codes.clamp(max=self.n_codes - 1).permute(2, 0, 1)
        return Draw(
            self._straight_through(e, self.vectors(codes)),
            log_pz=lambda: prior.log_prob(codes),
            log_qz=lambda: _of_codes(log_q, codes),
            kl=self._kl(log_q, codes, prior),
            penalty=None if nearest is None else self.commitment(e, nearest),
        )

    def _nearest(self, e: Tensor, nearest: Tensor, n_samples: int, prior: PriorModule) -> Draw:
        """The nearest codes only: log q = 0."""
        codes = nearest.expand(n_samples, -1, -1)
        log_pz = prior.log_prob(codes)
        z = self._straight_through(e, self.vectors(codes))
        return Draw(z, log_pz, torch.zeros_like(log_pz), penalty=self.commitment(e, nearest))

    def _straight_through(self, e: Tensor, v: Tensor) -> Tensor:
        """v, with the gradient of e (Bengio, Léonard & Courville 2013, arXiv:1308.3432)."""
        flat = e.flatten(-2)
        return flat + (v - flat).detach()

    def _kl(self, log_q: Tensor, codes: Tensor, prior: PriorModule) -> Tensor | None:
        """Σ_c q(c_i) (log q(c_i) − log p(c_i | codes before)), (n_rows, n_positions)."""
        if not self.training:
            return None
        assert isinstance(prior, AutoregressiveModule)
        return (log_q.exp() * (log_q - prior.log_proportions(codes))).sum(-1).mean(0)

    def commitment(self, e: Tensor, nearest: Tensor) -> Tensor | None:
        """A penalty for the distance to the nearest code, (n_rows,). None: there is none."""
        return None

    def log_prob(self, z: Tensor, h: Tensor, prior: PriorModule) -> Tensor:
        return _of_codes(self.log_proposals(self.encodings(h)), self.codes(self.split(z)))

    def log_pz(self, z: Tensor, prior: PriorModule) -> Tensor:
        return prior.log_prob(self.codes(self.split(z)))

    def moments(self, h: Tensor, prior: PriorModule) -> tuple[Tensor, Tensor]:
        """The quantized vector, and the log-variance s² of q."""
        z = self.vectors(self.codes(self.encodings(h)))
        size = self.codebook.shape[-1]
        return z, self.width_squared.log().repeat_interleave(size).expand_as(z)

    def sample(self, n_samples: int, prior: PriorModule, generator: torch.Generator) -> Tensor:
        return self.vectors(prior.sample(n_samples, generator))

    def build_prior(self, prior: Prior, generator: torch.Generator) -> PriorModule:
        assert isinstance(prior, Autoregressive)
        return prior.build(self.n_noise, generator, n_codes=self.n_codes)

    def enumerate(self, h: Tensor, prior: PriorModule) -> Draw | None:
        if not self.n_enumerated:
            return None
        codes = torch.arange(self.n_codes, device=h.device).reshape(-1, 1, 1).expand(-1, len(h), 1)
        log_pz = prior.log_prob(codes)
        return Draw(self.vectors(codes), log_pz, torch.zeros_like(log_pz))

    def snap(self, z: Tensor) -> Tensor:
        return self.vectors(self.codes(self.split(z)))

    @torch.no_grad()
    def initialize(self, posterior: LinearPosterior) -> None:
        self.head.weight.zero_()
        self.head.weight[:, : posterior.weight.shape[1]] = posterior.weight
        self.head.bias.copy_(posterior.bias)

    @torch.no_grad()
    def initialize_from_data(
        self, h: Tensor, prior: PriorModule, generator: torch.Generator
    ) -> None:
        """Initialize the widths, and the prior by the frequencies of the codes."""
        e = self.encodings(h)
        codes = self.codes(e)
        self.width_squared.copy_(self._error(e, codes))
        assert isinstance(prior, AutoregressiveModule)
        prior.initialize_codes(codes)

    @torch.no_grad()
    def after_step(self, generator: torch.Generator) -> None:
        if self._batch is not None:
            self.width_squared.lerp_(self._error(*self._batch), 1 - WIDTH_DECAY)
        self._batch = None

    def _error(self, e: Tensor, codes: Tensor) -> Tensor:
        """Mean squared distance from encodings to their codes, per dimension: (n_positions,)."""
        error = (e - self.split(self.vectors(codes))).square().mean((0, 2))
        return error.clamp(min=MIN_WIDTH**2)

    @torch.no_grad()
    def finalize(self, h: Iterable[Tensor], continued: bool) -> None:
        """Count the rows of each entry, and estimate the widths.

        The widths do not change if `continued`, since the added rows may be few.
        """
        if not continued:
            self.use.zero_()
        error, n_rows = torch.zeros_like(self.width_squared), 0
        for e in map(self.encodings, h):
            codes = self.codes(e)
            error += len(e) * self._error(e, codes)
            n_rows += len(e)
            for use, position in zip(self.use, codes.T, strict=True):
                use += torch.bincount(position, minlength=self.n_codes)
        if not continued:
            self.width_squared.copy_(error / n_rows)

    def attributes(self) -> dict[str, object]:
        proportion = self.use.double() / self.use.sum(-1, keepdim=True).clamp(min=1)
        entropy = -torch.special.xlogy(proportion, proportion).sum(-1)
        return {
            "codebook_usage_": (proportion > 0).double().mean(-1).numpy(),
            "perplexity_": entropy.exp().numpy(),
        }


def _of_codes(log_q: Tensor, codes: Tensor) -> Tensor:
    """log q of given codes, summed over the positions: (n_samples, n_rows)."""
    expanded = log_q.expand(*codes.shape, -1)
    return expanded.gather(-1, codes.unsqueeze(-1)).squeeze(-1).sum(-1)
