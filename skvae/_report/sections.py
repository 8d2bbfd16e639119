"""The sections of a report: functions of the material; empty is what does not apply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from skvae._html.columns import HEADER, columns_table, missing_shares, n_rows
from skvae._html.curve import training_curve
from skvae._html.numbers import fit_numbers, numbers_list
from skvae._html.tables import table
from skvae._html.text import Markup, counted, escaped, number, percent, shortened
from skvae._quality import Feature, features_of, marginal_error
from skvae._table.numeric_column import NumericColumn
from skvae.plots._style import COLORS, short

from .baselines import independent_columns, of_numbers
from .pictures import draw_marginal, draw_plane, draw_units, units_size
from .rows import Material

MAX_COLUMNS, MAX_MARGINALS, N_OUTLIERS, MAX_PATTERNS = 100, 12, 10, 10
MIN_SURPRISE = 1.0  # nats from which a cell is a reason
MIN_ROWS = 20  # complete rows of numbers from which models of them are compared


def columns(material: Material) -> Markup:
    text = paragraph(
        "Each column as it was understood, with the family of its likelihood p(x_j | z) and the "
        "reason for it."
    )
    return Markup(text + columns_table(material.model, MAX_COLUMNS))


def fit(material: Material) -> Markup:
    model = material.model
    parts = [("Posterior", model.latent_), ("Prior", model.prior_), ("Objective", model.objective_)]
    rows = [(name, shortened(repr(value), 200)) for name, value in parts]
    rows += [("Constraints", shortened(repr(each), 200)) for each in _constraints(model)]
    return Markup(
        numbers_list(fit_numbers(model))
        + training_curve(model.history_)
        + table("Components", ("Part", "Value"), rows)
        + f"<details><summary>Estimator</summary><pre>{escaped(repr(material.estimator))}</pre>"
        "</details>\n"
    )


def _constraints(model: Any) -> list:
    return list(getattr(model, "constraints_", ()))[:MAX_COLUMNS]


# ----------------------------------------------------------------------------------- density


def density(material: Material) -> Markup:
    """log p(x) of the model and of simple densities; the scores of detectors compare rows only."""
    model, tested = material.model, material.tested
    if not hasattr(model, "sample"):
        return Markup("")
    schema = model.schema_.columns
    own = material.scores if material.holdout is None else model.score_samples(tested)
    scores = {type(model).__name__: own}
    scores |= independent_columns(material.tables, schema)
    whose = (
        f"The {counted(tested.n_rows, 'row')} were held out."
        if material.holdout is not None
        else f"These are {counted(tested.n_rows, 'row')} of the table that was given as fitted, no "
        "rows were held out: flexible models are better on them than on new rows."
    )
    n_fitted = counted(material.of_baselines.n_rows, "row") + " of the given table"
    explained = paragraph(
        f"Mean log-density of a row, in nats and in the units of the table; higher is better. "
        f"{whose} Integers, booleans and levels are counted, other numbers have a density, and "
        f"missing cells add nothing. Baselines are fitted to {n_fitted}. In "
        "continuous columns with repeated values densities depend on the width that a value is "
        "given, and differences to the baselines there say little."
    )
    html = explained + _comparison("All columns", scores)
    return Markup(html + _of_numbers(material))


def _of_numbers(material: Material) -> str:
    """The continuous columns alone, against models that know no others."""
    model = material.model
    names, places = [], []
    for j, column in enumerate(model.schema_.columns):
        is_smooth = isinstance(column, NumericColumn) and column.kind == "continuous"
        if is_smooth and not column.is_mass and not len(column.atoms):
            names.append(column.name)
            places.append(j)
    if len(names) < 2:
        return ""
    fitted, new = (np.stack([material.tables[j].values[i] for j in places], axis=1) for i in (0, 1))
    fitted, complete = fitted[~np.isnan(fitted).any(1)], np.flatnonzero(~np.isnan(new).any(1))
    if min(len(fitted), len(complete)) < MIN_ROWS + len(names) or (fitted.std(0) == 0).any():
        return ""
    is_all = len(names) == len(model.schema_.order)
    part = material.tested.take(complete)
    own = model.score_samples(part) if is_all else model.score_samples(part, columns=names)
    scores = {type(model).__name__: own, **of_numbers(fitted, new[complete], material.seed)}
    what = "the marginal log-density of the model, whose other columns are integrated out, against"
    text = paragraph(
        f"The {counted(len(names), 'continuous column')} alone, of {counted(len(complete), 'row')} "
        f"without missing values in them: {'the model against' if is_all else what} models of "
        "scikit-learn for numbers, fitted to standardized numbers, with their densities taken back "
        "to the units of the table."
    )
    return text + _comparison("Continuous columns", scores)


def _comparison(caption: str, scores: dict[str, np.ndarray]) -> str:
    """Means, and differences to the first with their standard errors over the rows."""
    own = next(iter(scores.values()))
    rows = []
    for name, each in scores.items():
        gap = each - own
        error = gap.std() / np.sqrt(len(gap))
        difference = "" if each is own else f"{_signed(gap.mean())} ± {error:.2f}"
        rows.append((name, f"{each.mean():.2f}".replace("-", "\N{MINUS SIGN}"), difference))
    header = ("Model", "Mean log-density, nats", "Difference to the model ± standard error")
    return table(caption, header, rows, numeric={1, 2})


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


# ------------------------------------------------------------------------------------- latent


def plane(material: Material) -> Markup:
    model = material.model
    if not hasattr(model, "inverse_transform"):
        return Markup("")
    Z = np.asarray(model.fitted_model_.embed(material.rows, model._settings()), dtype=float)
    if Z.ndim != 2 or Z.shape[1] < 2:
        return Markup("")
    most = np.argsort(-Z.var(0), kind="stable")[:2]
    i, j = int(most.min()), int(most.max())
    Z, names = Z[:, [i, j]], model.get_feature_names_out()
    color, label = _telling_column(material, Z)
    said = f"{counted(len(Z), 'row')} in the latent dimensions {names[i]} and {names[j]}"
    said += "" if label is None else f", colored by {label}"
    drawn = material.pictures.draw(
        lambda ax: draw_plane(ax, Z, (names[i], names[j]), color, label),
        said, (6.2 if label else 4.6, 3.9),
    )  # fmt: skip
    text = f"{said[0].upper()}{said[1:]}. These are the two that vary most over the rows"
    text += "" if label is None else "; of the columns with few levels this one differs most"
    return Markup(paragraph(f"{text}.") + drawn)


def _telling_column(material: Material, Z: np.ndarray) -> tuple[Any, str | None]:
    """The column of few levels whose groups explain most of the variance, with its cells."""
    best: tuple[float, Any, str | None] = (0.0, None, None)
    for j, column in enumerate(material.model.schema_.columns):
        if column.kind not in ("categorical", "ordered", "boolean"):
            continue
        cells = pd.Series(cell_names(material.rows, j), dtype=object)
        groups = cells.groupby(cells)
        if not 2 <= groups.ngroups <= len(COLORS):
            continue
        known = Z[cells.notna().to_numpy()]
        means = np.stack([np.asarray(pd.Series(z)[cells.notna()].groupby(cells).transform("mean"))
                          for z in Z.T], axis=1)  # fmt: skip
        explained = float((means.var(0) / known.var(0).clip(min=1e-12)).mean())
        if explained > best[0]:
            best = explained, cells, str(column.name)
    return best[1], best[2]


def cell_names(rows: Any, j: int) -> list:
    """The cells of a column of levels or booleans as text, None where missing."""
    cells = rows.cells(j, True)
    if cells.type == "label":
        names = [str(level) for level in cells.levels]
        return [None if m else names[v] for v, m in zip(cells.values, cells.missing, strict=True)]
    return [None if m else short(v) for v, m in zip(cells.values, cells.missing, strict=True)]


def units(material: Material) -> Markup:
    model = material.model
    kl, active = np.asarray(model.kl_per_unit_, float), np.asarray(model.active_units_, bool)
    names = [f"{type(model).__name__.lower()}{name}" for name in model.model_.latent.names()]
    if not len(kl) or not np.isfinite(kl).all():
        return Markup("")
    rest = "" if active.all() else " The others are drawn in the second color."
    text = paragraph(
        f"{int(active.sum())} of {counted(len(active), 'latent dimension')} are active: their "
        f"posterior means vary over the rows, and they carry information (KL over 0.01 nats).{rest}"
    )
    said = "KL of each unit: " + ", ".join(
        f"{name} {number(each, 2)}" for name, each in zip(names, kl, strict=True)
    )
    drawn = material.pictures.draw(
        lambda ax: draw_units(ax, names, kl, active), shortened(said, 1000), units_size(len(kl))
    )
    return Markup(text + drawn)


# ---------------------------------------------------------------------------------- marginals


def marginals(material: Material) -> Markup:
    """Drawn rows against the given ones, column by column."""
    model, rows = material.model, material.rows
    if not hasattr(model, "sample"):
        return Markup("")
    missing = "as_seen" if rows.missing.any() else "none"
    drawn = model.sample(rows.n_rows, random_state=material.seed, missing=missing)
    features = features_of([rows, drawn])
    errors = np.array([marginal_error(feature) for feature in features])
    order = np.argsort(-errors, kind="stable")
    shown = [j for j in order if model.schema_.columns[j].kind != "constant"][:MAX_MARGINALS]
    text = paragraph(
        f"{counted(rows.n_rows, 'row')} of the table against as many that the model draws. The "
        "distance is that of Kolmogorov and Smirnov, of levels the total variation: 0 for equal "
        "distributions, 1 for separate ones. The pictures are of the columns with the largest "
        "distances."
    )
    key = (
        '<p><span class="skvae-key skvae-rows"></span>rows of the table &emsp; '
        '<span class="skvae-key skvae-drawn"></span>drawn rows</p>\n'
    )
    pictures = "".join(_marginal(material, features[j], j, errors[j]) for j in shown)
    listed = [(shortened(str(features[j].name)), f"{errors[j]:.3f}") for j in order[:MAX_COLUMNS]]
    distances = table("Distances of the marginals", ("Column", "Distance"), listed, numeric={1})
    return Markup(
        f'{text}{key}<div class="skvae-pictures">\n{pictures}</div>\n'
        f"<details><summary>All distances</summary>\n{distances}</details>\n"
    )


def _marginal(material: Material, feature: Feature, j: int, error: float) -> str:
    column = material.model.schema_.columns[j]
    names = _level_names(material, feature, j) if feature.is_level else None
    if column.kind == "boolean" and not feature.is_level:
        names = ["false", "true"]
    said = f"Distributions of {feature.name}: distance {error:.3f}"
    return material.pictures.draw(
        lambda ax: draw_marginal(ax, feature, names, column), said, (2.7, 1.8)
    )


def _level_names(material: Material, feature: Feature, j: int) -> list[str]:
    """The name of each code of a feature; codes are given in the order of levels and cells."""
    cells = material.rows.cells(j)
    codes, names = feature.values[0], cell_names(material.rows, j)
    n = int(np.nanmax(np.concatenate(feature.values))) + 1
    found = {int(code): str(name) for code, name in zip(codes, names, strict=True) if code == code}
    rest = [str(level) for level in cells.levels] if cells.type == "label" else []
    return [found.get(i, rest[i] if i < len(rest) else "other") for i in range(n)]


# ----------------------------------------------------------------------------------- outliers


def outliers(material: Material) -> Markup:
    """The rows with the lowest scores, and their surprising cells."""
    model, rows = material.model, material.rows
    scores = material.scores
    worst = np.argsort(scores, kind="stable")[:N_OUTLIERS]
    _, cells = model.explain_samples(rows.take(worst), return_cells=True)
    header = ["Row", "Score, nats", "Surprising cells, given the other cells of the row"]
    listed = []
    for i, place in enumerate(worst):
        own = cells[cells["row"] == i]
        reasons = [_reason(cell) for _, cell in own.iterrows() if cell["surprise"] >= MIN_SURPRISE]
        reasons = reasons or ["no cell by itself, but their combination is rare"]
        why = Markup("<br>".join(escaped(reason) for reason in reasons))
        listed.append((number(material.labels[place]), f"{scores[place]:.1f}", why))
    said = f"The {N_OUTLIERS} rows of the lowest score" if len(worst) == N_OUTLIERS else "The rows"
    text = _of_rows(material)
    if hasattr(model, "offset_"):
        n_below = int((scores < model.offset_).sum())
        text += (
            f" {counted(n_below, 'row')} are below the threshold of {number(model.offset_)} nats, "
            "and so outliers to predict."
        )
    listed = [(row, score.replace("-", "\N{MINUS SIGN}"), why) for row, score, why in listed]
    return Markup(paragraph(text) + table(said, header, listed, numeric={1}))


def _of_rows(material: Material) -> str:
    n, given = material.rows.n_rows, material.n_given
    chosen = "" if n == given else f", chosen at random of {number(given)}"
    return f"The least likely of {counted(n, 'row')}{chosen}."


def _reason(cell: pd.Series) -> str:
    value = f"{shortened(str(cell['column']), 30)} = {shortened(number(cell['value']), 30)}"
    if pd.isna(cell["low"]):
        expected = shortened(number(cell["expected"]), 30)
    else:
        low, high = number(cell["low"]), number(cell["high"])
        expected = low if low == high else f"{low} to {high}"
    return f"{value} (expected {expected}; {_signed(cell['surprise'])} nats)"


# ------------------------------------------------------------------------------ missing values


def missing(material: Material) -> Markup:
    """How many cells are missing in each column, and which are missing together."""
    model = material.model
    shares = missing_shares(model)
    if not shares.any():
        return Markup("")
    names = [shortened(str(column.name), 40) for column in model.schema_.columns]
    order = [j for j in np.argsort(-shares, kind="stable") if shares[j] > 0]
    listed = [(names[j], percent(shares[j])) for j in order[:MAX_COLUMNS]]
    html = table("Columns with missing values", (HEADER[0], "Missing"), listed, numeric={1})
    patterns = model.schema_.patterns
    often = np.argsort(-patterns.weights, kind="stable")[:MAX_PATTERNS]
    together = []
    for i in often:
        these = [names[j] for j in np.flatnonzero(patterns.missing[i])]
        named = ", ".join(these[:8]) + (f" and {len(these) - 8} more" if len(these) > 8 else "")
        weight = patterns.weights[i]
        together.append((named or "none", number(weight), percent(weight / n_rows(model))))
    header = ("Missing together", "Rows", "Share")
    caption = f"The {len(often)} most frequent patterns" if len(often) > 1 else "The only pattern"
    text = paragraph(
        f"{percent(float(shares.mean()))} of the cells of the fitted rows are missing, in "
        f"{counted(len(order), 'column')}."
    )
    return Markup(text + html + table(caption, header, together, numeric={1, 2}))


def paragraph(text: str) -> Markup:
    return Markup(f"<p>{escaped(text)}</p>\n")


SECTIONS: dict[str, Callable[[Material], Markup]] = {
    "Columns": columns,
    "Fit": fit,
    "Density": density,
    "Latent plane": plane,
    "Latent units": units,
    "Marginals": marginals,
    "Unlikely rows": outliers,
    "Missing values": missing,
}
