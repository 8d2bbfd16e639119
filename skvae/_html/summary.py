"""What a fitted estimator shows of itself in a notebook, below scikit-learn's diagram."""

from __future__ import annotations

from typing import Any

from .columns import columns_table, n_rows
from .curve import training_curve
from .numbers import fit_numbers, numbers_list
from .style import SUMMARY_STYLE
from .text import Markup, counted, escaped

MAX_COLUMNS = 30


def fitted_summary(model: Any) -> Markup:
    """The fit in four numbers, the training curve, and the columns as they were understood.

    Parameters
    ----------
    model : BaseVAE
        Fitted.
    """
    n_columns = len(model.schema_.columns)
    size = f"{counted(n_rows(model), 'row')}, {counted(n_columns, 'column')}"
    return Markup(
        f'<style>{SUMMARY_STYLE}</style>\n<section class="skvae" aria-label="Summary of the fit">\n'
        f"<p>Fitted to {escaped(size)}.</p>\n"
        f"{numbers_list(fit_numbers(model))}"
        f"<details open><summary>Training</summary>\n{training_curve(model.history_)}</details>\n"
        f"<details open><summary>Columns</summary>\n{columns_table(model, MAX_COLUMNS)}</details>\n"
        "</section>\n"
    )
