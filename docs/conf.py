"""Configuration of the documentation site: ``make docs`` builds it into docs/_build."""

import os
import re
import sys
from datetime import date
from pathlib import Path

import matplotlib as mpl
from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

sys.path.insert(0, str(Path(__file__).parent.parent))
mpl.use("Agg")

import skvae

project = "skvae"
author = "The skvae developers"
copyright = f"{date.today().year}, {author}"
release = version = skvae.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
# Pages of computation times would take scripts from the network.
exclude_patterns = ["_build", "**/README.rst", "sg_execution_times.rst"]

# ---------------------------------------------------------------------------------- API reference

autosummary_generate = True
autodoc_typehints = "none"
autodoc_default_options = {"inherited-members": "BaseEstimator"}
numpydoc_show_class_members = True
numpydoc_show_inherited_class_members = True
numpydoc_class_members_toctree = False
numpydoc_attributes_as_param_list = True
numpydoc_xref_param_type = False
# References of docstrings that are inherited from scikit-learn, whose pages are not here.
OF_OTHERS = re.compile(r":(?:ref|term|external\+\w+:ref):`([^`<]*?)\s*(?:<[^>]*>)?`")


def without_references(app, what, name, obj, options, lines):
    text = OF_OTHERS.sub(r"\1", "\n".join(lines))
    # A final underscore would be read as a reference.
    lines[:] = re.sub(r"(?<![`\w.])n_components_(?![`\w])", r"n_components\_", text).split("\n")


# ---------------------------------------------------------------------------------------- formulas

html_math_renderer = "mathml"


def write_mathml(translator, node):
    """A formula in MathML, which browsers draw by themselves: the site needs no network."""
    is_block = isinstance(node, nodes.math_block)
    try:
        formula = tex2mathml(node.astext(), as_block=is_block)
    except MathError as error:
        logging.getLogger(__name__).warning("no MathML: %s", error, location=node)
        formula = translator.encode(node.astext())
    # The thin space of TeX between a function and what follows without a bracket.
    formula = re.sub(r"<mo>(&ApplyFunction;</mo>)(?!\s*<mo)", r'<mo rspace="0.17em">\1', formula)
    translator.body.append(f'<div class="formula">{formula}</div>' if is_block else formula)
    raise nodes.SkipNode


def setup(app):
    app.connect("autodoc-process-docstring", without_references, priority=0)
    app.add_html_math_renderer("mathml", (write_mathml, None), (write_mathml, None))


# ------------------------------------------------------------------------------------------ pages

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
suppress_warnings = ["config.cache"]  # of the options of sphinx-gallery, which hold a class
plot_html_show_source_link = plot_html_show_formats = False
plot_formats = [("svg", 100)]

# ---------------------------------------------------------------------------------------- gallery

# GALLERY=0: the examples are shown, but not run.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"run\.py$",
    "plot_gallery": os.environ.get("GALLERY", "1") == "1",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 0,
    "write_computation_times": False,
    "doc_module": ("skvae",),
    "reference_url": {"skvae": None},
    "backreferences_dir": "api/examples_of",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
}

# ------------------------------------------------------------------------------------------ theme

html_theme = "pydata_sphinx_theme"
html_title = "skvae"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_nav_level": 2,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
# Pages that have no others below them.
ALONE = [
    "start", "settings", "how_it_works", "comparisons", "extending", "contributing", "glossary",
    "changelog",
]  # fmt: skip
html_sidebars = {page: [] for page in ALONE}
