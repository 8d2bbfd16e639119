# `make demo` and `make test` work from a fresh clone with Python 3.11 or later and nothing else.

PYTHON ?= python3
BIN := .venv/bin
# One thread a test process: two processes that spin on the same cores wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

.PHONY: demo test test-ray test-integrations fuzz lint docs wheel test-oldest clean

demo: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python examples/run.py out quickstart missing_values anomalies

test: .venv/installed
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-fail-under=95

# The tests that need Ray, on a local cluster, the slow ones too.
test-ray: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[ray]"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "" tests/cluster

# The tests with Optuna, SHAP, MLflow, skrub and Dask, which `make test` skips without them.
test-integrations: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[integrations]"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/integrations

# Other cases at every run, and the tests that take long; FUZZ_FACTOR=5 takes a third of the cases.
fuzz: .venv/installed
	$(PYTEST) tests -m "fuzz or slow" --hypothesis-profile fuzz

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in docs/_build/html. GALLERY=0 shows the examples without running them.
docs: .venv/installed-docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

.venv/installed-docs: .venv/installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	touch $@

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $@

# The source distribution and the wheel, tried in an empty environment.
wheel: .venv/installed
	rm -rf dist out/wheel
	$(BIN)/python -m build --quiet --outdir dist
	$(PYTHON) -m venv out/wheel
	out/wheel/bin/python -m pip install --quiet -c constraints.txt dist/*.whl
	cd out && wheel/bin/python ../tests/smoke.py

test-oldest: .venv-oldest/installed
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -q -n 2 tests

.venv-oldest/installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet -c constraints-oldest.txt -e ".[test]"
	touch $@

clean:
	rm -rf .venv .venv-oldest out dist docs/_build docs/auto_examples docs/api/generated docs/api/examples_of
