"""Making room for a ticket that nobody has room for: what was given before in the same run goes to somebody else.

The augmenting step of routing-rules 3.8. A run gives each ticket to the least flexible who can do it, in the order of
the queue, and may so give away the only one who could do a later ticket. Then a chain of moves is looked for: the
ticket takes the place of another of the same cost, which takes the place of a third, until one finds somebody with
room. Nobody's load changes but that of the last, and it grows; so what was found before of who has no room stays true, and
a place from which no chain leads on never has one later: all failed searches of a run together cost one walk over
its pairs. With one ticket for each agent, the tickets served are the best set in the order of the queue, and the
largest (P12).

Only what this run gave moves, and not what went to its previous owner or into somebody's own list.
"""

from msgspec import Struct

from services.router.domain.floor import Desk, Floor, numbers
from services.router.domain.queue import Waiting
from services.router.domain.roster import Crowd
from shared.contract.tickets import Channel


class Place(Struct, eq=False):
    """A piece of somebody's load that this run filled; another ticket of the same cost may come to fill it."""

    ticket: Waiting
    desk: Desk


class _Cost:
    """Places of one cost in units, and where no search needs to go again."""

    def __init__(self) -> None:
        self.filled: Crowd = 0
        self.places: dict[int, list[Place]] = {}
        self.dead: dict[Channel, Crowd] = {}


class _Step(Struct, eq=False):
    """A ticket that looks for room, and how it came to that."""

    ticket: Waiting
    place: Place | None
    """What it leaves; None for the ticket that the search began with."""
    before: "_Step | None"
    """Whose ticket takes that place."""


class Rearranger:
    """Remembers what may be moved, and moves it."""

    def __init__(self, floor: Floor, steps: int) -> None:
        """`steps` bounds the tickets that searches which succeed look at; after it nothing is moved any more."""
        self._floor = floor
        self._steps_left = steps
        self._costs: dict[tuple[int, bool], _Cost] = {}

    def note(self, place: Place) -> None:
        """A ticket was given that may be moved."""
        cost = self._cost(place.ticket)
        number = place.desk.number
        cost.filled |= place.desk.bit
        cost.places.setdefault(number, []).append(place)

    def _cost(self, ticket: Waiting) -> _Cost:
        key = (ticket.units, ticket.interruptible)
        cost = self._costs.get(key)
        if cost is None:
            cost = self._costs[key] = _Cost()
        return cost

    def make_room(self, ticket: Waiting) -> Place | None:
        """Give the ticket a place that another one leaves; returns the new place at the end of the chain.

        None where there is no such chain. Loads are up to date afterwards; the new place is not noted yet.
        """
        if self._steps_left <= 0:
            return None
        cost = self._cost(ticket)
        seen: dict[Channel, Crowd] = {}
        looked_at: set[int] = set()
        steps = [_Step(ticket, None, None)]
        for step in steps:  # grows
            channel = step.ticket.channel
            line = self._floor.line(step.ticket)
            allowed = line.present & ~self._floor.crowd(step.ticket.excluded)
            if step.place and (free := allowed & line.kind.fits):
                self._steps_left -= len(steps)
                return self._move(step, self._floor.best(free, line.kind, step.ticket.prefers))
            fresh = allowed & ~(cost.dead.get(channel, 0) | seen.get(channel, 0))
            seen[channel] = seen.get(channel, 0) | fresh
            for number in numbers(fresh & cost.filled):
                for place in cost.places[number]:
                    if id(place) not in looked_at and self._may_replace(step.ticket, place):
                        looked_at.add(id(place))
                        steps.append(_Step(place.ticket, place, step))
        for channel, crowd in seen.items():
            cost.dead[channel] = cost.dead.get(channel, 0) | crowd
        return None

    def _may_replace(self, ticket: Waiting, place: Place) -> bool:
        """Whether a ticket of the same cost leaves the load as it is: calls and ceilings count by channel."""
        held, desk = place.ticket.channel, place.desk
        if held is ticket.channel:
            return True
        if held in desk.room or ticket.channel in desk.room:
            return False
        # where one ticket is all they can have, nothing else fits beside a call, and nothing beside what isn't one
        is_all = desk.capacity == ticket.units and not self._floor.at_once
        return is_all or Channel.PHONE not in (held, ticket.channel)

    def _move(self, step: _Step, desk: Desk) -> Place:
        end = Place(step.ticket, desk)
        self._floor.take(desk, step.ticket)
        while step.place is not None and step.before is not None:
            place, step = step.place, step.before
            self._floor.exchange(place.desk, place.ticket, step.ticket)
            place.ticket = step.ticket
        return end
