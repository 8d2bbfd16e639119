"""skvae: variational autoencoders of tables, inside scikit-learn.

A map of the package. Data passes down the layers once and back up once; a layer imports only
those below it.

====================  ============================================================================
``_estimators/``      the three estimators: parameters, the four steps of fit, labels of answers
``_files/``           safe files: values as JSON and tensors, what a loaded model is checked by
``_fitted/``          the fitted model: what fitting leaves, and every answer that it gives
``_inference/``       importance weights: log-density, conditionals, scores, p-values, units
``_training/``        the one training loop, sample weights, masks, stacks, analytic gradients
``_model/``           the variational autoencoder (equations in ``vae.py``), schema, rows, start
``latents/``          q(z | x), one file for each family
``priors/``           p(z), one file for each family
``objectives/``       log-densities → a bound on log p(x) for each row
``likelihoods/``      p(x_j | z), one file for each family
``_nn/``              networks, densities, flows, the optimizer, quasi-random noise
``_streaming/``       sources that are read in batches: statistics, a sample, batches, answers
``_table/``           any container → cells → fitted columns → numbers, and back
``constraints.py``    relations between columns that drawn rows keep (``_constraints/``)
``_validation.py``    legal values, names of components, and what errors say
``_progress.py``      a bar or lines for long work
``diagnostics.py``    what the bound loses, what a code costs, how like real rows drawn rows are
``onnx.py``           fitted models as ONNX graphs (``_onnx/``)
``io.py``             answers about sources to files (``_streaming/``)
``plots/``            pictures
``privacy.py``        what drawn rows, and a model, tell about the fitted rows
``imbalanced.py``     a sampler of rare classes (needs imbalanced-learn)
``_html/``            what a fitted estimator shows in a notebook
``_report/``          ``skvae.report``: an estimator and its rows as one HTML page
====================  ============================================================================

CONTRIBUTING.md follows a row through ``fit`` and through ``score_samples``.
"""

from . import constraints as constraints
from . import onnx as onnx
from ._estimators.density import ImportanceWarning
from ._estimators.saving import load
from ._estimators.vae_imputer import VAEImputer
from ._estimators.vae_outlier_detector import VAEOutlierDetector
from ._estimators.vae_transformer import VAETransformer
from ._files.objects import register
from ._inference.units import CollapseWarning
from ._report.page import report
from ._version import __version__
from .latents import FiniteScalar, Flow, Gaussian, Ladder, Quantized
from .likelihoods import (
    Atoms,
    Bernoulli,
    Binned,
    Categorical,
    DiscretizedLogistic,
    LogNormal,
    NegativeBinomial,
    Normal,
    NormalMixture,
    Ordinal,
    Poisson,
    StudentT,
)
from .objectives import ELBO, IWAE, Embedding, Trimmed
from .priors import Aggregated, Autoregressive, Diffusion, FlowPrior, Mixture, StandardNormal

__all__ = [
    "ELBO",
    "IWAE",
    "Aggregated",
    "Atoms",
    "Autoregressive",
    "Bernoulli",
    "Binned",
    "Categorical",
    "CollapseWarning",
    "Diffusion",
    "DiscretizedLogistic",
    "Embedding",
    "FiniteScalar",
    "Flow",
    "FlowPrior",
    "Gaussian",
    "ImportanceWarning",
    "Ladder",
    "LogNormal",
    "Mixture",
    "NegativeBinomial",
    "Normal",
    "NormalMixture",
    "Ordinal",
    "Poisson",
    "Quantized",
    "StandardNormal",
    "StudentT",
    "Trimmed",
    "VAEImputer",
    "VAEOutlierDetector",
    "VAETransformer",
    "__version__",
    "load",
    "register",
    "report",
]
