"""The course: copies for students run unanswered, those for instructors are solved, pages need no network."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from aae_lib.course import course
from aae_lib.course.copies import exercises_of, instructor, student, tags
from aae_lib.course.pages import explorers_of, page
from aae_lib.course.slides import deck, gist
from aae_lib.errors import SettingError
from aae_lib.exercises import EXERCISES
from aae_lib.experiments import PRETRAINED, find, weights_path

ROOT = Path(__file__).parent.parent
NOTEBOOKS = {path.stem: nbformat.read(path, 4) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_a_notebook_has_three_exercises_and_four_questions(stem):
    cells = NOTEBOOKS[stem].cells
    names = [name for _, _, name, _ in exercises_of(NOTEBOOKS[stem])]
    assert len(names) >= 3 and set(names) <= EXERCISES.keys()
    assert sum("solution" in tags(cell) for cell in cells) == len(names)
    (quiz,) = [cell.source for cell in cells if "quiz" in tags(cell)]
    questions = [part for part in re.split(r"\n\s*\n(?=\*\*|\d\.|###)", quiz) if "<details>" in part]
    assert len(questions) == 4
    for question in questions:
        assert 3 <= question.count("<details>") <= 4 and len(re.findall(r"</summary>\s*Right", question)) == 1


def test_there_are_enough_exercises_and_bugs():
    cells = [cell for notebook in NOTEBOOKS.values() for cell in notebook.cells]
    assert sum("exercise" in tags(cell) for cell in cells) >= 36
    assert sum("bug" in tags(cell) for cell in cells) >= 10


@pytest.mark.course
def test_student_copies_run_unanswered_and_instructor_copies_are_right(tmp_path):
    """In one fresh process, since importing takes longest: the cells that exercises need, and no others."""
    for stem, notebook in NOTEBOOKS.items():
        for kind, copy in (("student", student(notebook)), ("instructor", instructor(notebook))):
            needed = [cell.source for cell in copy.cells if tags(cell) & {"setup", "exercise", "check"}]
            (tmp_path / f"{stem}-{kind}.py").write_text("\n\n".join(needed), encoding="utf-8")
    run = """
import os, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    os.environ["AAE_STRICT"] = str(int("instructor" in path.name))
    print("==", path.stem)
    exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), {"__name__": "__main__"})
"""
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-c", run, tmp_path], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    parts = re.split(r"^== (\S+)$", done.stdout, flags=re.MULTILINE)[1:]
    for name, printed in zip(parts[::2], parts[1::2], strict=True):
        names = [found for _, _, found, _ in exercises_of(NOTEBOOKS[name.rsplit("-", 1)[0]])]
        verdicts = {line.split(": ")[0]: line.split(": ", 1)[1] for line in printed.splitlines() if ": " in line}
        for exercise in names:
            assert exercise in verdicts, f"{name}: no verdict on {exercise}"
            assert (verdicts[exercise] == "correct") == name.endswith("instructor"), f"{name}: {exercise}"


def test_students_see_no_solutions_and_instructors_see_slips():
    for notebook in NOTEBOOKS.values():
        copy = student(notebook)
        assert not [cell for cell in copy.cells if "solution" in tags(cell) or cell.get("outputs")]
        told = "\n".join(cell.source for cell in instructor(notebook).cells if "solution" in tags(cell))
        for _, _, name, _ in exercises_of(notebook):
            assert all(slip in told for slip in EXERCISES[name].slips)


def test_live_explorers_are_of_models_that_ship():
    for notebook in NOTEBOOKS.values():
        for name in explorers_of(notebook) - {"game"}:
            assert all(weights_path(find(each), PRETRAINED).exists() for each in name.split())


@pytest.mark.parametrize("make", [page, deck])
def test_pages_and_slides_load_nothing_from_a_network(make):
    html = make(NOTEBOOKS["02_adversarial_autoencoder"], "02")
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//[^"'> ]*\.(?:js|css)""", html)
    assert 'href="../html/references.html"' in html or make is page
    assert "<math" in html and "application/vnd.jupyter.widget-view+json" not in html


def test_a_slide_has_the_first_sentences_only():
    text = "## The game\n\nFirst of Fig. 1. Second one.\n\n$$x. Y$$\n\n| a | b |\n|---|---|\n\n* One. Two.\n* Three."
    assert gist(text) == text.replace(" Second one.", "").replace(" Two.", "")


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SettingError, match="another --out"), contextlib.redirect_stdout(io.StringIO()):
        course(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
