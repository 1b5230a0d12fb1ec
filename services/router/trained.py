"""Trained models: added, tried in shadow, promoted, rolled back. HTTP and console ask here; `services.router.scoring` uses them.

A model that did not beat both baselines on texts it had not seen is never in force.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from services.router import scoring
from services.router.domain import weights
from services.router.domain.weights import Field, Header
from services.router.store import trained as trained_store
from services.router.store.trained import Compared, Corrected, Model, State
from shared.ledger.policies import PolicyShelf
from shared.postgres.pool import Connection

KEPT = 20
"""Models of a tenant that are not used, beside as many that were in force last."""
MOST_COMPARED = 50_000
_PAGE = 1_000


class NoModel(LookupError):
    """The tenant has no such model; the text says which there are."""


class NotAllowed(Exception):
    """The model may not be used so; the text says why and the way out."""


class Added(Struct, frozen=True, kw_only=True):
    """What became of a file."""

    version: int
    is_new: bool
    """False where the same file was there already."""
    learned: tuple[Field, ...]
    """What it may be promoted for; empty: nothing."""


class Shown(Struct, frozen=True, kw_only=True):
    """A model, and what it said of tickets so far."""

    model: Model
    learned: tuple[Field, ...]
    """Heads that beat both baselines."""
    confidence: float
    """How sure the policy in force wants it to be."""
    compared: Compared
    """On its newest 50,000 tickets of the last 90 days."""


class Changed(Struct, frozen=True, kw_only=True):
    """Which models are used now."""

    in_force: int | None
    shadow: int | None
    previous: int | None
    """What was in force until now, where that has changed."""
    heads: tuple[weights.Head, ...] = ()
    """Of the model that came into force: how it did on texts it had not seen, class by class."""
    warnings: tuple[str, ...] = ()


class Listed(Struct, frozen=True, kw_only=True):
    """A tenant's models."""

    models: tuple[Model, ...]
    """The newest first."""


async def add(connection: Connection, tenant: str, file: bytes, by: str, now: datetime) -> Added:
    """Add a model's file under the next version; nothing follows from it yet. Raises `BadModel`."""
    header = (await asyncio.to_thread(scoring.read, file)).header
    async with connection.transaction():
        await trained_store.hold(connection, tenant)
        version = await trained_store.find_same(connection, tenant, file)
        if version is not None:
            return Added(version=version, is_new=False, learned=header.learned)
        version = await trained_store.insert(connection, tenant, file, header, now, by)
        await trained_store.drop_old(connection, tenant, KEPT)
    return Added(version=version, is_new=True, learned=header.learned)


async def show_all(connection: Connection, tenant: str) -> Listed:
    """The tenant's models, the newest first."""
    return Listed(models=tuple(await trained_store.list_all(connection, tenant)))


