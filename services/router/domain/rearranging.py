"""Making room for a ticket that nobody has room for: what was given before in the same run goes to somebody else.

The augmenting step of routing-rules 3.8: a chain of moves between places of the same cost, up to somebody who has room.
With one ticket for each agent, the tickets served are the best set in the order of the queue, and the largest (P12).
Only what this run gave moves, and not what went to its previous owner or into somebody's own list.
"""

from collections.abc import Sequence

from msgspec import Struct

from services.router.domain.floor import Desk, Floor, Kind, Line, numbers
from services.router.domain.queue import Waiting
from services.router.domain.roster import Crowd
from shared.contract.tickets import Channel


class Place(Struct, eq=False, gc=False):
    """A piece of somebody's load that this run filled; another ticket of the same cost may come to fill it."""

    ticket: Waiting
    line: Line
    desk: Desk
    may_move: bool
    search: int = 0
    """The last search that came by."""


class _Cost:
    """Places of one cost in units, and where no search needs to go again."""

    def __init__(self) -> None:
        self.filled: Crowd = 0
        self.places: dict[int, list[Place]] = {}
        self.dead: dict[Channel, Crowd] = {}


class _Step(Struct, eq=False, gc=False):
    """A ticket that looks for room, and how it came to that."""

    ticket: Waiting
    allowed: Crowd
    place: Place | None = None
    """What it leaves; None for the ticket that the search began with."""
    before: "_Step | None" = None
    """Whose ticket takes that place."""


class Rearranger:
    """Remembers what may be moved, and moves it.

    A move changes nobody's load but that of the last in the chain, and it grows. So a place from which no chain leads on
    never has one later, and all failed searches of a run together cost one walk over its pairs.
    """

    def __init__(self, floor: Floor, given: Sequence[Place], steps: int) -> None:
        """`given` grows with the run; `steps` bounds the tickets that searches which succeed look at.

        Beyond it nothing is moved any more. 5,000 tickets that each take one of 5,000 agents need some 1,200 steps, so it
        guards against helpdesks that nobody has thought of.
        """
        self._floor = floor
        self._given = given
        self._noted = 0
        self._steps_left = steps
        self._costs: dict[tuple[int, bool], _Cost] = {}
        self._by_kind: dict[Kind, _Cost] = {}
        self._searches = 0

    def _note(self) -> None:
        """Sort in what was given since the last search, where it may be moved."""
        for place in self._given[self._noted :]:
            if place.may_move:
                cost, desk = self._cost(place.line.kind), place.desk
                if cost.filled & desk.bit:
                    cost.places[desk.number].append(place)
                else:
                    cost.filled |= desk.bit
                    cost.places[desk.number] = [place]
        self._noted = len(self._given)

    def _cost(self, kind: Kind) -> _Cost:
        """What all kinds of work that cost the same have in common."""
        cost = self._by_kind.get(kind)
        if cost is None:
            cost = self._by_kind[kind] = self._costs.setdefault((kind.units, kind.interruptible), _Cost())
        return cost

    def make_room(self, ticket: Waiting, line: Line, allowed: Crowd) -> Place | None:
        """Give the ticket, which only those allowed may have, a place that another one leaves; None where there is none.

        Returns the new place, at the end of the chain of moves. Loads are up to date afterwards.
        """
        if self._steps_left <= 0:
            return None
        self._note()
        cost = self._cost(line.kind)
        if not allowed & cost.filled & ~cost.dead.get(ticket.channel, 0):
            return None
        self._searches = search = self._searches + 1
        seen = dict(cost.dead)
        steps = [_Step(ticket, allowed)]
        for step in steps:  # grows
            channel = step.ticket.channel
            known = seen.get(channel, 0)
            seen[channel] = known | step.allowed
            for number in numbers(step.allowed & ~known & cost.filled):
                for place in cost.places[number]:
                    other, beyond = place.ticket, place.line
                    if place.search == search or not (
                        other.channel is channel or self._may_replace(step.ticket, place)
                    ):
                        continue
                    place.search = search
                    if not other.excluded:
                        if beyond.search == search:
                            continue  # others of its line have looked everywhere that it may go
                        beyond.search = search
                    onward = self._floor.allowed(other, beyond) if other.excluded else beyond.present
                    free = onward & beyond.kind.fits
                    if free:
                        self._steps_left -= len(steps)
                        best = self._floor.best(free, beyond.kind, other.prefers)
                        return self._move(_Step(other, onward, place, step), line, best)
                    steps.append(_Step(other, onward, place, step))
        cost.dead = seen
        return None

    def _may_replace(self, ticket: Waiting, place: Place) -> bool:
        """Whether a ticket of the same cost, but another channel, leaves the load as it is: calls and ceilings count by it."""
        held, desk = place.ticket.channel, place.desk
        if held in desk.room or ticket.channel in desk.room:
            return False
        # where one ticket is all they can have, nothing fits beside it, a call or not
        is_all = desk.capacity == ticket.units and not self._floor.at_once
        return is_all or Channel.PHONE not in (held, ticket.channel)

    def _move(self, step: _Step, line: Line, desk: Desk) -> Place:
        """Walk a chain back to the ticket that it began with, of this line."""
        place = step.place
        end = Place(step.ticket, place.line if place else line, desk, may_move=True)
        self._floor.take(desk, step.ticket)
        while place is not None and step.before is not None:
            step = step.before
            place.ticket, place.line = step.ticket, step.place.line if step.place else line
            place = step.place
        return end
