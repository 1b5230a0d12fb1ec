"""What every route of both services keeps to: keys, scopes, problems, health, metrics and their description."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import asyncpg
import httpx
import pytest
from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct
from prometheus_client import CollectorRegistry

from shared.contract.access import Scope
from shared.contract.problems import Kind, Refused
from shared.ledger import keys
from shared.postgres.pool import Pool
from shared.web import answers, bodies
from shared.web.app import Title, build_app
from shared.web.bodies import Call
from shared.web.edge import Edge
from shared.web.keyring import KeyRing
from shared.web.operations import operation


class Thing(Struct, frozen=True, kw_only=True):
    """Something to send."""

    name: Annotated[str, Meta(min_length=1)]
    size: int = 0


class Own(Exception):
    """An exception of one service."""


class Wanted(Struct, frozen=True, kw_only=True):
    """Which things."""

    limit: Annotated[int, Meta(ge=1, le=10)] = 5
    colour: str | None = None


@post("/v1/things", opt=operation(Scope.TICKETS_WRITE, takes=Thing, gives={201: Thing}))
async def create_thing(request: Call) -> ASGIResponse:
    """Make a thing.

    It is given back.
    """
    return answers.json(await bodies.read(request, Thing), 201)


@get("/v1/things", opt=operation(Scope.TICKETS_READ, query=Wanted, gives={200: Wanted}))
async def list_things(request: Call) -> ASGIResponse:
    """List things."""
    return answers.json(bodies.query(request, Wanted))


@get("/v1/me", opt=operation(gives={200: Any}))
async def whoami(request: Call) -> ASGIResponse:
    """The tenant of the key."""
    return answers.json({"tenant": request.user.tenant})


@get("/v1/fault", opt=operation(gives={200: None}))
async def fault() -> None:
    """Breaks."""
    raise ZeroDivisionError


@get("/v1/away", opt=operation(gives={200: None}))
async def away() -> None:
    """Finds its database gone."""
    raise ConnectionRefusedError


@get("/v1/unstorable", opt=operation(gives={200: None}))
async def unstorable() -> None:
    """Finds that no column holds this."""
    raise asyncpg.DataError("value out of range")


@get("/v1/framework", opt=operation(gives={200: Any}))
async def framework(limit: FromQuery[int]) -> ASGIResponse:
    """Leaves its parameter to the framework."""
    return answers.json(limit)


@post("/v1/framework", opt=operation(gives={201: Thing}))
async def framework_body(data: JSONBody[Thing]) -> Thing:
    """Leaves its body to the framework."""
    return data


@get("/v1/own", opt=operation(gives={200: None}))
async def own() -> None:
    """Raises what only its service knows."""
    raise Own


@get("/v1/open/{token:str}", opt=operation(is_open=True, gives={200: Any}))
async def open_to_all(token: FromPath[str]) -> ASGIResponse:
    """Needs no key."""
    return answers.json({"token": token})


@get("/v1/open/{token:str}/inside", opt=operation(gives={200: None}))
async def not_open(token: FromPath[str]) -> ASGIResponse:
    """Stands below an open address, but needs a key."""
    return answers.json({"token": token})


ROUTES = (
    create_thing, list_things, whoami, fault, away, unstorable, framework, framework_body, own, open_to_all, not_open,
)  # fmt: skip
TITLE = Title(name="Trial", version="1", description="A trial")


async def well() -> str | None:
    """A check that finds nothing wrong."""
    return None


async def ill() -> str | None:
    """A check that misses something."""
    return "no connection; start it"


async def broken() -> str | None:
    """A check that fails itself."""
    raise ZeroDivisionError


@pytest.fixture
def registry() -> CollectorRegistry:
    """The metrics of this test's application."""
    return CollectorRegistry()


@pytest.fixture
def app(pool: Pool, registry: CollectorRegistry) -> Edge:
    """A small application with routes of every sort."""
    return build_app(
        title=TITLE,
        routes=ROUTES,
        keyring=KeyRing(pool),
        registry=registry,
        checks={"postgres": well},
        translations={Own: lambda _: Refused(Kind.CONFLICT, "this is so")},
        docs_open=True,
    )


