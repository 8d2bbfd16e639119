"""The components behind the names of an estimator's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skvae import latents, objectives, priors
from skvae._validation import resolve_component
from skvae.likelihoods import LIKELIHOODS

from .parameters import VAEParameters

REGISTRIES: dict[str, Mapping[str, type]] = {
    "latent": latents.LATENTS, "prior": priors.PRIORS, "likelihood": LIKELIHOODS,
    "objective": objectives.OBJECTIVES,
}  # fmt: skip


@dataclass(frozen=True)
class Components:
    """The components behind the parameters of an estimator."""

    latent: latents.Latent
    prior: priors.Prior
    objective: objectives.Objective

    @classmethod
    def of(cls, estimator: VAEParameters) -> Components:
        """From names or objects; an objective given by name takes the warm-up of the family."""
        owner = type(estimator).__name__

        def resolve(value: Any, base: type, name: str) -> Any:
            return resolve_component(value, REGISTRIES[name], base, name, owner)

        latent = resolve(estimator.latent, latents.Latent, "latent")
        objective = resolve(automatic(estimator, "objective"), objectives.Objective, "objective")
        prior = resolve(_prior(estimator, latent, objective), priors.Prior, "prior")
        if isinstance(estimator.objective, str):
            objective = objective.with_warmup(latent.warmup)
        latent.check_partners(prior, objective)
        return cls(latent, prior, objective)


def _prior(
    estimator: VAEParameters, latent: latents.Latent, objective: objectives.Objective
) -> Any:
    """The prior as the user has it, or as the family, the objective and the estimator have it."""
    if not is_auto(estimator.prior):
        return estimator.prior
    prior = latent.default_prior()
    if type(prior) is not priors.Aggregated:
        return prior
    return objective.prior or estimator._automatic.get("prior", prior)


def is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def automatic(estimator: VAEParameters, parameter: str) -> Any:
    """A parameter, or what its "auto" stands for in the estimator."""
    value = getattr(estimator, parameter)
    return estimator._automatic.get(parameter, value) if is_auto(value) else value
