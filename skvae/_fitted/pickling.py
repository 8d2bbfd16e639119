"""What a pickle of a fitted model holds in place of tensors, and of objects of other libraries.

Tensors are pickled with the address of their storage, so that ``joblib.hash`` of a model would
change with every pickle: networks are pickled as arrays. The layout of a table has columns and
dtypes of pandas, polars or Arrow, which other versions, and skops, cannot always build again: it is
pickled as text.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skvae._files.frames import FRAMES
from skvae._files.tree import Reader, Writer
from skvae._files.values import VALUES

CODECS = {**VALUES, **FRAMES}

Packed = tuple[type[nn.Module], dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]
OWN = ("_parameters", "_buffers", "_modules")  # of the attributes of every module


def packed(module: nn.Module) -> Packed:
    """The class, attributes, parameters, buffers and parts of a module, with tensors as arrays."""
    state = dict(module.__getstate__())
    attributes = {name: value for name, value in state.items() if name not in OWN}
    parameters = {name: _array(tensor) for name, tensor in module._parameters.items()}
    buffers = {name: _array(tensor) for name, tensor in module._buffers.items()}
    parts = {name: None if part is None else packed(part) for name, part in module._modules.items()}
    return type(module), attributes, parameters, buffers, parts


def unpacked(state: Packed) -> nn.Module:
    """The module of :func:`packed`, without gradients."""
    kind, attributes, parameters, buffers, parts = state
    module = kind.__new__(kind)
    nn.Module.__init__(module)
    own = {
        "_parameters": {
            name: None if array is None else nn.Parameter(_tensor(array), requires_grad=False)
            for name, array in parameters.items()
        },
        "_buffers": {
            name: None if array is None else _tensor(array) for name, array in buffers.items()
        },
        "_modules": {
            name: None if part is None else unpacked(part) for name, part in parts.items()
        },
    }
    module.__setstate__({**attributes, **own})
    return module


def layout_as_text(layout: Any) -> Any:
    """The layout of a table as JSON; itself, if it has a dtype that JSON cannot describe."""
    writer = Writer(CODECS)
    try:
        text = json.dumps(writer.write(layout, "layout"))
    except TypeError:
        return layout
    return layout if writer.arrays else text


def layout_of(text: Any) -> Any:
    """The layout of :func:`layout_as_text`."""
    return Reader(CODECS, {}).read(json.loads(text)) if isinstance(text, str) else text


def _array(tensor: Tensor | None) -> np.ndarray | None:
    return None if tensor is None else tensor.detach().cpu().numpy()


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array))
