"""Integer codes with a learned codebook: the vector-quantized variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from skvae._nn.clusters import k_means
from skvae._validation import a_real, an_int, one_of, or_none
from skvae.priors import PriorModule

from ._base import LatentModule
from ._codes import TEMPERATURE, CodeLatent, CodeModule

JITTER = 0.01  # standard deviation of noise added to duplicate entries, relative to all entries
MIN_COUNT = 1e-9  # proportion of the rows below which an entry is not moved


class Quantized(CodeLatent):
    r"""Vector quantization: each part of the code is one of a few learned vectors.

    The encoder computes a vector :math:`e_i(x)` for each position i. The code is a random entry of
    the codebook of the position, and the gradient of e is that of z (the straight-through
    estimator),

    .. math:: q(c_i|x) \propto \exp(-\|e_i(x) - v_{ic}\|^2 / 2 T s_i^2), \quad
        z = (v_{1 c_1}, v_{2 c_2}, \ldots),

    where :math:`s_i^2` is the mean squared distance to the nearest entry, per dimension. The
    codebooks are initialized by k-means and are moving averages of the vectors of their rows;
    unused entries are replaced by vectors of rows of the batch. A commitment loss keeps the vectors
    near the entries. The prior over the codes is learned with the model.

    With one position ``score_samples`` computes log p(x) exactly, as a sum over all codes;
    otherwise by importance sampling from q, as with other families.

    Parameters
    ----------
    n_codes : int, default=64
        Number of entries of the codebook of a position.
    n_codebooks : int or None, default=None
        Number of positions, of which `n_components` must be a multiple. None: one for every two
        components or, if `n_components` is odd, one for every component.
    temperature : float, default=2.0
        The temperature T of q, which determines how often other codes than the nearest are drawn
        in training. 0: always the nearest code, as in the paper; the bound is then that of a
        degenerate q, and importance sampling uses T = 1.
    commitment : float, default=0.25
        Weight of the squared distance between the vector of the encoder and the nearest entry.
    decay : float, default=0.99
        Decay factor of the moving averages per gradient step.
    restart : float, default=0.1
        An entry is replaced by the vector of a row of the batch if its number of rows falls below
        this proportion of the average. 0: never.
    start : {"k-means", "random"}, default="k-means"
        Initialization of the codebooks: means of clusters of the rows, or small random numbers,
        with which most entries usually remain unused.

    References
    ----------
    van den Oord, Vinyals & Kavukcuoglu (2017), Neural Discrete Representation Learning,
    arXiv:1711.00937. Takida et al. (2022), SQ-VAE, arXiv:2205.07547 (random codes). Razavi, van
    den Oord & Vinyals (2019), VQ-VAE-2, arXiv:1906.00446 (moving averages). Łańcucki et al. (2020),
    Robust Training of Vector Quantized Bottleneck Models, arXiv:2005.08520 (k-means, restarts).

    Examples
    --------
    >>> from skvae.latents import Quantized
    >>> Quantized(n_codes=128, n_codebooks=2)
    Quantized(n_codebooks=2, n_codes=128)
    """

    _constraints: ClassVar = {
        "n_codes": an_int(2),
        "n_codebooks": or_none(an_int(1)),
        "temperature": TEMPERATURE,
        "commitment": a_real("[0, inf)", least=0),
        "decay": a_real("[0, 1)", least=0, below=1),
        "restart": a_real("[0, 1)", least=0, below=1),
        "start": one_of("k-means", "random"),
    }

    def __init__(
        self,
        n_codes: int = 64,
        *,
        n_codebooks: int | None = None,
        temperature: float = 2.0,
        commitment: float = 0.25,
        decay: float = 0.99,
        restart: float = 0.1,
        start: str = "k-means",
    ) -> None:
        self.n_codes = n_codes
        self.n_codebooks = n_codebooks
        self.temperature = temperature
        self.commitment = commitment
        self.decay = decay
        self.restart = restart
        self.start = start

    def size(self, n_components: int | None, default: int) -> int:
        if self.n_codebooks is None:
            return super().size(n_components, default)
        if n_components is None:
            return max(1, default // self.n_codebooks) * self.n_codebooks
        if n_components % self.n_codebooks:
            raise ValueError(
                f"n_components={n_components} cannot be divided evenly among the "
                f"{self.n_codebooks} positions of {self!r}. Give a multiple of "
                f"{self.n_codebooks}, or leave n_components=None."
            )
        return n_components

    def sizes(self, candidates: Sequence[int]) -> list[int]:
        if self.n_codebooks is None:
            return super().sizes(candidates)
        return [k for k in candidates if k % self.n_codebooks == 0] or [self.n_codebooks]

    def build(self, n_components: int, n_hidden: int, generator: torch.Generator) -> LatentModule:
        self.size(n_components, n_components)  # raises if the codebooks would be of unequal size
        n_positions = self.n_codebooks
        if n_positions is None:
            n_positions = n_components if n_components % 2 else n_components // 2
        codebook = torch.empty(n_positions, self.n_codes, n_components // n_positions)
        codebook.uniform_(-1 / self.n_codes, 1 / self.n_codes, generator=generator)
        return _QuantizedModule(self, codebook, n_hidden, generator)


class _QuantizedModule(CodeModule):
    count: Tensor
    total: Tensor

    def __init__(
        self, family: Quantized, codebook: Tensor, n_hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__(codebook, n_hidden, family.temperature, generator)
        self.committed, self.decay, self.restart = family.commitment, family.decay, family.restart
        self.starts_from_clusters = family.start == "k-means"
        # Moving averages over the batches: proportion of the rows of an entry, and sum of their
        # vectors.
        self.register_buffer("count", torch.full(codebook.shape[:2], 1 / self.n_codes))
        self.register_buffer("total", codebook / self.n_codes)

    def commitment(self, e: Tensor, nearest: Tensor) -> Tensor:
        v = self.vectors(nearest)
        return self.committed * (e.flatten(-2) - v).square().sum(-1)

    @torch.no_grad()
    def initialize_from_data(
        self, h: Tensor, prior: PriorModule, generator: torch.Generator
    ) -> None:
        if self.starts_from_clusters:
            self._cluster(self.encodings(h), generator)
        super().initialize_from_data(h, prior, generator)

    def _cluster(self, e: Tensor, generator: torch.Generator) -> None:
        """Set the codebooks to the means of clusters."""
        seed = generator.initial_seed() % 2**32
        for i, vectors in enumerate(e.cpu().numpy().swapaxes(0, 1)):
            means, _ = k_means(vectors, self.n_codes, seed)
            n = len(means)
            source = np.arange(self.n_codes) % n  # duplicates, if there are more codes than rows
            entries = torch.from_numpy(means[source]).to(self.codebook)
            jitter = torch.randn(entries[n:].shape, generator=generator)
            entries[n:] += JITTER * jitter * entries.std()
            self.codebook[i] = entries
        count = torch.nn.functional.one_hot(self.codes(e), self.n_codes).sum(0).to(e)
        self.count.copy_(count / len(e))
        self.total.copy_(self.count.unsqueeze(-1) * self.codebook)

    @torch.no_grad()
    def after_step(self, generator: torch.Generator) -> None:
        if self._batch is None:
            return
        e, codes = self._batch
        one_hot = torch.nn.functional.one_hot(codes, self.n_codes).to(e)
        rate = (1 - self.decay) / len(e)
        self.count.mul_(self.decay).add_(one_hot.sum(0), alpha=rate)
        self.total.mul_(self.decay).add_(torch.einsum("npc,npd->pcd", one_hot, e), alpha=rate)
        if self.restart:
            self._restart(e, generator)
        in_use = (self.count > MIN_COUNT).unsqueeze(-1)
        means = self.total / self.count.clamp(min=MIN_COUNT).unsqueeze(-1)
        self.codebook.copy_(torch.where(in_use, means, self.codebook))
        super().after_step(generator)

    def _restart(self, e: Tensor, generator: torch.Generator) -> None:
        """Replace entries with few rows by vectors of rows of the batch."""
        shape = self.count.shape
        row = torch.randint(len(e), shape, generator=generator, device=e.device)
        fresh = e[row, torch.arange(shape[0], device=e.device).unsqueeze(-1)]
        unused = self.count < self.restart / self.n_codes
        self.count.masked_fill_(unused, 1 / self.n_codes)
        self.total.copy_(torch.where(unused.unsqueeze(-1), fresh / self.n_codes, self.total))
