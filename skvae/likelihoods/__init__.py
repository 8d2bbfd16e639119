r"""Likelihoods p(x_j | z): one class per family.

A likelihood is a value, in the manner of a Gaussian-process kernel: it holds hyper-parameters
only. The decoder hands it ``outputs``, a tensor of shape (..., n_columns, n_outputs) for all the
columns that share it, and ``columns``, what is known of them (
:class:`skvae._model.vae.ColumnGroup`:
``resolution`` of shape (n_columns,), ``level_mask`` of shape (n_columns, n_levels), the fixed
``grid`` of shape (n_columns, n_rows, n_entries), the learned ``constants`` of shape
(n_columns, n_constants)). It answers with

- ``log_prob(x, outputs, columns)``: log p(x_j | z) of each cell, shape (..., n_columns);
- ``sample(outputs, columns, generator)``: a draw of each cell;
- ``point(outputs, columns)``: the value that ``inverse_transform`` returns, a mean or a mode;
- ``mean(outputs, columns)``: the expected value, of levels and booleans their probabilities;
- ``vjp(x, outputs, columns)``, if it likes: ``log_prob`` with its slopes, for speed.

Tensors of outputs and of cells broadcast: many z for each row, or one z for all rows.

Numbers are in the scaled units of the column (:mod:`skvae._table.scaling`), levels are codes.

To add a family: write one file with one class, put it into :data:`LIKELIHOODS`, and add a row to
``tests/components.py``.
"""

from ._base import Likelihood, LocationScale, Standardised
from ._choice import Choice, choose, resolve_likelihoods
from .atoms import Atoms
from .bernoulli import Bernoulli
from .binned import Binned
from .categorical import Categorical
from .counts import NegativeBinomial, Poisson
from .discretized_logistic import DiscretizedLogistic
from .log_normal import LogNormal
from .normal import Normal
from .normal_mixture import NormalMixture
from .ordinal import Ordinal
from .student_t import StudentT

__all__ = [
    "Atoms",
    "Bernoulli",
    "Binned",
    "Categorical",
    "Choice",
    "DiscretizedLogistic",
    "Likelihood",
    "LocationScale",
    "LogNormal",
    "NegativeBinomial",
    "Normal",
    "NormalMixture",
    "Ordinal",
    "Poisson",
    "Standardised",
    "StudentT",
    "choose",
    "resolve_likelihoods",
]

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "normal": Normal,
    "student_t": StudentT,
    "log_normal": LogNormal,
    "normal_mixture": NormalMixture,
    "binned": Binned,
    "atoms": Atoms,
    "discretized_logistic": DiscretizedLogistic,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "ordinal": Ordinal,
}
