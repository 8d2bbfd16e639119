"""The life of an estimator: sequences of fits, errors, interruptions, copies and answers."""

from __future__ import annotations

import pickle
import warnings
from unittest import mock

import answers
import numpy as np
import pytest
from fuzzing import PARTS, attempt, count_case, examples
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from parameters_to_fuzz import OF_TRANSFORMER, detectors, transformers, weights
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from tables import tables

from skvae import VAETransformer
from skvae._training.loop import Run

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.filterwarnings(
        "ignore::skvae.ImportanceWarning",
        "ignore::skvae.CollapseWarning",
        "ignore:All cells of the table are missing:UserWarning",
        "ignore:X (has|does not have valid) feature names:UserWarning",
    ),
]
SEEDS = st.integers(0, 99)
# Parameters that may change between calls without another fit.
OF_ANSWERS = ["precision", "n_importance_samples", "n_refinement_steps", "max_iter", "warm_start",
              "batch_size", "mask_ratio", "early_stopping"]  # fmt: skip
STOPS = [  # where a fit is interrupted after its training
    "skvae._estimators.fitting.finalize_model",
    "skvae._estimators.fitting.encode_table",
    "skvae._estimators.fitting.described",
]


class Life(RuleBasedStateMachine):
    """An estimator, the table it is fitted to, and whether it is fitted."""

    @initialize(
        table=tables(sizes=st.sampled_from([20, 40, 12, 3])),
        estimator=st.one_of(transformers(most=2), detectors(most=2)),
    )
    def begin(self, table, estimator):
        self.table, self.estimator, self.fitted = table, estimator, False
        self.seen = table.frame  # the rows of which bounds and levels are known

    # ------------------------------------------------------------------- what changes it

    def try_to(self, call, *args, **kwargs):
        """Call; if it is refused, the estimator answers as before."""
        before = self.snapshot()
        _, refusal = attempt(call, *args, **kwargs)
        if refusal is None:
            self.fitted = True
            answers.assert_finite(self.estimator.score_samples(self.table.X))
        else:
            self.check_unchanged(before)
        count_case()
        return refusal

    def snapshot(self):
        if not self.fitted:
            return None
        found = [self.estimator.score_samples(self.table.X), dict(self.estimator.history_)]
        if isinstance(self.estimator, VAETransformer):
            found.append(self.estimator.transform(self.table.X))
        return found

    def check_unchanged(self, before):
        if before is None:
            assert not hasattr(self.estimator, "fitted_model_")
            with pytest.raises(NotFittedError):
                self.estimator.score_samples(self.table.X)
            return
        now = self.snapshot()
        answers.assert_same(now[0], before[0])
        np.testing.assert_equal(now[1], before[1])
        answers.assert_same(now[2:], before[2:])

    @rule(data=st.data())
    def fit(self, data):
        weight = data.draw(weights(len(self.table.frame)))
        if self.try_to(self.estimator.fit, self.table.X, sample_weight=weight) is None:
            kept = slice(None) if weight is None else weight > 0
            started_anew = not self.estimator.warm_start
            self.seen = self.table.frame[kept] if started_anew else self.table.frame

    @rule()
    def partial_fit(self):
        if self.try_to(self.estimator.partial_fit, self.table.X) is None:
            self.seen = self.table.frame

    @rule(name=st.sampled_from(OF_ANSWERS), data=st.data())
    def set_params(self, name, data):
        self.estimator.set_params(**{name: data.draw(OF_TRANSFORMER[name])})

    @rule()
    def clone(self):
        copy = clone(self.estimator)
        assert not hasattr(copy, "fitted_model_")
        assert repr(copy) == repr(self.estimator)

    @precondition(lambda self: self.fitted)
    @rule()
    def pickle(self):
        before = self.snapshot()
        self.estimator = pickle.loads(pickle.dumps(self.estimator))
        self.check_unchanged(before)
        count_case()

    # ------------------------------------------------------------------ what goes wrong

    @rule(n_steps=st.integers(0, 2))
    def interrupt_training(self, n_steps):
        """The weights so far are kept, with a warning."""
        step, left = Run.step, [n_steps]

        def interrupted(run, *args):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return step(run, *args)

        with mock.patch.object(Run, "step", interrupted), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            if self.try_to(self.estimator.fit, self.table.X) is None:
                self.seen = self.table.frame

    @rule(where=st.sampled_from(STOPS), error=st.sampled_from([KeyboardInterrupt, MemoryError]))
    def interrupt_the_rest(self, where, error):
        """Before and after the training an interruption leaves everything as it was."""
        before = self.snapshot()
        with mock.patch(where, side_effect=error):
            try:
                self.estimator.fit(self.table.X)
            except (error, ValueError):
                pass
            else:
                raise AssertionError("not interrupted")
        self.check_unchanged(before)
        count_case()

    @rule(how=st.sampled_from(["inf", "no rows", "nested", "parameter", "weights"]))
    def fit_what_is_bad(self, how):
        before = self.snapshot()
        frame, kwargs, params = self.table.frame, {}, {}
        X = self.table.X
        if how == "inf":
            X = np.full(frame.shape, np.inf)
        elif how == "no rows":
            X = frame[:0]
        elif how == "nested":
            X = frame.assign(another=[[1, 2]] * len(frame))
        elif how == "weights":
            kwargs = {"sample_weight": -np.ones(len(frame))}
        else:
            params = {"batch_size": 0}
        old = {name: getattr(self.estimator, name) for name in params}
        self.estimator.set_params(**params)
        for call in (self.estimator.fit, self.estimator.partial_fit):
            _, refusal = attempt(call, X, **kwargs)
            assert refusal is not None
        self.estimator.set_params(**old)
        self.check_unchanged(before)
        count_case()

    # --------------------------------------------------------------------------- answers

    @rule(data=st.data(), seed=SEEDS)
    def answer(self, data, seed):
        is_transformer = isinstance(self.estimator, VAETransformer)
        known = answers.OF_TRANSFORMER if is_transformer else answers.OF_DETECTOR
        function = data.draw(st.sampled_from(known))
        before = self.snapshot()
        found, refusal = attempt(function, self.estimator, self.table, self.seen, seed)
        if not self.fitted:
            assert isinstance(refusal, (NotFittedError, AttributeError))
        elif found is not None:
            again, _ = attempt(function, self.estimator, self.table, self.seen, seed)
            answers.assert_same(again, found)
        self.check_unchanged(before)
        count_case()


@pytest.mark.parametrize("part", range(PARTS))
def test_life(part):
    run_state_machine_as_test(Life, settings=examples(60, stateful_step_count=12))
