r"""Likelihoods p(x_j | z): one class per family.

A likelihood is a value, in the manner of a Gaussian-process kernel: it holds hyper-parameters
only. The decoder hands it ``outputs``, a tensor of shape (..., n_columns, n_outputs) for all the
columns that share it, and ``columns``, what is known of them (:class:`skvae._model.ColumnGroup`:
``resolution`` of shape (n_columns,), ``level_mask`` of shape (n_columns, n_levels), the learned
``constants`` of shape (n_columns, n_constants)). It answers
with

- ``log_prob(x, outputs, columns)``: log p(x_j | z) of each cell, shape (..., n_columns);
- ``sample(outputs, columns, generator)``: a draw of each cell;
- ``point(outputs, columns)``: the value that ``inverse_transform`` returns, a mean or a mode.

Numbers are in the scaled units of the column (:mod:`skvae._scaling`), levels are codes.

To add a family: write one file with one class, put it into :data:`LIKELIHOODS`, and add a row to
``tests/components.py``.
"""

from ._base import Likelihood, LocationScale
from .bernoulli import Bernoulli
from .categorical import Categorical
from .discretized_logistic import DiscretizedLogistic
from .normal import Normal
from .student_t import StudentT

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiscretizedLogistic",
    "Likelihood",
    "LocationScale",
    "Normal",
    "StudentT",
]

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "normal": Normal,
    "student_t": StudentT,
    "discretized_logistic": DiscretizedLogistic,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
}

AUTO = {
    "continuous": "student_t",
    "datetime": "student_t",
    "integer": "discretized_logistic",
    "boolean": "bernoulli",
    "categorical": "categorical",
    "ordered": "categorical",
}
