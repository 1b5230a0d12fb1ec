"""Streams and consumers on a real nats-server."""

from nats.aio.client import Client
from nats.js import JetStreamContext

from shared.jetstream import streams


async def test_streams_are_made_as_declared(jetstream: JetStreamContext) -> None:
    """Each declared stream exists with its subjects."""
    expected = {stream.name: list(stream.subjects) for stream in streams.STREAMS}

    assert expected == {info.config.name: info.config.subjects for info in await jetstream.streams_info()}


async def test_making_streams_again_changes_nothing(jetstream: JetStreamContext, nats_client: Client) -> None:
    """A second run leaves streams and consumers as they are."""
    before = await jetstream.stream_info("SLA")

    await streams.ensure(nats_client)

    assert before.config == (await jetstream.stream_info("SLA")).config
