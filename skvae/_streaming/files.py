"""Files of Parquet and of Arrow, data sets of pyarrow, and Arrow's stream protocol."""

from __future__ import annotations

import glob
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw

from .frames import Schema, check_names, different_type
from .parts import Part, named

PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".feather", ".ipc")
BUFFER = 1 << 16  # bytes that are read at once of each column
Found = tuple[list[Part], str, Schema]


def pyarrow() -> Any:
    """The module, with those for data sets and files.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.dataset
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "To read files and streams of Arrow, skvae needs pyarrow: pip install 'skvae[stream]'."
        ) from error
    return pa


def is_dataset(X: Any) -> bool:
    """Whether X is a data set of pyarrow; nothing is imported to know it."""
    module = sys.modules.get("pyarrow.dataset")
    return module is not None and isinstance(X, module.Dataset)


def stream_of(X: Any) -> Iterator[Any]:
    """The record batches of an object with ``__arrow_c_stream__``."""
    return iter(pyarrow().RecordBatchReader.from_stream(X))


# ------------------------------------------------------------------------------------- paths


def of_paths(X: str | os.PathLike) -> Found:
    """Row groups of the files of a path, a folder or a glob, with a fingerprint and the schema."""
    pa = pyarrow()
    paths = _paths(os.fspath(X))
    if os.path.isdir(X) and any("=" in os.path.relpath(path, X) for path in paths):
        parts, _, schema = of_dataset(pa.dataset.dataset(paths, partitioning="hive"))
        return parts, _fingerprint(paths), schema
    opened = [_open(pa, path) for path in paths]
    names, schemas = [p for p, *_ in opened], [schema for _, schema, _ in opened]
    schema = common_schema(pa, names, schemas)
    parts = [part for *_, parts in opened for part in parts]
    return parts, _fingerprint(paths), schema


def _fingerprint(paths: Sequence[str]) -> str:
    """A hash of names, sizes and times."""
    stats = ((path, os.stat(path)) for path in paths)
    text = "\n".join(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats)
    return hashlib.sha256(text.encode()).hexdigest()


def _paths(X: str) -> list[str]:
    """The files of a path, a folder or a glob, sorted."""
    known = (*PARQUET, *ARROW)
    if os.path.isdir(X):
        found = [str(p) for p in Path(X).rglob("*") if p.suffix.lower() in known and _is_data(p, X)]
    elif glob.has_magic(X) and not os.path.exists(X):
        found = [p for p in glob.glob(X, recursive=True) if os.path.isfile(p)]
    else:
        found = [X]
    if not found:
        raise ValueError(f"X={X!r} has no files whose names end in {', '.join(known)}.")
    for path in found:
        if not os.path.isfile(path):
            raise FileNotFoundError(f"X={path!r} is no file, folder or glob of files.")
        if Path(path).suffix.lower() not in known:
            raise ValueError(
                f"X={path!r} must be of Parquet ({', '.join(PARQUET)}) or Arrow "
                f"({', '.join(ARROW)}). Pass a function that makes an iterator of data frames, "
                "to read other files."
            )
    return sorted(found)


def _is_data(path: Path, folder: str) -> bool:
    """Files and folders that begin with a point or underscore are notes of other programs."""
    return not any(name.startswith((".", "_")) for name in path.relative_to(folder).parts)


def _open(pa: Any, path: str) -> tuple[str, Any, list[Part]]:
    """Name, schema and parts of a file."""
    is_parquet = Path(path).suffix.lower() in PARQUET
    with named(f"{path} cannot be read as {'Parquet' if is_parquet else 'an Arrow file'}"):
        if is_parquet:
            with pa.parquet.ParquetFile(path) as file:
                return path, file.schema_arrow, _row_groups(pa, path, file.metadata)
        with pa.ipc.open_file(pa.memory_map(path)) as file:
            return (
                path,
                file.schema,
                [
                    Part(f"{path}, record batch {i}", partial(_read_record_batch, pa, path, i))
                    for i in range(file.num_record_batches)
                ],
            )


def _row_groups(pa: Any, path: str, metadata: Any) -> list[Part]:
    return [
        Part(
            f"{path}, row group {i}",
            partial(_read_row_group, pa, path, metadata, i),
            metadata.row_group(i).num_rows,
            metadata.row_group(i).total_byte_size,
        )
        for i in range(metadata.num_row_groups)
    ]


def _read_row_group(pa: Any, path: str, metadata: Any, i: int, size: int) -> Iterator[Any]:
    """The batches of a row group; an error names the column that cannot be read."""
    read = partial(pa.parquet.ParquetFile, path, metadata=metadata, pre_buffer=False)
    with read(buffer_size=BUFFER) as file:
        try:
            yield from file.iter_batches(batch_size=size, row_groups=[i])
        except (ValueError, OSError) as error:
            for name in file.schema_arrow.names:
                try:
                    file.read_row_group(i, columns=[name])
                except (ValueError, OSError) as cause:
                    raise ValueError(f"column {name!r} cannot be read: {cause}") from error
            raise


def _read_record_batch(pa: Any, path: str, i: int, size: int) -> Iterator[Any]:
    with pa.memory_map(path) as source, pa.ipc.open_file(source) as file:
        yield file.get_batch(i)


def common_schema(pa: Any, names: Sequence[str], schemas: Sequence[Any]) -> Schema:
    """The schema that all files have; columns without a type take that of other files.

    Raises
    ------
    ValueError
        If a file has other columns, or a column has another type in it.
    """
    first = {field.name: field.type for field in schemas[0]}
    for name, schema in zip(names, schemas, strict=True):
        with named(name):
            check_names(schema.names, list(first))
            for field in schema:
                known = first[field.name]
                if pa.types.is_null(known):
                    first[field.name] = field.type
                elif field.type != known and not pa.types.is_null(field.type):
                    raise ValueError(different_type(field.name, field.type, known))
    return narwhals_schema(pa, pa.schema(list(first.items())))


def narwhals_schema(pa: Any, schema: Any) -> Schema:
    """A schema of Arrow in the types of narwhals."""
    return dict(nw.from_native(schema.empty_table(), eager_only=True).schema)


# ---------------------------------------------------------------------------------- data sets


def of_dataset(X: Any) -> Found:
    """Row groups, or files, of a data set of pyarrow."""
    pa = pyarrow()
    schema = narwhals_schema(pa, X.schema)
    try:
        fragments = list(X.get_fragments())
    except ValueError:  # of a filtered data set
        return [Part("the Dataset", lambda size: _scanned(X, size))], "", schema
    parts = []
    for number, fragment in enumerate(fragments):
        name = getattr(fragment, "path", "") or f"fragment {number}"
        with named(name):
            _check_fragment(pa, fragment, X.schema)
            pieces = [fragment]
            if isinstance(fragment, pa.dataset.ParquetFileFragment):
                pieces = fragment.split_by_row_group()
        for i, piece in enumerate(pieces):
            label = name if len(pieces) == 1 else f"{name}, row group {i}"
            group = piece.row_groups[0] if len(pieces) > 1 else None
            sizes = (None, None) if group is None else (group.num_rows, group.total_byte_size)
            parts.append(Part(label, partial(_scanned, piece, schema=X.schema), *sizes))
    text = "\n".join(part.name for part in parts)
    return parts, hashlib.sha256(text.encode()).hexdigest(), schema


def _check_fragment(pa: Any, fragment: Any, schema: Any) -> None:
    """Raise if a file lacks a column, which would be read as missing, or has another type."""
    own = fragment.physical_schema
    of_folders = set(pa.dataset.get_partition_keys(fragment.partition_expression))
    check_names(own.names, [name for name in schema.names if name not in of_folders])
    for field in own:
        known = schema.field(field.name).type
        if field.type != known and not pa.types.is_null(field.type):
            raise ValueError(different_type(field.name, field.type, known))


def _scanned(X: Any, size: int, **options: Any) -> Iterator[Any]:
    """Record batches of a data set or fragment, with little read ahead."""
    return iter(X.to_batches(batch_size=size, batch_readahead=1, fragment_readahead=1, **options))
