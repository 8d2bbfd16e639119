"""The loop: what it keeps, what it says, what it leaves alone."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from frames import pandas_frame, with_missing_cells
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skvae import ELBO, Normal, VAETransformer
from skvae._estimators import choosing
from skvae._nn.optimizer import Adam
from skvae._training import budget, held_out, loop
from skvae._training.budget import Budget, learning_rate


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 2))
    return np.tanh(z @ rng.normal(size=(2, 6))) + 0.1 * rng.normal(size=(400, 6))


def quick(**params):
    return VAETransformer(**{"hidden_layer_sizes": (32,), "random_state": 0, **params})


def test_history_adds_up(X):
    history = quick(objective=ELBO(n_samples=2)).fit(X).history_
    lengths = {len(series) for series in history.values()}
    assert len(lengths) == 1
    bound = np.array(history["reconstruction"]) - np.array(history["kl"])
    np.testing.assert_allclose(history["bound"], bound, atol=1e-3)
    assert history["validation_bound"][-1] > history["validation_bound"][0]


def test_bound_in_the_history_is_in_table_units(X):
    one = quick(early_stopping=False, max_iter=2).fit(X)
    other = quick(early_stopping=False, max_iter=2).fit(X * 1024)
    gap = np.array(one.history_["bound"]) - np.array(other.history_["bound"])
    np.testing.assert_allclose(gap, 6 * np.log(1024), atol=1e-3)


def test_best_weights_are_restored(X, monkeypatch):
    """A rate that ruins the model late: what is left has the best held-out bound, recomputed."""
    left = []
    true_restore = held_out.BestWeights.restore

    def watched(self):
        before = self.run.evaluate(self.rows, self.noise_state)
        true_restore(self)
        left.append((before, self.run.evaluate(self.rows, self.noise_state)))

    monkeypatch.setattr(held_out.BestWeights, "restore", watched)
    vae = quick(learning_rate_init=0.5, n_iter_no_change=1000, max_iter=60).fit(X)
    shown = vae.history_["validation_bound"]
    ((before, after),) = left
    assert before == pytest.approx(shown[-1], rel=1e-5)
    assert after >= max(shown) - 1e-4
    assert after > before + 0.1
    assert vae.score(X) > max(shown) - 2


def test_early_stopping_saves_steps(X):
    vae = quick(n_iter_no_change=2, tol=1.0).fit(X)
    full = quick(early_stopping=False).fit(X)
    assert vae.history_["step"][-1] < full.history_["step"][-1]
    assert "validation_bound" not in full.history_


def test_max_iter_counts_epochs(X):
    vae = quick(max_iter=7, early_stopping=False, batch_size=100).fit(X)
    assert vae.n_iter_ == 7
    assert vae.history_["step"][-1] == 28


def test_two_fits_are_bit_equal(X):
    table = with_missing_cells(pandas_frame())
    for data in (X, table):
        a, b = quick(max_iter=3).fit(data), quick(max_iter=3).fit(data)
        np.testing.assert_array_equal(a.transform(data), b.transform(data))
        np.testing.assert_array_equal(a.score_samples(data), b.score_samples(data))
        assert a.history_ == b.history_


def test_order_of_rows_does_not_matter(X):
    table = with_missing_cells(pandas_frame())
    shuffled = table.sample(frac=1, random_state=1)
    a, b = quick(max_iter=3).fit(table), quick(max_iter=3).fit(shuffled)
    np.testing.assert_array_equal(a.score_samples(table), b.score_samples(table))


def test_integer_weights_are_repetitions(X):
    weights = np.random.default_rng(0).integers(0, 4, size=len(X))
    repeated = np.repeat(X, weights, axis=0)
    a = quick(max_iter=3).fit(X, sample_weight=weights)
    b = quick(max_iter=3).fit(repeated)
    np.testing.assert_array_equal(a.score_samples(X), b.score_samples(X))


def test_weights_on_a_mixed_table():
    table = with_missing_cells(pandas_frame())
    weights = np.random.default_rng(0).integers(0, 3, size=len(table))
    repeated = table.loc[table.index.repeat(weights)]
    a = quick(max_iter=3).fit(table, sample_weight=weights)
    b = quick(max_iter=3).fit(repeated)
    np.testing.assert_array_equal(a.score_samples(table), b.score_samples(table))


@pytest.mark.slow
def test_real_weights_move_the_model(X):
    """Weights of ¼ and 1¾ act as 1 and 7 repetitions do: in the scaling and in the draws."""
    x = np.r_[np.full((300, 1), -1.0), np.full((300, 1), 1.0)]
    x = x + 0.2 * np.random.default_rng(0).normal(size=x.shape)
    weights = np.r_[np.full(300, 0.25), np.full(300, 1.75)]
    drawn = quick(early_stopping=False).fit(x, sample_weight=weights)
    repeated = quick(early_stopping=False).fit(x, sample_weight=4 * weights)
    assert drawn.schema_.columns[0].map == repeated.schema_.columns[0].map
    shares = [(vae.sample(4000, random_state=0) > 0).mean() for vae in (drawn, repeated)]
    assert shares == pytest.approx([7 / 8] * 2, abs=0.08)


def test_global_state_is_left_alone(X):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    settings = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
    for seed in (0, np.random.RandomState(0), np.random.default_rng(0)):
        vae = quick(max_iter=1, random_state=seed).fit(X)
        vae.transform(X)
        vae.score_samples(X[:5])
        vae.sample(3, random_state=seed)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])
    quick(max_iter=1, random_state=None).fit(X).sample(3)  # takes seeds from numpy's stream alone
    assert torch.equal(before[0], torch.get_rng_state())
    now = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
    assert now == settings


def test_threads_do_not_disturb_each_other(X):
    alone = quick(max_iter=2).fit(X).transform(X)
    found = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: quick(max_iter=2).fit_transform(X)}))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for Z in found.values():
        np.testing.assert_allclose(Z, alone, rtol=1e-4, atol=1e-4)


def test_fitted_model_is_light_and_holds_no_rows(X):
    large = np.tile(X, (50, 1)) + np.arange(50).repeat(len(X))[:, None] * 1e-9
    names = [f"row {i:06d}" for i in range(len(large))]
    frame = pd.DataFrame(large, index=names, columns=list("abcdef"))
    small_size = len(pickle.dumps(quick(max_iter=1).fit(X)))
    for table in (
        large,
        frame,
        pl.from_pandas(frame),
        pa.Table.from_pandas(frame, preserve_index=False),
    ):
        k = 5  # components of six columns
        codes = (2 * k + 2) * 2000 * 8  # mean, variance, weight and key of 2 000 exemplars
        codes += 50 * (2 * k + 1) * 8  # and the mixture, which is smaller in a small table
        assert len(pickle.dumps(quick(max_iter=1).fit(table))) < small_size + codes + 10_000
    vae = quick(max_iter=1).fit(X)
    assert all(p.dtype == torch.float64 and not p.requires_grad for p in vae.model_.parameters())
    assert all(p.device.type == "cpu" and p.grad is None for p in vae.model_.parameters())


def test_pickle_answers_the_same(X):
    table = with_missing_cells(pandas_frame())
    vae = quick(max_iter=1).fit(table)
    copy = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(copy.score_samples(table), vae.score_samples(table))
    pd.testing.assert_frame_equal(copy.sample(5, random_state=0), vae.sample(5, random_state=0))


def test_warm_start_goes_on(X):
    vae = quick(max_iter=5, warm_start=True, early_stopping=False).fit(X)
    first = vae.history_["bound"][-1]
    steps, n_iter = vae.history_["step"][-1], vae.n_iter_
    vae.fit(X[:300])
    assert vae.history_["step"][-1] > steps
    assert vae.n_iter_ == n_iter + 5
    assert vae.history_["bound"][-1] > first - 0.5
    cold = clone(vae).fit(X)
    assert cold.history_["step"][-1] == steps


def test_warm_start_freezes_the_columns():
    table = pandas_frame()[["float64", "object"]]
    vae = quick(max_iter=1, warm_start=True).fit(table[table["object"] != "oak"])
    levels = vae.schema_.columns[1].levels
    with pytest.warns(UserWarning, match="'object' holds the new levels 'oak'"):
        vae.fit(table)
    assert vae.schema_.columns[1].levels == levels == ("ash", "birch", "cedar")


@pytest.mark.slow
def test_partial_fit_learns(X):
    vae = quick(prior="mixture").partial_fit(X)
    first = vae.score(X)
    for _ in range(100):
        vae.partial_fit(X)
    assert vae.score(X) > first + 0.07
    bound = np.array(vae.history_["bound"])
    assert bound[-20:].mean() < vae.score(X)  # the noise of one call is not that of the next
    assert vae.n_iter_ == 101
    assert not [name for name in vars(vae) if "callback" in name]


def test_interrupt_keeps_the_best_weights(X, monkeypatch):
    rounds = []
    true_steps = loop.Run.take_steps

    def interrupted(self, *args):
        rounds.append(1)
        if len(rounds) == 10:
            raise KeyboardInterrupt
        return true_steps(self, *args)

    monkeypatch.setattr(loop.Run, "take_steps", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted after .* steps; the best weights"):
        vae = quick().fit(X)
    assert len(vae.history_["bound"]) == 9
    assert vae.score(X) > vae.history_["bound"][0] - 1
    assert np.isfinite(vae.transform(X)).all()


@pytest.mark.parametrize("eps", [1e-8, 1e-3])
def test_adam_is_that_of_torch(eps):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, 7, generator=generator, dtype=torch.float64)
    theirs = start.clone().requires_grad_()
    values, reference = start.clone(), torch.optim.Adam([theirs], lr=0.1, eps=eps)
    mine = Adam(values, eps=eps)
    for n in range(20):
        if n == 10:  # it goes on from where it stood
            mine = Adam(values, mine.state, eps=eps)
        theirs.grad = torch.randn(2, 7, generator=generator, dtype=torch.float64)
        reference.param_groups[0]["lr"] = 0.1 / (n + 1)
        reference.step()
        mine.step(theirs.grad, 0.1 / (n + 1))
    torch.testing.assert_close(values, theirs.detach())


def test_a_loss_that_is_not_finite_is_repaired(X, monkeypatch):
    true_step = loop.Run.step
    calls = []

    def sometimes_broken(self, batch, step):
        calls.append(1)
        metrics = true_step(self, batch, step)
        return metrics * float("nan") if len(calls) in (40, 70) else metrics

    monkeypatch.setattr(loop.Run, "step", sometimes_broken)
    vae = quick(early_stopping=False).fit(X)
    assert np.isfinite(vae.history_["bound"]).all()
    assert np.isfinite(vae.score_samples(X)).all()


def test_a_loss_that_stays_broken_names_the_column(X, monkeypatch):
    true_standard = Normal.standard

    def broken(self, r, columns):
        cells = true_standard(self, r, columns)
        return torch.cat([cells[..., :3], cells[..., 3:4] * float("nan"), cells[..., 4:]], -1)

    monkeypatch.setattr(Normal, "standard", broken)
    vae = quick(likelihood="normal")
    with pytest.raises(FloatingPointError, match="column 'x3' has the lowest log-density"):
        vae.fit(X)
    assert not hasattr(vae, "model_")


def test_verbose_logs_the_terms(X, capsys, caplog):
    quick(max_iter=2, verbose=2).fit(X)
    assert "VAETransformer.fit: step 1 of " in caplog.text
    assert "kl" in caplog.text
    assert "validation bound" in caplog.text
    assert capsys.readouterr().out == ""
    caplog.clear()
    quick(max_iter=2).fit(X)
    assert capsys.readouterr() == ("", "")
    assert caplog.text == ""


def test_callbacks_see_every_round(X):
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9")

    class Watch:
        def __init__(self):
            self.tasks, self.scores = [], []

        def setup(self, estimator, context):
            self.tasks.append("setup")

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
            if context.task_name == "round" and fitted_estimator is not None:
                self.scores.append(fitted_estimator.score(X[:20]))
            return len(self.scores) == 3

        def teardown(self, estimator, context):
            self.tasks.append("teardown")

    watch = Watch()
    assert isinstance(watch, callback.FitCallback)
    vae = quick(early_stopping=False).set_callbacks(watch).fit(X)
    assert watch.tasks == ["setup", "teardown"]
    assert len(vae.history_["bound"]) == 3  # the callback asked to stop
    assert np.isfinite(watch.scores).all()


def test_an_error_of_a_callback_leaves_the_estimator_as_it_was():
    """As of Optuna's TrialPruned; until then it is shown an estimator of the columns of a frame."""
    pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9")
    table = pandas_frame()[["float64", "object"]]

    class Pruned(Exception):
        pass

    class Prune:
        def __init__(self):
            self.shown = []

        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            assert fitted_estimator.score_samples(table).shape == (len(table),)
            assert list(fitted_estimator.feature_names_in_) == list(table)
            self.shown.append(fitted_estimator.history_["bound"])
            if len(self.shown) == 3:
                raise Pruned

        def teardown(self, estimator, context):
            pass

    prune = Prune()
    vae = quick(early_stopping=False).set_callbacks(prune)
    before = set(vars(vae))
    with pytest.raises(Pruned):
        vae.fit(table)
    assert [len(bounds) for bounds in prune.shown] == [1, 2, 3]  # each a history of its own
    assert set(vars(vae)) == before
    vae.set_callbacks().set_params(warm_start=True).fit(table)
    answers, n_rounds = vae.score_samples(table), len(vae.history_["bound"])
    prune.shown.clear()
    with pytest.raises(Pruned):
        vae.set_callbacks(prune).fit(table)
    assert len(prune.shown[0]) == n_rounds + 1  # that of the first fit before it
    assert len(vae.history_["bound"]) == n_rounds
    np.testing.assert_array_equal(vae.score_samples(table), answers)


