"""Trained models at work: new tickets are scored before they are recorded, beside the event loop.

Where no tenant has a model, intake pays for a look at an empty table of names in memory. Whatever is wrong with a model costs
its opinion and nothing else.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from services.router.domain import opinions, weights
from services.router.domain.opinions import Scores
from services.router.domain.weights import Field
from services.router.metrics.tickets import RouterMetrics
from services.router.store import trained as trained_store
from services.router.store.trained import State
from shared import timesource
from shared.contract.events import Opened, Scored, TicketEvent
from shared.contract.tickets import Urgency
from shared.postgres import failures
from shared.postgres import time as database_time
from shared.postgres.pool import Pool
from shared.runtime.logs import Log, describe

if TYPE_CHECKING:
    from services.router.domain.scoring import Opinion, Scorer

SECONDS = 1.0
"""Between two looks which models are used: so soon a promotion or a rollback is noticed."""
SCORES_KEPT = timedelta(days=90)
_MOST_MODELS = 10_000
_REMOVED_AT_ONCE = 5_000
_REMOVALS = 20
"""In a row: more than a minute brings, so that what is kept doesn't grow without end."""
_ROUNDS_BETWEEN_REMOVALS = 60

_Key = tuple[str, int]

_log = Log(__name__)


class _Ready(NamedTuple):
    """A model that can be asked."""

    version: int
    state: State
    scorer: "Scorer"


class Scoring:
    """The models in force and in shadow, of all tenants."""

    def __init__(self, pool: Pool, metrics: RouterMetrics) -> None:
        """Knows of no model until `run_once` has looked."""
        self._pool = pool
        self._metrics = metrics
        self._loaded: dict[_Key, Scorer | None] = {}
        """None: it can't be used."""
        self._ready: dict[str, tuple[_Ready, ...]] = {}
        self._rounds = 0

    async def run_once(self) -> int:
        """Look which models are used now, and load those that are new; returns how many were."""
        async with self._pool.acquire() as connection:
            used = await trained_store.list_used(connection, _MOST_MODELS)
        before, self._loaded = self._loaded, {}
        new = 0
        ready: dict[str, tuple[_Ready, ...]] = {}
        for tenant, version, state in used:
            key = tenant, version
            if key not in before:
                new += 1
            scorer = self._loaded[key] = before[key] if key in before else await self._load(tenant, version)
            if scorer is not None:
                ready[tenant] = (*ready.get(tenant, ()), _Ready(version, state, scorer))
        self._ready = ready
        for state in (State.SHADOW, State.PROMOTED):
            self._metrics.models.labels(state).set(sum(one.state is state for one in used))
        self._rounds += 1
        if self._rounds % _ROUNDS_BETWEEN_REMOVALS == 0:
            await self._forget()
        return new

    async def score(self, events: Sequence[TicketEvent]) -> Scores:
        """What the models say of the tickets that these events open; nothing where there is none."""
        if not self._ready:
            return opinions.NONE
        wanted = [event for event in events if isinstance(event.data, Opened) and event.tenant in self._ready]
        if not wanted:
            return opinions.NONE
        started = timesource.monotonic()
        try:
            return await asyncio.to_thread(_scored, self._ready, wanted)
        except Exception as error:  # noqa: BLE001 - a model must keep no ticket from being recorded
            _log.error("scoring_failed", f"{len(wanted)} tickets are recorded without their models", error=error)
            self._metrics.scoring_failed.inc(len(wanted))
            return opinions.NONE
        finally:
            self._metrics.handling.labels(stage="score").observe(timesource.monotonic() - started)

    async def _load(self, tenant: str, version: int) -> "Scorer | None":
        try:
            async with self._pool.acquire() as connection:
                file = await trained_store.load_file(connection, tenant, version)
            return await asyncio.to_thread(read, file)
        except failures.UNAVAILABLE:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the other models are used
            text = f"Model {version} of tenant {tenant} can't be used: {describe(error)}"
            _log.error("model_unusable", text, tenant=tenant, version=version)
            return None

    async def _forget(self) -> None:
        async with self._pool.acquire() as connection:
            now = await database_time.now(connection)
            for _ in range(_REMOVALS):
                if (
                    await trained_store.drop_old_scores(connection, now - SCORES_KEPT, _REMOVED_AT_ONCE)
                    < _REMOVED_AT_ONCE
                ):
                    break


def read(file: bytes) -> "Scorer":
    """A model's file as what can be asked; raises `BadModel`. Takes a moment: numpy is loaded now, if it wasn't yet."""
    from services.router.domain.scoring import Scorer  # noqa: PLC0415 - numpy is loaded only where a model is

    return Scorer(weights.read(file))


def _scored(ready: Mapping[str, tuple[_Ready, ...]], openings: Sequence[TicketEvent]) -> Scores:
    in_force: dict[tuple[str, str], Scored] = {}
    every: dict[tuple[str, str], list[tuple[str, Scored]]] = {}
    by_tenant: dict[str, list[tuple[str, str]]] = {}
    for event in openings:
        if isinstance(event.data, Opened):
            text = f"{event.data.subject}\n{event.data.text}" if event.data.subject else event.data.text
            by_tenant.setdefault(event.tenant, []).append((event.id, text))
    for tenant, texts in by_tenant.items():
        for version, state, scorer in ready[tenant]:
            learned = scorer.header.learned
            for (event_id, _), said in zip(texts, scorer.score([text for _, text in texts]), strict=True):
                every.setdefault((tenant, event_id), []).append((state, _event(version, said)))
                if state is State.PROMOTED:
                    believed = {field: opinion for field, opinion in said.items() if field in learned}
                    in_force[tenant, event_id] = _event(version, believed)
    return Scores(in_force, {key: tuple(said) for key, said in every.items()})


def _event(version: int, said: "Mapping[Field, Opinion]") -> Scored:
    theme, urgency = said.get(Field.THEME), said.get(Field.URGENCY)
    return Scored(
        model=version,
        theme=theme.name if theme else None,
        theme_confidence=theme.confidence if theme else 0.0,
        urgency=Urgency(urgency.name) if urgency else None,
        urgency_confidence=urgency.confidence if urgency else 0.0,
    )
