"""Slides of a notebook by reveal.js: what is shown is chosen by rule; the whole text is in the speaker's notes."""

import importlib.util
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from nbconvert.exporters import SlidesExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from aae_lib.course.copies import tags
from aae_lib.course.pages import FOLDED, PLAIN, PageExporter, Renderer, shown

WORDS = 80  # of sentences on a slide
LEFT_OUT = {"setup", "exercise", "check", "solution", "quiz"}
DECK = f"""{{%- extends 'reveal/index.html.j2' -%}}{PLAIN}
{{%- block html_head_css -%}}
<style>
.reveal .slides {{ text-align: left; }}
.reveal {{ --r-heading-text-transform: none; --jp-content-font-size1: 26px; --jp-code-font-size: 14px; }}
.reveal .jp-InputPrompt, .reveal .jp-OutputPrompt {{ display: none; }}
.reveal .jp-OutputArea-output pre {{ font-size: 16px; }}
.reveal img {{ max-height: 560px; width: auto; margin: 0; }}
.reveal iframe {{ width: 100%; height: 660px; border: 0; }}
.reveal pre {{ width: 100%; box-shadow: none; margin: 8px 0; }}
</style>
{{%- endblock -%}}
{{%- block footer_js -%}}
<script src="reveal.js/dist/reveal.js"></script>
<script src="reveal.js/plugin/notes/notes.js"></script>
<script>
Reveal.initialize({{ hash: true, slideNumber: "c/t", plugins: [RevealNotes], width: 1100, height: 720 }});
</script>
{{%- endblock -%}}
"""


class SlideRenderer(Renderer):
    folder = "../html/"


class DeckExporter(PageExporter, SlidesExporter):
    """Slides without anything from a network; reveal.js lies beside."""

    raw_template, renderer = DECK, SlideRenderer
    reveal_url_prefix, reveal_theme = "reveal.js", "white"


def deck(notebook: NotebookNode, title: str) -> str:
    """A notebook as slides."""
    slides = shown(notebook, "../html/explorers")
    slides.cells = [part for cell in slides.cells for part in slides_of(cell)]
    return DeckExporter().from_notebook_node(slides, {"metadata": {"name": title}})[0]


def slides_of(cell: NotebookNode) -> list[NotebookNode]:
    """What of a cell is shown.

    A heading begins a slide with the first sentences of its text. Below it lie pictures, explorers, printed code and
    hand-written training steps, each on a slide of its own. All other cells, exercises and quizzes are left out.
    """
    if tags(cell) & LEFT_OUT:
        return []
    if cell.cell_type == "markdown":
        sections = re.split(r"^(?=#+ )", cell.source, flags=re.MULTILINE)
        return [slide for section in sections if section.strip() for slide in _text_slides(section)]
    if any({"image/png", "text/html"} & set(output.get("data", {})) for output in cell.outputs):
        cell.outputs = [output for output in cell.outputs if output.output_type != "stream"]
        return [_typed(cell, "subslide")]
    if ".backward()" in cell.source:
        cell.outputs = []
        return [_typed(cell, "subslide", tags=[])]
    return [_typed(cell, "subslide")] if "getsource(" in cell.source else []


def _text_slides(section: str) -> list[NotebookNode]:
    """A slide for a section that has a heading, and its text as notes."""
    if re.match(r"#+ (Exercise|Find|Predict)", section):
        return []
    notes = _typed(new_markdown_cell(section), "notes")
    return [_typed(new_markdown_cell(gist(section)), "slide"), notes] if section.startswith("#") else [notes]


def gist(text: str) -> str:
    """The headings, formulas, tables and first sentences of Markdown, up to ``WORDS`` words of the latter."""
    left, parts = WORDS, []
    text = re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)
    for part in re.split(r"\n\s*\n", text.strip()):
        if part.startswith("<") or (part.startswith("|") and text.startswith("# ")):  # the header of a notebook
            continue
        if not part.startswith(("#", "$$", "```", "!", "|")):
            lines = re.split(r"\n(?=[*\-] |\d+\. )", part)
            kept = []
            for line in lines:
                sentence = re.split(r"(?<=[a-z0-9$`)\]*][.?!]) (?=[A-Z])", line, maxsplit=1)[0]
                left -= len(sentence.split())
                kept += [sentence] if left >= 0 else []
            part = "\n".join(kept)
        parts.append(part)
    return "\n\n".join(filter(None, parts))


def _typed(cell: NotebookNode, kind: str, tags: Sequence[str] = (FOLDED,)) -> NotebookNode:
    cell.metadata = NotebookNode(slideshow={"slide_type": kind}, tags=list(tags) if cell.cell_type == "code" else [])
    return cell


def write_reveal(folder: Path) -> None:
    """reveal.js itself, as it comes with sphinx-revealjs, without what these slides do not use."""
    source = Path(importlib.util.find_spec("sphinx_revealjs").submodule_search_locations[0]) / "_static" / "revealjs"
    unused = shutil.ignore_patterns("*.map", "*.esm.js", "*.eot", "*.ttf", "league-gothic")
    shutil.copytree(source / "dist", folder / "dist", ignore=unused)
    shutil.copytree(source / "plugin" / "notes", folder / "plugin" / "notes", ignore=unused)
