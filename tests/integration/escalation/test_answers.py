"""Beyond the first acknowledgement: snoozing, giving back, groups, steps that all must answer, old links."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from shared.contract.access import Scope
from shared.policy.document import Answers, Ladder, Paging, Step
from tests.integration.escalation.links import (
    HTML,
    LADDER,
    NOW,
    broken,
    client_of,
    gather,
    in_order,
    key_of,
    paged,
    path_of,
)


@pytest.fixture
async def client(world) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP surface, without a key."""
    async with client_of(world) as made:
        yield made


async def test_r16_a_snooze_by_link_acknowledges_and_says_when_it_wakes(world, clock_control, client):
    """The form's length counts from the database's clock, and the page says until when."""
    link = await paged(world, clock_control)
    done = await client.post(link, data={"action": "snooze", "for": "3600s"}, headers=HTML)
    assert (200, True) == (done.status_code, "you are paged again at 2026-06-01 10:00:01 UTC" in done.text)
    [one] = await world.escalations()
    assert ("acknowledged", "ana", NOW + timedelta(hours=1), "snooze", None) == (
        one["state"],
        one["acknowledged_by"],
        one["wakes_at"],
        one["wakes_for"],
        one["next_step_at"],
    )
    assert ["escalation.acknowledged", "escalation.snoozed"] == [
        kind for kind in world.relay.kinds() if kind in ("escalation.acknowledged", "escalation.snoozed")
    ]
    [told] = world.relay.data("escalation.snoozed")
    assert ("ana", "2026-06-01T10:00:01Z") == (told["by"], told["wakes_at"])


async def test_r16_whoever_has_it_may_snooze_it_anew_by_the_same_link(world, clock_control, client):
    """The time moves, who was first and when doesn't; anybody else is told that it is taken."""
    link = await paged(world, clock_control)
    await client.post(link)
    await clock_control.advance(minutes=5)
    again = (await client.post(link, json={"action": "snooze", "for": "15m"})).json()
    assert ("snoozed", "2026-06-01T09:00:01Z", "2026-06-01T09:20:01Z") == (
        again["standing"],
        again["acknowledged_at"],
        again["wakes_at"],
    )
    [one] = await world.escalations()
    acker = await key_of(world, Scope.PAGES_ACK)
    path = f"/v1/escalations/{one['id']}/snooze"
    other = await client.post(path, json={"by": "ben", "for": "1h"}, headers=acker)
    assert (409, True) == (other.status_code, "ana has acknowledged it" in other.json()["detail"])


async def test_r16_a_snooze_is_capped_by_the_ladder(world, clock_control):
    """Longer ones are refused with the longest; the page offers none of them."""
    ladder = Ladder(
        name="wake the lead",
        steps=(Step(after=timedelta(), page=("person/ana",)),),
        snooze_at_most=timedelta(hours=1),
    )
    world.use(ladder)
    async with client_of(world) as made:
        link = await paged(world, clock_control)
        shown = (await made.get(link, headers=HTML)).text
        assert ["900s", "3600s"] == [length for length in ("900s", "3600s", "14400s") if length in shown]
        [one] = await world.escalations()
        acker = await key_of(world, Scope.PAGES_ACK)
        path = f"/v1/escalations/{one['id']}/snooze"
        for body in ({"by": "ana", "for": "61m"}, {"by": "ana", "until": "2026-06-01T10:00:02Z"}):
            refused = await made.post(path, json=body, headers=acker)
            assert (422, True) == (refused.status_code, "2026-06-01 10:00:01 UTC" in refused.json()["detail"])
        by_link = await made.post(link, data={"action": "snooze", "for": "4h"}, headers=HTML)
        assert (422, True) == (by_link.status_code, "snooze_at_most" in by_link.text)
        assert "open" == (await world.escalations())[0]["state"]
        done = await made.post(path, json={"by": "ana", "until": "2026-06-01T10:00:01Z"}, headers=acker)
        assert (200, "snoozed") == (done.status_code, done.json()["standing"])


