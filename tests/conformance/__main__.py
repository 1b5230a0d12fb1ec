"""`python -m tests.conformance`: puts the vectors to Deskclock, or to any program that reads and writes lines of JSON."""

import io
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import click
import msgspec

from tests.conformance import ours, vectors
from tests.conformance.judging import differences, question
from tests.conformance.vectors import Vector


@click.command()
@click.option("--command", metavar="COMMAND", help="Program to test; without it, Deskclock itself.")
@click.option(
    "--file", "files", multiple=True, metavar="NAME", help="Of this file only, as in pauses.json; repeatable."
)
@click.option("--rule", "rules", multiple=True, type=int, metavar="NUMBER", help="Of this rule only; repeatable.")
@click.option("--questions", is_flag=True, help="Print the questions, and ask nobody.")
@click.option("--timeout", default=300.0, show_default=True, metavar="SECONDS", help="For all answers together.")
def main(command: str | None, files: tuple[str, ...], rules: tuple[int, ...], questions: bool, timeout: float) -> None:
    """Ask every vector's question and say where the answers differ; exit code 1 if any does.

    COMMAND is started once. It is given one question a line on standard input, and answers each with one line on
    standard output: the vector's `id`, and what its `expect` has. {"id": ..., "unsupported": "why"} leaves one out.
    """
    chosen = {
        name: [vector for vector in of_file if not rules or vector.rule in rules]
        for name, of_file in vectors.load().items()
        if (not files or name in files) and (not rules or any(vector.rule in rules for vector in of_file))
    }
    every = [vector for of_file in chosen.values() for vector in of_file]
    if not every:
        raise click.UsageError("no vector is of that file and rule; files are " + ", ".join(vectors.load()))
    asked = b"".join(msgspec.json.encode(question(vector)) + b"\n" for vector in every)
    if questions:
        sys.stdout.buffer.write(asked)
        return
    answers = _of_command(command, asked, timeout) if command else _of_ours(every)
    wrong = sum([_report(name, of_file, answers) for name, of_file in chosen.items()])
    sys.exit(1 if wrong else 0)


def _report(name: str, of_file: list[Vector], answers: Mapping[str, Any]) -> int:
    """Print what is wrong in one file and how much is right; how many are wrong."""
    wrong = left_out = 0
    for vector in of_file:
        answer = answers.get(vector.id)
        if isinstance(answer, dict) and "unsupported" in answer:
            left_out += 1
            continue
        said = ["no answer"] if not isinstance(answer, dict) else differences(vector, answer)
        wrong += bool(said)
        for line in said:
            click.echo(f"{name} {vector.id}: {line}")
    without = f", {left_out} left out" if left_out else ""
    click.echo(f"{name}: {len(of_file) - wrong - left_out} of {len(of_file)} right{without}")
    return wrong


def _of_command(command: str, asked: bytes, timeout: float) -> dict[str, Any]:
    try:
        done = subprocess.run(shlex.split(command), input=asked, stdout=subprocess.PIPE, timeout=timeout, check=False)
    except OSError as error:
        raise click.ClickException(f"{command!r} can't be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise click.ClickException(
            f"{command!r} has not answered within {timeout:g} s; --timeout allows more"
        ) from None
    answers: dict[str, Any] = {}
    for number, line in enumerate(done.stdout.splitlines(), start=1):
        if line.strip():
            try:
                answer = msgspec.json.decode(line)
                answers[answer["id"]] = answer
            except (msgspec.DecodeError, KeyError, TypeError):
                raise click.ClickException(
                    f"line {number} of the answers is no JSON object with an `id`: {line[:80]!r}"
                ) from None
    return answers


def _of_ours(every: list[Vector]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return {vector.id: _answer(vector, Path(folder)) for vector in every}


def _answer(vector: Vector, folder: Path) -> Any:
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with redirect_stdout(written), redirect_stderr(io.StringIO()):
        answer = ours.answer(vector, folder, lambda: written.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return msgspec.to_builtins(answer)


if __name__ == "__main__":
    main()
