"""A ticket's promises by living through every minute of it: slow, plain, and nothing of ours in it.

Like `oracle` for calendars: no code is shared with `shared.sla`, so that vectors don't merely repeat us. Open time is
counted minute by minute (cut at events), under every line of the policy at once; the line that holds is then looked at.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.conformance.oracle import FARTHEST, Calendars, seconds
from tests.conformance.vectors import Clocks, CloudEvent

MINUTE = timedelta(minutes=1)
OVER = {"solved", "closed", "spam", "merged"}
RANKS = ("opened", "updated", "deadline_set", "assigned", "replied", "status_changed")
PAUSED = {kind: {"pending_customer", "on_hold"} for kind in ("resolution", "update", "internal_resolution")}
INTERNAL = ("internal_first_response", "internal_resolution")


@dataclass
class Wait:
    """Somebody waits for something."""

    kind: str
    since: datetime
    origin: datetime
    until: datetime | None = None
    is_kept: bool = False
    pins: dict[datetime, datetime | None] = field(default_factory=dict)


@dataclass
class Count:
    """How a promise of one line stands in one wait."""

    line: Mapping[str, Any]
    promise: float
    used: float = 0
    grace_left: float = 0
    due: datetime | None = None
    grace_due: datetime | None = None

    @property
    def reached(self) -> datetime | None:
        """When all that was promised was used."""
        if self.due is None or self.grace_left > 0:
            return None
        return self.due if self.grace_due is None else max(self.due, self.grace_due)

    def count(self, at: datetime, length: float) -> None:
        """So much open time goes by."""
        if self.used < self.promise <= self.used + length:
            self.due = at + timedelta(seconds=self.promise - self.used)
        if 0 < self.grace_left <= length:
            self.grace_due = at + timedelta(seconds=self.grace_left)
        self.used += length
        self.grace_left -= length

    def wait(self, at: datetime, length: float) -> None:
        """So much goes by that does not count; what is due as a pause begins is due as it ends."""
        self.due = at + timedelta(seconds=length) if self.due == at else self.due
        self.grace_due = at + timedelta(seconds=length) if self.grace_due == at else self.grace_due


class Life:
    """A ticket, told event by event."""

    def __init__(self, vector: Clocks) -> None:
        self.calendars = Calendars(vector.policy.calendars)
        self.targets = vector.policy.targets
        self.now = vector.now
        self.waits: list[Wait] = []
        self.running: dict[str, Wait] = {}
        self.first: dict[str, datetime] = {}
        self.facts: list[tuple[datetime, dict[str, str]]] = []
        self.statuses: list[tuple[datetime, str]] = []
        self.is_answered, self.is_informed, self.is_asked = False, True, False
        self.opened_at = datetime.max.replace(tzinfo=UTC)
        self.instants: set[datetime] = {vector.now}
        self._kept: dict[Any, Any] = {}
        for at, kind, data in _in_order(vector.events):
            self.opened_at = min(self.opened_at, at)
            self.instants.add(at)
            getattr(self, f"_{kind}")(at, data)
        self._cuts = sorted(self.instants)

    def clocks(self) -> list[dict[str, Any]]:
        """What the vectors' `clocks` asks for."""
        found: list[dict[str, Any]] = []
        for wait in self.waits:
            before = sum(clock["target"] == wait.kind for clock in found)
            found += [{**clock, "cycle": before + number} for number, clock in enumerate(self._live(wait), start=1)]
        return found

    # What happened.

    def _opened(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.facts = [(at, {key: data[key] for key in ("urgency", "channel", "team") if key in data})]
        self.facts[0][1].setdefault("urgency", "normal")
        self.statuses = [(at, "open")]
        if data.get("by", "customer") == "customer":
            self._begin("first_response", at)
        self._begin("update", at)
        self._begin("resolution", at)
        for kind in INTERNAL:
            self._begin(kind, at)

    def _updated(self, at: datetime, data: Mapping[str, Any]) -> None:
        self.facts.append((at, {**self.facts[-1][1], **data}))

    def _assigned(self, at: datetime, data: Mapping[str, Any]) -> None:
        if data.get("team") not in {None, self.facts[-1][1].get("team")}:
            self.facts.append((at, {**self.facts[-1][1], "team": data["team"]}))
            for kind in INTERNAL:
                self._end(kind, at, is_kept=True)
                if self.statuses[-1][1] not in OVER:
                    self._begin(kind, at)

    def _deadline_set(self, at: datetime, data: Mapping[str, Any]) -> None:
        due = data["due_at"] and datetime.fromisoformat(data["due_at"])
        self.running[data["target"]].pins[at] = due
        self.instants |= {due} if due else set()

    def _replied(self, at: datetime, data: Mapping[str, Any]) -> None:
        is_over = self.statuses[-1][1] in OVER
        if not data.get("public", True) or data["by"] == "bot":
            return
        if data["by"] == "customer":
            if not is_over and not self.is_asked:
                self._await_answer(at)
            self.is_asked = True
            return
        self.is_asked = False
        self.is_answered = "first_response" in self.first
        for kind in ("first_response", "next_response", "internal_first_response"):
            self._end(kind, at, is_kept=True)
        if self.is_informed and not is_over:
            self._end("update", at, is_kept=True)
            self._begin("update", at)

    def _await_answer(self, at: datetime) -> None:
        if self.is_answered:
            self._begin("next_response", at)
        elif "first_response" not in self.first:
            self._begin("first_response", at)

    def _status_changed(self, at: datetime, data: Mapping[str, Any]) -> None:
        before, status = self.statuses[-1][1], data["status"]
        self.statuses.append((at, status))
        if status in OVER and before not in OVER:
            self.is_asked = False
            for kind in tuple(self.running):
                self._end(kind, at, is_kept=status in {"solved", "closed"} and kind.endswith("resolution"))
        elif status not in OVER and before in OVER:
            mode = (self._line("resolution", at) or {}).get("on_reopen", "resume")
            self.is_informed = mode != "none"
            for kind in ("first_response", "update", "resolution") if self.is_informed else ():
                if kind != "first_response" or (kind in self.first and not self.is_answered):
                    resumed = mode == "resume" and kind != "update"
                    self._begin(kind, at, self.first.get(kind, at) if resumed else at)
            for kind in INTERNAL if self.is_informed else ():
                self._begin(kind, at)
            if self.is_asked:
                self._await_answer(at)

    def _begin(self, kind: str, at: datetime, origin: datetime | None = None) -> None:
        self.first.setdefault(kind, at)
        self.running[kind] = Wait(kind, at, origin or at)
        self.waits.append(self.running[kind])

    def _end(self, kind: str, at: datetime, *, is_kept: bool) -> None:
        wait = self.running.pop(kind, None)
        if wait is not None:
            wait.until, wait.is_kept = at, is_kept

    # What was promised.

    def _line(self, kind: str, at: datetime) -> Mapping[str, Any] | None:
        facts = [said for since, said in self.facts if since <= at][-1]
        for line in self.targets:
            valid = line.get("valid", {})
            if (
                (line.get("kind") == "internal") == (kind in INTERNAL)
                and all(facts.get(name) in _listed(value) for name, value in line.get("when", {}).items())
                and ("from" not in valid or self.opened_at >= datetime.fromisoformat(valid["from"]))
                and ("to" not in valid or self.opened_at < datetime.fromisoformat(valid["to"]))
            ):
                return line
        return None

    def _is_paused(self, kind: str, line: Mapping[str, Any], at: datetime) -> bool:
        written = line.get("pauses_while", {})
        if isinstance(written, list):
            written = dict.fromkeys(PAUSED, written)
        status = [said for since, said in self.statuses if since <= at][-1]
        return status in OVER or status in written.get(kind, PAUSED.get(kind, ()))

    def _counts(self, wait: Wait) -> dict[str, Count]:
        counts = {}
        for line in self.targets:
            text = line.get(wait.kind.removeprefix("internal_"))
            if text is not None:
                promise: float = seconds(text)
                if text.endswith("bd"):
                    due = self.calendars.due(line["calendar"], wait.origin, text)
                    assert due is not None
                    promise = self.calendars.open_seconds(line["calendar"], wait.origin, due)
                counts[line["name"]] = Count(line, promise)
        return counts

    def _since(self, ask: Callable[..., Any], at: datetime, *of: Any) -> Any:
        """What was so at the last event, asked once for each."""
        key = (ask.__name__, bisect_right(self._cuts, at), *map(id, of))
        if key not in self._kept:
            self._kept[key] = ask(*of, at)
        return self._kept[key]

    # Living through it.

    def _live(self, wait: Wait) -> Iterator[dict[str, Any]]:
        counts = self._counts(wait)
        end = wait.until or self.now
        held: Count | None = None
        broken: datetime | None = None
        started = wait.since
        present = [] if wait.until else [(self.now, self.now)]
        for at, until in [*self._slices(wait.origin, end), *present]:
            if at >= wait.since:
                line = self._since(self._line, at, wait.kind)
                count = None if line is None else counts.get(line["name"])
                if held is not None and count is None:
                    yield self._finished(wait, held, started, at, broken, is_kept=False)
                    held, broken = None, None
                elif held is None and count is not None:
                    held, started = count, at
                    if at > wait.since:
                        _change(held)
                elif held is not count and broken is None and held is not None and count is not None:
                    held = counts[count.line["name"]] = _changed(held, count, wait.kind)
            self._count(wait, counts, at, (until - at).total_seconds())
            if held is not None and at >= wait.since and broken is None:
                broken = self._breaks(wait, held, at, until)
        if held is None:
            return
        if wait.until is not None:
            if broken is None and _pin(wait, wait.until) is None and held.reached and held.reached < wait.until:
                broken = wait.until  # ended in a pause that found it used up (rule 39)
            yield self._finished(wait, held, started, wait.until, broken, is_kept=wait.is_kept)
        else:
            yield self._standing(wait, held, started, broken)

    def _slices(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        at = start
        cuts = [*(cut for cut in self._cuts if at < cut < end), end]
        while at < end:
            until = at + MINUTE
            if at.second or at.microsecond:
                until = until.replace(second=0, microsecond=0)
            if until >= cuts[0]:
                until = cuts.pop(0)
            yield at, until
            at = until

    def _count(self, wait: Wait, counts: Mapping[str, Count], at: datetime, length: float) -> None:
        for count in counts.values():
            if self._since(self._is_paused, at, wait.kind, count.line):
                count.wait(at, length)
            elif self.calendars.is_open(count.line["calendar"], at):
                count.count(at, length)

    def _breaks(self, wait: Wait, held: Count, at: datetime, until: datetime) -> datetime | None:
        """When in this stretch, if at all; the wait goes on to its end."""
        pin = _pin(wait, at)
        due = held.reached if pin is None else pin
        if due is None or max(due, at) >= until or (pin is None and self._is_paused(wait.kind, held.line, at)):
            return None
        return max(due, at)

    def _standing(self, wait: Wait, held: Count, started: datetime, broken: datetime | None) -> dict[str, Any]:
        pin, used = _pin(wait, self.now), held.used
        is_paused = broken is None and pin is None and self._is_paused(wait.kind, held.line, self.now)
        return {
            "target": wait.kind,
            "matched": held.line["name"],
            "state": "breached" if broken else "paused" if is_paused else "running",
            "started_at": started,
            "due_at": None if is_paused else pin or self._ahead(held, self.now),
            "met_at": None,
            "breached_at": broken,
            "open_seconds": used,
            "wall_seconds": (self.now - started).total_seconds(),
        }

    def _ahead(self, held: Count, at: datetime) -> datetime | None:
        """When all will be used if nothing more happens."""
        held = replace(held)
        for since, until in self._slices(at, at + FARTHEST):
            if held.reached is not None:
                break
            if self.calendars.is_open(held.line["calendar"], since):
                held.count(since, (until - since).total_seconds())
        return held.reached

    def _finished(
        self, wait: Wait, held: Count, started: datetime, ended: datetime, broken: datetime | None, *, is_kept: bool
    ) -> dict[str, Any]:
        used = held.used
        return {
            "target": wait.kind,
            "matched": held.line["name"],
            "state": ("breached" if broken else "met") if is_kept else "cancelled",
            "started_at": started,
            "due_at": _pin(wait, ended) or self._ahead(held, ended),
            "met_at": ended if is_kept else None,
            "breached_at": broken,
            "open_seconds": used,
            "wall_seconds": (ended - started).total_seconds(),
        }


def _promise(line: Mapping[str, Any], kind: str) -> list[Any]:
    """What makes a promise the same under two lines."""
    return [line.get(kind.removeprefix("internal_")), line.get("calendar"), line.get("pauses_while")]


def _changed(held: Count, count: Count, kind: str) -> Count:
    """Another line comes to hold: as it stands where the promise is the same, else by its `on_change`."""
    if _promise(held.line, kind) == _promise(count.line, kind):
        return replace(held, line=count.line)
    _change(count)
    return count


def _change(held: Count) -> None:
    """The line comes to hold while the wait goes on."""
    mode = held.line.get("on_change", "retroactive")
    if mode == "restart":
        held.used, held.due = 0, None
    elif mode != "retroactive":
        held.grace_left = seconds(mode["grace"])


def _pin(wait: Wait, at: datetime) -> datetime | None:
    return next((due for said, due in reversed(wait.pins.items()) if said <= at), None)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _in_order(events: list[CloudEvent]) -> list[tuple[datetime, str, dict[str, Any]]]:
    told = {}
    for event in events:
        at, kind = datetime.fromisoformat(event.time), event.type.removeprefix("ticket.")
        if at.tzinfo is not None:
            told[event.id] = (at.astimezone(UTC), kind, event.data)
    opened = next(at for at, kind, _ in told.values() if kind == "opened")
    return sorted(
        ((max(at, opened), kind, data) for at, kind, data in told.values()),
        key=lambda one: (one[0], RANKS.index(one[1])),
    )
