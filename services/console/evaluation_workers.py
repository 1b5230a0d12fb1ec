"""The parts of an evaluation judged side by side, in processes of their own.

A worker is given the path of a part through its pipe and answers when the part is replaced by its answers. It ends when
the pipe does, so none outlives us.
"""

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from services.console import evaluation, gathering
from services.console.evaluation import Tally
from services.console.failures import Failure
from shared.policy.parse import parse_policy

_PATIENCE_SECONDS = 5.0


class Done(NamedTuple):
    """A part has been judged."""

    answers: Path
    bytes: int
    """Its size before."""
    faults: int
    first_faults: list[tuple[int, str]]


def judged(parts: Sequence[Path], policy: str, now: datetime, workers: int) -> Iterator[Done]:
    """Judge parts by the text of a policy, as each is done; raises Failure if a worker is killed, and what a worker raised."""
    context = multiprocessing.get_context("spawn")
    left = list(parts)
    with ExitStack() as stack:
        idle: list[Connection] = []
        for _ in range(min(workers, len(left))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, policy, now), daemon=True)
            process.start()
            theirs.close()
            stack.callback(_end, process)
            idle.append(stack.enter_context(ours))
        busy: list[Connection] = []
        while left or busy:
            while left and idle:
                busy.append(idle.pop())
                busy[-1].send(left.pop())
            for connection in wait(busy):
                assert isinstance(connection, Connection)  # noqa: S101 - what we gave it; `wait` takes sockets too
                yield _received(connection)
                busy.remove(connection)
                idle.append(connection)


def _received(connection: Connection) -> Done:
    try:
        answer = connection.recv()
    except (EOFError, ConnectionError):
        raise Failure("a worker was killed, maybe for want of memory: try again with fewer --jobs") from None
    if isinstance(answer, Done):
        return answer
    raise answer


def _end(process: BaseProcess) -> None:
    process.terminate()
    process.join(_PATIENCE_SECONDS)


def _work(connection: Connection, policy_text: str, now: datetime) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    policy = parse_policy(policy_text, version=0)
    with suppress(EOFError, ConnectionError):
        while True:
            part, tally = connection.recv(), Tally()
            try:
                judge = partial(evaluation.judged, policy=policy, now=now, tally=tally)
                size = part.stat().st_size
                connection.send(Done(gathering.judged(part, judge), size, tally.faults, tally.first_faults))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where it can be said
                connection.send(error)
