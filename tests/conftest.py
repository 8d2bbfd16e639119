"""Profiles of hypothesis, coverage, and the number of fuzzed cases at the end of a run."""

from pathlib import Path

from hypothesis import settings

# Coverage makes a fit 1.6 times slower: it is measured without the tests that repeat many fits.
UNMEASURED = (
    "fuzz", "test_sklearn.py", "test_linear_start.py", "test_spikes.py", "test_density.py",
    "test_missing_values.py", "test_priors.py", "test_loop.py", "test_outlier_detector.py",
    "test_imputer.py", "test_sort_units.py", "test_exactness.py", "test_units.py",
    "test_extension.py", "test_combinations.py", "test_latents.py", "test_stacking.py",
    "test_quality.py", "test_updates.py", "test_analytic_gradients.py", "test_oracle.py",
    "test_global_state.py",
)  # fmt: skip

# What `make test` runs: the same examples every time, so that a failure is one of the change.
settings.register_profile("quick", deadline=None, derandomize=True, database=None)
# What `make fuzz` runs: other examples every time, and failing ones are kept in .hypothesis.
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile("quick")


def pytest_collection_modifyitems(items):
    for item in items:
        if set(Path(item.path).parts) & set(UNMEASURED):
            item.add_marker("no_cover")


def pytest_terminal_summary(terminalreporter):
    counts = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == "fuzzed cases"
    ]
    if counts:
        terminalreporter.write_line(f"{sum(counts)} fuzzed cases in {len(counts)} tests")
