"""Stacked training is equivalent to training each model separately."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from components import LATENTS, LIKELIHOODS, OBJECTIVES, PRIORS
from frames import pandas_frame, with_missing_cells

from skvae import ELBO, StudentT, VAEOutlierDetector, VAETransformer
from skvae._estimators.building import initial_models
from skvae._estimators.fitting import encode_table
from skvae._estimators.mode import FitContext, Mode
from skvae._training.loop import Budget, NoMonitor, Split, train_all
from skvae._training.stacking import FlatParameters, Stack

TABLE = with_missing_cells(pandas_frame(90))
K = 3


def parts(**params):
    """Three different models, the rows of the table, and the objective."""
    vae = VAETransformer(K, hidden_layer_sizes=(8,), max_iter=1, random_state=0, **params)
    vae.fit(TABLE)
    model = copy.deepcopy(vae.model_).float().requires_grad_(True).train()
    models = [copy.deepcopy(model) for _ in range(3)]
    generator = torch.Generator().manual_seed(0)
    for other in models[1:]:
        for p in other.parameters():
            p.data += 0.02 * torch.randn(p.shape, generator=generator)
    return models, vae.schema_.encode(vae._read(TABLE), torch.float32), vae.objective_


def gradients(models, rows, objective, noise, **options):
    """The metrics of each model, and its flat gradient."""
    stack = Stack(models, objective)
    losses, metrics = stack.terms(rows, noise, 0.5, **options)
    losses.sum().backward()
    return metrics, stack.flat.grad


def components():
    for name, rows in {"likelihood": LIKELIHOODS, "latent": LATENTS, "prior": PRIORS,
                       "objective": OBJECTIVES}.items():  # fmt: skip
        for component in rows:
            yield pytest.param({name: component}, id=f"{name}-{component}")


@pytest.mark.parametrize("params", list(components()))
@pytest.mark.parametrize("freeze_generative", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_gradients_are_those_of_each_model(params, freeze_generative):
    if getattr(params.get("prior"), "over_codes", False):
        pytest.skip("a prior over codes goes with quantized codes, which do not stack")
    models, rows, objective = parts(**params)
    if not (objective.supports_vmap and models[0].supports_vmap):
        pytest.skip("trained one after the other")
    generator = torch.Generator().manual_seed(1)
    index = torch.randint(len(rows), (3, 40), generator=generator)
    shape = (3, objective.n_samples, 40, models[0].latent.n_noise)
    noise = torch.randn(shape, generator=generator)
    alone = [
        gradients([copy.deepcopy(model)], rows.take(i), objective, eps.unsqueeze(0),
                  freeze_generative=freeze_generative)
        for model, i, eps in zip(models, index, noise, strict=True)
    ]  # fmt: skip
    metrics, grad = gradients(
        models, rows.take(index.flatten()), objective, noise, freeze_generative=freeze_generative
    )
    torch.testing.assert_close(metrics, torch.cat([t for t, _ in alone]), rtol=1e-4, atol=1e-4)
    expected = torch.cat([g for _, g in alone])
    scale = expected.abs().amax(1, keepdim=True)
    torch.testing.assert_close(grad / scale, expected / scale, rtol=1e-3, atol=1e-4)


def test_the_same_rows_for_all_models():
    models, rows, objective = parts()
    noise = torch.randn(2, len(rows), models[0].latent.n_noise)
    stack = Stack(models, objective)
    _, together = stack.terms(rows, noise, 1.0)
    each = torch.cat([Stack([m], objective).terms(rows, noise, 1.0)[1] for m in models])
    torch.testing.assert_close(together, each, rtol=1e-4, atol=1e-4)


def test_best_weights_are_kept_for_each_model():
    flat = FlatParameters(*[torch.nn.Linear(2, 1) for _ in range(2)])
    kept, before = flat.copy(), flat.values.clone()
    flat.values += 1.0
    flat.keep(kept, torch.tensor([False, True]))
    flat.restore(kept)
    torch.testing.assert_close(flat.values[0], before[0])
    torch.testing.assert_close(flat.values[1], before[1] + 1.0)


@pytest.mark.parametrize("params", [{}, {"objective": "iwae"}, {"latent": "finite_scalar"}])
def test_models_differ_and_improve(params):
    models, rows, objective = parts(**params)
    before = [FlatParameters(copy.deepcopy(model)).values for model in models]
    everyone = torch.arange(len(rows))
    split = Split(everyone[:70], None, everyone[70:])
    budget = Budget(30, 32, 4e-3)
    generator = torch.Generator().manual_seed(0)
    results = train_all(models, rows, split, objective, budget, generator, NoMonitor())
    together = objective.supports_vmap and models[0].supports_vmap
    assert len(results) == (1 if together else 3)
    after = [FlatParameters(model).values for model in models]
    assert all(not torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert not torch.equal(after[0], after[1])
    bound = results[0].history["validation_bound"]
    assert max(bound) > bound[0]


def test_stacked_models_are_as_good_as_single_ones():
    rng = np.random.default_rng(0)
    X = np.sin(rng.normal(size=(500, 2)) @ rng.normal(size=(2, 6)))
    X, test = X[:400] + 0.05 * rng.normal(size=(400, 6)), X[400:]
    coarse = StudentT("column", min_scale=0.5)
    quick = {"objective": ELBO(), "likelihood": coarse, "max_iter": 30, "random_state": 0}
    one = VAEOutlierDetector(2, **quick).fit(X)
    four = VAEOutlierDetector(2, n_estimators=4, score_method="mean_log_density", **quick).fit(X)
    assert abs(four.score_samples(test).mean() - one.score_samples(test).mean()) < 0.3
    mixed = four.set_params(score_method="density").score_samples(test)
    assert (mixed >= four.set_params(score_method="mean_log_density").score_samples(test)).all()


def test_training_continues_with_all_models():
    X = np.random.default_rng(0).normal(size=(200, 3))
    detector = VAEOutlierDetector(n_estimators=2, max_iter=2, random_state=0)
    for _ in range(3):
        detector.partial_fit(X)
    assert len(detector.models_) == 2
    with pytest.raises(ValueError, match="n_estimators"):
        detector.set_params(n_estimators=3).partial_fit(X)


@pytest.mark.parametrize("latent", ["gaussian", "flow", "ladder"])
def test_members_share_the_start_and_differ_in_their_hidden_layers(latent):
    vae = VAETransformer(K, latent=latent, hidden_layer_sizes=(8,), random_state=0)
    context = FitContext.of(vae, Mode.NEW)
    data = encode_table(vae, vae._read_for_fit(TABLE, None, Mode.NEW), None, context)
    work = vae, data.schema, context, data.rows, data.split, K
    first, *others = initial_models(*work, 3)
    noise = torch.randn(4, 1, first.latent.n_noise)
    with torch.no_grad():
        log_px, draw = first(data.rows, noise)
        for other in others:
            same, drawn = other(data.rows, noise)
            torch.testing.assert_close(log_px, same)
            torch.testing.assert_close(draw.log_pz, drawn.log_pz)
            assert not torch.equal(first.encoder.layers[0].weight, other.encoder.layers[0].weight)
    first.prior.apply(lambda part: [p.data.zero_() for p in part.parameters()])
    assert torch.equal(others[0](data.rows, noise)[1].log_pz, draw.log_pz)  # no memory is shared
