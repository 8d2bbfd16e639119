r"""Likelihoods p(x_j | z): one class per family.

A likelihood is a value object, like a kernel of a Gaussian process: it holds hyperparameters only.
Its densities have two arguments beside the cells. ``outputs``, a tensor of shape
(..., n_columns, n_outputs), are the outputs of the decoder for all columns that share the
likelihood. ``columns`` holds what is fixed or learned for each column
(:class:`skvae.likelihoods.Columns`).

- ``log_prob(x, outputs, columns)``: log p(x_j | z) of each cell, shape (..., n_columns);
- ``sample(outputs, columns, generator)``: a draw of each cell;
- ``point(outputs, columns)``: the value that ``inverse_transform`` returns, a mean or a mode;
- ``mean(outputs, columns)``: the expected value; for levels and booleans their probabilities.

Outputs and cells broadcast: there may be many z for each row, or one z for all rows.

Numbers are in the scaled units of the column (:mod:`skvae._table.scaling`), levels are codes.

To add a family: write one file with one class, put it into :data:`LIKELIHOODS`, and add a row to
``tests/components.py``.
"""

from ._base import Columns, FittedColumn, Likelihood, LocationScale, Residual, Standardized
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
    "Columns",
    "DiscretizedLogistic",
    "FittedColumn",
    "Likelihood",
    "LocationScale",
    "LogNormal",
    "NegativeBinomial",
    "Normal",
    "NormalMixture",
    "Ordinal",
    "Poisson",
    "Residual",
    "Standardized",
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
