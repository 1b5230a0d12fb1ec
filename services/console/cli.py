"""The command `deskclock`: its groups and subcommands, each loaded when it is called."""

import importlib
from importlib.metadata import version

import click

_COMMANDS = {
    "up": "services.console.commands.up:up",
    "demo": "services.console.commands.demo:demo",
    "top": "services.console.commands.top:top",
    "policy": "services.console.commands.policy:policy",
    "roster": "services.console.commands.roster:roster",
    "ticket": "services.console.commands.ticket:ticket",
    "on-call": "services.console.commands.on_call:on_call",
    "report": "services.console.commands.report:report",
    "page": "services.console.commands.page:page",
    "keys": "services.console.commands.keys:keys",
    "dead": "services.console.commands.dead:dead",
    "evaluate": "services.console.commands.evaluate:evaluate",
    "model": "services.console.commands.model:model",
    "train": "services.console.commands.train:train",
    "calendar": "services.console.commands.calendar:calendar",
    "time": "services.console.commands.time:time",
    "migrate": "services.console.commands.operations:migrate",
    "health": "services.console.commands.operations:health",
    "settings": "services.console.commands.operations:settings",
}

_EPILOG = """\b
Exit codes: 0 done; 1 failed; 2 wrong command line; 3 a server does not
answer; 4 refused or invalid; 130 ended by Ctrl-C.
Settings are DESKCLOCK_* variables: `deskclock settings` explains them all.
NO_COLOR is respected."""


class ReaderLeft(Exception):
    """Who read our output has gone, as in `deskclock ... | head`; click would make a failure of the broken pipe."""


class _Loader(click.Group):
    """A group whose commands are imported when they are named."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; raises ReaderLeft for a broken pipe."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderLeft from error

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click names it
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click names it
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(
    cls=_Loader, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(version("deskclock"), message="deskclock %(version)s")
def deskclock() -> None:
    """Keeps the promises made to customers: every promise has a clock, every clock an owner."""
