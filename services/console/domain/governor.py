"""How fast the replay lets time pass: as fast as the machine keeps up, within a budget of real seconds.

Our own lag, multiplied by the rate, is how late people seem to act in virtual time; so the rate follows the lag. Where
the machine is too slow for all of the traffic, fewer days are replayed instead of late ones.
"""

from collections import deque
from datetime import datetime, timedelta

from msgspec import Struct

_WINDOW_SECONDS = 0.8
_LEAST_RATE = 300.0
_LEAST_LAG_SECONDS = 0.005
_FASTEST_LATE = 3.0
"""How much faster than needed the weeks after may pass where nothing holds them up."""
_TRAFFIC_SHARE = 0.66


class Plan(Struct, frozen=True, kw_only=True):
    """What is replayed, and in how much real time at most."""

    since: datetime
    traffic_until: datetime
    """Requests that open from here on are left out."""
    until: datetime
    """Closings after this are left out, and the replay ends."""
    rate: float
    """Seconds of traffic in one, at most."""
    is_fixed: bool
    """The traffic passes at that rate whatever the lag."""
    traffic_seconds: float
    """After so much real time no more requests come."""
    late_seconds: float
    """The weeks after the traffic take no longer than this."""


_TRAFFIC_SLIP = timedelta(minutes=8)
_LATE_SLIP = timedelta(hours=1)
"""How late, in virtual time, our own lag may make things look."""


class Governor:
    """Decides the rate from what has been measured; `elapsed` is real seconds since the replay began."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.is_late = False
        """The traffic is over."""
        self._lags: deque[tuple[float, float]] = deque()
        self._late_from = plan.traffic_until
        self._late_began = 0.0

    def note_lag(self, elapsed: float, seconds: float) -> None:
        """Something took so many real seconds from when it was due to when it was done."""
        self._lags.append((elapsed, max(seconds, 0.0)))

    def is_traffic_over(self, now: datetime, elapsed: float) -> bool:
        """Whether the last request has come, or the time for them is used up."""
        return now >= self.plan.traffic_until or (not self.plan.is_fixed and elapsed >= self.plan.traffic_seconds)

    def end_traffic(self, now: datetime, elapsed: float) -> None:
        """From now on only what has come already goes on."""
        self.is_late = True
        self._late_from = min(now, self.plan.until)
        self._late_began = elapsed

    def rate(self, now: datetime, elapsed: float) -> float:
        """The rate for the next moment."""
        if not self.is_late and self.plan.is_fixed:
            return self.plan.rate
        while self._lags and self._lags[0][0] < elapsed - _WINDOW_SECONDS:
            self._lags.popleft()
        lag = max((seconds for _, seconds in self._lags), default=0.0)
        slip = _LATE_SLIP if self.is_late else _TRAFFIC_SLIP
        bearable = slip.total_seconds() / max(lag, _LEAST_LAG_SECONDS)
        if not self.is_late:
            return max(min(bearable, self.plan.rate), _LEAST_RATE)
        left = max((self.plan.until - now).total_seconds(), 0.0)
        needed = left / max(self.plan.late_seconds - (elapsed - self._late_began), 0.5)
        return max(needed, min(bearable, _FASTEST_LATE * needed), _LEAST_RATE)

    def progress(self, now: datetime, elapsed: float) -> float:
        """Share of the replay that is behind us, 0 to 1."""
        if not self.is_late:
            traffic = (now - self.plan.since) / (self.plan.traffic_until - self.plan.since)
            by_time = 0.0 if self.plan.is_fixed else elapsed / self.plan.traffic_seconds
            return _TRAFFIC_SHARE * _bounded(max(traffic, by_time))
        late = (now - self._late_from) / max(self.plan.until - self._late_from, timedelta(seconds=1))
        return _TRAFFIC_SHARE + (1 - _TRAFFIC_SHARE) * _bounded(late)


def _bounded(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def plan(since: datetime, *, days: float, weeks_after: float, rate: float, seconds: float, is_fixed: bool) -> Plan:
    """A replay of up to `days` of traffic and the weeks after it, in `seconds` of real time; two thirds for the traffic."""
    traffic = timedelta(days=days)
    return Plan(
        since=since,
        traffic_until=since + traffic,
        until=since + traffic + timedelta(weeks=weeks_after),
        rate=rate,
        is_fixed=is_fixed,
        traffic_seconds=seconds * _TRAFFIC_SHARE,
        late_seconds=seconds * (1 - _TRAFFIC_SHARE),
    )
