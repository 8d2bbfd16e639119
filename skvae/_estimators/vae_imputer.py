"""VAEImputer: missing values imputed, for pipelines."""

from __future__ import annotations

import numbers
from typing import ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from skvae._fitted.imputing import STRATEGIES
from skvae._table.filling import append_indicators, drop_columns, fill, zeros_like_columns
from skvae._table.reading import Table
from skvae._training.weights import random_seed
from skvae._validation import Constraint, a_bool, check_parameters, one_of

from .saving import SavingMixin
from .showing import ShowingMixin
from .streaming import read_for_fit
from .vae_transformer import VAETransformer


class VAEImputer(ShowingMixin, SavingMixin, TransformerMixin, BaseEstimator):
    r"""Impute missing values with what a variational autoencoder expects given the observed ones.

    .. math:: \hat x_m = E[x_m | x_o] \approx \sum_k \tilde w_k\, E[x_m | z_k], \quad
        \tilde w_k \propto p(x_o | z_k)\, p(z_k) / r(z_k)

    with codes z_k from a posterior of the row, of density r. It takes the tables that
    :class:`VAETransformer` takes, mixed columns included, and gives the same kind of table back:
    observed cells unchanged, dtypes kept.

    Parameters
    ----------
    estimator : VAETransformer, default=None
        The model. None: two models, and the mean of what they say of a missing cell, which is
        mostly closer to the truth than what each of them says. Both have ``constraints=None`` and
        ``precision="single"``. The first has the other defaults of :class:`VAETransformer`, with
        masses at repeated values; the second, of smooth densities, has ``likelihood="student_t"``,
        ``hidden_layer_sizes=(256, 256)``, ``activation="relu"``, ``early_stopping=False``, and
        three quarters of the features, up to 16, as `n_components`, with few rows too.
    strategy : {"mean", "median", "most_frequent"}, default="mean"
        What is put in for a number: the conditional mean (of integers and dates rounded), median
        or mode. Levels and booleans are always the most probable.
    missing_values : int, float, str, None or NA, default=np.nan
        The value of a missing cell; NaN, None and NA are always missing.
    sample_posterior : bool, default=False
        Impute draws from p(missing cells | observed cells) instead: with several values of
        `random_state`, multiple imputation.
    add_indicator : bool, default=False
        Append a boolean column for each column that had missing values in ``fit``: where they are.
    keep_empty_features : bool, default=False
        Keep columns without a single value in ``fit``: numbers become 0, other cells stay
        missing.
    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the fit, where the estimator has none of its own, and of the draws.

    Attributes
    ----------
    estimator_ : VAETransformer
        The fitted model: scores, embeddings and new rows come with it.
    smooth_ : VAETransformer or None
        The second model of the default, of smooth densities.
    indicator_features_ : ndarray of int
        Columns that had missing values in ``fit``.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where all column names are strings.

    See Also
    --------
    VAETransformer.impute : The same without a class of its own, and many tables at once.
    sklearn.impute.IterativeImputer : One regression for each column, in turns, for numbers.

    References
    ----------
    Mattei & Frellsen (2019), MIWAE: Deep Generative Modelling and Imputation of Incomplete Data
    Sets, arXiv:1812.02633. Nazábal et al. (2020), Handling Incomplete Heterogeneous Data using
    VAEs, arXiv:1807.03653.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvae import VAEImputer
    >>> rng = np.random.default_rng(0)
    >>> size = rng.normal(size=400)
    >>> table = pd.DataFrame({"length": 10 + size, "sort": np.where(size > 0, "big", "small")})
    >>> table.loc[:40, "sort"] = None
    >>> filled = VAEImputer(random_state=0).fit_transform(table)
    >>> int(filled["sort"].isna().sum())
    0
    >>> bool((filled["sort"][:40] == np.where(size[:40] > 0, "big", "small")).mean() > 0.8)
    True
    """

    __metadata_request__transform: ClassVar = {"n_jobs": UNUSED}  # it is for the caller
    _constraints: ClassVar[dict[str, Constraint]] = {
        "estimator": (
            "None or a VAETransformer",
            lambda v: v is None or isinstance(v, VAETransformer),
        ),
        "strategy": one_of(*STRATEGIES),
        "missing_values": (
            "a number, a str, nan, None or NA",
            lambda v: v is None or v is pd.NA or isinstance(v, (str, numbers.Real, np.bool_)),
        ),
        "sample_posterior": a_bool(),
        "add_indicator": a_bool(),
        "keep_empty_features": a_bool(),
    }

    def __init__(
        self,
        estimator=None,
        *,
        strategy="mean",
        missing_values=np.nan,
        sample_posterior=False,
        add_indicator=False,
        keep_empty_features=False,
        random_state=None,
    ):
        self.estimator = estimator
        self.strategy = strategy
        self.missing_values = missing_values
        self.sample_posterior = sample_posterior
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state

    def fit(self, X, y=None, sample_weight=None):
        """Fit the model to a table with missing values.

        Parameters
        ----------
        X : table of shape (n_samples, n_features), or a source of batches
            As in :meth:`VAETransformer.fit`.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            As in :meth:`VAETransformer.fit`.

        Returns
        -------
        self : object
            The fitted imputer.

        Raises
        ------
        ValueError
            If a parameter or the table is not valid.
        """
        check_parameters(self)
        estimator = self._default() if self.estimator is None else clone(self.estimator)
        if estimator.random_state is None:
            estimator.set_params(random_state=random_seed(self.random_state))
        table = read_for_fit(estimator, X, sample_weight, self._marked)
        estimator._fit_table(X, table, sample_weight)
        smooth = None
        is_whole = bool(estimator.schema_.modelled) and not estimator._is_interrupted
        if self.estimator is None and is_whole:
            smooth = self._smooth(estimator)._fit_table(X, table, sample_weight)
        self.estimator_, self.smooth_ = estimator, smooth
        self.indicator_features_ = np.flatnonzero(table.has_missing)
        self.n_features_in_ = estimator.n_features_in_
        self.__dict__.pop("feature_names_in_", None)
        if hasattr(estimator, "feature_names_in_"):
            self.feature_names_in_ = estimator.feature_names_in_
        return self

    def transform(self, X, *, n_jobs=None):
        """Impute the missing values.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the fitted columns; cells may be missing.
        n_jobs : int or None, default=None
            Number of threads for tables of more than 8 192 rows; −1: one for each processor.
            None: one, unless in a :obj:`joblib.parallel_config` context. The answers are the same.

        Returns
        -------
        X : table like the given one
            Without the columns that had no value in ``fit``, unless `keep_empty_features`, and with
            the indicators of `add_indicator`.

        Raises
        ------
        ValueError
            If X does not have the fitted columns.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEImputer, VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(200, 1)) + np.zeros((1, 3))
        >>> X[:20, 1] = np.nan
        >>> imputer = VAEImputer(VAETransformer(1, max_iter=5), random_state=0).fit(X)
        >>> bool(np.isnan(imputer.transform(X)).any())
        False
        """
        check_is_fitted(self)
        check_parameters(self)
        model = self.estimator_
        table = self._marked(model._read(X))
        n_draws = 1 if self.sample_posterior else None
        settings = model._settings(n_jobs, "impute")
        smooth = getattr(self, "smooth_", None)  # files of earlier versions have none
        others = [] if smooth is None else [smooth.fitted_model_]
        options = n_draws, self.strategy, self.random_state, settings, others
        (filled, *_), _ = model._impute(X, table, *options)
        empty, missing = self._empty(), table.missing
        if len(empty) and not self.keep_empty_features:
            filled = drop_columns(filled, empty)
        elif len(empty):
            dtype = getattr(table.layout, "dtype", None)
            unfilled = missing & np.isin(np.arange(missing.shape[1]), empty)
            filled = fill(filled, zeros_like_columns(filled, empty, dtype), unfilled, dtype)
        if not self.add_indicator:
            return filled
        return append_indicators(
            filled, missing[:, self.indicator_features_], self._indicator_names()
        )

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of ``transform``.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only checked against the fitted names.

        Returns
        -------
        names : ndarray of str
            One for each column.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAEImputer, VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(200, 1)) + np.zeros((1, 3))
        >>> X[:20, 1] = np.nan
        >>> imputer = VAEImputer(VAETransformer(1, max_iter=5), random_state=0).fit(X)
        >>> imputer.get_feature_names_out().tolist()
        ['x0', 'x1', 'x2']
        """
        self.estimator_.get_feature_names_out(input_features)
        names = [str(n) for n in self._names()]
        dropped = set() if self.keep_empty_features else set(self._empty().tolist())
        kept = [n for j, n in enumerate(names) if j not in dropped]
        return np.asarray(kept + (self._indicator_names() if self.add_indicator else []), object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        estimator = self._default() if self.estimator is None else self.estimator
        tags.input_tags = get_tags(estimator).input_tags
        return tags

    @staticmethod
    def _default() -> VAETransformer:
        return VAETransformer(constraints=None, precision="single")

    @staticmethod
    def _smooth(fitted: VAETransformer) -> VAETransformer:
        """The second model of the default, with the seed of the first.

        The columns alone determine its size. With few rows the first has fewer components, by the
        evidence of a linear model, but to impute many cells more are needed.
        """
        return VAETransformer(
            fitted.schema_.n_components(None),
            hidden_layer_sizes=(256, 256),
            activation="relu",
            likelihood="student_t",
            early_stopping=False,
            constraints=None,
            precision="single",
            random_state=fitted.random_state,
        )

    def _names(self) -> list:
        return [column.name for column in self.estimator_.schema_.columns]

    def _indicator_names(self) -> list[str]:
        names = self._names()
        return [f"missingindicator_{names[j]}" for j in self.indicator_features_]

    def _empty(self) -> np.ndarray:
        """Columns that never had a value."""
        columns = self.estimator_.schema_.columns
        return np.flatnonzero([column.weight == 0 for column in columns])

    def _marked(self, table: Table) -> Table:
        """The table with cells that hold `missing_values` missing."""
        value = self.missing_values
        is_marker = not (value is None or value is pd.NA or value != value)
        return table.with_missing(value) if is_marker else table
