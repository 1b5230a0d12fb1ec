"""Rules of the house that no compiler knows: layers, sizes, names, and nothing of the machine it was written on."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("services", "shared", "examples")
LONGEST_FILE = 500
LONGEST_TEST_FILE = 700
LONGEST_FUNCTION = 80
VAGUE = {"base", "common", "core", "helper", "helpers", "manager", "misc", "models", "types", "util", "utils"}
BINARY = {".gz", ".png", ".svg", ".ico", ".woff2"}


def _sources(*tops: str) -> list[Path]:
    return sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))


def _shipped() -> Iterator[Path]:
    """Every text file of the project; where there is no git, every file outside the folders that tools make."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [
            path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        ]
    yield from (path for path in paths if path.is_file() and path.suffix not in BINARY)


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_imports_keep_to_the_layers() -> None:
    """The contracts in pyproject.toml hold."""
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert 0 == done.returncode, done.stdout + done.stderr


def test_files_are_short() -> None:
    """A file that swallows everything is split before it does."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in _sources(*PRODUCT)}
    tests = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in _sources("tests")}

    assert {} == {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > LONGEST_FILE}
    assert {} == {str(path.relative_to(ROOT)): length for path, length in tests.items() if length > LONGEST_TEST_FILE}


def test_functions_are_short() -> None:
    """None is longer than what fits on a screen or two."""
    long = {
        f"{path.relative_to(ROOT)}:{function.name}": length
        for path in _sources(*PRODUCT, "tests")
        for function in _functions(path)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > LONGEST_FUNCTION
    }

    assert {} == long


def test_modules_are_named_for_what_they_hold() -> None:
    """No drawer for odds and ends."""
    assert [] == [
        str(path) for path in _sources("services", "shared") if path.stem in VAGUE or path.parent.name in VAGUE
    ]


def test_every_module_says_what_it_is_for() -> None:
    """In at most six lines."""
    silent = []
    for path in _sources("services", "shared"):
        text = path.read_text(encoding="utf-8")
        docstring = ast.get_docstring(ast.parse(text))
        if text.strip() and not (docstring and len(docstring.splitlines()) <= 6):
            silent.append(str(path.relative_to(ROOT)))

    assert [] == silent


def test_every_test_says_what_behaviour_it_shows() -> None:
    """In a sentence."""
    silent = [
        f"{path.relative_to(ROOT)}:{function.name}"
        for path in _sources("tests")
        if path.name.startswith("test_")
        for function in _functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]

    assert [] == silent


def test_tests_do_not_sleep() -> None:
    """They wait on signals, or move the time that decides."""
    sleepy = [
        str(path.relative_to(ROOT))
        for path in _sources("tests")
        if re.search(r"\b(?:asyncio|time)\.sleep\(", path.read_text())
    ]

    assert [] == [name for name in sleepy if not name.startswith(("tests/architecture/", "tests/bench/"))]


@pytest.mark.parametrize("pattern", [r"/home/\w+/", r"/Users/\w+/", r"(?<![\w$~./-])/root/", r"\bC:\\\\Users\\"])
def test_nothing_tells_of_the_machine_it_was_written_on(pattern: str) -> None:
    """No path of a person's home in any file."""
    here = Path(__file__)
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in _shipped()
        if path != here and (match := re.search(pattern, path.read_text(encoding="utf-8", errors="replace")))
    ]

    assert [] == found


def test_nothing_holds_the_path_of_this_checkout() -> None:
    """What is generated is not checked in."""
    assert [] == [str(path) for path in _shipped() if f"{ROOT}/" in path.read_text(encoding="utf-8", errors="replace")]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock", "requirements-uv.lock"])
def test_locked_dependencies_come_from_any_index(name: str) -> None:
    """A lock names versions and hashes, no server, and every line is pinned and hashed."""
    text = (ROOT / name).read_text()
    requirements = re.split(r"\n(?=\S)", text.strip())

    assert "://" not in text
    assert [] == [
        requirement for requirement in requirements if "==" not in requirement or "--hash=sha256:" not in requirement
    ]
