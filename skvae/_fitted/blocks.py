"""Answers for many rows: block by block, in several threads, with memory that does not grow.

Blocks have a fixed size, so that the answers are the same for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from joblib import Parallel, delayed

from skvae._inference.importance import InferenceSettings
from skvae._nn.defaults import library_defaults
from skvae._progress import Progress
from skvae._table.reading import Table

BLOCK = 8192  # rows
STRIDE = 0x9E3779B97F4A7C15  # between the seeds of two blocks

Answer = TypeVar("Answer")


def by_ranges(
    n_rows: int, answer: Callable[[slice], Answer], settings: InferenceSettings
) -> list[Answer]:
    """The answers of a function for consecutive ranges of rows, in their order."""
    ranges = [slice(i, min(i + BLOCK, n_rows)) for i in range(0, n_rows, BLOCK)]
    if len(ranges) <= 1:
        return [answer(slice(0, n_rows))]

    def work(rows: slice) -> Answer:
        with library_defaults():  # which are those of one thread
            return answer(rows)

    answers = []
    with Progress(settings.title, n_rows, "rows") as progress:
        jobs = Parallel(n_jobs=settings.n_jobs, require="sharedmem", return_as="generator")
        for rows, found in zip(ranges, jobs(map(delayed(work), ranges)), strict=True):
            answers.append(found)
            progress.update(rows.stop)
    return answers


def by_blocks(
    table: Table, answer: Callable[[Table], Answer], settings: InferenceSettings
) -> list[Answer]:
    """The answers of a function for blocks of a table."""
    return by_ranges(table.n_rows, lambda rows: answer(table.part(rows)), settings)


def generator_for(seed: int, rows: slice) -> torch.Generator:
    """The generator of a block; that of the first has the seed itself."""
    return torch.Generator().manual_seed((seed + rows.start // BLOCK * STRIDE) % 2**63)
