"""How far a long piece of work is, on standard error where that is a terminal."""

from collections.abc import Callable
from typing import Self

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from services.console.output import errors


class Bar:
    """How far it is, on standard error where that is a terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=errors(),
            disable=not errors().is_terminal,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, what: str, total: int | None = None) -> Callable[[], None]:
        """Another part of the work; the answer is called for each step of it."""
        task = self._progress.add_task(what, total=total)
        return lambda: None if self._progress.disable else self._progress.advance(task)
