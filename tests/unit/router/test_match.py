"""Who gets which ticket, and why the others wait."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from services.router.domain.match import Because, Matched, match
from services.router.domain.queue import Band, Reason, Waiting, signature
from services.router.domain.roster import Agent, Profile, flexes
from shared.contract.tickets import Channel

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
COST = {
    Channel.PHONE: (12, False),
    Channel.LIVE_CHAT: (4, False),
    Channel.MESSAGING: (3, False),
    Channel.SOCIAL: (3, True),
    Channel.EMAIL: (6, True),
    Channel.SELF_SERVICE: (6, True),
}
_serial = count(1)


def agent(key: str, skills: str = "a", channels: Sequence[Channel] = tuple(COST), **changed: Any) -> Agent:
    """An online agent with twelve units; `skills` are letters, each at level 3."""
    profile = Profile(skills=dict.fromkeys(skills, 3), channels=frozenset(channels))
    given: dict[str, Any] = {"key": key, "profile": profile, "capacity": 12, "is_online": True}
    return Agent(**given | changed)


def ticket(channel: Channel = Channel.EMAIL, needs: Sequence[tuple[str, int]] = (("a", 1),), **changed: Any) -> Waiting:
    """A savable ticket, queued after those made before it."""
    serial = next(_serial)
    units, interruptible = COST[channel]
    given: dict[str, Any] = {
        "ticket_id": UUID(int=serial),
        "channel": channel,
        "units": units,
        "interruptible": interruptible,
        "needs": tuple(needs),
        "prefers": (),
        "signature": signature(channel, tuple(needs)),
        "queued_at": NOW,
        "band": Band.SAVABLE,
        "order_rank": 0,
        "order_at": NOW + MINUTE,
    }
    return Waiting(**given | changed)


def given_to(matched: Matched) -> list[str]:
    """Owners in the order of the queue."""
    return [choice.agent for choice in matched.chosen]


def reasons(matched: Matched) -> list[Reason]:
    """Of those left, in the order of the queue."""
    return [reason for _, reason in matched.left]


def test_ticket_goes_to_somebody_free() -> None:
    """One ticket, one agent: theirs."""
    wanted = ticket()

    matched = match([wanted], [agent("ana")], NOW)

    assert [(wanted, "ana", Because.FREE)] == [(c.ticket, c.agent, c.because) for c in matched.chosen]
    assert ([], False, False) == (matched.left, matched.has_more, matched.is_blocked)


def test_rescue_comes_before_savable_before_late() -> None:
    """Bands first, whatever the due time."""
    late, savable, rescue = ticket(band=Band.LATE), ticket(), ticket(band=Band.RESCUE)

    matched = match([late, savable, rescue], [agent("ana", capacity=18)], NOW)

    assert [rescue, savable, late] == [choice.ticket for choice in matched.chosen]


def test_late_tickets_go_by_urgency_then_due_time() -> None:
    """The stored rank is the urgency in the band of the late."""
    low = ticket(band=Band.LATE, order_rank=3, order_at=NOW - 9 * MINUTE)
    urgent = ticket(band=Band.LATE, order_rank=0, order_at=NOW - MINUTE)
    overdue = ticket(band=Band.LATE, order_rank=0, order_at=NOW - 2 * MINUTE)

    matched = match([low, urgent, overdue], [agent("ana", capacity=18)], NOW)

    assert [overdue, urgent, low] == [choice.ticket for choice in matched.chosen]


def test_what_few_could_take_comes_before_what_has_a_little_less_time() -> None:
    """One in four can do `b`, so a ticket that needs it counts as if it had half of its time left."""
    agents = [agent("ana", "ab", capacity=6), *(agent(key, calls=1) for key in ("ben", "chi", "dan"))]
    common, rare = ticket(order_at=NOW + 6 * MINUTE), ticket(needs=(("b", 1),), order_at=NOW + 11 * MINUTE)
    rushed, late = ticket(order_at=NOW + 5 * MINUTE), ticket(needs=(("b", 1),), band=Band.LATE, order_at=NOW)

    assert [rare] == [choice.ticket for choice in match([common, rare], agents, NOW).chosen]
    assert [rushed] == [choice.ticket for choice in match([rushed, rare, late], agents, NOW).chosen]


def test_least_flexible_agent_gets_it() -> None:
    """Generalists are kept for what only they can do."""
    matched = match([ticket()], [agent("ana", "abc"), agent("ben", "a")], NOW)

    assert ["ben"] == given_to(matched)


def test_rare_skill_makes_an_agent_more_precious_than_a_common_one() -> None:
    """Two skills each, but few have `c`."""
    agents = [agent("ana", "ac"), agent("ben", "ab"), agent("chi", "b"), agent("dan", "b")]

    assert ["ben"] == given_to(match([ticket()], agents, NOW))


def test_flexibility_counts_classes_of_topic_and_language() -> None:
    """Two topics in two languages are four classes, not four skills; all equally common here."""
    both = Profile(skills={"a": 1, "b": 1, "lang:en": 1, "lang:fr": 1}, channels=frozenset({"email"}))
    four = Profile(skills={"a": 1, "b": 1, "lang:en": 1, "lang:fr": 1, "c": 1}, channels=frozenset({"email"}))

    assert [2.0 * 2.0, 4.0 * 2.0] == flexes([both, four])


def test_fractional_work_goes_to_who_holds_real_time_work_already() -> None:
    """So that somebody stays free for the phone."""
    agents = [agent("ana"), agent("ben", primary_used=4)]

    assert ["ben"] == given_to(match([ticket(Channel.LIVE_CHAT)], agents, NOW))


def test_packing_holds_within_a_run() -> None:
    """Who got the first chat gets the next two, and then the phone still finds somebody."""
    chats = [ticket(Channel.LIVE_CHAT) for _ in range(3)]

    matched = match([*chats, ticket(Channel.PHONE)], [agent("ana"), agent("ben")], NOW)

    assert ["ana", "ana", "ana", "ben"] == given_to(matched)


def test_call_goes_to_who_pauses_least_for_it() -> None:
    """A call interrupts asynchronous work: the less of it, the better."""
    agents = [agent("ana", interruptible_used=12), agent("ben", interruptible_used=6)]

    assert ["ben"] == given_to(match([ticket(Channel.PHONE)], agents, NOW))


def test_preferred_skills_decide_between_equally_flexible_agents() -> None:
    """They are soft: better than idle time, less than flexibility."""
    agents = [agent("ana", "ab"), agent("ben", "ac"), agent("chi", "a")]

    assert ["chi"] == given_to(match([ticket(prefers=("c",))], agents, NOW))
    assert ["ben"] == given_to(match([ticket(prefers=("c",))], agents[:2], NOW))


def test_who_waited_longest_gets_it_then_the_smaller_key() -> None:
    """The last of the choices."""
    agents = [
        agent("ana", last_assigned_at=NOW),
        agent("ben", last_assigned_at=NOW - MINUTE),
        agent("chi", last_assigned_at=NOW - MINUTE),
    ]

    assert ["ben", "chi", "ana"] == given_to(match([ticket() for _ in range(3)], agents, NOW))


def test_new_agent_counts_as_having_waited_longest() -> None:
    """Never given anything: first."""
    assert ["chi"] == given_to(match([ticket()], [agent("ana", last_assigned_at=NOW), agent("chi")], NOW))


def test_previous_owner_gets_it_before_all_others() -> None:
    """The customer meets who knows the case, though others are less flexible."""
    matched = match([ticket(previous_owner="ana")], [agent("ana", "abc"), agent("ben")], NOW)

    assert [("ana", Because.PREVIOUS_OWNER)] == [(c.agent, c.because) for c in matched.chosen]


def test_ticket_waits_for_a_busy_previous_owner_until_its_affinity_ends() -> None:
    """Then anybody may have it."""
    agents = [agent("ana", interruptible_used=12), agent("ben")]
    wanted = ticket(previous_owner="ana", affinity_until=NOW + MINUTE)

    assert [Reason.FULL] == reasons(match([wanted], agents, NOW))
    assert ["ben"] == given_to(match([wanted], agents, NOW + MINUTE))


@pytest.mark.parametrize("previous", ["gone", "off", "unskilled", "tired"])
def test_ticket_does_not_wait_for_a_previous_owner_who_can_not_have_it(previous: str) -> None:
    """Off the roster, offline, without the skill, or excluded."""
    agents = [agent("ben"), agent("off", is_online=False), agent("unskilled", "b"), agent("tired")]
    wanted = ticket(previous_owner=previous, affinity_until=NOW + MINUTE, excluded=("tired",))

    assert ["ben"] == given_to(match([wanted], agents, NOW))


def test_mandatory_skill_counts_at_its_level() -> None:
    """Level 3 is not enough for 4."""
    matched = match([ticket(needs=(("a", 4),)), ticket(needs=(("a", 3),))], [agent("ana")], NOW)

    assert (1, [Reason.NO_SKILL]) == (len(matched.chosen), reasons(matched))


def test_agent_only_gets_channels_they_take() -> None:
    """Somebody who does no phone has no skill for a call."""
    matched = match([ticket(Channel.PHONE)], [agent("ana", channels=[Channel.EMAIL])], NOW)

    assert [Reason.NO_SKILL] == reasons(matched)


def test_capacity_bounds_what_one_agent_gets() -> None:
    """Twelve units are two e-mails."""
    matched = match([ticket() for _ in range(3)], [agent("ana")], NOW)

    assert (["ana", "ana"], [Reason.FULL]) == (given_to(matched), reasons(matched))


def test_real_time_work_interrupts_asynchronous_work() -> None:
    """Somebody full of e-mail still takes a chat, but a mail more does not fit beside it."""
    agents = [agent("ana", interruptible_used=12)]

    matched = match([ticket(Channel.LIVE_CHAT), ticket(Channel.EMAIL)], agents, NOW)

    assert (["ana"], [Reason.FULL]) == (given_to(matched), reasons(matched))


def test_nobody_on_the_phone_gets_new_work() -> None:
    """Even with units left."""
    agents = [agent("ana", capacity=24, primary_used=12, calls=1)]

    assert [Reason.FULL] == reasons(match([ticket(Channel.LIVE_CHAT)], agents, NOW))


def test_call_given_in_the_run_ends_further_work() -> None:
    """The rule holds between tickets of the same run too."""
    matched = match([ticket(Channel.PHONE), ticket(Channel.LIVE_CHAT)], [agent("ana", capacity=24)], NOW)

    assert (1, [Reason.FULL]) == (len(matched.chosen), reasons(matched))


def test_total_load_never_passes_twice_the_capacity() -> None:
    """An agent overloaded with asynchronous work by hand gets no real-time work on top."""
    agents = [agent("ana", interruptible_used=22)]

    assert [Reason.FULL] == reasons(match([ticket(Channel.LIVE_CHAT)], agents, NOW))


def test_excluded_agent_does_not_get_it() -> None:
    """Who declined it isn't asked again; the next best is."""
    assert ["ben"] == given_to(match([ticket(excluded=("ana",))], [agent("ana"), agent("ben")], NOW))


