"""VAETransformer: a table as a few numbers a row, and back."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted

from skvae._fitted.explaining import ExplanationMixin
from skvae._fitted.imputing import ImputationMixin
from skvae._fitted.sampling import SamplingMixin
from skvae._fitted.traversal import TraversalMixin
from skvae.latents import LATENTS

from .base import BaseVAE


def _has_codes(estimator):
    latent = getattr(estimator, "latent_", None) or LATENTS.get(estimator.latent, estimator.latent)
    if not getattr(latent, "has_codes", False):
        raise AttributeError(
            f"codes are those of latent='quantized' or 'finite_scalar', but this "
            f"{type(estimator).__name__} has latent={estimator.latent!r}."
        )
    return True


class VAETransformer(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    TraversalMixin,
    SamplingMixin,
    ImputationMixin,
    ExplanationMixin,
    BaseVAE,
):
    r"""Variational autoencoder of a table: embedding, way back, log-density and new rows.

    The model of a row x is

    .. math:: p(x) = \int p(z) \prod_j p(x_j | z)\, dz,

    with a latent code z of `n_components` numbers, a decoder net that gives each column j a
    likelihood of its own kind, and an encoder net that gives the posterior q(z | x). Both are
    trained on the evidence lower bound

    .. math:: E_{q(z|x)}[\log p(x|z)] - \beta\, KL(q(z|x) \| p(z)) \le \log p(x).

    Mixed columns, missing cells, scaling and the coding of levels are handled inside, which is
    what makes the way back exact: put ``VAETransformer`` first in a pipeline, on the raw table,
    not after a ``ColumnTransformer``, which has no inverse.

    Parameters
    ----------
    n_components : int, "auto" or None, default=None
        Latent dimensions, over all layers. None: half the encoded features, between 1 and 16, or
        what the sizes of `latent` add up to. "auto": the smallest size whose held-out density,
        after a quarter of the training, is within one standard error, or 0.02 nats per column, of
        the best; sizes up to three quarters of the encoded features, and 24, are tried.
    latent : str or Latent, default="gaussian"
        Family of the posterior q(z | x): "gaussian", "flow" (normalising flow), "ladder" (several
        stochastic layers), "quantized" and "finite_scalar" (integer codes), or an object such as
        ``Flow("spline")`` or ``Ladder(layers=(8, 4))``. Names take their sizes from
        `n_components`.
    prior : str or Prior, default="auto"
        Family of p(z): "standard_normal", "mixture", "aggregated", "flow", or an object such as
        ``Mixture(n_components=20)``. "auto": the aggregated posterior, ``Aggregated()``; of
        quantised codes the only one there is, ``Autoregressive()``.
    likelihood : "auto", str, Likelihood or dict, default="auto"
        Family of p(x_j | z): "normal", "student_t", "log_normal", "normal_mixture", "binned",
        "atoms" (numbers), "discretized_logistic", "poisson", "negative_binomial" (integers),
        "bernoulli", "categorical", "ordinal" (levels), an object such as
        ``Normal(scale="shared")``, or a dict from column names (of arrays: "x0", "x1", …) to
        these. A name or object goes to the columns that it can describe; the others, and all with
        "auto", get Student's t (continuous, datetime), the discretised logistic (integer),
        Bernoulli (boolean) and Categorical (levels); numbers with few values, or with values that
        stand out by their frequency, get Atoms. ``likelihood_reasons_`` says why.
    objective : {"elbo", "embedding", "iwae", "trimmed"} or Objective, default="elbo"
        What training maximises. "elbo" is for densities and new rows; "embedding" for
        dimensionality reduction, a nonlinear PCA: numbers have one noise in common, and the KL a
        low weight. ``ELBO(beta=4.0, warmup=0.2)`` gives a β-VAE with warm-up,
        ``IWAE(n_samples=16)`` the importance-weighted bound, ``Trimmed(0.1)`` leaves out the rows
        that fit worst.
    hidden_layer_sizes : int or tuple of int, default=(128, 128)
        Widths of the encoder's hidden layers; the decoder's are the same, reversed. () gives the
        linear model: probabilistic PCA with ``Normal("shared")``, factor analysis with
        ``Normal("column")``.
    activation : {"silu", "relu", "tanh", "logistic", "gelu", "elu", "identity"}, default="silu"
        Activation of the hidden layers.
    init : {"pca", "random"}, default="pca"
        "pca" starts the model at probabilistic PCA of the encoded table, in closed form, and
        where the noise is not shared some steps of EM nearer to factor analysis.
    numeric_transform : str or dict, default="auto"
        Monotone map by which a number enters the model, its log-derivative counted, so that
        scores compare: "standard" (mean and deviation), "robust" (median and quartiles), "power"
        (Yeo & Johnson 2000), "quantile" (to a normal distribution, by ranks), "log" (positive
        numbers), "auto" (standard, with logarithmic tails for columns with extreme values), or a
        dict from columns to these.
    categorical_features : array-like of names, indices or bool, default=None
        Columns to treat as categorical whatever their dtype. Strings, objects and categories are
        categorical anyway; integers, booleans and datetimes are what their dtype says.
    handle_unknown : {"infrequent_if_exist", "error"}, default="infrequent_if_exist"
        What to do with a level that was not there in ``fit``: count it among the rare levels, or
        raise.
    max_categories : int or None, default=100
        Levels of a column that are told apart, the pool of the rarest included.
    min_frequency : int, float or None, default=2
        Count, or share of the seen cells, under which a level goes to the pool. With the default
        a column in which every value is different is one pool, and tells the model nothing.
    mask_ratio : "auto" or float, default="auto"
        Every third step teaches the encoder, and it alone, to read rows with holes: from each row
        a share of the cells is hidden, up to this one, or the cells that another row lacks. So
        scores, embeddings and imputations of partial rows are good. 0: never, which saves a
        quarter of the time. "auto": 0.6 where the table has holes; 0 where it is complete, as
        whole rows would lose a little density, and for the linear model, whose encoder has no
        room for it. Ask for 0.6 if a model of a complete table is to answer for partial rows.
    informative_missing : None, "all" or list of columns, default=None
        Columns whose missing cells say something about the values that they hide: the chance to
        be missing is learned, as a logistic function of the value that the decoder expects.
        Scores then count these chances too. "all": all columns with missing cells.
    batch_size : int, default=256
        Rows in a training step.
    learning_rate_init : float, default=8e-3
        Peak of the learning rate of Adam, which rises over 5 % of the steps and falls to 0 along
        a cosine.
    max_iter : int or None, default=None
        Passes over the table. None: a budget of 12 n^0.6 steps (batches) for n rows.
    early_stopping : bool, default=True
        Hold out rows, watch their bound, keep the best weights and stop when it does not rise.
        Tables of which fewer than 10 rows would be held out are trained whole.
    validation_fraction : float, default=0.1
        Share of the rows to hold out.
    n_iter_no_change : int, default=20
        Evaluations of the held-out bound without progress after which training stops; there are
        50 in a full run.
    tol : float, default=1e-4
        Rise of the held-out bound, in nats per row, that counts as progress.
    whiten : bool, default=False
        Whether ``transform`` gives components of mean 0 and variance 1 over the fitted rows, as
        of ``PCA``; ``inverse_transform`` takes the same.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the weights and columns of the last call. Parameters that
        shape the model must not have changed since.
    verbose : bool or int, default=False
        Print the terms of the bound after each evaluation. scikit-learn's callbacks (1.9 and
        later) are shown the same rounds.
    random_state : int, RandomState instance, Generator or None, default=None
        Seed of everything random in ``fit``. The global streams are never touched.
    device : str, default="cpu"
        Device of torch to train on; "auto": a CUDA device where there is one. Fitted models
        answer on the CPU.
    precision : {"double", "single"}, default="double"
        Of ``score_samples`` and ``transform``. In double a row's answer does not depend on the
        rows beside it (to 1e-9); single takes half the time and is right to about 1e-4 nats.
    n_importance_samples : int, default=64
        Draws of z for each row in ``score_samples``: the work grows with it, and the bound
        tightens. 8 may do for model selection on a large table. ``impute`` and ``sample(given=…)``
        take half of them from the encoder, and many more from the prior.
    n_refinement_steps : int, default=10
        Gradient steps by which ``score_samples`` refines the posterior of a row whose draws are
        worth less than four from the true one (see `return_ess`), ``impute`` and
        ``sample(given=…)`` less than two. 0: trust the encoder.

    Attributes
    ----------
    n_components_ : int
        Latent dimensions.
    explained_variance_ : ndarray of shape (n_components_,)
        The ratio below times the number of columns, not below 0: the variance of the components
        that ``transform`` gives, in scaled units of the table.
    explained_variance_ratio_ : ndarray of shape (n_components_,)
        Of the Gaussian family, whose components come in this order: how much the R² of the
        decoded codes falls when a unit is held at its mean, averaged over the columns (numbers
        scaled, levels as indicators). For the linear model the shares of variance of ``PCA``; of
        a nonlinear one they need not add up to `reconstruction_r2_`, and where a unit decides all
        it may be over 1. The sign of a unit is that
        of its correlation with the encoded feature it is most correlated with.
    reconstruction_r2_ : float
        R² of the decoded codes with all units, averaged over the columns.
    history_ : dict of lists
        "step", and after each round the mean "bound", "reconstruction" and "kl" of its steps and
        the "validation_bound", in nats per row and in the units of the table.
    n_iter_ : int
        Passes over the table that were begun.
    likelihood_ : dict
        The likelihood of each column, but for constant ones.
    likelihood_reasons_ : dict
        Why each column has its likelihood: "asked for", or what the column looks like.
    latent_, prior_, objective_ : objects
        The components behind the names.
    active_units_ : ndarray of bool of shape (n_components_,)
        Units that say something: the posterior means vary over the rows by more than 0.01 (Burda
        et al. 2016), and the KL is over 0.01 nats.
    kl_per_unit_ : ndarray of shape (n_components_,)
        Mean KL(q(z_i | x) ‖ p(z_i)) of each unit, in nats, with the prior of the training. Where
        that has no closed form, the aggregated posterior's marginal stands for p(z_i), and the
        numbers need not add up to the KL (see ``skvae.diagnostics.rate_distortion``).
    codebook_usage_, perplexity_ : ndarray of shape (n_positions,)
        Only of quantised codes: the share of the codebook that the rows trained on use, and how
        many entries used evenly would be as rich.
    model_ : torch.nn.Module
        The nets, on the CPU, in float64; see ``skvae._model.vae``.
    schema_ : object
        What was learned about the columns.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of str
        Names of the columns, where all are strings.

    See Also
    --------
    sklearn.decomposition.PCA : The linear map, for complete numeric tables.
    sklearn.decomposition.FactorAnalysis : The linear model with noise for each column.
    sklearn.mixture.GaussianMixture : Another density for complete numeric tables.

    References
    ----------
    Kingma & Welling (2014), Auto-Encoding Variational Bayes, arXiv:1312.6114.
    Rezende, Mohamed & Wierstra (2014), Stochastic Backpropagation, arXiv:1401.4082.
    Burda, Grosse & Salakhutdinov (2016), Importance Weighted Autoencoders, arXiv:1509.00519.
    Nazábal et al. (2020), Handling Incomplete Heterogeneous Data using VAEs, arXiv:1807.03653.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvae import VAETransformer
    >>> rng = np.random.default_rng(0)
    >>> height = rng.normal(170, 10, size=300).round()
    >>> table = pd.DataFrame(
    ...     {
    ...         "height": height,
    ...         "weight": (height - 100 + rng.normal(0, 8, size=300)).round(1),
    ...         "shirt": np.where(height > 175, "L", "M"),
    ...     }
    ... )
    >>> table.loc[3, "weight"] = None
    >>> vae = VAETransformer(n_components=2, random_state=0).fit(table)
    >>> vae.transform(table).shape
    (300, 2)
    >>> vae.inverse_transform(vae.transform(table)).dtypes.equals(table.dtypes)
    True
    >>> list(vae.sample(2, random_state=0).columns)
    ['height', 'weight', 'shirt']
    >>> odd = pd.DataFrame({"height": [171.0, 150.0], "weight": [70.0, 120.0], "shirt": ["M", "L"]})
    >>> normal, strange = vae.score_samples(odd)
    >>> bool(normal > strange + 5)
    True
    """

    def transform(self, X):
        r"""Embed rows: the mean of the posterior q(z | x), or the quantised vector.

        Components of the Gaussian family are given as ``PCA`` gives its own, centred and in the
        units of what they say: the variance of a component over the fitted rows is the variance
        of the (scaled) table that it explains,

        .. math:: c_j = \sqrt{v_j}\, \frac{E_q[z_j] - \bar z_j}{s_j},

        with v_j of `explained_variance_` and the mean and deviation of the posterior means. So
        distances between rows of Z are near those between rows of the table, and a component
        that says little weighs little. ``posterior`` gives the codes themselves; those of other
        families are given as they are.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows may have missing cells.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components_)
            Of float64, or float32 in single `precision`. Of a ladder the layers in a row, the
            lowest first, or those of its `output_layers`.
        """
        (model, *_), rows = self._at_precision(self._rows(X))
        Z = model.embeddings(rows)[:, model.latent.shown].numpy()
        center, unit = self._code_axes()
        return ((Z - center) / unit).astype(Z.dtype, copy=False)

    def _code_axes(self):
        """Where the codes have the zero of the components, and how long their unit is there."""
        center, spread, length = self._code_scale
        shown = self.model_.latent.shown
        if self.whiten:
            return center[shown], spread[shown]
        return (0.0, 1.0) if length is None else (center[shown], (spread / length)[shown])

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of ``transform``: "vaetransformer0", "vaetransformer1", …

        Of a ladder "vaetransformer_layer1_0", …

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str
        """
        super().get_feature_names_out(input_features)
        latent, prefix = self.model_.latent, type(self).__name__.lower()
        names = latent.names()
        return np.asarray([f"{prefix}{names[i]}" for i in latent.shown], dtype=object)

    @available_if(_has_codes)
    def codes(self, X):
        """The integer codes of rows, with ``latent="quantized"`` or ``"finite_scalar"``.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)

        Returns
        -------
        codes : ndarray of int of shape (n_samples, n_positions)
            For each position the entry of its codebook, ``model_.latent.codebook[position]``.
        """
        rows = self._rows(X)
        latent = self.model_.latent
        return latent.codes(latent.split(self.model_.embeddings(rows))).numpy()

    def inverse_transform(self, Z):
        """The rows that the decoder expects at the given codes.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components_)
            As ``transform`` gives them. Quantised codes are moved to the nearest entries of the
            codebooks; layers of a ladder that ``transform`` leaves out are filled with their
            means given the layer above. Integers, where the latent family has codes, are what
            ``codes`` returns.

        Returns
        -------
        X : table like the fitted one
            The same container, columns and dtypes; numbers are locations (means, in the scaled
            units of the model), levels are modes, inside the bounds and with the decimals of the
            fitted columns. A pandas frame of codes hands its index on.
        """
        check_is_fitted(self)
        index = getattr(Z, "index", None)
        if self.latent_.has_codes and np.asarray(Z).dtype.kind in "iu":
            Z = self._vectors(check_array(Z, dtype=np.int64, input_name="Z"))
        Z = check_array(Z, dtype=np.float64, input_name="Z", copy=True)
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but transform of this {type(self).__name__} gives "
                f"{self._n_features_out}; pass what transform returns."
            )
        center, unit = self._code_axes()
        Z = Z * unit + center
        X = self._decode(self.model_.completed(torch.from_numpy(Z)), None)
        both_pandas = index is not None and self.schema_.layout.container == "pandas"
        return X.set_axis(index, axis=0) if both_pandas else X

    def _vectors(self, codes):
        """What ``transform`` gives for integer codes."""
        latent = self.model_.latent
        if codes.shape[1] != latent.n_noise or codes.min() < 0 or codes.max() >= latent.n_codes:
            raise ValueError(
                f"Integer Z of shape {codes.shape} with values from {codes.min()} to {codes.max()} "
                f"are not codes of this {type(self).__name__}: it has {latent.n_noise} positions "
                f"with codes from 0 to {latent.n_codes - 1}. Pass what codes or transform returns."
            )
        return latent.vectors(torch.from_numpy(codes)).numpy()
