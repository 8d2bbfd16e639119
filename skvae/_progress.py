"""Progress of long work: a bar in a terminal or notebook, lines in a log, or nothing.

Lines go to the logger "skvae" of :mod:`logging`. Where no handler was set up, they go to the
standard error stream, since the user has asked for them by `verbose`.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import time
from types import TracebackType
from typing import Any

logger = logging.getLogger("skvae")
N_LINES = 10  # of a whole run, where there is no terminal


def log(message: str) -> None:
    """Log a message that the user has asked for, whatever the level of the logger."""
    record = logger.makeRecord(logger.name, logging.INFO, __file__, 0, message, (), None)
    if logger.hasHandlers():
        logger.handle(record)
    else:
        logging.StreamHandler().handle(record)


class Progress:
    """Shows how much of some work is done, and how long the rest will take.

    Parameters
    ----------
    title : str
        What is done; empty: nothing is shown.
    total : int
        Number of units of work.
    unit : str
        Their name, in the plural.
    """

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.n_done, self.n_lines, self.started = 0, 0, time.monotonic()
        self.bar: Any = None
        kind = _bar() if title else None
        if kind is not None:
            self.bar = kind(total=total, desc=title, unit=f" {unit}", leave=True, mininterval=0.2)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, n_done: int, note: str = "", total: int | None = None) -> None:
        """So much is done now; `total` where it has changed."""
        self.total = total or self.total
        n_new, self.n_done = n_done - self.n_done, n_done
        if self.bar is not None:
            self.bar.total = self.total
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(n_new)
        elif self.title and N_LINES * n_done // self.total > self.n_lines:
            self.n_lines = N_LINES * n_done // self.total
            log(self._line(note))

    def _line(self, note: str) -> str:
        elapsed = time.monotonic() - self.started
        left = elapsed * (self.total - self.n_done) / max(1, self.n_done)
        times = f"{_clock(elapsed)} elapsed, {_clock(left)} left"
        done = f"{self.n_done} of {self.total} {self.unit}"
        return ", ".join(filter(None, (f"{self.title}: {done}", times, note)))

    def close(self) -> None:
        """The work has ended, perhaps before all of it was done."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"


def _bar() -> Any:
    """The class of tqdm for where this process runs; None: there is neither terminal nor notebook.

    In a notebook without ipywidgets there is no bar that could be updated.
    """
    if "ipykernel" in sys.modules:
        if importlib.util.find_spec("ipywidgets") is None:
            return None
        from tqdm.notebook import tqdm as notebook_bar

        return notebook_bar
    if not getattr(sys.stderr, "isatty", bool)():
        return None
    from tqdm import tqdm

    return tqdm
