"""`deskclock`, also as `python -m services.console`: runs a command; every failure is one line and an exit code."""

import logging
import os
import signal
import sys
from collections.abc import Sequence

import click

from services.console.cli import ReaderLeft, deskclock
from services.console.failures import Exit, explained


def main() -> None:
    """The installed command.

    A shell starts `deskclock up &` of a script with SIGINT ignored, and that is inherited: Ctrl-C and `kill -INT` shall
    end us all the same.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:  # noqa: PLR0911 - one for each way to end
    """Run one command line; returns its exit code."""
    logging.getLogger().addHandler(
        logging.NullHandler()
    )  # what the libraries log is for services; commands speak for themselves
    try:
        result = deskclock.main(args=list(arguments), prog_name="deskclock", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else Exit.OK
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.USAGE
    except click.UsageError as error:
        where = f"; see `{error.ctx.command_path} --help`" if error.ctx else ""
        return _say(error.format_message().rstrip("."), where, Exit.USAGE)
    except click.ClickException as error:
        return _say(error.format_message(), "", Exit.FAILED)
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    except (BrokenPipeError, ReaderLeft):
        # Who read our output has left (`deskclock ... | head`): nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except BaseExceptionGroup as group:
        return _fail(_first(group))
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets one line
        return _fail(error)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _fail(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if os.environ.get("DESKCLOCK_DEBUG", "").strip() in {"1", "true"}:
        sys.excepthook(type(error), error, error.__traceback__)
    text, code = explained(error)
    return _say(text, "", code)


def _say(text: str, where: str, code: int) -> int:
    line = " ".join(text.split()) + where
    name = (
        click.style("deskclock:", fg="red") if sys.stderr.isatty() and not os.environ.get("NO_COLOR") else "deskclock:"
    )
    click.echo(f"{name} {line}", err=True, color=None)
    return code


if __name__ == "__main__":
    main()
