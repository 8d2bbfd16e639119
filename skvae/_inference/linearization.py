r"""The posterior of a row whose likelihood is linearized, under a mixture of Gaussians as prior.

Around the code ẑ that the encoder gives a row, with the Jacobian J of the decoder, the score s and
the Fisher information I of the likelihood,

.. math:: \log p(x|z) \approx \text{const} + b \cdot z - \tfrac12 z \cdot H z,
    \qquad H = J^T I J, \quad b = H \hat z + J^T s.

The Fisher information of a rare level or atom is small where it occurs, and the curvature of the
decoder is not in it. The encoder has learned both, on average over rows: with
:math:`q(z|x) = N(m, \Sigma)`, trained under N(0, I), the likelihood is about proportional to
:math:`q(z|x) / N(z; 0, I)`, with :math:`H_q = \Sigma^{-1} - I` and :math:`b_q = \Sigma^{-1} m`. The
two are pooled, :math:`(1 - w)(H, b) + w (H_q, b_q)` with ẑ = m and a weight w that is
proportional to the share of columns with levels or atoms. Where the encoder is wrong, the
draws are worth little, and the row is linearized again without it.

Under a prior :math:`\sum_m \pi_m N(\mu_m, V_m)` the posterior of this linear model is a mixture
with as many components, known in closed form: component m has covariance
:math:`C_m = (H + V_m^{-1})^{-1}`, mean :math:`C_m (b + V_m^{-1} \mu_m)` and the proportion
:math:`\pi_m Z_m / \sum_l \pi_l Z_l` with the evidence :math:`Z_m = \int N(z; \mu_m, V_m)
\exp(b \cdot z - \tfrac12 z \cdot H z)\, dz`. A draw from it has the weight

.. math:: \frac{p(x, z)}{q(z)} = \frac{p(x|z)}{\exp(b \cdot z - \tfrac12 z \cdot H z)}
    \sum_m \pi_m Z_m,

in which the prior does not occur: only the nonlinearity of the decoder moves it. In a linear
Gaussian model it is constant, and one draw is exact. So that few matrices are factorized for a row,
components share the variances of their group; the weight then has the ratio of the two densities of
the component that was drawn as a further factor. Of a prior that is only near such a mixture, the
ratio of the two is another one.

The proposal is that of a Gauss-Newton (Laplace) approximation (Tierney & Kadane 1986) for each
component of the prior.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae._nn.densities import log_mixture
from skvae.likelihoods import Atoms, Bernoulli, Categorical, Ordinal
from skvae.priors import MixtureOfGaussians, PriorModule

from .importance import EncodedRows
from .information import score_and_root

MAX_COMPONENTS = 64  # of z; the work for a row is cubic in them
N_GROUPS = 8  # of components of the prior with equal variances
MAX_SINGLE = 1e4  # nats; larger log-densities have too large an error in single precision
MAX_NUMBERS = 2**18  # in the widest tensor of a chunk of rows, which should fit the cache
# w in a table of levels alone. On tables with many levels the standard error of log p of 16 draws
# fell to .15 … .6 of what it is without; on tables of numbers the score fell by up to .15 nats.
ENCODER_WEIGHT = 0.3
MAX_PRECISION = 1e12  # of q(z | x), so that none is infinite
MIN_CHUNK = 16  # rows; for fewer the weights of a wide decoder are read too often


class GroupedMixture:
    """A mixture of Gaussians whose components are in groups with equal variances.

    Attributes
    ----------
    group : Tensor of shape (n_mixture,)
        The group of each component; they are in the order of the groups.
    mean : Tensor of shape (n_mixture, k)
    var, precision : Tensor of shape (n_groups, k)
        The variances of each group, in double precision, and their inverses.
    """

    def __init__(self, mixture: MixtureOfGaussians) -> None:
        dtype = mixture.mean.dtype
        log_var = mixture.log_var.double()
        group, centers = _groups(log_var, mixture.log_proportions.exp())
        order = torch.argsort(group, stable=True)
        self.group, self.var = group[order], centers.exp()
        mean, exact = mixture.mean.double()[order], log_var[order].exp()
        sizes = torch.bincount(self.group, minlength=len(self.var)).tolist()
        # −½ μ·Aμ + a·μ of all components is one product with these and (A, a) of each row.
        i, j = self.upper = torch.triu_indices(*mean.shape[1:] * 2, device=mean.device)
        half = torch.where(i == j, -0.5, -1.0).to(mean)
        features = torch.cat([half * mean[:, i] * mean[:, j], mean], dim=1).to(dtype)
        self.features = [part.T.contiguous() for part in features.split(sizes)]
        self.log_proportions = mixture.log_proportions[order].to(dtype).split(sizes)
        # log N(z; μ, exact variance) − log N(z; μ, variance of the group)
        # = (z − μ)² · ratio_weight + ratio_constant
        grouped = self.var[self.group]
        self.ratio_weight = (-0.5 * (1 / exact - 1 / grouped)).to(dtype)
        self.ratio_constant = (-0.5 * (exact / grouped).log().sum(-1)).to(dtype)
        self.mean, self.precision = mean.to(dtype), (1 / self.var).to(dtype)


def _groups(log_var: Tensor, proportions: Tensor) -> tuple[Tensor, Tensor]:
    """Group of each component, and the mean log-variance of each group, by k-means."""
    points, first = np.unique(log_var.cpu().numpy(), axis=0, return_inverse=True)
    group, centers = first.ravel(), points
    if len(points) > N_GROUPS:
        weight = np.bincount(group, weights=proportions.double().cpu().numpy())
        labels, centers = _clusters(points, weight)
        group = labels[group]
    return torch.from_numpy(group).to(log_var.device), torch.from_numpy(centers).to(log_var.device)


def _clusters(points: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cluster of each of some weighted points, and the centers."""
    from sklearn.cluster import KMeans  # it imports half of scikit-learn

    found = KMeans(N_GROUPS, n_init=1, random_state=0).fit(points, sample_weight=weight + 1e-12)
    used, labels = np.unique(found.labels_, return_inverse=True)
    return labels, found.cluster_centers_[used]


