"""The ways to page somebody that a roster may name: what each needs for an address, a secret and options.

The channels behind them are `services.escalation.channels`; a roster is refused here, at schedule time, for what would
make a page undeliverable (escalation-rules R23).
"""

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from msgspec import Struct

SECRET = re.compile(r"env:DESKCLOCK_SECRET_[A-Za-z0-9_]+|file:[^\x00-\x1f]{1,500}")
"""A reference to a secret: never the secret itself, and never another variable of ours."""
SECRET_REMEDY = "write where it is: `env:DESKCLOCK_SECRET_<name>`, or `file:<name>` in DESKCLOCK_SECRETS_DIR"  # noqa: S105

_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_SENDER_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}")
_MESSAGING_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_MAILBOX = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63}")
_LONGEST_MAILBOX = 254
_SERVER = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_SLACK = re.compile(r"[CDGUW][A-Z0-9]{6,20}")
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LABEL = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_LAST_PORT = 65535
_LONGEST_HOST = 253
_LONGEST_URL = 2000


class Form(Struct, frozen=True):
    """What a text has to look like."""

    fits: Callable[[str], bool]
    what: str
    """As in "no <what>"."""
    remedy: str


class Method(Struct, frozen=True, kw_only=True):
    """One way to page, as rosters write it: `{<name>: <address>, secret: ..., <option>: ...}`."""

    address: Form | None = None
    """None where there is nobody to name."""
    needs_address: bool = True
    needs_secret: bool = False
    takes_secret: bool = True
    credential: str = ""
    """What stands in the secret, for whoever left it out."""
    options: Mapping[str, Form] = {}
    needs: frozenset[str] = frozenset()
    """Options that can't be left out."""


def is_phone(text: str) -> bool:
    """Whether it is a number in the form of E.164."""
    return _PHONE.fullmatch(text) is not None


def is_mailbox(text: str) -> bool:
    """Whether it is one plain e-mail address, in ASCII."""
    local = text.partition("@")[0]
    is_dotted_well = not local.startswith(".") and not local.endswith(".") and ".." not in text
    return len(text) <= _LONGEST_MAILBOX and is_dotted_well and _MAILBOX.fullmatch(text) is not None


def is_url(text: str) -> bool:
    """Whether it is an address of the web, without a user in it, and nothing that two readers could read in two ways."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    is_plain = "@" not in parts.netloc and "\\" not in text and all("!" <= letter <= "~" for letter in text)
    is_short = len(text) <= _LONGEST_URL and len(parts.hostname or "") <= _LONGEST_HOST
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_plain and is_short


def _is_sender(text: str) -> bool:
    return any(form.fullmatch(text) for form in (_PHONE, _SHORT_CODE, _SENDER_NAME, _MESSAGING_SERVICE))


def _is_server(text: str) -> bool:
    port = text.rpartition(":")[2] if not text.endswith("]") and ":" in text else "25"
    return _SERVER.fullmatch(text) is not None and 0 < int(port or 0) <= _LAST_PORT


def _matches(form: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: form.fullmatch(text) is not None


def _one_of(*words: str) -> Form:
    return Form(lambda text: text in words, f"one of {', '.join(words)}", f"write {' or '.join(words)}")


_WEB = Form(is_url, "web address", "write it as in `https://hooks.example.org/deskclock`")
_NUMBER = Form(is_phone, "phone number", "write it with its country and nothing between, as in `+4915112345678`")
_SENDER = Form(
    _is_sender,
    "sender of text messages",
    "write a number as in `+4915112345678`, a short code, a messaging service (MG...), or a name of up to 11 letters",
)
_MAIL = Form(is_mailbox, "e-mail address", "write it as in `ana@example.org`, without a name around it")
_HOST = Form(_is_server, "mail server", "write it as in `smtp.example.org:587`")
_CHANNEL = Form(
    _matches(_SLACK), "Slack channel or member", "write its id, as in `C024BE91L`: names can change, ids don't"
)
_TOPIC_OR_URL = Form(
    lambda text: _TOPIC.fullmatch(text) is not None or is_url(text),
    "ntfy topic",
    "write a topic of letters, digits, - and _, or its address as in `https://ntfy.example.org/desk`",
)
_NAME = Form(_matches(_LABEL), "name", "write in a few words whom it reaches")

METHODS: Mapping[str, Method] = {
    "console": Method(address=None, needs_address=False, takes_secret=False),
    "webhook": Method(address=_WEB, needs_secret=True, credential="its signing key, whsec_..."),
    "pagerduty": Method(address=_NAME, needs_secret=True, credential="the integration key of the service"),
    "jsm": Method(address=_NAME, needs_secret=True, credential="the API key of the integration"),
    "slack": Method(address=_CHANNEL, needs_secret=True, credential="a bot's token, xoxb-..."),
    "teams": Method(address=_NAME, needs_secret=True, credential="the address of the workflow, which is a secret"),
    "ntfy": Method(address=_TOPIC_OR_URL, credential="an access token"),
    "sms": Method(
        address=_NUMBER,
        needs_secret=True,
        credential="the account's SID and auth token, as SID:TOKEN",
        options={"from": _SENDER},
        needs=frozenset({"from"}),
    ),
    "voice": Method(
        address=_NUMBER,
        needs_secret=True,
        credential="the account's SID and auth token, as SID:TOKEN",
        options={"from": _NUMBER},
        needs=frozenset({"from"}),
    ),
    "email": Method(
        address=_MAIL,
        credential="user:password of the mail server",
        options={"from": _MAIL, "server": _HOST, "tls": _one_of("starttls", "implicit", "none")},
        needs=frozenset({"from"}),
    ),
    "apprise": Method(address=_NAME, needs_secret=True, credential="the service's Apprise URL"),
}
"""Every way that rosters know, by its name; some are there only with what an installation has."""

INFORMATIONAL = frozenset({"apprise"})
"""Methods that carry copies only: nobody is woken by them."""
