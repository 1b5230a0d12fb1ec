"""Whatever is sent, nothing answers with a fault of ours: generated bodies, queries and addresses."""

import asyncio
import json
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.contract.events import KINDS
from tests.effort import examples

SETTINGS = settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

RIGHT_INSTANTS = st.sampled_from(
    [
        "2026-06-01T09:00:00Z", "1970-01-01T00:00:00Z", "1971-06-01T09:00:00.1234567+02:00", "2026-06-01T09:00:00+0530",
        "2026-06-01T14:29:59.999999+05:00", "2000-02-29T00:00:00Z", "2026-03-29T02:30:00+01:00",
    ]
)  # fmt: skip
WRONG_INSTANTS = st.sampled_from(
    [
        "2026-06-01T09:00:00", "0001-01-01T00:00:00Z", "1000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "2026-06-01T24:00:00Z",
        "2026-02-30T00:00:00Z", "soon", "", "1780304400", 1780304400, None, True,
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "\0", "a\0b", "\ud800", "x" * 201, "x" * 2001, "a/b~c", "'; --", "${jndi}", "\u202e", "\uffff", "😀" * 100]
    ),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, -0.0, 1e-320]),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)


def mostly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What belongs there, or anything."""
    return st.integers(0, 24).flatmap(lambda n: right if n else JSON)


INSTANTS = st.integers(0, 9).flatmap(lambda n: RIGHT_INSTANTS if n else WRONG_INSTANTS)
ANY_TEXTS = st.integers(0, 9).flatmap(lambda n: NAMES if n else TEXTS)
REQUESTERS = st.fixed_dictionaries({}, optional={"key": mostly(ANY_TEXTS), "tier": mostly(ANY_TEXTS)})
TICKETS = st.fixed_dictionaries(
    {
        "source": mostly(NAMES),
        "external_id": mostly(NAMES),
        "channel": mostly(st.sampled_from(["email", "phone", "chat", "telex"])),
    },
    optional={
        "subject": mostly(ANY_TEXTS),
        "text": mostly(ANY_TEXTS),
        "language": mostly(st.sampled_from(["en", "de", "xx", "x" * 36])),
        "requester": mostly(REQUESTERS),
        "attributes": mostly(st.dictionaries(ANY_TEXTS, st.integers() | ANY_TEXTS | st.lists(ANY_TEXTS), max_size=3)),
        "urgency": mostly(st.sampled_from(["urgent", "high", "low", "URGENT"])),
        "opened_at": INSTANTS,
    },
)
DATA = st.fixed_dictionaries(
    {},
    optional={
        "by": mostly(st.sampled_from(["agent", "customer", "bot"])),
        "public": mostly(st.booleans()),
        "at": INSTANTS,
        "opened_at": INSTANTS,
        "status": mostly(st.sampled_from(["open", "solved", "on_hold", "merged", "pending_customer", "spam"])),
        "into": mostly(ANY_TEXTS),
        "channel": mostly(st.sampled_from(["email", "phone"])),
        "urgency": mostly(st.sampled_from(["urgent", "low"])),
        "theme": mostly(ANY_TEXTS),
        "attributes": mostly(st.dictionaries(ANY_TEXTS, JSON, max_size=2)),
        "requester": mostly(REQUESTERS),
        "agent": mostly(ANY_TEXTS),
        "score": mostly(st.floats(allow_nan=False, allow_infinity=False)),
        "scale": mostly(st.sampled_from(["csat", "nps"])),
        "comment": mostly(ANY_TEXTS),
    },
)
EVENTS = st.fixed_dictionaries(
    {"type": mostly(st.sampled_from([f"ticket.{kind}" for kind in KINDS])), "data": mostly(DATA)},
    optional={
        "id": mostly(ANY_TEXTS),
        "time": INSTANTS,
        "subject": mostly(st.just("1")),
        "specversion": mostly(st.just("1.0")),
    },
)
BODIES = st.one_of(TICKETS, TICKETS, EVENTS, EVENTS, JSON, st.lists(JSON, max_size=3))
ESCAPED = st.booleans()


def encoded(body: Any, *, ascii_only: bool) -> bytes:
    """As JSON, with lone surrogates as they come."""
    return json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


def check(answer: httpx.Response) -> None:
    """Below 500, and a problem from 400 up."""
    assert answer.status_code < 500, (answer.request.content, answer.text)
    if answer.status_code >= 400:
        assert "application/problem+json" == answer.headers["content-type"], answer.text
        assert answer.json()["detail"]


async def ask(router, method: str, path: str, content: bytes, media_type: str = "application/json") -> httpx.Response:
    """One request; an answer has to come."""
    async with asyncio.timeout(20):
        return await router.acme.request(method, path, content=content, headers={"content-type": media_type})


async def test_no_ticket_is_a_fault_of_ours(router) -> None:
    """Neither one that is wrong everywhere, nor one that is right."""
    loop = asyncio.get_running_loop()

    @SETTINGS
    @given(st.lists(TICKETS, min_size=1, max_size=20), ESCAPED)
    def send(tickets: list[Any], ascii_only: bool) -> None:
        async def all_of_them() -> None:
            posts = [ask(router, "POST", "/v1/tickets", encoded(each, ascii_only=ascii_only)) for each in tickets]
            batch = ask(router, "POST", "/v1/tickets:batch", encoded({"tickets": tickets}, ascii_only=ascii_only))
            for answer in await asyncio.gather(*posts, batch):
                check(answer)

        asyncio.run_coroutine_threadsafe(all_of_them(), loop).result(60)

    await asyncio.to_thread(send)


async def test_no_event_is_a_fault_of_ours(router) -> None:
    """In short, structured or binary, of a ticket that is there."""
    made = await router.acme.post("/v1/tickets", json={"source": "s", "external_id": "1", "channel": "email"})
    path = f"/v1/tickets/{made.json()['id']}/events"
    loop = asyncio.get_running_loop()

    @SETTINGS
    @given(st.lists(EVENTS, min_size=1, max_size=20), ESCAPED)
    def send(events: list[Any], ascii_only: bool) -> None:
        async def all_of_them() -> None:
            posts = [ask(router, "POST", path, encoded(each, ascii_only=ascii_only)) for each in events]
            for answer in await asyncio.gather(*posts):
                check(answer)

        asyncio.run_coroutine_threadsafe(all_of_them(), loop).result(60)

    await asyncio.to_thread(send)
    check(await router.acme.get(path.removesuffix("/events")))


CALLS = st.fixed_dictionaries(
    {},
    optional={
        "reason": mostly(ANY_TEXTS),
        "by": mostly(ANY_TEXTS),
        "seen": mostly(st.fixed_dictionaries({"generation": SCALARS, "step": SCALARS})),
    },
)


async def test_no_call_for_help_is_a_fault_of_ours(router) -> None:
    """Of a ticket that is there, by a policy that has somebody to call."""
    yaml = {"content-type": "application/yaml"}
    await router.acme.put("/v1/roster", content="people: {ana: {name: Ana}}", headers=yaml)
    policy = "targets: []\nescalations: {ask: {steps: [{page: [person/ana]}]}}"
    await router.acme.put("/v1/policy", content=policy, headers=yaml)
    made = await router.acme.post("/v1/tickets", json={"source": "s", "external_id": "1", "channel": "email"})
    path = f"/v1/tickets/{made.json()['id']}/escalate"
    loop = asyncio.get_running_loop()
    taken = []

    @SETTINGS
    @given(st.lists(CALLS | JSON, min_size=1, max_size=20), ESCAPED)
    def send(calls: list[Any], ascii_only: bool) -> None:
        async def all_of_them() -> None:
            posts = [ask(router, "POST", path, encoded(each, ascii_only=ascii_only)) for each in calls]
            for answer in await asyncio.gather(*posts):
                check(answer)
                taken.append(answer.status_code)

        asyncio.run_coroutine_threadsafe(all_of_them(), loop).result(60)

    await asyncio.to_thread(send)
    assert 202 in taken
    assert 1 == await router.pool.fetchval("SELECT count(*) FROM escalation_request WHERE reason = 'manual'")


async def test_no_body_is_a_fault_of_any_route(router) -> None:
    """Every method of every route takes any bytes, any JSON and any media type."""
    told = (await router.acme.get("/openapi.json")).json()
    routes = [
        (method.upper(), path.format_map(_Anything()))
        for path, methods in told["paths"].items()
        for method in methods
    ]  # fmt: skip
    loop = asyncio.get_running_loop()
    types = st.sampled_from(
        ["application/json", "application/yaml", "application/cloudevents+json", "text/plain", "", "a/b; c"]
    )

    @SETTINGS
    @given(
        st.sampled_from(routes), st.binary(max_size=60) | BODIES.map(lambda body: encoded(body, ascii_only=True)), types
    )
    def send(route: tuple[str, str], body: bytes, media_type: str) -> None:
        async def one() -> None:
            check(await ask(router, *route, body, media_type))

        asyncio.run_coroutine_threadsafe(one(), loop).result(60)

    await asyncio.to_thread(send)


async def test_no_query_or_address_is_a_fault_of_ours(router) -> None:
    """Any parameters, any path."""
    names = st.sampled_from(["limit", "cursor", "status", "owner", "source", "external_id", "version", "x", ""])
    paths = st.sampled_from(["/v1/tickets", "/v1/policy", "/v1/policy/versions", "/v1/agents", "/v1/keys"])
    places = st.sampled_from(["/v1/tickets/", "/v1/agents/", "/v1/keys/", "/", "/v1//tickets", "/health/"])
    loop = asyncio.get_running_loop()

    @SETTINGS
    @given(paths, st.lists(st.tuples(names, st.text(max_size=30)), max_size=4), places, st.binary(max_size=12))
    def send(path: str, query: list[tuple[str, str]], place: str, rest: bytes) -> None:
        tail = "".join(f"%{byte:02x}" for byte in rest)

        async def both() -> None:
            safe = [(name, value.encode("utf-8", "replace").decode()) for name, value in query]
            check(await router.acme.get(path, params=safe))
            check(await router.acme.get(place + tail))

        asyncio.run_coroutine_threadsafe(both(), loop).result(60)

    await asyncio.to_thread(send)


class _Anything(dict[str, str]):
    """A value for each parameter of a path."""

    def __missing__(self, name: str) -> str:
        """An id that is nobody's."""
        return "019e8284-c5c0-7bae-a3b2-3849f0c74f00"
