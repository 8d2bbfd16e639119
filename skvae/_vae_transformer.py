"""VAETransformer: a table as a few numbers a row, and back."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from ._base import BaseVAE, _seed
from ._validation import is_int


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseVAE):
    def transform(self, X):
        """Posterior mean of each row."""
        model, rows = self._module(), self._rows(X)
        with torch.no_grad():
            parts = [model.latent.embed(model.encode(chunk)) for chunk in rows.chunks(8192)]
        return torch.cat(parts).numpy()

    def inverse_transform(self, Z):
        model = self._module()
        Z = check_array(Z, dtype=np.float64, input_name="Z")
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but this {type(self).__name__} has "
                f"n_components_={self.n_components_}; pass what transform returns."
            )
        with torch.no_grad():
            parts = [model.decode(chunk) for chunk in torch.from_numpy(Z).split(8192)]
        values, codes = (torch.cat(p).numpy() for p in zip(*parts, strict=True))
        return self.schema_.decode(values, codes)

    def sample(self, n_samples=1, random_state=None, *, mean=False):
        check_is_fitted(self)
        if not is_int(n_samples, least=1):
            raise ValueError(
                f"The 'n_samples' parameter of sample must be an int in the range [1, inf). "
                f"Got {n_samples!r} instead."
            )
        model, seed = self._module(), _seed(random_state)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            z = model.prior.sample(int(n_samples), generator)
            parts = [model.decode(chunk, None if mean else generator) for chunk in z.split(8192)]
        values, codes = (torch.cat(p).numpy() for p in zip(*parts, strict=True))
        return self.schema_.decode(values, codes, None if mean else np.random.default_rng(seed))
