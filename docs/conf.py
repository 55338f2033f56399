"""How `make docs` builds the site: Sphinx reads these pages, and the reference from the code."""

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import from_code
from sphinx.errors import SphinxError

from ctrobust import __version__

project = "ctrobust"
version = release = __version__
copyright = "the authors of ctrobust; GPL-3.0-or-later"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["images"]

html_theme = "furo"
html_static_path = html_css_files = ["style.css"]
html_title = f"ctrobust {__version__}"
html_show_sourcelink = html_copy_source = False
myst_heading_anchors = 3
# Typographic dashes would spoil --options.
smartquotes = False

maximum_signature_line_length = 100
autodoc_member_order = "groupwise"
autodoc_preserve_defaults = True

DOCS = Path(__file__).resolve().parent
LINK = re.compile(r"\]\((\.\./[^)#]+\.md)\)")

FOREIGN = re.compile(
    r"""<(?:script|img|iframe|link)[^>]*(?:src|href)=["'](?:https?:)?//|url\(["']?(?:https?:)?//|@import"""
)

FROM_CODE = {
    "reference/commands": from_code.commands,
    "reference/recipes": from_code.recipes,
    "reference/python": from_code.python,
}
"""Pages that end in what the code says."""


def setup(app: Any) -> None:
    app.connect("source-read", _read)
    app.connect("autodoc-process-docstring", _translate)
    app.connect("autodoc-skip-member", _skip)
    app.connect("build-finished", _refuse_foreign)


def _read(app: Any, page: str, source: list[str]) -> None:
    """Files of the repository that are no page of the site are handed out as they are."""
    source[0] = LINK.sub(lambda link: _handed_out(link, DOCS / f"{page}.md"), source[0])
    if page in FROM_CODE:
        source[0] += "\n" + FROM_CODE[page]() + "\n"


def _handed_out(link: re.Match[str], page: Path) -> str:
    file = (page.parent / link[1]).resolve()
    return link[0] if file.is_relative_to(DOCS) else f"](path:{link[1]})"


def _translate(app: Any, kind: str, name: str, what: Any, options: Any, lines: list[str]) -> None:
    lines[:] = from_code.as_rest(lines)


def _skip(app: Any, kind: str, name: str, what: Any, skip: bool, options: Any) -> bool | None:
    """A named tuple's fields have no words of their own."""
    return True if (getattr(what, "__doc__", None) or "").startswith("Alias for field") else None


def _refuse_foreign(app: Any, failure: Exception | None) -> None:
    """No page fetches anything from elsewhere when it is opened."""
    if failure:
        return
    for file in (*app.outdir.rglob("*.html"), *app.outdir.rglob("*.css")):
        if found := FOREIGN.search(file.read_text(encoding="utf-8")):
            raise SphinxError(f"{file}: would be fetched from elsewhere: {found[0]}")
