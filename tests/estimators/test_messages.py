"""What errors and reasons say."""

import warnings

import numpy as np
import pytest

from skvae import ImportanceWarning, Normal, VAEOutlierDetector, VAETransformer
from skvae._estimators.density import warn_of_weak_rows
from skvae._inference.importance import InferenceSettings
from skvae._validation import did_you_mean

QUICK = {"max_iter": 1, "hidden_layer_sizes": (4,), "random_state": 0}
X = np.random.default_rng(0).normal(size=(60, 2))


@pytest.mark.parametrize(
    ("parameter", "value", "meant"),
    [
        ("prior", "gaussian", "standard_normal"),
        ("likelihood", "Gaussian", "normal"),
        ("latent", "vq", "quantized"),
        ("objective", "vae", "elbo"),
        ("prior", "mixtur", "mixture"),
    ],
)
def test_other_names_of_a_component_are_understood(parameter, value, meant):
    with pytest.raises(ValueError, match=f"Did you mean '{meant}'"):
        VAETransformer(**{parameter: value}, **QUICK).fit(X)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("bodymass", "body_mass_g"), ("SPECIES", "species"), ("iland", "island"), ("sxe", "sex"),
        ("x00", "x0"), ("price", None), ("income", None), ("mass", None), ("", None),
    ],
)  # fmt: skip
def test_hints_are_at_names_that_are_nearly_the_same(name, meant):
    known = ["species", "island", "body_mass_g", "sex", "x0", "prior", "inches", "class", "year", 7]
    hint = did_you_mean(name, known)
    assert hint == ("" if meant is None else f" Did you mean {meant!r}?")


def test_reasons_say_who_chose_a_likelihood():
    def reasons(estimator):
        return set(estimator.fit(X).likelihood_reasons_.values())

    assert reasons(VAETransformer(1, likelihood=Normal(), **QUICK)) == {"user-specified"}
    assert reasons(VAETransformer(1, objective="embedding", **QUICK)) == {"default of Embedding()"}
    assert reasons(VAEOutlierDetector(1, **QUICK)) == {"default of VAEOutlierDetector"}
    assert reasons(VAETransformer(1, **QUICK)) == {
        "continuous, no value far more frequent than others"
    }


def test_a_misspelt_parameter_names_the_estimator():
    with pytest.raises(TypeError, match=r"VAETransformer\.__init__"):
        VAETransformer(n_component=2)
    with pytest.raises(TypeError, match=r"VAEOutlierDetector\.__init__"):
        VAEOutlierDetector(n_component=2)


def test_a_list_of_dicts_is_explained():
    with pytest.raises(TypeError, match="list of dicts"):
        VAETransformer(**QUICK).fit([{"a": 1.0}, {"a": 2.0}])


@pytest.mark.parametrize(("error", "warns"), [(0.008, False), (0.4, True)])
def test_draws_of_little_weight_are_warned_of_by_their_error(error, warns):
    """Where the score is accurate all the same, as of collinear columns, there is no warning."""
    settings = InferenceSettings(64, 10)
    ess = np.where(np.arange(100) < 42, 1.5, 30.0)
    checked = []

    def std(rows):
        checked.extend(rows)
        return np.full(len(rows), error)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_weak_rows(ess, settings, "scores of", std)
    assert [w.category for w in caught] == [ImportanceWarning] * warns
    assert set(checked) == set(range(42))


def test_scores_of_shifted_rows_still_warn():
    vae = VAETransformer(1, n_importance_samples=16, n_refinement_steps=0, **QUICK).fit(X)
    with pytest.warns(ImportanceWarning, match="likely too low"):
        vae.score_samples(60 * X)
