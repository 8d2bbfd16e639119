"""Each prior is a density over codes: mass, draws, closed forms, and what it learns."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from components import PRIORS
from torch.distributions import Distribution

from skvae import (
    Aggregated,
    Autoregressive,
    FlowPrior,
    Gaussian,
    Mixture,
    StandardNormal,
    VAETransformer,
)
from skvae._nn.noise import priority
from skvae._nn.zuko import autoregressive_flow

OVER_VECTORS = [prior for prior in PRIORS if not prior.over_codes]
ids = [repr(prior) for prior in OVER_VECTORS]


def two_moons(n, seed=0, noise=0.08):
    rng = np.random.default_rng(seed)
    t = rng.uniform(0, np.pi, size=n)
    upper = rng.random(n) < 0.5
    X = np.column_stack([np.where(upper, np.cos(t), 1 - np.cos(t)),
                         np.where(upper, np.sin(t), 0.5 - np.sin(t))])  # fmt: skip
    return X + noise * rng.normal(size=X.shape)


def posteriors(n=400, seed=0):
    """Codes in two clusters, as the posteriors of rows."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(n, 2, generator=generator) * torch.tensor([0.4, 0.2])
    mean[: n // 3] += torch.tensor([1.5, -1.0])
    return mean, torch.full((n, 2), -3.0), generator


def built(prior, stage):
    mean, log_var, generator = posteriors()
    module = prior.build(2, generator)
    if stage != "built":
        module.initialize(mean, log_var, generator)
        for parameter in module.parameters():  # as after some training
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    if stage == "finished":
        module.finalize(mean, log_var, torch.ones(len(mean)), generator)
    return module.double().requires_grad_(False)


@pytest.mark.parametrize("stage", ["built", "started", "finished"])
@pytest.mark.parametrize("prior", OVER_VECTORS, ids=ids)
def test_mass_is_one_and_draws_follow(prior, stage):
    module = built(prior, stage)
    axis = torch.linspace(-9, 9, 721, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    log_prob = module.log_prob(grid)
    mass = log_prob.exp() * float(axis[1] - axis[0]) ** 2
    assert float(mass.sum()) == pytest.approx(1, abs=1e-3)
    draws = module.sample(40_000, torch.Generator().manual_seed(1))
    assert draws.shape == (40_000, 2)
    # entropy and moments of the draws are those of the density
    own = module.log_prob(draws)
    error = 4 * float(own.std()) / 200
    assert float(own.mean()) == pytest.approx(float((mass * log_prob).sum()), abs=error)
    mean = mass @ grid
    torch.testing.assert_close(draws.mean(0), mean, atol=0.04, rtol=0)
    spread = (mass @ (grid - mean).square()).sqrt()
    torch.testing.assert_close(draws.std(0), spread, atol=0.04, rtol=0)


@pytest.mark.parametrize("prior", OVER_VECTORS, ids=ids)
def test_closed_form_kl_is_the_monte_carlo_kl(prior):
    module = built(prior, "started")
    mean, log_var = torch.tensor([[0.3, -1.2]]).double(), torch.tensor([[-2.0, 0.5]]).double()
    kl = module.kl(mean, log_var)
    if kl is None:
        assert not isinstance(prior, StandardNormal)
        return
    noise = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(0)).double()
    z = mean + (0.5 * log_var).exp() * noise
    log_qz = -0.5 * (noise.square() + log_var + np.log(2 * np.pi)).sum(-1)
    difference = log_qz - module.log_prob(z)
    error = float(difference.std()) / np.sqrt(len(difference))
    assert abs(float(difference.mean() - kl.sum())) < 3 * error


def test_mixture_starts_at_the_clusters():
    mean, log_var, generator = posteriors()
    module = Mixture(n_components=2).build(2, generator)
    module.initialize(mean, log_var, generator)
    proportions = torch.softmax(module.logits, 0).sort().values
    torch.testing.assert_close(proportions, torch.tensor([1 / 3, 2 / 3]), atol=0.02, rtol=0)
    assert module.log_prob(mean).mean() > StandardNormal().build(2, generator).log_prob(mean).mean()


def test_mixture_is_small_on_a_small_table():
    mean, log_var, generator = posteriors(n=100)
    module = Mixture(n_components=50).build(2, generator)
    module.initialize(mean, log_var, generator)
    assert len(module.mean) == 2


def test_aggregated_posterior_on_new_codes():
    """The density of new codes is as estimated by leave-one-out: exemplar_bias is the gap."""
    mean, log_var, generator = posteriors(n=1000)
    module = Aggregated(n_exemplars=1000, guard=StandardNormal()).build(2, generator)
    module.initialize(mean, log_var, generator)
    module.finalize(mean, log_var, torch.ones(len(mean)), generator)
    assert (module.bandwidth > 0.01).all()
    assert (module.bandwidth < 0.5).all()
    assert torch.sigmoid(module.guard_logit) < 0.1
    fresh, _, _ = posteriors(n=4000, seed=1)
    fresh = fresh + np.exp(-1.5) * torch.randn(fresh.shape, generator=generator)
    used = mean + np.exp(-1.5) * torch.randn(mean.shape, generator=generator)
    gap = float(module.log_prob(used).mean() - module.log_prob(fresh).mean())
    assert 0 < module.exemplar_bias < 0.2
    assert module.exemplar_bias == pytest.approx(gap, abs=0.08)


def test_flow_starts_as_the_standard_normal():
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(100, 3, generator=generator)
    flow = FlowPrior().build(3, generator)
    expected = StandardNormal().build(3, generator).log_prob(z)
    torch.testing.assert_close(flow.log_prob(z), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["spline", "affine"])
def test_flows_have_no_side_effects(kind):
    """On the global random state and torch.distributions; the generator sets the parameters."""
    before, validates = torch.get_rng_state(), Distribution._validate_args
    flows = [
        autoregressive_flow(kind, 3, 2, (8,), 4, torch.Generator().manual_seed(s), n_context=2)
        for s in (0, 0, 1)
    ]
    assert torch.equal(before, torch.get_rng_state())
    assert Distribution._validate_args == validates
    first, again, other = (torch.cat([p.flatten() for p in f.parameters()]) for f in flows)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("n_positions", [1, 2, 4])
def test_a_prior_over_codes_sums_to_one_and_draws_follow(n_positions):
    generator = torch.Generator().manual_seed(0)
    module = Autoregressive((16,)).build(n_positions, generator, n_codes=3)
    for parameter in module.parameters():  # as after some training
        parameter.data += 0.5 * torch.randn(parameter.shape, generator=generator)
    module = module.double().requires_grad_(False)
    every = torch.cartesian_prod(*[torch.arange(3)] * n_positions).view(-1, n_positions)
    p = module.log_prob(every).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-9)
    draws = module.sample(30_000, generator)
    place = 3 ** torch.arange(n_positions - 1, -1, -1)
    proportion = torch.bincount((draws * place).sum(1), minlength=len(every)) / len(draws)
    assert float(((proportion - p).square() / p).sum() * len(draws)) < 2.5 * len(every) + 10  # chi²


