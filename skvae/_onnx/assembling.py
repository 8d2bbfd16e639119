"""The graphs of the answers, from the cells of a table to their outputs."""

from __future__ import annotations

import torch

from skvae._fitted.fitted_model import FittedModel
from skvae._fitted.pool import Pool
from skvae._model.schema import Schema

from . import answers
from .columns import ROWS, add_inputs, add_outputs, encode
from .graph import Graph
from .numpy_tracing import TracedArray
from .torch_tracing import N_ROWS, add_torch_function
from .values import Value


def transform(model: FittedModel, whiten: bool) -> Graph:
    """The graph with the output "components"."""
    graph, outputs = _traced(model, answers.transform(model, whiten))
    (components,) = outputs
    # Without a column that varies the components are a constant.
    each = graph.node("Expand", components.name, graph.shape_of_rows(graph.inputs[0].name))
    graph.output("components", each, "float64", [ROWS, components.shape[1]])
    return graph


def score(pool: Pool, method: str, n_draws: int) -> Graph:
    """The graph with the output "score", the weighted sum of the scores of the models."""
    graph = Graph()
    inputs = add_inputs(graph, pool.models[0].schema)
    parts = []
    for model, weight in zip(pool.models, pool.weights, strict=True):
        (part,) = _add(graph, inputs, model, answers.score(model, method, n_draws))
        parts.append(graph.node("Mul", part.name, float(weight)))
    total = graph.node("Sum", *parts)
    graph.output("score", total, "float64", [ROWS])
    return graph


def reconstruction(model: FittedModel) -> Graph:
    """The graph with an output "…_reconstruction" for each input."""
    graph, (values, codes) = _traced(model, answers.reconstruction(model))
    add_outputs(graph, model.schema, values, codes, graph.inputs[0].name)
    return graph


def _traced(model: FittedModel, answer: answers.Answer) -> tuple[Graph, list[Value]]:
    """The graph of an answer, and its values."""
    graph = Graph()
    return graph, _add(graph, add_inputs(graph, model.schema), model, answer)


def _add(
    graph: Graph, inputs: list[TracedArray], model: FittedModel, answer: answers.Answer
) -> list[Value]:
    """Add the nodes of an answer of a model, and return its values."""
    rows = encode(graph, model.schema, inputs)
    try:
        return add_torch_function(graph, answer, list(rows.values()), _some(model.schema))
    except NotImplementedError as error:
        raise NotImplementedError(
            f"This model cannot be exported to ONNX: {error}. Its components are "
            f"latent={model.latent!r}, prior={model.prior!r} and the likelihoods "
            f"{sorted({repr(g.likelihood) for g in model.schema.groups})}."
        ) from error


def _some(schema: Schema) -> list[torch.Tensor]:
    """Tensors of some rows, of which only the shapes count."""
    n, width = max(N_ROWS), len(schema.order)
    return [
        torch.zeros(n, len(schema.numeric), dtype=torch.float64),
        torch.zeros(n, len(schema.categorical), dtype=torch.long),
        torch.zeros(n, width, dtype=torch.bool),
        torch.zeros(n, schema.n_extras, dtype=torch.float64),
        torch.zeros(n, dtype=torch.float64),
        torch.zeros(n, width, dtype=torch.bool),
    ]
