"""Codecs of the estimators, and what a loaded one is checked by."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from skvae._fitted import sampling
from skvae._fitted.fitted_model import FittedModel
from skvae._model.rows import Rows
from skvae._nn.noise import quasi_normal

from .frames import FRAMES
from .objects import OBJECTS
from .tree import Codec, FileError, Reader, Writer
from .values import VALUES, guarded

ESTIMATORS: dict[str, type[BaseEstimator]] = {}  # by the names of their classes
ATTRIBUTE = re.compile(r"_?[a-z][a-z0-9_]*")
# What scikit-learn keeps on an estimator for callbacks and metadata routing: code of the user.
# And the rows that partial_fit keeps between its calls.
NOT_SAVED = (
    "_skl_callbacks", "_callback_fit_ctx", "_parent_callback_ctx", "_metadata_request", "_seen",
)  # fmt: skip
N_PROBES = 4  # rows that are made up to check a loaded model by
TOLERANCE = 1e-6  # of their log-densities: other processors round differently


def _write_estimator(value: BaseEstimator, writer: Writer, place: str) -> dict[str, Any]:
    params = value.get_params(deep=False)
    fitted = {
        name: item
        for name, item in vars(value).items()
        if name not in params and not name.startswith(NOT_SAVED)
    }
    start = f"{place}." if place else ""
    return {
        "class": type(value).__name__,
        "params": {name: writer.write(item, start + name) for name, item in params.items()},
        "fitted": {name: writer.write(item, start + name) for name, item in fitted.items()},
        "probes": _write_probes(fitted.get("fitted_model_"), writer, f"{start}probes"),
    }


def _read_estimator(reader: Reader, tree: dict[str, Any]) -> BaseEstimator:
    kind = ESTIMATORS.get(tree["class"])
    if kind is None:
        raise FileError(f"{tree['class']!r} is no estimator of skvae")
    estimator = kind(**{name: reader.read(item) for name, item in tree["params"].items()})
    for name, item in tree["fitted"].items():
        if not ATTRIBUTE.fullmatch(name) or hasattr(kind, name):
            raise FileError(f"{name!r} is no attribute of {kind.__name__}")
        vars(estimator)[name] = reader.read(item)
    weights = vars(estimator).get("pool_weights_")
    if weights is not None and not guarded(_are_weights, estimator, weights):
        raise FileError("the weights of its models are not legal")
    model = vars(estimator).get("fitted_model_")
    if model is not None and not _gives_answers(model, reader, tree["probes"]):
        raise FileError("its model does not give the answers that it gave when it was saved")
    return estimator


def _are_weights(estimator: BaseEstimator, weights: np.ndarray) -> bool:
    """Whether the weights of the pool of a detector are those of its one or two models."""
    n_models = 1 if vars(estimator).get("fine_noise_") is None else 2
    return (
        weights.shape == (n_models,)
        and bool((weights >= 0).all())
        and abs(float(weights.sum()) - 1) < TOLERANCE
    )


@torch.no_grad()
def _write_probes(model: FittedModel | None, writer: Writer, place: str) -> Any:
    """Codes, rows and log-densities, by which a loaded model is checked.

    The rows are what the decoder expects for the codes: none is a row of the fitted table.
    """
    if model is None:
        return None
    latent = model.model.latent
    z = latent.snap(quasi_normal(N_PROBES, latent.n_components)[:, 0])
    rows = model.encode(sampling.decode(model.model, model.schema, z))
    fields = {"z": z, **{f"rows.{i}": field for i, field in enumerate(rows.fields())}}
    names = {name: None if field is None else writer.array(field.numpy(), f"{place}.{name}")
             for name, field in fields.items()}  # fmt: skip
    return {**names, "answers": writer.array(_answers(model, rows, z), f"{place}.answers")}


@torch.no_grad()
def _gives_answers(model: FittedModel, reader: Reader, names: Any) -> bool:
    """Whether a loaded model agrees with the saved one."""

    def tensor(name: str) -> Any:
        at = names[name]
        return None if at is None else torch.from_numpy(reader.array(at).copy())

    z, rows = tensor("z"), Rows(*map(tensor, [name for name in names if name.startswith("rows.")]))
    model.encode(sampling.decode(model.model, model.schema, z))
    found, expected = _answers(model, rows, z), reader.array(names["answers"])
    close = np.abs(found - expected) <= TOLERANCE * np.maximum(1.0, np.abs(expected))
    return bool((close | (found == expected)).all())


def _answers(model: FittedModel, rows: Rows, z: torch.Tensor) -> np.ndarray:
    """log p(x | z), log p(z) and log q(z | x) under each model, (n_models, 3, n_probes)."""
    answers = []
    for each in model.models:
        h, codes = each.encode(rows), z.unsqueeze(0)
        terms = [each.log_px(codes, rows), each.latent.log_pz(codes, each.prior),
                 each.latent.log_prob(codes, h, each.prior)]  # fmt: skip
        answers.append(torch.stack([term[0] for term in terms]).numpy())
    return np.stack(answers)


CODECS: dict[str, Codec] = {
    "estimator": Codec(
        lambda value: type(value) in ESTIMATORS.values(),
        _write_estimator,
        lambda reader, **tree: guarded(_read_estimator, reader, tree),
        is_raw=True,
    ),
    **OBJECTS,
    **FRAMES,
    **VALUES,
}
