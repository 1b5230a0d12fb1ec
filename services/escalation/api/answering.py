"""Answers by API key: somebody takes responsibility, snoozes what they took, or gives it back."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from litestar import post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct, field

from services.escalation.answering import Answer, Impossible, Wanted
from services.escalation.api import dependencies
from services.escalation.api.escalations import not_found
from services.escalation.domain.answer import CHANGING, Action, Standing
from shared.contract.access import Scope
from shared.contract.events import Name
from shared.contract.problems import FieldError, Kind, Refused
from shared.policy import durations
from shared.policy.reading import Unreadable
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import Example, operation

Length = Annotated[str, Meta(max_length=40, description="A length of time, as in `15m` or `1h30m`.")]


class Acknowledgement(Struct, frozen=True, kw_only=True):
    """Who takes responsibility."""

    by: Name
    """Key of a person on the roster, or the name of the system that answers for one."""


class Snooze(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who takes responsibility, and when they are to be paged again; `until` or `for`."""

    by: Name
    until: datetime | None = None
    length: Length | None = field(default=None, name="for")


class HandBack(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who gives back what they took."""

    by: Name
    generation: int | None = None
    """That of the escalation when you looked at it: if it went on since, nothing is done (409)."""


_AN_HOUR = Example(name="an hour", body=Snooze(by="ana", length="1h"))


@post(
    "/v1/escalations/{escalation_id:uuid}/acknowledge",
    opt=operation(Scope.PAGES_ACK, takes=Acknowledgement, gives={200: Answer}),
)
async def acknowledge(request: Call, escalation_id: FromPath[UUID]) -> ASGIResponse:
    """Take responsibility: nobody else is paged.

    Whoever comes second learns who was first; one that is resolved stays so. Both answer 200. Of a step that all must answer
    (`waits_for`), the others are paged on.
    """
    body = await bodies.read(request, Acknowledgement)
    return answers.json(await _answered(request, escalation_id, body.by, Wanted()))


@post(
    "/v1/escalations/{escalation_id:uuid}/snooze",
    opt=operation(Scope.PAGES_ACK, takes=Snooze, gives={200: Answer}, problems=(Kind.CONFLICT,), examples=(_AN_HOUR,)),
)
async def snooze(request: Call, escalation_id: FromPath[UUID]) -> ASGIResponse:
    """Take responsibility, and be paged again then if it isn't over by then: the same step, whoever it is for by then.

    At the longest for `snooze_at_most` of the escalation. 409 where somebody else has it, or it is over.
    """
    body = await bodies.read(request, Snooze)
    if (body.until is None) == (body.length is None):
        detail = "give `until`, an instant, or `for`, a length of time as in `1h`: one of them"
        raise bodies.invalid((FieldError(pointer="#", detail=detail),))
    until = None if body.until is None else bodies.in_utc(body.until, "#/until")
    length = None if body.length is None else length_of(body.length, "#/for")
    wanted = Wanted(action=Action.SNOOZE, until=until, length=length)
    return answers.json(changed(await _answered(request, escalation_id, body.by, wanted)))


@post(
    "/v1/escalations/{escalation_id:uuid}/hand-back",
    opt=operation(Scope.PAGES_ACK, takes=HandBack, gives={200: Answer}, problems=(Kind.CONFLICT,)),
)
async def hand_back(request: Call, escalation_id: FromPath[UUID]) -> ASGIResponse:
    """Give back what was acknowledged: the next step pages now, after the end of the ladder its beginning.

    409 where somebody else has it, or nobody, or where it went on since.
    """
    body = await bodies.read(request, HandBack)
    wanted = Wanted(action=Action.HAND_BACK, generation=body.generation)
    return answers.json(changed(await _answered(request, escalation_id, body.by, wanted)))


def length_of(text: str, pointer: str) -> timedelta:
    """A length of time as people write it; refused with 422 where it is none."""
    try:
        return durations.elapsed(text)
    except Unreadable as error:
        raise bodies.invalid((FieldError(pointer=pointer, detail=str(error)),)) from None


def changed(answer: Answer) -> Answer:
    """The answer, where it changed something; else it is refused with 409."""
    if answer.standing in CHANGING:
        return answer
    raise Refused(Kind.CONFLICT, why_not(answer))


def why_not(answer: Answer) -> str:
    """Why an answer changed nothing, and the way out."""
    match answer.standing:
        case Standing.RESOLVED:
            return f"it is resolved ({answer.resolution}): there is nothing left to do"
        case Standing.STALE:
            return "it went on since: look at it again, and use the newest page"
        case Standing.USED:
            return "this link was used before: use the newest page, or an API key"
        case Standing.NOT_TAKEN:
            return "nobody has acknowledged it, so there is nothing to hand back"
    return f"{answer.acknowledged_by or 'somebody else'} has acknowledged it: ask them to hand it back"


async def _answered(request: Call, escalation_id: UUID, by: str, wanted: Wanted) -> Answer:
    try:
        answer = await dependencies.of(request).answering.by_key(request.user.tenant, escalation_id, by, wanted)
    except Impossible as error:
        raise bodies.invalid((FieldError(pointer="#", detail=str(error)),)) from None
    if answer is None:
        raise not_found(escalation_id)
    return answer
