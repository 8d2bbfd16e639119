"""Answers about a data set, by actors that hold the estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skvae._streaming.answering import Answer
from skvae._streaming.frames import as_frame

from .package import ray


class Actor:
    """Answers about batches; the estimator is sent to it once, not with each batch."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def __call__(self, batch: Any) -> Any:
        return self.answer(as_frame(batch))


def answers_about(
    estimator: Any,
    method: str,
    dataset: Any,
    keep: Sequence[str],
    names: Sequence[str] | None,
    batch_size: int,
    n_actors: int | None,
    options: dict[str, Any],
) -> Any:
    """What a method says about the rows of a data set, as a data set that is lazy.

    Parameters
    ----------
    options : dict
        Further arguments of ``map_batches``.
    """
    sizes = {"min_size": 1, "max_size": n_actors}
    if n_actors is None:
        sizes["max_size"] = max(1, int(ray().cluster_resources().get("CPU", 1)))
    answer = Answer(estimator, method, keep, names)
    return dataset.map_batches(
        Actor,
        fn_constructor_args=(answer,),
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=ray().data.ActorPoolStrategy(**sizes),
        **options,
    )