@pytest.fixture
async def client(app: Edge) -> AsyncIterator[httpx.AsyncClient]:
    """Asks the application, without a key."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://deskclock") as asking:
        yield asking


@pytest.fixture
async def admin(client: httpx.AsyncClient, pool: Pool) -> httpx.AsyncClient:
    """Asks with a key that may do everything."""
    client.headers["authorization"] = f"Bearer {await new_key(pool, Scope.ADMIN)}"
    return client


async def new_key(pool: Pool, *scopes: Scope, tenant: str = "acme") -> str:
    """A fresh key."""
    async with pool.acquire() as connection:
        return (await keys.create(connection, tenant, scopes, "test")).key


def slug(answer: httpx.Response) -> tuple[int, str]:
    """Status and kind of a problem, after a look at its form."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["status"] == answer.status_code
    assert body["title"]
    assert body["detail"]
    return answer.status_code, body["type"].removeprefix("urn:deskclock:problem:")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer x",
        "Basic ZGM6eA==",
        "Bearer dc_abc_" + "x" * 43,
        "Bearer dc__",
        "Bearer \xff",
        "dc_a_b",
    ],
)
async def test_no_key_no_answer(client: httpx.AsyncClient, authorization: str | None) -> None:
    """Without a valid key every address answers 401, those that don't exist too."""
    headers = {"authorization": authorization.encode("latin-1")} if authorization is not None else {}
    for path in ("/v1/me", "/nowhere", "/metrics", "/v1/open/x/inside"):
        answer = await client.get(path, headers=headers)
        assert (401, "no-key") == slug(answer)
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_an_address_below_an_open_one_takes_a_key(admin: httpx.AsyncClient) -> None:
    """A route that needs a key gets it, though another that is open begins alike."""
    assert 200 == (await admin.get("/v1/open/x/inside")).status_code


async def test_a_key_gives_its_tenant(client: httpx.AsyncClient, pool: Pool) -> None:
    """The tenant comes from the key alone."""
    for tenant in ("acme", "globex"):
        key = await new_key(pool, Scope.TICKETS_READ, tenant=tenant)
        answer = await client.get("/v1/me", headers={"authorization": f"bearer {key}"})
        assert (200, {"tenant": tenant}) == (answer.status_code, answer.json())


async def test_a_right_id_with_a_wrong_secret_is_nobody(client: httpx.AsyncClient, pool: Pool) -> None:
    """Knowing a key's id is of no use."""
    key = await new_key(pool, Scope.ADMIN)
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    assert (401, "no-key") == slug(await client.get("/v1/me", headers={"authorization": f"Bearer {wrong}"}))


async def test_a_scope_is_needed_and_admin_has_all(client: httpx.AsyncClient, pool: Pool) -> None:
    """A key without the scope is refused with the scope's name; `admin` is enough everywhere."""
    reader, admin = await new_key(pool, Scope.TICKETS_READ), await new_key(pool, Scope.ADMIN)
    refused = await client.post("/v1/things", json={"name": "a"}, headers={"authorization": f"Bearer {reader}"})
    assert (403, "forbidden") == slug(refused)
    assert "tickets:write" in refused.json()["detail"]
    taken = await client.post("/v1/things", json={"name": "a"}, headers={"authorization": f"Bearer {admin}"})
    assert (201, {"name": "a", "size": 0}) == (taken.status_code, taken.json())


