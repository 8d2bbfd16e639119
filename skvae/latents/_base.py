"""The contract between a latent family and the rest: noise in, :class:`Draw` out.

A code z may have several stochastic layers: its columns are those of layer 1, which the decoder
reads, then of layer 2 and so on; the prior is on the last. Most families have one layer.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skvae._component import Component
from skvae._nn.draw import Draw
from skvae._nn.noise import quasi_normal
from skvae.objectives import Objective
from skvae.priors import Aggregated, Prior, PriorModule

MOMENT_DRAWS = 64


@dataclass
class LinearPosterior:
    """The posterior of the closed-form start: N(weight · x + bias, exp(log_var)).

    Attributes
    ----------
    weight : Tensor of shape (n_decoded, n_inputs)
    bias : Tensor of shape (n_decoded,)
    log_var : Tensor of shape (n_decoded,)
        With all cells seen.
    missing : Tensor of shape (n_decoded, n_inputs)
        What a missing cell adds to ``log_var``: non-zero for the inputs that flag it.
    """

    weight: Tensor
    bias: Tensor
    log_var: Tensor
    missing: Tensor


class LatentModule(nn.Module, ABC):
    """q(z | x) with its learned parameters.

    Attributes
    ----------
    layers : tuple of int
        Sizes of the stochastic layers, from the one that the decoder reads up.
    shown : list of int
        Columns of z that ``transform`` gives.
    n_noise : int
        Standard normal numbers that one draw of one row needs.
    width : int
        Numbers that ``draw`` needs at once for one z; chunks of rows are cut by it.
    n_moment_draws : int
        Draws of a row that ``moments`` needs.
    uses_data : bool
        Whether ``look`` and ``finish`` do something: encoding the table for them takes time.
    is_refinable : bool
        Whether z is a differentiable function of the base noise.
    n_enumerated : int
        Codes that ``enumerate`` lists; 0: it does not.
    supports_shared_codes : bool
        Whether ``log_prob`` takes the same codes, (n_samples, 1, n_components), for every row, at
        a price that is worth it.
    supports_reordering : bool
        Whether ``reorder`` is there.
    supports_vmap : bool
        Whether ``draw`` is a plain function of tensors that leaves no trace on the module, fit
        for ``torch.func.vmap``: then several models are trained as one.
    """

    width: int = 1
    n_moment_draws: int = MOMENT_DRAWS
    uses_data: bool = False
    is_refinable: bool = True
    n_enumerated: int = 0
    supports_shared_codes: bool = False
    supports_vmap: bool = False
    supports_reordering: bool = False

    def __init__(self, layers: Sequence[int]) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.n_components = self.n_noise = sum(layers)
        self.shown = list(range(self.n_components))

    # -------------------------------------------------------------------- every family

    @abstractmethod
    def draw(self, h: Tensor, noise: Tensor, prior: PriorModule) -> Draw:
        """Draws of q(z | x).

        Parameters
        ----------
        h : Tensor of shape (n_rows, n_hidden)
            What the encoder says of each row. Its first columns are the encoder's inputs.
        noise : Tensor of shape (n_samples, n_rows or 1, n_noise)
            Standard normal base noise, pseudo- or quasi-random.
        prior : PriorModule
        """

    @abstractmethod
    def log_prob(self, z: Tensor, h: Tensor, prior: PriorModule) -> Tensor:
        """log q(z | x) at given codes, (n_samples, n_rows)."""

    @abstractmethod
    def initialize(self, posterior: LinearPosterior) -> None:
        """Set the parameters so that q(z | x) is the given linear posterior."""

    # -------------------------------------------- families that are more than a posterior

    def moments(self, h: Tensor, prior: PriorModule) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), each (n_rows, n_components).

        By quasi-random draws, for families that know no closed form.
        """
        z = self.draw(h, quasi_normal(MOMENT_DRAWS, self.n_noise).to(h), prior).z
        return z.mean(0), z.var(0).clamp(min=1e-12).log()

    def embed(self, h: Tensor, prior: PriorModule) -> Tensor:
        """The deterministic embedding of a row, (n_rows, n_components)."""
        return self.moments(h, prior)[0]

    def log_pz(self, z: Tensor, prior: PriorModule) -> Tensor:
        """log p(z), over all layers."""
        return prior.log_prob(z)

    def sample(self, n_samples: int, prior: PriorModule, generator: torch.Generator) -> Tensor:
        """Draws of p(z), (n_samples, n_components)."""
        return prior.sample(n_samples, generator)

    def build_prior(self, prior: Prior, generator: torch.Generator) -> PriorModule:
        """The module of p(z), for the last layer."""
        return prior.build(self.layers[-1], generator)

    def enumerate(self, h: Tensor, prior: PriorModule) -> Draw | None:
        """Every code there is, for families that can list them: log p(x) is then their sum."""
        return None

    def snap(self, z: Tensor) -> Tensor:
        """The codes nearest to z that the decoder knows, for families that know not all."""
        return z

    def fill(self, z: Tensor, layers: Collection[int]) -> Tensor:
        """z with some layers (0: the lowest) set to their mean given the layer above."""
        return z

    def initialize_from_data(
        self, h: Tensor, prior: PriorModule, generator: torch.Generator
    ) -> None:
        """Look at what the untrained encoder says of some rows."""

    def after_step(self, generator: torch.Generator) -> None:
        """Whatever moves without a gradient, after each step of training."""

    def finalize(self, h: Iterable[Tensor], goes_on: bool) -> None:
        """Look at what the trained encoder says of the rows, chunk by chunk.

        If training goes on, these are more rows.
        """

    def reorder(self, order: Tensor, sign: Tensor) -> None:
        """Put the units in an order, with signs."""
        raise NotImplementedError

    def generative_parameters(self) -> list[nn.Parameter]:
        """Those of p(z), for families that own a part of it."""
        return []

    def attributes(self) -> dict[str, object]:
        """Fitted attributes that the family adds to the estimator."""
        return {}

    # ------------------------------------------------------------------------ for all

    def held(self, draw: Draw, h: Tensor, prior: PriorModule) -> Draw:
        """A draw with z fixed: gradients flow through the parameters of p and q alone."""
        z = draw.z.detach()
        return Draw(z, self.log_pz(z, prior), self.log_prob(z, h, prior), penalty=draw.penalty)

    def decoded(self, z: Tensor) -> Tensor:
        """What the decoder reads of z: the lowest layer."""
        return z[..., : self.layers[0]]

    def under_prior(self, z: Tensor) -> Tensor:
        """What the prior is on: the highest layer."""
        return z[..., self.n_components - self.layers[-1] :]

    def slices(self) -> list[slice]:
        """The columns of each layer, from the lowest up."""
        bounds = itertools.accumulate(self.layers, initial=0)
        return [slice(*pair) for pair in itertools.pairwise(bounds)]

    def names(self) -> list[str]:
        """A name for each column of z."""
        if len(self.layers) == 1:
            return [str(i) for i in range(self.n_components)]
        return [f"_layer{n}_{i}" for n, size in enumerate(self.layers, 1) for i in range(size)]


class Latent(ABC, Component):
    """A latent family: hyper-parameters only."""

    warmup: float = 0.0  # of the objective "elbo", where it is given by name
    has_codes: bool = False  # whether z stands for integers

    def default_prior(self) -> Prior:
        """The prior that "auto" stands for."""
        return Aggregated()

    def size(self, n_components: int | None, default: int) -> int:
        """Components that the family has if the user asks for `n_components`."""
        return default if n_components is None else n_components

    def check_partners(self, prior: Prior, objective: Objective) -> None:
        """Raise a ValueError that says why the family cannot go with a prior or an objective."""
        if prior.over_codes:
            raise ValueError(
                f"prior={prior!r} is over integer codes, which {type(self).__name__} does not "
                "have. Use it with latent='quantized' or 'finite_scalar', or leave prior='auto'."
            )

    @abstractmethod
    def build(self, n_components: int, n_hidden: int, generator: torch.Generator) -> LatentModule:
        """The module for an encoder that gives `n_hidden` numbers a row."""
