"""Is it alive, can it work, what does it count: the three addresses that machines ask."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from shared.contract.access import Scope
from shared.web import answers
from shared.web.bodies import Call
from shared.web.operations import operation

Check: TypeAlias = Callable[[], Awaitable[str | None]]
"""Answers None where all is well, else what is missing and what to do; never a secret, for anybody may read it."""

CHECK_SECONDS = 2.0


class Alive(Struct, frozen=True, kw_only=True):
    """The process and its event loop answer."""

    status: Literal["alive"] = "alive"


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether requests may be sent here, with every check and note by name: `ok`, or what is missing."""

    status: Literal["ready", "not ready"]
    checks: dict[str, str]


async def readiness(checks: Mapping[str, Check], notes: Mapping[str, Check] | None = None) -> Readiness:
    """Ask all checks at once; one that takes over two seconds, or fails, is not well.

    Notes are asked and shown likewise, and decide nothing: what ails the whole system is no reason to send requests
    elsewhere, and taking every replica away would take the page on which people acknowledge.
    """
    asked = {**(notes or {}), **checks}
    found = dict(zip(asked, await asyncio.gather(*(_ask(check) for check in asked.values())), strict=True))
    return Readiness(
        status="ready" if all(found[name] is None for name in checks) else "not ready",
        checks={name: answer or "ok" for name, answer in found.items()},
    )


async def _ask(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:g} seconds"
    except Exception as error:  # noqa: BLE001 - a check that fails is an answer too
        return f"the check failed: {type(error).__name__}"


def routes(
    checks: Mapping[str, Check],
    registry: CollectorRegistry,
    *,
    notes: Mapping[str, Check] | None = None,
    metrics_open: bool,
) -> list[HTTPRouteHandler]:
    """`/health/live`, `/health/ready` and `/metrics`."""

    @get("/health/live", opt=operation(is_open=True, gives={200: Alive}))
    async def live() -> ASGIResponse:
        """Whether the process answers at all; asks nothing else."""
        return answers.json(Alive())

    @get("/health/ready", opt=operation(is_open=True, gives={200: Readiness, 503: Readiness}))
    async def ready() -> ASGIResponse:
        """Whether requests may be sent here; 503 says what is missing."""
        found = await readiness(checks, notes)
        return answers.json(found, 200 if found.status == "ready" else 503, {"cache-control": "no-store"})

    @get("/metrics", opt=operation(Scope.METRICS_READ, is_open=metrics_open, gives={200: str}, gives_text="text/plain"))
    async def metrics(request: Call) -> ASGIResponse:
        """Everything counted, for Prometheus."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return answers.text(encode(registry), content_type)

    return [live, ready, metrics]