def test_exclusion_of_one_ticket_does_not_touch_the_next() -> None:
    """The excluded agent stays first in line for others."""
    matched = match([ticket(excluded=("ana",)), ticket()], [agent("ana"), agent("ben")], NOW)

    assert ["ben", "ana"] == given_to(matched)


def test_reasons_tell_why_nobody_fits() -> None:
    """Each of the five is told apart."""
    skills = {"a": Reason.FULL, "b": Reason.OFFLINE, "c": Reason.NO_SKILL, "d": Reason.EXCLUDED, "e": Reason.FRAGMENTED}
    agents = [
        agent("ana", "a", primary_used=12, calls=1),
        agent("ben", "b", is_online=False),
        agent("dan", "d"),
        agent("eva", "e", primary_used=4),
        agent("eli", "e", primary_used=4),
    ]
    waiting = [
        ticket(Channel.PHONE, ((skill, 1),), excluded=("dan",) if skill == "d" else ()) for skill in skills
    ]  # fmt: skip

    assert skills == {left.needs[0][0]: reason for left, reason in match(waiting, agents, NOW).left}


def test_offline_is_told_where_those_who_are_left_are_off() -> None:
    """One declined, the other isn't there: waiting helps, so it isn't `excluded`."""
    agents = [agent("ana"), agent("ben", is_online=False)]

    assert [Reason.OFFLINE] == reasons(match([ticket(excluded=("ana",))], agents, NOW))


