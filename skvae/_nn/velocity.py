r"""The velocity field of a diffusion, its exact divergence, and the flow along it.

A code x with standardized coordinates becomes noise ε along a quarter of a circle,

.. math:: z_\phi = \cos\phi\, x + \sin\phi\, \epsilon, \qquad
    v = \frac{d z_\phi}{d \phi} = \cos\phi\, \epsilon - \sin\phi\, x,
    \qquad 0 \le \phi \le \pi / 2,

the variance-preserving diffusion with the angle as its time (Salimans & Ho 2022). The mean velocity
:math:`v(z, \phi) = E[v | z_\phi = z]` moves the density of x into the standard normal: its flow is
the probability-flow ODE. Of a standard normal x it is 0, so a network that is 0 is this density.

The network has two hidden layers with shifts and gates that depend on the time, and both are seen
by the output,

.. math:: F(z) = W_3 (g_1 h_1 + g_2 h_2), \quad h_1 = f(W_1 z + b_1), \quad h_2 = f(W_2 h_1 + b_2).

With :math:`C = W_1 W_3` the trace of its Jacobian is
:math:`\sum_j f'_{1j} (g_{1j} C_{jj} + \sum_i g_{2i} f'_{2i} W_{2,ij} C_{ji})`, which takes one
product of the size of the second layer, whatever the number of codes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

QUARTER = math.pi / 2
N_FEATURES = 8  # of the time
SPREAD = 2.0  # of initial weights and shifts, in standard deviations of the codes
MIN_COSINE = 0.05  # by which a predicted noise is divided at most


@dataclass(frozen=True)
class Clock:
    """A time τ in [0, 1] for each angle, which is fine where codes are resolved.

    Attributes
    ----------
    resolution : Tensor of shape ()
        Standard deviation of the finest structure, in standardized coordinates. Angles below it
        have equal distances in τ, those above equal ratios.
    """

    resolution: Tensor

    @property
    def length(self) -> Tensor:
        return torch.asinh(QUARTER / self.resolution)

    def angle(self, tau: Tensor) -> Tensor:
        """φ(τ)."""
        return self.resolution * torch.sinh(tau * self.length)

    def speed(self, tau: Tensor) -> Tensor:
        """dφ/dτ."""
        return self.resolution * self.length * torch.cosh(tau * self.length)

    def scale(self, angle: Tensor) -> Tensor:
        """Standard deviation of the velocity where x has the resolution as its own."""
        sine, cosine = torch.sin(angle), torch.cos(angle)
        return sine * torch.rsqrt(sine.square() + (cosine * self.resolution).square())


def shapes(n_components: int, n_hidden: int) -> list[tuple[int, int]]:
    """Those of the parameters: time, and the three layers."""
    k, h = n_components, n_hidden
    return [(N_FEATURES, 4 * h), (h, k), (h, h), (k, h)]


def initial_parameters(n_components: int, n_hidden: int, generator: torch.Generator) -> Tensor:
    """One vector; the last layer is 0, and the units of the first are spread over the codes."""
    k, h = n_components, n_hidden
    of_time, first, second, last = (
        torch.empty(shape).uniform_(-1, 1, generator=generator) * math.sqrt(6 / sum(shape))
        for shape in shapes(k, h)
    )
    of_time[0, :h].uniform_(-SPREAD, SPREAD, generator=generator)
    of_time[0, 2 * h : 3 * h].uniform_(-SPREAD / 2, SPREAD / 2, generator=generator)
    of_time[:, h : 2 * h] = of_time[:, 3 * h :] = 0.0  # gates
    first.normal_(generator=generator).mul_(SPREAD / math.sqrt(k))
    last.zero_()
    return torch.cat([part.flatten() for part in (of_time, first, second, last)])


class Velocity:
    """v(z, φ) of a network.

    Parameters
    ----------
    parameters : Tensor of shape (n_parameters,)
    n_components, n_hidden : int
    clock : Clock
    prediction : {"velocity", "noise"}
        What the network predicts, but for what the standard normal predicts: a velocity of 0, or
        a noise of sin φ · z.
    """

    def __init__(
        self, parameters: Tensor, n_components: int, n_hidden: int, clock: Clock, prediction: str
    ) -> None:
        sizes = shapes(n_components, n_hidden)
        flat = parameters.split([a * b for a, b in sizes])
        views = [part.view(shape) for part, shape in zip(flat, sizes, strict=True)]
        self.of_time, self.first, self.second, self.last = views
        self.clock, self.prediction = clock, prediction

    def at(self, tau: Tensor) -> VelocityAtTime:
        """The velocity at times of shape (...), for codes of shape (..., n, k)."""
        order = torch.arange(N_FEATURES, dtype=tau.dtype, device=tau.device)
        features = torch.cos(math.pi * tau[..., None, None] * order)
        angle = self.clock.angle(tau)
        factor = self.clock.scale(angle)
        if self.prediction == "noise":
            factor = factor / torch.cos(angle).clamp(min=MIN_COSINE)
        return VelocityAtTime(self, features @ self.of_time, factor[..., None])

    @cached_property
    def loop(self) -> tuple[Tensor, Tensor]:
        """The products of weights of which the divergence is made: diag C, and W_2 · Cᵀ."""
        c = self.first @ self.last
        return c.diagonal(), self.second * c.T


class VelocityAtTime:
    """The velocity at some times: of each, shifts and gates of the layers, and a factor."""

    def __init__(self, velocity: Velocity, of_time: Tensor, factor: Tensor) -> None:
        self.velocity, self.factor = velocity, factor
        self.b_1, g_1, self.b_2, g_2 = of_time.chunk(4, dim=-1)
        self.g_1, self.g_2 = 1 + g_1, 1 + g_2

    def __call__(self, z: Tensor) -> Tensor:
        """v, (..., n, k)."""
        v = self.velocity
        h_1 = F.silu(F.linear(z, v.first) + self.b_1)
        h_2 = F.silu(F.linear(h_1, v.second) + self.b_2)
        return self._output(h_1, h_2)

    def _output(self, h_1: Tensor, h_2: Tensor) -> Tensor:
        out = F.linear(self.g_1 * h_1 + self.g_2 * h_2, self.velocity.last)
        return self.factor.unsqueeze(-1) * out

    def with_divergence(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """v, and tr ∂v/∂z, (..., n)."""
        v, (diagonal, product) = self.velocity, self.velocity.loop
        h_1, d_1 = _silu(F.linear(z, v.first) + self.b_1)
        h_2, d_2 = _silu(F.linear(h_1, v.second) + self.b_2)
        of_first = (self.g_1 * diagonal * d_1).sum(-1)
        of_second = (self.g_2 * d_2 * F.linear(d_1, product)).sum(-1)
        return self._output(h_1, h_2), self.factor * (of_first + of_second)


def _silu(a: Tensor) -> tuple[Tensor, Tensor]:
    """a s(a) with the logistic function s, and its derivative."""
    s = torch.sigmoid(a)
    h = a * s
    return h, s + h * (1 - s)


def to_noise(velocity: Velocity, x: Tensor, n_steps: int) -> tuple[Tensor, Tensor]:
    """Noise ε at the end of the flow from x, (n, k), and log |det ∂ε/∂x|, (n,).

    By the classical Runge-Kutta method of fourth order with equal steps of the time τ; the
    logarithm of the determinant is the integral of the divergence, by the same method.
    """
    clock = velocity.clock

    def derivative(z: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
        v, trace = velocity.at(tau).with_divergence(z)
        speed = clock.speed(tau)
        return v * speed, trace * speed

    z, log_determinant, h = x, x.new_zeros(x.shape[:-1]), 1 / n_steps
    tau = torch.linspace(0, 1, 2 * n_steps + 1, dtype=x.dtype, device=x.device)
    for start, middle, end in zip(tau[:-1:2], tau[1::2], tau[2::2], strict=True):
        v_1, t_1 = derivative(z, start)
        v_2, t_2 = derivative(z + (h / 2) * v_1, middle)
        v_3, t_3 = derivative(z + (h / 2) * v_2, middle)
        v_4, t_4 = derivative(z + h * v_3, end)
        z = z + (h / 6) * (v_1 + 2 * (v_2 + v_3) + v_4)
        log_determinant = log_determinant + (h / 6) * (t_1 + 2 * (t_2 + t_3) + t_4)
    return z, log_determinant


def from_noise(velocity: Velocity, noise: Tensor, n_steps: int) -> Tensor:
    """The code x from which the flow leads to the noise, (n, k)."""
    clock, z, h = velocity.clock, noise, -1 / n_steps
    tau = torch.linspace(1, 0, 2 * n_steps + 1, dtype=noise.dtype, device=noise.device)
    for start, middle, end in zip(tau[:-1:2], tau[1::2], tau[2::2], strict=True):
        v_1 = velocity.at(start)(z) * clock.speed(start)
        v_2 = velocity.at(middle)(z + (h / 2) * v_1) * clock.speed(middle)
        v_3 = velocity.at(middle)(z + (h / 2) * v_2) * clock.speed(middle)
        v_4 = velocity.at(end)(z + h * v_3) * clock.speed(end)
        z = z + (h / 6) * (v_1 + 2 * (v_2 + v_3) + v_4)
    return z
