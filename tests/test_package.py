"""The package as a whole: what it installs, which way its rooms may look, and how large its parts may be."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import aae_lib

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "aae_lib").rglob("*.py"))
# Each room may import earlier ones. Inside of a room there are no circles.
ORDER = (
    "errors", "seeding", "devices", "shapes", "storage", "paper", "data", "priors", "networks", "losses", "metrics",
    "picture_metrics", "models", "training", "experiments", "report", "explore", "exercises", "apply", "sweeps",
    "course", "__main__",
)  # fmt: skip


def name_of(path):
    return path.relative_to(ROOT / "aae_lib").as_posix()


def imported(path):
    """The modules of the library that a file needs at run time, without the leading ``aae_lib.``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    guarded = {id(node) for block in blocks for node in ast.walk(block)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [module if is_module(module) else node.module for module in inner]
        else:
            continue
        for module in modules:
            if module.startswith("aae_lib.") and id(node) not in guarded:
                yield module.removeprefix("aae_lib.")


def is_module(name):
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_one_way(path):
    room = name_of(path).removesuffix(".py").split("/")[0]
    others = {module.split(".")[0] for module in imported(path)} - {room}
    if room == "__init__":
        assert not others
    assert not [other for other in others if ORDER.index(other) > ORDER.index(room)]


def test_inside_of_rooms_there_are_no_circles():
    modules = {name_of(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__"): path for path in SOURCES}
    known = {name: {other for other in imported(path) if other in modules} - {name} for name, path in modules.items()}
    while free := [name for name, others in known.items() if not others & known.keys()]:
        for name in free:
            del known[name]
    assert not known


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_sizes_have_bounds_and_few_rooms_know_mnist_s_numbers(path):
    text = path.read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    if not name_of(path).startswith(("data/", "experiments/", "exercises/")):
        assert not [node.lineno for node in nodes if isinstance(node, ast.Constant) and node.value in (28, 784)]
    assert len(text.splitlines()) <= 400
    for kind, bound in ((ast.ClassDef, 200), ((ast.FunctionDef, ast.AsyncFunctionDef), 60)):
        long = [node.name for node in nodes if isinstance(node, kind) and node.end_lineno - node.lineno >= bound]
        assert not long, f"more than {bound} lines"


def test_the_package_has_lazy_public_names():
    code = "import sys, aae_lib; print('torch' in sys.modules, aae_lib.Gaussian(2), 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.startswith("False Gaussian(") and found.stdout.endswith("True\n")
    assert set(aae_lib.__all__) <= set(dir(aae_lib)) and len(aae_lib.__all__) == 16
    for name in aae_lib.__all__:
        assert getattr(aae_lib, name).__module__.startswith("aae_lib.")
    with pytest.raises(AttributeError, match="nothing"):
        aae_lib.nothing  # noqa: B018


def test_requirements_and_package_ask_for_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = [line for line in lines if line and not line.startswith("#")]
    assert required == [*project["dependencies"], *extras["sweep"], *extras["notebooks"], *extras["tests"], "-e ."]
    ranges = re.compile(r"[\w-]+(\[\w+\])?>=[\d.]+")
    assert all(map(ranges.fullmatch, required[:-1])), "ranges, not pins"


def test_everything_that_ships_is_installed_and_small():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    installed = {path for pattern in settings["package-data"]["aae_lib"] for path in (ROOT / "aae_lib").glob(pattern)}
    shipped = {path for path in (ROOT / "aae_lib" / "pretrained").rglob("*") if path.is_file()}
    front_end = {path for path in (ROOT / "aae_lib" / "explore" / "front").iterdir() if path.is_file()}
    assert shipped and installed == shipped | front_end
    assert sum(path.stat().st_size for path in shipped) <= 50e6
    assert all((path.parent / "__init__.py").exists() for path in SOURCES), "a package that would not be found"


def test_the_repository_holds_what_was_agreed():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a git checkout")
    files = [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
    agreed = {"README.md", "CONTRIBUTING.md", "CITATION.cff", "requirements.txt", "pyproject.toml", "LICENSE"}
    folders = {"notebooks", "aae_lib", "tests", "figures"}
    assert {name.split(os.sep)[0] for name in files if not name.startswith(".")} <= agreed | folders
    assert sum((ROOT / name).stat().st_size for name in files) <= 60e6


def test_readme_names_every_notebook_and_every_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"notebooks/{path.name}" in readme for path in (ROOT / "notebooks").glob("*.ipynb"))
    for command in ("reproduce", "experiments", "train", "evaluate", "encode", "sample", "ship", "baselines"):
        assert f"python -m aae_lib {command}" in readme