@pytest.mark.parametrize(
    "prior",
    ["aggregated", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mixture", "flow"))],
)
@pytest.mark.slow
def test_richer_priors_learn_two_moons(prior):
    """Higher density on new rows, and draws that stay on the moons."""
    X, new = two_moons(1000), two_moons(1000, seed=1)
    params = {"n_components": 2, "hidden_layer_sizes": (64,), "random_state": 0}
    rich = VAETransformer(prior=prior, **params).fit(X)
    plain = VAETransformer(prior="standard_normal", **params).fit(X)
    assert rich.score(new) > plain.score(new) + 0.05
    np.testing.assert_allclose(rich.sample(4000, 0).std(0), X.std(0), rtol=0.1)
    off = [np.quantile(_distance(v.sample(8000, 0), X), 0.95) for v in (rich, plain)]
    assert off[0] < off[1]


def _distance(A, B):
    """From each row of A to the nearest of B."""
    return np.sqrt(((A[:, None] - B[None]) ** 2).sum(-1)).min(1)


def test_aggregated_is_no_guard():
    with pytest.raises(ValueError, match="'guard' parameter of Aggregated"):
        VAETransformer(prior=Aggregated(guard=Aggregated())).fit(two_moons(50))


def test_equal_rows_are_one_exemplar():
    """Every row twice, or with weight 2, gives the same exemplars and bandwidths as once."""
    mean, log_var, _ = posteriors()
    bandwidths = []
    for weight in (1.0, 2.0):
        generator = torch.Generator().manual_seed(0)
        module = Aggregated().build(2, generator)
        module.finalize(mean, log_var, torch.full((len(mean),), weight), generator)
        bandwidths.append(module.bandwidth)
    torch.testing.assert_close(*bandwidths, rtol=1e-3, atol=0)
    X = two_moons(150)
    params = {"n_components": 2, "max_iter": 3, "random_state": 0}
    twice = VAETransformer(**params).fit(np.tile(X, (2, 1))).model_.prior
    weighted = VAETransformer(**params).fit(X, sample_weight=np.full(150, 2.0)).model_.prior
    assert len(twice.mean) <= 150
    assert float(twice.weight.max()) == 2
    torch.testing.assert_close(weighted.bandwidth, twice.bandwidth)


def test_partial_fit_adds_exemplars():
    X = two_moons(600)
    vae = VAETransformer(2, prior=Aggregated(n_exemplars=250), random_state=0)
    for i, part in enumerate(np.split(X, 6)):
        vae.partial_fit(part)
        assert len(vae.model_.prior.mean) == min(100 * (i + 1), 250)
    np.testing.assert_allclose(vae.sample(2000, 0).std(0), X.std(0), rtol=0.2)


def test_a_family_can_reject_a_prior():
    class Choosy(Gaussian):
        def check_partners(self, prior, objective):
            if not isinstance(prior, StandardNormal):
                raise ValueError(
                    f"latent='choosy' goes with prior='standard_normal', not {prior!r}."
                )

    with pytest.raises(ValueError, match=r"goes with prior='standard_normal', not Mixture\(\)"):
        VAETransformer(latent=Choosy(), prior="mixture").fit(two_moons(50))
    VAETransformer(latent=Choosy(), prior="standard_normal", max_iter=1).fit(two_moons(50))


def test_a_guard_is_over_vectors():
    with pytest.raises(ValueError, match="'guard' parameter of Aggregated must be None or"):
        VAETransformer(prior=Aggregated(guard=Autoregressive())).fit(two_moons(50))


def test_the_bandwidth_has_the_best_leave_one_out_likelihood():
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(300, 2, generator=generator) * torch.tensor([1.0, 3.0])
    prior = Aggregated(n_exemplars=300, guard=StandardNormal()).build(2, generator).eval()
    prior.finalize(mean, torch.full((300, 2), -6.0), torch.ones(300), generator)
    z = prior.mean + prior.var.sqrt() * torch.randn(prior.mean.shape, generator=generator)

    def left_out(factor):
        log_weight = prior._log_weights_of_others(torch.arange(300), copies=True)
        log_bandwidth = prior.bandwidth.log() + torch.log(torch.tensor(factor))
        return float(prior._leave_one_out(z, log_bandwidth, log_weight)[-1].mean())

    best = left_out([1.0, 1.0])
    for factor in ([2.0, 1.0], [0.5, 1.0], [1.0, 2.0], [1.0, 0.5]):
        assert left_out(factor) < best


def test_the_bandwidth_adds_no_variance():
    """A kernel density of skewed codes is drawn with their spread, and integrates to one."""
    rng = np.random.default_rng(0)
    mean = torch.from_numpy(np.exp(rng.normal(size=(500, 1))))
    prior = Aggregated().build(1, torch.Generator().manual_seed(0)).double().requires_grad_(False)
    prior.mean, prior.var = mean, torch.full_like(mean, 0.01)
    prior.weight, prior.bandwidth = torch.ones(500).double(), torch.tensor([0.8]).double()
    prior.guard_logit, prior.uses_exemplars = torch.tensor(-50.0).double(), True
    prior.eval()
    variance = mean.var(correction=0) + 0.01
    torch.testing.assert_close(prior.centers().mean(), mean.mean())
    drawn = prior.sample(200_000, torch.Generator().manual_seed(1))
    assert float(drawn.var()) == pytest.approx(float(variance), rel=0.03)
    z = torch.linspace(-10, 60, 7001).double().unsqueeze(1)
    assert float(prior.log_prob(z).exp().sum() * 0.01) == pytest.approx(1, abs=1e-3)
    mixture = prior.as_mixture()
    log_normals = -0.5 * ((z - mixture.mean.T) ** 2 / mixture.log_var.exp().T
                          + mixture.log_var.T + np.log(2 * np.pi))  # fmt: skip
    expected = torch.logsumexp(log_normals + mixture.log_proportions, 1)
    torch.testing.assert_close(prior.log_prob(z), expected)


def test_repetitions_are_evidence():
    """Three rows of which each occurs often: p(z) is the mixture of their posteriors."""
    mean, log_var = torch.tensor([[-2.0], [0.0], [2.0]]), torch.full((3, 1), -6.0)
    module = Aggregated(guard=StandardNormal()).build(1, torch.Generator().manual_seed(0))
    weight, generator = torch.tensor([300.0, 100.0, 600.0]), torch.Generator().manual_seed(0)
    module.finalize(mean, log_var, weight, generator, copies=False)
    assert torch.sigmoid(module.guard_logit) < 0.05
    assert module.bandwidth < 0.02
    log_peak = (weight / 1000).log() - 0.5 * (np.log(2 * np.pi) + log_var[:, 0])
    torch.testing.assert_close(module.log_prob(mean), log_peak, atol=0.1, rtol=0)


def test_copies_are_left_out_together():
    """Every row five times: as copies they say nothing of other rows, so the bandwidth is wide."""
    mean, log_var, _ = posteriors()
    bandwidth = {}
    for copies in (True, False):
        module = Aggregated(guard=StandardNormal()).build(2, torch.Generator().manual_seed(0))
        weight, generator = torch.full((len(mean),), 5.0), torch.Generator().manual_seed(0)
        module.finalize(mean, log_var - 4, weight, generator, copies=copies)
        bandwidth[copies] = float(module.bandwidth.mean())
    assert bandwidth[True] > 5 * bandwidth[False]


def test_the_guard_alone_where_exemplars_do_not_help():
    generator = torch.Generator().manual_seed(0)
    mean = 0.5 * torch.randn(1000, 3, generator=generator)
    log_var = torch.full((1000, 3), float(np.log(0.75)))
    module = Aggregated(guard=StandardNormal()).build(3, generator).eval()
    module.finalize(mean, log_var, torch.ones(1000), generator)
    z = torch.randn(50, 3, generator=generator)
    assert not module.has_exemplars
    assert module.exemplar_bias == 0
    torch.testing.assert_close(module.log_prob(z), module.guard.log_prob(z))


def test_a_dense_cluster_of_outliers_is_left_out():
    generator = torch.Generator().manual_seed(0)
    bulk = torch.randn(950, 4, generator=generator)
    cluster = torch.tensor([7.0, 0, 0, 0]) + 0.1 * torch.randn(50, 4, generator=generator)
    mean, log_var = torch.cat([bulk, cluster]), torch.full((1000, 4), -4.0)
    at_cluster = {}
    for trim in (0.0, 0.2):
        module = Aggregated(guard=StandardNormal(), trim=trim).build(4, generator).eval()
        module.finalize(mean, log_var, torch.ones(1000), torch.Generator().manual_seed(0))
        at_cluster[trim] = float(module.log_prob(cluster).mean())
        assert len(module.mean) > 900
    assert at_cluster[0.0] > -6
    assert at_cluster[0.2] < -15


def batch_of(i, n=400):
    """Posteriors of the rows of a batch, which are near (10 i, 0), and their weights."""
    generator = torch.Generator().manual_seed(i)
    mean = torch.randn(n, 2, generator=generator) + torch.tensor([10.0 * i, 0.0])
    return mean, torch.full((n, 2), -3.0), torch.ones(n), generator


def hashes(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-(2**63), 2**63 - 1, (n,), generator=generator)


@pytest.mark.parametrize("with_keys", [True, False])
def test_batches_of_equal_size_have_equal_proportions(with_keys):
    """The exemplars are a uniform sample of all batches: earlier ones are not forgotten."""
    module = Aggregated(n_exemplars=500).build(2, torch.Generator().manual_seed(0))
    for i in range(8):
        options = {"keys": hashes(400, seed=i)} if with_keys else {}
        module.finalize(*batch_of(i), continued=i > 0, **options)
    assert len(module.mean) == 500
    batch = (module.mean[:, 0] / 10).round().long()
    proportion = torch.zeros(8).index_add(0, batch, module.weight) / module.weight.sum()
    error = np.sqrt(1 / 8 * 7 / 8 / 500)
    assert float((proportion - 1 / 8).abs().max()) < 4 * error


def test_passes_over_the_same_rows_leave_the_prior_as_it_is():
    """A repeated row replaces its exemplar and does not reduce the bandwidth."""
    mean, log_var, weight, _ = batch_of(0)
    keys = hashes(400)
    module = Aggregated(n_exemplars=500).build(2, torch.Generator().manual_seed(0))
    found = []
    for i in range(5):
        order = torch.randperm(400, generator=torch.Generator().manual_seed(i))
        generator = torch.Generator().manual_seed(0)
        module.finalize(mean[order], log_var, weight, generator, keys=keys[order], continued=i > 0)
        found.append(module.bandwidth)
    assert len(module.mean) == 400
    assert (module.weight == 5).all()
    torch.testing.assert_close(found[-1], found[0], rtol=1e-3, atol=0)


def test_a_row_that_is_seen_again_has_its_new_posterior():
    mean, log_var, weight, generator = batch_of(0)
    module = Aggregated(n_exemplars=300).build(2, generator)
    module.finalize(mean, log_var, weight, generator, keys=hashes(400))
    old = dict(zip(module.key.tolist(), module.mean[:, 0].tolist(), strict=True))
    again = hashes(400)[:50]
    module.finalize(
        mean[:50] + 1, log_var[:50], 2 * weight[:50], generator, keys=again, continued=True
    )
    seen = torch.isin(module.key, again)
    expected = torch.tensor([old[key] for key in module.key.tolist()]) + seen
    torch.testing.assert_close(module.mean[:, 0], expected)
    assert torch.equal(module.weight, torch.where(seen, 3.0, 1.0))


def test_exemplars_depend_on_the_rows_alone():
    """Not on their order or their batches; the weights are exact."""
    mean, log_var, weight, _ = batch_of(0, 2000)
    keys = hashes(2000)
    twice = torch.arange(0, 2000, 3)
    repeated = torch.cat([torch.arange(2000), twice])
    modules = [Aggregated(n_exemplars=150).build(2, torch.Generator()) for _ in range(2)]
    weight[twice] = 2.0
    modules[0].finalize(mean, log_var, weight, torch.Generator().manual_seed(0), keys=keys)
    order = torch.randperm(len(repeated), generator=torch.Generator().manual_seed(1))
    for i, part in enumerate(repeated[order].split(100)):
        rows, counts = part.unique(return_counts=True)
        generator = torch.Generator().manual_seed(0)
        modules[1].finalize(
            mean[rows], log_var[rows], counts, generator, keys=keys[rows], continued=i > 0
        )
    for name in ("key", "mean", "var", "weight", "bandwidth", "guard_logit"):
        torch.testing.assert_close(getattr(modules[0], name), getattr(modules[1], name))


def test_keys_are_kept_with_the_model():
    mean, log_var, weight, generator = batch_of(0)
    module = Aggregated(n_exemplars=100).build(2, generator)
    module.finalize(mean, log_var, weight, generator, keys=hashes(400))
    for other in (copy.deepcopy(module).double().float(), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other.key, module.key)
    assert (priority(module.key).diff() > 0).all()


def test_priority_is_the_finalizer_of_splitmix64():
    expected = [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1, 0x975835DE1C9756CE]  # of 0, 1 and 2
    assert [p % 2**64 for p in priority(torch.arange(3)).tolist()] == expected
