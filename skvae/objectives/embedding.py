"""The evidence lower bound for embedding and visualization."""

from __future__ import annotations

from typing import ClassVar

from sklearn.base import clone

from skvae._validation import an_int, is_real
from skvae.likelihoods import Normal
from skvae.priors import Aggregated, StandardNormal

from .elbo import ELBO


class Embedding(ELBO):
    r"""Evidence lower bound with the noise of PCA and a loss of neighborhoods, for embedding,

    .. math:: L = E_{q(z|x)}[\log p(x|z)] - \beta\, KL(q(z|x) \| p(z)) - \lambda d N, \quad
        p(x_j|z) = N(x_j; \mu_j(z), \sigma^2),

    with one noise variance for all numbers, unless `likelihood` is given, and a low weight of the
    KL term. The default objective fits the noise of each column, which gives higher densities, but
    codes that represent columns with little noise. With equal noise every column counts by its
    variance: codes reconstruct as much of the total variance as they can, and distances between
    codes approximate distances between rows.

    The last term, weighted by the number d of columns, compares neighbors. A graph joins each row
    to its nearest neighbors in the encoded table (numbers in units of their standard deviations,
    levels as in factor analysis of mixed data, a missing value as the mean). For rows n = 1 … B of
    a batch, with a neighbor n′ of each drawn from the graph,

    .. math:: N = -\frac1B \sum_n \log \frac{q_{nn'}}{\frac1B \sum_m q_{nm'}}, \quad
        q_{nm'} = \frac{1}{1 + s^2 \| E[z_n] - E[z_{m'}] \|^2},

    with s = 10 and expectations under the posteriors: in the code a row is nearer to its neighbors
    than to the neighbors of other rows. So few components keep the neighborhoods of a table, as
    those of t-SNE and UMAP do, and are still decoded, ordered and scored.

    Parameters
    ----------
    beta : float, default=0.2
        Weight of the KL term.
    warmup : float, default=0.0
        As in :class:`ELBO`.
    free_bits : float, default=0.0
        As in :class:`ELBO`.
    n_samples : int, default=1
        As in :class:`ELBO`.
    gradient : {"reparameterization", "score_function"}, default="reparameterization"
        As in :class:`ELBO`.
    neighbors : float or "auto", default="auto"
        :math:`\lambda`, the weight of the neighborhoods: with 1 they count as much as the
        log-density of a column. 0: the bound alone. "auto": 0.5 with up to three components, of
        which neighborhoods are more than the bound keeps, and 0 with more. The bounds of rows held
        out, by which training stops, have the term, too. Without it are trained: integer codes, and
        tables of so few rows that none are held out and the number of steps is chosen by
        cross-validation.
    n_neighbors : int, default=15
        Neighbors of each row in the graph.

    Notes
    -----
    In a table of more than 10 000 rows, the neighbors of a row are those among 10 000 rows drawn at
    random, so that the cost is linear in the number of rows. Columns with more than 32 levels do
    not count in the graph. Each call of ``fit`` or ``partial_fit`` has the graph of its own table.

    References
    ----------
    Kramer (1991), Nonlinear Principal Component Analysis Using Autoassociative Neural Networks.
    Rolinek, Zietlow & Martius (2019), Variational Autoencoders Pursue PCA Directions (by
    Accident), arXiv:1812.06775. Nakagawa et al. (2021), Quantitative Understanding of VAE as a
    Non-linearly Scaled Isometric Embedding, arXiv:2007.15190. Ding, Condon & Shah (2018),
    Interpretable Dimensionality Reduction of Single Cell Transcriptome Data with Deep Generative
    Models (scvis). Graving & Couzin (2020), VAE-SNE. Sainburg, McInnes & Gentner (2021), Parametric
    UMAP Embeddings, arXiv:2009.12981. Damrich, Böhm, Hamprecht & Kobak (2023), From t-SNE to UMAP
    with Contrastive Learning, arXiv:2206.01816.

    Examples
    --------
    >>> from skvae import Embedding, VAETransformer
    >>> VAETransformer(n_components=2, objective="embedding")
    VAETransformer(n_components=2, objective='embedding')
    >>> VAETransformer(n_components=2, objective=Embedding(neighbors=0.0))
    VAETransformer(n_components=2, objective=Embedding(neighbors=0.0))
    """

    FEW, WEIGHT = 3, 0.5  # components, and the weight with so few of them

    likelihood = Normal("shared")
    prior = Aggregated(guard=StandardNormal())  # a mixture rotates the units from seed to seed
    _constraints: ClassVar = {
        **ELBO._constraints,
        "neighbors": (
            "'auto' or a number in the range [0, inf)",
            lambda v: (isinstance(v, str) and v == "auto") or is_real(v, least=0),
        ),
        "n_neighbors": an_int(1),
    }

    def __init__(
        self,
        beta: float = 0.2,
        *,
        warmup: float = 0.0,
        free_bits: float = 0.0,
        n_samples: int = 1,
        gradient: str = "reparameterization",
        neighbors: float | str = "auto",
        n_neighbors: int = 15,
    ) -> None:
        super().__init__(
            beta, warmup=warmup, free_bits=free_bits, n_samples=n_samples, gradient=gradient
        )
        self.neighbors = neighbors
        self.n_neighbors = n_neighbors

    def neighbor_weight(self, n_components: int) -> float:
        if isinstance(self.neighbors, str):
            return self.WEIGHT if n_components <= self.FEW else 0.0
        return float(self.neighbors)

    def without_neighborhoods(self) -> Embedding:
        objective: Embedding = clone(self)
        return objective.set_params(neighbors=0.0)
