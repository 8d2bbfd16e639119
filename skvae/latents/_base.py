"""The contract of a latent family: from encoder outputs and noise to a :class:`Draw`.

A code z may have several stochastic layers. Its first columns are those of layer 1, the input of
the decoder, followed by those of layer 2 and so on; the prior is the distribution of the last
layer. Most families have one layer.
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
    """The posterior of the closed-form initialization: N(weight · x + bias, exp(log_var)).

    Attributes
    ----------
    weight : Tensor of shape (n_decoded, n_inputs)
    bias : Tensor of shape (n_decoded,)
    log_var : Tensor of shape (n_decoded,)
        Log-variance of a row without missing values.
    missing : Tensor of shape (n_decoded, n_inputs)
        The amount that a missing value adds to ``log_var``: non-zero for the inputs that indicate
        missing values.
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
        Sizes of the stochastic layers, from the input of the decoder upwards.
    shown : list of int
        Columns of z that ``transform`` returns.
    n_noise : int
        Number of standard normal variables for one draw of one row.
    width : int
        Number of elements that ``draw`` needs in memory for one z. It limits the number of rows
        that are evaluated at once.
    n_moment_draws : int
        Number of draws of a row in ``moments``.
    uses_data : bool
        Whether ``initialize_from_data`` and ``finalize`` are implemented. If not, the encoder
        outputs for them are not computed.
    is_refinable : bool
        Whether z is a differentiable function of the base noise.
    n_enumerated : int
        Number of codes of ``enumerate``. 0: it is not implemented.
    supports_shared_codes : bool
        Whether ``log_prob`` is efficient for the same codes, (n_samples, 1, n_components), in all
        rows.
    supports_linearization : bool
        Whether z is the input of the decoder, and p(z) the prior.
    supports_reordering : bool
        Whether ``reorder`` is implemented.
    supports_vmap : bool
        Whether ``draw`` can be used with ``torch.func.vmap``: it has no data-dependent control flow
        and no side effects. Then several models are trained as one.
    """

    width: int = 1
    n_moment_draws: int = MOMENT_DRAWS
    uses_data: bool = False
    is_refinable: bool = True
    n_enumerated: int = 0
    supports_shared_codes: bool = False
    supports_linearization: bool = False
    supports_vmap: bool = False
    supports_reordering: bool = False

    def __init__(self, layers: Sequence[int]) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.n_components = self.n_noise = sum(layers)
        self.shown = list(range(self.n_components))

    # ------------------------------------------------------------ required of every family

    @abstractmethod
    def draw(self, h: Tensor, noise: Tensor, prior: PriorModule) -> Draw:
        """Draws from q(z | x).

        Parameters
        ----------
        h : Tensor of shape (n_rows, n_hidden)
            Encoder outputs. The first columns are the inputs of the encoder.
        noise : Tensor of shape (n_samples, n_rows or 1, n_noise)
            Standard normal base noise, pseudo- or quasi-random.
        prior : PriorModule

        Returns
        -------
        draw : Draw
        """

    @abstractmethod
    def log_prob(self, z: Tensor, h: Tensor, prior: PriorModule) -> Tensor:
        """log q(z | x) at given codes.

        Parameters
        ----------
        z : Tensor of shape (n_samples, n_rows, n_components)
        h : Tensor of shape (n_rows, n_hidden)
            Encoder outputs.
        prior : PriorModule

        Returns
        -------
        log_prob : Tensor of shape (n_samples, n_rows)
        """

    @abstractmethod
    def initialize(self, posterior: LinearPosterior) -> None:
        """Set the parameters so that q(z | x) is the given linear posterior.

        Parameters
        ----------
        posterior : LinearPosterior
        """

    # -------------------------------------------------- overridden by some of the families

    def moments(self, h: Tensor, prior: PriorModule) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x).

        By default they are estimated from quasi-random draws.

        Parameters
        ----------
        h : Tensor of shape (n_rows, n_hidden)
            Encoder outputs.
        prior : PriorModule

        Returns
        -------
        mean, log_var : Tensor of shape (n_rows, n_components)
        """
        z = self.draw(h, quasi_normal(MOMENT_DRAWS, self.n_noise).to(h), prior).z
        return z.mean(0), z.var(0).clamp(min=1e-12).log()

    def embed(self, h: Tensor, prior: PriorModule) -> Tensor:
        """The deterministic embedding of a row, (n_rows, n_components)."""
        return self.moments(h, prior)[0]

    def log_pz(self, z: Tensor, prior: PriorModule) -> Tensor:
        """log p(z) of all layers, (n_samples, n_rows)."""
        return prior.log_prob(z)

    def sample(self, n_samples: int, prior: PriorModule, generator: torch.Generator) -> Tensor:
        """Draws from p(z), (n_samples, n_components)."""
        return prior.sample(n_samples, generator)

    def build_prior(self, prior: Prior, generator: torch.Generator) -> PriorModule:
        """The module of the prior of the last layer."""
        return prior.build(self.layers[-1], generator)

    def enumerate(self, h: Tensor, prior: PriorModule) -> Draw | None:
        """All codes, if there are few of them: p(x) is the sum over these. Otherwise None."""
        return None

    def snap(self, z: Tensor) -> Tensor:
        """The nearest valid codes to z, (n_rows, n_components). By default all are valid."""
        return z

    def fill(self, z: Tensor, layers: Collection[int]) -> Tensor:
        """z with some layers (0: the lowest) set to their conditional mean given the layer above.

        Parameters
        ----------
        z : Tensor of shape (n_rows, n_components)
        layers : collection of int

        Returns
        -------
        z : Tensor of shape (n_rows, n_components)
        """
        return z

    def initialize_from_data(
        self, h: Tensor, prior: PriorModule, generator: torch.Generator
    ) -> None:
        """Set parameters from the outputs of the untrained encoder for some rows.

        Parameters
        ----------
        h : Tensor of shape (n_rows, n_hidden)
        prior : PriorModule
        generator : torch.Generator
        """

    def after_step(self, generator: torch.Generator) -> None:
        """Update the parameters that have no gradient, after each gradient step."""

    def finalize(self, h: Iterable[Tensor], continued: bool) -> None:
        """Set parameters from the outputs of the trained encoder for the rows.

        Parameters
        ----------
        h : iterable of Tensor of shape (n_rows, n_hidden)
            The outputs in chunks of rows.
        continued : bool
            Whether the rows are added to those of earlier calls.
        """

    def reorder(self, order: Tensor, sign: Tensor) -> None:
        """Permute the dimensions of z and change their signs.

        Parameters
        ----------
        order : Tensor of shape (n_components,), int64
        sign : Tensor of shape (n_components,)
            1 or −1 for each dimension in the new order.

        Raises
        ------
        NotImplementedError
            If not ``supports_reordering``.
        """
        raise NotImplementedError

    def generative_parameters(self) -> list[nn.Parameter]:
        """The parameters of the module that belong to p(z)."""
        return []

    def attributes(self) -> dict[str, object]:
        """Fitted attributes that the family adds to the estimator."""
        return {}

    # ---------------------------------------------------------------- common to all families

    def detached(self, draw: Draw, h: Tensor, prior: PriorModule) -> Draw:
        """The draw with fixed z: gradients reach only the parameters of p and q."""
        z = draw.z.detach()
        return Draw(z, self.log_pz(z, prior), self.log_prob(z, h, prior), penalty=draw.penalty)

    def decoded(self, z: Tensor) -> Tensor:
        """The input of the decoder: the lowest layer of z."""
        return z[..., : self.layers[0]]

    def under_prior(self, z: Tensor) -> Tensor:
        """The highest layer of z, whose distribution is the prior."""
        return z[..., self.n_components - self.layers[-1] :]

    def slices(self) -> list[slice]:
        """The columns of each layer, from the lowest upwards."""
        bounds = itertools.accumulate(self.layers, initial=0)
        return [slice(*pair) for pair in itertools.pairwise(bounds)]

    def names(self) -> list[str]:
        """A name for each column of z."""
        if len(self.layers) == 1:
            return [str(i) for i in range(self.n_components)]
        return [f"_layer{n}_{i}" for n, size in enumerate(self.layers, 1) for i in range(size)]


