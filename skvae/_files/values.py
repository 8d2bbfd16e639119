"""Codecs of values of Python, numpy and torch."""

from __future__ import annotations

import base64
import datetime
import decimal
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from .tree import Codec, FileError, Reader, Writer

NUMBERS = "biufc"  # kinds of dtypes whose arrays are tensors
DTYPES = {str(dtype): dtype for dtype in (
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
)}  # fmt: skip
MAX_DIMENSIONS = 8


def exactly(*types: type) -> Callable[[Any], bool]:
    """Matches values of exactly one of some types."""
    return lambda value: type(value) in types


def simple(kind: type, to_json: Callable[[Any], Any], of_json: Callable[[Any], Any]) -> Codec:
    """A codec of a type whose values have a plain form."""

    def read(reader: Reader, value: Any) -> Any:
        return guarded(of_json, value)

    return Codec(exactly(kind), lambda v, writer, place: {"value": to_json(v)}, read)


def guarded(function: Callable, *args: Any) -> Any:
    """The result of a function of values of a file; its errors are those of the file."""
    try:
        return function(*args)
    except (FileError, ImportError):
        raise
    except Exception as error:
        raise FileError(f"it holds a value that is not legal ({error})") from error


def _float(text: str) -> float:
    return {"nan": float("nan"), "inf": float("inf"), "-inf": -float("inf")}[text]


# ------------------------------------------------------------------------------- containers


def _write_items(value: Any, writer: Writer, place: str) -> dict[str, Any]:
    return {"items": [writer.write(item, f"{place}.{i}") for i, item in enumerate(value)]}


def _write_mapping(value: Mapping, writer: Writer, place: str) -> dict[str, Any]:
    return {"items": [
        [writer.write(key, f"{place}.key{i}"), writer.write(item, f"{place}.{key}")]
        for i, (key, item) in enumerate(value.items())
    ]}  # fmt: skip


# ------------------------------------------------------------------------------------ numpy


def dtype_name(dtype: np.dtype) -> str:
    """The name of a dtype in files."""
    return "O" if dtype.kind == "O" else dtype.str


def dtype_of(name: Any) -> np.dtype:
    """The dtype of a name; no structures, no objects with code."""
    if not isinstance(name, str) or not name.lstrip("<>|=")[:1] or name.lstrip("<>|=")[0] not in (
        "b", "i", "u", "f", "c", "U", "S", "O", "M", "m",
    ):  # fmt: skip
        raise FileError(f"{name!r} is no dtype")
    return guarded(np.dtype, name)


def _write_array(value: np.ndarray, writer: Writer, place: str) -> dict[str, Any]:
    fields = {"dtype": dtype_name(value.dtype), "shape": list(value.shape)}
    kind, itemsize = value.dtype.kind, value.dtype.itemsize
    if kind in "Mm":
        return {**fields, "data": writer.array(value.ravel().view(np.int64), place)}
    if kind in NUMBERS and itemsize <= 8 and kind != "c":
        native = value.astype(value.dtype.newbyteorder("="), copy=False)
        return {**fields, "data": writer.array(native.ravel(), place)}
    if kind == "T":  # text of any length
        return {**fields, "dtype": "T", **_write_items(value.ravel().tolist(), writer, place)}
    return {**fields, **_write_items(value.ravel().tolist(), writer, place)}


def _read_array(
    reader: Reader, dtype: Any, shape: Any, data: Any = None, items: Any = None
) -> np.ndarray:
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        raise FileError("a shape is not legal")
    size = 1
    for n in shape:
        if type(n) is not int or n < 0:
            raise FileError("a shape is not legal")
        size *= n
    if data is None:
        if not isinstance(items, list) or len(items) != size:
            raise FileError("an array does not have its number of items")
        kind = _text_of_any_length() if dtype == "T" else dtype_of(dtype)
        out = np.empty(size, dtype=object)
        out[:] = items
        if kind != np.dtype(object):
            out = guarded(lambda: np.array(items, dtype=kind))
        return out.reshape(shape)
    kind, array = dtype_of(dtype), reader.array(data)
    if array.size != size:
        raise FileError(f"the tensor {data!r} does not have the shape {shape}")
    if kind.kind in "Mm":
        return guarded(lambda: array.view(kind).reshape(shape))
    if array.dtype.newbyteorder("=") != kind.newbyteorder("="):
        raise FileError(f"the tensor {data!r} is {array.dtype}, not {kind}")
    # An empty array of a buffer has the strides of one that was pickled.
    return (array.astype(kind) if size else np.frombuffer(b"", kind)).reshape(shape)


def _text_of_any_length() -> Any:
    """A dtype of numpy 2."""
    return guarded(lambda: np.dtypes.StringDType())


def _write_scalar(value: np.generic, writer: Writer, place: str) -> dict[str, Any]:
    return _write_array(np.asarray(value), writer, place)


def _read_scalar(reader: Reader, **fields: Any) -> Any:
    array = _read_array(reader, **fields)
    if array.size != 1:
        raise FileError("a number is an array")
    return array.reshape(-1)[0]


# ------------------------------------------------------------------------------------ torch


def _write_tensor(value: torch.Tensor, writer: Writer, place: str) -> dict[str, Any]:
    return {"array": writer.write(value.detach().cpu().numpy(), place)}


def _read_tensor(reader: Reader, array: Any) -> torch.Tensor:
    if not isinstance(array, np.ndarray):
        raise FileError("a tensor is no array")
    return guarded(lambda: torch.from_numpy(array.copy()))


