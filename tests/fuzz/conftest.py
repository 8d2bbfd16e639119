"""Counts the cases of each test; tests/conftest.py adds them up."""

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    import fuzzing  # not before the profile of hypothesis is known

    before = fuzzing.n_cases()
    try:
        return (yield)
    finally:
        item.user_properties.append(("fuzzed cases", fuzzing.n_cases() - before))
