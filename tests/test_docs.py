"""Docs say what the code does: defaults, parameters, examples, formulas, the README."""

from __future__ import annotations

import inspect
import re
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpydoc.validate import validate
from sklearn.base import BaseEstimator

import skvae
from skvae import constraints, diagnostics, plots
from skvae._component import Component

ROOT = Path(__file__).parent.parent
PUBLIC = [getattr(skvae, name) for name in skvae.__all__ if name != "__version__"]
PUBLIC = [each for each in PUBLIC if not (isinstance(each, type) and issubclass(each, Warning))]
PUBLIC += [getattr(plots, name) for name in plots.__all__]
PUBLIC += [getattr(constraints, name) for name in constraints.__all__ if name != "Constraint"]


def described(doc, section):
    """Names and type lines of a numpydoc section."""
    match = re.search(rf"{section}\n-+\n(.*?)(?=\n\w[\w ]*\n-+\n|\Z)", doc, re.S)
    if match is None:
        return {}
    lines = re.findall(r"^(\w[\w, ]*) : (.*)$", match[1], re.M)
    return {name.strip(): kind for names, kind in lines for name in names.split(",")}


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda c: c.__name__)
def test_documented_parameters_are_those_of_the_signature(cls):
    doc = inspect.getdoc(cls)
    signature = inspect.signature(cls)
    described_here = described(doc, "Parameters")
    assert set(described_here) == set(signature.parameters)
    for name, parameter in signature.parameters.items():
        stated = re.search(r"default=(.*)$", described_here[name])
        if parameter.default is inspect.Parameter.empty:
            assert stated is None, name
        else:
            assert stated, f"{cls.__name__}: {name} states no default"
            value = eval(stated[1], {"np": np})
            assert value is parameter.default or value == parameter.default, name


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda c: c.__name__)
def test_public_classes_have_an_example(cls):
    assert ">>>" in inspect.getdoc(cls)


def methods():
    for cls in PUBLIC:
        for name, method in inspect.getmembers(cls, inspect.isfunction):
            mine = method.__module__.startswith("skvae") and not name.startswith("_")
            if mine and name in vars(cls) and "Estimator" not in name:
                yield pytest.param(method, id=f"{cls.__name__}.{name}")


@pytest.mark.parametrize("method", list(methods()))
def test_public_methods_are_documented(method):
    assert inspect.getdoc(method) or method.__name__ in (
        # the contract of a component is documented once, in its base class
        "log_prob", "sample", "point", "start", "initial_noise", "n_outputs", "n_constants",
        "bound", "build", "draw", "embed", "kl", "location_scale",
    )  # fmt: skip


# Codes of numpydoc's validation: sections, parameters, types, descriptions.
CHECKED = re.findall(
    r"\w+",
    "GL03 GL06 GL07 GL08 GL09 GL10 SS01 SS04 PR01 PR02 PR03 PR04 PR05 PR06 PR07 PR10 RT01 RT03 "
    "RT04 YD01 SA04 EX01",
)
WITHOUT_EXAMPLE = {"fit", "partial_fit", "set_params"}  # every example of a class has a fit
INHERITED = {"get_params", "set_output", "fit_transform", "get_metadata_routing"}


def called_by_users():
    """Classes of the package, and the methods and functions that are called with tables."""
    for cls in PUBLIC:
        yield f"{cls.__module__}.{cls.__qualname__}"
        if not isinstance(cls, type):
            continue
        if issubclass(cls, BaseEstimator) and not issubclass(cls, Component):
            for name, method in inspect.getmembers(cls, inspect.isfunction):
                mine = method.__module__.startswith("skvae") and not name.startswith("_")
                if mine and name not in INHERITED:
                    yield f"{method.__module__}.{method.__qualname__}"
    for name in diagnostics.__all__:
        yield f"skvae.diagnostics.{name}"


@pytest.mark.parametrize("name", sorted(set(called_by_users())))
def test_docstrings_pass_the_validation_of_numpydoc(name):
    found = validate(name)["errors"]
    exempt = {"EX01"} if name.split(".")[-1] in WITHOUT_EXAMPLE else set()
    assert [error for error in found if error[0] in CHECKED and error[0] not in exempt] == []


def test_fitted_attributes_are_documented():
    vae = skvae.VAETransformer(max_iter=1).fit([[1.0, 2.0], [2.0, 1.0], [3.0, 4.0]])
    fitted = {n for n in vars(vae) if n.endswith("_") and not n.startswith("_")}
    stated = set(described(inspect.getdoc(skvae.VAETransformer), "Attributes"))
    assert fitted <= stated
    of_codes = {"codebook_usage_", "perplexity_"}
    assert stated - fitted <= {"feature_names_in_", "model_", "schema_", *of_codes}
    assert vae.model_ is vae.fitted_model_.models[0]
    assert vae.schema_ is vae.fitted_model_.schema
    vae = skvae.VAETransformer(1, latent="quantized", max_iter=1).fit([[1.0, 2.0], [2.0, 1.0]])
    assert of_codes <= set(vars(vae))


def test_attributes_of_the_detector_are_documented():
    detector = skvae.VAEOutlierDetector(max_iter=1).fit([[1.0, 2.0], [2.0, 1.0], [3.0, 4.0]])
    stated = set(described(inspect.getdoc(skvae.VAEOutlierDetector), "Attributes"))
    assert all(hasattr(detector, name) for name in stated - {"feature_names_in_"})
    of_transformer = set(described(inspect.getdoc(skvae.VAETransformer), "Attributes"))
    fitted = {n for n in vars(detector) if n.endswith("_") and not n.startswith("_")}
    assert fitted <= stated | of_transformer


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if not page.is_relative_to(ROOT / "docs" / "_build")]
# Sections of guide/libraries.md, which tests/integrations runs.
OF_LIBRARIES = re.compile(r"\n## (skrub|Optuna|SHAP|MLflow|Dask)\n.*?(?=\n## |\Z)", re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_pages_runs(page, tmp_path, monkeypatch):
    """In one process: imports are most of the time of a page."""
    text = OF_LIBRARIES.sub("", page.read_text())
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("Agg")
    namespace: dict = {"__name__": page.stem}
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as a reader of the page has it
        for block in blocks:
            exec(compile(block, str(page), "exec"), namespace)
    plt.close("all")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.stem)
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_file_says_what_room_it_is():
    for path in sorted((ROOT / "skvae").rglob("*.py")):
        if path.name != "_version.py":
            assert path.read_text().lstrip("r").startswith('"""'), path.name


def test_files_stay_small():
    for path in sorted((ROOT / "skvae").rglob("*.py")):
        assert len(path.read_text().splitlines()) <= 400, path.name
