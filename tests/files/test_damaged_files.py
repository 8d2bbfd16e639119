"""Files that were cut, changed or made up: each is refused by one ValueError, or is equal."""

from __future__ import annotations

import copy
import hashlib
import json
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from frames import pandas_frame, with_missing_cells
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from sklearn.exceptions import NotFittedError

import skvae
from skvae import Ladder, VAEOutlierDetector, VAETransformer
from skvae._files.container import FORMAT, _digest, read_file, write_file

TABLE = with_missing_cells(pandas_frame(60))
QUICK = {"hidden_layer_sizes": (6,), "max_iter": 2, "random_state": 0}
N_MUTANTS = 2000


@pytest.fixture(scope="module")
def estimators():
    few = TABLE[["float64", "int8", "object", "ordered", "zoned", "period"]]
    return [
        (VAETransformer(2, **QUICK).fit(TABLE), TABLE),
        (VAETransformer(2, latent=Ladder(), prior="mixture", **QUICK).fit(few), few),
        (VAEOutlierDetector(2, n_estimators=2, **QUICK).fit(few), few),
    ]


@pytest.fixture(scope="module")
def files(estimators, tmp_path_factory):
    """Path, scores and rows of each estimator."""
    folder = tmp_path_factory.mktemp("files")
    found = []
    for i, (estimator, X) in enumerate(estimators):
        path = folder / f"{i}.skvae"
        estimator.save(path)
        found.append((path, estimator.score_samples(X), X))
    return found


def loaded(path):
    """The estimator of a file, or the error that refuses it."""
    try:
        return skvae.load(path)
    except ValueError as error:
        return error


def is_refused(path, scores, X):
    """Whether the file is refused; a model that is loaded has the scores of the saved one."""
    found = loaded(path)
    if isinstance(found, ValueError):
        assert str(path) in str(found)
        assert "cannot be loaded" in str(found)
        return True
    np.testing.assert_array_equal(found.score_samples(X), scores)
    return False


