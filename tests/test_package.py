"""The package as a whole: what it installs, and which way its rooms may look."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Each module may import only modules that stand before it.
ORDER = (
    "priors", "networks", "data", "storage", "losses", "metrics", "models", "training", "stacking", "experiments",
    "comparisons", "likelihoods", "drawing", "results", "figures", "explore", "checks", "benchmark", "__main__",
)  # fmt: skip
# The same inside of a folder; models are built on each other in any order.
ORDER_INSIDE = {"experiments": ("registry", "trained", "evidence", "runs", "__init__")}


def imported_modules(path):
    """The modules of the library that a file imports, each as a room and, if it is in a folder, its name there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            of_package = node.module == "aae_lib"
            modules = [f"aae_lib.{alias.name}" for alias in node.names] if of_package else [node.module]
        yield from (module.split(".")[1:] for module in modules if module.startswith("aae_lib."))


@pytest.mark.parametrize("path", sorted((ROOT / "aae_lib").rglob("*.py")), ids=lambda path: path.stem)
def test_imports_point_one_way(path):
    room, *inside = path.relative_to(ROOT / "aae_lib").with_suffix("").parts
    if room == "__init__":
        assert not list(imported_modules(path))
        return
    for other, *part in imported_modules(path):
        if other != room:
            assert ORDER.index(other) < ORDER.index(room), f"{room} imports {other}"
            continue
        assert inside, f"{room} imports itself"
        if room in ORDER_INSIDE:
            (name,), (other_name,) = inside, part or ["__init__"]
            order = ORDER_INSIDE[room]
            assert order.index(other_name) < order.index(name), f"{name} imports {other_name}"


def test_requirements_and_package_ask_for_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = [line for line in lines if line and not line.startswith("#")]
    assert required == [*project["dependencies"], *extras["notebooks"], *extras["tests"], "-e ."]
    for requirement in required[:-1]:
        assert re.fullmatch(r"[\w-]+>=[\d.]+", requirement), "ranges, not pins"


def test_the_top_level_holds_what_was_agreed():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a git checkout")
    agreed = {"README.md", "requirements.txt", "pyproject.toml", "LICENSE", "notebooks", "aae_lib", "tests", "figures"}
    assert {path.split("/")[0] for path in listed.stdout.split() if not path.startswith(".")} <= agreed


def test_what_ships_is_small():
    shipped = sum(path.stat().st_size for path in (ROOT / "aae_lib" / "pretrained").rglob("*") if path.is_file())
    assert shipped <= 45e6
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert 0 < sum(path.stat().st_size for path in files if path.exists()) <= 55e6


def test_everything_that_ships_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["aae_lib"]
    installed = {path for pattern in patterns for path in (ROOT / "aae_lib").glob(pattern)}
    assert installed and installed == {p for p in (ROOT / "aae_lib" / "pretrained").rglob("*") if p.is_file()}
    packages = {path.parent.relative_to(ROOT) for path in (ROOT / "aae_lib").rglob("*.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == {".".join(package.parts) for package in packages}


def test_readme_names_every_notebook_and_every_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{notebook.name}" in readme
    for command in ("reproduce", "experiments", "train", "evaluate", "compare", "likelihoods", "benchmark"):
        assert f"python -m aae_lib {command}" in readme
