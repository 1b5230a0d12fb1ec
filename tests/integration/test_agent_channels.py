"""Channels that people close, and ceilings of what they have of one."""

import pytest

from services.router.agents import Agents
from services.router.assignment import Assignment
from services.router.store.agents import AgentStatus
from shared.contract.tickets import Channel
from shared.postgres.pool import Pool
from tests.integration.desk import NOW, give, load, make, owners, people, put, reasons, waiting
from tests.integration.on_duty import POLICY, apply, roster, view


@pytest.fixture
async def assignment(pool: Pool, clock_control) -> Assignment:  # type: ignore[no-untyped-def]
    """On a Monday at noon."""
    await clock_control.freeze(NOW)
    return make(pool)


@pytest.fixture
def agents(pool: Pool, assignment: Assignment) -> Agents:
    """What people say comes in here."""
    return people(pool, assignment)


async def test_a_closed_channel_brings_nothing(assignment: Assignment, agents: Agents, pool: Pool) -> None:
    """Other work comes all the same, and it comes when it is opened."""
    await roster(pool, ana="")
    chat, mail = waiting(Channel.LIVE_CHAT), waiting()
    await put(pool, chat, mail)

    await agents.set_status("default", "ana", AgentStatus.ONLINE, [Channel.LIVE_CHAT])
    assert ({mail.ticket_id: "ana"}, {chat.ticket_id: "offline"}) == (await owners(pool), await reasons(pool))
    await agents.set_status("default", "ana", AgentStatus.AWAY)
    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    assert [Channel.LIVE_CHAT] == (await view(agents)).closed_channels
    await agents.set_status("default", "ana", AgentStatus.ONLINE, [])

    assert {mail.ticket_id: "ana", chat.ticket_id: "ana"} == await owners(pool)


@pytest.mark.parametrize(
    ("policy", "person", "expected"),
    [("", "", 3), ("at_most: 2", "", 2), ("at_most: 2", "at_most: {live_chat: 1}", 1), ("", "at_most: {live_chat: 0}", 0),
     ("at_most: 1", "at_most: {live_chat: 3}", 3), ("", "at_most: {email: 0}", 3)],
)  # fmt: skip
async def test_ceilings_bound_the_tickets_of_a_channel(
    assignment: Assignment, agents: Agents, pool: Pool, policy: str, person: str, expected: int
) -> None:
    """The roster's word goes before the policy's; other channels don't count."""
    await apply(pool, f"{POLICY}channels: {{live_chat: {{units: 4, {policy}}}}}\n")
    await roster(pool, ana=person)
    chats = [waiting(Channel.LIVE_CHAT) for _ in range(5)]
    await put(pool, *chats)

    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    await assignment.sweep()

    assert expected == len(await owners(pool))
    assert {Channel.LIVE_CHAT: expected} == ((await view(agents)).held or {Channel.LIVE_CHAT: 0})
    assert {"full"} == set((await reasons(pool)).values())


async def test_what_is_parked_is_no_chat_and_what_is_given_by_hand_is_obeyed(
    assignment: Assignment, agents: Agents, pool: Pool
) -> None:
    """Ceilings count what somebody works on; the helpdesk may go beyond."""
    await roster(pool, ana="at_most: {live_chat: 1}")
    first, second, third, fourth = [waiting(Channel.LIVE_CHAT) for _ in range(4)]
    await put(pool, first, second)
    await agents.set_status("default", "ana", AgentStatus.ONLINE)
    assert {first.ticket_id: "ana"} == await owners(pool)

    await pool.execute("UPDATE assignment SET state = 'parked'")
    await pool.execute("UPDATE agent SET primary_used = 0")
    await assignment.sweep()
    assert {first.ticket_id: "ana", second.ticket_id: "ana"} == await owners(pool)
    await put(pool, third, fourth)
    await give(pool, [third], "ana")
    await assignment.sweep()

    assert {Channel.LIVE_CHAT: 2} == (await view(agents)).held
    assert {fourth.ticket_id: "full"} == await reasons(pool)
    assert (8, 0, 0, False) == await load(pool, "ana")
