"""An iterator that runs ahead in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")
POLL = 0.1  # seconds after which a thread that waits looks whether it is to end


class Prefetched(Iterator[T]):
    """The items of an iterator, of which a few are made ahead by one thread.

    An exception of the iterator is raised where its next item would be. ``close`` ends the thread
    and closes the iterator; so does the end of the items.

    Parameters
    ----------
    items : iterator
        Used in the thread alone.
    n_ahead : int, default=2
        Items that wait at most.
    """

    def __init__(self, items: Iterator[T], n_ahead: int = 2) -> None:
        self._items, self._queue = items, queue.Queue[Any](n_ahead)
        self._stopped, self._done = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="skvae-prefetch", daemon=True)
        self._thread.start()

    def __next__(self) -> T:
        if self._done:
            raise StopIteration
        item, error = self._queue.get()
        if error is None:
            return item
        self.close()
        raise error

    def close(self) -> None:
        """End the thread."""
        self._done = True
        self._stopped.set()
        self._thread.join()

    def __enter__(self) -> Prefetched[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        error: BaseException = StopIteration()
        try:
            for item in self._items:
                if not self._put((item, None)):
                    break
        except BaseException as raised:
            error = raised
        try:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        finally:
            self._put((None, error))

    def _put(self, pair: Any) -> bool:
        """Whether there was room before the end."""
        while not self._stopped.is_set():
            try:
                self._queue.put(pair, timeout=POLL)
                return True
            except queue.Full:
                continue
        return False
