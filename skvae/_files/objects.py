"""Codecs of what the package itself fits: components, columns, maps, schema, fitted model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

import numpy as np
import torch
from torch import nn

from skvae._component import Component
from skvae._constraints.combinations import FittedCombinations, FittedUnique
from skvae._constraints.relations import FittedInequality, FittedSum
from skvae._fitted.fitted_model import Axes, FittedModel
from skvae._model.discriminant import Discriminant
from skvae._model.missingness import Patterns
from skvae._model.schema import Schema
from skvae._model.vae import VAE, build, for_inference
from skvae._nn.networks import ACTIVATIONS
from skvae._table.atom_map import AtomMap
from skvae._table.columns import CategoricalColumn, Column, ConstantColumn
from skvae._table.lattices import Lattices
from skvae._table.numeric_column import NumericColumn
from skvae._table.scaling import LogMap, NumericMap, PowerMap, QuantileMap
from skvae._validation import check_parameters
from skvae.constraints import CONSTRAINTS
from skvae.latents import LATENTS, Latent
from skvae.likelihoods import LIKELIHOODS, Likelihood
from skvae.objectives import OBJECTIVES, Objective
from skvae.priors import PRIORS, Prior

from .consistency import (
    are_lattices,
    are_patterns,
    is_atom_map,
    is_categorical,
    is_discriminant,
    is_numeric,
    is_quantile_map,
)
from .relations import are_relations
from .tree import Codec, FileError, Reader, Writer
from .values import exactly, guarded

MAX_SMALL = 2**24  # numbers that may be allocated whatever the size of the file
NO_SIZES = {"n_exemplars", "n_steps", "n_ode_steps"}  # numbers that no parameter's size follows
REGISTERED: dict[str, type[Component]] = {}  # components of users


def component_classes() -> dict[str, type[Component]]:
    """The components that files may hold, by the name of their class."""
    own: dict[str, type[Component]] = {}
    for registry in (LIKELIHOODS, LATENTS, PRIORS, OBJECTIVES, CONSTRAINTS):
        own |= {kind.__name__: kind for kind in registry.values()}
    return own | REGISTERED


def register(kind: type) -> type:
    """Allow components of a class of your own in ``.skvae`` files, by the name of the class.

    A file names classes, but no code: what it names is looked up among the classes of this package
    and those that were registered in the running process. Register a class before its objects are
    saved, and before they are loaded. It can be used as a decorator.

    Parameters
    ----------
    kind : class
        A subclass of Likelihood, Latent, Prior or Objective whose parameters are plain values.

    Returns
    -------
    kind : class
        The same class.

    Raises
    ------
    TypeError
        If it is not such a class.
    ValueError
        If another class of this name is known.

    Examples
    --------
    >>> import skvae
    >>> @skvae.register
    ... class Wide(skvae.Normal):
    ...     pass
    """
    if not isinstance(kind, type) or not issubclass(kind, (Likelihood, Latent, Prior, Objective)):
        raise TypeError(
            f"Only classes of components are registered: subclasses of Likelihood, Latent, Prior "
            f"or Objective. Got {kind!r} instead."
        )
    known = component_classes().get(kind.__name__)
    if known is not None and (known.__module__, known.__qualname__) != (
        kind.__module__, kind.__qualname__,
    ):  # fmt: skip
        raise ValueError(
            f"A component with the name {kind.__name__} is known already: {known!r}. Give your "
            "class another name."
        )
    REGISTERED[kind.__name__] = kind
    return kind


# --------------------------------------------------------------------------------- components


def _is_component(value: Any) -> bool:
    return component_classes().get(type(value).__name__) is type(value)


def _write_component(value: Component, writer: Writer, place: str) -> dict[str, Any]:
    params = value.get_params(deep=False)
    written = {name: writer.write(item, f"{place}.{name}") for name, item in params.items()}
    return {"class": type(value).__name__, "params": written}


def _read_component(reader: Reader, params: Any, **rest: Any) -> Component:
    kind = component_classes().get(rest.get("class", ""))
    if kind is None:
        raise FileError(
            f"it holds a component of the class {rest.get('class')!r}, which is not known here. If "
            "the class is your own, call skvae.register with it before skvae.load"
        )
    component = guarded(lambda: kind(**{name: reader.read(item) for name, item in params.items()}))
    guarded(check_parameters, component)
    return component


# -------------------------------------------------------------------------------- dataclasses

PLAIN: dict[Any, Callable[[Any], bool]] = {
    int: lambda v: type(v) is int,
    float: lambda v: type(v) in (float, int),
    bool: lambda v: type(v) is bool,
    str: lambda v: type(v) is str,
    tuple: lambda v: type(v) is tuple,
    np.ndarray: lambda v: isinstance(v, np.ndarray) and v.dtype.kind in "biuf",
    int | None: lambda v: v is None or type(v) is int,
    np.ndarray | None: lambda v: v is None or (isinstance(v, np.ndarray) and v.dtype.kind == "f"),
    Lattices | None: lambda v: v is None or type(v) is Lattices,
    Discriminant | None: lambda v: v is None or type(v) is Discriminant,
}
LATER = {"lattices": None, "discriminant": None}  # fields that the first files of the format lack


def of_dataclass(kind: type, check: Callable[[Any], bool] = lambda value: True) -> Codec:
    """The codec of a dataclass of this package; `check` is whether the values are consistent."""
    names = [field.name for field in fields(kind)]
    hints = get_type_hints(kind)

    def write(value: Any, writer: Writer, place: str) -> dict[str, Any]:
        return {name: writer.write(getattr(value, name), f"{place}.{name}") for name in names}

    def read(reader: Reader, **values: Any) -> Any:
        values = {**{name: LATER[name] for name in names if name in LATER}, **values}
        for name in names:
            is_legal = PLAIN.get(hints[name], lambda value: True)
            if name not in values or not is_legal(values[name]):
                raise FileError(f"the field {name!r} of {kind.__name__} is not legal")
        value = guarded(lambda: kind(**values))
        if not guarded(check, value):
            raise FileError(f"its {kind.__name__} is not consistent")
        return value

    return Codec(exactly(kind), write, read)


# ------------------------------------------------------------------------------------- schema


def _write_schema(schema: Schema, writer: Writer, place: str) -> dict[str, Any]:
    chosen = {j: schema.choices[column.name] for j, column in enumerate(schema.columns)
              if column.name in schema.choices}  # fmt: skip
    return {
        "layout": writer.write(schema.layout, f"{place}.layout"),
        "columns": writer.write(schema.columns, f"{place}.columns"),
        "chosen": [[j, writer.write(likelihood, f"{place}.likelihood.{j}"), why]
                   for j, (likelihood, why) in chosen.items()],
        "patterns": writer.write(schema.patterns, f"{place}.patterns"),
        "order": schema.order,
    }  # fmt: skip


def _read_schema(
    reader: Reader, layout: Any, columns: Any, chosen: Any, patterns: Any, order: Any
) -> Schema:
    def schema() -> Schema:
        legal = all(isinstance(column, Column) for column in columns)
        legal &= isinstance(patterns, Patterns) and patterns.missing.shape[1] == len(columns)
        choices = {}
        for j, likelihood, why in chosen:
            column = columns[j]
            legal &= isinstance(likelihood, Likelihood) and column.kind in likelihood.kinds
            legal &= not isinstance(column, ConstantColumn) and type(why) is str
            choices[j] = likelihood, why
        if not legal or len(choices) != sum(not isinstance(c, ConstantColumn) for c in columns):
            raise FileError("its columns are not consistent")
        made = Schema(layout, columns, choices, patterns)
        if made.order != order:
            raise FileError("the order of its columns is not consistent")
        return made

    return guarded(schema)


# -------------------------------------------------------------------------------- the networks


def _write_model(fitted: FittedModel, writer: Writer, place: str) -> dict[str, Any]:
    first = fitted.model
    networks = [_write_network(model, writer, f"{place}.models.{i}")
                for i, model in enumerate(fitted.models)]  # fmt: skip
    return {
        "schema": writer.write(fitted.schema, f"{place}.schema"),
        "latent": writer.write(fitted.latent, f"{place}.latent"),
        "prior": writer.write(fitted.prior, f"{place}.prior"),
        "objective": writer.write(fitted.objective, f"{place}.objective"),
        "axes": writer.write(fitted.axes, f"{place}.axes"),
        "relations": writer.write(fitted.relations, f"{place}.relations"),
        "n_components": int(first.latent.n_components),
        "hidden_layer_sizes": [len(layer.bias) for layer in first.encoder.linear_layers],
        "activation": first.encoder.activation,
        "networks": networks,
    }


def _write_network(model: VAE, writer: Writer, place: str) -> dict[str, Any]:
    """The parameters; in single precision where that is exact, as it is after training."""
    names = {}
    for name, tensor in model.state_dict().items():
        array = tensor.detach().cpu().numpy()
        with np.errstate(over="ignore"):
            single = array.astype(np.float32) if array.dtype == np.float64 else array
        is_exact = bool((single == array).all()) or single is array
        names[name] = writer.array(single if is_exact else array, f"{place}.{name}")
    return names


def _read_model(
    reader: Reader, n_components: Any, hidden_layer_sizes: Any, activation: Any, networks: Any,
    **parts: Any,
) -> FittedModel:  # fmt: skip
    names = ("schema", "latent", "prior", "objective", "axes")
    schema, latent, prior, objective, axes = (reader.read(parts[name]) for name in names)
    kinds = ((schema, Schema), (latent, Latent), (prior, Prior), (objective, Objective))
    relations = reader.read(parts.get("relations", []))  # earlier files have none
    legal = all(isinstance(value, kind) for value, kind in kinds)
    legal &= guarded(are_relations, relations, schema)
    legal &= axes is None or isinstance(axes, Axes)
    legal &= activation in ACTIVATIONS and type(n_components) is int and n_components > 0
    legal &= isinstance(networks, list) and len(networks) > 0
    legal &= all(type(size) is int and size > 0 for size in hidden_layer_sizes)
    if not legal:
        raise FileError("the parts of its model are not legal")
    size = sum(array.size for array in reader.arrays.values())
    _check_size(schema, (latent, prior), n_components, hidden_layer_sizes, size)
    generator = torch.Generator().manual_seed(0)
    shape = schema, n_components, latent, prior, hidden_layer_sizes, activation, generator
    models = []
    for names in networks:
        model = for_inference(guarded(build, *shape))
        guarded(_load, model, names, reader)
        models.append(model)
    if axes is not None and axes.center.shape != (models[0].latent.n_components,):
        raise FileError("its components do not have the right number")
    return FittedModel(models, schema, latent, prior, objective, axes, relations)


def _check_size(schema: Schema, components: Any, k: int, sizes: list[int], available: int) -> None:
    """Refuse what would allocate far more numbers than the file holds tensors for."""
    layers = [schema.n_features, *sizes, k, *sizes, len(schema.columns)]
    needed = sum(a * b for a, b in itertools.pairwise(layers))
    likelihoods = [likelihood for likelihood, _ in schema.choices.values()]
    for component in (*components, *likelihoods):
        needed += _size(component, sum(sizes[:1], k))
    if needed > available + MAX_SMALL:
        raise FileError(f"its model would have {needed} parameters, but it holds {available}")


def _size(component: Component, width: int) -> int:
    """A bound on the parameters of a component: its layers times all other sizes.

    Numbers of exemplars, which are only upper bounds, and of steps do not count.
    """
    layers, factor, nested = width, 1, 0
    for name, value in component.get_params(deep=False).items():
        if isinstance(value, Component):
            nested += _size(value, width)
        elif isinstance(value, (tuple, list, np.ndarray)):
            widths = [width, *map(int, value), width]
            layers += sum(a * b for a, b in itertools.pairwise(widths))
        elif isinstance(value, (int, np.integer)) and name not in NO_SIZES:
            factor *= max(1, int(value))
    return layers * factor + nested


def _load(model: nn.Module, names: Mapping[str, str], reader: Reader) -> None:
    """Put the tensors in the place of those of a model that was just built.

    The numbers of exemplars and clusters of a prior come from the data: its shapes may differ, and
    the answers of the model show whether they fit together.
    """
    built = model.state_dict()
    if set(built) != set(names):
        raise FileError("its networks do not have the tensors of the model")
    for name, old in built.items():
        array = reader.array(names[name])
        new = torch.from_numpy(array.copy()).to(old.dtype)
        is_float = old.dtype.is_floating_point
        if is_float != (array.dtype.kind == "f"):
            raise FileError(f"the tensor {name!r} is of another kind")
        if is_float and not bool(torch.isfinite(new).all()) and bool(torch.isfinite(old).all()):
            raise FileError(f"the tensor {name!r} holds numbers that are not finite")
        if new.shape != old.shape and not name.startswith("prior."):
            shapes = f"{tuple(new.shape)}, not {tuple(old.shape)}"
            raise FileError(f"the tensor {name!r} has the shape {shapes}")
        path, _, leaf = name.rpartition(".")
        owner = model.get_submodule(path)
        if leaf == "_extra_state":
            owner.set_extra_state(new)
        elif leaf in owner._parameters:
            owner._parameters[leaf] = nn.Parameter(new, requires_grad=False)
        else:
            owner._buffers[leaf] = new


OBJECTS: dict[str, Codec] = {
    "component": Codec(_is_component, _write_component, _read_component, is_raw=True),
    "NumericMap": of_dataclass(NumericMap),
    "PowerMap": of_dataclass(PowerMap),
    "QuantileMap": of_dataclass(QuantileMap, is_quantile_map),
    "LogMap": of_dataclass(LogMap),
    "AtomMap": of_dataclass(AtomMap, is_atom_map),
    "Lattices": of_dataclass(Lattices, are_lattices),
    "ConstantColumn": of_dataclass(ConstantColumn),
    "CategoricalColumn": of_dataclass(CategoricalColumn, is_categorical),
    "NumericColumn": of_dataclass(NumericColumn, is_numeric),
    "Discriminant": of_dataclass(Discriminant, is_discriminant),
    "Patterns": of_dataclass(Patterns, are_patterns),
    "Axes": of_dataclass(Axes),
    "FittedInequality": of_dataclass(FittedInequality),
    "FittedSum": of_dataclass(FittedSum),
    "FittedCombinations": of_dataclass(FittedCombinations),
    "FittedUnique": of_dataclass(FittedUnique),
    "Schema": Codec(exactly(Schema), _write_schema, _read_schema),
    "FittedModel": Codec(exactly(FittedModel), _write_model, _read_model, is_raw=True),
}
