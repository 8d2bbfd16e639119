"""Workers that train one model: the mean gradient, and one decision for all."""

from __future__ import annotations

import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist

from skvae import ELBO, VAETransformer
from skvae._estimators import fitting
from skvae._training.batches import Split, TableBatches
from skvae._training.budget import Budget
from skvae._training.checkpoint import NoCheckpoint
from skvae._training.loop import NoMonitor, Run, train
from skvae._training.workers import Group, OneWorker

N = 32


class Pair:
    """Two workers in threads, as each of them sees both."""

    def __init__(self, rank, shared=None):
        self.rank = rank
        self.shared = shared or SimpleNamespace(barrier=threading.Barrier(2, timeout=60), sent={})

    def exchanged(self, value):
        self.shared.sent[self.rank] = copy.deepcopy(value)
        self.shared.barrier.wait()
        sent = [self.shared.sent[0], self.shared.sent[1]]
        self.shared.barrier.wait()
        return sent

    def noise(self, generator):
        return torch.Generator().manual_seed(generator.initial_seed() + self.rank)

    def average(self, tensor):
        return tensor.copy_(sum(self.exchanged(tensor.clone())) / 2)

    def agree(self, value):
        return self.exchanged(value)[0]

    def after_step(self, model):
        self.exchanged(None)


def both(function):
    """What two workers in threads return."""
    first = Pair(0)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, [first, Pair(1, first.shared)]))


@pytest.fixture(scope="module")
def parts():
    """An untrained model, encoded rows, and their split."""
    rng = np.random.default_rng(0)
    X = np.tanh(rng.normal(size=(400, 2)) @ rng.normal(size=(2, 5)))
    X += 0.1 * rng.normal(size=X.shape)
    kept = SimpleNamespace()
    vae = VAETransformer(2, hidden_layer_sizes=(16,), max_iter=1, constraints=None, random_state=0)

    def spied(models, data, split, *others):
        kept.model, kept.rows, kept.split = copy.deepcopy(models[0]), data, split
        return real(models, data, split, *others)

    real = fitting.train_all
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "train_all", spied)
        vae.fit(X)
    return kept


def budget(**options):
    return Budget(**{"n_steps": 40, "batch_size": N // 2, "learning_rate": 8e-3, **options})


def test_half_batches_on_two_workers_are_one_batch(parts, monkeypatch):
    """With the same noise, ten steps give the same weights."""

    def fixed(self, *shape, generator):
        return torch.full((*shape, self.models[0].latent.n_noise), 0.3)

    monkeypatch.setattr(Run, "_noise", fixed)

    def weights(workers, half):
        models = [copy.deepcopy(parts.model)]
        run = Run(models, parts.rows, ELBO(), budget(), torch.Generator(), None, workers)
        for step in range(10):
            batch = parts.split.train[step * N :][:N]
            run.step(parts.rows.take(batch[half]), step)
        return run.flat.values

    one = weights(OneWorker(), slice(None))
    two = both(lambda pair: weights(pair, slice(pair.rank, None, 2)))
    assert torch.equal(*two)
    torch.testing.assert_close(two[0], one, atol=1e-5, rtol=0)
    assert (one - parts_weights(parts)).abs().max() > 0.01


def parts_weights(parts):
    models = [copy.deepcopy(parts.model)]
    return Run(models, parts.rows, ELBO(), budget(), torch.Generator()).flat.values


class Part:
    """Each worker has every second row."""

    n_rows, fingerprint = 180, ""

    def __init__(self, parts, workers):
        self.parts, self.workers = parts, workers

    def batches(self, n_models, size, generator, device):
        train = self.parts.split.train[self.workers.rank :: 2]
        train = train[: 100 if self.workers.rank else None]  # and one of them fewer
        return TableBatches(self.parts.rows, [Split(train, None, train[:0])], size, generator)


def trained(parts, workers, budget):
    model = copy.deepcopy(parts.model)
    generator = torch.Generator().manual_seed(7)
    rows = parts.rows, parts.split, ELBO(), budget, generator, NoMonitor(), {}, NoCheckpoint()
    return train([model], *rows, Part(parts, workers)), model


def test_workers_with_different_rows_end_with_equal_weights(parts):
    (one, first), (other, second) = both(lambda pair: trained(parts, pair, budget()))
    assert one.history == other.history
    assert one.history["step"][-1] == 40
    assert one.history["validation_bound"][-1] > one.history["validation_bound"][0]
    for mine, yours in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(mine, yours)


def test_the_first_worker_decides_when_to_stop(parts):
    def limited(pair):
        deadline = time.monotonic() + (1000 if pair.rank else 0.5)
        return trained(parts, pair, budget(n_steps=10**6, deadline=deadline))[0]

    one, other = both(limited)
    assert one.history == other.history
    assert one.history["step"][-1] < 10**6


@pytest.fixture
def group(tmp_path):
    """A group of one process."""
    dist.init_process_group("gloo", f"file://{tmp_path}/group", rank=0, world_size=1)
    yield Group(torch.device("cpu"))
    dist.destroy_process_group()


def test_a_group_of_processes(group):
    gradient = torch.tensor([[1.0, 2.0]])
    assert group.average(gradient) is gradient
    assert gradient.tolist() == [[1.0, 2.0]]
    for value in (True, 3, 2.5):
        assert group.agree(value) == value
        assert type(group.agree(value)) is type(value)
    bound = torch.tensor([-3.25], dtype=torch.float64)
    assert group.agree(bound) is not bound
    assert torch.equal(group.agree(bound), bound)


def test_the_noise_of_a_process_is_its_own(group):
    shared = torch.Generator().manual_seed(3)
    group.rank = 1
    draws = {
        float(torch.rand(1, generator=each))
        for each in (
            shared.clone_state(),
            group.noise(shared),
            group.generator(3, n_steps=10),
            group.generator(4, n_steps=0),
        )
    }
    assert len(draws) == 4
    again = group.noise(shared)
    assert float(torch.rand(1, generator=again)) in draws


def test_codebooks_are_those_of_the_first(group):
    X = np.random.default_rng(0).normal(size=(60, 3))
    model = VAETransformer(2, latent="quantized", max_iter=1, random_state=0).fit(X).model_
    before = model.latent.codebook.clone()
    group.after_step(model)
    assert torch.equal(model.latent.codebook, before)
