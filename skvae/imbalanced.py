"""Over-sampling of rare classes, as a sampler of imbalanced-learn.

It needs the package ``imbalanced-learn``: ``pip install "skvae[imbalanced]"``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ._estimators.vae_transformer import VAETransformer
from ._table.reading import read_table
from ._training.weights import random_seed

try:
    from imblearn.over_sampling.base import BaseOverSampler
    from imblearn.utils import check_sampling_strategy, check_target_type
except ImportError as error:
    raise ImportError(
        "skvae.imbalanced needs the package imbalanced-learn: pip install 'skvae[imbalanced]'."
    ) from error

__all__ = ["VAESampler"]


class VAESampler(BaseOverSampler):
    r"""Rows of rare classes, drawn from a variational autoencoder of rows and classes,

    .. math:: x \sim p(x \mid y) = \int p(x \mid z)\, p(z \mid y)\, dz.

    One model learns rows and classes together, so that a rare class shares what it has in common
    with the others. Rows may have mixed columns and missing values, which are drawn as often as
    they occur. The rows that are there stay as they are, and come first.

    Parameters
    ----------
    estimator : VAETransformer or None, default=None
        The model, with its parameters. None: ``VAETransformer()``.
    sampling_strategy : float, str, dict or callable, default="auto"
        As in imbalanced-learn: how many rows each class has afterwards. "auto": as many as the
        largest class. "minority", "not minority", "not majority", "all": the classes to draw. A
        dict: rows by class; a float, for two classes: the ratio of the smaller to the larger.
    random_state : int, RandomState instance or None, default=None
        Seed of the draws, and of the model if its own is None.

    Attributes
    ----------
    estimator_ : VAETransformer
        Fitted to the rows with their classes as one more column.
    sampling_strategy_ : dict
        How many rows of each class were drawn.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where all column names are strings.

    See Also
    --------
    VAETransformer.sample : Rows under any condition, with ``given``.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae import VAETransformer
    >>> from skvae.imbalanced import VAESampler
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> y = np.where(X[:, 0] > 1.5, "rare", "usual")
    >>> sampler = VAESampler(VAETransformer(1, max_iter=5), random_state=0)
    >>> X_more, y_more = sampler.fit_resample(X, y)
    >>> bool((y_more == "rare").sum() == (y_more == "usual").sum())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseOverSampler._parameter_constraints,
        "estimator": [VAETransformer, None],
        "random_state": ["random_state"],
    }

    def __init__(self, estimator=None, *, sampling_strategy="auto", random_state=None):
        super().__init__(sampling_strategy=sampling_strategy)
        self.estimator = estimator
        self.random_state = random_state

    def fit_resample(self, X, y, **params):
        """Draw rows of the classes of `sampling_strategy`.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Array, data frame of pandas, polars or pyarrow, or sparse matrix, with or without
            missing values.
        y : array-like of shape (n_samples,)
            The classes.
        **params : dict
            None is known.

        Returns
        -------
        X_resampled : table like X, of shape (n_samples_new, n_features)
            The rows of X, and below them the drawn ones.
        y_resampled : array-like of shape (n_samples_new,)
            Their classes.

        Raises
        ------
        ValueError
            If there is only one class, or a parameter or the table is not valid.
        """
        if isinstance(X, pd.DataFrame) or not _is_frame(X):
            return super().fit_resample(X, y, **params)
        self._validate_params()
        check_classification_targets(y)
        X, y, _ = self._check_X_y(X, y)
        self.sampling_strategy_ = check_sampling_strategy(
            self.sampling_strategy, y, self._sampling_type
        )
        return self._fit_resample(X, y)

    def _check_X_y(self, X: Any, y: Any) -> tuple[Any, np.ndarray, bool]:
        y, is_binarized = check_target_type(y, indicate_one_vs_all=True)
        X = X if _is_frame(X) or sparse.issparse(X) else np.asarray(X)
        validate_data(self, X=read_table(X).header(), y=y, reset=True, skip_check_array=True)
        return X, y, is_binarized

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        seed = random_seed(self.random_state)
        estimator = VAETransformer() if self.estimator is None else clone(self.estimator)
        if estimator.random_state is None:
            estimator.set_params(random_state=seed)
        frame, name = _with_classes(X, y)
        self.estimator_ = estimator.fit(frame.to_native())
        classes = np.unique(y)
        counts = [self.sampling_strategy_.get(label, 0) for label in classes]
        drawn = np.repeat(np.arange(len(classes)), counts)
        if not len(drawn):
            return X, y
        conditions = pd.DataFrame({name: [_level(i) for i in map(int, drawn)]})
        rows = estimator.sample(1, given=conditions, random_state=seed)
        new = nw.from_native(rows, eager_only=True).drop(name)
        return _appended(X, new), np.concatenate([y, classes[drawn]])


def _is_frame(X: Any) -> bool:
    return isinstance(nw.from_native(X, eager_only=True, pass_through=True), nw.DataFrame)


def _level(i: int) -> str:
    """The name of a class in the model, by its position: labels may be of any type."""
    return f"class {i}"


def _with_classes(X: Any, y: np.ndarray) -> tuple[Any, str]:
    """The rows with a column of classes, and its name, which no other column has."""
    if _is_frame(X):
        frame = nw.from_native(X, eager_only=True)
    else:
        cells = X.toarray() if sparse.issparse(X) else X
        columns = [f"x{j}" for j in range(cells.shape[1])]
        frame = nw.from_native(pd.DataFrame(cells, columns=columns), eager_only=True)
    name = "class"
    while name in frame.columns:
        name += "_"
    levels = [_level(i) for i in map(int, np.unique(y, return_inverse=True)[1])]
    backend = nw.get_native_namespace(frame)
    series = nw.new_series(name, levels, nw.String(), backend=backend)
    if isinstance(X, pd.DataFrame):
        frame = nw.from_native(X.reset_index(drop=True), eager_only=True)
    return frame.with_columns(series), name


def _appended(X: Any, new: Any) -> Any:
    """X and the new rows below it, in the container of X."""
    if isinstance(X, pd.DataFrame):
        return pd.concat([X, new.to_native().astype(X.dtypes.to_dict())], ignore_index=True)
    if _is_frame(X):
        return nw.concat([nw.from_native(X, eager_only=True), new]).to_native()
    cells = new.to_numpy().astype(X.dtype)
    if sparse.issparse(X):
        return sparse.vstack([X, type(X)(cells)], format=X.format)
    return np.concatenate([X, cells])
