"""Twilio's Messages and Calls: forms with Basic authentication, 201 and a SID; nothing is merged."""

import re

from tests.providers.credentials import TWILIO_SID, TWILIO_TOKEN
from tests.providers.ledger import Ledger
from tests.providers.wire import Effect, Reply, Request, is_web_address, page_id, said

_PATH = re.compile(r"/2010-04-01/Accounts/([^/]+)/(Messages|Calls)\.json")
_CALL = re.compile(r"/2010-04-01/Accounts/([^/]+)/Calls/(CA[0-9a-f]{32})\.json")
_SHORT = re.compile(r"[Pp]age ([0-9a-f]{8}|(?:[0-9a-f] ){7}[0-9a-f])\b")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_LONGEST_BODY = 1600
_LONGEST_TWIML = 4000


def answer(request: Request, ledger: Ledger) -> Reply:
    """201 and the resource, or an error with Twilio's own code."""
    found = _PATH.fullmatch(request.path)
    if request.method == "POST" and (call := _CALL.fullmatch(request.path)):
        return said(200, {"sid": call.group(2), "status": "canceled"})
    if request.method != "POST" or found is None:
        return _error(404, 20404, f"The requested resource {request.path} was not found")
    sid, resource = found.groups()
    if request.basic() != f"{TWILIO_SID}:{TWILIO_TOKEN}" or sid != TWILIO_SID:
        return _error(401, 20003, "Authenticate")
    form = request.form()
    if form is None:
        return _error(400, 21604, "A 'To' phone number is required.")
    fields = {name: values[0] for name, values in form.items()}
    error = _message_error(fields) if resource == "Messages" else _call_error(fields)
    if error is None and "StatusCallback" in fields and not is_web_address(fields["StatusCallback"]):
        error = (21609, "The StatusCallback URL is not a valid URL.")
    if error is not None:
        return _error(400, *error)
    text = fields.get("Body") or fields.get("Twiml") or fields.get("Url", "")
    prefix = "SM" if resource == "Messages" else "CA"
    made = {
        "sid": f"{prefix}{ledger.count('twilio') + 1:032x}", "account_sid": sid, "status": "queued", "to": fields["To"],
        "from": fields.get("From"), "error_code": None, "error_message": None,
    }  # fmt: skip
    key = page_id(fields.get("StatusCallback", "")) or _page_in(text)
    return said(201, made, Effect(key=key, verb="opened", account=f"{resource} {fields['To']}"))


def _page_in(text: str) -> str:
    """The page's id as the text says it, in its short form too."""
    short = _SHORT.search(text)
    return page_id(text) or (short.group(1).replace(" ", "") if short else "")


def _message_error(fields: dict[str, str]) -> tuple[int, str] | None:
    to, body = fields.get("To", ""), fields.get("Body", "")
    service, sender = fields.get("MessagingServiceSid", ""), fields.get("From", "")
    is_sender = not sender or _SENDER.fullmatch(sender) is not None
    is_service = not service or _SERVICE.fullmatch(service) is not None
    checks = (
        (bool(to), 21604, "A 'To' phone number is required."),
        (_NUMBER.fullmatch(to) is not None, 21211, f"The 'To' number {to} is not a valid phone number."),
        (bool(service or sender), 21603, "A 'From' phone number is required."),
        (is_sender and is_service, 21212, "The 'From' number is not a valid phone number, shortcode, or sender ID."),
        (bool(body), 21602, "Message body is required."),
        (len(body) <= _LONGEST_BODY, 21617, "The concatenated message body exceeds the 1600 character limit"),
    )
    return _first(checks)


def _call_error(fields: dict[str, str]) -> tuple[int, str] | None:
    twiml = fields.get("Twiml", "")
    checks = (
        (_NUMBER.fullmatch(fields.get("To", "")) is not None, 21211, "The 'To' number is not a valid phone number."),
        (
            _NUMBER.fullmatch(fields.get("From", "")) is not None,
            21212,
            "The 'From' number is not a valid phone number.",
        ),
        (bool(twiml) or is_web_address(fields.get("Url")), 21205, "Url parameter is required."),
        (len(twiml) <= _LONGEST_TWIML, 21617, "The Twiml parameter exceeds the 4000 character limit"),
    )
    return _first(checks)


def _first(checks: tuple[tuple[bool, int, str], ...]) -> tuple[int, str] | None:
    return next(((code, text) for fits, code, text in checks if not fits), None)


def _error(status: int, code: int, text: str) -> Reply:
    body = {"code": code, "message": text, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}
    return said(status, body, problem=f"{code} {text}")
