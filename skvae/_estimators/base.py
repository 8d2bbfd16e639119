"""BaseVAE: what the estimators of a table share: parameters, fit, and reading of tables."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from sklearn.utils.validation import check_is_fitted, validate_data

from skvae._inference.importance import InferenceSettings
from skvae._model.schema import Schema
from skvae._model.vae import VAE
from skvae._nn.defaults import with_library_defaults
from skvae._table.reading import Table, read_table
from skvae._validation import (
    answering_device,
    check_n_jobs,
    check_names,
    check_nested,
    check_parameters,
)

from .callbacks import CallbackSupportMixin, with_callbacks
from .components import REGISTRIES
from .fitting import fit_attributes
from .mode import Mode
from .parameters import VAEParameters
from .passes import pass_attributes
from .saving import SavingMixin
from .showing import ShowingMixin
from .streaming import read_for_fit, refuse_source
from .waiting import WAITING, WaitingMixin

OF_PARTIAL_FIT = ("_seen", "_unfinished")


class BaseVAE(WaitingMixin, ShowingMixin, SavingMixin, CallbackSupportMixin, VAEParameters):
    """Fit and validation; the answers are those of `fitted_model_`."""

    # --------------------------------------------------------------------------- fitting

    @with_callbacks
    def fit(self, X, y=None, sample_weight=None):
        """Fit the model to a table, in memory or read in batches.

        Parameters
        ----------
        X : table of shape (n_samples, n_features), or a source of batches
            Array, data frame of pandas, polars or pyarrow, or sparse matrix, with or without
            missing values (NaN, None, NA, NaT).

            A source is read as often as training needs its rows, and never held in memory, but
            for `max_memory`: a path, folder or glob of files of Parquet or Arrow, a
            ``pyarrow.dataset.Dataset``, a ``polars.LazyFrame``, a relation of DuckDB or another
            object with ``__arrow_c_stream__``, or a function without arguments that makes an
            iterator of data frames.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Rows of weight 0 are dropped, integer weights stand for repetitions, other weights
            act through weighted statistics and weighted draws. Not for a source.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the table is not valid, or a part of a source cannot be read; the
            message names the part and the column. After an error the estimator is what it was
            before the call.
        TypeError
            If X is an iterator, which can be read only once, or a column changes its type.
        ImportError
            If pyarrow is needed to read X and is not installed.
        FloatingPointError
            If the loss stays not finite at halved learning rates; the message names a column.
        """
        return self._fit(X, sample_weight, Mode.of(self, one_pass=False))

    @with_callbacks
    def partial_fit(self, X, y=None, sample_weight=None):
        """Continue the training with more rows of the same table.

        Between calls the estimator keeps up to 10 000 different rows with their weights, a uniform
        sample if there are more, and statistics of all rows. A call takes about as many steps as
        one pass over its rows, on rows of the sample and on those of its own that are not kept, so
        that the order in which rows come matters little. If the rows have doubled, or a tenth of
        them is new and a column holds levels, values, missing values or numbers outside its scaling
        that it does not describe, the columns are fitted anew to all rows, as in ``fit``, and a new
        model is trained on the sample for as many steps as before: then ``transform`` may have
        other components, and another number of them. Names and types of columns do not change.

        After ``fit`` or ``skvae.load``, where no rows are kept, rows that the model draws take the
        place of those of the fit. No rows are held out. The learning rate is constant, a quarter of
        `learning_rate_init`; answers are those of the mean of the weights of late steps. What the
        prior and the components learn from the rows waits for the first answer, and costs nothing
        in calls between which none is asked for.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            The next rows, in a table like the first; cells may be missing.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            As in :meth:`fit`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the table is not valid, or a parameter that shapes the model was
            changed. After an error the estimator is what it was before the call.

        Warns
        -----
        UserWarning
            Once for each column that holds what it does not describe, with the values, if that is
            too little to fit the columns anew (less than a tenth of the rows are new) or has no
            place, as a new level in an order.

        Notes
        -----
        Pickles of the estimator hold the kept rows; files of ``save`` do not.
        """
        return self._fit(X, sample_weight, Mode.of(self, one_pass=True))

    @abstractmethod
    def _fit(self, X: Any, sample_weight: Any, mode: Mode) -> Any:
        """Fit, and set the attributes once everything has succeeded."""

    def _fit_attributes(
        self,
        X: Any,
        table: Table,
        sample_weight: Any,
        mode: Mode,
        n_models: int = 1,
        share: float = 1.0,
    ) -> dict[str, Any]:
        fit = pass_attributes if mode.is_one_pass else fit_attributes
        return fit(self, X, table, sample_weight, mode, n_models, share)

    @with_library_defaults
    def _read_for_fit(self, X: Any, sample_weight: Any, mode: Mode) -> Table:
        """X as a table; checked against the fitted columns where the model is taken over."""
        check_parameters(self)
        if mode.is_one_pass:
            refuse_source(X, "partial_fit")
        table = read_for_fit(self, X, sample_weight)
        return table if mode.is_new else self._checked(table)

    def _set_attributes(self, attributes: dict[str, Any], mode: Mode) -> None:
        """Set what was fitted, and delete what an earlier fit left."""
        left = (*OF_PARTIAL_FIT, *WAITING) if mode.is_new or mode.is_one_pass else OF_PARTIAL_FIT
        for name in (*left, "feature_names_in_") if mode.is_new else left:
            self.__dict__.pop(name, None)
        for name, value in attributes.items():
            setattr(self, name, value)

    def set_params(self, **params):
        """Set the parameters of this estimator, nested ones as ``component__parameter``.

        Parameters
        ----------
        **params : dict
            Parameters by name.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If there is no such parameter, or a nested one is set while its component is given by
            name.
        """
        check_nested(self, params, REGISTRIES)
        return super().set_params(**params)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        return tags

    # --------------------------------------------------------------- the fitted model

    @property
    def model_(self) -> VAE:
        return self.fitted_model_.model

    @property
    def schema_(self) -> Schema:
        return self.fitted_model_.schema

    @property
    def _scoring_model(self) -> Any:
        """What scores and explains rows: the fitted model, or a pool of several."""
        return self.fitted_model_

    @with_library_defaults
    def _read(self, X: Any) -> Table:
        """X as a table with at least one row, checked against the fitted columns."""
        check_is_fitted(self)
        return self._checked(read_table(X))

    def _checked(self, table: Table) -> Table:
        """The table, if it has the fitted columns and at least one row."""
        is_frame = table.layout.container not in ("array", "sparse")
        if hasattr(self, "feature_names_in_") and is_frame:
            check_names(table.names, list(self.feature_names_in_), type(self).__name__)
        validate_data(self, table.header(), reset=False, skip_check_array=True)
        if table.n_rows < 1:
            raise ValueError(
                f"Found array with 0 sample(s) (shape=(0, {len(table.names)})) while a minimum of "
                f"1 is required by {type(self).__name__}."
            )
        return table

    def _settings(self, n_jobs: int | None = None, method: str = "") -> InferenceSettings:
        """The parameters of answers, checked; with `method`, progress may be shown."""
        check_parameters(self)
        check_n_jobs(n_jobs)
        title = f"{type(self).__name__}.{method}" if self.verbose and method else ""
        work = self.n_importance_samples, self.n_refinement_steps
        device = answering_device(self.device)
        return InferenceSettings(*work, self.precision, n_jobs, title, device)

    def _unit_names(self) -> list[str]:
        """Names of the columns of ``transform``."""
        latent, prefix = self.model_.latent, type(self).__name__.lower()
        names = latent.names()
        return [f"{prefix}{names[i]}" for i in latent.shown]
