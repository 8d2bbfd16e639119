"""The page: its sections in order, and how they look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sklearn.utils.validation import check_is_fitted

from skvae._estimators.base import BaseVAE
from skvae._estimators.vae_imputer import VAEImputer
from skvae._html.columns import n_rows
from skvae._html.style import PARTS
from skvae._html.text import Markup, counted, escaped
from skvae._version import __version__
from skvae.plots._style import COLORS

from .pictures import check_matplotlib
from .rows import Material
from .sections import SECTIONS

# The colors of the displays, lighter where they would be lost on black.
DARK = (
    "#8f83e8", "#e07a8b", "#3fae66", "#ddcc77", "#88ccee", "#d0639c", "#44aa99", "#cc78bb",
    "#b5b54a", "#ee7733",
)  # fmt: skip
PAGE_STYLE = """
:root {{ color-scheme: light dark; --page: #ffffff; --ink: #1a1a1a; --link: #0a5fa8;
  --other: #bbbbbb; --missing: #555555; {light} }}
@media (prefers-color-scheme: dark) {{ :root {{ --page: #16181c; --ink: #e8e8e8;
  --link: #7ab8f5; --other: #6b6b6b; --missing: #c9c9c9; {dark} }} }}
body {{ margin: 0; background: var(--page); color: var(--ink); }}
main {{ margin: 0 auto; padding: 1em 1.2em 4em; box-sizing: border-box; }}
h1 {{ font-size: 1.7em; margin: .6em 0 .2em; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.25em; margin: 2em 0 .4em; border-top: 1px solid rgba(128, 128, 128, .35);
  padding-top: .7em; }}
nav ul {{ list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2em 1.2em; }}
a {{ color: var(--link); }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font-size: .93em; }}
.skvae .skvae-picture {{ display: block; width: 100%; height: auto; margin: .5em 0; }}
.skvae .skvae-picture text {{ fill: currentColor; }}
.skvae-pictures {{ display: grid; gap: .4em 1.2em;
  grid-template-columns: repeat(auto-fill, minmax(210px, 1fr)); }}
.skvae-key {{ display: inline-block; width: 1.4em; height: .8em; margin: 0 .3em 0 0;
  box-sizing: border-box; }}
.skvae-rows {{ background: var(--color0); opacity: .45; }}
.skvae-drawn {{ border: 2px solid var(--color1); }}
"""


def report(
    estimator: Any, X: Any, path: Any = None, *, holdout: Any = None, random_state: int = 0
) -> str:
    """A fitted estimator and its rows as one HTML page.

    The page needs no network and no other file. Its sections are: columns, fit, density against
    simple baselines, latent plane, latent units, marginals of drawn rows against the given ones,
    the most unlikely rows with reasons, and missing values; those that do not apply are left out.
    At most 2 000 rows of X, and 1 000 of `holdout`, are scored and shown, chosen at random.

    Parameters
    ----------
    estimator : VAETransformer, VAEOutlierDetector or VAEImputer
        Fitted.
    X : table of shape (n_samples, n_features)
        The rows that were fitted, or some of them.
    path : str, path-like or None, default=None
        File to write, which is replaced if it is there. None: none.
    holdout : table of shape (n_other, n_features) or None, default=None
        Rows that were not fitted, for the densities. None: those of X, on which every flexible
        model is better than on new rows; the page says so.
    random_state : int, default=0
        Seed of the choice of rows, the drawn rows, and the baselines.

    Returns
    -------
    html : str
        The page.

    Raises
    ------
    ImportError
        Without matplotlib.
    TypeError
        If the estimator is none of the three.
    ValueError
        If X or `holdout` does not have the fitted columns.

    See Also
    --------
    skvae.diagnostics.sample_quality : How like real rows drawn rows are, in numbers.
    skvae.plots : The pictures, each for itself.

    Examples
    --------
    >>> import numpy as np
    >>> import skvae
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> vae = skvae.VAETransformer(2, max_iter=3, random_state=0).fit(X[:150])
    >>> html = skvae.report(vae, X[:150], holdout=X[150:])
    >>> html.startswith("<!doctype html>")
    True
    """
    if not isinstance(estimator, (BaseVAE, VAEImputer)):
        raise TypeError(
            "estimator must be a VAETransformer, VAEOutlierDetector or VAEImputer. "
            f"Got {type(estimator).__name__} instead; of a pipeline pass the step."
        )
    check_is_fitted(estimator)
    check_matplotlib()
    html = page(Material.of(estimator, X, holdout, random_state))
    if path is not None:
        Path(path).write_text(html, encoding="utf-8")
    return html


def page(material: Material) -> str:
    """The sections that apply, below a list of links to them."""
    written = [(title, write(material)) for title, write in SECTIONS.items()]
    written = [(title, body) for title, body in written if body]
    links = "".join(
        f'<li><a href="#section-{i}">{title}</a></li>' for i, (title, _) in enumerate(written)
    )
    sections = "\n".join(
        f'<section aria-labelledby="section-{i}">\n<h2 id="section-{i}">{title}</h2>\n{body}'
        "</section>"
        for i, (title, body) in enumerate(written)
    )
    name = type(material.estimator).__name__
    model = material.model
    size = f"{counted(n_rows(model), 'row')}, {counted(len(model.schema_.columns), 'column')}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name} of {escaped(size)}</title>\n<style>{_style()}</style>\n</head>\n"
        f'<body>\n<main class="skvae">\n<header><h1>{name}</h1>\n'
        f"<p>Fitted to {escaped(size)}. Report of skvae {escaped(__version__)}.</p></header>\n"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n{sections}\n</main>\n'
        "</body>\n</html>\n"
    )


def _style() -> Markup:
    light, dark = (
        " ".join(f"--color{i}: {color};" for i, color in enumerate(colors))
        for colors in (COLORS, DARK)
    )
    parts = PARTS.format(width="64em", height="")
    return Markup(PAGE_STYLE.format(light=light, dark=dark) + parts)