@pytest.mark.parametrize(
    "body",
    [
        {"by": "ana"},
        {"by": "ana", "for": "1h", "until": "2026-06-01T10:00:00Z"},
        {"by": "ana", "for": "soon"},
        {"by": "ana", "until": "2026-06-01T08:00:00Z"},
        {"by": "ana", "until": "0001-01-01T00:00:00+14:00"},
        {"for": "1h"},
    ],
)
async def test_a_snooze_that_says_nothing_usable_is_refused(world, clock_control, client, body):
    """422, and nothing is changed."""
    await paged(world, clock_control)
    [one] = await world.escalations()
    refused = await client.post(
        f"/v1/escalations/{one['id']}/snooze", json=body, headers=await key_of(world, Scope.PAGES_ACK)
    )
    assert 422 == refused.status_code
    assert "open" == (await world.escalations())[0]["state"]


async def test_r8_giving_it_back_pages_the_next_step_now(world, clock_control, client):
    """Hours later: not the last step, but the one that was next; those behind it keep their distance."""
    link = await paged(world, clock_control)
    await client.post(link)
    await clock_control.advance(hours=3)
    done = await client.post(link, data={"action": "hand_back"}, headers=HTML)
    assert (200, True) == (done.status_code, "The next level is paged now" in done.text)
    await world.drain()
    assert ["ana", "ben"] == [page.person for page in world.provider.sent]
    [one] = await world.escalations()
    assert ("open", None, 1, NOW + timedelta(hours=3, minutes=10)) == (
        one["state"],
        one["acknowledged_by"],
        one["generation"],
        one["next_step_at"],
    )
    [told] = world.relay.data("escalation.handed_back")
    assert ("ana", 0, 1) == (told["by"], told["loop"], told["step"])


async def test_r11_a_link_acknowledges_once(world, clock_control, client):
    """Who gave it back can't take it again by the same link: 409 for programs, a sentence for people."""
    link = await paged(world, clock_control)
    await client.post(link)
    await client.post(link, json={"action": "hand_back"})
    again = await client.post(link)
    assert (409, "application/problem+json") == (again.status_code, again.headers["content-type"])
    shown = await client.post(link, headers=HTML)
    assert (409, True) == (shown.status_code, "It can&#x27;t acknowledge twice" in shown.text)
    assert "open" == (await world.escalations())[0]["state"]
    assert "<button" not in (await client.get(link, headers=HTML)).text


async def test_r8_after_the_end_of_the_ladder_it_begins_anew(world, clock_control, client):
    """A generation of its own, so that its pages are new ones (R34)."""
    await paged(world, clock_control)
    for _ in range(2):
        await clock_control.advance(minutes=10)
        await world.drain()
    assert ["ana", "ben", "head"] == [page.person for page in world.provider.sent]
    last = path_of(world.provider.sent[-1].link)
    await client.post(last)
    await client.post(last, json={"action": "hand_back"})
    await world.drain()
    assert ["ana", "ben", "head", "ana"] == [page.person for page in world.provider.sent]
    assert 2 == (await world.escalations())[0]["generation"]


async def test_r18_a_link_of_an_older_generation_is_stale_and_says_so(world, clock_control, client):
    """It shows what happened and does nothing."""
    link = await paged(world, clock_control)
    await world.pool.execute("UPDATE escalation SET generation = 2")
    assert "out of date" in (await client.get(link, headers=HTML)).text
    assert "<button" not in (await client.get(link, headers=HTML)).text
    refused = await client.post(link, headers=HTML)
    assert (409, True) == (refused.status_code, "out of date" in refused.text)
    assert 409 == (await client.post(link)).status_code
    assert "open" == (await world.escalations())[0]["state"]


async def test_r8_handing_back_by_key_carries_what_was_seen(world, clock_control, client):
    """Nobody has it, somebody else has it, it went on since: 409 each, and nothing is changed."""
    await paged(world, clock_control)
    [one] = await world.escalations()
    acker = await key_of(world, Scope.PAGES_ACK)
    path = f"/v1/escalations/{one['id']}/hand-back"
    assert 409 == (await client.post(path, json={"by": "ana"}, headers=acker)).status_code
    await world.answering.by_key("default", one["id"], "ana")
    assert 409 == (await client.post(path, json={"by": "ben"}, headers=acker)).status_code
    assert 409 == (await client.post(path, json={"by": "ana", "generation": 2}, headers=acker)).status_code
    stranger = await key_of(world, Scope.PAGES_ACK, tenant="other")
    assert 404 == (await client.post(path, json={"by": "ana"}, headers=stranger)).status_code
    assert (
        403
        == (await client.post(path, json={"by": "ana"}, headers=await key_of(world, Scope.TICKETS_READ))).status_code
    )
    done = await client.post(path, json={"by": "ana", "generation": 1}, headers=acker)
    assert (200, "handed_back", None) == (done.status_code, done.json()["standing"], done.json()["acknowledged_by"])


