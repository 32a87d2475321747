"""HTML from templates: whatever stands in a file, a name or a log is escaped, always.

The templates lie in ui/templates, one folder a step; `ui` in them are the macros of macros.html, the filters
are the words of ui/words.py. A value that a template asks for and nobody gave is an error.
"""

from __future__ import annotations

import re
from zlib import crc32

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from core.base.home import APP_FOLDER
from ui import words
from ui.charts import memory_bar

TEMPLATES = APP_FOLDER / "ui" / "templates"
_FILTERS = (
    "between clipped context count deviation download_words duration energy last_part memory of_memory "
    "people percent room rounded short short_name size slug where"
)


_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table")
_MARKDOWN.disable(["image", "link", "autolink"])


def prose(text: str) -> Markup:
    """A sentence; what stands between backticks is shown as a command."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def markdown(text: str) -> Markup:
    """What a model wrote, laid out; HTML and links are shown as text. As it is where nothing is left."""
    html = _MARKDOWN.render(text)
    return Markup(html) if Markup(html).striptags().strip() else escape(text)


def number_of(text: str) -> str:
    """A name that may hold anything as part of an id."""
    return f"{crc32(text.encode()):08x}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update({name: getattr(words, name) for name in _FILTERS.split()})
    environment.filters.update(
        number=lambda value: f"{value:,}",
        prose=prose,
        markdown=markdown,
        number_of=number_of,
        memory_bar=memory_bar,
    )
    environment.globals["VERDICTS"] = words.VERDICTS
    environment.globals["ui"] = environment.get_template("macros.html").module
    return environment


ENVIRONMENT = _environment()


def render(template: str, /, **values: object) -> str:
    """The template with these values, without the blanks around it."""
    return ENVIRONMENT.get_template(template).render(values).strip()


def notice(mark: str, title: str, text: str = "") -> str:
    """A sentence that stands out, outside any template."""
    return render("notice.html", mark=mark, title=title, text=text)
