"""`/v1/keys`: who may ask; for holders of the scope `admin`, in their own tenant only."""

from typing import Annotated

from litestar import delete, get, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from services.router.api import dependencies
from shared.contract.access import Scope
from shared.contract.problems import Kind, Refused
from shared.ledger import keys
from shared.ledger.keys import KeyView, NewKey
from shared.web import answers, bodies
from shared.web.bodies import Call
from shared.web.operations import Example, operation


class KeyRequest(Struct, frozen=True, kw_only=True):
    """What a new key may do."""

    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=len(Scope))]
    label: Annotated[str, Meta(max_length=200)] = ""
    """A word to know it by."""


class KeyList(Struct, frozen=True, kw_only=True):
    """All keys of the tenant, the newest first; revoked ones too."""

    keys: list[KeyView]


_EXAMPLE = Example(name="for the helpdesk", body=KeyRequest(scopes=[Scope.TICKETS_WRITE], label="helpdesk"))


@post("/v1/keys", opt=operation(Scope.ADMIN, takes=KeyRequest, gives={201: NewKey}, examples=(_EXAMPLE,)))
async def create_key(request: Call) -> ASGIResponse:
    """Make a key; it is shown in this answer and never again."""
    wanted = await bodies.read(request, KeyRequest)
    async with dependencies.of(request).pool.acquire() as connection:
        made = await keys.create(connection, request.user.tenant, wanted.scopes, wanted.label)
    return answers.json(made, 201, {"cache-control": "no-store"})


@get("/v1/keys", opt=operation(Scope.ADMIN, gives={200: KeyList}))
async def list_keys(request: Call) -> ASGIResponse:
    """The tenant's keys, without their secrets."""
    async with dependencies.of(request).pool.acquire() as connection:
        found = await keys.list_keys(connection, request.user.tenant)
    return answers.json(KeyList(keys=found))


@delete(
    "/v1/keys/{key_id:str}", opt=operation(Scope.ADMIN, gives={204: None}), status_code=200
)  # it answers 204 itself
async def revoke_key(request: Call, key_id: FromPath[str]) -> ASGIResponse:
    """Take a key back; every replica refuses it within two seconds."""
    deps = dependencies.of(request)
    async with deps.pool.acquire() as connection:
        if not await keys.revoke(connection, request.user.tenant, key_id):
            raise Refused(Kind.NOT_FOUND, f"there is no valid key {key_id[:40]!r}; GET /v1/keys lists them by id")
    deps.keyring.forget(key_id)
    return answers.empty()