def damaged(content, rng):
    """Bits that were flipped, bytes that are lost, added or somewhere else."""
    content = bytearray(content)
    kind = rng.integers(5)
    place = int(rng.integers(len(content)))
    header = 8 + int.from_bytes(content[:8], "little")
    if kind == 0:
        content[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        content[int(rng.integers(header))] = int(rng.integers(256))
    elif kind == 2:
        del content[place:]
    elif kind == 3:
        length = int(rng.integers(1, 100))
        content[place : place + length] = rng.bytes(int(rng.integers(0, 100)))
    else:
        other = int(rng.integers(len(content)))
        content[place : place + 8], content[other : other + 8] = (
            content[other : other + 8], content[place : place + 8],
        )  # fmt: skip
    return bytes(content)


@pytest.mark.slow
def test_damaged_bytes(files, tmp_path):
    rng = np.random.default_rng(0)
    path, n_refused = tmp_path / "mutant.skvae", 0
    for i in range(N_MUTANTS):
        source, scores, X = files[i % len(files)]
        original = source.read_bytes()
        content = damaged(original, rng)
        path.write_bytes(content)
        n_refused += is_refused(path, scores, X) or content == original
    assert n_refused > 0.95 * N_MUTANTS


# ---------------------------------------------------------------- hostile files, checksum right

VALUES = [
    None, True, 0, -1, 2**63, 10**400, 1.5, "", "O", "nan", [], {}, {"@": "os.system"},
    {"@": "array", "dtype": "<f8", "shape": [2**40], "data": "x"},
    {"@": "array", "dtype": "O", "shape": [10**12], "items": []},
    {"@": "float", "value": "nan"}, {"@": "component", "class": "dict", "params": {}},
    {"@": "component", "class": "Mixture", "params": {"n_components": 10**9}},
    {"@": "range", "value": [0, 10**12, 1]}, "../../etc/passwd", "__class__", [[[[0]]]],
]  # fmt: skip


def places(tree, path=()):
    """The path to every value."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(
        tree, list) else ()  # fmt: skip
    for key, item in items:
        yield from places(item, (*path, key))


def changed(tree, rng):
    """A tree with another value at some place, without it, or with the value of another place."""
    tree = copy.deepcopy(tree)
    paths = list(places(tree))[1:]
    *path, last = paths[int(rng.integers(len(paths)))]
    parent = tree
    for key in path:
        parent = parent[key]
    kind = rng.integers(4)
    if kind == 0:
        del parent[last]
    elif kind == 1:
        other = tree
        for key in paths[int(rng.integers(len(paths)))]:
            other = other[key]
        parent[last] = copy.deepcopy(other)
    elif kind == 2 and isinstance(parent, dict):
        parent[["__class__", "fit", "../x", "model_"][int(rng.integers(4))]] = parent.pop(last)
    else:
        parent[last] = VALUES[int(rng.integers(len(VALUES)))]
    return tree


def rearranged(arrays, rng):
    """Tensors that changed places, shapes, dtypes or numbers."""
    arrays = {name: array.copy() for name, array in arrays.items()}
    names = sorted(arrays)
    one, other = (names[int(i)] for i in rng.integers(len(names), size=2))
    kind = rng.integers(5)
    if kind == 0:
        arrays[one], arrays[other] = arrays[other], arrays[one]
    elif kind == 1:
        arrays[one] = arrays[one][:1] if arrays[one].ndim else arrays[one].reshape(1)
    elif kind == 2:
        arrays[one] = arrays[one].astype(rng.choice(["f8", "f2", "i8", "?"]))
    elif kind == 3 and arrays[one].dtype.kind == "f":
        arrays[one] = np.full_like(arrays[one], rng.choice([np.nan, np.inf, 1e30]))
    else:
        del arrays[one]
    return arrays


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("part", ["tree", "tensors"])
@pytest.mark.slow
def test_made_up_files(files, tmp_path, part):
    """Whoever makes the checksum right can make another model, but no crash.

    What is loaded answers, with finite numbers or by an error that says what is wrong.
    """
    rng = np.random.default_rng(1)
    path = tmp_path / "mutant.skvae"
    for i in range(300):
        source, _, X = files[i % len(files)]
        tree, arrays = read_file(source)
        if part == "tree":
            tree = changed(tree, rng)
        else:
            arrays = rearranged(arrays, rng)
        write_file(path, tree, arrays)
        found = loaded(path)
        if isinstance(found, ValueError):
            assert "cannot be loaded" in str(found)
            continue
        # An error may be that of a parameter or a column which is another one now.
        with suppress(ValueError, TypeError, NotFittedError):
            assert np.isfinite(found.score_samples(X)).all()


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"\x80\x04" * 50, (2**63).to_bytes(8, "little") + b"{}",
     (10**9).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"{}"],
    ids=["empty", "zip", "pickle", "2**63", "10**9", "no metadata"],
)  # fmt: skip
def test_other_files(tmp_path, content):
    path = tmp_path / "other.skvae"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be loaded"):
        skvae.load(path)


def with_metadata(tensors, text, **metadata):
    metadata = {"format": str(FORMAT), "skvae": text, "sha256": _digest(text, tensors), **metadata}
    return save_tensors(tensors, metadata)


def test_a_newer_file_says_so(files, tmp_path):
    path = tmp_path / "newer.skvae"
    tensors = load_tensors(files[0][0].read_bytes())
    path.write_bytes(with_metadata(tensors, "{}", format=str(FORMAT + 1)))
    with pytest.raises(ValueError, match="Install a newer version of skvae"):
        skvae.load(path)


@pytest.mark.parametrize("depth", [100, 10**5])
def test_deep_text(tmp_path, depth):
    path = tmp_path / "deep.skvae"
    path.write_bytes(with_metadata({}, "[" * depth + "]" * depth))
    with pytest.raises(ValueError, match="nested too deeply"):
        skvae.load(path)


def test_sizes_are_checked_before_they_are_allocated(files, tmp_path):
    """A file of some kilobytes that asks for terabytes."""
    path = tmp_path / "large.skvae"
    tree, arrays = read_file(files[0][0])
    model = tree["fitted"]["fitted_model_"]
    for name, value in (
        ("hidden_layer_sizes", [10**6, 10**6]),
        ("n_components", 10**9),
        ("prior", {"@": "component", "class": "Mixture", "params": {"n_components": 10**10}}),
        ("latent", {"@": "component", "class": "Quantized",
                    "params": {"n_codes": 10**9, "n_codebooks": 1}}),
        ("prior", {"@": "component", "class": "Mixture", "params": {"n_components": {
            "@": "number", "dtype": "<i8", "shape": [], "items": [10**10]}}}),
        ("prior", {"@": "component", "class": "FlowPrior", "params": {
            "n_transforms": 10**5, "hidden_layer_sizes": {"@": "tuple", "items": [900, 900]}}}),
        ("latent", {"@": "component", "class": "Flow",
                    "params": {"hidden_layer_sizes": {"@": "tuple", "items": [10**6, 10**6]}}}),
    ):  # fmt: skip
        hostile = copy.deepcopy(tree)
        hostile["fitted"]["fitted_model_"] = {**model, name: value}
        write_file(path, hostile, arrays)
        tracemalloc.start()
        with pytest.raises(ValueError, match="cannot be loaded"):
            skvae.load(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100e6, name


def test_the_checksum_is_that_of_the_text_and_the_tensors():
    assert _digest("", {}) == hashlib.sha256(b"").hexdigest()
    a, b = np.zeros(2), np.zeros((2, 1))
    digests = {_digest("x", {"a": a}), _digest("x", {"a": b}), _digest("x", {"b": a}),
               _digest("y", {"a": a}), _digest("x", {"a": a.astype("i8")})}  # fmt: skip
    assert len(digests) == 5


def test_numbers_that_json_does_not_know(tmp_path):
    path = tmp_path / "nan.skvae"
    path.write_bytes(with_metadata({}, json.dumps({"@": "estimator", "x": float("nan")})))
    with pytest.raises(ValueError, match="NaN is not allowed"):
        skvae.load(path)
