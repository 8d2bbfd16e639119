"""A graph of ONNX nodes under construction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, ML_OPSET, IR_VERSION = 18, 3, 9  # read by onnxruntime since 1.15
TYPES = {
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "str": TensorProto.STRING,
}


class Graph:
    """Nodes, constants, inputs and outputs; values are named by strings.

    Attributes
    ----------
    nodes, initializers, inputs, outputs : list
        Messages of the ONNX format.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._constants: dict[tuple, str] = {}
        self._n_values = 0

    def new_name(self) -> str:
        self._n_values += 1
        return f"skvae/{self._n_values}"  # unlike the name of a column

    def node(self, operator: str, *inputs: Any, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; inputs that are numbers or arrays become constants."""
        return self.node_of(1, operator, *inputs, domain=domain, **attributes)[0]

    def node_of(
        self, n_outputs: int, operator: str, *inputs: Any, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        outputs = [self.new_name() for _ in range(n_outputs)]
        self.nodes.append(helper.make_node(operator, names, outputs, domain=domain, **attributes))
        return outputs

    def shape_of_rows(self, like: str) -> str:
        """(n_rows, 1), of a value with a first axis of rows."""
        n_rows = self.node("Slice", self.node("Shape", like), [0], [1])
        return self.node("Concat", n_rows, [1], axis=0)

    def constant(self, value: Any) -> str:
        """The name of a constant: a number, an array, or a list of integers or texts."""
        array = np.asarray(value)
        if array.dtype.kind in "US":
            array = array.astype(object)
        elif array.dtype.kind in "iu":
            array = array.astype(np.int64)
        elif array.dtype.kind == "f":
            array = array.astype(np.float64)
        contents = tuple(array.ravel()) if array.dtype == object else array.tobytes()
        key = array.shape, array.dtype.str, contents
        if key not in self._constants:
            name = self._constants[key] = self.new_name()
            self.initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def input(self, name: str, dtype: str, shape: Sequence[Any]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TYPES[dtype], shape))
        return name

    def output(self, name: str, value: str, dtype: str, shape: Sequence[Any]) -> None:
        taken = {message.name for message in [*self.inputs, *self.outputs]}
        while name in taken:  # as of a column "score"
            name += "_"
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TYPES[dtype], shape))

    def model(self, producer: str, version: str, metadata: dict[str, str]) -> Any:
        """The model with the nodes that the outputs need, checked by onnx."""
        graph = helper.make_graph(
            self._needed(), "skvae", self.inputs, self.outputs, self._used_initializers()
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION,
            producer_name=producer, producer_version=version,
        )  # fmt: skip
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return model

    def _needed(self) -> list[Any]:
        needed = {output.name for output in self.outputs}
        nodes = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                nodes.append(node)
        return nodes[::-1]

    def _used_initializers(self) -> list[Any]:
        used = {name for node in self._needed() for name in node.input}
        return [initializer for initializer in self.initializers if initializer.name in used]
