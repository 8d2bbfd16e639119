"""MLflow logs a fitted model and loads it; what is loaded answers equally."""

from __future__ import annotations

import numpy as np
import pytest

from skvae import VAEOutlierDetector

mlflow = pytest.importorskip("mlflow")
pytest.importorskip("mlflow.sklearn")

pytestmark = [
    # MLflow's hints on integers, pickles and its own dependencies.
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def trusted(vae, tmp_path_factory):
    """The types of a model that skops lists, all of skvae and of torch.nn."""
    skops = pytest.importorskip("skops.io")
    path = tmp_path_factory.mktemp("skops") / "vae.skops"
    skops.dump(vae, path)
    return skops.get_untrusted_types(file=path)


@pytest.fixture
def tracking(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")


@pytest.mark.parametrize("how", ["skops", "cloudpickle"])
def test_a_logged_model_scores_equally(vae, table, how, trusted, tracking):
    signature = mlflow.models.infer_signature(table, vae.score_samples(table))
    assert signature.inputs.input_names() == list(table)
    trust = {"skops_trusted_types": trusted} if how == "skops" else {}
    with mlflow.start_run():
        mlflow.log_params(vae.get_params(deep=False))
        mlflow.log_metric("score", vae.score(table))
        logged = mlflow.sklearn.log_model(
            vae, name="vae", signature=signature, serialization_format=how, **trust,
            pip_requirements=["skvae"],
        )  # fmt: skip
    back = mlflow.sklearn.load_model(logged.model_uri)
    np.testing.assert_array_equal(back.score_samples(table), vae.score_samples(table))


def test_the_function_of_a_detector_predicts(table, tracking):
    """The pyfunc flavour calls `predict`, with cells of the types of the signature."""
    detector = VAEOutlierDetector(max_iter=2, contamination=0.1, random_state=0).fit(table)
    labels = detector.predict(table)
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            detector, name="detector", signature=mlflow.models.infer_signature(table, labels),
            serialization_format="cloudpickle", pip_requirements=["skvae"],
        )  # fmt: skip
    function = mlflow.pyfunc.load_model(logged.model_uri)
    np.testing.assert_array_equal(function.predict(table), labels)
