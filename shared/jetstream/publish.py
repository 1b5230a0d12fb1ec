"""Publishing that is stored when it returns: whole batches at once where the server can, else many at a time.

An atomic batch costs one flush to disk instead of one a message. It is refused as a whole when one of its message ids is
known already (https://github.com/nats-io/nats-architecture-and-design, ADR-50); then each message goes by itself,
and JetStream drops those it has. Nothing larger than the server takes is ever sent: the server would end the connection.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec
import nats.errors
import nats.js.errors
from msgspec import Struct
from nats.aio.client import Client

from shared.contract import subjects
from shared.runtime.logs import Log

BATCH = 500
WINDOW = 256
ANSWER_SECONDS = 5.0
_SHORTEST_BATCH = 2
_LONGEST_HEADER = 2_000
_HEADER_ROOM = 512
"""Bytes that are more than the headers of one of our own events take."""

REASON = "Deskclock-Reason"
DETAIL = "Deskclock-Detail"
SUBJECT = "Deskclock-Subject"
ORIGIN = "Deskclock-Origin"
"""Stream and sequence of the message as it came (`TICKETS.7`); of an event of our own its message id."""
TRUNCATED = "Deskclock-Truncated"
"""How many bytes the payload had, where it had to be cut to fit beside these headers."""

_log = Log(__name__)


class Message(Struct, frozen=True):
    """Something to publish; JetStream keeps one message of an id within its duplicate window."""

    subject: str
    payload: bytes
    id: str


class NotStored(nats.errors.Error):
    """JetStream has not confirmed every message; publishing them again is safe."""


class _Refused(NotStored):
    """JetStream has answered, and the answer is no."""


class _Failure(Struct):
    code: int = 0
    description: str = ""


class _Answer(Struct):
    stream: str = ""
    seq: int = 0
    count: int = 0
    error: _Failure | None = None


_answers = msgspec.json.Decoder(_Answer)


class Publisher:
    """Publishes to JetStream; `atomic` says whether the stream `SLA` takes batches."""

    def __init__(self, client: Client, *, atomic: bool) -> None:
        self._client = client
        self._atomic = atomic
        self._window = asyncio.Semaphore(WINDOW)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Store all messages, in order where batches are possible. Raises NotStored.

        Our own events are far smaller than the 1 MiB a server takes by default: their names are limited by the contract
        and their lists by the policy. One that doesn't fit all the same is kept in the stream `DEAD`, so that it holds up
        nothing behind it.
        """
        if not self._client.is_connected:
            raise NotStored("NATS is not connected")
        room = self._client.max_payload - _HEADER_ROOM
        for message in messages:
            if len(message.payload) > room:
                await self._set_aside(message)
        fitting = [message for message in messages if len(message.payload) <= room]
        for start in range(0, len(fitting), BATCH):
            part = fitting[start : start + BATCH]
            if not (self._atomic and len(part) >= _SHORTEST_BATCH and await self._publish_batch(part)):
                await self._publish_each(part)

    async def publish_dead(
        self,
        tenant: str,
        *,
        reason: str,
        detail: str,
        subject: str,
        payload: bytes,
        message_id: str,
        attributes: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Keep what can't be used, with its reason; what is too long beside its headers is cut. Raises NotStored.

        `attributes` are headers of its own that belong to it: those of a CloudEvent in binary mode.
        """
        headers = {
            **{name: _one_line(value) for name, value in attributes.items()},
            REASON: reason,
            DETAIL: _one_line(detail),
            SUBJECT: subject,
            ORIGIN: message_id,
            "Nats-Msg-Id": message_id,
        }
        if _size(payload, headers) > self._client.max_payload:
            headers[TRUNCATED] = str(len(payload))
            payload = payload[: max(self._client.max_payload - _size(b"", headers), 0)]
        await self._store(subjects.dead(tenant), payload, headers)

    async def _set_aside(self, message: Message) -> None:
        detail = f"{len(message.payload)} bytes, and the server's max_payload is {self._client.max_payload}"
        _log.error(
            "event_too_large",
            f"An event of our own is too large for NATS and is kept in the stream {subjects.DEAD}: {detail}",
            subject=message.subject,
            message_id=message.id,
        )
        await self.publish_dead(
            message.subject.split(".")[1],
            reason="too_large",
            detail=detail,
            subject=message.subject,
            payload=message.payload,
            message_id=message.id,
        )

    async def _publish_batch(self, messages: Sequence[Message]) -> bool:
        """True when the batch is stored; False where each message has to be tried by itself."""
        batch_id = secrets.token_hex(16)
        try:
            for sequence, message in enumerate(messages[:-1], start=1):
                headers = {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(sequence), "Nats-Msg-Id": message.id}
                await self._client.publish(message.subject, message.payload, headers=headers)
            headers = {
                "Nats-Batch-Id": batch_id,
                "Nats-Batch-Sequence": str(len(messages)),
                "Nats-Batch-Commit": "1",
                "Nats-Msg-Id": messages[-1].id,
            }
            await self._store(messages[-1].subject, messages[-1].payload, headers)
        except _Refused as error:
            _log.debug(
                "batch_refused", "JetStream refused a batch; publishing its messages one by one", reason=str(error)
            )
            return False
        except NotStored:
            raise
        except nats.errors.Error as error:
            raise NotStored(f"NATS is not there: {error}") from error
        return True

    async def _publish_each(self, messages: Sequence[Message]) -> None:
        async def one(message: Message) -> None:
            async with self._window:
                await self._store(message.subject, message.payload, {"Nats-Msg-Id": message.id})

        outcomes = await asyncio.gather(*(one(message) for message in messages), return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            raise NotStored(f"{len(failures)} of {len(messages)} messages are not stored: {failures[0]}") from failures[
                0
            ]

    async def _store(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> None:
        if _size(payload, headers) > self._client.max_payload:
            raise NotStored(f"{subject} with its headers is more than the server's max_payload: raise that")
        try:
            reply = await self._client.request(subject, payload, timeout=ANSWER_SECONDS, headers=dict(headers))
            answer = _answers.decode(reply.data)
        except nats.errors.NoRespondersError as error:
            raise NotStored(f"no stream takes {subject}") from error
        except (nats.errors.Error, msgspec.MsgspecError) as error:
            raise NotStored(f"no confirmation for {subject}: {error}") from error
        if answer.error is not None:
            raise _Refused(f"JetStream refuses {subject}: {answer.error.description}")


async def open_publisher(client: Client) -> Publisher:
    """A publisher that knows what the stream of our own events can do."""
    info = await client.jetstream().stream_info(subjects.SLA)
    return Publisher(client, atomic=bool(info.config.allow_atomic))


def _size(payload: bytes, headers: Mapping[str, str]) -> int:
    """Bytes as the server counts them: `NATS/1.0`, a line for each header, an empty line, the payload."""
    lines = sum(len(name) + len(value.encode()) + 4 for name, value in headers.items())
    return len("NATS/1.0\r\n") + lines + len("\r\n") + len(payload)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_HEADER].encode("ascii", "replace").decode()
