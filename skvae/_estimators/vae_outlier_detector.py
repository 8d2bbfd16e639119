"""VAEOutlierDetector: which rows are outliers, why, and where the threshold is."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import OutlierMixin

from skvae._inference.scoring import SCORES
from skvae._table.reading import Table
from skvae._training.weights import check_sample_weight, split_calibration
from skvae._validation import Constraint, an_int, is_real, one_of
from skvae.likelihoods import StudentT
from skvae.objectives import ELBO
from skvae.priors import Aggregated, StandardNormal

from .callbacks import with_callbacks
from .conformal import ConformalMixin
from .explaining import ExplanationMixin
from .mode import Mode, seed_of
from .parameters import VAEParameters
from .pooling import SHARE, UnfinishedPool, fine_noise, fitted_fine_noise, pool_and_threshold
from .ranking import RankingMixin


class VAEOutlierDetector(OutlierMixin, RankingMixin, ConformalMixin, ExplanationMixin):
    r"""Outliers of a table by the log-densities of variational autoencoders.

    By default two models are fitted to the same rows, one of coarse and one of fine noise, and a
    row is scored by their logarithmic opinion pool,

    .. math:: s(x) = w_1 \log p_1(x) + w_2 \log p_2(x), \quad w_1 + w_2 = 1.

    Coarse noise (``StudentT("column", min_scale=0.5)``) finds rows that are far from all others:
    small differences of numbers count little. Fine noise (``"student_t"``), which may be as small
    as the columns allow, finds cells that contradict their row, such as a digit too many or a
    broken sum. The weights are such that both log-densities have the same interquartile range over
    the training rows. With a `likelihood` of your own there is one model, and the score is its
    log-density. Each :math:`p_k` is an equal mixture of `n_estimators` networks,
    :math:`p(x) = \tfrac1M \sum_{m=1}^M p_m(x)`.

    The models are those of :class:`VAETransformer`, and take the same tables: mixed columns and
    missing cells. A low weight of the KL term makes codes of rows differ. Scores therefore compare
    rows, not models; for densities use the transformer.

    Parameters
    ----------
    n_components : int, "auto" or None, default=None
        Latent dimensions. None: by the numbers of features and rows; "auto": the smallest size
        whose held-out density is as good as the best. :class:`VAETransformer` says more about this
        parameter and those from `latent` on, some of which have other defaults here.
    n_estimators : int, default=1
        Models that are trained together on the same rows, from other random hidden layers and in
        another order. Where the family of the posterior allows it (Gaussian, ladder; not with
        ``IWAE``), they are stacked, which saves what a step costs beside its arithmetic: much with
        few columns and small batches, less than half of the time with 54 columns and the default.
    score_method : str, default="density"
        What a row is scored by; higher is more normal for all. "density"; "density_per_cell",
        divided by the number of observed cells, for rows with very different numbers of missing
        values;
        "joint" :math:`E_q[\log p(x, z)]`, which is higher for codes with little uncertainty;
        "reconstruction" :math:`E_q[\log p(x|z)]`; "pseudo_likelihood"
        :math:`\sum_j \log p(x_j | x_{-j})`; "mean_log_density", the mean over the models of their
        log-densities.
    contamination : "auto" or float, default="auto"
        What determines the threshold. A number in (0, 0.5]: that proportion of the training rows
        is below it.
        "auto": Tukey's lower fence, Q1 − 1.5 (Q3 − Q1), of the scores of the calibration rows, or
        if there are none of at most 2 000 training rows.
    calibration_fraction : float or None, default=None
        Proportion of the rows, in (0, 1), to hold out of all training, for :meth:`pvalues` and
        :meth:`predict_fdr`; each counts once, whatever its weight. After ``partial_fit`` they are
        those of the last call. None: no rows, and neither method.
    latent : str or Latent, default="gaussian"
        Family of the posterior q(z | x): "gaussian", "flow", "ladder", "quantized",
        "finite_scalar", or an object with parameters.
    prior : str or Prior, default="auto"
        Family of p(z). "auto" is ``Aggregated(guard=StandardNormal(), trim=0.2)``, in which a
        dense cluster of improbable training rows does not raise the density around itself;
        families of the posterior with a prior of their own have that.
    likelihood : "auto", str, Likelihood or dict, default="auto"
        Family of p(x_j | z). "auto": two models, each with half of `max_time`; numbers and dates
        have ``StudentT("column", min_scale=0.5)`` in the first and "student_t" in the second,
        other columns what they have in the transformer. Anything else: one model with that
        likelihood.
    objective : "auto", str or Objective, default="auto"
        What training maximizes. "auto" is ``ELBO(beta=0.2)``. Where many of the training rows may
        be outliers themselves, ``Trimmed(0.1)`` leaves the worst tenth of each batch out, and with
        ``prior="standard_normal"`` no row raises the density around itself.
    hidden_layer_sizes : int or tuple of int, default=(128, 128)
        Widths of the encoder's hidden layers; the decoder's are the same, reversed.
    activation : {"silu", "relu", "tanh", "logistic", "gelu", "elu", "identity"}, default="silu"
        Activation of the hidden layers.
    init : {"pca", "random"}, default="pca"
        Start at probabilistic PCA of the encoded table, in closed form, or at random weights.
    numeric_transform : str or dict, default="auto"
        Monotone map of each number on its way into the model: "auto", "standard", "robust",
        "power", "quantile", "log", or a dict from columns to these.
    categorical_features : array-like of names, indices or bool, default=None
        Columns to treat as categorical whatever their dtype.
    handle_unknown : {"infrequent_if_exist", "error"}, default="infrequent_if_exist"
        Levels that were not there in ``fit``: count them among the rare ones, or raise.
    max_categories : int or None, default=100
        Number of distinguished levels of a column, the pool of the rarest included.
    min_frequency : int, float or None, default=2
        Count, or share of the seen cells, under which a level goes to the pool.
    mask_ratio : "auto" or float, default="auto"
        Most of the cells of a row that are masked in the steps that train the encoder for
        incomplete rows. "auto": 0.6 where the table has missing values, otherwise 0.
    informative_missing : None, "all" or list of columns, default=None
        Columns whose cells are missing because of their values; that they are is part of the score.
    batch_size : int, default=256
        Rows in a training step.
    learning_rate_init : float, default=8e-3
        Peak of the learning rate of Adam.
    max_iter : int or None, default=None
        Passes over the table, of each model. None: a budget of 12 n^0.6 steps for n rows.
    max_time : float or None, default=None
        Seconds that ``fit`` may take, about. Where there is no time for all steps, fewer are
        planned, and the learning rate falls over these.
    max_memory : float, default=1024
        Megabytes that ``fit`` may take for rows, about, where X is read in batches: the sample,
        the window of rows that are trained on, and the batches. What Python, torch and the model
        take comes on top. It does not matter for tables in memory.
    early_stopping : bool, default=True
        Hold out rows, keep the weights that are best for them, and stop when their bound does not
        rise.
    validation_fraction : float, default=0.1
        Proportion of the rows to hold out for this, at most 10 000 rows.
    n_iter_no_change : int, default=20
        Evaluations of the held-out bound without progress after which training stops.
    tol : float, default=1e-4
        Increase of the held-out bound, in nats per row, that counts as progress.
    warm_start : bool, default=False
        Whether ``fit`` continues from the weights and columns of the last call.
    verbose : bool or int, default=False
        1: a progress bar, or lines where there is no terminal. 2: the terms of the bound, too.
    random_state : int, RandomState instance, Generator or None, default=None
        Seed of everything random in ``fit``. The global streams are never touched.
    device : str, default="cpu"
        Device of torch to train and answer on; "auto": a CUDA device where there is one.
    precision : {"double", "single"}, default="double"
        Of the computation of all answers: single is faster, with errors of about 1e-4 nats.
    checkpoint : path or None, default=None
        A file that keeps the state of training, from which a ``fit`` that was cut off goes on. The
        model of fine noise has a file of its own, whose name ends with ".fine".
    checkpoint_every : float, default=60.0
        Seconds between two checkpoints, at least.
    n_importance_samples : int, default=16
        Draws of z by which a row is scored.
    n_refinement_steps : int, default=0
        0: draws come from the posterior q(z | x) that the encoder gives. More: from a posterior of
        the row itself, as in :class:`VAETransformer`, which finds likely codes for unlikely rows:
        better for densities, no help to the ranking.

    Attributes
    ----------
    offset_ : float
        The threshold: rows with a lower score are outliers.
    calibration_scores_ : ndarray of shape (n_calibration,)
        Scores of the rows that were held out, sorted; empty without `calibration_fraction`.
    fine_noise_ : VAEOutlierDetector or None
        With ``likelihood="auto"``: the detector of the second model, of fine noise.
    pool_weights_ : ndarray of shape (n_models,)
        The weights of the log-densities, of coarse noise first.
    models_ : list of torch.nn.Module
        The fitted networks of the first model.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of str
        Names of the columns, where all are strings.

    See Also
    --------
    VAETransformer : The model, with all its parameters explained.
    sklearn.ensemble.IsolationForest : For complete numeric tables.

    Notes
    -----
    Rows with missing values are scored by their observed cells, in the units of the table. This is
    appropriate where all rows have about the same missing cells; where some have far more than the
    fitted rows, use ``score_method="density_per_cell"``, or impute the missing values first.

    ``model_``, ``schema_``, ``history_``, ``likelihood_`` and the other attributes of the
    transformer are there too, those of the first model, of coarse noise. It is also what the
    expected values and intervals of :meth:`explain_samples` are of; surprises are pooled.

    References
    ----------
    An & Cho (2015), Variational Autoencoder based Anomaly Detection using Reconstruction
    Probability. Lakshminarayanan, Pritzel & Blundell (2017), Deep Ensembles, arXiv:1612.01474.
    Heskes (1998), Selecting Weighting Factors in Logarithmic Opinion Pools. Bates et al. (2023),
    Testing for Outliers with Conformal p-values, arXiv:2104.08279.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAEOutlierDetector
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 1)) + 0.2 * rng.normal(size=(400, 3))
    >>> detector = VAEOutlierDetector(calibration_fraction=0.25, random_state=0).fit(X)
    >>> detector.predict([[1.0, 1.1, 0.9], [1.0, -1.0, 1.0]])
    array([ 1, -1])
    >>> bool(detector.pvalues([[1.0, -1.0, 1.0]])[0] < 0.05)
    True
    """

    _split_seed: int
    _automatic: ClassVar[dict[str, Any]] = {
        "likelihood": StudentT("column", min_scale=0.5),
        "objective": ELBO(beta=0.2),
        "prior": Aggregated(guard=StandardNormal(), trim=0.2),
    }
    _constraints: ClassVar[dict[str, Constraint]] = {
        **VAEParameters._constraints,
        "n_estimators": an_int(1),
        "score_method": one_of(*SCORES),
        "contamination": (
            "'auto' or a number in the range (0, 0.5]",
            lambda v: (isinstance(v, str) and v == "auto") or is_real(v, above=0, most=0.5),
        ),
        "calibration_fraction": (
            "None or a number in the range (0, 1)",
            lambda v: v is None or is_real(v, above=0, below=1),
        ),
    }

    def __init__(
        self,
        n_components=None,
        *,
        n_estimators=1,
        score_method="density",
        contamination="auto",
        calibration_fraction=None,
        latent="gaussian",
        prior="auto",
        likelihood="auto",
        objective="auto",
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
        batch_size=256,
        learning_rate_init=8e-3,
        max_iter=None,
        max_time=None,
        max_memory=1024,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=20,
        tol=1e-4,
        warm_start=False,
        verbose=False,
        random_state=None,
        device="cpu",
        precision="double",
        checkpoint=None,
        checkpoint_every=60.0,
        n_importance_samples=16,
        n_refinement_steps=0,
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
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.max_time = max_time
        self.max_memory = max_memory
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.n_importance_samples = n_importance_samples
        self.n_refinement_steps = n_refinement_steps
        self.n_estimators = n_estimators
        self.score_method = score_method
        self.contamination = contamination
        self.calibration_fraction = calibration_fraction

    def _fit(self, X: Any, sample_weight: Any, mode: Mode) -> Any:
        table = self._read_for_fit(X, sample_weight, mode)
        weights = check_sample_weight(sample_weight, table.n_rows)
        seed = seed_of(self, mode) % 2**32 if mode.is_new else self._split_seed
        split = np.flatnonzero(weights), self.calibration_fraction, seed, not mode.is_new
        train, calibration = split_calibration(*split)
        data = X, table.take(train), weights[train], mode, int(self.n_estimators)
        fine = fine_noise(self, mode, seed)
        attributes = self._fit_attributes(*data, 1.0 if fine is None else SHARE)
        fine = fitted_fine_noise(self, fine, attributes, data)
        fitted = {**attributes, "fine_noise_": fine, "_split_seed": seed}
        held_out = table.take(calibration), weights[calibration]
        if mode.is_one_pass:
            fitted["_unfinished"] = UnfinishedPool.of(self, attributes, fine, held_out)
        else:
            models = [fitted["fitted_model_"]] + ([] if fine is None else [fine.fitted_model_])
            fitted |= pool_and_threshold(self, models, data[1:3], held_out)
        self._set_attributes(fitted, mode)
        return self

    @with_callbacks
    def _fit_fine_noise(self, X: Any, table: Table, weights: Any, mode: Mode, n_models: int) -> Any:
        """Fit as the second of two models; X is for the callbacks."""
        attributes = self._fit_attributes(X, table, weights, mode, n_models, SHARE)
        self._set_attributes(attributes, mode)
        return self