@pytest.mark.slow
def test_warmup_starts_without_the_divergence(X):
    slow = quick(objective=ELBO(warmup=1.0), early_stopping=False).fit(X).history_
    plain = quick(early_stopping=False).fit(X).history_
    assert slow["kl"][5] > plain["kl"][5]
    # the bound of the history is the objective: early on, the divergence hardly counts
    assert slow["bound"][1] > slow["reconstruction"][1] - 0.2 * slow["kl"][1]


@pytest.mark.slow
def test_beta_moves_the_code(X):
    kl = [
        quick(objective=ELBO(beta=beta), early_stopping=False).fit(X).history_["kl"][-1]
        for beta in (0.2, 1.0, 3.0)
    ]
    assert kl[0] > kl[1] > kl[2]


def test_rows_put_in_order_are_those_taken():
    vae = VAETransformer(max_iter=1, random_state=0).fit(with_missing_cells(pandas_frame(60)))
    rows = vae.fitted_model_.encode(with_missing_cells(pandas_frame(60)))
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    expected = rows.take(order)
    rows.reorder(order)
    for mine, taken in zip(rows.fields(), expected.fields(), strict=True):
        torch.testing.assert_close(mine, taken, equal_nan=True)


@pytest.mark.parametrize(("n", "draws"), [(0, 4), (10, 4), (500, 4), (1000, 2), (9000, 1)])
def test_few_held_out_rows_are_drawn_more_often(n, draws):
    assert loop.evaluation_draws(n) == draws