async def test_r12_an_acknowledgement_wakes_after_the_ladders_silence(world, clock_control):
    """By urgency; without one it sleeps until the matter is over."""
    ladder = Ladder(
        name="wake the lead",
        steps=(Step(after=timedelta(), page=("person/ana",)),),
        silence={"high": timedelta(minutes=30)},
    )
    world.use(ladder)
    async with client_of(world) as made:
        link = await paged(world, clock_control)
        await made.post(link)
        [one] = await world.escalations()
        assert (NOW + timedelta(minutes=30), "silence") == (one["wakes_at"], one["wakes_for"])


async def test_r28_two_promises_of_one_ticket_are_one_ticket(world, clock_control, client):
    """In the heading, on the button and in what came of it; both are taken over."""
    links = await broken(world, clock_control, 3)
    escalations = await in_order(world)
    await gather(world, escalations)
    await world.pool.execute(
        "UPDATE escalation SET target = 'resolution', ticket_id = (SELECT ticket_id FROM escalation WHERE id = $1) WHERE id = $2",
        *escalations[1:],
    )
    shown = (await client.get(links[0], headers=HTML)).text
    assert "2 tickets, 2 of them nobody has yet" in shown
    assert "Acknowledge all 2:" in shown
    done = (await client.post(links[0], data={"version": "3"})).json()
    assert ("acknowledged", 2) == (done["standing"], done["tickets"])
    assert ["acknowledged"] * 3 == [one["state"] for one in await world.escalations()]


async def test_r28_a_groups_link_takes_over_what_it_showed_and_nothing_later(world, clock_control, client):
    """Three tickets were shown; the fourth joined after it, stays open, and the group takes no more."""
    links = await broken(world, clock_control, 4)
    escalations = await in_order(world)
    await gather(world, escalations[:3])
    shown = (await client.get(links[0], headers=HTML)).text
    assert "3 tickets, 3 of them nobody has yet" in shown
    assert "name='version' value='3'" in shown
    await world.pool.execute(
        "UPDATE page SET group_id = (SELECT id FROM page_group), group_version = 4 WHERE group_id IS NULL"
    )
    await world.pool.execute("UPDATE page_group SET members = 4")
    done = (await client.post(links[0], data={"version": "3"})).json()
    assert ("acknowledged", 3) == (done["standing"], done["tickets"])
    assert ["acknowledged"] * 3 + ["open"] == [
        row["state"]
        for row in await world.pool.fetch(
            "SELECT e.state FROM escalation e JOIN ticket t ON t.id = e.ticket_id ORDER BY t.external_id"
        )
    ]
    [group] = await world.pool.fetch("SELECT * FROM page_group")
    assert (3, True) == (group["acknowledged"], group["closes_at"] <= NOW)
    assert 3 == world.relay.kinds().count("escalation.acknowledged")


async def test_r28_without_a_version_a_link_takes_over_what_its_page_said(world, clock_control, client):
    """A button in a chat knows nothing of those that joined since: the first page was about one ticket."""
    links = await broken(world, clock_control, 3)
    await gather(world, await in_order(world))
    done = (await client.post(links[0])).json()
    assert 1 == done["tickets"]
    assert ["acknowledged", "open", "open"] == sorted(one["state"] for one in await world.escalations())


async def test_r28_a_group_can_be_snoozed_and_given_back_as_a_whole(world, clock_control, client):
    """What somebody else took meanwhile, or is over, is left alone."""
    links = await broken(world, clock_control, 3)
    escalations = await in_order(world)
    await gather(world, escalations)
    await world.answering.by_key("default", escalations[1], "ben")
    snoozed = (await client.post(links[0], json={"action": "snooze", "for": "1h", "version": 3})).json()
    assert ("snoozed", 2) == (snoozed["standing"], snoozed["tickets"])
    shown = (await client.get(links[0], headers=HTML)).text
    assert "Ben has it" in shown
    back = (await client.post(links[0], json={"action": "hand_back", "version": 3})).json()
    assert ("handed_back", 2) == (back["standing"], back["tickets"])
    assert ["acknowledged", "open", "open"] == sorted(one["state"] for one in await world.escalations())