async def test_a_revoked_key_ends_within_two_seconds(
    client: httpx.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key is remembered for a moment only."""
    seconds = 1000.0
    monkeypatch.setattr("shared.timesource.monotonic", lambda: seconds)
    key = await new_key(pool, Scope.ADMIN)
    headers = {"authorization": f"Bearer {key}"}
    assert (await client.get("/v1/me", headers=headers)).status_code == 200
    async with pool.acquire() as connection:
        assert not await keys.revoke(connection, "globex", key.split("_")[1])
        assert await keys.revoke(connection, "acme", key.split("_")[1])
        assert not await keys.revoke(connection, "acme", key.split("_")[1])
    assert (await client.get("/v1/me", headers=headers)).status_code == 200
    seconds += 2.0
    assert (await client.get("/v1/me", headers=headers)).status_code == 401


async def test_callers_of_one_key_share_one_look_up(pool: Pool) -> None:
    """A hundred requests at once with a cold key cost one query."""
    ring = KeyRing(pool)
    key = await new_key(pool, Scope.ADMIN)
    callers = await asyncio.gather(*(ring.caller(f"Bearer {key}") for _ in range(100)))
    assert {caller.tenant for caller in callers} == {"acme"}
    assert len({id(caller) for caller in callers}) == 1


async def test_keys_are_kept_as_digests_only(pool: Pool) -> None:
    """The secret is nowhere in the database, and lists don't show it."""
    key = await new_key(pool, Scope.ADMIN, Scope.TICKETS_READ)
    async with pool.acquire() as connection:
        stored = await keys.find(connection, key.split("_")[1])
        [listed] = await keys.list_keys(connection, "acme")
        assert await keys.list_keys(connection, "globex") == []
    assert stored is not None
    assert stored.secret_sha256 == keys.digest(key.split("_")[2])
    assert ("test", ["admin", "tickets:read"], None) == (listed.label, listed.scopes, listed.revoked_at)


async def test_a_tenant_must_be_a_subject_token(pool: Pool) -> None:
    """A tenant's name can't hold what NATS would read as several tokens."""
    async with pool.acquire() as connection:
        with pytest.raises(ValueError, match="can't be a tenant"):
            await keys.create(connection, "a.b", [Scope.ADMIN])


@pytest.mark.parametrize(
    ("body", "media_type", "expected"),
    [
        (b"", "application/json", (400, "malformed-body")),
        (b"{", "application/json", (400, "malformed-body")),
        (b"{}", "application/json", (422, "invalid")),
        (b'{"name": "a\\u0000"}', "application/json", (422, "invalid")),
        (b"name: a", "text/plain", (415, "unsupported-media-type")),
        (b"name=a", "application/x-www-form-urlencoded", (415, "unsupported-media-type")),
        (b'{"name": "a"}', "", (415, "unsupported-media-type")),
        (b'{"name": "' + b"a" * 1_048_576 + b'"}', "application/json", (413, "too-large")),
    ],
)
async def test_bad_bodies_are_refused(
    admin: httpx.AsyncClient, body: bytes, media_type: str, expected: tuple[int, str]
) -> None:
    """Each sort of bad body has its own problem."""
    headers = {"content-type": media_type} if media_type else {}
    assert expected == slug(await admin.post("/v1/things", content=body, headers=headers))


async def test_a_body_without_length_is_limited_too(admin: httpx.AsyncClient) -> None:
    """A chunked body is stopped at 1 MiB."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    headers = {"content-type": "application/json"}
    assert (413, "too-large") == slug(await admin.post("/v1/things", content=chunks(), headers=headers))


async def test_every_wrong_field_is_in_the_answer(admin: httpx.AsyncClient) -> None:
    """Several wrong fields make several errors, each with its pointer."""
    answer = await admin.post("/v1/things", json={"name": "", "size": "big"})
    assert (422, "invalid") == slug(answer)
    assert [
        {"pointer": "#/name", "detail": "expected str of length >= 1"},
        {"pointer": "#/size", "detail": "expected int, got str"},
    ] == sorted(answer.json()["errors"], key=lambda error: str(error["pointer"]))


async def test_every_wrong_parameter_is_in_the_answer(admin: httpx.AsyncClient) -> None:
    """Unknown, repeated and wrong query parameters are all listed."""
    answer = await admin.get("/v1/things?limit=0&page=2&colour=red&colour=blue")
    assert (422, "invalid") == slug(answer)
    assert ["colour", "limit", "page"] == sorted(error["parameter"] for error in answer.json()["errors"])
    taken = await admin.get("/v1/things?limit=7&colour=gr%C3%BCn")
    assert {"limit": 7, "colour": "grün"} == taken.json()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nowhere", (404, "not-found")),
        ("DELETE", "/v1/things", (405, "method-not-allowed")),
        ("BREW", "/v1/things", (405, "method-not-allowed")),
        ("GET", "/v1/open/%00", (400, "bad-request")),
        ("GET", "/v1/things?colour=%00", (400, "bad-request")),
        ("GET", "/v1/own", (409, "conflict")),
        ("GET", "/v1/unstorable", (422, "invalid")),
        ("GET", "/v1/framework?limit=x", (422, "invalid")),
        ("GET", "/v1/framework", (422, "invalid")),
        ("GET", "/v1/fault", (500, "internal-error")),
        ("GET", "/v1/away", (503, "unavailable")),
    ],
)
async def test_whatever_goes_wrong_is_a_problem(
    admin: httpx.AsyncClient, method: str, path: str, expected: tuple[int, str]
) -> None:
    """No failure has another form, whoever finds it."""
    answer = await admin.request(method, path)
    assert expected == slug(answer)
    if expected[0] == 405:
        assert "POST" in answer.headers["allow"]
    if expected[0] == 503:
        assert int(answer.headers["retry-after"]) > 0


async def test_bodies_that_the_framework_reads_are_refused_alike(admin: httpx.AsyncClient) -> None:
    """A route may leave its body to the framework; then the first error is named."""
    answer = await admin.post("/v1/framework", json={"name": "a", "size": "big"})
    assert (422, "invalid") == slug(answer)
    assert answer.json()["errors"][0]["pointer"].startswith("#")
    assert (400, "bad-request") == slug(await admin.post("/v1/framework", content=b"{"))


async def test_there_are_no_websockets(app: Edge) -> None:
    """Nothing gets in beside the keys."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/v1/me", "headers": []}, send, send)
    assert ["websocket.close"] == [message["type"] for message in sent]