@pytest.mark.parametrize("params", [
    {},
    pytest.param({"prior": "flow"}, marks=pytest.mark.slow),
    pytest.param({"latent": "quantized"}, marks=pytest.mark.slow),
], ids=repr)  # fmt: skip
def test_the_hash_is_that_of_the_fitted_model(params):
    """Before and after pickling, and in another process."""
    table = with_missing_cells(pandas_frame())
    vae = quick(max_iter=1, **params).fit(table)
    copy = pickle.loads(pickle.dumps(vae))
    assert joblib.hash(copy) == joblib.hash(vae)
    elsewhere = subprocess.run(
        [sys.executable, "-c", "import sys, pickle, joblib; "
         "print(joblib.hash(pickle.load(sys.stdin.buffer)))"],
        input=pickle.dumps(vae), capture_output=True, check=True,
    )  # fmt: skip
    assert elsewhere.stdout.decode().strip() == joblib.hash(vae)
    again = quick(max_iter=2, **params).fit(table)
    assert joblib.hash(again) != joblib.hash(vae)


def test_the_hash_after_partial_fit(X):
    vae = quick().partial_fit(X)
    copy = pickle.loads(pickle.dumps(vae))
    assert joblib.hash(copy) == joblib.hash(vae)
    np.testing.assert_array_equal(copy.partial_fit(X).transform(X), vae.partial_fit(X).transform(X))


