"""Histories of training: series of the terms of the bound, by name."""

from __future__ import annotations

import math


def describe(history: dict[str, list[float]]) -> str:
    """The last value of each term of the bound."""
    terms = {name.replace("_", " "): series[-1] for name, series in history.items()}
    return ", ".join(f"{name} {value:.3f}" for name, value in terms.items() if name != "step")


def join_histories(before: dict[str, list[float]], after: dict[str, list[float]]) -> dict:
    """The history of a model that was trained twice; of one that was trained once, a copy."""
    before = before or {"step": []}
    offset = sum(before["step"][-1:])
    after = {**after, "step": [offset + step for step in after["step"]]}
    n_before, n_after = len(before["step"]), len(after["step"])
    names = dict.fromkeys([*before, *after])
    return {
        name: before.get(name, [math.nan] * n_before) + after.get(name, [math.nan] * n_after)
        for name in names
    }
