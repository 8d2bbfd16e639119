"""Normalising flows by zuko, with its side effects held off.

zuko is imported when a flow is asked for, not with skvae. It switches the validation of
torch.distributions off for the whole process, which is undone here; and its layers start from
torch's global random stream, which is left alone: they are drawn from our generator.
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
    """``zuko.flows``, without a trace on torch.distributions."""
    if "zuko" not in sys.modules:
        validates = Distribution._validate_args
        importlib.import_module("zuko")
        Distribution.set_default_validate_args(validates)
    return importlib.import_module("zuko.flows")


def zuko_transforms() -> ModuleType:
    """``zuko.transforms``, without a trace on torch.distributions."""
    zuko_flows()
    return importlib.import_module("zuko.transforms")


class ComesFirst:
    """Stands before modules of zuko in a pickle, so that these are imported with care."""

    def __reduce__(self) -> tuple:
        return zuko_flows, ()


def contains_zuko(module: torch.nn.Module) -> bool:
    return any(type(part).__module__.startswith("zuko") for part in module.modules())


class DrawnFrom(TorchFunctionMode):
    """Random starts of modules come from a generator, in this thread alone."""

    RANDOM: tuple[Callable, ...] = (
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
    """Autoregressive transforms, the order reversed from one to the next, started as the identity.

    `kind` is "spline" (rational-quadratic, Durkan et al. 2019) or "affine" (Kingma et al. 2016).
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
    """A net whose output i depends on input j where adjacency[i, j]; it starts at zero."""
    zuko_flows()
    with DrawnFrom(generator):
        net = importlib.import_module("zuko.nn").MaskedMLP(adjacency, hidden_layer_sizes)
    for parameter in net[-1].parameters():
        torch.nn.init.zeros_(parameter)
    return net
