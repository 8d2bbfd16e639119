"""Functions that ONNX or its runtime lacks for float64, from those that it has."""

from __future__ import annotations

import math

from .graph import Graph

SMALL = 1e-3  # below it the first terms of a series are exact to 1e-13


def log1p(graph: Graph, x: str) -> str:
    """log(1 + x), as x − x²/2 + x³/3 − x⁴/4 where x is small."""
    series = graph.node("Mul", x, polynomial(graph, x, [1.0, -1 / 2, 1 / 3, -1 / 4]))
    return _where_small(graph, x, series, graph.node("Log", graph.node("Add", x, 1.0)))


def expm1(graph: Graph, x: str) -> str:
    """exp(x) − 1, as x + x²/2 + x³/6 + x⁴/24 where x is small."""
    series = graph.node("Mul", x, polynomial(graph, x, [1.0, 1 / 2, 1 / 6, 1 / 24]))
    return _where_small(graph, x, series, graph.node("Sub", graph.node("Exp", x), 1.0))


def _where_small(graph: Graph, x: str, series: str, otherwise: str) -> str:
    is_small = graph.node("Less", graph.node("Abs", x), SMALL)
    return graph.node("Where", is_small, series, otherwise)


def polynomial(graph: Graph, x: str, coefficients: list[float]) -> str:
    """c₀ + c₁ x + c₂ x² + … by Horner's rule."""
    value = graph.constant(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = graph.node("Add", graph.node("Mul", value, x), coefficient)
    return value


def softplus(graph: Graph, x: str) -> str:
    """log(1 + exp(x)) = max(x, 0) + log(1 + exp(−|x|))."""
    tail = graph.node("Exp", graph.node("Neg", graph.node("Abs", x)))
    return graph.node("Add", graph.node("Max", x, 0.0), log1p(graph, tail))


def log_sigmoid(graph: Graph, x: str) -> str:
    return graph.node("Neg", softplus(graph, graph.node("Neg", x)))


def log_gamma(graph: Graph, x: str) -> str:
    """log Γ(x) of positive x: Stirling's series at x + 8, and log Γ(x) = log Γ(x + 1) − log x."""
    y = graph.node("Add", x, 8.0)
    product = x
    for step in range(1, 8):
        product = graph.node("Mul", product, graph.node("Add", x, float(step)))
    r = graph.node("Reciprocal", y)
    terms = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680]
    series = graph.node("Mul", r, polynomial(graph, graph.node("Mul", r, r), terms))
    power = graph.node("Mul", graph.node("Sub", y, 0.5), graph.node("Log", y))
    leading = graph.node("Add", graph.node("Sub", power, y), 0.5 * math.log(2 * math.pi))
    stirling = graph.node("Add", leading, series)
    return graph.node("Sub", stirling, graph.node("Log", product))


def log_add_exp(graph: Graph, a: str, b: str) -> str:
    """log(exp(a) + exp(b)); one of them may be −∞."""
    difference = graph.node("Abs", graph.node("Sub", a, b))
    tail = log1p(graph, graph.node("Exp", graph.node("Neg", difference)))
    return graph.node("Add", graph.node("Max", a, b), tail)


def silu(graph: Graph, x: str) -> str:
    return graph.node("Mul", x, graph.node("Sigmoid", x))


def elu(graph: Graph, x: str) -> str:
    negative = expm1(graph, graph.node("Min", x, 0.0))
    return graph.node("Where", graph.node("Greater", x, 0.0), x, negative)
