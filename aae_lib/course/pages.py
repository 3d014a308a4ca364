"""HTML pages that need no network: formulas are MathML, and explorers lie in files beside."""

import re
from copy import deepcopy
from pathlib import Path

from jinja2 import pass_context
from jinja2.runtime import Context
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook, new_output
from traitlets.config import Config

WIDGET = "application/vnd.jupyter.widget-view+json"
# What the templates of nbconvert would load from a network goes.
PLAIN = """
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""
THIN = '<mspace width="0.17em"/>'
FOLDED = "remove-input"  # tag of cells whose source is not shown
PAGE = f"""{{%- extends 'lab/index.html.j2' -%}}{PLAIN}
{{%- block html_head_css -%}}
<style>
main {{ max-width: 980px; margin: 0 auto; padding: 16px; }}
iframe.explorer {{ width: 100%; border: 0; }}
img {{ max-width: 100%; }}
math {{ font-size: 1.08em; }}
</style>
{{%- endblock -%}}
"""


def mathml(formula: str, display: str = "inline") -> str:
    """A formula in LaTeX as MathML, as browsers show it well."""
    braced = re.sub(r"\\mathbb ?(\w)", r"\\mathbb{\1}", formula)
    return re.sub(r"<mi>(log|exp|sin|cos)</mi>(?!<mo)", rf"\g<0>{THIN}", convert(braced, display=display))


class Renderer(IPythonRenderer):
    """Markdown with formulas as MathML, and links to notebooks and texts as links to their pages."""

    folder = ""  # of the pages, as seen from the file

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, "block")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        if "://" not in url:
            url = re.sub(r"^(.+)\.(ipynb|md)(?=$|#)", rf"{self.folder}\1.html", url)
        return super().link(text, url, title)


class PageExporter(HTMLExporter):
    """HTML without anything from a network."""

    raw_template, renderer = PAGE, Renderer

    @property
    def default_config(self) -> Config:
        config = super().default_config
        config.TagRemovePreprocessor.remove_input_tags = {FOLDED}
        return config

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        return MarkdownWithMath(renderer=self.renderer(escape=False, exclude_anchor_links=True)).render(source)


def page(notebook: NotebookNode, title: str) -> str:
    """A notebook as it was stored, as HTML."""
    return PageExporter().from_notebook_node(shown(notebook, "explorers"), {"metadata": {"name": title}})[0]


def text_page(text: str, title: str) -> str:
    """Markdown as HTML."""
    return page(new_notebook(cells=[new_markdown_cell(text)]), title)


def explorers_of(notebook: NotebookNode) -> set[str]:
    """The names of explorers that cells show: "game", or experiments separated by spaces (metadata "explorer")."""
    return {cell.metadata.explorer for cell in notebook.cells if "explorer" in cell.metadata}


def shown(notebook: NotebookNode, folder: str) -> NotebookNode:
    """A copy without folded sources, and with live explorers, which lie in ``folder``, for their still pictures."""
    copy = deepcopy(notebook)
    for cell in copy.cells:
        if cell.cell_type != "code":
            continue
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.metadata.tags = [*cell.metadata.get("tags", ()), FOLDED]
        for number, output in enumerate(cell.outputs):
            if WIDGET not in output.get("data", {}):
                continue
            if name := cell.metadata.get("explorer"):
                cell.outputs[number] = new_output("display_data", {"text/html": frame(name, folder)})
            else:
                del output.data[WIDGET]
    return copy


def frame(name: str, folder: str) -> str:
    """The place of a live explorer in a page."""
    kind = "The game of adversaries" if name == "game" else f"Explorer of {name}"
    source = f"{folder}/{file_of(name)}"
    return f'<iframe class="explorer" src="{source}" title="{kind}" height="1180" loading="lazy"></iframe>'


def file_of(name: str) -> str:
    return f"{name.replace(' ', '+')}.html"


def write_explorer(name: str, path: Path) -> None:
    """The page of an explorer, on the digits that come with the package."""
    from aae_lib.data import load_sample
    from aae_lib.explore import explore, recorded_games, write_games

    if name == "game":
        write_games(path, recorded_games())
    else:
        explore(name.split(), path, load_sample().test)
