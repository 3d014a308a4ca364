"""The notebooks themselves: how they are made, that their exercises can be solved, and that nbval can fail.

That every cell runs and every tagged output is as stored is tested by nbval, which collects ``notebooks/`` beside this.
"""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from aae_lib.exercises import EXERCISES

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHECKED = "nbval-check-output"
TAGS = {CHECKED, "setup", "exercise", "bug", "check", "solution", "quiz"}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def tags(cell):
    return set(cell.metadata.get("tags", []))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook, tag):
    return [cell for cell in code_cells(notebook) if tag in tags(cell)]


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")


def test_there_are_notebooks_in_reading_order():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{number:02d}" for number in range(len(NOTEBOOKS))]
    assert len(NOTEBOOKS) >= 4


def test_each_opens_with_the_same_header(path, notebook):
    nbformat.validate(notebook)
    header = notebook.cells[0].source
    assert header.startswith(f"# {path.stem[:2]} · ")
    for entry in ("Reproduces", "You will", "You need", "Time", "Data"):
        assert f"**{entry}**" in header


def test_each_was_run_from_top_to_bottom(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]


def test_checked_cells_are_tagged_and_print_something_that_can_be_checked(notebook):
    assert all(tags(cell) <= TAGS for cell in notebook.cells), "an unknown tag would be silently ignored by nbval"
    assert not [cell for cell in code_cells(notebook) if "NBVAL" in cell.source], "comments are no reliable markers"
    checked = tagged(notebook, CHECKED)
    assert len(checked) >= 3
    for cell in checked:
        assert printed(cell).strip(), f"nothing to check in:\n{cell.source}"
        assert not re.search(r"\d\.\d{4}", printed(cell)), "more decimals than processors agree on"
        assert [output.output_type for output in cell.outputs] == ["stream"]
    of_code = [cell for cell in code_cells(notebook) if "getsource" in cell.source]
    assert all(CHECKED in tags(cell) for cell in of_code), "the library's code would go stale where it is shown"


def test_figures_are_pictures_and_are_followed_by_their_counts(notebook):
    cells = notebook.cells
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 2
    assert not [output for output in outputs if "image/svg+xml" in output.get("data", {})]
    for position, cell in enumerate(cells):
        if cell.cell_type == "code" and "FIGURES[" in cell.source:
            assert CHECKED in tags(cells[position + 1]), f"no checked cell after:\n{cell.source}"
            assert cells[position + 2].cell_type == "markdown", "every figure is discussed"


def test_there_is_one_setup_cell_and_cells_are_short(notebook):
    assert len(tagged(notebook, "setup")) == 1
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= 26, cell.source


def test_nothing_names_a_machine(notebook):
    text = nbformat.writes(notebook)
    assert not re.search(r"(?<![\w./-])/(work|root|home|tmp|Users)/", re.sub(r'"image/png": "[^"]*"', "", text))


def test_exercises_are_open_and_the_answers_of_the_library_pass_their_checks(notebook, monkeypatch):
    exercises, checks, solutions = (tagged(notebook, tag) for tag in ("exercise", "check", "solution"))
    names = [re.fullmatch(r'check\("(\w+)", \w+\)', cell.source)[1] for cell in checks]
    assert [cell.source for cell in solutions] == [f'solution("{name}")' for name in names]
    assert len(exercises) == len(checks) >= 3
    assert all(cell.metadata.jupyter.source_hidden for cell in checks + solutions)

    namespace: dict = {}
    exec(tagged(notebook, "setup")[0].source, namespace)
    for name, exercise, check in zip(names, exercises, checks, strict=True):
        monkeypatch.delenv("AAE_STRICT", raising=False)
        exec(exercise.source, namespace)
        with contextlib.redirect_stdout(out := io.StringIO()):
            exec(check.source, namespace)
        assert out.getvalue() == printed(check) and not printed(check).endswith(": correct\n")
        assert ("not solved yet" in printed(check)) != ("bug" in tags(exercise))
        monkeypatch.setenv("AAE_STRICT", "1")
        answer = EXERCISES[name].solution
        exec(answer if callable(EXERCISES[name].right) else f"{name} = {answer}", namespace)
        exec(check.source, namespace)


@pytest.mark.parametrize("path", NOTEBOOKS[:1], indirect=True, ids=lambda path: path.stem)
def test_nbval_fails_when_a_stored_output_is_wrong(path, notebook, tmp_path):
    """Cut the notebook after its first checked cell, corrupt what that cell has stored, and see nbval fail there.

    One notebook stands for all: they differ in their cells, not in how nbval compares an output.
    """
    end = next(i for i, cell in enumerate(notebook.cells) if CHECKED in tags(cell)) + 1
    notebook.cells = notebook.cells[:end]
    stored = notebook.cells[-1].outputs[0]
    digit = re.search(r"\d", stored.text)
    position = digit.start() if digit else 0
    wrong = "7" if stored.text[position] != "7" else "8"
    stored.text = stored.text[:position] + wrong + stored.text[position + 1 :]
    corrupted = tmp_path / path.name
    nbformat.write(notebook, corrupted)

    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q", "-p", "no:cacheprovider"]
    result = subprocess.run([*command, corrupted], capture_output=True, text=True, cwd=tmp_path)
    cells = len(code_cells(notebook))
    assert result.returncode == 1, result.stdout
    assert f"1 failed, {cells - 1} passed" in result.stdout, result.stdout
