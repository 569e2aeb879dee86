"""The site: ``sphinx-build -W -c docs . build/site``, from the root of a checkout.

The sources are the repository as it lies there, so that pages, notebooks and cards have one copy
each, and a link between them holds in a checkout as well as on the site. Notebooks are shown with
the outputs they carry; nothing is executed or fitted.
"""

from __future__ import annotations

import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import sloth_bayes  # noqa: E402

project = "sloth_bayes"
author = copyright = "the sloth_bayes authors"
version = release = sloth_bayes.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "numpydoc",
    "sphinx_copybutton",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*", "data/README.md", "models/*/card.md", "CHANGELOG.md"]
_read = {"docs", "notebooks", "data", "models"}
exclude_patterns = [p.name for p in ROOT.iterdir() if p.is_dir() and p.name not in _read]

nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!sloth_bayes).*")]  # of other packages, or prose
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say shapes and units; signatures stay short
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # docs/reference lists those that are public

html_theme = "furo"
html_title = f"sloth_bayes {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_extra"]
html_copy_source = False
html_math_renderer = "mathml"
copybutton_prompt_text = ">>> "
copybutton_exclude = ".linenos, .gp, .go"


def write_mathml(writer: nodes.NodeVisitor, node: nodes.Element) -> None:
    """A formula as MathML, by docutils: no script, and no network to fetch one from."""
    writer.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def link_names(app: Sphinx, doctree: nodes.document) -> None:
    """On the page of the whole API, which is plain Markdown, every name leads to its docstring."""
    if app.env.docname != "docs/api":
        return
    for row in doctree.findall(nodes.row):
        name = row.next_node(nodes.literal)
        if name is None:
            continue
        target = name.astext().removesuffix("()")
        if target.startswith("."):
            section = row.parent
            while not isinstance(section, nodes.section):
                section = section.parent
            target = section[0].astext() + target
        link = pending_xref(
            "", refdomain="py", reftype="obj", reftarget=f"sloth_bayes.{target}", refdoc="docs/api"
        )
        name.replace_self(link)
        link += name


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (write_mathml, None), (write_mathml, None))
    app.connect("doctree-read", link_names)