# The grouped prior of each fitted model, with the tensors that it was made of and their versions.
_GROUPED: WeakKeyDictionary[PriorModule, tuple[list, GroupedMixture]] = WeakKeyDictionary()


def grouped(prior: PriorModule, mixture: MixtureOfGaussians) -> GroupedMixture:
    """The grouped mixture of a prior; made once, as long as the prior does not change."""
    tensors = [*prior.parameters(), *prior.buffers()]
    before, found = _GROUPED.get(prior, ([], None))
    same = len(before) == len(tensors) and all(
        old is new and version == new._version
        for (old, version), new in zip(before, tensors, strict=True)
    )
    # A prior in training may use other parts of itself than after it.
    if found is None or not same or len(found.group) != len(mixture.mean):
        found = GroupedMixture(mixture)
        _GROUPED[prior] = [(tensor, tensor._version) for tensor in tensors], found
    return found


def linearize(model: VAE, rows: Rows, z: Tensor) -> tuple[Tensor, Tensor]:
    """H, (n, k, k), and the gradient of log p(x | z), (n, k), of each row at a code."""
    n, k = z.shape
    outputs, jacobian = model.outputs_and_jacobian(z)
    precision, gradient = z.new_zeros(n, k, k), z.new_zeros(n, k)
    parts = model.by_group(jacobian)
    for (group, o), (_, tangents) in zip(model.by_group(outputs), parts, strict=True):
        cells, tangents = group.target(rows), group.split(tangents)
        score, root = score_and_root(group.likelihood, cells, group.split(o), group)
        scaled = root(tangents)
        if rows.missing is not None:
            missing = rows.missing[:, group.columns(model.inputs.n_values)].unsqueeze(-1)
            score, scaled = score.masked_fill(missing, 0.0), scaled.masked_fill(missing, 0.0)
        each = scaled.flatten(2).transpose(0, 1)
        precision = precision + each @ each.mT
        tangents = tangents.flatten(2).transpose(0, 1)
        gradient = gradient + (tangents @ score.flatten(1).unsqueeze(-1)).squeeze(-1)
    return precision, gradient


def _share_with_levels(model: VAE) -> float:
    """The proportion of the columns that have levels or values with a probability of their own."""
    families = (Atoms, Bernoulli, Categorical, Ordinal)
    sizes = [(group.n_columns, isinstance(group.likelihood, families)) for group in model.groups]
    n_columns = sum(n for n, _ in sizes)
    return sum(n for n, has_levels in sizes if has_levels) / max(1, n_columns)


