"""What errors and reasons say."""

import numpy as np
import pytest

from skvae import Normal, VAEOutlierDetector, VAETransformer

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


def test_reasons_say_who_chose_a_likelihood():
    def reasons(estimator):
        return set(estimator.fit(X).likelihood_reasons_.values())

    assert reasons(VAETransformer(1, likelihood=Normal(), **QUICK)) == {"user-specified"}
    assert reasons(VAETransformer(1, objective="embedding", **QUICK)) == {"default of Embedding()"}
    assert reasons(VAEOutlierDetector(1, **QUICK)) == {"default of VAEOutlierDetector"}
    assert reasons(VAETransformer(1, **QUICK)) == {"continuous, no repeated value"}


def test_a_misspelt_parameter_names_the_estimator():
    with pytest.raises(TypeError, match=r"VAETransformer\.__init__"):
        VAETransformer(n_component=2)
    with pytest.raises(TypeError, match=r"VAEOutlierDetector\.__init__"):
        VAEOutlierDetector(n_component=2)


def test_a_list_of_dicts_is_explained():
    with pytest.raises(TypeError, match="list of dicts"):
        VAETransformer(**QUICK).fit([{"a": 1.0}, {"a": 2.0}])
