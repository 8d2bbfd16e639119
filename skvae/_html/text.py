"""Text for HTML: escaped, short, and numbers as people write them."""

from __future__ import annotations

import html
import math
import unicodedata
from typing import Any

import numpy as np
import pandas as pd

MAX_CHARACTERS = 60


class Markup(str):
    """A string that is HTML already; every other one is escaped where it enters a page."""

    __slots__ = ()


def escaped(value: Any, most: int | None = None) -> str:
    """A value as HTML text; with `most`, a longer one ends in an ellipsis."""
    if isinstance(value, Markup):
        return str(value)
    text = value if isinstance(value, str) else str(value)
    text = "".join(c if _is_legal(c) else "\N{REPLACEMENT CHARACTER}" for c in text)
    return html.escape(text if most is None else shortened(text, most), quote=True)


def _is_legal(character: str) -> bool:
    """Whether HTML and UTF-8 have it: not the control characters, and not halves of others."""
    return character in "\t\n" or unicodedata.category(character) not in ("Cc", "Cs")


def shortened(text: str, most: int = MAX_CHARACTERS) -> str:
    """The text, or its beginning and end around an ellipsis where it has more characters.

    Names of many columns often differ in their ends.
    """
    if len(text) <= most:
        return text
    n_last = most // 3
    first, last = text[: most - 1 - n_last].rstrip(), text[len(text) - n_last :].lstrip()
    return f"{first}\N{HORIZONTAL ELLIPSIS}{last}"


def number(value: Any, digits: int = 4) -> str:
    """A number with a few significant digits, with a true minus sign; else the value itself."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return day(value) if isinstance(value, (pd.Timestamp, np.datetime64)) else str(value)
    x = float(value)
    if not math.isfinite(x):
        text = "missing" if math.isnan(x) else str(x)
    elif abs(x) < 10**4 and (x == round(x) or abs(x) >= 10 ** (digits - 1)):
        text = str(round(x))
    elif 10**4 <= abs(x) < 10**9:
        text = f"{x:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    else:
        text = f"{x:.{digits}g}"
    return text.replace("-", "\N{MINUS SIGN}")


def day(value: Any) -> str:
    """A time, without its hours at midnight."""
    time = pd.Timestamp(value)
    return str(time.date() if time == time.normalize() else time)


def percent(share: float) -> str:
    """A share in percent; one that is not 0 does not read as 0."""
    if share == 0:
        return "0 %"
    return "< 0.1 %" if share < 1e-3 else f"{100 * share:.3g} %"


def counted(n: float, noun: str) -> str:
    """A number of things: "1 row", "2 rows"."""
    return f"{number(n)} {noun}" if n == 1 else f"{number(n)} {noun}s"
