r"""The loss of neighborhoods: rows that are near each other have codes that are near each other.

A graph joins each row to its k nearest neighbors among the encoded rows. Of B rows n that are drawn
for a step a neighbor n′ each is drawn from it, and codes have the kernel of t-SNE,

.. math:: q_{nm'} = \frac{1}{1 + s^2 \|\mu_n - \mu_{m'}\|^2}, \quad
    N = -\frac1B \sum_n \log \frac{q_{nn'}}{\frac1B \sum_m q_{nm'}}:

the neighbors of the other rows stand for rows that are no neighbors (noise contrastive estimation;
Damrich, Böhm, Hamprecht & Kobak 2023, arXiv:2206.01816). The row itself is moved by a random amount
toward another of its neighbors: the encoder must be smooth between rows that are near, or the codes
of new rows would be worse than those of the fitted ones (mixup; Zhang et al. 2018,
arXiv:1710.09412).
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from skvae._model.initialization import observed_features
from skvae._model.rows import Rows
from skvae._model.vae import VAE
from skvae.latents._codes import CodeModule
from skvae.objectives import Objective

from .batches import Order, Split

SCALE = 10.0  # s: codes are about as wide as the prior, and the kernel is 1 / s
EVERY = 2  # every second step has the loss, with twice the weight
MIX = 0.5  # of the way to a neighbor: the farthest that a row is moved
MAX_SEARCHED = 10_000  # rows among which the neighbors of a row are
MAX_FEATURES = 50  # more are reduced to so many principal components
N_PARTNERS = 3  # neighbors of each row by which rows held out are judged
CHUNK = 256  # rows held out that are compared with each other


def neighbor_graph(data: Rows, model: VAE, train: Tensor, k: int, seed: int) -> Tensor:
    """The k nearest neighbors of each row among the rows trained on, itself excluded.

    Numbers count in units of their standard deviation, levels as in factor analysis of mixed data,
    and a missing value is the mean. In a large table neighbors are among rows drawn at random.

    Returns
    -------
    graph : Tensor of int64 of shape (n_rows, k)
        With fewer columns where there are not so many rows; with none if no feature varies.
    """
    inputs = copy.deepcopy(model.inputs).cpu()
    _, x, _ = observed_features(data.to(torch.device("cpu")), inputs)
    numbers = x[:, : inputs.n_values]
    numbers /= np.maximum(numbers.std(0), 1e-12)
    if min(x.shape) > MAX_FEATURES:
        x = TruncatedSVD(MAX_FEATURES, random_state=seed).fit_transform(x)
    x = x.astype(np.float32)
    among = torch.unique(train.cpu()).numpy()
    if len(among) > MAX_SEARCHED:
        among = np.random.default_rng(seed).choice(among, MAX_SEARCHED, replace=False)
    k = min(k, len(among) - 1) if x.any() else 0
    if k == 0:
        return torch.zeros(len(x), 0, dtype=torch.long)
    search = NearestNeighbors(n_neighbors=k + 1).fit(x[among])
    found = among[search.kneighbors(x, return_distance=False)]
    drop = found == np.arange(len(x))[:, None]
    drop[~drop.any(1), -1] = True  # a row that is not among them has one neighbor more
    return torch.from_numpy(found[~drop].reshape(len(x), k))


def contrast(z: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of each row, and the gradients of its mean.

    Parameters
    ----------
    z, others : Tensor of shape (n, n_components)
        Codes of rows, and of a neighbor of each.

    Returns
    -------
    loss : Tensor of shape (n,)
    grad_z, grad_others : Tensor of shape (n, n_components)
    """
    n = len(z)
    a, b = SCALE * z, SCALE * others
    distance = a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T
    log_q = -torch.log1p(distance.clamp(min=0))
    total = torch.logsumexp(log_q, 1, keepdim=True)
    loss = (total.squeeze(1) - math.log(n)) - log_q.diagonal()
    weight = torch.exp(log_q - total)  # ∂ loss / ∂ log q, but for the neighbor
    weight.diagonal().sub_(1)
    weight *= torch.exp(log_q) * (-2 * SCALE / n)  # ∂ log q / ∂ distance = −q
    grad_z = weight.sum(1, keepdim=True) * a - weight @ b
    grad_others = weight.sum(0).unsqueeze(1) * b - weight.T @ a
    return loss, grad_z, grad_others


class Neighborhood:
    """The loss of one model over the rows of a table.

    Parameters
    ----------
    model : VAE
    data : Rows
        The encoded table, on the device of the model.
    split : Split
        The rows to draw from.
    size : int
        How many to draw for a step.
    graph : Tensor of shape (n_rows, k)
        The neighbors of each row.
    weight : float
    generator : torch.Generator
    """

    def __init__(
        self, model: VAE, data: Rows, split: Split, size: int, graph: Tensor, weight: float,
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        self.model, self.data, self.generator = model, data, generator
        self.graph, self.weight = graph, weight
        self.rows = Order(split, size, generator)

    @classmethod
    def of(
        cls, model: VAE, data: Rows, split: Split, size: int, objective: Objective,
        generator: torch.Generator,
    ) -> Neighborhood | None:  # fmt: skip
        """The loss that an objective asks for; None: it has no weight, or nothing to compare."""
        weight = objective.neighbor_weight(len(model.latent.shown)) * data.n_columns
        if not weight or isinstance(model.latent, CodeModule):
            return None
        seed = generator.initial_seed() % 2**32
        graph = neighbor_graph(data, model, split.train, objective.n_neighbors, seed)
        if not graph.shape[1]:
            return None
        graph = graph.to(split.train.device)
        return cls(model, data, split, size, graph, weight, generator)

    def add_gradient(self, step: int) -> None:
        """Add the gradient of the weighted mean loss of the next rows to that of the parameters."""
        if step % EVERY:
            return
        index = next(self.rows)
        n = len(index)
        x, y, others = map(self._inputs, (index, self._draw(index), self._draw(index)))
        share = torch.rand(n, 1, generator=self.generator, device=x.device)
        z = self._codes(torch.cat([torch.lerp(x, y, MIX * share), others]))
        _, *gradients = contrast(*z.detach().split(n))
        z.backward(EVERY * self.weight * torch.cat(gradients))

    @torch.no_grad()
    def losses(self, index: Tensor) -> Tensor:
        """The weighted loss of each row, without random draws: (n,)."""
        last = self.graph.shape[1] - 1
        partners = {round(i * last / (N_PARTNERS - 1)) for i in range(N_PARTNERS)}
        found = []
        for rows in index.split(CHUNK):
            z = self._codes(self._inputs(rows))
            others = (self._codes(self._inputs(self.graph[rows, j])) for j in sorted(partners))
            found.append(torch.stack([contrast(z, each)[0] for each in others]).mean(0))
        return self.weight * torch.cat(found)

    def _draw(self, index: Tensor) -> Tensor:
        """A neighbor of each row."""
        k, shape = self.graph.shape[1], index.shape
        pick = torch.randint(k, shape, generator=self.generator, device=index.device)
        return self.graph[index, pick]

    def _inputs(self, index: Tensor) -> Tensor:
        rows = self.data.take(index)
        return self.model.inputs(rows.values, rows.codes, rows.missing)

    def _codes(self, inputs: Tensor) -> Tensor:
        """z without noise: the posterior mean of the Gaussian family."""
        latent = self.model.latent
        noise = inputs.new_zeros(1, 1, latent.n_noise)
        return latent.draw(self.model.encoder(inputs), noise, self.model.prior).z[0][
            :, latent.shown
        ]
