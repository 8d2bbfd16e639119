"""Fits and answers on a cluster of Ray, for tables that one machine reads too slowly.

.. code-block:: python

    import ray
    import skvae.ray
    from skvae import VAETransformer

    rows = ray.data.read_parquet("s3://bucket/rows")
    vae = skvae.ray.fit(
        VAETransformer(batch_size=4096, max_iter=2),
        rows,
        scaling_config=ray.train.ScalingConfig(num_workers=8),
    )
    skvae.ray.score(vae, rows, keep=["id"]).write_parquet("s3://bucket/scores")

:func:`fit` fits an estimator of skvae in place: afterwards it is one like any other, and neither
answers nor files of it need Ray. It needs the package ``ray``: ``pip install 'skvae[ray]'``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from skvae._estimators.mode import identity_of
from skvae._estimators.vae_imputer import VAEImputer
from skvae._estimators.vae_outlier_detector import VAEOutlierDetector
from skvae._estimators.vae_transformer import VAETransformer
from skvae._ray.answers import answers_about
from skvae._ray.package import ray as _ray
from skvae._ray.source import RaySource
from skvae._streaming.answering import method_of

__all__ = ["fit", "impute", "score", "transform"]

BATCH_SIZE = 16_384
MAX_FAILURES = 3  # of the workers, by default
ESTIMATORS = VAETransformer, VAEImputer, VAEOutlierDetector


def fit(estimator: Any, dataset: Any, *, scaling_config: Any = None, run_config: Any = None) -> Any:
    """Fit an estimator to a data set of Ray, with workers that train together.

    The driver, the process that calls this function, lets a task for each block of the data set
    count what is in it, and takes a sample of the rows. It fits the columns to them, and starts the
    model, as ``estimator.fit`` does for files. Then the workers of a run of Ray Train train it,
    each on a part of the rows, with gradients that are averaged in each step.

    A step reads `batch_size` rows on each worker, and a pass has fewer steps the more workers there
    are; by default (``max_iter=None``) as many rows are read as by one worker. A larger batch may
    need a higher `learning_rate_init`. A data set that is no longer than a sample, of at most
    100 000 rows, is fitted by the driver, as a table in memory.

    Parameters
    ----------
    estimator : VAETransformer, VAEImputer or VAEOutlierDetector
        It is fitted in place. Its `max_memory` is that of each process; its `device` is that of the
        driver, while workers take the GPU that Ray gives them, if ``use_gpu`` is set.
        `checkpoint_every` is the time between two checkpoints of the run.
    dataset : ray.data.Dataset, path, or list of paths
        Paths are of Parquet files or folders, as ``ray.data.read_parquet`` takes them. It is read
        once in each pass, and must give the same rows each time. If the rows are sorted, shuffle
        them (``read_parquet(shuffle="files")``, ``Dataset.random_shuffle``).
    scaling_config : ray.train.ScalingConfig, default=None
        How many workers, and what each of them has; of an elastic group, the steps are planned for
        the least number. None: one worker with one CPU.
    run_config : ray.train.RunConfig, default=None
        Where the checkpoints are stored, and how many failures are survived. A run whose name and
        `storage_path` are those of one that was cut off goes on from its last checkpoint. None: the
        folder that Ray chooses, two checkpoints, and three failures.

    Returns
    -------
    estimator : object
        The same estimator, fitted.

    Raises
    ------
    ImportError
        If Ray is not installed.
    TypeError
        If the estimator is of another class.
    ValueError
        If a parameter or the data set is not valid, `checkpoint` is set, or the run of this name
        was another fit.
    ray.train.TrainingFailedError
        If the workers fail more often than `run_config` allows.

    Examples
    --------
    >>> import skvae.ray
    >>> from skvae import VAETransformer
    >>> rows = ray.data.read_parquet("rows/")  # doctest: +SKIP
    >>> scaling = ray.train.ScalingConfig(num_workers=2)  # doctest: +SKIP
    >>> vae = skvae.ray.fit(VAETransformer(), rows, scaling_config=scaling)  # doctest: +SKIP
    """
    module = _ray()
    if not isinstance(estimator, ESTIMATORS):
        names = ", ".join(cls.__name__ for cls in ESTIMATORS)
        raise TypeError(
            f"skvae.ray.fit takes estimators of the classes {names}. Got "
            f"{type(estimator).__name__} instead."
        )
    model = getattr(estimator, "estimator", None) or estimator  # that of an imputer
    if getattr(model, "checkpoint", None) is not None:
        raise ValueError(
            f"checkpoint={model.checkpoint!r} is not for skvae.ray.fit, whose checkpoints are "
            "those of Ray Train: name the run and its storage_path in run_config."
        )
    train = module.train
    if run_config is None:
        run_config = train.RunConfig(
            checkpoint_config=train.CheckpointConfig(num_to_keep=2),
            failure_config=train.FailureConfig(max_failures=MAX_FAILURES),
        )
    source = RaySource(
        _as_dataset(dataset),
        train.ScalingConfig() if scaling_config is None else scaling_config,
        run_config,
        identity_of(estimator),
        float(getattr(model, "checkpoint_every", 60.0)),
        int(getattr(model, "verbose", 0)),
    )
    return estimator.fit(source)


def score(
    estimator: Any,
    dataset: Any,
    *,
    keep: Sequence[str] = (),
    batch_size: int = BATCH_SIZE,
    n_actors: int | None = None,
    **options: Any,
) -> Any:
    """``estimator.score_samples`` of all rows of a data set, in the column "score".

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``score_samples``.
    dataset : ray.data.Dataset, path, or list of paths
        Rows with the fitted columns, and perhaps others, which are not given to the estimator.
    keep : sequence of str, default=()
        Columns of the rows to have beside the answers, such as keys.
    batch_size : int, default=16384
        Rows that an actor has in memory at once.
    n_actors : int or None, default=None
        The most processes that answer. None: one for each CPU of the cluster.
    **options : dict
        Further arguments of ``Dataset.map_batches``, such as `num_cpus` and `num_gpus`.

    Returns
    -------
    answers : ray.data.Dataset
        It is computed when it is read or written. The order of its rows is that of Ray Data, which
        keeps that of the data set only if it is told to: keep a key.

    Raises
    ------
    ImportError
        If Ray is not installed.
    TypeError
        If the estimator has no such method.

    Examples
    --------
    >>> import skvae.ray
    >>> skvae.ray.score(vae, rows, keep=["id"]).write_parquet("scores/")  # doctest: +SKIP
    """
    method = method_of(estimator, "score_samples")
    rows = _as_dataset(dataset)
    names = ["score"]
    return answers_about(estimator, method, rows, keep, names, batch_size, n_actors, options)


def transform(
    estimator: Any,
    dataset: Any,
    *,
    keep: Sequence[str] = (),
    batch_size: int = BATCH_SIZE,
    n_actors: int | None = None,
    **options: Any,
) -> Any:
    """``estimator.transform`` of all rows of a data set, with the names of its columns.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``transform``.
    dataset : ray.data.Dataset, path, or list of paths
        Rows with the fitted columns, and perhaps others, which are not given to the estimator.
    keep : sequence of str, default=()
        Columns of the rows to have beside the answers, such as keys.
    batch_size : int, default=16384
        Rows that an actor has in memory at once.
    n_actors : int or None, default=None
        The most processes that answer. None: one for each CPU of the cluster.
    **options : dict
        Further arguments of ``Dataset.map_batches``, such as `num_cpus` and `num_gpus`.

    Returns
    -------
    answers : ray.data.Dataset
        As of :func:`score`.

    Raises
    ------
    ImportError
        If Ray is not installed.
    TypeError
        If the estimator has no such method.

    Examples
    --------
    >>> import skvae.ray
    >>> skvae.ray.transform(vae, rows, keep=["id"]).take(3)  # doctest: +SKIP
    """
    method = method_of(estimator, "transform")
    rows = _as_dataset(dataset)
    names = list(estimator.get_feature_names_out())
    return answers_about(estimator, method, rows, keep, names, batch_size, n_actors, options)


def impute(
    estimator: Any,
    dataset: Any,
    *,
    keep: Sequence[str] = (),
    batch_size: int = BATCH_SIZE,
    n_actors: int | None = None,
    **options: Any,
) -> Any:
    """The rows of a data set with their missing cells filled in.

    They are filled by ``estimator.impute``, or by ``transform`` of an imputer.

    Parameters
    ----------
    estimator : estimator
        Fitted; ``VAETransformer``, ``VAEImputer``, or a pipeline that ends with an imputer.
    dataset : ray.data.Dataset, path, or list of paths
        Rows with the fitted columns, and perhaps others, which are not given to the estimator.
    keep : sequence of str, default=()
        Columns of the rows to have beside the answers, such as keys.
    batch_size : int, default=16384
        Rows that an actor has in memory at once.
    n_actors : int or None, default=None
        The most processes that answer. None: one for each CPU of the cluster.
    **options : dict
        Further arguments of ``Dataset.map_batches``, such as `num_cpus` and `num_gpus`.

    Returns
    -------
    answers : ray.data.Dataset
        As of :func:`score`.

    Raises
    ------
    ImportError
        If Ray is not installed.
    TypeError
        If the estimator has no such method.

    Examples
    --------
    >>> import skvae.ray
    >>> skvae.ray.impute(vae, rows, keep=["id"]).write_parquet("filled/")  # doctest: +SKIP
    """
    method = method_of(estimator, "impute" if hasattr(estimator, "impute") else "transform")
    return answers_about(
        estimator, method, _as_dataset(dataset), keep, None, batch_size, n_actors, options
    )


def _as_dataset(dataset: Any) -> Any:
    """A data set, or that of some paths."""
    module = _ray()
    if isinstance(dataset, (str, os.PathLike)):
        return module.data.read_parquet(os.fspath(dataset))
    if isinstance(dataset, list):
        return module.data.read_parquet([os.fspath(path) for path in dataset])
    if isinstance(dataset, module.data.Dataset):
        return dataset
    raise TypeError(
        f"dataset is a {type(dataset).__name__}, but must be a ray.data.Dataset, or paths of "
        "Parquet files. ray.data.from_pandas and its siblings make one of tables in memory."
    )
