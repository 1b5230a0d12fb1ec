"""Requests as a provider reads them and the replies it gives; shared by all of them."""

import base64
import binascii
import re
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Struct

_PAGE_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Request(Struct, frozen=True, kw_only=True):
    """One HTTP request; `path` is what follows the provider's name."""

    method: str
    provider: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, object] | None:
        """The body as a JSON object; None where it isn't one, or doesn't say that it is."""
        if self.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return None
        try:
            return msgspec.json.decode(self.body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def form(self) -> dict[str, list[str]] | None:
        """The body as a form; None where it isn't one."""
        if self.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            return None
        return parse_qs(self.body.decode("ascii", "replace"), keep_blank_values=True)

    def parameters(self) -> dict[str, list[str]]:
        """What stands behind the question mark."""
        return parse_qs(self.query)

    def authorization(self, scheme: str) -> str:
        """The credentials of this scheme, else an empty text."""
        said, _, credentials = self.headers.get("authorization", "").partition(" ")
        return credentials if said.lower() == scheme.lower() else ""

    def basic(self) -> str:
        """`user:password`, else an empty text."""
        try:
            return base64.b64decode(self.authorization("basic"), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""


class Effect(Struct, frozen=True, kw_only=True):
    """What a request did at the provider."""

    key: str
    """The key that the provider knows it by; of one without keys, the page's id as its text says it."""
    verb: str
    """`opened` (people are notified), `joined` (known already, nobody is), `updated`, `resolved`, `ignored`."""
    account: str = ""


class Reply(Struct, frozen=True, kw_only=True):
    """An answer, and what was done."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = {}
    effects: tuple[Effect, ...] = ()
    problem: str = ""
    """What was wrong with the request."""


def said(status: int, body: object, *effects: Effect, problem: str = "", **headers: str) -> Reply:
    """A reply in JSON."""
    return Reply(
        status=status,
        body=msgspec.json.encode(body),
        headers={
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        effects=effects,
        problem=problem,
    )


def page_id(text: str) -> str:
    """The first page id in a text."""
    found = _PAGE_ID.search(text)
    return found.group() if found else ""


def is_web_address(value: object, schemes: tuple[str, ...] = ("http", "https")) -> bool:
    """Whether it is an absolute address of the web."""
    if not isinstance(value, str):
        return False
    parts = urlsplit(value)
    return parts.scheme in schemes and bool(parts.hostname)
