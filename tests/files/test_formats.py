"""Files of every version of the format load, and pickles of every kind."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import skops.io
from frames import pandas_frame
from make_fixtures import answers

import skvae
from skvae import VAEImputer, VAEOutlierDetector, VAETransformer

FIXTURES = sorted(Path(__file__).parent.glob("format*/*.skvae"))
QUICK = {"hidden_layer_sizes": (6,), "max_iter": 2, "random_state": 0}


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_files_of_all_versions_load(path):
    expected = json.loads(path.with_suffix(".json").read_text())
    estimator = skvae.load(path)
    found = answers(estimator)
    np.testing.assert_allclose(found["z"], expected["z"])
    np.testing.assert_allclose(found["log_px"], expected["log_px"], rtol=1e-6)
    assert repr(estimator) == expected["repr"]


def test_every_version_has_fixtures():
    versions = {path.parent.name for path in FIXTURES}
    from skvae._files.container import FORMAT

    assert versions == {f"format{version}" for version in range(1, FORMAT + 1)}


NUMBERS_AND_TEXTS = (
    "float64", "float32", "cents", "int64", "uint8", "Int64", "bool", "boolean", "object", "string",
    "category", "datetime",
)  # fmt: skip
LOADERS = {
    "save": "skvae.load(path)",
    "pickle": "pickle.loads(open(path, 'rb').read())",
    "joblib": "joblib.load(path)",
    "cloudpickle": "pickle.loads(open(path, 'rb').read())",
    "skops": "skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))",
}


def write(estimator, how, path):
    if how == "save":
        estimator.save(path)
    elif how == "joblib":
        joblib.dump(estimator, path)
    elif how == "skops":
        skops.io.dump(estimator, path)
    else:
        path.write_bytes({"pickle": pickle, "cloudpickle": cloudpickle}[how].dumps(estimator))


@pytest.mark.parametrize("how", [
    "save",
    *(pytest.param(how, marks=pytest.mark.slow)
      for how in ("skops", "pickle", "joblib", "cloudpickle")),
])  # fmt: skip
def test_answers_in_another_process(how, tmp_path):
    table = pandas_frame(40)
    if how not in ("save", "pickle"):  # skops knows no intervals, periods and decimals
        table = table[[*NUMBERS_AND_TEXTS]]
    imputer = VAEImputer(VAETransformer(2, **QUICK)).fit(table)
    estimators = [
        VAETransformer(2, **QUICK).fit(table), VAEOutlierDetector(2, **QUICK).fit(table),
        imputer.estimator_,
    ]  # fmt: skip
    joblib.dump(table, tmp_path / "table")
    for i, estimator in enumerate(estimators):
        write(estimator, how, tmp_path / f"{i}")
    script = (
        "import sys, pickle, joblib, numpy, skops.io, skvae\n"
        "folder = sys.argv[1]\n"
        "table = joblib.load(folder + '/table')\n"
        "for i in range(3):\n"
        "    path = f'{folder}/{i}'\n"
        f"    estimator = {LOADERS[how]}\n"
        "    numpy.save(f'{path}.npy', estimator.score_samples(table))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    for i, estimator in enumerate(estimators):
        scores = np.load(tmp_path / f"{i}.npy")
        np.testing.assert_array_equal(scores, estimator.score_samples(table))


@pytest.mark.parametrize("container", ["array", "pandas", "polars", "pyarrow"])
def test_skops_knows_every_container(container):
    table = pandas_frame(40)[[*NUMBERS_AND_TEXTS]]
    make = {
        "array": lambda X: X[["float64", "cents"]].to_numpy(),
        "pandas": lambda X: X,
        "polars": pl.from_pandas,
        "pyarrow": lambda X: pa.Table.from_pandas(X, preserve_index=False),
    }[container]
    vae = VAETransformer(2, **QUICK).fit(make(table))
    data = skops.io.dumps(vae)
    types = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith(("skvae.", "torch.nn.", "numpy.dtype")) for name in types)
    drawn = skops.io.loads(data, trusted=types).sample(5, random_state=0)
    assert type(drawn) is type(vae.sample(5, random_state=0))
    assert str(drawn) == str(vae.sample(5, random_state=0))
