"""FittedModel: what fitting leaves, and every answer that it gives.

It holds networks, the schema of the table, the components and the axes of ``transform``: numbers
and strings beside tensors, no parameters of an estimator and no training rows. It reads any
container (see :mod:`skvae._table.reading`) and writes tables like the fitted one. The estimators
validate their input, call it and label its output.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from skvae._constraints.relations import Relation
from skvae._inference.importance import CPU, InferenceSettings
from skvae._inference.log_density import (
    N_SCRAMBLINGS,
    LogDensity,
    log_density,
    mixture_density,
)
from skvae._inference.scoring import score_rows
from skvae._model.rows import Rows
from skvae._model.schema import Schema
from skvae._model.vae import VAE
from skvae._nn.defaults import with_library_defaults
from skvae._table.reading import Table, read_table
from skvae.latents import Latent
from skvae.objectives import Objective
from skvae.priors import Prior

from . import explaining, imputing, sampling, traversal
from .blocks import by_blocks, by_ranges, generator_for
from .pickling import layout_as_text, layout_of, packed, unpacked

MIN_VARIANCE = 1e-8  # of a component, so that the inverse exists


@dataclass(frozen=True)
class Axes:
    """The components that ``transform`` gives, as an affine map of the latent units.

    Attributes
    ----------
    center, spread : ndarray of shape (n_components,)
        Mean and standard deviation of the posterior means over the fitted rows.
    variance : ndarray of shape (n_components,) or None
        Variance of the scaled table that each unit explains; None: the family has no order.
    """

    center: np.ndarray
    spread: np.ndarray
    variance: np.ndarray | None

    def affine(self, units: Sequence[int], whiten: bool) -> tuple[Any, Any]:
        """Center and scale of some units: components = (z − center) / scale."""
        if whiten:
            return self.center[units], self.spread[units]
        if self.variance is None:
            return 0.0, 1.0
        length = np.sqrt(self.variance.clip(MIN_VARIANCE))
        return self.center[units], (self.spread / length)[units]


@dataclass(frozen=True)
class FittedModel:
    """A fitted generative model of a table.

    Attributes
    ----------
    models : list of VAE
        On the CPU, in float64; the density is that of their equal mixture. Draws, embeddings and
        imputations are those of the first. They are copied to the device of the answers.
    schema : Schema
        What is known of the columns.
    latent, prior, objective : components
        As they were resolved by ``fit``.
    axes : Axes or None
        None while the model is still being trained.
    relations : list of Relation
        Constraints between the columns that decoded rows keep.
    """

    models: list[VAE]
    schema: Schema
    latent: Latent
    prior: Prior
    objective: Objective
    axes: Axes | None = None
    relations: list[Relation] = field(default_factory=list)

    def __getstate__(self) -> dict[str, Any]:
        """Without tensors: equal models have equal pickles."""
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        schema = copy.copy(self.schema)
        schema.layout = layout_as_text(schema.layout)
        return {**state, "models": [packed(model) for model in self.models], "schema": schema}

    def __setstate__(self, state: dict[str, Any]) -> None:
        models, schema = [unpacked(model) for model in state["models"]], copy.copy(state["schema"])
        schema.layout = layout_of(schema.layout)
        self.__dict__.update(state, models=models, schema=schema)

    @property
    def model(self) -> VAE:
        """The first model."""
        return self.models[0]

    @cached_property
    def _copies(self) -> dict[tuple[torch.device, torch.dtype], list[VAE]]:
        """The models on other devices and in single precision, once they have been used."""
        return {(CPU, torch.float64): self.models}

    def _on(self, device: torch.device, dtype: torch.dtype = torch.float64) -> list[VAE]:
        """The models on a device."""
        found = self._copies.get((device, dtype))
        if found is None:
            found = [copy.deepcopy(model).to(device, dtype) for model in self.models]
            self._copies[device, dtype] = found
        return found

    def in_precision(self, settings: InferenceSettings) -> list[VAE]:
        """The models in the precision and on the device of the answers."""
        is_double = settings.precision == "double"
        return self._on(settings.device, torch.float64 if is_double else torch.float32)

    @with_library_defaults
    def encode(self, X: Any) -> Rows:
        """The rows of a table as tensors."""
        return self.schema.encode(read_table(X))

    # -------------------------------------------------------------------------- density

    @with_library_defaults
    def log_density(
        self,
        X: Any,
        settings: InferenceSettings,
        *,
        columns: list[int] | None = None,
        given: list[int] | None = None,
        with_std: bool = False,
    ) -> LogDensity:
        """log p(x), log p(x_a) of some columns, or log p(x_a | x_b) of some given others."""
        models = self.in_precision(settings)
        n_scramblings = N_SCRAMBLINGS if with_std else 1

        def density(block: Table, part: list[int] | None) -> LogDensity:
            rows = self.schema.encode(block) if part is None else self._marginal(block, part)
            rows = settings.rows(rows)
            each = [log_density(model, rows, settings, n_scramblings) for model in models]
            return mixture_density(each)

        def answer(block: Table) -> LogDensity:
            if columns is None or given is None:
                return density(block, columns)
            return density(block, sorted([*columns, *given])).given(density(block, given))

        return LogDensity.concatenated(by_blocks(read_table(X), answer, settings))

    def _marginal(self, table: Table, part: list[int]) -> Rows:
        """The rows with all other columns marginalized."""
        rows = self.schema.encode(table.marginal(part))
        others = torch.tensor([j not in part for j in self.schema.order], dtype=torch.bool)
        return rows.mask(others.expand(len(rows), -1))

    @with_library_defaults
    def score(self, X: Any, method: str, settings: InferenceSettings) -> np.ndarray:
        """The scores of a method of :data:`skvae._inference.scoring.SCORES`, (n_rows,)."""
        models = self.in_precision(settings)

        def answer(block: Table) -> np.ndarray:
            rows = settings.rows(self.schema.encode(block))
            return score_rows(method, models, rows, settings)

        return np.concatenate(by_blocks(read_table(X), answer, settings))

    @with_library_defaults
    def explain(self, X: Any, settings: InferenceSettings, *, relative: bool) -> np.ndarray:
        """What each column adds to log p(x), and the latent part: (n_rows, n_columns + 1)."""
        models = self.in_precision(settings)
        parts_of = partial(explaining.parts_of_log_density, models, self.schema, settings=settings)
        usual: Any = 0.0
        if relative:
            usual = parts_of(explaining.typical_rows(self.models, self.schema)).mean(0)

        def answer(block: Table) -> np.ndarray:
            parts = parts_of(block) - usual
            if relative:
                parts[:, :-1][block.missing] = 0.0
            return parts

        return np.concatenate(by_blocks(read_table(X), answer, settings))

    @with_library_defaults
    def surprising_cells(
        self,
        X: Any,
        settings: InferenceSettings,
        n_cells: int,
        coverage: float,
        weight: float = 1.0,
        others: Sequence[tuple[float, FittedModel]] = (),
    ) -> pd.DataFrame:
        """The most surprising cells of each row, and what was expected in their place.

        In a pool the surprise of a cell is the weighted sum of those of all models.
        """

        def surprise_of(fitted: FittedModel, *more: Any) -> explaining.Surprise:
            models = fitted.in_precision(settings)
            return explaining.Surprise(models, fitted.schema, settings, n_cells, coverage, *more)

        of_others = [surprise_of(other, share) for share, other in others]
        surprise, table = surprise_of(self, weight, of_others), read_table(X)

        def answer(rows: slice) -> pd.DataFrame:
            cells = surprise.cells(table.part(rows))
            return cells.assign(row=cells["row"] + rows.start)

        return pd.concat(by_ranges(table.n_rows, answer, settings), ignore_index=True)

    # ----------------------------------------------------------------------- embeddings

    @with_library_defaults
    def embed(self, X: Any, settings: InferenceSettings, *, whiten: bool = False) -> np.ndarray:
        """The components of each row, (n_rows, n_output_components)."""
        model = self.in_precision(settings)[0]
        center, scale = self._affine(whiten)

        def answer(block: Table) -> np.ndarray:
            rows = settings.rows(self.schema.encode(block))
            Z = model.embeddings(rows)[:, model.latent.shown].cpu().numpy()
            return np.asarray((Z - center) / scale).astype(Z.dtype, copy=False)

        return np.concatenate(by_blocks(read_table(X), answer, settings))

    def _affine(self, whiten: bool) -> tuple[Any, Any]:
        if self.axes is None:
            return 0.0, 1.0
        return self.axes.affine(self.model.latent.shown, whiten)

    @with_library_defaults
    def posterior(self, X: Any, settings: InferenceSettings) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of q(z | x), each (n_rows, n_output_components)."""
        model = self.in_precision(settings)[0]
        mean, log_var = model.posteriors(settings.rows(self.encode(X)))
        units = model.latent.shown
        std = torch.exp(0.5 * log_var)
        return mean[:, units].cpu().numpy(), std[:, units].cpu().numpy()

    @with_library_defaults
    def codes(self, X: Any, settings: InferenceSettings) -> np.ndarray:
        """Integer codes, (n_rows, n_positions), of families that have them."""
        model = self.in_precision(settings)[0]
        latent: Any = model.latent
        found = latent.codes(latent.split(model.embeddings(settings.rows(self.encode(X)))))
        return np.asarray(found.cpu().numpy())

    @with_library_defaults
    def vectors(self, codes: np.ndarray) -> np.ndarray:
        """The embeddings of integer codes."""
        latent: Any = self.model.latent
        if codes.shape[1] != latent.n_noise or codes.min() < 0 or codes.max() >= latent.n_codes:
            raise ValueError(
                f"Integer Z of shape {codes.shape} with values from {codes.min()} to {codes.max()} "
                f"are not codes of this model: it has {latent.n_noise} positions with codes from 0 "
                f"to {latent.n_codes - 1}. Pass what codes or transform returns."
            )
        return np.asarray(latent.vectors(torch.from_numpy(codes)).numpy())

    @with_library_defaults
    def decode(self, Z: np.ndarray, *, whiten: bool = False, device: torch.device = CPU) -> Any:
        """The table that the decoder expects for components as ``embed`` gives them."""
        center, scale = self._affine(whiten)
        z = self.model.completed(torch.from_numpy(Z * scale + center))
        return sampling.decode(self._on(device)[0], self.schema, z, self.relations)

    @with_library_defaults
    def interpolate(self, A: Any, B: Any, n_steps: int) -> Any:
        """A table of the rows on the lines between the codes of A and of B."""
        start, end = (self.model.embeddings(self.encode(X)) for X in (A, B))
        z = traversal.line(self.model, start, end, n_steps)
        return sampling.decode(self.model, self.schema, z, self.relations)

    @with_library_defaults
    def traverse(self, X: Any, unit: int, n_steps: int) -> Any:
        """A table of the rows with one unit moved, by its position among the components."""
        z = self.model.embeddings(self.encode(X))
        z = traversal.move_unit(self.model, z, unit, n_steps)
        return sampling.decode(self.model, self.schema, z, self.relations)

    @with_library_defaults
    def effects(self, unit: int, n_steps: int) -> pd.DataFrame:
        """How each column changes along a unit: "effect", "low" and "high"."""
        return traversal.effects(self.model, self.schema, unit, n_steps)

    # ----------------------------------------------------------------------- generation

    @with_library_defaults
    def sample(
        self,
        n_samples: int,
        generator: torch.Generator,
        settings: InferenceSettings,
        *,
        missing: str,
        mean: bool,
        relations: list[Relation],
    ) -> Any:
        """A table of new rows: z from the prior, then x from p(x | z)."""
        model, seed = self._on(settings.device)[0], generator.initial_seed()

        @torch.no_grad()
        def new_codes(n: int, own: torch.Generator) -> torch.Tensor:
            return model.latent.sample(n, model.prior, own).cpu()

        def answer(rows: slice) -> tuple[torch.Tensor, ...]:
            own = generator_for(seed, rows)
            z = new_codes(rows.stop - rows.start, own)
            return z, *sampling.decoded(model, self.schema, z, None if mean else own)

        parts = zip(*by_ranges(n_samples, answer, settings), strict=True)
        z, values, codes = (torch.cat(part) for part in parts)
        return sampling.as_table(
            model, self.schema, z, values, codes,
            generator=generator, mean=mean, missing=missing, relations=relations,
            new_codes=new_codes,
        )  # fmt: skip

    @with_library_defaults
    def sample_given(
        self,
        given: Any,
        n_samples: int,
        generator: torch.Generator,
        settings: InferenceSettings,
        *,
        missing: str,
        mean: bool,
        relations: list[Relation],
    ) -> tuple[Any, np.ndarray]:
        """A table of new rows for each condition, and their effective sample sizes."""
        model, in_double = self.in_precision(settings)[0], self._on(settings.device)[0]
        conditions, seed = sampling.read_conditions(self.schema, given), generator.initial_seed()

        def answer(rows: slice) -> tuple[torch.Tensor, ...]:
            own = generator_for(seed, rows)
            work = conditions.part(rows), n_samples, own, settings
            z, ess = sampling.conditional_codes(model, self.schema, *work)
            drawn = sampling.decoded(in_double, self.schema, z, None if mean else own)
            return ess, z, *drawn

        parts = zip(*by_ranges(conditions.n_rows, answer, settings), strict=True)
        ess, z, values, codes = (torch.cat(part) for part in parts)
        repeated = conditions.take(np.repeat(np.arange(conditions.n_rows), n_samples))
        X = sampling.as_table(
            in_double, self.schema, z, values, codes,
            generator=generator, mean=mean, missing=missing, given=repeated, relations=relations,
        )  # fmt: skip
        return X, ess.numpy()

    @with_library_defaults
    def impute(
        self,
        X: Any,
        settings: InferenceSettings,
        *,
        table: Table | None = None,
        n_draws: int | None = None,
        strategy: str = "mean",
        seed: int = 0,
        others: Sequence[FittedModel] = (),
    ) -> tuple[list, np.ndarray]:
        """X with its missing cells filled, once or for each draw; effective sample sizes of rows.

        `table` is X as it was read, where more of its cells count as missing; `others` are models
        of the same table, with which this one is averaged.
        """
        table = read_table(X) if table is None else table
        models = [(each.in_precision(settings)[0], each.schema) for each in (self, *others)]
        return imputing.impute(models, X, table, settings, n_draws, strategy, seed)
