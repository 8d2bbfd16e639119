"""Saving and loading of estimators."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator

from skvae._files.container import read_file, write_file
from skvae._files.estimators import CODECS, ESTIMATORS
from skvae._files.exemplars import without_exemplars
from skvae._files.tree import FileError, Reader, Writer
from skvae._nn.defaults import with_library_defaults


class SavingMixin:
    """Adds ``save`` to an estimator, which ``load`` then knows by the name of its class."""

    def _finish(self) -> bool:
        """Set the attributes that wait, of estimators that have some."""
        return False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith(f"{__package__}."):  # not subclasses of users
            ESTIMATORS[cls.__name__] = cls

    @with_library_defaults
    def save(self, path, *, drop=None):
        """Save the estimator to a ``.skvae`` file, which holds no code.

        The file has the parameters, the fitted attributes and the networks: tensors in the format
        of safetensors, and JSON. It has no rows of the fitted table, but what is known of each
        column: its levels, extremes, quantiles and most frequent values, and, of columns that
        determine each other, the combinations that occurred; nor has it those that ``partial_fit``
        keeps between its calls. The default prior keeps the posterior
        means of up to 2 000 rows, its exemplars; with ``drop="exemplars"`` a mixture of 50
        Gaussians takes their place, and scores change a little. Callbacks and requests of metadata
        routing are not saved.

        Parameters
        ----------
        path : str or path-like
            The file to write. One that is there is replaced.
        drop : {"exemplars"} or None, default=None
            What is left out.

        Raises
        ------
        TypeError
            If a parameter or a dtype of the table cannot be saved.
        ValueError
            If `drop` is not legal.

        See Also
        --------
        skvae.load : The estimator of a file.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> import numpy as np
        >>> import skvae
        >>> X = np.random.default_rng(0).normal(size=(200, 3))
        >>> vae = skvae.VAETransformer(1, max_iter=5, random_state=0).fit(X)
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.skvae"
        >>> vae.save(path)
        >>> bool((skvae.load(path).transform(X) == vae.transform(X)).all())
        True
        """
        if drop not in (None, "exemplars"):
            raise ValueError(
                f"The 'drop' parameter of save must be None or 'exemplars'. Got {drop!r} instead."
            )
        if type(self) not in ESTIMATORS.values():
            raise TypeError(
                f"save is for the estimators of skvae, not for {type(self).__name__}, a class of "
                "your own: a file could not name its code. Use pickle or joblib."
            )
        self._finish()
        estimator = _without_exemplars(self) if drop else self
        writer = Writer(CODECS)
        tree = writer.write(estimator, "")
        write_file(path, tree, writer.arrays)


def _without_exemplars(estimator: Any) -> Any:
    """A copy of the estimator whose prior has no exemplars."""
    estimator = copy.copy(estimator)
    for name in ("estimator_", "smooth_", "fine_noise_"):
        if getattr(estimator, name, None) is not None:
            setattr(estimator, name, _without_exemplars(getattr(estimator, name)))
    if hasattr(estimator, "fitted_model_"):
        estimator.fitted_model_ = without_exemplars(estimator.fitted_model_)
        estimator.prior_ = estimator.fitted_model_.prior
    return estimator


@with_library_defaults
def load(path: Any) -> BaseEstimator:
    """Load an estimator from a ``.skvae`` file.

    Nothing that is named in the file is imported or run, so that files of others are safe to load.
    Answers of the loaded estimator equal those of the saved one to the last bit on the same kind
    of machine.

    Parameters
    ----------
    path : str or path-like
        A file that ``save`` wrote, in this or an earlier version of skvae.

    Returns
    -------
    estimator : VAETransformer, VAEOutlierDetector or VAEImputer
        The estimator, fitted or not, as it was saved.

    Raises
    ------
    ValueError
        If the file is damaged, was written by a newer version, is no such file, or holds a
        component of a class that is not known here.
    ImportError
        If the model was fitted to a table of a library that is not installed.

    See Also
    --------
    VAETransformer.save : Write such a file.
    skvae.register : Allow components of a class of your own.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import skvae
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.skvae"
    >>> skvae.VAETransformer(3).save(path)
    >>> skvae.load(path)
    VAETransformer(n_components=3)
    """
    try:
        tree, arrays = read_file(path)
        if isinstance(tree, dict) and "checkpoint" in tree:
            raise FileError("it is a checkpoint, from which fit goes on, not a saved estimator")
        estimator = Reader(CODECS, arrays).read(tree)
        if type(estimator) not in ESTIMATORS.values():
            raise FileError("it does not hold an estimator")
    except FileError as error:
        raise ValueError(f"{str(Path(path))!r} cannot be loaded: {error}.") from error
    return estimator
