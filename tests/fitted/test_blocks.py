"""Answers for many rows: the same for any number of threads, with progress that can be seen."""

from __future__ import annotations

import io
import logging
import re
import sys

import numpy as np
import pandas as pd
import pytest
from frames import arrow_table, pandas_frame, polars_frame, with_missing_cells
from scipy import sparse

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae._fitted import blocks
from skvae._progress import Progress
from skvae._table.reading import read_table

QUICK = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
TABLE = with_missing_cells(pandas_frame(100))[["float64", "int8", "object", "cents", "zoned"]]


@pytest.fixture(scope="module")
def vae():
    return VAETransformer(2, **QUICK).fit(TABLE)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 16)


ANSWERS = {
    "score_samples": lambda vae, **o: vae.score_samples(TABLE, return_std=True, **o),
    "conditional": lambda vae, **o: vae.score_samples(TABLE, columns="cents", given=["int8"], **o),
    "transform": lambda vae, **o: vae.transform(TABLE, **o),
    "impute": lambda vae, **o: vae.impute(TABLE, **o),
    "median": lambda vae, **o: vae.impute(TABLE, strategy="median", **o),
    "draws": lambda vae, **o: vae.impute(TABLE, 2, random_state=0, **o),
    "sample": lambda vae, **o: vae.sample(70, random_state=0, missing="as_seen", **o),
    "sample given": lambda vae, **o: vae.sample(3, random_state=0, given=TABLE[["cents"]], **o),
    "explain": lambda vae, **o: vae.explain_samples(TABLE, relative=True, **o),
    "cells": lambda vae, **o: vae.explain_samples(TABLE, return_cells=True, **o)[1],
}  # fmt: skip


def assert_equal(a, b):
    if isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    elif isinstance(a, (list, tuple)):
        for pair in zip(a, b, strict=True):
            assert_equal(*pair)
    else:
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore::skvae.ImportanceWarning")
@pytest.mark.parametrize("name", ANSWERS)
def test_any_number_of_threads(vae, small_blocks, name):
    alone = ANSWERS[name](vae)
    for n_jobs in (1, 2, -1):
        assert_equal(alone, ANSWERS[name](vae, n_jobs=n_jobs))


@pytest.mark.parametrize("name", ["score_samples", "transform", "impute", "explain"])
@pytest.mark.filterwarnings("ignore::skvae.ImportanceWarning")
def test_blocks_are_not_seen(vae, monkeypatch, name):
    """Answers without draws are those of the whole table, up to the order of sums."""
    whole = ANSWERS[name](vae)
    monkeypatch.setattr(blocks, "BLOCK", 16)
    parts = ANSWERS[name](vae)
    if name in ("explain", "impute"):
        pd.testing.assert_frame_equal(whole, parts, rtol=1e-7)
    else:
        np.testing.assert_allclose(whole, parts, rtol=1e-9, atol=1e-9)


def test_detectors_and_imputers(small_blocks):
    detector = VAEOutlierDetector(2, n_estimators=2, **QUICK).fit(TABLE)
    scores = detector.score_samples(TABLE)
    np.testing.assert_array_equal(scores, detector.score_samples(TABLE, n_jobs=2))
    imputer = VAEImputer(VAETransformer(2, **QUICK)).fit(TABLE)
    assert_equal(imputer.transform(TABLE), imputer.transform(TABLE, n_jobs=2))


@pytest.mark.parametrize("n_jobs", [0, 1.5, "2", True])
def test_an_illegal_number_of_threads(vae, n_jobs):
    with pytest.raises(ValueError, match="n_jobs"):
        vae.score_samples(TABLE, n_jobs=n_jobs)


@pytest.mark.parametrize(
    "X",
    [TABLE, polars_frame(40, has_missing=True), arrow_table(40), np.arange(40.0).reshape(20, 2),
     sparse.csr_matrix(np.eye(20)), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]],
    ids=["pandas", "polars", "pyarrow", "array", "sparse", "list"],
)  # fmt: skip
def test_parts_of_tables(X):
    """A slice of the rows has the cells that the table has there."""
    table, rows = read_table(X), slice(1, 3)
    variants = (
        table,
        table.marginal([0]),
        table.with_missing(1.0),
        table.take(np.array([2, 1, 0])),
    )
    for each in variants:
        part = each.part(rows)
        assert part.n_rows == 2
        for j in range(len(table.names)):
            expected, found = each.cells(j).take(np.arange(each.n_rows)[rows]), part.cells(j)
            np.testing.assert_array_equal(found.missing, expected.missing)
            if found.type == "label":
                levels = [[*cells.levels, None] for cells in (found, expected)]
                values = [found.values, expected.values]
                assert [levels[0][v] for v in values[0]] == [levels[1][v] for v in values[1]]
            else:
                np.testing.assert_array_equal(found.values, expected.values)


# ---------------------------------------------------------------------------------- progress


def test_lines_where_there_is_no_terminal(vae, small_blocks, caplog):
    vae = VAETransformer(2, **{**QUICK, "max_iter": 60}, verbose=1)
    with caplog.at_level(logging.INFO, logger="skvae"):
        vae.fit(TABLE)
        vae.score_samples(TABLE)
    lines = [record.getMessage() for record in caplog.records]
    fits = [line for line in lines if line.startswith("VAETransformer.fit: ")]
    assert 1 <= len(fits) <= 10
    assert re.search(r"\d+ of \d+ steps, \d\d:\d\d elapsed, \d\d:\d\d left, .*bound", fits[0])
    answers = [line for line in lines if line.startswith("VAETransformer.score_samples: ")]
    assert answers[-1].startswith("VAETransformer.score_samples: 100 of 100 rows")


def test_a_line_for_each_evaluation(caplog):
    vae = VAETransformer(2, **QUICK, verbose=2)
    vae.fit(TABLE)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(vae.history_["step"])
    assert "reconstruction" in lines[0]


def test_lines_without_logging(capfd, monkeypatch):
    """Who has not set up logging sees them as well, and its state is left as it was."""
    logger = logging.getLogger("skvae")
    monkeypatch.setattr(logger, "hasHandlers", lambda: False)
    VAETransformer(2, **QUICK, verbose=2).fit(TABLE)
    assert "step 1 of" in capfd.readouterr().err
    assert logger.handlers == []
    assert logger.level == logging.NOTSET


def test_nothing_is_shown_by_default(capfd, caplog, small_blocks):
    vae = VAETransformer(2, **QUICK).fit(TABLE)
    vae.score_samples(TABLE)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_in_a_terminal(vae, small_blocks, monkeypatch, caplog):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    verbose = VAETransformer(2, **QUICK, verbose=True).fit(TABLE)
    verbose.transform(TABLE)
    text = terminal.getvalue()
    assert "VAETransformer.fit: 100%" in text
    assert "bound" in text
    assert "VAETransformer.transform: 100%" in text
    assert not caplog.records


def test_times_that_are_left(monkeypatch):
    progress = Progress("work", 100, "rows")
    progress.started -= 3600
    progress.n_done = 25
    assert progress._line("") == "work: 25 of 100 rows, 1:00:00 elapsed, 3:00:00 left"
