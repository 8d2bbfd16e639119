"""The bytes of a ``.skvae`` file: tensors and one text, with a checksum over both.

The file is a safetensors file: eight bytes with the length of the header, the header as JSON with
the dtype, shape and place of each tensor, and the tensors. Its metadata holds the version of the
format, the text, and a SHA-256 of the text and the tensors.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from .tree import FileError

FORMAT = 1  # see the policy in the text of this package
LENGTH = 8  # bytes of the length of the header
MAX_HEADER = 100_000_000  # bytes, as in safetensors


def write_file(path: Any, tree: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a tree and its arrays; the file is complete or is not there."""
    path = Path(path)
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(as_bytes(tree, arrays))
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def as_bytes(tree: Any, arrays: Mapping[str, np.ndarray]) -> bytes:
    """The contents of a file."""
    text = json.dumps(tree, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    tensors = {name: np.array(array, order="C") for name, array in arrays.items()}
    metadata = {"format": str(FORMAT), "skvae": text, "sha256": _digest(text, tensors)}
    content: bytes = save_tensors(tensors, metadata)
    return content


def read_file(path: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The tree and the arrays of a file.

    Raises
    ------
    FileError
        If it is no such file, is damaged, or was written by a newer version.
    """
    content = Path(path).read_bytes()
    metadata = _metadata(content)
    version = metadata.get("format")
    if not isinstance(version, str) or not version.isdecimal() or len(version) > 9:
        raise FileError("it is no .skvae file: its header does not name a version of the format")
    if int(version) > FORMAT:
        raise FileError(
            f"it has version {version} of the format, and this version of skvae reads up to "
            f"{FORMAT}. Install a newer version of skvae"
        )
    text = metadata.get("skvae")
    if not isinstance(text, str):
        raise FileError("its header has no description of the model")
    try:
        tensors = load_tensors(content)
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise FileError(f"its tensors cannot be read ({error})") from error
    if metadata.get("sha256") != _digest(text, tensors):
        raise FileError("its checksum is wrong: it was changed or damaged after it was written")
    return _json(text), tensors


def _metadata(content: bytes) -> dict[str, Any]:
    """What the header says beside the tensors."""
    length = int.from_bytes(content[:LENGTH], "little")
    if len(content) < LENGTH or length > min(MAX_HEADER, len(content) - LENGTH):
        raise FileError("it is cut off, or no .skvae file")
    try:
        text = content[LENGTH : LENGTH + length].decode()
    except UnicodeDecodeError as error:
        raise FileError("its header is no text") from error
    header = _json(text)
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        raise FileError("it is no .skvae file: its header has no metadata")
    return metadata


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise FileError("its text is nested too deeply") from error
    except ValueError as error:
        raise FileError(f"its text is no JSON ({error})") from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not allowed")


def _digest(text: str, tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
