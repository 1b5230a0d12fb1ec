"""The link in a page. GET shows what it is about and buttons; only their POST does something (R11).

A small page that needs no script, no account and nothing from elsewhere. Programs may ask for JSON.
"""

from typing import Annotated
from urllib.parse import parse_qsl

import msgspec
from litestar import get, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct, field

from services.escalation.answering import Answer, Impossible, Wanted
from services.escalation.api import dependencies, link_page
from services.escalation.api.answering import Length, changed, length_of
from services.escalation.domain.answer import Action, Standing
from shared.contract.problems import FieldError, Kind, Refused
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import operation

_LONGEST = 100
_LARGEST_FORM = 4096
_FORM = "application/x-www-form-urlencoded"
_REFUSED = frozenset({Standing.STALE, Standing.USED, Standing.NOT_TAKEN})


class LinkAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What whoever was paged does; nothing is needed to acknowledge."""

    action: Action = Action.ACKNOWLEDGE
    length: Length | None = field(default=None, name="for")
    """Of a snooze: for how long."""
    version: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    """Of a page about several tickets: how many it showed; those that joined later are paged anew."""


@get("/v1/ack/{token:str}", opt=operation(is_open=True, gives={200: str}, gives_text="text/html"))
async def show_acknowledgement(request: Call, token: FromPath[str]) -> ASGIResponse:
    """What the page is about, with buttons; looking changes nothing."""
    found = await dependencies.of(request).answering.look(token) if len(token) <= _LONGEST else None
    if found is None:
        return _unknown(request)
    return _html(link_page.whole(found))


@post(
    "/v1/ack/{token:str}",
    opt=operation(is_open=True, takes=LinkAnswer, gives={200: Answer}, problems=(Kind.CONFLICT,)),
)
async def acknowledge_page(request: Call, token: FromPath[str]) -> ASGIResponse:
    """Take responsibility as the person the page was sent to; nobody else is paged. Or snooze it, or hand it back.

    Whoever comes second learns who was first; one that is resolved stays so. Both answer 200. 409 where the link is of an
    older generation, or was used before and what it took was given back since. A form or JSON; without a body it acknowledges.
    """
    answering = dependencies.of(request).answering
    try:
        if len(token) > _LONGEST:
            return _unknown(request)
        answer = await answering.by_token(token, await _wanted(request))
    except Impossible as error:
        refused = bodies.invalid((FieldError(pointer="#/for", detail=str(error)),))
        return await _refuse(request, token, refused, str(error))
    except Refused as refused:
        return await _refuse(request, token, refused, str(refused))
    if answer is None:
        return _unknown(request)
    status = 409 if answer.standing in _REFUSED else 200
    if not _wants_html(request):
        return answers.json(answer if status == 200 else changed(answer), headers=link_page.HEADERS)  # noqa: PLR2004
    shown = await answering.look(token)
    return _html(link_page.whole(shown, answer), status) if shown else _unknown(request)


async def _wanted(request: Call) -> Wanted:
    """What the form or the JSON asks for; refused with 415 or 422 where that can't be told."""
    raw = await bodies.read_bytes(request, _LARGEST_FORM)
    media_type = bodies.media_type(request)
    if not raw.strip():
        return Wanted()
    if media_type == _FORM:
        given = _form(raw)
    else:
        bodies.require_json(media_type)
        given = bodies.decode(raw, LinkAnswer)
    length = None if given.length is None else length_of(given.length, "#/for")
    return Wanted(action=given.action, length=length, version=given.version)


def _form(raw: bytes) -> LinkAnswer:
    try:
        pairs = dict(parse_qsl(raw.decode("utf-8"), max_num_fields=10))
        return msgspec.convert(pairs, LinkAnswer, strict=False)
    except (ValueError, msgspec.ValidationError) as error:
        detail = str(error).replace("`", "")
        raise bodies.invalid((FieldError(pointer="#", detail=f"the form can't be read: {detail}"),)) from None


async def _refuse(request: Call, token: str, refused: Refused, said: str) -> ASGIResponse:
    """The refusal as a problem for programs, on the page itself for people."""
    if _wants_html(request):
        shown = await dependencies.of(request).answering.look(token)
        if shown is not None:
            return _html(link_page.whole(shown, refusal=said), refused.problem.status)
    raise refused


def _wants_html(request: Call) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _unknown(request: Call) -> ASGIResponse:
    if not _wants_html(request):
        raise Refused(Kind.NOT_FOUND, "no page was sent with this link: take it from the page as it stands there")
    said = "No page was sent with it. Take it from the page as it stands there."
    return _html(link_page.plain("This link is not known", said), 404)


def _html(page: str, status: int = 200) -> ASGIResponse:
    return answers.text(page, "text/html", link_page.HEADERS, status)
