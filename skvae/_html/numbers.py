"""The fit in four numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .text import Markup, escaped, number

UNIT = "nats per row"


def fit_numbers(model: Any) -> list[tuple[str, str, str]]:
    """What is measured, its value, and its unit or what it means.

    Parameters
    ----------
    model : BaseVAE
        Fitted.
    """
    history = model.history_
    found = []
    held_out = _finite(history.get("validation_bound", ()))
    bounds = held_out if len(held_out) else _finite(history.get("bound", ()))
    if len(held_out):  # the best weights are kept
        found.append(("Held-out bound", number(bounds.max()), UNIT))
    elif len(bounds):
        found.append(("Training bound", number(bounds[-1]), UNIT))
    kl = _finite(history.get("kl", ()))
    if len(kl):
        found.append(("KL to the prior", number(kl[-1]), UNIT))
    active = np.asarray(model.active_units_)
    unit = "latent dimensions"
    found.append(("Active units", f"{int(active.sum())} of {len(active)}", unit))
    if hasattr(model, "offset_"):
        found.append(("Threshold", number(model.offset_), "of the score, in nats"))
    elif hasattr(model, "reconstruction_r2_"):
        r2 = f"{model.reconstruction_r2_:.3f}".replace("-", "\N{MINUS SIGN}")
        found.append(("Reconstruction R²", r2, "mean over the columns"))
    else:
        steps = history["step"][-1] if history.get("step") else 0
        found.append(
            ("Training steps", number(steps), f"{number(model.n_iter_)} passes over the rows")
        )
    return found


def numbers_list(found: list[tuple[str, str, str]]) -> Markup:
    """The numbers side by side, as a list of terms and descriptions."""
    items = "".join(
        f"<div><dt>{escaped(label)}</dt><dd><b>{escaped(value)}</b> <span>{escaped(unit)}</span>"
        "</dd></div>\n"
        for label, value, unit in found
    )
    return Markup(f'<dl class="skvae-numbers">\n{items}</dl>\n')


def _finite(values: Any) -> np.ndarray:
    values = np.asarray([np.nan if value is None else value for value in values], dtype=float)
    return values[np.isfinite(values)]
