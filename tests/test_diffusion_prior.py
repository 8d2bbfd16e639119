"""The diffusion prior: exact cases, its density, its draws, its bound, and models that have it."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pytest
import torch
from scipy.stats import kstest
from test_priors import two_moons

import skvae
import skvae.onnx
from skvae import Diffusion, Mixture, StandardNormal, VAETransformer
from skvae._nn.densities import log_mixture
from skvae._nn.velocity import Clock, Velocity, from_noise, initial_parameters, to_noise
from skvae.priors._diffusion_training import SCHEDULES, WEIGHTINGS, Posteriors, Times

MEAN = torch.tensor([[-1.0, 0.5], [1.0, 1.0], [0.5, -1.5]]).double()
VAR = torch.tensor([[0.1, 0.3], [0.4, 0.1], [0.2, 0.2]]).double()
LOG_PROPORTIONS = torch.tensor([0.3, 0.3, 0.4]).double().log()


def draw_mixture(n, generator, less=0.0):
    """Codes of the mixture above, or of one whose variances are less."""
    m = torch.multinomial(LOG_PROPORTIONS.exp(), n, replacement=True, generator=generator)
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return MEAN[m] + (VAR[m] - less).sqrt() * noise


def log_true(z):
    return log_mixture(z, LOG_PROPORTIONS, MEAN, VAR.log())


def trained(mean, log_var, prior, weight=None):
    generator = torch.Generator().manual_seed(0)
    module = prior.build(mean.shape[1], generator)
    weight = torch.ones(len(mean)) if weight is None else weight
    module.finalize(mean.float(), log_var.float(), weight, generator)
    return module.double().requires_grad_(False)


@pytest.fixture(scope="module")
def module():
    """Trained on posteriors whose mixture is the mixture above."""
    mean = draw_mixture(3000, torch.Generator().manual_seed(0), less=0.02)
    prior = Diffusion(n_hidden=32, n_steps=800, guard=StandardNormal())
    return trained(mean, torch.full_like(mean, 0.02).log(), prior)


class OfMixture:
    """The velocity of the mixture, which is known: E[v | z] by the posterior of the component."""

    def __init__(self, tau=None):
        self.clock, self.tau = Clock(torch.tensor(0.3).double()), tau

    def at(self, tau):
        return OfMixture(tau)

    def __call__(self, z):
        angle = self.clock.angle(self.tau)
        cosine, sine = angle.cos(), angle.sin()
        var = cosine**2 * VAR + sine**2
        step = z.unsqueeze(-2) - cosine * MEAN
        log_r = LOG_PROPORTIONS - 0.5 * (step.square() / var + var.log()).sum(-1)
        x = MEAN + cosine * VAR / var * step
        x = (torch.softmax(log_r, -1).unsqueeze(-1) * x).sum(-2)
        return cosine * (z - cosine * x) / sine.clamp(min=1e-9) - sine * x

    def with_divergence(self, z):
        jacobian = torch.func.vmap(torch.func.jacrev(self))(z)
        return self(z), jacobian.diagonal(dim1=-2, dim2=-1).sum(-1)


def of_mixture(n_ode_steps=12):
    """The module with the known velocity in place of a network."""
    module = Diffusion(n_ode_steps=n_ode_steps, guard=StandardNormal()).build(2, torch.Generator())
    module.center, module.standardization = torch.zeros(2).double(), torch.eye(2).double()
    module.velocity = OfMixture
    return module


# ----------------------------------------------------------------------------------- exact cases


def test_the_density_is_that_of_a_known_velocity():
    z = draw_mixture(300, torch.Generator().manual_seed(1))
    torch.testing.assert_close(of_mixture().log_diffusion(z), log_true(z), atol=0.01, rtol=0)
    torch.testing.assert_close(of_mixture(48).log_diffusion(z), log_true(z), atol=1e-4, rtol=0)


def test_the_weighted_loss_is_log_p():
    """With the true velocity the bound is the log-density of each code."""
    z = draw_mixture(200, torch.Generator().manual_seed(1))
    log_gaussian, angle, terms = of_mixture().bound_terms(z, n_times=32, n_draws=512)
    assert (angle.diff() > 0).all()
    assert terms.shape == (32, 200)
    gap = log_gaussian + terms.sum(0) - log_true(z)
    assert float(gap.mean()) == pytest.approx(0, abs=0.01)
    assert float(gap.std()) < 0.05 < float((log_gaussian - log_true(z)).std())


def test_an_untrained_network_is_the_gaussian_of_the_codes():
    generator = torch.Generator().manual_seed(0)
    module = Diffusion(n_hidden=8, guard=StandardNormal()).build(3, generator).double()
    root = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    module.theta = initial_parameters(3, 8, generator).double()
    module.center, module.standardization = torch.arange(3).double(), root
    module.resolution = torch.tensor(0.1).double()
    z = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    covariance = torch.linalg.inv(root.T @ root)
    expected = torch.distributions.MultivariateNormal(module.center, covariance).log_prob(z)
    torch.testing.assert_close(module.log_diffusion(z), expected)
    log_gaussian, _, terms = module.bound_terms(z)
    torch.testing.assert_close(log_gaussian, expected)
    assert not terms.any()


def test_learned_from_correlated_gaussian_codes():
    """Within .01 nat of the truth."""
    generator = torch.Generator().manual_seed(0)
    root = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-0.5, 0.3, 0.4]])
    mean, new = (torch.randn(n, 3, generator=generator) @ root.T + 2 for n in (4000, 4000))
    covariance = root @ root.T + 0.01 * torch.eye(3)
    new = new + 0.1 * torch.randn(new.shape, generator=generator)
    prior = Diffusion(n_hidden=16, n_steps=400, guard=StandardNormal())
    module = trained(mean, torch.full_like(mean, 0.01).log(), prior)
    truth = torch.distributions.MultivariateNormal(torch.full((3,), 2.0), covariance)
    gap = module.log_prob(new.double()) - truth.log_prob(new)
    assert float(gap.mean()) == pytest.approx(0, abs=0.01)


def test_learned_from_codes_of_a_mixture(module):
    z = draw_mixture(4000, torch.Generator().manual_seed(2))
    gap = module.log_prob(z) - log_true(z)
    assert -0.05 < float(gap.mean()) < 0.01
    gaussian, _, _ = module.bound_terms(z[:500], n_times=1, n_draws=1)
    assert float((log_true(z[:500]) - gaussian).mean()) > 0.5  # there was something to learn


def test_learned_in_one_dimension():
    """Within .01 nat of the truth; the mass is 1, and draws have the density's distribution."""
    generator = torch.Generator().manual_seed(0)
    is_first = torch.rand(20_000, 1, generator=generator) < 0.4
    mean = torch.where(is_first, -1.0, 1.0) + 0.3 * torch.randn(is_first.shape, generator=generator)
    prior = Diffusion(n_hidden=32, n_steps=700, guard=StandardNormal())
    module = trained(mean, torch.full_like(mean, 0.04).log(), prior)
    z = torch.linspace(-8, 8, 3201, dtype=torch.float64).unsqueeze(1)
    log_prob, width = module.log_prob(z), float(z[1] - z[0])
    assert float(log_prob.exp().sum() * width) == pytest.approx(1, abs=1e-4)
    center, var = torch.tensor([[-1.0], [1.0]]).double(), torch.full((2, 1), 0.13).double()
    truth = log_mixture(z, torch.tensor([0.4, 0.6]).double().log(), center, var.log())
    assert float((truth.exp() * (truth - log_prob)).sum() * width) < 0.01
    cumulated = np.cumsum(log_prob.exp().numpy()) * width
    draws = module.sample(5000, generator)[:, 0].numpy()
    found = kstest(draws, lambda x: np.interp(x, z[:, 0] + width / 2, cumulated))
    assert found.pvalue > 1e-3