async def test_r6_of_a_step_that_all_must_answer_one_answer_stops_that_person_alone(world, clock_control):
    """Ana has, Ben is still asked and the ladder goes on; with his answer it is acknowledged."""
    both = Step(after=timedelta(), page=("person/ana", "person/ben"), answers=Answers.ALL)
    world.use(Ladder(name="wake the lead", steps=(both, Step(after=timedelta(minutes=10), page=("person/head",)))))
    await world.people("ana", "ben", "head")
    await world.ticket()
    await clock_control.freeze(NOW)
    await world.firing.run_once()
    await world.stepping.run_once()
    links = {str(row["person"]): row["id"] for row in await world.pages()}
    async with client_of(world) as made:
        token = world.tokens.token(links["ana"])
        first = (await made.post(f"/v1/ack/{token}")).json()
        assert ("acknowledged", ["ben"]) == (first["standing"], first["waits_for"])
        assert {"ana": "cancelled", "ben": "pending"} == {
            str(page["person"]): page["state"] for page in await world.pages()
        }
        [one] = await world.escalations()
        assert ("open", ["ana"], NOW - timedelta(seconds=1) + timedelta(minutes=10)) == (
            one["state"],
            one["answered"],
            one["next_step_at"],
        )
        assert "acknowledged_before" == (await made.post(f"/v1/ack/{token}")).json()["standing"]
        await world.delivery.run_once()
        assert ["ben"] == [page.person for page in world.provider.sent]
        last = (await made.post(f"/v1/ack/{world.tokens.token(links['ben'])}")).json()
        assert ("acknowledged", [], "ben") == (last["standing"], last["waits_for"], last["acknowledged_by"])
    assert "acknowledged" == (await world.escalations())[0]["state"]
    assert ["escalation.answered", "escalation.acknowledged"] == [
        kind for kind in world.relay.kinds() if kind in ("escalation.answered", "escalation.acknowledged")
    ]


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"action=sleep", "application/x-www-form-urlencoded"),
        (b"action=snooze&for=soon", "application/x-www-form-urlencoded"),
        (b"version=-1", "application/x-www-form-urlencoded"),
        (b"version=99999999999999999999", "application/x-www-form-urlencoded"),
        (b"\xff\xfe=1", "application/x-www-form-urlencoded"),
        (b"&".join(b"a=1" for _ in range(40)), "application/x-www-form-urlencoded"),
        (b"{", "application/json"),
        (b'{"action": "hand_over"}', "application/json"),
        (b"action=hand_back", "multipart/form-data"),
        (b"x" * 5000, "application/json"),
    ],
)
async def test_a_body_that_says_nothing_usable_does_nothing(world, clock_control, client, content, media_type):
    """A problem for programs, a page for people, and it stays open."""
    link = await paged(world, clock_control)
    for headers in ({}, HTML):
        answer = await client.post(link, content=content, headers={**headers, "content-type": media_type})
        assert answer.status_code in {400, 413, 415, 422}
    assert "open" == (await world.escalations())[0]["state"]


async def test_the_page_tells_the_whole_story_and_takes_words_for_words(world, clock_control, client):
    """What broke and how late, who owns it, what follows and when, why you, and what happened so far; nothing is markup."""
    link = await paged(world, clock_control)
    await world.pool.execute("UPDATE ticket SET external_id = $1, requester_tier = $1", "<img src=x onerror=alert(1)>")
    await world.pool.execute("UPDATE agent SET name = $1 WHERE key = 'ana'", "<b>Ana</b>")
    await clock_control.advance(minutes=4)
    shown = (await client.get(link, headers=HTML)).text
    for words in (
        "4 min late",
        "<h2 id='what-broke'>What broke</h2>",
        "<dt>Owner</dt><dd>nobody</dd>",
        "Ben at 2026-06-01 09:10:00 UTC, in 5 min, unless somebody acknowledges",
        "You are on call for support until",
        "&lt;b&gt;Ana&lt;/b&gt; paged by webhook (sent)",
    ):
        assert words in shown
    assert "<img" not in shown
    assert "<b>" not in shown
    await client.post(link, json={"action": "snooze", "for": "1h"})
    await client.post(link, json={"action": "hand_back"})
    told = (await client.get(link, headers=HTML)).text
    assert "acknowledged it and snoozed it until 2026-06-01 10:04:01 UTC" in told
    assert "gave it back" in told


