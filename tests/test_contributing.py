"""CONTRIBUTING.md's example of a new system, run as it is written but for its size; and README's example."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aae_lib.__main__ import main

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALLER = {"(1000, 1000)": "(32,)", "steps=3_000": "steps=20"}
RECORDED = ("test-set", "bands", "comparisons", "likelihoods", "likelihood-seed-0")  # what the tables need


def blocks(path: Path, language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(path.read_text(encoding="utf-8")) if found == language]


def additions() -> list[tuple[str, str]]:
    """Files and the lines to add to them; the first line of each block names its file."""
    split = [code.partition("\n") for code in blocks(ROOT / "CONTRIBUTING.md", "python")]
    return [(first.removeprefix("# "), code) for first, _, code in split]


def commands() -> list[list[str]]:
    """The commands after the example, the last shell block of CONTRIBUTING.md."""
    return [shlex.split(line) for line in blocks(ROOT / "CONTRIBUTING.md", "bash")[-1].splitlines()]


def replaced(code: str, replacements: dict[str, str]) -> str:
    for large, small in replacements.items():
        code = code.replace(large, small)
    return code


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, almost without what ships, with the example's lines in place."""
    root = tmp_path_factory.mktemp("checkout")
    evidence = root / "aae_lib" / "pretrained" / "evidence"
    shutil.copytree(ROOT / "aae_lib", root / "aae_lib", ignore=shutil.ignore_patterns("pretrained", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copy(ROOT / "README.md", root)
    evidence.mkdir(parents=True)
    for name in RECORDED:
        shutil.copy(ROOT / "aae_lib" / "pretrained" / "evidence" / f"{name}.safetensors.gz", evidence)
    for name, code in additions():
        with open(root / name, "a", encoding="utf-8") as file:
            file.write(f"\n\n{replaced(code, SMALLER)}")
    return root


IN_TURN = """
import json, sys
from aae_lib.__main__ import main
for command in json.loads(sys.argv[1]):
    print(chr(12), end="")
    sys.argv = command
    main()
"""


def run(commands: list[list[str]], folder: Path) -> list[str]:
    """What commands of the library print, one after the other in one process, which does not import everything anew.

    It finds no network, and so no MNIST, but the sample digits.
    """
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    environment = os.environ | nowhere | {"AAE_DATA": str(folder / "no-data"), "PYTHONPATH": str(folder)}
    assert all(command[:3] == ["python", "-m", "aae_lib"] for command in commands)
    arguments = json.dumps([command[2:] for command in commands])
    python = [sys.executable, "-c", IN_TURN, arguments]
    result = subprocess.run(python, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert not result.returncode, result.stderr
    return result.stdout.split("\f")[1:]


def test_the_example_is_small() -> None:
    lines = [line for _, code in additions() for line in code.splitlines() if line.strip()]
    assert len(additions()) <= 3 and len(lines) <= 60


def test_the_example_trains_ships_and_is_drawn(checkout: Path) -> None:
    trained, _, listed, reproduced = run(commands(), checkout)
    assert "reconstruction_error" in trained

    evidence = checkout / "aae_lib" / "pretrained" / "evidence"
    assert (evidence / "wae-gaussian-seed-0.safetensors.gz").exists()
    assert "`wae-gaussian`" in (checkout / "figures" / "results.md").read_text(encoding="utf-8")

    (row,) = [line for line in listed.splitlines() if line.startswith("wae-gaussian ")]
    assert "planned" not in row

    assert "codes within 1 standard deviations" in reproduced
    assert (checkout / "reproduced" / "wae.png").stat().st_size > 1000


def test_every_shell_command_of_the_documents_exists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["aae_lib", "--help"])
    with pytest.raises(SystemExit):
        main()
    known = capsys.readouterr().out
    for document in ("README.md", "CONTRIBUTING.md"):
        for command in re.findall(r"python -m aae_lib (\w+)", (ROOT / document).read_text(encoding="utf-8")):
            assert command in known, f"{document} names the command {command}"


def test_readmes_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAE_DATA", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (code,) = blocks(ROOT / "README.md", "python")
    exec(code.replace("steps=6000", "steps=2"), {})
