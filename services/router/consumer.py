"""The JetStream door: pulls ticket events, hands them to intake, settles what was committed.

An event that can't be used is kept as a dead letter with its reason and holds up nothing else. While the database is
away the events under way are kept alive and tried again: nothing is settled that isn't stored.
"""

import asyncio
from collections.abc import Sequence

import nats.errors
from nats.aio.msg import Msg

from services.router.errors import IntakeUnavailable
from services.router.intake import BATCHES_AT_ONCE, Intake
from services.router.metrics.tickets import RouterMetrics
from services.router.recording import Receipt
from shared import timesource
from shared.contract import events, subjects
from shared.contract.events import Rejected, TicketEvent
from shared.jetstream.publish import NotStored, Publisher
from shared.jetstream.pull import Puller, ack
from shared.runtime import points
from shared.runtime.logs import Log, describe
from shared.runtime.points import Point

_AGAIN_SECONDS = 2.0
_KEEP_SECONDS = 5.0
"""A third of the time after which JetStream gives unsettled messages to somebody else."""
_DEAD_LETTERS_AGAIN_SECONDS = 10
_NOBODY = "default"

_log = Log(__name__)


class Consumer:
    """Feeds one process's intake from the stream `TICKETS`."""

    def __init__(self, puller: Puller, publisher: Publisher, intake: Intake, metrics: RouterMetrics) -> None:
        self._puller = puller
        self._publisher = publisher
        self._intake = intake
        self._metrics = metrics

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; batches under way are finished and settled first."""
        limit = asyncio.Semaphore(BATCHES_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            async for messages in self._puller.batches(stop):
                await limit.acquire()
                handling = group.create_task(self._handle(messages, stop))
                handling.add_done_callback(lambda _: limit.release())

    async def _handle(self, messages: Sequence[Msg], stop: asyncio.Event) -> None:
        usable: list[tuple[Msg, TicketEvent]] = []
        refused: list[tuple[Msg, Rejected]] = []
        for message in messages:
            try:
                usable.append((message, _read(message)))
            except Rejected as rejected:
                refused.append((message, rejected))
                self._metrics.rejected.labels(rejected.reason).inc()
            except Exception as error:  # noqa: BLE001 - no reader's fault may stop the consumer
                _log.error("event_unreadable", "An event can't be read; this is a fault of ours", error=error)
                refused.append((message, Rejected("unparseable", f"can't be read: {describe(error)}")))
        settled = asyncio.Event()
        keeping = asyncio.create_task(_keep(messages, settled))
        try:
            if usable:
                receipts = await self._process([event for _, event in usable], stop)
                points.passing(Point.K2_STORED)
                outcomes = [(message, receipt.rejected) for (message, _), receipt in zip(usable, receipts, strict=True)]
                refused += [(message, rejected) for message, rejected in outcomes if rejected is not None]
                await ack([message for message, rejected in outcomes if rejected is None])
            await ack([message for message, reason in refused if await self._bury(message, reason)])
        except IntakeUnavailable:
            await _give_back(messages)
        except nats.errors.Error as error:
            _log.warning("settle_failed", "Events come again: NATS was not there to settle them", error=error)
        finally:
            settled.set()
            await keeping

    async def _process(self, arrived: Sequence[TicketEvent], stop: asyncio.Event) -> Sequence[Receipt]:
        """Record the events, however long the database is away; raises IntakeUnavailable when the process stops meanwhile."""
        while True:
            try:
                return await self._intake.process(arrived)
            except IntakeUnavailable as error:
                _log.warning(
                    "intake_held", f"{len(arrived)} events wait for the database", error=error.__cause__ or error
                )
                if await timesource.pause(_AGAIN_SECONDS, unless=stop):
                    raise

    async def _bury(self, message: Msg, rejected: Rejected) -> bool:
        """Keep a message that can't be used; False where that has to be tried again."""
        tenant = subjects.tenant_of(message.subject) or _NOBODY
        try:
            await self._publisher.publish_dead(
                tenant,
                reason=rejected.reason,
                detail=str(rejected),
                subject=message.subject,
                payload=message.data,
                message_id=f"{subjects.TICKETS}.{message.metadata.sequence.stream}",
                attributes={name: value for name, value in (message.headers or {}).items() if _is_attribute(name)},
            )
        except NotStored as error:
            _log.warning("dead_letter_failed", "A dead letter could not be kept and comes again", error=error)
            await message.nak(delay=_DEAD_LETTERS_AGAIN_SECONDS)
            return False
        _log.info("event_refused", f"refused {message.subject}: {rejected}", tenant=tenant, reason=rejected.reason)
        return True


def _read(message: Msg) -> TicketEvent:
    tenant = subjects.tenant_of(message.subject)
    if tenant is None:
        raise Rejected(
            "invalid", f"subject {message.subject!r} is not tickets.<tenant>.<kind> with a tenant of a-z, 0-9, _ and -"
        )
    headers = message.headers or {}
    if any(name.lower() == "ce-type" for name in headers):
        return events.decode_binary(tenant, headers, message.data)
    return events.decode(tenant, message.data)


def _is_attribute(header: str) -> bool:
    return header.lower().startswith(("ce-", "content-type"))


async def _keep(messages: Sequence[Msg], settled: asyncio.Event) -> None:
    """Tell JetStream again and again that these are being worked on, until they are settled."""
    while not await timesource.pause(_KEEP_SECONDS, unless=settled):
        try:
            for message in messages:
                await message.in_progress()
        except nats.errors.Error as error:
            _log.warning("keep_failed", "NATS is away; the events may come again", error=error)


async def _give_back(messages: Sequence[Msg]) -> None:
    try:
        for message in messages:
            await message.nak()
    except nats.errors.Error as error:
        _log.warning("give_back_failed", "Events come again after their time", error=error)
