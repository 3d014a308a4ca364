"""Notebooks for students and for instructors, made of a notebook and of the library's exercises."""

import ast
from collections.abc import Iterator
from copy import deepcopy

from nbconvert.preprocessors import ClearOutputPreprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_output

from aae_lib.exercises import EXERCISES, Exercise
from aae_lib.exercises.exercise import RIGHT


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def exercises_of(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode, str, str]]:
    """For each exercise the cell to fill in, the cell that checks it, its name, and the variable that is checked."""
    stub = None
    for cell in notebook.cells:
        if "exercise" in tags(cell):
            stub = cell
        elif "check" in tags(cell):
            calls = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
            for call in calls:
                if ast.unparse(call.func) == "check":
                    name, answer = call.args
                    yield stub, cell, name.value, ast.unparse(answer)


def student(notebook: NotebookNode) -> NotebookNode:
    """A copy without solutions and without outputs."""
    copy, _ = ClearOutputPreprocessor().preprocess(deepcopy(notebook), {})
    copy.cells = [cell for cell in copy.cells if "solution" not in tags(cell)]
    return copy


def instructor(notebook: NotebookNode) -> NotebookNode:
    """A copy whose exercises are solved, with what their checks print, why it is right, and the usual slips."""
    copy, answers = deepcopy(notebook), []
    for stub, check, name, variable in exercises_of(copy):
        stub.source, stub.outputs = solved(EXERCISES[name], variable), []
        check.outputs = [new_output("stream", name="stdout", text=f"{name}: {RIGHT}\n")]
        answers.append(_about(EXERCISES[name]))
    for cell in [cell for cell in copy.cells if "solution" in tags(cell)]:
        metadata = NotebookNode(tags=["solution"])
        place = copy.cells.index(cell)
        copy.cells[place] = NotebookNode(id=cell.id, cell_type="markdown", metadata=metadata, source=answers.pop(0))
    return copy


def solved(exercise: Exercise, variable: str) -> str:
    """The right answer as the source of a cell that gives it to ``variable``."""
    if not callable(exercise.right):
        return f"{variable} = {exercise.solution}"
    source = exercise.solution.rstrip()
    return source if exercise.right.__name__ == variable else f"{source}\n\n\n{variable} = {exercise.right.__name__}"


def _about(exercise: Exercise) -> str:
    """For instructors: why the answer is right, how long it takes, and what students get wrong."""
    slips = "\n".join(f"* {slip}" for slip in exercise.slips)
    head = f"**For instructors, {exercise.minutes} minutes.** {exercise.because}"
    return f"{head}\n\nThe check names these slips:\n\n{slips}"
