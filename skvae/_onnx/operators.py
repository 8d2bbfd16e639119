"""The ONNX nodes of torch operators: one table row for each, by its name in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import functions, reductions, shapes, values
from .values import BOOLEAN, FLOAT, composed, elementwise


def named(table: dict[str, Any]) -> dict[str, Any]:
    return {f"aten.{name}": translate for names, translate in table.items()
            for name in names.split()}  # fmt: skip


OPERATORS: dict[str, Callable[..., Any]] = named({
    "add.Tensor add.Scalar": elementwise("Add"),
    "sub.Tensor sub.Scalar": elementwise("Sub"),
    "rsub.Scalar": lambda graph, x, y, alpha=1: elementwise("Sub")(graph, y, x),
    "mul.Tensor mul.Scalar": values.multiply,
    "div.Tensor div.Scalar": elementwise("Div", least=FLOAT),
    "reciprocal.default": elementwise("Reciprocal", least=FLOAT),
    "neg.default": elementwise("Neg"),
    "abs.default": elementwise("Abs"),
    "sign.default": elementwise("Sign"),
    "exp.default": elementwise("Exp", least=FLOAT),
    "log.default": elementwise("Log", least=FLOAT),
    "sqrt.default": elementwise("Sqrt", least=FLOAT),
    "floor.default": elementwise("Floor"),
    "round.default": elementwise("Round"),
    "sigmoid.default": elementwise("Sigmoid", least=FLOAT),
    "tanh.default": elementwise("Tanh", least=FLOAT),
    "relu.default": lambda graph, x: values.clamp(graph, x, 0.0),
    "minimum.default": elementwise("Min"),
    "maximum.default": elementwise("Max"),
    "lt.Tensor lt.Scalar": elementwise("Less", BOOLEAN),
    "le.Tensor le.Scalar": elementwise("LessOrEqual", BOOLEAN),
    "gt.Tensor gt.Scalar": elementwise("Greater", BOOLEAN),
    "ge.Tensor ge.Scalar": elementwise("GreaterOrEqual", BOOLEAN),
    "eq.Tensor eq.Scalar": elementwise("Equal", BOOLEAN),
    "bitwise_and.Tensor logical_and.default": elementwise("And", BOOLEAN),
    "bitwise_or.Tensor logical_or.default": elementwise("Or", BOOLEAN),
    "bitwise_not.default logical_not.default": elementwise("Not", BOOLEAN),
    "remainder.Scalar": elementwise("Mod"),  # of whole numbers, with the sign of the divisor
    "ne.Tensor ne.Scalar": lambda graph, x, y: elementwise("Not", BOOLEAN)(
        graph, elementwise("Equal", BOOLEAN)(graph, x, y)
    ),
    "isnan.default": elementwise("IsNaN", BOOLEAN),
    "square.default": values.square,
    "pow.Tensor_Scalar": values.power,
    "log1p.default": composed(functions.log1p),
    "expm1.default": composed(functions.expm1),
    "softplus.default": composed(functions.softplus),
    "lgamma.default": composed(functions.log_gamma),
    "silu.default": composed(functions.silu),
    "elu.default": composed(functions.elu),
    "log_sigmoid_forward.default": values.log_sigmoid,
    "logaddexp.default": values.log_add_exp,
    "clamp.default clamp_min.default": values.clamp,
    "clamp_max.default": lambda graph, x, high: values.clamp(graph, x, None, high),
    "where.self where.ScalarSelf where.ScalarOther": values.where,
    "masked_fill.Scalar masked_fill.Tensor": values.masked_fill,
    "alias.default clone.default detach.default lift_fresh_copy.default": shapes.same,
    "_to_copy.default": shapes.to_copy,
    "view.default _unsafe_view.default reshape.default": shapes.view,
    "expand.default": shapes.expand,
    "unsqueeze.default": values.unsqueeze,
    "squeeze.dim squeeze.dims": shapes.squeeze,
    "permute.default": shapes.permute,
    "transpose.int t.default": shapes.transpose,
    "slice.Tensor": shapes.slice_,
    "select.int": shapes.select,
    "unbind.int": shapes.unbind,
    "split.Tensor split_with_sizes.default": shapes.split,
    "cat.default": shapes.concatenate,
    "stack.default": shapes.stack,
    "new_zeros.default": shapes.new_filled(0),
    "new_ones.default": shapes.new_filled(1),
    "new_full.default": lambda graph, x, shape, value, dtype=None, **_: shapes.filled(
        graph, shape, value, x, dtype
    ),
    "zeros_like.default": shapes.filled_like(0),
    "ones_like.default": shapes.filled_like(1),
    "full_like.default": lambda graph, x, value, dtype=None, **_: shapes.filled(
        graph, x.shape, value, x, dtype
    ),
    "constant_pad_nd.default": shapes.pad,
    "gather.default": shapes.gather,
    "index.Tensor": shapes.index_tensor,
    "embedding.default": shapes.embedding,
    "sum.dim_IntList": reductions.total,
    "amin.default": reductions.least,
    "amax.default": reductions.greatest,
    "max.dim": reductions.max_and_place,
    "mean.dim": reductions.mean,
    "var.correction": reductions.variance,
    "native_layer_norm.default": reductions.layer_norm,
    "searchsorted.Tensor": reductions.search_sorted,
    "logsumexp.default": reductions.log_sum_exp,
    "_log_softmax.default": reductions.log_softmax,
    "_softmax.default": reductions.softmax,
    "argmax.default": reductions.arg("ArgMax"),
    "argmin.default": reductions.arg("ArgMin"),
    "all.dim": reductions.all_,
    "any.dim": reductions.any_,
    "cumsum.default": reductions.cumulated,
    "mm.default bmm.default matmul.default": reductions.product,
    "addmm.default": reductions.affine,
})  # fmt: skip
