"""Where providers say what became of a page that they took."""

from typing import Annotated
from urllib.parse import parse_qsl
from uuid import UUID

from litestar import post
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from services.escalation.api import dependencies
from services.escalation.channels import twilio
from services.escalation.delivery.receipts import Taken
from shared.contract.problems import Kind, Refused
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import operation

_FORM = "application/x-www-form-urlencoded"
_LARGEST = 16 * 1024
_MOST_FIELDS = 200


class ReceiptQuery(Struct, frozen=True, kw_only=True):
    """Of which attempt of which page; we wrote it into the address ourselves."""

    page: UUID
    attempt: Annotated[int, Meta(ge=1, le=1_000_000)]


@post(
    twilio.RECEIPTS,
    opt=operation(
        is_open=True,
        takes_text=(_FORM,),
        query=ReceiptQuery,
        gives={204: None},
        problems=(Kind.FORBIDDEN,),
        headers={"X-Twilio-Signature": "Made with the account's auth token; without it nothing is believed."},
    ),
)
async def take_twilio_receipt(request: Call) -> ASGIResponse:
    """What became of a text message or call, as Twilio tells it. Of pages that are not ours nothing is said."""
    about = bodies.query(request, ReceiptQuery)
    found = bodies.media_type(request)
    if found != _FORM:
        raise Refused(Kind.UNSUPPORTED_MEDIA, f"a receipt is a form: send it as {_FORM}", headers={"accept": _FORM})
    raw = await bodies.read_bytes(request, _LARGEST)
    try:
        form = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise Refused(Kind.MALFORMED, "the form can't be read: send its fields as UTF-8, percent-encoded") from None
    receipts = dependencies.of(request).receipts
    query = request.scope["query_string"].decode("latin-1")
    signature = bodies.header(request, b"x-twilio-signature")
    if receipts is not None and Taken.FORGED is await receipts.take_twilio(
        about.page, about.attempt, query, form, signature
    ):
        raise Refused(
            Kind.FORBIDDEN,
            "the signature is not Twilio's: it is made with the auth token of the account, over DESKCLOCK_PUBLIC_URL "
            f"and {twilio.RECEIPTS} with its query, as Twilio was told to call it",
        )
    return answers.empty()
