"""Dead letters: what could not be used, with its reason, in the stream DEAD; shown, and sent again on demand."""

from collections.abc import AsyncIterator
from datetime import datetime

import nats.js.errors
from msgspec import Struct
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from services.console.failures import Failure
from shared.contract import subjects
from shared.jetstream import publish

_SECONDS = 10.0


class DeadLetter(Struct, frozen=True, kw_only=True):
    """One message that could not be used."""

    id: int
    """Its place in the stream: `dead replay` takes it."""
    reason: str
    detail: str
    subject: str
    """Where it was sent to."""
    at: datetime | None
    payload: str


async def newest(client: Client, tenant: str, limit: int) -> list[DeadLetter]:
    """The newest dead letters of a tenant, the newest first."""
    found: list[DeadLetter] = []
    async for sequence, message in _backwards(client.jetstream(timeout=_SECONDS), tenant):
        if len(found) == limit:
            break
        found.append(_letter(sequence, message))
    return found


async def replay(client: Client, tenant: str, ids: list[int] | None) -> list[int]:
    """Send dead letters again to where they were going and forget them; all of the tenant's where no ids are given.

    An event keeps its own id, so one that got through meanwhile changes nothing. Raises Failure for an unknown id.
    """
    context = client.jetstream(timeout=_SECONDS)
    if ids is None:
        chosen = [(sequence, message) async for sequence, message in _backwards(context, tenant)]
        chosen.reverse()
    else:
        chosen = [(sequence, await _one(context, tenant, sequence)) for sequence in ids]
    for sequence, message in chosen:
        headers = dict(message.headers or {})
        if not headers.get(publish.SUBJECT):
            raise Failure(f"dead letter {sequence} does not say where it was going")
        if publish.TRUNCATED in headers:
            raise Failure(f"dead letter {sequence} was cut to fit: send the event again from where it came")
        await context.publish(headers[publish.SUBJECT], message.data or b"", headers=_kept(headers))
        await context.delete_msg(subjects.DEAD, sequence)
    return [sequence for sequence, _ in chosen]


def _kept(headers: dict[str, str]) -> dict[str, str] | None:
    return {name: value for name, value in headers.items() if name.lower().startswith(("ce-", "content-type"))} or None


async def _one(context: JetStreamContext, tenant: str, sequence: int) -> RawStreamMsg:
    try:
        message = await context.get_msg(subjects.DEAD, sequence)
    except nats.js.errors.NotFoundError:
        message = None
    if message is None or message.subject != subjects.dead(tenant):
        raise Failure(f"tenant {tenant} has no dead letter {sequence}: `deskclock dead list` shows them")
    return message


async def _backwards(context: JetStreamContext, tenant: str) -> AsyncIterator[tuple[int, RawStreamMsg]]:
    try:
        state = (await context.stream_info(subjects.DEAD)).state
    except nats.js.errors.NotFoundError:
        return
    for sequence in range(state.last_seq, state.first_seq - 1, -1):
        try:
            message = await context.get_msg(subjects.DEAD, sequence)
        except nats.js.errors.NotFoundError:
            continue
        if message.subject == subjects.dead(tenant):
            yield sequence, message


def _letter(sequence: int, message: RawStreamMsg) -> DeadLetter:
    headers = dict(message.headers or {})
    return DeadLetter(
        id=sequence,
        reason=headers.get(publish.REASON, "unknown"),
        detail=headers.get(publish.DETAIL, ""),
        subject=headers.get(publish.SUBJECT, ""),
        at=message.time,
        payload=(message.data or b"").decode(errors="replace"),
    )
