"""The code of docs/guide/libraries.md runs as it is written, with the library of each section."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "libraries.md"


def code(text):
    return re.findall(r"```python\n(.*?)```", text, re.S)


@pytest.mark.parametrize("library", ["skrub", "Optuna", "SHAP", "MLflow", "Dask"])
# MLflow leaves connections to its store to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_code_of_the_section_runs(library, tmp_path, monkeypatch):
    pytest.importorskip(library.lower())
    head, *sections = PAGE.read_text().split("\n## ")
    (section,) = [each for each in sections if each.startswith(library)]
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": library}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the libraries
        for block in [*code(head), *code(section)]:
            exec(compile(block, library, "exec"), namespace)
    assert code(section)