# -------------------------------------------------------------------------- the network, the flow


def random_velocity(k, prediction="velocity"):
    generator = torch.Generator().manual_seed(0)
    theta = initial_parameters(k, 12, generator).double()
    theta = theta + 0.2 * torch.randn(theta.shape, generator=generator)
    return Velocity(theta, k, 12, Clock(torch.tensor(0.1).double()), prediction)


@pytest.mark.parametrize("prediction", ["velocity", "noise"])
@pytest.mark.parametrize("k", [1, 4])
def test_the_divergence_is_the_trace_of_the_jacobian(k, prediction):
    z = torch.randn(6, k, generator=torch.Generator().manual_seed(1)).double()
    field = random_velocity(k, prediction).at(torch.tensor(0.7).double())
    v, divergence = field.with_divergence(z)
    torch.testing.assert_close(v, field(z))
    jacobian = torch.func.vmap(torch.func.jacrev(lambda u: field(u.unsqueeze(0))[0]))(z)
    torch.testing.assert_close(divergence, jacobian.diagonal(dim1=-2, dim2=-1).sum(-1))


def test_the_flow_and_back_and_its_determinant():
    velocity = random_velocity(3)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(1)).double()
    noise, log_determinant = to_noise(velocity, x, 48)
    torch.testing.assert_close(from_noise(velocity, noise, 48), x, atol=1e-4, rtol=0)

    def flow(u):
        return to_noise(velocity, u.unsqueeze(0), 48)[0][0]

    jacobian = torch.func.vmap(torch.func.jacrev(flow))(x)
    torch.testing.assert_close(
        log_determinant, torch.linalg.slogdet(jacobian).logabsdet, atol=1e-4, rtol=0
    )


