"""The course: from the notebooks to copies for students, for instructors and for the browser, and slides.

    copies   notebooks for students and instructors
    pages    HTML pages that need no network, with live explorers
    slides   what of a notebook is shown on which slide
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aae_lib.errors import SettingError, writing

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
SLIDES = ("00", "02")  # the notebooks that a lecture begins with
INDEX = "# The course\n\nWritten by `python -m aae_lib course`"


def course(out: Path = Path("course")) -> None:
    """Write the course: notebooks for students and for instructors, HTML pages with live explorers, and slides.

    Args:
        out: the folder; what an earlier call wrote there is replaced.
    """
    from tqdm.auto import tqdm

    _check(out)
    with writing(out, "Choose another folder with --out"):
        for folder in ("student", "instructor", "html", "slides"):
            shutil.rmtree(out / folder, ignore_errors=True)
        steps = _steps(out)
        with tqdm(steps.items(), unit="file") as progress:
            for path, write in progress:
                progress.set_postfix_str(path.relative_to(out).as_posix())
                path.parent.mkdir(parents=True, exist_ok=True)
                write(path)
    print(f"wrote {len(steps)} files; begin with {out / 'index.html'}")


def _check(out: Path) -> None:
    """Refuse to write among anything else than an earlier course."""
    if not NOTEBOOKS.is_dir():
        raise SettingError(f"expected the notebooks in {NOTEBOOKS}, found none: run it in a clone of the repository")
    index = out / "index.html"
    is_course = index.is_file() and "aae_lib course" in index.read_text(encoding="utf-8")
    if out.exists() and not is_course and (not out.is_dir() or any(out.iterdir())):
        raise SettingError(f"expected a new folder or an earlier course, found others in {out}: choose another --out")


def _steps(out: Path) -> dict[Path, Callable[[Path], object]]:
    """What writes each file."""
    import nbformat

    from aae_lib.course.copies import instructor, student
    from aae_lib.course.pages import explorers_of, file_of, page, text_page, write_explorer
    from aae_lib.course.slides import deck, write_reveal

    steps: dict[Path, Callable[[Path], object]] = {}

    def add(name: str, make: Callable[[], str]) -> None:
        steps[out / name] = lambda path: path.write_text(make(), encoding="utf-8")

    notebooks = {path.stem: nbformat.read(path, 4) for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
    add("index.html", partial(text_page, _index(list(notebooks)), "course"))  # first: it marks the folder as a course
    for stem, notebook in notebooks.items():
        for kind, copy in (("student", student), ("instructor", instructor)):
            add(f"{kind}/{stem}.ipynb", lambda copy=copy, notebook=notebook: nbformat.writes(copy(notebook)) + "\n")
        add(f"html/{stem}.html", partial(page, notebook, stem))
        if stem.startswith(SLIDES):
            add(f"slides/{stem}.html", partial(deck, notebook, stem))
    for path in sorted(NOTEBOOKS.rglob("*.md")):
        name, text = path.relative_to(NOTEBOOKS).with_suffix("").as_posix(), path.read_text(encoding="utf-8")
        for kind in ("student", "instructor"):
            add(f"{kind}/{name}.md", lambda text=text: text)
        add(f"html/{name}.html", partial(text_page, text, path.stem))
    for name in sorted(set().union(*map(explorers_of, notebooks.values()))):
        steps[out / "html" / "explorers" / file_of(name)] = partial(write_explorer, name)
    steps[out / "slides" / "reveal.js"] = write_reveal
    return steps


def _index(stems: list[str]) -> str:
    rows = ["| notebook | for students | for instructors | slides |", "|---|---|---|---|"]
    for stem in stems:
        slides = f"[slides](slides/{stem}.html)" if stem.startswith(SLIDES) else ""
        copies = [f'<a href="{kind}/{stem}.ipynb">notebook</a>' for kind in ("student", "instructor")]
        rows.append("| " + " | ".join([f"[{stem}](html/{stem}.html)", *copies, slides]) + " |")
    texts = "[For teachers](html/teaching.html) · [notation](html/notation.html) · [references](html/references.html)"
    return "\n\n".join([INDEX, "\n".join(rows), texts])
