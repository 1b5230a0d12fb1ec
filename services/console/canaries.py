"""Test pages, sent by the running escalation service and followed through its page ledger.

The service is asked over HTTP, as it alone has the channels and their settings; the key for it is made for this and revoked after.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

import httpx
import msgspec
from msgspec import Struct

from services.console.failures import Failure, Refused
from services.escalation.delivery.trying import Tested
from services.escalation.store.reading import AttemptView, PageView
from shared import timesource
from shared.contract.access import Scope
from shared.contract.problems import Problem
from shared.ledger import keys
from shared.postgres.pool import Connection

_HTTP_SECONDS = 10.0
_UNPROCESSABLE, _FIRST_ERROR = 422, 400
T = TypeVar("T")


class Until(StrEnum):
    """What is waited for."""

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    ACKNOWLEDGED = "acknowledged"


class Story(Struct, frozen=True, kw_only=True):
    """A page with its attempts, as `GET /v1/pages/{id}` tells it."""

    page: PageView
    attempts: list[AttemptView]


class Trial(Struct, frozen=True, kw_only=True):
    """Whom test pages went to, and what became of each so far."""

    tested: Tested
    pages: tuple[Story, ...]


class Escalation:
    """The service, asked with a key."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def send(self, recipient: str, *, first: bool) -> Trial:
        """Send test pages; raises Refused where there is nobody to send them to."""
        answer = await self._client.post("/v1/pages/test", json={"recipient": recipient, "first": first})
        if answer.status_code == _UNPROCESSABLE:
            raise Refused(_detail(answer))
        tested = _read(answer, Tested)
        return Trial(tested=tested, pages=await self._look(tested))

    async def follow(self, trial: Trial, until: Until, seconds: float, every: float) -> AsyncIterator[Trial]:
        """How the pages stand, again and again, until all are where they should be, can't get there, or time is over."""
        ends = timesource.monotonic() + seconds
        while True:
            trial = Trial(tested=trial.tested, pages=await self._look(trial.tested))
            yield trial
            if all(_is_there(one, until) or one.page.state == "failed" for one in trial.pages):
                return
            if timesource.monotonic() + every > ends:
                return
            await timesource.pause(every)

    async def _look(self, tested: Tested) -> tuple[Story, ...]:
        return tuple([_read(await self._client.get(f"/v1/pages/{one.page}"), Story) for one in tested.pages])


@asynccontextmanager
async def opened(connection: Connection, url: str, tenant: str) -> AsyncIterator[Escalation]:
    """The service at this address, asked with a key that is valid for as long as this is open."""
    try:
        key = await keys.create(connection, tenant, [Scope.POLICY_WRITE, Scope.TICKETS_READ], "deskclock page test")
    except ValueError as error:
        raise Refused(str(error)) from None
    try:
        headers = {"authorization": f"Bearer {key.key}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=_HTTP_SECONDS, trust_env=False) as client:
            yield Escalation(client)
    finally:
        await keys.revoke(connection, tenant, key.id)


def reached(story: Story, until: Until) -> datetime | None:
    """When a page got so far; None: not yet."""
    page = story.page
    match until:
        case Until.ACCEPTED:
            return page.accepted_at
        case Until.DELIVERED:
            return page.delivered_at
    return page.acknowledged_at


def short_of(trial: Trial, until: Until) -> str:
    """Which pages did not get so far, and what their last attempt met; empty where all did."""
    return "; ".join(
        f"{one.page.method}: {one.page.last_detail or one.page.state}"
        for one in trial.pages
        if not _is_there(one, until)
    )


def _is_there(story: Story, until: Until) -> bool:
    return reached(story, until) is not None


def _read(answer: httpx.Response, expected: type[T]) -> T:
    if answer.status_code >= _FIRST_ERROR:
        raise Failure(f"{answer.url.copy_with(path='/')} refused: {_detail(answer)}")
    return msgspec.json.decode(answer.content, type=expected)


def _detail(answer: httpx.Response) -> str:
    try:
        problem = msgspec.json.decode(answer.content, type=Problem)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return f"it answered {answer.status_code}"
    return problem.errors[0].detail if problem.errors else problem.detail
