"""scikit-learn's callback protocol where the installed version has it (1.9), and `verbose`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skvae._progress import Progress, log
from skvae._training.history import describe

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's mixin."""

    def with_callbacks(method: Callable) -> Callable:
        """Stands in for scikit-learn's decorator."""
        return method


class RoundCallbacks:
    """Shows each round of training to the callbacks of an estimator, as one task of its fit.

    Parameters
    ----------
    estimator : estimator
    X : table
        As the user passed it.
    attributes : callable
        The fitted attributes as they would be if training ended with this history.
    """

    def __init__(self, estimator: Any, X: Any, attributes: Callable[[dict], dict]) -> None:
        self.estimator, self.X, self.attributes = estimator, X, attributes
        self.fit_context: Any = None
        self.round_context: Any = None
        self.progress: Progress | None = None
        if hasattr(estimator, "_init_callback_context"):
            self.fit_context = estimator._init_callback_context(max_subtasks=None)
            self.fit_context.call_on_fit_task_begin(estimator=estimator, X=X)

    def before_round(self) -> None:
        """A round begins; one that is repeated is still the same."""
        if self.fit_context is not None and self.round_context is None:
            self.round_context = self.fit_context.subcontext(task_name="round")
            self.round_context.call_on_fit_task_begin(estimator=self.estimator, X=self.X)

    def after_round(self, history: dict[str, list[float]], n_steps: int) -> bool:
        """A round has ended; True if a callback asks to stop."""
        self._show(history, n_steps)
        return self._end_round(reconstruction_attributes=lambda: self.attributes(history))

    def _show(self, history: dict[str, list[float]], n_steps: int) -> None:
        """A bar for verbose=1, a line for each round for more."""
        verbose, title = int(self.estimator.verbose), f"{type(self.estimator).__name__}.fit"
        step = int(history["step"][-1])
        if verbose > 1:
            log(f"{title}: step {step} of {n_steps}, {describe(history)}")
        elif verbose == 1:
            if self.progress is None or step <= self.progress.n_done:  # another run begins
                self.end_progress()
                self.progress = Progress(title, n_steps, "steps")
            self.progress.update(step, _bound(history), n_steps)

    def end_progress(self) -> None:
        """Training has ended."""
        if self.progress is not None:
            self.progress.close()
            self.progress = None

    def _end_round(self, **kwargs: Any) -> bool:
        context, self.round_context = self.round_context, None
        if context is None:
            return False
        return bool(context.call_on_fit_task_end(estimator=self.estimator, X=self.X, **kwargs))

    def close(self, fitted: Any) -> None:
        """FitContext has ended; a round that was interrupted ends too."""
        self._end_round()
        if self.fit_context is not None:
            self.fit_context.call_on_fit_task_end(
                estimator=self.estimator, X=self.X, reconstruction_attributes=fitted
            )


def _bound(history: dict[str, list[float]]) -> str:
    """The bound of rows held out, where there are some."""
    name = "validation_bound" if "validation_bound" in history else "bound"
    return f"{name.replace('_', ' ')} {history[name][-1]:.3f}"
