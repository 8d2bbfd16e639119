"""Profiles of hypothesis, and the number of fuzzed cases at the end of a run."""

from hypothesis import settings

# What `make test` runs: the same examples every time, so that a failure is one of the change.
settings.register_profile("quick", deadline=None, derandomize=True, database=None)
# What `make fuzz` runs: other examples every time, and failing ones are kept in .hypothesis.
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile("quick")


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
