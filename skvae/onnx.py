"""Export fitted models to ONNX, to be run without Python, torch and scikit-learn.

It needs the package ``onnx``: ``pip install "skvae[onnx]"``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._fitted.pool import Pool
from ._nn.defaults import with_library_defaults
from ._version import __version__

__all__ = ["export"]

ANSWERS = "transform", "score", "reconstruction"


@with_library_defaults
def export(estimator: Any, path: Any, what: str = "transform", *, n_draws: int | None = 16) -> None:
    r"""Write an answer of a fitted estimator as an ONNX graph, from cells of the table to numbers.

    The graph does all that the answer does in Python: it encodes texts, times and missing values,
    and runs in float64, so that its outputs equal those of Python up to rounding.

    A table of numbers in one array has one input, "X", of shape (n_rows, n_columns). Any other has
    an input for each column, under the name of the column, of shape (n_rows, 1):

    ====================  ==================================================  ===============
    column                input                                               missing value
    ====================  ==================================================  ===============
    numbers, booleans     float64                                             NaN
    levels: texts         string                                              "", unless it
                                                                              is a level
    levels: numbers       float64                                             NaN
    times                 int64, ticks of the fitted unit since 1970 (or of   −2⁶³, as in NaT
                          a duration), as ``.astype("int64")`` gives them
    ====================  ==================================================  ===============

    Parameters
    ----------
    estimator : VAETransformer or VAEOutlierDetector
        A fitted estimator.
    path : str or path-like
        The file to write.
    what : {"transform", "score", "reconstruction"}, default="transform"
        "transform": one output "components" of shape (n_rows, n_components), as ``transform``
        gives them. "score": one output "score" of shape (n_rows,), the log-density in nats; of a
        detector the score of its `score_method`. "reconstruction": what
        ``inverse_transform(transform(X))`` gives, in an output "…_reconstruction" for each input,
        without `constraints`: fit with ``constraints=None`` for the same values.
    n_draws : int or None, default=16
        For the score of a ``VAETransformer``: the number K of draws of :math:`q(z|x)` in

        .. math:: L_K = \log \tfrac1K \sum_k p(x, z_k) / q(z_k|x),

        which ``score_samples`` gives with ``n_importance_samples=K`` and ``n_refinement_steps=0``.
        None: the evidence lower bound, the mean of the logarithms over 16 draws. A detector has
        the draws of its own `n_importance_samples`.

    Raises
    ------
    ImportError
        If the package ``onnx`` is not installed.
    NotFittedError
        If the estimator is not fitted.
    NotImplementedError
        If a column, a component or a method has no counterpart in ONNX; the message names it.
    ValueError
        If `what` or `n_draws` is not legal.

    Notes
    -----
    An output that would have the name of a column has an underscore appended.

    A level that did not occur in ``fit`` is handled as ``handle_unknown="infrequent_if_exist"``
    does, and counts below zero are not refused: a graph cannot raise errors. The default score of a
    ``VAETransformer`` in Python has draws around the linearized decoder, which are more accurate
    than those of :math:`q(z|x)`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> import skvae, skvae.onnx
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> vae = skvae.VAETransformer(1, max_iter=5, random_state=0).fit(X)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "components.onnx"
    >>> skvae.onnx.export(vae, path)
    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(path)
    >>> (Z,) = session.run(["components"], {"X": X})
    >>> bool(np.allclose(Z, vae.transform(X)))
    True
    """
    _check_installed()
    _check_answer(estimator, what, n_draws)
    check_is_fitted(estimator)
    from ._onnx import assembling

    model = estimator.fitted_model_
    if what == "score":
        graph = assembling.score(_pool(estimator), *_method(estimator, n_draws))
    elif what == "transform":
        graph = assembling.transform(model, estimator.whiten)
    else:
        graph = assembling.reconstruction(model)
    metadata = {"what": what, "columns": json.dumps([str(c.name) for c in model.schema.columns])}
    message = graph.model("skvae", __version__, metadata)
    Path(path).write_bytes(message.SerializeToString())


def _check_installed() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "skvae.onnx.export needs the package onnx: pip install 'skvae[onnx]'."
        ) from error


def _check_answer(estimator: Any, what: str, n_draws: int | None) -> None:
    if what not in ANSWERS:
        raise ValueError(
            f"The 'what' parameter of export must be one of {', '.join(map(repr, ANSWERS))}. Got "
            f"{what!r} instead."
        )
    is_count = isinstance(n_draws, int) and not isinstance(n_draws, bool) and n_draws >= 1
    if n_draws is not None and not is_count:
        raise ValueError(
            "The 'n_draws' parameter of export must be None or an int in the range [1, inf). Got "
            f"{n_draws!r} instead."
        )
    if not hasattr(estimator, "score_samples"):
        raise NotImplementedError(
            f"{type(estimator).__name__} cannot be exported: imputation draws from "
            "posteriors. Export its estimator_, with what='reconstruction'."
        )
    if what == "transform" and not hasattr(estimator, "transform"):
        raise NotImplementedError(
            f"{type(estimator).__name__} has no transform; export what='score' or 'reconstruction'."
        )


def _pool(estimator: Any) -> Pool:
    """What scores rows, as a pool of one or more models."""
    model = estimator._scoring_model
    return model if isinstance(model, Pool) else Pool([model], np.ones(1))


def _method(estimator: Any, n_draws: int | None) -> tuple[str, int]:
    """The method of the score, and the number of its draws."""
    from ._onnx.answers import SCORES

    method = getattr(estimator, "score_method", None)
    if method is None:
        return ("elbo", 16) if n_draws is None else ("density", n_draws)
    if method not in SCORES:
        raise NotImplementedError(
            f"score_method={method!r} cannot be exported to ONNX. Choose one of "
            f"{', '.join(repr(name) for name in SCORES if name != 'elbo')} before export."
        )
    if estimator.n_refinement_steps:
        raise NotImplementedError(
            f"n_refinement_steps={estimator.n_refinement_steps} cannot be exported to ONNX: draws "
            "are refined row by row. Set n_refinement_steps=0 before export."
        )
    return method, estimator.n_importance_samples
