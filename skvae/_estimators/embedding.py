"""transform, its inverse, and the integer codes of the families that have them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted

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


class EmbeddingMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseVAE):
    """``transform``, ``inverse_transform`` and ``codes``."""

    whiten: bool
    # It is for the caller, and not passed on by pipelines.
    __metadata_request__transform: ClassVar = {"n_jobs": UNUSED}

    def transform(self, X, *, n_jobs=None):
        r"""Embed rows: the mean of the posterior q(z | x), or the quantized vector.

        Components of the Gaussian family are given as ``PCA`` gives its own, centered and in the
        units of what they explain: the variance of a component over the fitted rows is the
        variance of the (scaled) table that it explains,

        .. math:: c_j = \sqrt{v_j}\, \frac{E_q[z_j] - \bar z_j}{s_j},

        with v_j of `explained_variance_` and the mean and standard deviation of the posterior
        means. Distances between rows of Z so approximate those between rows of the table, and a
        component that explains little has a small variance. ``posterior`` gives the codes
        themselves; those of other families are given as they are.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows may have missing values.
        n_jobs : int or None, default=None
            Number of threads for tables of more than 8 192 rows; −1: one for each processor.
            None: one, unless in a :obj:`joblib.parallel_config` context. The answers are the same.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components_)
            Of float64, or float32 in single `precision`. Of a ladder the layers side by side, the
            lowest first, or those of its `output_layers`.

        Raises
        ------
        ValueError
            If X does not have the fitted columns.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(300, 4))
        >>> vae = VAETransformer(2, random_state=0, max_iter=5).fit(X)
        >>> vae.transform(X).shape
        (300, 2)
        """
        table, settings = self._read(X), self._settings(n_jobs, "transform")
        return self.fitted_model_.embed(table, settings, whiten=self.whiten)

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of ``transform``: "vaetransformer0", "vaetransformer1", …

        Of a ladder "vaetransformer_layer1_0", …

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only checked against the fitted names.

        Returns
        -------
        names : ndarray of str
            One for each component.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(300, 4))
        >>> VAETransformer(2, max_iter=5).fit(X).get_feature_names_out()
        array(['vaetransformer0', 'vaetransformer1'], dtype=object)
        """
        super().get_feature_names_out(input_features)
        return np.asarray(self._unit_names(), dtype=object)

    @available_if(_has_codes)
    def codes(self, X):
        """The integer codes of rows, with ``latent="quantized"`` or ``"finite_scalar"``.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows with the fitted columns; cells may be missing.

        Returns
        -------
        codes : ndarray of int of shape (n_samples, n_positions)
            For each position the entry of its codebook, ``model_.latent.codebook[position]``.

        Raises
        ------
        ValueError
            If X does not have the fitted columns.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(300, 4))
        >>> vae = VAETransformer(2, random_state=0, max_iter=5, latent="quantized").fit(X)
        >>> vae.codes(X).shape
        (300, 1)
        """
        return self.fitted_model_.codes(self._read(X), self._settings())

    def inverse_transform(self, Z):
        """The rows that the decoder expects at the given codes.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components_)
            As ``transform`` gives them. Quantized codes are moved to the nearest entries of the
            codebooks; layers of a ladder that ``transform`` leaves out are filled with their
            means given the layer above. Integers, where the latent family has codes, are what
            ``codes`` returns.

        Returns
        -------
        X : table like the fitted one
            The same container, columns and dtypes; numbers are locations (means, in the scaled
            units of the model), levels are modes, inside the bounds and with the decimals of the
            fitted columns. Rows keep ``constraints_``. The index of a pandas frame of codes is
            kept.

        Raises
        ------
        ValueError
            If Z does not have the columns of ``transform``, or integers are not codes.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> X = np.random.default_rng(0).normal(size=(300, 4))
        >>> vae = VAETransformer(2, random_state=0, max_iter=5).fit(X)
        >>> vae.inverse_transform(vae.transform(X)).shape
        (300, 4)
        """
        check_is_fitted(self)
        index = getattr(Z, "index", None) if hasattr(Z, "iloc") else None
        if self.latent_.has_codes and np.asarray(Z).dtype.kind in "iu":
            Z = self.fitted_model_.vectors(check_array(Z, dtype=np.int64, input_name="Z"))
        Z = check_array(Z, dtype=np.float64, input_name="Z", copy=True)
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but transform of this {type(self).__name__} gives "
                f"{self._n_features_out}; pass what transform returns."
            )
        device = self._settings().device
        X = self.fitted_model_.decode(Z, whiten=self.whiten, device=device)
        both_pandas = index is not None and self.schema_.layout.container == "pandas"
        return X.set_axis(index, axis=0) if both_pandas else X