def test_nobody_on_the_roster_is_no_skill() -> None:
    """There is nobody to wait for."""
    assert [Reason.NO_SKILL] == reasons(match([ticket()], [], NOW))


def test_channel_bound_on_arrival_goes_to_the_least_loaded() -> None:
    """With nobody free it goes into somebody's own list, up to twice their capacity."""
    agents = [agent("ana", interruptible_used=18), agent("ben", interruptible_used=12)]
    waiting = [ticket() for _ in range(4)]

    matched = match(waiting, agents, NOW, at_once={Channel.EMAIL})

    assert ["ben", "ana", "ben"] == given_to(matched)
    assert {Because.LEAST_LOADED} == {choice.because for choice in matched.chosen}
    assert [Reason.FULL] == reasons(matched)


def test_channel_bound_on_arrival_goes_to_somebody_free_first() -> None:
    """The choice is the same as ever while there is one."""
    agents = [agent("ana", interruptible_used=8), agent("ben", interruptible_used=6)]

    matched = match([ticket()], agents, NOW, at_once={Channel.EMAIL})

    assert [("ben", Because.FREE)] == [(c.agent, c.because) for c in matched.chosen]


def test_real_time_work_bound_on_arrival_never_passes_the_capacity() -> None:
    """The bound on primary work is not relaxed."""
    matched = match([ticket(Channel.LIVE_CHAT)], [agent("ana", primary_used=12)], NOW, at_once={Channel.LIVE_CHAT})

    assert [Reason.FULL] == reasons(matched)