# ----------------------------------------------------------------------- dates, numbers, seeds


def _zone_name(zone: datetime.tzinfo) -> list:
    if isinstance(zone, datetime.timezone):
        return ["offset", zone.utcoffset(None).total_seconds(), zone.tzname(None)]
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)
    if name is None:
        raise TypeError(f"The time zone {zone!r} has no name. Use one of zoneinfo.")
    is_pytz = type(zone).__module__.partition(".")[0] == "pytz"
    return ["pytz" if is_pytz else "zoneinfo", name]


def _zone(parts: list) -> datetime.tzinfo:
    kind, *rest = parts
    if kind == "offset":
        offset = datetime.timedelta(seconds=rest[0])
        if offset == datetime.timedelta() and rest[1] == "UTC":
            return datetime.UTC
        return datetime.timezone(offset, rest[1])
    if kind == "pytz":
        try:
            import pytz
        except ImportError:
            return zoneinfo.ZoneInfo(rest[0])
        return pytz.timezone(rest[0])
    return zoneinfo.ZoneInfo(rest[0])


def _write_datetime(value: datetime.datetime, writer: Writer, place: str) -> dict[str, Any]:
    zone = None if value.tzinfo is None else writer.write(value.tzinfo, place)
    return {"value": value.replace(tzinfo=None).isoformat(), "fold": value.fold, "zone": zone}


def _read_datetime(reader: Reader, value: Any, fold: Any, zone: Any) -> datetime.datetime:
    naive = guarded(datetime.datetime.fromisoformat, value)
    return guarded(lambda: naive.replace(tzinfo=zone, fold=fold))


def _write_random_state(value: Any, writer: Writer, place: str) -> dict[str, Any]:
    name, *rest = value.get_state()
    return {"name": name, "state": [writer.write(part, place) for part in rest]}


def _read_random_state(reader: Reader, name: Any, state: Any) -> Any:
    random_state = np.random.RandomState()
    guarded(lambda: random_state.set_state((name, *state)))
    return random_state


BIT_GENERATORS = {name: getattr(np.random, name) for name in (
    "MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64",
)}  # fmt: skip


def _write_generator(value: np.random.Generator, writer: Writer, place: str) -> dict[str, Any]:
    return {"state": writer.write(value.bit_generator.state, place)}


def _read_generator(reader: Reader, state: Any) -> np.random.Generator:
    def generator() -> np.random.Generator:
        bits = BIT_GENERATORS[state["bit_generator"]]()
        bits.state = state
        return np.random.Generator(bits)

    return guarded(generator)


def _read_mapping(reader: Reader, items: Any) -> dict:
    def mapping() -> dict:
        return dict(items)

    return guarded(mapping)


def _sequence(kind: type) -> Codec:
    return Codec(exactly(kind), _write_items, lambda reader, items: guarded(kind, items))


VALUES: dict[str, Codec] = {
    "float": Codec(lambda v: False, lambda v, w, p: {},
                   lambda reader, value: guarded(_float, value)),
    "tuple": _sequence(tuple),
    "set": _sequence(set),
    "frozenset": _sequence(frozenset),
    "dict": Codec(exactly(dict), _write_mapping, _read_mapping),
    "slice": simple(slice, lambda v: [v.start, v.stop, v.step], lambda v: slice(*v)),
    "range": simple(range, lambda v: [v.start, v.stop, v.step], lambda v: range(*v)),
    "bytes": simple(bytes, lambda v: base64.b64encode(v).decode(),
                    lambda v: base64.b64decode(v, validate=True)),
    "complex": simple(complex, lambda v: [v.real.hex(), v.imag.hex()],
                      lambda v: complex(*map(float.fromhex, v))),
    "decimal": simple(decimal.Decimal, str, decimal.Decimal),
    "date": simple(datetime.date, lambda v: v.isoformat(), datetime.date.fromisoformat),
    "time": simple(datetime.time, lambda v: v.isoformat(), datetime.time.fromisoformat),
    "datetime": Codec(exactly(datetime.datetime), _write_datetime, _read_datetime),
    "timedelta": simple(datetime.timedelta, lambda v: [v.days, v.seconds, v.microseconds],
                        lambda v: datetime.timedelta(*v)),
    "zone": Codec(lambda v: isinstance(v, datetime.tzinfo),
                  lambda v, w, p: {"value": _zone_name(v)},
                  lambda reader, value: guarded(_zone, value)),
    "array": Codec(exactly(np.ndarray), _write_array, _read_array),
    "number": Codec(lambda v: isinstance(v, np.generic), _write_scalar, _read_scalar),
    "dtype": Codec(lambda v: isinstance(v, np.dtype), lambda v, w, p: {"value": dtype_name(v)},
                   lambda reader, value: dtype_of(value)),
    "tensor": Codec(lambda v: isinstance(v, torch.Tensor), _write_tensor, _read_tensor),
    "torch.dtype": Codec(exactly(torch.dtype), lambda v, w, p: {"value": str(v)},
                         lambda reader, value: guarded(DTYPES.__getitem__, value)),
    "torch.device": Codec(exactly(torch.device), lambda v, w, p: {"value": str(v)},
                          lambda reader, value: guarded(torch.device, value)),
    "RandomState": Codec(exactly(np.random.RandomState), _write_random_state, _read_random_state),
    "Generator": Codec(exactly(np.random.Generator), _write_generator, _read_generator),
}  # fmt: skip
