"""Tables that screen readers can read: a caption, and headers with their scope."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from .text import Markup, escaped


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    numeric: Collection[int] = (),
) -> Markup:
    """A table whose first cell of each row is its header; all values are escaped.

    It scrolls sideways by itself where the page is narrow, also by the keyboard. Columns whose
    positions are `numeric` are set flush right.
    """
    head = "".join(_cell("th", "col", j, name, numeric) for j, name in enumerate(header))
    body = "\n".join(
        "<tr>"
        + "".join(
            _cell("td" if j else "th", "" if j else "row", j, cell, numeric)
            for j, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return Markup(
        f'<div class="skvae-scroll" role="region" tabindex="0" aria-label="{escaped(caption)}">\n'
        f"<table><caption>{escaped(caption)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n"
    )


def _cell(tag: str, scope: str, j: int, value: Any, numeric: Collection[int]) -> str:
    attributes = f' scope="{scope}"' if scope else ""
    attributes += ' class="skvae-number"' if j in numeric else ""
    return f"<{tag}{attributes}>{escaped(value)}</{tag}>"
