"""Filling holes: conditional means, medians, modes and draws of the cells that are missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from skvae._inference.conditional import Conditional
from skvae._table.filling import fill
from skvae._table.layouts import Cells
from skvae._table.numeric_column import NumericColumn
from skvae._table.reading import Table
from skvae._training.weights import random_seed
from skvae._validation import is_int

STRATEGIES = ("mean", "median", "most_frequent")
N_DRAWS = 101  # of a cell, for its median or mode
N_CORRECTION = 256  # of a cell, for the mean of a column that entered by a bent map


class ImputationMixin:
    """``impute`` and ``posterior`` for an estimator with `model_`, `schema_` and `_rows`."""

    model_: Any
    schema_: Any
    _read: Any
    _encode: Any
    _rows: Any
    _drawn: Any
    _conditionals: Any
    _warn_of: Any

    def posterior(self, X):
        """The posterior q(z | x) of rows: where they are in the latent space, and how surely.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows may have missing cells: the fewer are seen, the wider is the posterior.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_components_)
            In the units of the prior; ``transform`` gives it in units of what it explains.
        std : ndarray of shape (n_samples, n_components_)
            Standard deviation of each latent unit. A unit of which nothing is known has that of
            the prior of the training, 1 for the standard normal one.
        """
        mean, log_var = self.model_.posteriors(self._rows(X))
        shown = self.model_.latent.shown
        return mean[:, shown].numpy(), torch.exp(0.5 * log_var)[:, shown].numpy()

    def impute(self, X, n_draws=None, *, strategy="mean", random_state=None, return_ess=False):
        r"""X with its missing cells filled, by what the model expects given the seen ones.

        .. math:: p(x_h | x_s) = \int p(x_h | z)\, p(z | x_s)\, dz

        by importance-weighted codes: half of `n_importance_samples` are proposed by the encoder,
        and up to sixteen times as many by the prior, where the family of the posterior can weigh
        these too (Gaussian and ladder); elsewhere the encoder proposes all.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
        n_draws : int or None, default=None
            None: one table, of the most telling value of each cell. A number: that many tables of
            draws from p(hidden cells | seen cells), for multiple imputation; each is a plausible
            table, with the spread and the ties between cells that a mean has lost.
        strategy : {"mean", "median", "most_frequent"}, default="mean"
            What is put in for a number, without `n_draws`: the conditional mean (of integers and
            dates rounded), median or mode. Levels and booleans are always the most probable.
            Medians, modes and the means of columns with a bent map are taken over draws from one
            seed, and so depend a little on which rows are asked together.
        random_state : int, RandomState instance, Generator or None, default=None
            Of the draws. None: others at every call.
        return_ess : bool, default=False
            Also return the effective sample size of each row: how many draws from the true
            p(z | seen cells) its weighted codes are worth.

        Returns
        -------
        X : table like the given one, or a list of `n_draws` of them
            Cells that were there are as they were, bit for bit. A column that never had a value
            in ``fit`` stays empty.
        ess : ndarray of shape (n_samples,)
            Only with `return_ess`.

        Warns
        -----
        ImportanceWarning
            If in more than a tenth of the rows with holes one or two codes carry all the weight.

        References
        ----------
        Mattei & Frellsen (2019), MIWAE: Deep Generative Modelling and Imputation of Incomplete
        Data Sets, arXiv:1812.02633. Rubin (1987), Multiple Imputation for Nonresponse in Surveys.

        Examples
        --------
        >>> import numpy as np
        >>> from skvae import VAETransformer
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(300, 1)) + 0.1 * rng.normal(size=(300, 3))
        >>> vae = VAETransformer(1, random_state=0).fit(X)
        >>> filled = vae.impute([[1.5, np.nan, 1.4]])
        >>> bool(abs(filled[0, 1] - 1.45) < 0.2)
        True
        """
        _check_impute(n_draws, strategy)
        answer, ess = self._impute(X, self._read(X), n_draws, strategy, random_state)
        return (answer, ess) if return_ess else answer

    def _impute(
        self, X: Any, table: Table, n_draws: int | None, strategy: str, random_state: Any
    ) -> tuple[Any, np.ndarray]:
        """One filled X, or a list of them, and the effective sample sizes."""
        missing = table.missing
        holed = np.flatnonzero(missing.any(1))
        ess = np.full(table.n_rows, np.inf)
        if len(holed):
            seed = 0 if n_draws is None else random_seed(random_state)
            generator = torch.Generator().manual_seed(seed)
            rows = self._encode(table.take(holed))
            cells, ess[holed] = self._guesses(rows, n_draws, strategy, generator)
            self._warn_of(ess[holed], "imputed cells of")
            sources = [self._beside(table, each, holed) for each in cells]
        else:
            sources = [X] * (n_draws or 1)
        dtype = getattr(table.layout, "dtype", None)
        tables = [fill(X, source, missing, dtype) for source in sources]
        return (tables[0] if n_draws is None else tables), ess

    def _guesses(
        self, rows: Any, n_draws: int | None, strategy: str, generator: torch.Generator
    ) -> tuple[list[list[Cells]], np.ndarray]:
        """Cells of every column for the rows, once or for each draw; and the sample sizes."""
        schema, parts, sizes = self.schema_, [], []
        guess = Guess(schema, self._drawn, strategy, generator)
        for conditional in self._conditionals(rows):
            if n_draws is None:
                parts.append(guess.best(conditional))
            else:
                parts.append(guess.draws(conditional, n_draws))
            sizes.append(conditional.ess)
        if n_draws is None:
            numbers, codes = (np.concatenate(part) for part in zip(*parts, strict=True))
            cells = [_cells(schema, numbers, codes)]
        else:
            rng = np.random.default_rng(generator.initial_seed())
            values, codes = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
            cells = [schema.cells(v, c, rng) for v, c in zip(values, codes, strict=True)]
        return cells, torch.cat(sizes).numpy()

    def _beside(self, table: Table, cells: list[Cells], holed: np.ndarray) -> Any:
        """A container like the given one, with the cells beside the rows that have holes."""
        at = np.zeros(table.n_rows, dtype=np.int64)
        at[holed] = np.arange(len(holed))
        fitted, own = self.schema_.layout, table.layout
        is_frame = own.container not in ("array", "sparse")
        layout = fitted if is_frame and fitted.container == own.container else own
        return layout.write([each.take(at) for each in cells])


class Guess:
    """The values that stand for the missing cells of some rows."""

    def __init__(self, schema, drawn, strategy, generator):
        self.schema, self.drawn, self.strategy = schema, drawn, strategy
        self.generator = generator
        self.numeric: list[NumericColumn] = [schema.columns[j] for j in schema.numeric]

    def draws(self, conditional: Conditional, n_draws: int) -> tuple[np.ndarray, np.ndarray]:
        """Scaled numbers and codes, (n_draws, n_rows, …)."""
        z = conditional.sample(n_draws, self.generator).double()
        n = z.shape[:2]
        size = conditional.model.chunk_size(1, most=8192)
        parts = [self.drawn(each, self.generator) for each in z.flatten(0, 1).split(size)]
        values, codes = (torch.cat(part) for part in zip(*parts, strict=True))
        return values.unflatten(0, n).numpy(), codes.unflatten(0, n).numpy()

    def best(self, conditional: Conditional) -> tuple[np.ndarray, np.ndarray]:
        """Numbers in the units of the table and codes, (n_rows, …)."""
        values, codes = self._expected(conditional)
        if self.strategy == "mean":
            return self._means(conditional, values), codes
        y, _ = self.draws(conditional, N_DRAWS)
        x = np.moveaxis(self._unscaled(y), 0, -1)
        numbers = np.median(x, axis=-1) if self.strategy == "median" else half_sample_mode(x)
        is_boolean = np.array([column.kind == "boolean" for column in self.numeric], dtype=bool)
        return np.where(is_boolean, values, numbers), codes

    def _unscaled(self, y: np.ndarray) -> np.ndarray:
        """Scaled numbers, (..., n_numeric), in the units of the table."""
        x = np.empty_like(y)
        for i, column in enumerate(self.numeric):
            x[..., i] = column.unscaled(y[..., i])
        return x

    def _expected(self, conditional: Conditional) -> tuple[np.ndarray, np.ndarray]:
        """Scaled means, and the most probable codes; of booleans the more probable sign."""
        n = conditional.weights.shape[1]
        values, codes = [torch.zeros(n, 0)], [torch.zeros(n, 0, dtype=torch.long)]
        for group, mean in zip(conditional.model.groups, conditional.mean(), strict=True):
            if group.likelihood.target == "code":
                codes.append(mean.argmax(-1))
            elif mean.ndim == 3:
                values.append(mean[..., 1] - mean[..., 0])
            else:
                values.append(mean)
        return torch.cat(values, -1).double().numpy(), torch.cat(codes, -1).numpy()

    def _means(self, conditional: Conditional, values: np.ndarray) -> np.ndarray:
        """Means in the units of the table; where the map is bent, by draws.

        The mean of the draws y, of which the mean is known, corrects that of their images.
        """
        means = self._unscaled(values)
        bent = [i for i, column in enumerate(self.numeric) if not column.is_affine]
        if bent:
            y, _ = self.draws(conditional, N_CORRECTION)
            for i in bent:
                x = self.numeric[i].unscaled(y[..., i])
                dy, dx = y[..., i] - y[..., i].mean(0), x - x.mean(0)
                slope = (dx * dy).sum(0) / np.maximum((dy**2).sum(0), 1e-12)
                means[:, i] = x.mean(0) - slope * (y[..., i].mean(0) - values[:, i])
        return means


def _cells(schema: Any, numbers: np.ndarray, codes: np.ndarray) -> list[Cells]:
    """Cells from numbers in the units of the table, which need not be values that were seen."""
    scaled = np.zeros_like(numbers)
    for i, j in enumerate(schema.numeric):
        scaled[:, i] = schema.columns[j].rescaled(numbers[:, i])
    cells = schema.cells(scaled, codes)
    for i, j in enumerate(schema.numeric):
        if schema.columns[j].kind == "continuous":
            cells[j] = schema.columns[j].cells(numbers[:, i])
    return cells


def half_sample_mode(values: np.ndarray) -> np.ndarray:
    """The mode of each sample along the last axis: the densest half of the densest half of …

    Robertson & Cryer (1974), An Iterative Procedure for Estimating the Mode.
    """
    values = np.sort(values, axis=-1)
    while values.shape[-1] > 2:
        n = (values.shape[-1] + 1) // 2
        widths = values[..., n - 1 :] - values[..., : values.shape[-1] - n + 1]
        first = widths.argmin(-1)[..., None]
        values = np.take_along_axis(values, first + np.arange(n), axis=-1)
    return values.mean(-1)


def _check_impute(n_draws: Any, strategy: Any) -> None:
    if not (n_draws is None or is_int(n_draws, least=1)):
        raise ValueError(
            "The 'n_draws' parameter of impute must be None or an int in the range [1, inf). "
            f"Got {n_draws!r} instead."
        )
    if strategy not in STRATEGIES:
        raise ValueError(
            f"The 'strategy' parameter of impute must be one of {sorted(STRATEGIES)}. Got "
            f"{strategy!r} instead."
        )