def test_channel_bound_on_arrival_does_not_wait_for_its_previous_owner() -> None:
    """They get it into their list at once."""
    agents = [agent("ana", interruptible_used=12), agent("ben")]
    wanted = ticket(previous_owner="ana", affinity_until=NOW + MINUTE)

    matched = match([wanted], agents, NOW, at_once={Channel.EMAIL})

    assert [("ana", Because.PREVIOUS_OWNER)] == [(c.agent, c.because) for c in matched.chosen]


def test_agent_at_their_ceiling_for_a_channel_gets_no_more_of_it() -> None:
    """Two chats at most, however many units are left; other work still fits."""
    agents = [agent("ana", at_most={Channel.LIVE_CHAT: 2}, held={Channel.LIVE_CHAT: 1}, primary_used=4)]
    waiting = [ticket(Channel.LIVE_CHAT), ticket(Channel.LIVE_CHAT), ticket(Channel.MESSAGING)]

    matched = match(waiting, agents, NOW)

    assert ([waiting[0], waiting[2]], [Reason.FULL]) == ([c.ticket for c in matched.chosen], reasons(matched))


def test_units_bound_below_the_ceiling() -> None:
    """Both must hold."""
    agents = [agent("ana", at_most={Channel.LIVE_CHAT: 9})]

    assert 3 == len(match([ticket(Channel.LIVE_CHAT) for _ in range(5)], agents, NOW).chosen)


def test_ceiling_holds_for_what_is_bound_on_arrival() -> None:
    """An own list isn't endless either."""
    agents = [agent("ana", at_most={Channel.EMAIL: 3})]

    matched = match([ticket() for _ in range(4)], agents, NOW, at_once={Channel.EMAIL})

    assert (3, [Reason.FULL]) == (len(matched.chosen), reasons(matched))


def test_ticket_waits_for_a_previous_owner_at_their_ceiling() -> None:
    """They are as busy as anybody without units."""
    agents = [agent("ana", at_most={Channel.EMAIL: 0}), agent("ben")]
    wanted = ticket(previous_owner="ana", affinity_until=NOW + MINUTE)

    assert [Reason.FULL] == reasons(match([wanted], agents, NOW))


def test_closed_channel_counts_as_offline() -> None:
    """Somebody who takes no calls just now still gets mail."""
    agents = [agent("ana", closed_channels=frozenset({Channel.PHONE}))]
    call, mail = ticket(Channel.PHONE), ticket()

    matched = match([call, mail], agents, NOW)

    assert ([mail], [(call, Reason.OFFLINE)]) == ([c.ticket for c in matched.chosen], matched.left)


def test_ticket_does_not_wait_for_a_previous_owner_who_closed_its_channel() -> None:
    """They may not be back for it soon."""
    agents = [agent("ana", closed_channels=frozenset({Channel.EMAIL})), agent("ben")]
    wanted = ticket(previous_owner="ana", affinity_until=NOW + MINUTE)

    assert ["ben"] == given_to(match([wanted], agents, NOW))


