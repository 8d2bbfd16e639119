"""Normalizing flows by zuko, without its side effects.

zuko is imported when a flow is first built, not with skvae. Its import disables the validation of
arguments in torch.distributions for the whole process; this is undone here. Its layers draw their
initial parameters from the global random state of torch; here they are drawn from a generator.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch.distributions import Distribution
from torch.overrides import TorchFunctionMode


def zuko_flows() -> ModuleType:
    """``zuko.flows``; the validation in torch.distributions stays as it was."""
    if "zuko" not in sys.modules:
        validates = Distribution._validate_args
        importlib.import_module("zuko")
        Distribution.set_default_validate_args(validates)
    return importlib.import_module("zuko.flows")


def zuko_transforms() -> ModuleType:
    """``zuko.transforms``; the validation in torch.distributions stays as it was."""
    zuko_flows()
    return importlib.import_module("zuko.transforms")


class ComesFirst:
    """First element of a pickle with modules of zuko, so that :func:`zuko_flows` imports it."""

    def __reduce__(self) -> tuple:
        return zuko_flows, ()


def contains_zuko(module: torch.nn.Module) -> bool:
    return any(type(part).__module__.startswith("zuko") for part in module.modules())


class DrawnFrom(TorchFunctionMode):
    """Context in which initial parameters are drawn from a generator, in this thread only."""

    RANDOM: tuple[Callable, ...] = (
        torch.rand,
        torch.randn,
        torch.Tensor.uniform_,
        torch.Tensor.normal_,
        torch.nn.init.uniform_,
        torch.nn.init.normal_,
        torch.nn.init.kaiming_uniform_,
    )

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence = (), kwargs: Mapping | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in self.RANDOM:
            kwargs["generator"] = self.generator
        return func(*args, **kwargs)


def autoregressive_flow(
    kind: str,
    n_features: int,
    n_transforms: int,
    hidden_layer_sizes: Sequence[int],
    n_bins: int,
    generator: torch.Generator,
    *,
    n_context: int = 0,
) -> torch.nn.Module:
    """Autoregressive transforms, initialized as the identity.

    The order of the dimensions is reversed from one transform to the next. `kind` is "spline"
    (rational-quadratic, Durkan et al. 2019) or "affine" (Kingma et al. 2016).
    """
    flows = zuko_flows()
    sizes = {"transforms": n_transforms, "hidden_features": hidden_layer_sizes}
    with DrawnFrom(generator):
        if kind == "spline":
            flow = flows.NSF(n_features, n_context, bins=n_bins, **sizes)
        else:
            flow = flows.MAF(n_features, n_context, **sizes)
    transform = flow.transform
    for layer in transform.transforms:
        last = layer.hyper[-1] if hasattr(layer, "hyper") else layer
        for parameter in last.parameters():
            torch.nn.init.zeros_(parameter)
    return transform


def masked_mlp(
    adjacency: torch.Tensor, hidden_layer_sizes: Sequence[int], generator: torch.Generator
) -> torch.nn.Module:
    """A network, initially zero, whose output i depends on input j only if adjacency[i, j]."""
    zuko_flows()
    with DrawnFrom(generator):
        network = importlib.import_module("zuko.nn").MaskedMLP(adjacency, hidden_layer_sizes)
    for parameter in network[-1].parameters():
        torch.nn.init.zeros_(parameter)
    return network
