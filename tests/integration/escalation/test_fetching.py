"""Calendars are fetched within bounds, from where a tenant may lead us, and told of without their address (R25)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.escalation.on_call import fetching
from shared.policy.ical import SIZE_LIMIT
from shared.policy.reading import Unreadable

HERE = frozenset({"127.0.0.1"})


@asynccontextmanager
async def serving(answers: dict[str, bytes]) -> AsyncIterator[str]:
    """A server that answers paths with these bytes; one that it doesn't know it leaves unanswered."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        said = answers.get(request.split(b" ")[1].decode())
        if said is None:
            await reader.read()
        else:
            writer.write(said)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def reply(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An answer of HTTP."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} x\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


async def test_r25_a_feed_is_read_and_followed_to_where_it_moved() -> None:
    """Three times at the most."""
    answers = {"/d": reply(200, b"BEGIN:VCALENDAR"), "/loop": reply(302, Location="/loop")}
    answers |= {f"/{here}": reply(301, Location=f"/{there}") for here, there in ("ab", "bc", "cd")}
    async with serving(answers) as base:
        assert b"BEGIN:VCALENDAR" == await fetching.read_source(f"{base}/a", Path(), HERE)
        with pytest.raises(Unreadable, match="leads on more than 3 times"):
            await fetching.read_source(f"{base}/loop", Path(), HERE)


async def test_r25_what_cannot_be_fetched_says_why_and_never_where() -> None:
    """Not found, too large, led into a private network, or without an answer; the address may be a password."""
    answers = {
        "/secret-1": reply(404),
        "/secret-2": reply(200, b"x" * (SIZE_LIMIT + 1)),
        "/secret-3": reply(302, Location="https://169.254.169.254/latest"),
        "/secret-4": reply(302, Location="ftp://127.0.0.1/"),
    }
    said = []
    async with serving(answers) as base:
        for path in answers:
            with pytest.raises(Unreadable) as refused:
                await fetching.read_source(f"{base}{path}", Path(), HERE)
            said.append(str(refused.value))
        with pytest.raises(Unreadable) as refused:
            await fetching.read_source(f"{base}/secret-1", Path(), frozenset())
        said.append(str(refused.value))
    parts = [
        "127.0.0.1 answers 404",
        "over 1,048,576 bytes",
        "not on the public internet",
        "not a URL of the web",
        "https",
    ]
    assert [True] * 5 == [part in text for part, text in zip(parts, said, strict=True)], said
    assert "secret" not in "".join(said)


async def test_r25_a_feed_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, and the command goes on."""
    monkeypatch.setattr(fetching, "FETCH_SECONDS", 0.05)
    async with serving({}) as base:
        with pytest.raises(Unreadable, match=r"127\.0\.0\.1 took over 0\.05 s"):
            await fetching.read_source(f"{base}/", Path(), HERE)


@pytest.mark.parametrize("source", ["/etc/passwd", "../a.ics", "missing.ics", "a\0b"])
async def test_r25_a_tenants_file_is_one_below_the_folder_of_the_command(source: str, tmp_path: Path) -> None:
    """Or it is none."""
    with pytest.raises(Unreadable):
        await fetching.read_source(source, tmp_path, HERE)
    (tmp_path / "a.ics").write_bytes(b"x")
    assert b"x" == await fetching.read_source("a.ics", tmp_path, HERE)
