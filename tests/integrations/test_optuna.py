"""Optuna prunes a trial from a callback that is shown the rounds of training."""

from __future__ import annotations

import numpy as np
import pytest

from skvae import VAETransformer

optuna = pytest.importorskip("optuna")
pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9")


class Pruning:
    def __init__(self, trial, X):
        self.trial, self.X, self.n_rounds = trial, X, 0

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.task_name == "round":
            self.n_rounds += 1
            self.trial.report(fitted_estimator.score(self.X), self.n_rounds)
            if self.trial.should_prune():
                raise optuna.TrialPruned

    def teardown(self, estimator, context):
        pass


def test_a_bad_trial_is_pruned(table):
    train, test = table[::2], table[1::2]
    fits = []

    def objective(trial):
        vae = VAETransformer(
            2, learning_rate_init=trial.suggest_float("learning_rate_init", 1e-6, 1, log=True),
            hidden_layer_sizes=(16,), init="random", n_importance_samples=4, max_iter=8,
            random_state=0,
        )  # fmt: skip
        fits.append(vae.set_callbacks(Pruning(trial, test)))
        return vae.fit(train).score(test)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.ThresholdPruner(lower=-1e9)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    study.enqueue_trial({"learning_rate_init": 1e-2})
    study.optimize(objective, n_trials=1)
    # A learning rate that is too low is far below the median of the trials before.
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=2)
    study.enqueue_trial({"learning_rate_init": 1e-6})
    study.optimize(objective, n_trials=1)
    good, bad = study.trials
    assert good.state is optuna.trial.TrialState.COMPLETE
    assert bad.state is optuna.trial.TrialState.PRUNED
    assert len(bad.intermediate_values) < len(good.intermediate_values)
    assert good.value == fits[0].score(test)
    assert not hasattr(fits[1], "fitted_model_")
    assert np.isfinite(fits[1].set_callbacks().fit(train).score(test))
