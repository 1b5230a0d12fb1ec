"""What a command says: tables for people, JSON for programs; colours only where a terminal asks for them."""

import asyncio
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from services.console.settings import Settings
from shared.runtime import settings as settings_reader

P = ParamSpec("P")
R = TypeVar("R")

_PIPE_WIDTH = 160

json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
tenant_option = click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose data.")
roster_option = click.option(
    "--roster",
    "roster_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The roster file that goes with it.",
)


def read_settings() -> Settings:
    """The console's settings; raises SettingsError."""
    return settings_reader.load(Settings)


def console() -> Console:
    """Where answers go: wide where nobody looks, so that a pipe gets whole lines. What customers write is no markup."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def errors() -> Console:
    """Where progress and warnings go."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def asynchronous(command: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Let click call a coroutine."""

    @wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return asyncio.run(command(*args, **kwargs))

    return call


def interrupt(_number: int, _frame: object) -> None:
    """What SIGTERM does to commands that have something to stop: the same as Ctrl-C."""
    raise KeyboardInterrupt


def program() -> str:
    """How this program is called from the present folder, ready for a shell."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{_from_here(Path(sys.executable))} -m services.console"
    found = shutil.which(called.name)
    if found is not None and called.exists() and Path(found).samefile(called):
        return called.name
    return _from_here(called)


def _from_here(path: Path) -> str:
    here = Path(os.path.abspath(path))  # noqa: PTH100 - a link in a virtual environment must stay one
    return shlex.quote(str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here))


def write_json(value: Any) -> None:
    """One document, indented; instants in RFC 3339."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def write_line(value: Any) -> None:
    """One document on a line of its own."""
    click.echo(msgspec.json.encode(value))


def table(*columns: str, title: str | None = None, right: Iterable[str] = ()) -> Table:
    """An empty table in our manner; columns in `right` are numbers."""
    made = Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", header_style="bold", pad_edge=False
    )
    numbers = set(right)
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return made


def moment(at: datetime | None) -> str:
    """An instant for a person, to the second, with its offset; a dash for none."""
    return "-" if at is None else at.isoformat(sep=" ", timespec="seconds")
