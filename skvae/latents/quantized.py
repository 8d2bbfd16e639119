"""Codes from a learned codebook: the vector-quantised variational autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from skvae._networks import Linear
from skvae._validation import a_real, an_int, or_none
from skvae.priors import Autoregressive, Prior, PriorModule
from skvae.priors.autoregressive import AutoregressiveModule

from ._base import Draw, Latent, LatentModule, LinearPosterior

if TYPE_CHECKING:
    from skvae.objectives import Objective

MAX_START_ROWS = 5000
MIN_WIDTH = 1e-4  # of a code, in the encoder's units


class Quantized(Latent):
    r"""Vector quantisation: each part of the code is one of a few learned vectors.

    The encoder gives a vector :math:`e_i(x)` for each position i, and the code is the nearest
    entry of the position's codebook,

    .. math:: c_i(x) = \arg\min_c \|e_i(x) - v_{ic}\|^2, \quad z = (v_{1 c_1}, v_{2 c_2}, \dots),

    where the gradient of z goes straight through to e. The codebooks start from k-means and follow
    moving averages of their rows; entries that no row uses are put on a row of the batch.
    Training maximises :math:`\log p(x|z) + \log p(c)` less a commitment of the encoder to its
    codes; the prior over the codes is learned along.

    ``score_samples`` gives log p(x) of the fitted model as with every family: with one position
    the sum over all codes, exactly; else importance-weighted, with codes proposed by
    :math:`q(c_i|x) \propto \exp(-\|e_i(x) - v_{ic}\|^2 / 2 s_i^2)`, with the mean squared
    distance a dimension as :math:`s_i^2`.

    Parameters
    ----------
    n_codes : int, default=64
        Entries of the codebook of a position.
    n_codebooks : int or None, default=None
        Positions; `n_components` numbers are shared among them evenly. None: one for every two
        components, or for every one if their number is odd.
    commitment : float, default=0.25
        Weight of the squared distance between the encoder's vector and its code.
    decay : float, default=0.99
        Of the moving averages, a step.
    restart : float, default=0.1
        Share of the average use under which an entry is put on a row of the batch; 0: never.

    References
    ----------
    van den Oord, Vinyals & Kavukcuoglu (2017), Neural Discrete Representation Learning,
    arXiv:1711.00937. Razavi, van den Oord & Vinyals (2019), VQ-VAE-2, arXiv:1906.00446 (moving
    averages). Łańcucki et al. (2020), Robust Training of Vector Quantized Bottleneck Models,
    arXiv:2005.08520 (k-means start, restarts).

    Examples
    --------
    >>> from skvae.latents import Quantized
    >>> Quantized(n_codes=128, n_codebooks=2)
    Quantized(n_codebooks=2, n_codes=128)
    """

    parameter_constraints: ClassVar = {
        "n_codes": an_int(2),
        "n_codebooks": or_none(an_int(1)),
        "commitment": a_real("[0, inf)", least=0),
        "decay": a_real("[0, 1)", least=0, below=1),
        "restart": a_real("[0, 1)", least=0, below=1),
    }

    def __init__(
        self,
        n_codes: int = 64,
        *,
        n_codebooks: int | None = None,
        commitment: float = 0.25,
        decay: float = 0.99,
        restart: float = 0.1,
    ) -> None:
        self.n_codes = n_codes
        self.n_codebooks = n_codebooks
        self.commitment = commitment
        self.decay = decay
        self.restart = restart

    def default_prior(self) -> Prior:
        return Autoregressive()

    def size(self, n_components: int | None, default: int) -> int:
        if self.n_codebooks is None:
            return super().size(n_components, default)
        if n_components is None:
            return max(1, default // self.n_codebooks) * self.n_codebooks
        if n_components % self.n_codebooks:
            raise ValueError(
                f"n_components={n_components} cannot be shared evenly among the {self.n_codebooks} "
                f"positions of {self!r}. Give a multiple of {self.n_codebooks}, or leave "
                "n_components=None."
            )
        return n_components

    def check_partners(self, prior: Prior, objective: Objective) -> None:
        if not prior.over_codes:
            raise ValueError(
                f"latent={self!r} has integer codes and a prior over these, which "
                f"prior={prior!r} is not. Leave prior='auto', or pass Autoregressive(...)."
            )
        if objective.n_samples > 1 or objective.holds_z:
            raise ValueError(
                f"latent={self!r} trains on the nearest code of a row, which is one and has no "
                f"density, so objective={objective!r} would do nothing that ELBO() does not. Use "
                "ELBO(...) with one sample and gradient='reparameterization'."
            )

    def build(self, n_components: int, n_hidden: int, generator: torch.Generator) -> LatentModule:
        n_positions = self.n_codebooks
        if n_positions is None:
            n_positions = n_components if n_components % 2 else n_components // 2
        return _QuantizedModule(self, n_positions, n_components, n_hidden, generator)


class _QuantizedModule(LatentModule):
    n_moment_draws = 1
    looks_at_rows = True
    codebook: Tensor
    count: Tensor
    total: Tensor
    width_squared: Tensor

    def __init__(
        self, family: Quantized, n_positions: int, n_components: int, n_hidden: int,
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        super().__init__([n_components])
        self.n_codes, self.n_noise = family.n_codes, n_positions
        self.commitment, self.decay, self.restart = family.commitment, family.decay, family.restart
        self.width = n_positions * self.n_codes
        self.head = Linear(n_hidden, n_components, generator)
        shape = (n_positions, self.n_codes, n_components // n_positions)
        self.register_buffer("codebook", torch.randn(shape, generator=generator))
        self.register_buffer("count", torch.ones(shape[:2]))
        self.register_buffer("total", self.codebook.clone())
        self.register_buffer("width_squared", torch.ones(n_positions))
        self.register_buffer("use", torch.zeros(shape[:2]))
        self._batch: tuple[Tensor, Tensor] | None = None

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
        return torch.log_softmax(
            -0.5 * self.squared_distances(e) / self.width_squared.unsqueeze(-1), dim=-1
        )

    # ------------------------------------------------------------------- the contract

    def draw(self, h: Tensor, noise: Tensor, prior: PriorModule) -> Draw:
        e = self.encodings(h)
        if self.training:
            return self._nearest(e, len(noise), prior)
        log_q = self.log_proposals(e)
        u = torch.special.ndtr(noise).expand(len(noise), *e.shape[:2]).permute(1, 2, 0)
        cumulated = log_q.exp().cumsum(-1)
        codes = torch.searchsorted(cumulated, (u * cumulated[..., -1:]).contiguous())
        codes = codes.clamp(max=self.n_codes - 1).permute(2, 0, 1)
        return Draw(
            self.vectors(codes), lambda: prior.log_prob(codes), lambda: _of_codes(log_q, codes)
        )

    def _nearest(self, e: Tensor, n_samples: int, prior: PriorModule) -> Draw:
        """The nearest codes; what the decoder asks of them goes straight through to e."""
        codes = self.codes(e.detach())
        v = self.vectors(codes)
        flat = e.flatten(-2)
        self._batch = e.detach(), codes
        z = (flat + (v - flat).detach()).expand(n_samples, -1, -1)
        log_pz = prior.log_prob(codes).expand(n_samples, -1)
        penalty = self.commitment * (flat - v).square().sum(-1)
        return Draw(z, log_pz, torch.zeros_like(log_pz), penalty=penalty)

    def log_prob(self, z: Tensor, h: Tensor, prior: PriorModule) -> Tensor:
        return _of_codes(self.log_proposals(self.encodings(h)), self.codes(self.split(z)))

    def log_pz(self, z: Tensor, prior: PriorModule) -> Tensor:
        return prior.log_prob(self.codes(self.split(z)))

    def moments(self, h: Tensor, prior: PriorModule) -> tuple[Tensor, Tensor]:
        """The quantised vector, and the width of the proposals."""
        z = self.vectors(self.codes(self.encodings(h)))
        size = self.codebook.shape[-1]
        return z, self.width_squared.log().repeat_interleave(size).expand_as(z)

    def sample(self, n_samples: int, prior: PriorModule, generator: torch.Generator) -> Tensor:
        return self.vectors(prior.sample(n_samples, generator))

    def build_prior(self, prior: Prior, generator: torch.Generator) -> PriorModule:
        assert isinstance(prior, Autoregressive)
        return prior.build(self.n_noise, generator, n_codes=self.n_codes)

    def enumerate(self, h: Tensor, prior: PriorModule) -> Draw | None:
        if self.n_noise > 1:
            return None
        codes = torch.arange(self.n_codes).reshape(-1, 1, 1).expand(-1, len(h), 1)
        log_pz = prior.log_prob(codes)
        return Draw(self.vectors(codes), log_pz, torch.zeros_like(log_pz))

    def snap(self, z: Tensor) -> Tensor:
        return self.vectors(self.codes(self.split(z)))

    # ------------------------------------------------------------------- the codebook

    @torch.no_grad()
    def start(self, posterior: LinearPosterior) -> None:
        self.head.weight.zero_()
        self.head.weight[:, : posterior.weight.shape[1]] = posterior.weight
        self.head.bias.copy_(posterior.bias)

    @torch.no_grad()
    def look(self, h: Tensor, prior: PriorModule, generator: torch.Generator) -> None:
        """Start the codebooks from k-means, and the prior from the frequencies of the codes."""
        e = self.encodings(h[:MAX_START_ROWS])
        seed = generator.initial_seed() % 2**32
        for i, vectors in enumerate(e.double().numpy().swapaxes(0, 1)):
            n = min(self.n_codes, len(np.unique(vectors, axis=0)))
            means = KMeans(n, n_init=1, random_state=seed).fit(vectors).cluster_centers_
            spare = np.arange(self.n_codes) % n  # more codes than rows: entries stand twice
            self.codebook[i] = torch.from_numpy(means[spare]).to(self.codebook)
        codes = self.codes(e)
        count = torch.nn.functional.one_hot(codes, self.n_codes).sum(0).to(e)
        self.count.copy_(count / len(e))
        self.total.copy_(self.count.unsqueeze(-1) * self.codebook)
        self.width_squared.copy_(self._error(e, codes))
        assert isinstance(prior, AutoregressiveModule)
        prior.start_codes(codes)

    @torch.no_grad()
    def after_step(self, generator: torch.Generator) -> None:
        """Moving averages of the rows of each entry, in shares of the batch; restarts."""
        if self._batch is None:
            return
        e, codes = self._batch
        one_hot = torch.nn.functional.one_hot(codes, self.n_codes).to(e)
        share = (1 - self.decay) / len(e)
        self.count.mul_(self.decay).add_(one_hot.sum(0), alpha=share)
        self.total.mul_(self.decay).add_(torch.einsum("npc,npd->pcd", one_hot, e), alpha=share)
        if self.restart:
            shape = self.count.shape
            row = torch.randint(len(e), shape, generator=generator, device=e.device)
            fresh = e[row, torch.arange(shape[0], device=e.device).unsqueeze(-1)]
            dead = self.count < self.restart / self.n_codes
            self.count.masked_fill_(dead, 1 / self.n_codes)
            self.total.copy_(torch.where(dead.unsqueeze(-1), fresh / self.n_codes, self.total))
        self.codebook.copy_(self.total / self.count.clamp(min=1e-9).unsqueeze(-1))
        self.width_squared.lerp_(self._error(e, codes), 1 - self.decay)
        self._batch = None

    def _error(self, e: Tensor, codes: Tensor) -> Tensor:
        """Mean squared distance a dimension of encodings from their codes, (n_positions,)."""
        error = (e - self.split(self.vectors(codes))).square().mean((0, 2))
        return error.clamp(min=MIN_WIDTH**2)

    @torch.no_grad()
    def finish(self, h: Tensor, prior: PriorModule) -> None:
        e = self.encodings(h)
        codes = self.codes(e)
        self.width_squared.copy_(self._error(e, codes))
        self.use.copy_(torch.nn.functional.one_hot(codes, self.n_codes).to(e).mean(0))
        self._batch = None

    def attributes(self) -> dict[str, object]:
        entropy = -torch.special.xlogy(self.use, self.use).sum(-1)
        return {
            "codebook_usage_": (self.use > 0).double().mean(-1).numpy(),
            "perplexity_": entropy.exp().double().numpy(),
        }


def _of_codes(log_q: Tensor, codes: Tensor) -> Tensor:
    """log q of chosen codes, summed over the positions: (n_samples, n_rows)."""
    expanded = log_q.expand(*codes.shape, -1)
    return expanded.gather(-1, codes.unsqueeze(-1)).squeeze(-1).sum(-1)