def test_room_is_made_by_moving_what_the_run_gave() -> None:
    """Two tickets and two agents: both are served, though the only one who can do the second was given the first."""
    agents = [agent("ana", "ab"), agent("ben", "acd")]
    either, only = ticket(Channel.PHONE, order_at=NOW), ticket(Channel.PHONE, (("b", 1),))

    matched = match([either, only], agents, NOW)

    assert {(either, "ben"), (only, "ana")} == {(c.ticket, c.agent) for c in matched.chosen}
    assert [either] == [c.ticket for c in match([either, only], agents, NOW, rearranged=0).chosen]


def test_room_is_made_over_more_than_one_agent() -> None:
    """The third ticket takes the place of the second, which takes that of the first."""
    agents = [agent("ana", "ab"), agent("ben", "bcxy"), agent("chi", "cdefgh")]
    first, second, third = (ticket(Channel.PHONE, ((skill, 1),), band=Band.LATE) for skill in "bca")

    matched = match([first, second, third], agents, NOW)

    assert {(third, "ana"), (first, "ben"), (second, "chi")} == {(c.ticket, c.agent) for c in matched.chosen}
    assert ["ana", "ben"] == given_to(match([first, second, third], agents, NOW, rearranged=0))


def test_ticket_that_went_to_its_previous_owner_is_not_moved() -> None:
    """The customer has met who knows the case already."""
    agents = [agent("ana", "ab"), agent("ben", "acd")]
    kept = ticket(Channel.PHONE, previous_owner="ana", order_at=NOW)
    other = ticket(Channel.PHONE, (("b", 1),))

    matched = match([kept, other], agents, NOW)

    assert ([("ana", Because.PREVIOUS_OWNER)], [Reason.FULL]) == (
        [(c.agent, c.because) for c in matched.chosen],
        reasons(matched),
    )


def test_work_of_another_cost_is_not_moved() -> None:
    """A mail in the place of a chat would change what else fits."""
    agents = [agent("ana", "ab", capacity=6), agent("ben", "acd", capacity=6)]
    chat, mail = ticket(Channel.LIVE_CHAT, order_at=NOW), ticket(Channel.EMAIL, (("b", 1),))

    matched = match([chat, mail], agents, NOW)

    assert (["ana"], [Reason.FULL]) == (given_to(matched), reasons(matched))


def test_of_many_alike_everybody_gets_the_same() -> None:
    """Twenty agents, forty mails: two each, in turns."""
    agents = [agent(f"agent{n:02}") for n in range(20)]

    matched = match([ticket() for _ in range(40)], agents, NOW)

    assert [one.key for one in agents] * 2 == given_to(matched)


def test_run_stops_behind_the_last_ticket_read_of_its_line() -> None:
    """Those behind it were not read and may come before what is left, so nothing else is given."""
    first, other = ticket(), ticket(needs=(("b", 1),))

    matched = match([first, other], [agent("ana", "ab")], NOW, ends=[first])

    assert ([first], [], True) == ([c.ticket for c in matched.chosen], matched.left, matched.has_more)


def test_run_goes_on_past_a_line_that_nobody_can_take() -> None:
    """What stands behind it can't be taken either."""
    stuck, other = ticket(needs=(("z", 1),)), ticket()

    matched = match([stuck, other], [agent("ana")], NOW, ends=[stuck])

    assert ([other], False, False) == ([c.ticket for c in matched.chosen], matched.has_more, matched.is_blocked)


def test_run_says_where_excluded_tickets_hide_others() -> None:
    """Somebody has room for what stands behind them: read deeper."""
    declined = ticket(excluded=("ana",))

    matched = match([declined], [agent("ana")], NOW, ends=[declined])

    assert ([], True) == (matched.chosen, matched.is_blocked)


def test_run_stops_at_its_limit() -> None:
    """What is left is for the next one."""
    matched = match([ticket(), ticket()], [agent("ana")], NOW, limit=1)

    assert (1, True) == (len(matched.chosen), matched.has_more)


def test_onlookers_are_judged_and_not_given() -> None:
    """Tickets out of reach still get their reason."""
    onlooker = ticket(needs=(("z", 1),))

    matched = match([], [agent("ana")], NOW, onlookers=[onlooker])

    assert [(onlooker, Reason.NO_SKILL)] == matched.left