async def test_a_caller_who_leaves_is_counted(app: Edge, pool: Pool, registry: CollectorRegistry) -> None:
    """A connection closed in the middle of a body harms nobody."""
    headers = [
        (b"authorization", f"Bearer {await new_key(pool, Scope.ADMIN)}".encode()),
        (b"content-type", b"application/json"),
    ]
    scope = {"type": "http", "method": "POST", "path": "/v1/things", "query_string": b"", "headers": headers}

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        assert message

    await app(scope, receive, send)
    labels = {"method": "POST", "route": "/v1/things", "code": "400"}
    assert 1.0 == registry.get_sample_value("http_request_duration_seconds_count", labels)


async def test_a_refusal_carries_its_headers() -> None:
    """Headers of a refusal go out with it."""
    refused = Refused(Kind.UNAVAILABLE, "later", headers={"retry-after": "1"})
    assert (b"retry-after", b"1") in answers.problem(refused).raw_headers


async def test_live_asks_nothing(client: httpx.AsyncClient) -> None:
    """Liveness needs no key and no server."""
    assert {"status": "alive"} == (await client.get("/health/live")).json()


async def test_ready_says_what_is_missing(pool: Pool) -> None:
    """One failed check makes 503, with every check by name."""
    app = build_app(
        title=TITLE,
        routes=(),
        keyring=KeyRing(pool),
        registry=CollectorRegistry(),
        checks={"postgres": well, "nats": ill, "loops": broken},
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://deskclock") as client:
        answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert {
        "status": "not ready",
        "checks": {"postgres": "ok", "nats": "no connection; start it", "loops": "the check failed: ZeroDivisionError"},
    } == answer.json()


async def test_metrics_need_their_scope(client: httpx.AsyncClient, pool: Pool) -> None:
    """Prometheus reads with a key of its own."""
    key = await new_key(pool, Scope.METRICS_READ)
    answer = await client.get("/metrics", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")


async def test_requests_are_timed_by_route_template(admin: httpx.AsyncClient, registry: CollectorRegistry) -> None:
    """Neither paths nor unknown methods become labels."""
    for method, path in (("GET", "/v1/open/a"), ("GET", "/v1/open/b"), ("BREW", "/nowhere/1"), ("GET", "/nowhere/2")):
        await admin.request(method, path)

    def count(method: str, route: str, code: str) -> float | None:
        labels = {"method": method, "route": route, "code": code}
        return registry.get_sample_value("http_request_duration_seconds_count", labels)

    assert [2.0, 1.0, 1.0] == [
        count("GET", "/v1/open/{token}", "200"),
        count("other", "(none)", "404"),
        count("GET", "(none)", "404"),
    ]


async def test_a_route_that_does_not_say_who_may_call_it_is_refused(pool: Pool) -> None:
    """Nothing is open by oversight."""

    @get("/v1/oversight")
    async def oversight() -> None:
        """Says nothing."""

    with pytest.raises(ValueError, match="GET /v1/oversight"):
        build_app(title=TITLE, routes=(oversight,), keyring=KeyRing(pool), registry=CollectorRegistry(), checks={})


async def test_the_description_is_openapi_3_1(client: httpx.AsyncClient) -> None:
    """Every route stands in it, with its body, its scope and its problems under their own media type."""
    told = (await client.get("/openapi.json")).json()
    assert "3.1.0" == told["openapi"]
    operation_ = told["paths"]["/v1/things"]["post"]
    assert {"$ref": "#/components/schemas/Thing"} == operation_["requestBody"]["content"]["application/json"]["schema"]
    assert {"201", "400", "401", "403", "413", "415", "422", "503"} == set(operation_["responses"])
    for status in ("400", "401", "422"):
        assert ["application/problem+json"] == list(operation_["responses"][status]["content"])
    assert "tickets:write" in operation_["description"]
    assert [] == told["paths"]["/v1/open/{token}"]["get"]["security"]
    assert ["limit", "colour"] == [parameter["name"] for parameter in told["paths"]["/v1/things"]["get"]["parameters"]]
    assert {"Problem", "FieldError", "Thing"} <= told["components"]["schemas"].keys()


async def test_the_description_reads_the_same_as_yaml_and_as_a_page(client: httpx.AsyncClient) -> None:
    """The page needs nothing from any other server."""
    yaml = await client.get("/openapi.yaml")
    page = await client.get("/docs")
    assert yaml.text.startswith("openapi: 3.1.0")
    assert "/v1/things" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text.replace("http://deskclock", "")
    assert "https://" not in page.text


async def test_the_description_needs_a_key_unless_it_is_open(pool: Pool) -> None:
    """In production the description is for those with a key."""
    app = build_app(title=TITLE, routes=(), keyring=KeyRing(pool), registry=CollectorRegistry(), checks={})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://deskclock") as client:
        assert (401, "no-key") == slug(await client.get("/openapi.json"))
        assert (401, "no-key") == slug(await client.get("/docs"))
