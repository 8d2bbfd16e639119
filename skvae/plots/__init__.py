"""Displays: pictures of a fitted model, by scikit-learn's convention.

``from_estimator`` computes and draws; the object keeps the numbers, the axes and the figure.
"""

from ._component import ComponentDisplay
from ._explanation import ExplanationDisplay
from ._latent_plane import LatentPlaneDisplay
from ._path import PathDisplay
from ._training import TrainingDisplay

__all__ = [
    "ComponentDisplay",
    "ExplanationDisplay",
    "LatentPlaneDisplay",
    "PathDisplay",
    "TrainingDisplay",
]
