"""VAETransformer: the embedding, its inverse, the log-density and new rows of a table."""

from __future__ import annotations

from typing import Any, ClassVar

from skvae._table.reading import Table
from skvae._validation import Constraint, a_bool, check_parameters

from .callbacks import with_callbacks
from .density import DensityMixin
from .embedding import EmbeddingMixin
from .explaining import ExplanationMixin
from .imputing import ImputationMixin
from .mode import Mode
from .parameters import VAEParameters
from .sampling import SamplingMixin
from .traversal import TraversalMixin


class VAETransformer(
    EmbeddingMixin,
    DensityMixin,
    SamplingMixin,
    ImputationMixin,
    ExplanationMixin,
    TraversalMixin,
):
    r"""Variational autoencoder of a table: embedding, inverse, log-density and new rows.

    The model of a row x is

    .. math:: p(x) = \int p(z) \prod_j p(x_j | z)\, dz,

    with a latent code z of `n_components` numbers, a decoder that gives each column j a
    likelihood of its own kind, and an encoder that gives the posterior q(z | x). Both are
    trained on the evidence lower bound

    .. math:: E_{q(z|x)}[\log p(x|z)] - \beta\, KL(q(z|x) \| p(z)) \le \log p(x).

    Mixed columns, missing values, scaling and the encoding of levels are handled inside, which
    makes the inverse exact: put ``VAETransformer`` first in a pipeline, on the raw table,
    not after a ``ColumnTransformer``, which has no inverse.

    Parameters
    ----------
    n_components : int, "auto" or None, default=None
        Latent dimensions, over all layers. None: three quarters of the encoded features (all of up
        to 4), at most 16, or the sum of the sizes of `latent`; fewer where a linear model of this
        size is too large for the rows by cross-validation, and up to 64 where there are more than
        32 features and a larger linear model is clearly better. "auto": the smallest size whose
        held-out density, after a quarter of the training, is within one standard error, or 0.02
        nats per column, of the best; sizes up to three quarters of the encoded features, and 24,
        are tried.
    latent : str or Latent, default="gaussian"
        Family of the posterior q(z | x): "gaussian", "flow" (normalizing flow), "ladder" (several
        stochastic layers), "quantized" and "finite_scalar" (integer codes), or an object such as
        ``Flow("spline")`` or ``Ladder(layers=(8, 4))``. Names take their sizes from
        `n_components`.
    prior : str or Prior, default="auto"
        Family of p(z): "standard_normal", "mixture", "aggregated", "flow", "diffusion", or an
        object such as ``Mixture(n_components=20)``. "auto": the aggregated posterior,
        ``Aggregated()``, whose prior during training is a mixture (with ``objective="embedding"`` a
        standard normal distribution); of quantized codes the only one there is,
        ``Autoregressive()``.
    likelihood : "auto", str, Likelihood or dict, default="auto"
        Family of p(x_j | z): "normal", "student_t", "log_normal", "normal_mixture", "binned",
        "atoms" (numbers), "discretized_logistic", "poisson", "negative_binomial" (integers),
        "bernoulli", "categorical", "ordinal" (levels), an object such as
        ``Normal(scale="shared")``, or a dict from column names (of arrays: "x0", "x1", …) to
        these. A name or object goes to the columns that it can describe; the others, and all with
        "auto", get Student's t (continuous, datetime), the discretized logistic (integer),
        Bernoulli (boolean) and Categorical (levels); numbers with few values, with values that are
        far more frequent than those around them, or with a code that is repeated far from all
        others, get Atoms, and the other values alone set the scale. ``likelihood_reasons_`` has
        the reason.
    objective : {"elbo", "embedding", "iwae", "trimmed"} or Objective, default="elbo"
        What training maximizes. "elbo" is for densities and new rows; "embedding" for
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
        where the noise is not shared, some steps of EM toward factor analysis.
    numeric_transform : str or dict, default="auto"
        Monotone map of each number on its way into the model. Its log-derivative is part of
        the score, so that scores are comparable: "standard" (mean and deviation), "robust" (median
        and quartiles), "power" (Yeo & Johnson 2000), "quantile" (to a normal distribution, by
        ranks), "log" (positive numbers), "auto" (standard, with logarithmic tails for columns with
        extreme values; in ``fit`` also quantile, for columns that end abruptly at their minimum or
        maximum, if held-out rows have a higher density after a quarter of the training), or a dict
        from columns to these.
    categorical_features : array-like of names, indices or bool, default=None
        Columns to treat as categorical whatever their dtype. Strings, objects and categories are
        categorical anyway; integers, booleans and datetimes are recognized by their dtype.
    handle_unknown : {"infrequent_if_exist", "error"}, default="infrequent_if_exist"
        What to do with a level that was not there in ``fit``: count it among the rare levels, or
        raise.
    max_categories : int or None, default=100
        Number of distinguished levels of a column, the pool of the rarest included.
    min_frequency : int, float or None, default=2
        Count, or share of the seen cells, under which a level goes to the pool. With the default
        a column in which every value is different is one pool, and not informative.
    mask_ratio : "auto" or float, default="auto"
        Every third step trains the encoder alone on rows with missing values: a proportion of the
        cells of each row is masked, up to this one, or the cells that are missing in another row.
        This makes scores, embeddings and imputations of incomplete rows accurate. 0: never, which
        saves a quarter of the time. "auto": 0.6 where the table has missing values; 0 where it is
        complete, as complete rows would lose a little density, and for the linear model, whose
        encoder cannot represent both. Set 0.6 if a model of a complete table has to answer for
        incomplete rows.
    informative_missing : None, "all" or list of columns, default=None
        Columns whose cells are missing not at random: the probability of a missing value is
        learned, as a logistic function of the value that the decoder expects, and is part of the
        score. "all": all columns with missing values.
    constraints : "auto", None or list, default="auto"
        What drawn and decoded rows keep exactly, in ``sample``, ``inverse_transform``,
        ``interpolate`` and ``traverse``: a list of objects of :mod:`skvae.constraints`, and of
        "auto" for relations between columns that every row of the table keeps: equal columns,
        columns that are functions of one or two others with few values, sums of numbers, and
        inequalities. They are looked for on 5 000 rows, and kept if all rows keep them. The model,
        its scores and imputations are the same with and without.
    batch_size : int, default=256
        Rows in a training step.
    learning_rate_init : float, default=8e-3
        Peak of the learning rate of Adam, which rises over 5 % of the steps and falls to 0 along
        a cosine.
    max_iter : int or None, default=None
        Passes over the table. None: a budget of 12 n^0.6 steps (batches) for n rows.
    max_time : float or None, default=None
        Seconds that ``fit`` may take, about. Where there is no time for all steps, fewer are
        planned, and the learning rate falls over these.
    max_memory : float, default=1024
        Megabytes that ``fit`` may take for rows, about, where X is read in batches: the sample,
        the window of rows that are trained on, and the batches. What Python, torch and the model
        take comes on top. It does not matter for tables in memory.
    early_stopping : bool, default=True
        Hold out rows, watch their bound, keep the best weights and stop when it does not rise. If
        training is not clearly better than its closed-form start on them, the start is kept. If
        fewer than 10 rows would be held out, of at most 1 000, the number of steps is chosen by
        five-fold cross-validation, and all rows are trained on.
    validation_fraction : float, default=0.1
        Proportion of the rows to hold out, at most 10 000 rows.
    n_iter_no_change : int, default=20
        Evaluations of the held-out bound without progress after which training stops; there are
        at most 50 in a full run.
    tol : float, default=1e-4
        Increase of the held-out bound, in nats per row, that counts as progress.
    whiten : bool, default=False
        Whether ``transform`` gives components of mean 0 and variance 1 over the fitted rows, as
        of ``PCA``; ``inverse_transform`` takes the same.
    warm_start : bool, default=False
        Whether ``fit`` continues from the weights and columns of the last call. Parameters that
        shape the model must not have changed since.
    verbose : bool or int, default=False
        1: a progress bar for ``fit``, and for answers about more than 8 192 rows; where there is
        neither terminal nor notebook, a line for each tenth. 2: the terms of the bound after each
        evaluation, too. Lines go to the logger "skvae" of :mod:`logging`. scikit-learn's callbacks
        (1.9 and later) are shown the same rounds.
    random_state : int, RandomState instance, Generator or None, default=None
        Seed of everything random in ``fit``. The global streams are never touched.
    device : str, default="cpu"
        Device of torch to train and answer on; "auto": a CUDA device where there is one. The
        fitted model is kept on the CPU, in files and pickles too, and copied to the device for
        answers about given rows and codes and for new rows. Random draws are made on the CPU, so
        that both give the same answers, to 1e-6 in double precision, but for draws that lie on a
        boundary to that accuracy; on a GPU a row may depend on the other rows of the call as far.
        Where the device is not there, a fitted estimator answers on the CPU and ``fit`` raises.
    precision : {"double", "single"}, default="double"
        Of the computation of all answers about given rows: ``score_samples``, ``transform``,
        ``posterior``, ``impute``, ``explain_samples``, ``sample(given=…)``; codes are always
        decoded in double. In double the answer for a row does not depend on the other rows of the
        call (to 1e-9); single is faster, and scores have errors of about 1e-4 nats.
    checkpoint : path or None, default=None
        A file that keeps the state of training: weights, moments of the optimizer, random streams,
        history and the place in the rows. Where it is there, ``fit`` with the same parameters and
        rows goes on from it, and ends as if it had not been cut off. It is written beside its
        place and renamed, the one before is kept, and ``random_state=None`` means 0. It is not
        used by ``partial_fit`` and with `warm_start`.
    checkpoint_every : float, default=60.0
        Seconds between two checkpoints, at least.
    n_importance_samples : int, default=64
        The most draws of z for each row in ``score_samples``: 16 are taken, and more where the
        standard error of the score is still above 0.15 nats. 8 suffice for model selection on a
        large table. ``impute`` takes half of them, but at least 128;
        ``sample(given=…)`` all of them, and at least twice as many as it draws rows.
    n_refinement_steps : int, default=10
        0: draws come from the posterior q(z | x) that the encoder gives, always
        `n_importance_samples` of them. More: they come from the posterior of the row with the
        decoder linearized around its code, where z is Gaussian or a flow and the prior a mixture of
        Gaussians, as by default; for other models so many gradient steps refine q(z | x) of a
        row whose draws are worth fewer than four draws from the true posterior (see `return_ess`).
        In ``score_samples``, ``explain_samples``, ``impute`` and ``sample(given=…)``.

    Attributes
    ----------
    n_components_ : int
        Latent dimensions.
    explained_variance_ : ndarray of shape (n_components_,)
        `explained_variance_ratio_` times the number of columns, not below 0: the variance of the
        components that ``transform`` gives, in scaled units of the table.
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
        the "validation_bound", in nats per row and in the units of the table;
        ``pandas.DataFrame(history_)`` is a table of them.
    n_iter_ : int
        Number of passes over the table, a partial last one included.
    likelihood_ : dict
        The likelihood of each column, but for constant ones.
    likelihood_reasons_ : dict
        Why each column has its likelihood: "user-specified", the default of an objective, or the
        properties of the column.
    constraints_ : list of Constraint
        The constraints that drawn and decoded rows keep, declared and found.
    latent_, prior_, objective_ : objects
        The components behind the names.
    active_units_ : ndarray of bool of shape (n_components_,)
        Units whose posterior means have a variance of more than 0.01 over the rows (Burda et al.
        2016) and whose KL is over 0.01 nats.
    kl_per_unit_ : ndarray of shape (n_components_,)
        Mean KL(q(z_i | x) ‖ p(z_i)) of each unit, in nats, with the prior of the training. Where
        that has no closed form, the aggregated posterior's marginal stands for p(z_i), and the
        numbers need not add up to the KL (see ``skvae.diagnostics.rate_distortion``).
    codebook_usage_, perplexity_ : ndarray of shape (n_positions,)
        Only of quantized codes: the proportion of the codebook that the training rows use, and
        the exponential of the entropy of its use.
    fitted_model_ : object
        Everything that fitting leaves, see ``skvae._fitted``: networks, schema and axes.
    model_ : torch.nn.Module
        The networks of `fitted_model_`, on the CPU, in float64; see ``skvae._model``.
    schema_ : object
        What `fitted_model_` holds about the columns.
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
    >>> rows = pd.DataFrame(
    ...     {"height": [171.0, 150.0], "weight": [70.0, 120.0], "shirt": ["M", "L"]}
    ... )
    >>> normal, outlier = vae.score_samples(pd.DataFrame(rows))
    >>> bool(normal > outlier + 5)
    True
    """

    _chooses_maps: ClassVar[bool] = True
    _has_lattices: ClassVar[bool] = True
    _constraints: ClassVar[dict[str, Constraint]] = {
        **VAEParameters._constraints,
        "whiten": a_bool(),
    }

    def __init__(
        self,
        n_components=None,
        *,
        latent="gaussian",
        prior="auto",
        likelihood="auto",
        objective="elbo",
        hidden_layer_sizes=(128, 128),
        activation="silu",
        init="pca",
        numeric_transform="auto",
        categorical_features=None,
        handle_unknown="infrequent_if_exist",
        max_categories=100,
        min_frequency=2,
        mask_ratio="auto",
        informative_missing=None,
        constraints="auto",
        batch_size=256,
        learning_rate_init=8e-3,
        max_iter=None,
        max_time=None,
        max_memory=1024,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=20,
        tol=1e-4,
        whiten=False,
        warm_start=False,
        verbose=False,
        random_state=None,
        device="cpu",
        precision="double",
        checkpoint=None,
        checkpoint_every=60.0,
        n_importance_samples=64,
        n_refinement_steps=10,
    ):
        self.n_components = n_components
        self.latent = latent
        self.prior = prior
        self.likelihood = likelihood
        self.objective = objective
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.init = init
        self.numeric_transform = numeric_transform
        self.categorical_features = categorical_features
        self.handle_unknown = handle_unknown
        self.max_categories = max_categories
        self.min_frequency = min_frequency
        self.mask_ratio = mask_ratio
        self.informative_missing = informative_missing
        self.constraints = constraints
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.max_time = max_time
        self.max_memory = max_memory
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.whiten = whiten
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.n_importance_samples = n_importance_samples
        self.n_refinement_steps = n_refinement_steps

    def _fit(self, X: Any, sample_weight: Any, mode: Mode) -> Any:
        table = self._read_for_fit(X, sample_weight, mode)
        self._set_attributes(self._fit_attributes(X, table, sample_weight, mode), mode)
        return self

    @with_callbacks
    def _fit_table(self, X: Any, table: Table, sample_weight: Any) -> Any:
        """Fit a table that was read from X; callbacks are shown X."""
        check_parameters(self)
        self._set_attributes(self._fit_attributes(X, table, sample_weight, Mode.NEW), Mode.NEW)
        return self