async def test_what_was_answered_is_counted_and_kept(world, clock_control, client):
    """By what was wanted, by which way, and what it met; each with its time."""
    link = await paged(world, clock_control)
    await client.post(link)
    await client.post(link)
    labels = {"action": "acknowledge", "way": "link"}
    assert 1 == world.registry.get_sample_value("sla_answers_total", {**labels, "standing": "acknowledged"})
    assert 1 == world.registry.get_sample_value("sla_answers_total", {**labels, "standing": "acknowledged_before"})
    await client.post(link, json={"action": "snooze", "for": "15m"})
    [one] = await world.escalations()
    reader = await key_of(world, Scope.TICKETS_READ)
    story = (await client.get(f"/v1/escalations/{one['id']}", headers=reader)).json()
    assert [("snooze", "Ana", "2026-06-01T09:15:01Z"), ("acknowledge", "Ana", None)] == [
        (given["action"], given["name"], given["until_at"]) for given in story["answers"]
    ]
    shown = story["escalation"]
    assert ("2026-06-01T09:15:01Z", "snooze", []) == (shown["wakes_at"], shown["wakes_for"], shown["answered"])


async def test_r15_what_is_given_back_while_its_promise_is_paused_waits_for_it(world, clock_control, client):
    """Nobody is paged about what nobody waits for; when it goes on, the next step is due at once."""
    link = await paged(world, clock_control)
    await client.post(link)
    await world.pool.execute("UPDATE escalation SET held_for = interval '7 min'")
    await client.post(link, json={"action": "hand_back"})
    [one] = await world.escalations()
    assert ("open", None, timedelta()) == (one["state"], one["next_step_at"], one["held_for"])


async def test_r16_a_snooze_wakes_at_its_time_with_a_page_that_can_be_answered(world, clock_control, client):
    """The same step again, whoever it is for by then; the old link is stale, the new one works."""
    link = await paged(world, clock_control)
    await client.post(link, json={"action": "snooze", "for": "15m"})
    await clock_control.advance(minutes=14)
    await world.waking.run_once()
    await world.drain()
    assert ["ana"] == [page.person for page in world.provider.sent]
    await clock_control.advance(minutes=1)
    await world.waking.run_once()
    await world.drain()
    assert ["ana", "ana"] == [page.person for page in world.provider.sent]
    assert 409 == (await client.post(link)).status_code
    assert "acknowledged" == (await client.post(path_of(world.provider.sent[-1].link))).json()["standing"]


async def test_r28_a_storm_is_taken_over_by_the_link_of_its_first_page_or_of_its_summary(world, clock_control):
    """Twenty broken promises of one second: one page, one summary; what breaks after the answer pages anew."""
    world.use(LADDER, paging=Paging())
    await world.people("ana", "ben", "head")
    for number in range(20):
        await world.ticket(str(number), due_in=timedelta(hours=1))
    await world.ticket("late", due_in=timedelta(hours=1, seconds=30))
    await clock_control.freeze(NOW)
    await world.drain()
    await clock_control.advance(seconds=6)
    await world.grouping.run_once()
    await world.drain()
    assert ["page", "summary"] == [page.kind for page in world.provider.sent]
    async with client_of(world) as made:
        first, summary = (path_of(page.link) for page in world.provider.sent)
        assert "20 tickets, 20 of them nobody has yet" in (await made.get(first, headers=HTML)).text
        done = (await made.post(summary)).json()
        assert ("acknowledged", 20) == (done["standing"], done["tickets"])
        assert "acknowledged_before" == (await made.post(first, data={"version": "20"})).json()["standing"]
        await clock_control.advance(seconds=30)
        await world.drain()
        await world.grouping.run_once()
        await world.drain()
        assert ["page", "summary", "page"] == [page.kind for page in world.provider.sent]
        assert "late" == world.provider.sent[-1].facts.ticket
        assert 1 == (await made.post(path_of(world.provider.sent[-1].link))).json()["tickets"]