class Latent(ABC, Component):
    """A latent family.

    Attributes
    ----------
    warmup : float
        The warm-up of objectives that are given by name.
    has_codes : bool
        Whether z stands for integer codes.
    """

    warmup: float = 0.0
    has_codes: bool = False

    def default_prior(self) -> Prior:
        """The prior for ``prior="auto"``."""
        return Aggregated()

    def size(self, n_components: int | None, default: int) -> int:
        """Number of components of the family.

        Parameters
        ----------
        n_components : int or None
            The parameter of the estimator. None: the family chooses.
        default : int
            Number of components that suits the table.

        Returns
        -------
        n_components : int

        Raises
        ------
        ValueError
            If the family cannot have `n_components` components.
        """
        return default if n_components is None else n_components

    def sizes(self, candidates: Sequence[int]) -> list[int]:
        """The numbers of components that the family can have, for a search.

        Parameters
        ----------
        candidates : sequence of int
            Numbers of components, in increasing order.

        Returns
        -------
        sizes : list of int
            Those of the candidates that are possible; if none is, the smallest possible number.
        """
        return list(candidates)

    def check_partners(self, prior: Prior, objective: Objective) -> None:
        """Check that the family can be combined with a prior and an objective.

        Parameters
        ----------
        prior : Prior
        objective : Objective

        Raises
        ------
        ValueError
            If it cannot; the message gives the reason and an alternative.
        """
        if prior.over_codes:
            raise ValueError(
                f"prior={prior!r} is over integer codes, which {type(self).__name__} does not "
                "have. Use it with latent='quantized' or 'finite_scalar', or leave prior='auto'."
            )

    @abstractmethod
    def build(self, n_components: int, n_hidden: int, generator: torch.Generator) -> LatentModule:
        """The module of the posterior.

        Parameters
        ----------
        n_components : int
            Number of dimensions of z, in all layers.
        n_hidden : int
            Number of outputs of the encoder for a row.
        generator : torch.Generator
            Source of the initial parameters.

        Returns
        -------
        module : LatentModule
        """
