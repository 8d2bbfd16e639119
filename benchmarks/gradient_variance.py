"""How noisy are the two gradient estimators?

Against closed forms: q = N(μ, I) and f(z) = ‖z‖², whose mean has the gradient 2μ. A draw of the
reparameterized gradient has variance 4 in each dimension, one of the score function μ⁴ + 14 μ² + 15
in one dimension, and 15 + 8 (d − 1) + (d − 1)² in d dimensions at μ = 0.

And on a fitted model: variance of the gradient of the encoder's last layer over draws of the noise,
for the same batch, summed over the parameters, at the closed-form start and after training.

    python benchmarks/gradient_variance.py [--draws 4000000] [--picture docs/gradient_variance.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from skvae import ELBO, VAETransformer
from skvae.latents.gaussian import log_normal
from skvae.objectives import score_function

DIMENSIONS = (1, 2, 4, 8, 16)
MEANS = (0.0, 0.5, 1.0, 2.0)
REPEATS, ROWS = 400, 64
ESTIMATORS = {
    "reparameterization, 1 draw": (ELBO(), 1),
    "reparameterization, 8 draws": (ELBO(), 8),
    "score function, 1 draw, other rows as baseline": (ELBO(gradient="score_function"), 1),
    "score function, 8 draws, left out": (ELBO(gradient="score_function"), 8),
}


def reparameterized(f: Callable, mean: Tensor, noise: Tensor) -> Tensor:
    mean = mean.expand_as(noise).clone().requires_grad_(True)
    return torch.autograd.grad(f(mean + noise).sum(), mean)[0]


def by_score_function(f: Callable, mean: Tensor, noise: Tensor) -> Tensor:
    mean = mean.expand_as(noise).clone().requires_grad_(True)
    z = (mean + noise).detach()
    log_qz = log_normal(z, mean, torch.zeros_like(mean)).sum(-1)
    return torch.autograd.grad(score_function(f(z), log_qz).sum(), mean)[0]


def closed_forms(n_draws: int) -> list[tuple[str, float, float, float, float]]:
    """Case, exact and measured variance of the score function and of the reparameterization."""
    cases = [(f"μ = {mu}", mu, 1, mu**4 + 14 * mu**2 + 15) for mu in MEANS]
    cases += [(f"{d} dimensions", 0.0, d, 15 + 8 * (d - 1) + (d - 1) ** 2) for d in DIMENSIONS[1:]]
    generator, found = torch.Generator().manual_seed(0), []
    for name, mu, d, exact in cases:
        noise = torch.randn(n_draws // d, d, generator=generator, dtype=torch.float64)
        mean = torch.full((d,), mu, dtype=torch.float64)
        variances = [
            float(gradient(lambda z: z.square().sum(-1), mean, noise).var(0).mean())
            for gradient in (by_score_function, reparameterized)
        ]
        assert abs(variances[0] / exact - 1) < 0.03, name
        assert abs(variances[1] / 4 - 1) < 0.03, name
        found.append((name, exact, variances[0], 4.0, variances[1]))
    return found


def of_a_model(vae: VAETransformer, X: np.ndarray) -> dict[str, float]:
    """Summed variance of the gradient of the encoder's last layer, for each estimator."""
    model, rows = vae.model_, vae.fitted_model_.encode(X[:ROWS])
    head = model.latent.head.weight.requires_grad_(True)
    found = {}
    for name, (objective, k) in ESTIMATORS.items():
        gradients = []
        for seed in range(REPEATS):
            generator = torch.Generator().manual_seed(seed)
            shape = (k, len(rows), model.latent.n_noise)
            noise = torch.randn(shape, generator=generator, dtype=torch.float64)
            log_px, draw = model(rows, noise, objective.detach_z)
            bound = objective.bound(log_px, draw, 1.0).mean()
            gradients.append(torch.autograd.grad(bound, head)[0])
        found[name] = float(torch.stack(gradients).var(0).sum())
    head.requires_grad_(False)
    return found


def picture(exact: list, models: dict[str, dict[str, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    d = np.linspace(1, max(DIMENSIONS), 100)
    left.plot(d, 15 + 8 * (d - 1) + (d - 1) ** 2, color="#d9703c", label="score function")
    left.plot(d, np.full_like(d, 4), color="#3b6fb6", label="reparameterization")
    measured = [exact[MEANS.index(0.0)], *exact[len(MEANS) :]]
    left.plot(DIMENSIONS, [case[2] for case in measured], "o", color="#d9703c")
    left.plot(DIMENSIONS, [case[4] for case in measured], "o", color="#3b6fb6", label="measured")
    left.set(yscale="log", xlabel="Dimensions of z", ylabel="Variance of one draw, each dimension",
             title="f(z) = ‖z‖²: closed forms and draws")  # fmt: skip
    left.legend(frameon=False)
    colors = ["#3b6fb6", "#8fb0dc", "#d9703c", "#ecb596"]
    for i, (name, color) in enumerate(zip(ESTIMATORS, colors, strict=True)):
        place = np.arange(len(models)) + 0.2 * (i - 1.5)
        right.bar(place, [m[name] for m in models.values()], 0.18, color=color, label=name)
    right.set(yscale="log", title="Encoder of a VAE, 8 columns", ylabel="Variance of the gradient")
    right.set_xticks(range(len(models)), list(models))
    right.set_ylim(top=right.get_ylim()[1] * 60)
    right.legend(frameon=False, fontsize=8)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=4_000_000)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    exact = closed_forms(options.draws)
    print("| case | score function, exact | measured | reparameterized, exact | measured |")
    print("|---|---:|---:|---:|---:|")
    for name, *values in exact:
        print(f"| {name} | " + " | ".join(f"{v:.3f}" for v in values) + " |")

    rng = np.random.default_rng(0)
    X = np.tanh(rng.normal(size=(2000, 3)) @ rng.normal(size=(3, 8)))
    X += 0.2 * rng.normal(size=X.shape)
    params = {"n_components": 4, "prior": "standard_normal", "random_state": 0}
    models = {
        "at the start": VAETransformer(max_iter=1, learning_rate_init=1e-12, **params).fit(X),
        "fitted": VAETransformer(**params).fit(X),
    }
    found = {name: of_a_model(vae, X) for name, vae in models.items()}
    print("\n| estimator | " + " | ".join(found) + " |")
    print("|---|" + "---:|" * len(found))
    for name in ESTIMATORS:
        print(f"| {name} | " + " | ".join(f"{one[name]:.4g}" for one in found.values()) + " |")
    if options.picture:
        picture(exact, found, options.picture)


if __name__ == "__main__":
    main()