async def show(connection: Connection, shelf: PolicyShelf, tenant: str, version: int) -> Shown:
    """A model, and how it agrees with rules and people; raises `NoModel`."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        model = await _found(connection, tenant, version)
        terms = (await shelf.current(connection, tenant)).model
        compared = await trained_store.compare(connection, tenant, version, terms.confidence, MOST_COMPARED)
    return Shown(model=model, learned=model.header.learned, confidence=terms.confidence, compared=compared)


async def shadow(connection: Connection, tenant: str, version: int, now: datetime) -> Changed:
    """Have a model score new tickets without any effect, in place of another one. Raises `NoModel`, `NotAllowed`."""
    async with connection.transaction():
        await trained_store.hold(connection, tenant)
        model = await _found(connection, tenant, version)
        if model.state is State.PROMOTED:
            raise NotAllowed(f"model {version} is in force: it scores every ticket already")
        if model.state is not State.SHADOW:
            await trained_store.retire(connection, tenant, State.SHADOW, now)
            await trained_store.set_state(connection, tenant, version, State.SHADOW, now)
        return await _used(connection, tenant)


async def promote(connection: Connection, shelf: PolicyShelf, tenant: str, version: int, now: datetime) -> Changed:
    """Put a model in force for new tickets, in place of another one. Raises `NoModel`, and `NotAllowed` where it has learned nothing."""
    async with connection.transaction():
        await trained_store.hold(connection, tenant)
        model = await _found(connection, tenant, version)
        refuse_unlearned(model.header, version)
        previous = None
        if model.state is not State.PROMOTED:
            previous = await trained_store.retire(connection, tenant, State.PROMOTED, now)
            await trained_store.set_state(connection, tenant, version, State.PROMOTED, now, now)
        warnings = await _warnings(connection, shelf, tenant, model.header)
        return await _used(connection, tenant, previous, model, warnings)


async def rollback(connection: Connection, shelf: PolicyShelf, tenant: str, now: datetime) -> Changed:
    """Put back in force what was before the model that is now, or no model where there was none. Raises `NotAllowed`."""
    async with connection.transaction():
        await trained_store.hold(connection, tenant)
        version = await trained_store.before(connection, tenant)
        previous = await trained_store.retire(connection, tenant, State.PROMOTED, now)
        if previous is None:
            raise NotAllowed("no model is in force, so there is nothing to roll back")
        if version is None:
            return await _used(connection, tenant, previous)
        model = await _found(connection, tenant, version)
        await trained_store.set_state(connection, tenant, version, State.PROMOTED, now)
        warnings = await _warnings(connection, shelf, tenant, model.header)
        return await _used(connection, tenant, previous, model, warnings)


async def stop(connection: Connection, tenant: str, version: int, now: datetime) -> Changed:
    """Use a model no more, in force or in shadow. Raises `NoModel`, `NotAllowed`."""
    async with connection.transaction():
        await trained_store.hold(connection, tenant)
        model = await _found(connection, tenant, version)
        if model.state not in {State.SHADOW, State.PROMOTED}:
            raise NotAllowed(f"model {version} is not used: it is {model.state}")
        await trained_store.set_state(connection, tenant, version, State.RETIRED, now)
        return await _used(connection, tenant, version if model.state is State.PROMOTED else None)


async def corrections(connection: Connection, tenant: str) -> AsyncIterator[Corrected]:
    """Every corrected ticket with what was said of it last and the text it was opened with, page by page."""
    after = UUID(int=0)
    while page := await trained_store.export_corrections(connection, tenant, after, _PAGE):
        for corrected in page:
            yield corrected
        after = page[-1].ticket_id


def refuse_unlearned(header: Header, version: int) -> None:
    """Raise `NotAllowed` for a model none of whose heads beat the baselines."""
    if header.learned:
        return
    gains = "; ".join(
        f"{head.field}: macro-F1 {head.report.macro_f1:.3f}, always `{head.report.majority}` {head.report.majority_f1:.3f}, "
        f"dealt out blindly {head.report.blind_f1:.3f}"
        for head in header.heads
    )
    raise NotAllowed(
        f"model {version} learned nothing: it does not beat the baselines on texts it had not seen ({gains}); "
        "train one from more tickets, or from tickets that are labelled more carefully"
    )


async def _found(connection: Connection, tenant: str, version: int) -> Model:
    model = await trained_store.load(connection, tenant, version)
    if model is None:
        known = ", ".join(str(one.version) for one in await trained_store.list_all(connection, tenant)) or "none"
        raise NoModel(f"tenant {tenant} has no model {version} (there are: {known})")
    return model


async def _used(
    connection: Connection,
    tenant: str,
    previous: int | None = None,
    model: Model | None = None,
    warnings: tuple[str, ...] = (),
) -> Changed:
    used = {one.state: one.version for one in await trained_store.list_all(connection, tenant)}
    return Changed(
        in_force=used.get(State.PROMOTED),
        shadow=used.get(State.SHADOW),
        previous=previous,
        heads=model.header.heads if model is not None else (),
        warnings=warnings,
    )


async def _warnings(connection: Connection, shelf: PolicyShelf, tenant: str, header: Header) -> tuple[str, ...]:
    """What will seldom be meant, where the model is in force."""
    found = [
        f"its {head.field} learned nothing, so only {', '.join(header.learned)} is used"
        for head in header.heads
        if not head.report.has_learned
    ]
    terms = (await shelf.current(connection, tenant)).model
    asks = Field.THEME in header.learned and terms.triage is not None
    if asks and not await trained_store.has_skilled(connection, tenant, terms.triage or ""):
        found.append(
            f"nobody on the roster has the skill `{terms.triage}`, which tickets need where the model is unsure: give it to "
            "somebody, or write `model: {triage: none}` in the policy"
        )
    return tuple(found)
