"""Torch functions of rows as nodes of an ONNX graph.

A function is traced twice, for different numbers of rows. A size that differs between the two
traces follows the number of rows; whatever does not depend on the rows is computed once and becomes
a constant. :mod:`skvae._onnx.operators` has the node of each operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from skvae._nn.tracing import traced

from .graph import Graph
from .operators import OPERATORS
from .values import Rows, Value

N_ROWS = 5, 7  # of the two traces; primes, so that few other sizes are multiples of them


def add_torch_function(
    graph: Graph, function: Callable[..., list[Tensor]], inputs: list[Value], rows: list[Tensor]
) -> list[Value]:
    """Add a function of rows to a graph.

    Parameters
    ----------
    function : callable
        From tensors whose first axis is that of the rows to tensors.
    inputs : list of Value
        The arguments in the graph.
    rows : list of Tensor
        Arguments for some rows, of which there are enough for the traces.

    Returns
    -------
    outputs : list of Value

    Raises
    ------
    NotImplementedError
        If the function has an operator that has no node.
    """
    traces = []
    with torch.no_grad(), traced():
        function(*rows)  # random numbers are drawn and remembered: they become constants
        for n in N_ROWS:
            traces.append(make_fx(function)(*(tensor[:n].clone() for tensor in rows)))
    first, second = (list(trace.graph.nodes) for trace in traces)
    if [node.target for node in first] != [node.target for node in second]:
        raise NotImplementedError("its operators depend on the number of rows")
    return _Translation(graph, traces, inputs).run(first, second)


class _Translation:
    """The nodes of two traces of a function, in order."""

    def __init__(self, graph: Graph, traces: list[Any], inputs: list[Value]) -> None:
        self.graph, self.traces, self.inputs = graph, traces, list(inputs)
        self.values: dict[str, Any] = {}  # of the nodes of the first trace, by their names

    def run(self, first: list[Any], second: list[Any]) -> list[Value]:
        for node, other in zip(first, second, strict=True):
            if node.op == "placeholder":
                self.values[node.name] = self.inputs.pop(0)
            elif node.op == "get_attr":
                self.values[node.name] = _attribute(self.traces[0], node.target)
            elif node.op == "call_function":
                self.values[node.name] = self._call(node, other)
            elif node.op == "output":
                results = self._resolve(node.args[0], other.args[0])
        return [result if isinstance(result, Value) else Value.constant(self.graph, result)
                for result in results]  # fmt: skip

    def _call(self, node: Any, other: Any) -> Any:
        args = self._resolve(node.args, other.args)
        kwargs = self._resolve(node.kwargs, other.kwargs)
        if not _contains(args, Value) and not _contains(kwargs, Value):
            return self._constant(node, args, kwargs)
        name = str(node.target)
        if name == "<built-in function getitem>":
            return args[0][args[1]]
        translate = OPERATORS.get(name)
        if translate is None:
            raise NotImplementedError(f"its operator {name} has no counterpart in ONNX")
        return translate(self.graph, *args, **kwargs)

    def _constant(self, node: Any, args: Any, kwargs: Any) -> Any:
        """The result of an operator on constants: along an axis of rows it has one row."""
        return node.target(*_with_one_row(args), **_with_one_row(kwargs))

    def _resolve(self, first: Any, second: Any) -> Any:
        """Arguments with values in place of nodes, and ``Rows`` in place of their numbers."""
        if isinstance(first, torch.fx.Node):
            return self.values[first.name]
        if isinstance(first, (list, tuple)):
            return [self._resolve(*pair) for pair in zip(first, second, strict=True)]
        if isinstance(first, dict):
            return {key: self._resolve(first[key], second[key]) for key in first}
        if first == second or first != first:  # the same, NaN too
            return first
        if not isinstance(first, int) or first * N_ROWS[1] != second * N_ROWS[0]:
            raise NotImplementedError("one of its numbers depends on the number of rows")
        return Rows(first // N_ROWS[0])


def _with_one_row(value: Any) -> Any:
    if isinstance(value, Rows):
        return 1
    if isinstance(value, list):
        return [_with_one_row(each) for each in value]
    if isinstance(value, dict):
        return {key: _with_one_row(each) for key, each in value.items()}
    return value


def _contains(value: Any, kind: type) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return any(_contains(each, kind) for each in value)
    return isinstance(value, kind)


def _attribute(module: Any, path: str) -> Tensor:
    for name in path.split("."):
        module = getattr(module, name)
    return module.detach()
