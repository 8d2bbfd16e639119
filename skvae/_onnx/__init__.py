"""ONNX graphs of fitted models: traced from the code that answers in Python, never written twice.

The columns of a table are encoded and decoded by numpy code, which is traced through numpy's
protocols (``numpy_tracing``); the networks and densities are torch code, which is traced as a graph
of torch operators (``torch_tracing``). Both add nodes to one graph (``graph``). All numbers are in
float64, as in Python.
"""