@dataclass(frozen=True)
class LinearizedPosterior:
    """The posterior mixture of each row; the last axes are those of the latent dimensions.

    Attributes
    ----------
    prior : GroupedMixture
    center : Tensor of shape (n, k)
        The code ẑ around which the row is linearized.
    precision, gradient : Tensor of shape (n, k, k) and (n, k)
        H, and the gradient of log p(x | z) at ẑ.
    shift : Tensor of shape (n, k)
        b.
    inverse_root : Tensor of shape (n, n_groups, k, k)
        Inverse of the Cholesky factor of H + 1/V.
    cumulated : Tensor of shape (n, n_mixture)
        Cumulative sums of the proportions of the components, up to a factor.
    log_evidence : Tensor of shape (n,)
        log Σ_m π_m Z_m, of the likelihood relative to that at ẑ, in double precision.
    """

    prior: GroupedMixture
    center: Tensor
    precision: Tensor
    gradient: Tensor
    shift: Tensor
    inverse_root: Tensor
    cumulated: Tensor
    log_evidence: Tensor

    @classmethod
    def of(
        cls, prior: GroupedMixture, center: Tensor, precision: Tensor, gradient: Tensor
    ) -> LinearizedPosterior:
        """Matrices are factorized in double precision; the rest is in that of the arguments."""
        dtype, k = center.dtype, center.shape[1]
        at, h = center.double(), precision.double()
        product = (h @ at.unsqueeze(-1)).squeeze(-1)
        shift = product + gradient.double()
        total = h.unsqueeze(1).repeat(1, len(prior.var), 1, 1)
        total.diagonal(dim1=-2, dim2=-1).add_(1 / prior.var)
        root = torch.linalg.cholesky_ex(total)[0]
        eye = torch.eye(k, dtype=total.dtype, device=total.device)
        inverse_root = torch.linalg.solve_triangular(root, eye, upper=False)
        covariance = inverse_root.mT @ inverse_root
        mean = (covariance @ shift[:, None, :, None]).squeeze(-1)  # of a component at 0
        log_z = 0.5 * (shift.unsqueeze(1) * mean).sum(-1) - 0.5 * prior.var.log().sum(-1)
        log_z = log_z + inverse_root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        # A = 1/V − C/V², a = C b / V: log Z_m = log Z at 0 − ½ μ·Aμ + a·μ
        grouped = prior.precision.double()
        quadratic = -covariance * grouped.unsqueeze(-1) * grouped.unsqueeze(-2)
        quadratic.diagonal(dim1=-2, dim2=-1).add_(grouped)
        i, j = prior.upper
        weights = torch.cat([quadratic[..., i, j], grouped * mean], dim=-1).to(dtype)
        base = log_z.amax(1, keepdim=True)
        constant = (log_z - base).to(dtype)
        each = [
            torch.addmm(constant[:, g : g + 1] + log_pi, weights[:, g], prior.features[g])
            for g, log_pi in enumerate(prior.log_proportions)
        ]
        log_terms = torch.cat(each, dim=1)
        top = log_terms.amax(1, keepdim=True)
        cumulated = (log_terms - top).clamp_(min=-60.0).exp_().cumsum(1)
        # b·z − ½ z·Hz is the linearized log-likelihood relative to that at ẑ, plus this constant.
        at_center = (shift * at).sum(-1) - 0.5 * (product * at).sum(-1)
        log_evidence = (cumulated[:, -1].log() + top.squeeze(1)).double() + base.squeeze(1)
        return cls(
            prior, center, precision, gradient, shift.to(dtype), inverse_root.to(dtype),
            cumulated, log_evidence - at_center,
        )  # fmt: skip

    def take(self, index: Tensor) -> LinearizedPosterior:
        """The posteriors at the given positions."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        taken = {name: t[index] for name, t in values.items() if isinstance(t, Tensor)}
        return LinearizedPosterior(self.prior, **taken)

    def put(self, index: Tensor, other: LinearizedPosterior) -> None:
        """Replace the posteriors at the given positions, in place."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                value[index] = getattr(other, field.name)

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws z, (K, n, k), and log p(z) − log q(z), (K, n), but for log p(x | ẑ).

        Parameters
        ----------
        noise : Tensor of shape (K, 1, k + 1)
            Standard normal; the last dimension chooses the component.
        """
        u = torch.special.ndtr(noise[:, 0, -1]).to(self.center)
        noise = noise[:, 0, :-1].to(self.center)
        prior = self.prior
        chosen = torch.searchsorted(self.cumulated, u * self.cumulated[:, -1:])
        chosen = chosen.clamp(max=len(prior.group) - 1)  # (n, K)
        mean = prior.mean[chosen]
        # z = C (b + μ/V) + R ε with C = R Rᵀ, for each group, and then that of the component
        direction = self.shift[:, None, None] + mean.unsqueeze(1) * prior.precision.unsqueeze(1)
        each = (direction @ self.inverse_root.mT + noise) @ self.inverse_root
        row, draw = (torch.arange(n, device=each.device) for n in (len(each), len(u)))
        z = each[row.unsqueeze(1), prior.group[chosen], draw]
        step = z - self.center.unsqueeze(1)
        linear = (step @ self.gradient.unsqueeze(-1)).squeeze(-1)
        quadratic = ((step @ self.precision) * step).sum(-1)
        exact_to_grouped = ((z - mean).square() * prior.ratio_weight[chosen]).sum(-1)
        exact_to_grouped = exact_to_grouped + prior.ratio_constant[chosen]
        log_ratio = self.log_evidence.unsqueeze(1) + exact_to_grouped - linear + 0.5 * quadratic
        return z.transpose(0, 1).contiguous(), log_ratio.T


class Linearization:
    """How the rows of a model are linearized; made by :meth:`of`, where that is possible."""

    def __init__(self, model: VAE, mixture: MixtureOfGaussians, is_prior: bool) -> None:
        self.model, self.mixture, self.is_prior = model, mixture, is_prior
        self.prior = grouped(model.prior, mixture)
        self.encoder_weight = ENCODER_WEIGHT * _share_with_levels(model)
        k = model.latent.n_components
        widest = max(model.decoder.n_outputs, model.head.weight.shape[0])
        numbers = max(k * widest, len(self.prior.var) * k * k, len(self.prior.group))
        most = MAX_NUMBERS if model.device.type == "cpu" else model.max_numbers
        self.chunk_size = max(MIN_CHUNK, int(most // numbers))
        self.n_noise = k + 1

    @classmethod
    def of(cls, model: VAE) -> Linearization | None:
        """None: no mixture is near the prior, or z is no vector that the decoder takes."""
        if not model.latent.supports_linearization:
            return None
        exact = model.prior.as_mixture()
        mixture = model.prior.near_mixture() if exact is None else exact
        if mixture is None or model.latent.n_components > MAX_COMPONENTS:
            return None
        return cls(model, mixture, exact is not None)

    @cached_property
    def in_double(self) -> Linearization:
        """The same in double precision."""
        model = copy.deepcopy(self.model).double()
        return Linearization(model, self.mixture.double(), self.is_prior)

    def posterior(self, encoded: EncodedRows) -> LinearizedPosterior:
        """Of each row, linearized at the mean m of q(z | x), and pooled with q(z | x)."""
        mean, log_var = self.model.latent.moments(encoded.h, self.model.prior)
        w, (precision, gradient) = self.encoder_weight, linearize(self.model, encoded.rows, mean)
        precision_q = torch.exp(-log_var).clamp(1.0, MAX_PRECISION)
        of_encoder = torch.diag_embed(precision_q - 1)  # H_q; b_q − H_q m = m
        pooled = (1 - w) * precision + w * of_encoder, (1 - w) * gradient + w * mean
        return LinearizedPosterior.of(self.prior, mean, *pooled)

    def at(self, rows: Rows, z: Tensor) -> LinearizedPosterior:
        """Of each row, linearized at z, without the encoder."""
        z = z.to(rows.values)
        return LinearizedPosterior.of(self.prior, z, *linearize(self.model, rows, z))

    def draw(
        self,
        posterior: LinearizedPosterior,
        rows: Rows,
        noise: Tensor,
        *,
        under_mixture: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draws of the rows; the prior may take much longer than the mixture near it.

        Returns
        -------
        z : Tensor of shape (K, n, k)
        log_w : Tensor of shape (K, n)
            log p(x, z) − log q(z), in double precision; −∞ where it is not finite.
        cells : Tensor of shape (K, n, n_columns)
            log p(x_j | z).
        """
        z, log_ratio = posterior.draw(noise)
        if not (self.is_prior or under_mixture):
            each = self.mixture
            near = log_mixture(z, each.log_proportions, each.mean, each.log_var)
            log_ratio = log_ratio + (self.model.prior.log_prob(z) - near)
        cells = self.model.cells(z, rows)
        log_px = cells.sum(-1)
        log_w = log_px.double() + log_ratio
        log_w = log_w.masked_fill(~torch.isfinite(log_w), -torch.inf)
        if z.dtype == torch.float32:
            is_small = (log_px.abs() <= MAX_SINGLE) & (log_ratio.abs() <= MAX_SINGLE)
            large = torch.nonzero(~is_small.all(0)).squeeze(1)
            if len(large):
                of_large = posterior.take(large), rows.take(large), noise
                z, cells = z.double(), cells.double()
                z[:, large], log_w[:, large], cells[:, large] = self._draw_in_double(
                    *of_large, under_mixture
                )
        return z, log_w, cells

    def _draw_in_double(
        self, posterior: LinearizedPosterior, rows: Rows, noise: Tensor, under_mixture: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """For rows whose log-density has too large an error in single precision."""
        parts = (posterior.center, posterior.precision, posterior.gradient)
        exact = LinearizedPosterior.of(self.in_double.prior, *(part.double() for part in parts))
        return self.in_double.draw(exact, rows.double(), noise, under_mixture=under_mixture)