def test_the_gradient_is_that_of_the_density(module):
    z = draw_mixture(10, torch.Generator().manual_seed(3)).requires_grad_()
    (gradient,) = torch.autograd.grad(module.log_prob(z).sum(), z)
    for i in range(2):
        step = torch.zeros(2).double()
        step[i] = 1e-5
        with torch.no_grad():
            difference = (module.log_prob(z + step) - module.log_prob(z - step)) / 2e-5
        torch.testing.assert_close(gradient[:, i], difference, atol=1e-5, rtol=1e-4)


def test_draws_have_the_moments_of_the_codes(module):
    draws = module.sample(20_000, torch.Generator().manual_seed(0))
    z = draw_mixture(20_000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(draws.mean(0), z.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(draws.T), torch.cov(z.T), atol=0.08, rtol=0)
    assert float(log_true(draws).mean()) == pytest.approx(float(log_true(z).mean()), abs=0.08)


def test_the_bound_is_near_the_density(module):
    z = draw_mixture(200, torch.Generator().manual_seed(4))
    log_gaussian, _, terms = module.bound_terms(z, n_times=32)
    bound = (log_gaussian + terms.sum(0)).mean()
    assert float(bound) == pytest.approx(float(module.log_diffusion(z).mean()), abs=0.05)


def test_diffused_posteriors_and_their_mean_velocity():
    """z and the target are those of draws of x and ε, in their joint second moments."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(2, 2, generator=generator))[0]
    n, var = 200_000, torch.tensor([0.5, 0.1])
    rows = Posteriors(
        torch.tensor([[1.0, -0.5]]), axes.unsqueeze(0), var.unsqueeze(0), torch.ones(1)
    )
    rows = rows.take(torch.zeros(n, dtype=torch.long))
    angle = torch.full((n,), 0.4)
    z, target = rows.diffused(angle, torch.randn(n, 2, generator=generator))
    x = rows.draw(torch.randn(n, 2, generator=generator))
    noise = torch.randn(n, 2, generator=generator)
    drawn = np.cos(0.4) * x + np.sin(0.4) * noise
    v = np.cos(0.4) * noise - np.sin(0.4) * x
    torch.testing.assert_close(z.T @ z / n, drawn.T @ drawn / n, atol=0.01, rtol=0)
    torch.testing.assert_close(z.T @ target / n, drawn.T @ v / n, atol=0.01, rtol=0)
    assert (target.var(0) < v.var(0)).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_times_have_their_density(schedule):
    times = Times(schedule, Clock(torch.tensor(0.1)))
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        tau, _ = times.draw(32, generator)
        times.update(tau, (tau * (1 - tau)).unsqueeze(1))
    tau, density = times.draw(4000, generator)
    assert float((tau.square() / density).mean()) == pytest.approx(1 / 3, abs=0.005)
    if schedule == "cosine":  # uniform angles
        assert float(times.draw(4000, generator)[0].median()) > 0.7


@pytest.mark.parametrize(
    "params",
    [{"weighting": name} for name in WEIGHTINGS if name != "likelihood"]
    + [{"prediction": "noise"}, {"schedule": "cosine"}],
    ids=str,
)
def test_every_parameter_learns(params):
    mean = draw_mixture(1500, torch.Generator().manual_seed(0), less=0.02)
    prior = Diffusion(n_hidden=16, n_steps=300, guard=StandardNormal(), **params)
    module = trained(mean, torch.full_like(mean, 0.02).log(), prior)
    z = draw_mixture(1000, torch.Generator().manual_seed(2))
    log_gaussian, _, _ = module.bound_terms(z, n_times=1, n_draws=1)
    assert float((module.log_diffusion(z) - log_gaussian).mean()) > 0.3


# --------------------------------------------------------------------------------- the guard


def test_the_guard_alone_where_the_diffusion_is_no_better():
    generator = torch.Generator().manual_seed(0)
    mean = 0.5 * torch.randn(600, 2, generator=generator)
    prior = Diffusion(n_hidden=8, n_steps=50, guard=StandardNormal())
    module = trained(mean, torch.full((600, 2), float(np.log(0.75))), prior)
    z = torch.randn(50, 2, generator=generator).double()
    assert not module.is_diffusion
    torch.testing.assert_close(module.log_prob(z), module.guard.log_prob(z))
    few = trained(mean[:40], torch.full((40, 2), -9.0), prior)
    assert not few.is_diffusion


def test_weights_count_as_repetitions():
    """A weight of 0 for one cluster: its codes are not learned."""
    generator = torch.Generator().manual_seed(0)
    mean = 0.2 * torch.randn(1000, 1, generator=generator)
    mean[500:] += 4
    weight = torch.ones(1000)
    weight[500:] = 1e-6
    prior = Diffusion(n_hidden=8, n_steps=50, guard=StandardNormal())
    module = trained(mean, torch.full((1000, 1), -4.0), prior, weight)
    assert float(module.center) == pytest.approx(0, abs=0.05)
    assert module.log_prob(torch.tensor([[4.0]]).double()) < -5


def test_what_is_no_guard():
    for guard in (Diffusion(), skvae.Aggregated(), skvae.Autoregressive()):
        with pytest.raises(ValueError, match="'guard' parameter of Diffusion must be None or"):
            VAETransformer(prior=Diffusion(guard=guard)).fit(two_moons(50))
    with pytest.raises(ValueError, match="'weighting' parameter of Diffusion must be one of"):
        VAETransformer(prior=Diffusion(weighting="elbo")).fit(two_moons(50))


# ------------------------------------------------------------------------------ models that have it

PRIOR = Diffusion(n_hidden=24, n_steps=500, n_ode_steps=6, guard=Mixture(2))


@pytest.fixture(scope="module")
def vae():
    model = VAETransformer(2, prior=PRIOR, hidden_layer_sizes=(32,), random_state=0)
    model.fit(two_moons(800))
    assert model.model_.prior.is_diffusion
    return model


def test_answers_of_a_model(vae):
    X = two_moons(60, seed=1)
    scores = vae.score_samples(X)
    assert np.array_equal(scores, vae.score_samples(X))
    order = np.random.default_rng(0).permutation(60)[:25]
    np.testing.assert_allclose(vae.score_samples(X[order]), scores[order], rtol=1e-9)
    incomplete = X.copy()
    incomplete[::2, 0] = np.nan
    assert np.isfinite(vae.impute(incomplete)).all()
    assert np.isfinite(vae.score_samples(incomplete)).all()
    drawn = vae.sample(50, random_state=0)
    assert np.array_equal(drawn, vae.sample(50, random_state=0))
    given = vae.sample(20, random_state=0, given={"x0": 0.5})
    assert (np.asarray(given)[:, 0] == 0.5).all()


def test_draws_around_the_guard_are_weighted_by_the_prior(vae):
    """The same log-density with draws from q(z | x), which do not know the guard."""
    X = two_moons(40, seed=1)
    around = vae.score_samples(X, return_std=True)
    plain = VAETransformer.__new__(VAETransformer)
    plain.__dict__.update(vae.__dict__, n_refinement_steps=0, n_importance_samples=1024)
    assert float(np.mean(plain.score_samples(X) - around[0])) == pytest.approx(0, abs=0.05)


def test_saved_pickled_and_hashed(vae, tmp_path):
    X = two_moons(30, seed=1)
    vae.save(tmp_path / "vae.skvae")
    for other in (skvae.load(tmp_path / "vae.skvae"), pickle.loads(pickle.dumps(vae))):
        assert np.array_equal(other.score_samples(X), vae.score_samples(X))
        assert np.array_equal(other.sample(30, random_state=1), vae.sample(30, random_state=1))
        assert other.prior_ == PRIOR
    assert joblib.hash(PRIOR) == joblib.hash(skvae.Diffusion(**PRIOR.get_params(deep=False)))


@pytest.mark.slow
def test_exported(vae, tmp_path):
    """The ODE is a part of the graph."""
    runtime = pytest.importorskip("onnxruntime")
    skvae.onnx.export(vae, tmp_path / "score.onnx", "score", n_draws=3)
    X = two_moons(7, seed=1)
    (found,) = runtime.InferenceSession(tmp_path / "score.onnx").run(["score"], {"X": X})
    plain = VAETransformer.__new__(VAETransformer)
    plain.__dict__.update(vae.__dict__, n_refinement_steps=0, n_importance_samples=3)
    np.testing.assert_allclose(found, plain.score_samples(X), rtol=1e-9)


@pytest.mark.slow
def test_batches_continue_the_training():
    X = two_moons(900)
    model = VAETransformer(2, prior=PRIOR, hidden_layer_sizes=(32,), random_state=0)
    for part in np.split(X, 3):
        model.partial_fit(part)
        assert np.isfinite(model.score(X[:50]))
    np.testing.assert_allclose(model.sample(2000, 0).std(0), X.std(0), rtol=0.25)


def test_latents_without_a_linearization():
    """Draws are refined by gradients through the ODE."""
    prior = Diffusion(n_hidden=8, n_steps=100, n_ode_steps=4, guard=Mixture(5))
    params = {"max_iter": 5, "random_state": 0, "n_importance_samples": 8}
    model = VAETransformer(2, latent="ladder", prior=prior, **params).fit(two_moons(300))
    outlying = np.array([[5.0, -5.0], [0.5, 0.2]])
    assert np.isfinite(model.score_samples(outlying)).all()