@pytest.mark.parametrize("latent", ["gaussian", "quantized"])
@pytest.mark.filterwarnings("ignore::skvae.CollapseWarning")  # in a second on a busy machine
def test_max_time_is_a_budget(latent):
    """Fewer steps are planned, and the learning rate still falls to its end."""
    X = np.random.default_rng(0).normal(size=(3000, 4))
    params = {"latent": latent, "early_stopping": False, "max_iter": 100_000, "random_state": 0}
    vae = VAETransformer(2, max_time=1.0, **params).fit(X)
    assert 1 <= vae.history_["step"][0] <= loop.TIMED_STEPS
    assert 1 <= vae.history_["step"][-1] < 100_000 * 12
    assert np.isfinite(vae.score_samples(X[:5])).all()


def test_a_search_stops_where_time_is_up(monkeypatch):
    """Whatever it takes to try a size, no other is tried after half of the time."""
    tried = []

    def trial(model, rows, split, held_out, *_):
        tried.append(model.latent.n_components)
        return np.zeros(len(held_out))

    monkeypatch.setattr(choosing, "trial_scores", trial)
    X = np.random.default_rng(0).normal(size=(300, 6))
    VAETransformer("auto", max_iter=1, random_state=0).fit(X)
    assert tried[:2] == [1, 2]
    tried.clear()
    monkeypatch.setattr(Budget, "seconds_left", 0.0)
    vae = VAETransformer("auto", max_iter=1, random_state=0).fit(X)
    assert tried == [1]
    assert np.isfinite(vae.score_samples(X[:5])).all()  # the closed-form start


def test_fewer_steps_where_time_is_short(monkeypatch):
    """Half of the time is used for a tenth of the steps: a fifth can be done."""
    monkeypatch.setattr(budget.time, "monotonic", lambda: 50.0)
    limited = Budget(n_steps=1000, batch_size=1, learning_rate=1.0, deadline=100.0)
    limited.fit_to_time(100, seconds=50.0)
    assert limited.n_steps == 200
    assert learning_rate(199, limited) < 1e-3
    assert limited.share(2).deadline == 75.0
    unlimited = Budget(n_steps=1000, batch_size=1, learning_rate=1.0)
    unlimited.fit_to_time(100, seconds=50.0)
    assert unlimited.n_steps == 1000
    assert unlimited.seconds_left == np.inf


def test_a_table_of_the_history():
    X = np.random.default_rng(0).normal(size=(300, 4))
    vae = VAETransformer(2, max_iter=3, random_state=0).fit(X)
    frame = pd.DataFrame(vae.history_)
    assert frame["step"].is_monotonic_increasing
    assert {"bound", "reconstruction", "kl", "validation_bound"} <= set(frame.columns)
