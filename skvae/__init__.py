"""skvae: variational autoencoders of tables, inside scikit-learn.

A map of the package, in the order in which a table travels:

=====================  ===========================================================================
``_tables.py``         any container → the cells of each column; ``_layouts.py`` writes them back
``_columns.py``        what is known of a column, ``_numeric_column.py`` of one of numbers; filled
                       in by ``_column_fitting.py``; ``_scaling.py`` its monotone map
``_schema.py``         the fitted table, and its rows as tensors
``_networks.py``       the encoder's inputs, the trunks of encoder and decoder
``latents/``           q(z | x), one file per family
``priors/``            p(z), one file per family
``likelihoods/``       p(x_j | z), one file per family
``_model.py``          the variational autoencoder: the equations
``objectives.py``      log-densities → a bound for each row
``_initialization.py`` the closed-form start
``_training.py``       the one loop; ``_adam.py`` its optimiser; ``_written_out.py`` its fast way;
                       ``_stacking.py`` several models as one; ``_weights.py`` which
                       rows it sees, and how often; ``_masking.py`` which cells it hides
``_inference.py``      importance weights: the log-density; ``_noise.py`` its draws
``_conditional.py``    importance weights: what is not seen, given what is
``_scoring.py``        other scores; ``_explaining.py`` what each column adds to the log-density;
                       ``_conformal.py`` p-values
``_missingness.py``    missing cells that say something
``_ordering.py``       the order and signs of the units; ``_choosing.py`` how many
``_units.py``          what each latent unit says; ``diagnostics.py`` what the bound loses
``_base.py``           fit, and ``_density.py`` score, shared by the estimators;
                       ``_building.py`` from parameters to parts, ``_validation.py`` legal values
``_vae_transformer.py``  the estimator; ``_sampling.py`` its new rows (``_conditions.py`` what is
                       given), ``_imputing.py`` its filled ones (``_filling.py`` writes them),
                       ``_traversal.py`` moves in its latent space
``_vae_imputer.py``    the imputer for pipelines
``_vae_outlier_detector.py``  the detector of odd rows
``plots/``             pictures
=====================  ===========================================================================
"""

from ._estimators.density import ImportanceWarning
from ._estimators.vae_imputer import VAEImputer
from ._estimators.vae_outlier_detector import VAEOutlierDetector
from ._estimators.vae_transformer import VAETransformer
from ._inference.units import CollapseWarning
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
from .priors import Aggregated, Autoregressive, FlowPrior, Mixture, StandardNormal

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
]
