"""Kill points: the ten places of a page's way where dying matters most, so that `make faults` can die at each.

A process that was told nothing passes them for the price of a call. One that was armed ends (`kill -9`) or stands still
(SIGSTOP) at the n-th passing of one point; in production that is refused.
"""

import os
import signal
from enum import StrEnum

from msgspec import Struct

from shared.runtime.settings import SettingsError

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Point(StrEnum):
    """Where a process may be when it dies, in the order of a page's way."""

    K1_RECEIVED = "K1_RECEIVED"
    """An event was received and is not stored."""
    K2_STORED = "K2_STORED"
    """It is stored, and NATS has not been told."""
    K3_DUE = "K3_DUE"
    """A step is due and not claimed."""
    K4_STEPPING = "K4_STEPPING"
    """In the step's transaction, before its commit."""
    K5_STEPPED = "K5_STEPPED"
    """The step is committed, its events are not published."""
    K6_CLAIMED = "K6_CLAIMED"
    """An attempt is claimed, nothing is sent."""
    K7_SENT = "K7_SENT"
    """The request is sent, no answer is read."""
    K8_ANSWERED = "K8_ANSWERED"
    """The answer is read and not stored."""
    K9_CONCLUDED = "K9_CONCLUDED"
    """It is stored, its events are not published."""
    K10_ANSWERING = "K10_ANSWERING"
    """In the transaction of an acknowledgement, before its commit."""


class _Trap(Struct):
    point: Point
    left: int
    number: signal.Signals


_armed: _Trap | None = None


def passing(point: Point) -> None:
    """The process is at this point; it goes no further where it was told so."""
    if _armed is not None and _armed.point is point:
        _armed.left -= 1
        if _armed.left == 0:
            os.kill(os.getpid(), _armed.number)


def is_armed(point: Point) -> bool:
    """Whether passing this one may end the process: what it takes to notice the point is done only then."""
    return _armed is not None and _armed.point is point


def arm(told: str, *, environment: str) -> None:
    """Take `K6_CLAIMED:3` (the third passing kills) or `K6_CLAIMED:3:stop`; empty disarms. Raises SettingsError."""
    global _armed  # noqa: PLW0603 - one process has one death
    if told and environment == "production":
        raise SettingsError(
            "DESKCLOCK_FAULT_POINT kills this process, and DESKCLOCK_ENVIRONMENT says production: unset it"
        )
    _armed = _trap(told) if told else None


def _trap(told: str) -> _Trap:
    name, _, rest = told.partition(":")
    count, _, how = rest.partition(":")
    try:
        left = int(count or "1")
        trap = _Trap(Point(name), left, _SIGNALS[how or "kill"])
    except (ValueError, KeyError):
        left, trap = 0, None
    if trap is None or left < 1:
        raise SettingsError(
            f"DESKCLOCK_FAULT_POINT={told}: give a point, the how-manieth passing, and `kill` or `stop`, "
            f"as in K6_CLAIMED:3:stop; points are {', '.join(Point)}"
        )
    return trap
