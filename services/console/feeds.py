"""iCal feeds of a policy file: read when the file is checked, planned or applied, and written into what is sent on.

The server gets dates and opens no file for anybody; a version keeps what its feeds said (`feeds`), as it keeps holidays.
"""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec

from shared import timesource
from shared.policy import located
from shared.policy.errors import LocatedError, PolicyErrors, short
from shared.policy.ical import SIZE_LIMIT, Closures, Refusal
from shared.policy.located import Document, escape
from shared.policy.parse import parse_policy
from shared.policy.reading import Unreadable

MARK = (
    "# What the iCal feeds said; written by deskclock, and read anew whenever this file is checked, planned or applied."
)
MOST_FEEDS = 50
_FETCH_SECONDS = 15.0
_READ_SECONDS = 15.0
_REDIRECTS = 3


def with_feeds(path: Path, text: str) -> str:
    """A policy file with what its feeds say under `feeds`; as it is, where it has none or brings `feeds` of its own.

    Raises PolicyErrors for feeds that can't be used, with all else that is wrong; where the feeds are good, other faults
    are left to those who read the file.
    """
    own = text.partition(f"\n{MARK}\n")[0]
    if "closures" not in own:
        return text
    try:
        document = located.read(own)
    except PolicyErrors:
        return text
    wanted = list(_named(document.value))
    if not wanted or "feeds" in document.value:
        return text
    feeds, errors = _read_all(path, document, wanted)
    if errors:
        silent = {name: Closures(events=0, closed=[]) for name, *_ in wanted}
        raise PolicyErrors([*errors, *_others(_written(own, document.value, {**silent, **feeds}))])
    return _written(own, document.value, feeds)


def _others(text: str) -> tuple[LocatedError, ...]:
    """What else is wrong with the file, so that all is named at once."""
    try:
        parse_policy(text, version=0)
    except PolicyErrors as faults:
        return faults.errors
    return ()


def _named(value: Any) -> list[tuple[str, str, str, str]]:
    """Each feed that the file names: calendar, its zone, pointer, file or address."""
    calendars = value.get("calendars") if isinstance(value, dict) else None
    found = []
    for name, line in (calendars if isinstance(calendars, dict) else {}).items():
        closures = line.get("closures") if isinstance(line, dict) else None
        pointer = f"/calendars/{escape(name)}/closures"
        listed = list(enumerate(closures)) if isinstance(closures, list) else [(None, closures)]
        for index, entry in listed:
            if isinstance(entry, dict) and isinstance(entry.get("ical"), str):
                place = pointer if index is None else f"{pointer}/{index}"
                found.append((name, str(line.get("timezone") or "UTC"), f"{place}/ical", entry["ical"]))
    return found


def _read_all(
    path: Path, document: Document, wanted: list[tuple[str, str, str, str]]
) -> tuple[dict[str, Closures], list[LocatedError]]:
    feeds: dict[str, Closures] = {}
    errors = []
    if len(wanted) > MOST_FEEDS:
        errors.append(document.error("/calendars", f"{len(wanted)} feeds", f"the limit is {MOST_FEEDS}"))
        return feeds, errors
    known: dict[tuple[str, str], Closures] = {}
    for name, zone, pointer, source in wanted:
        try:
            found = known.get((source, zone)) or _closures(_bytes(path, source), zone)
            known[source, zone] = found
        except Unreadable as wrong:
            errors.append(document.error(pointer, f"`{short(source)}`: {wrong.problem}", wrong.remedy))
            continue
        before = feeds.get(name, Closures(events=0, closed=[]))
        closed = list(dict.fromkeys([*before.closed, *found.closed]))
        feeds[name] = Closures(events=before.events + found.events, closed=closed)
    return feeds, errors


def _bytes(path: Path, source: str) -> bytes:
    if "://" in source:
        return _fetched(source)
    try:
        with (path.parent / source).open("rb") as file:
            raw = file.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(f"the file can't be read: {reason}", f"it is looked for beside {path.name}") from None
    return _within_limit(raw)


def _fetched(address: str) -> bytes:
    if not address.startswith("https://"):
        raise Unreadable("feeds are fetched over https only", "write an address that begins with https://, or a file")
    until = timesource.monotonic() + _FETCH_SECONDS
    raw = b""
    try:
        with (
            httpx.Client(timeout=_FETCH_SECONDS, follow_redirects=True, max_redirects=_REDIRECTS) as client,
            client.stream("GET", address) as answer,
        ):
            if answer.url.scheme != "https":
                raise Unreadable("it leads away from https", "write the address it leads to")
            if not answer.is_success:
                raise Unreadable(f"it answers {answer.status_code}", "see whether it can be read without a password")
            for chunk in answer.iter_bytes():
                raw += chunk
                if len(raw) > SIZE_LIMIT or timesource.monotonic() > until:
                    break
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        reason = short(str(error)) or type(error).__name__
        raise Unreadable(
            f"it can't be fetched: {reason}", "try again, or save it as a file beside the policy"
        ) from None
    if timesource.monotonic() > until:
        raise Unreadable(f"it took over {_FETCH_SECONDS:g} s to fetch", "save it as a file beside the policy")
    return _within_limit(raw)


def _within_limit(raw: bytes) -> bytes:
    if len(raw) > SIZE_LIMIT:
        raise Unreadable(f"the feed has over {SIZE_LIMIT:,} bytes", "take a feed of closures alone")
    return raw


def _closures(raw: bytes, zone: str) -> Closures:
    """What a feed comes to, worked out in a process of its own that may use so much time and memory."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "shared.policy.ical", zone],
            input=raw,
            capture_output=True,
            timeout=_READ_SECONDS,
            check=False,
        )
        answer = msgspec.json.decode(done.stdout, type=dict[str, Any])
    except (subprocess.TimeoutExpired, msgspec.DecodeError):
        raise Unreadable("it takes too long to read", "take a feed of closures alone") from None
    if "problem" in answer:
        refusal = msgspec.convert(answer, Refusal)
        raise Unreadable(refusal.problem, refusal.remedy)
    return msgspec.convert(answer, Closures)


def _written(text: str, value: dict[str, Any], feeds: dict[str, Closures]) -> str:
    """The file with `feeds` at its end, so that all else keeps its line."""
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        with suppress(ValueError):  # YAML in braces
            value = json.loads(text)
        return json.dumps({**value, "feeds": msgspec.to_builtins(feeds)}, ensure_ascii=False, indent=2)
    lines = [
        f"  {json.dumps(name, ensure_ascii=False)}: {msgspec.json.encode(feed).decode()}"
        for name, feed in feeds.items()
    ]
    return "\n".join([text.rstrip("\n"), MARK, "feeds:", *lines, ""])
