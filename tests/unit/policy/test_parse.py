"""A policy file read whole."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from shared.contract.tickets import Channel, Status, TargetKind, Urgency
from shared.policy import builtin, holidays, parse
from shared.policy.document import Bind, Ladder, Policy, SkillRule, Step
from shared.policy.errors import LocatedError, PolicyErrors
from shared.policy.layout import policy_schema
from shared.policy.roster_layout import roster_schema
from shared.sla.condition import Condition
from shared.sla.fields import Fields
from shared.sla.policy import BusinessDays, FollowUp, Reopen, WarnAt
from tests.turns import layer, rotation

EXAMPLE = (Path(__file__).parent / "example.yaml").read_text(encoding="utf-8")
CLASS = r"[\pL\pN][\pL\pN]"
CALENDAR = "calendars: {office: {hours: {mon-fri: '09:00-17:00'}}}\n"


def policy(text: str) -> Policy:
    """A sound file, compiled."""
    return parse.parse_policy(text, version=7)


def faults(text: str, today: date | None = None) -> tuple[LocatedError, ...]:
    """All that is wrong with a file."""
    with pytest.raises(PolicyErrors) as refused:
        parse.read_policy(text, version=7, today=today)
    return refused.value.errors


def only_fault(text: str, today: date | None = None) -> LocatedError:
    """The one thing that is wrong with a file."""
    [fault] = faults(text, today)
    return fault


def target(extra: str) -> str:
    """A file with one target line."""
    return CALENDAR + "targets:\n  - {name: all, calendar: office, resolution: 4h, " + extra + "}\n"


def test_the_version_is_in_the_policy_and_its_sla_part() -> None:
    """Clocks say which version promised them."""
    read = policy(EXAMPLE)

    assert (7, 7) == (read.version, read.sla.version)


def test_targets_keep_their_order_and_terms() -> None:
    """First match wins, so order is meaning."""
    chat, boxes, rest = policy(EXAMPLE).sla.targets

    assert ["chat, urgent", "boxes by type", "everything else"] == [chat.name, boxes.name, rest.name]
    assert {
        TargetKind.FIRST_RESPONSE: timedelta(seconds=30),
        TargetKind.NEXT_RESPONSE: timedelta(minutes=2),
        TargetKind.UPDATE: timedelta(minutes=15),
        TargetKind.RESOLUTION: timedelta(hours=4),
    } == dict(chat.promises)
    assert (WarnAt(share=0.75),) == chat.warn
    assert "wake the lead" == chat.escalate
    assert Condition({"channel": frozenset({"live_chat"}), "urgency": frozenset({"urgent"})}) == chat.when
    assert {TargetKind.RESOLUTION: BusinessDays(1)} == dict(boxes.promises)
    assert datetime(2026, 2, 16, 18, tzinfo=UTC) == boxes.valid_from
    assert boxes.valid_to is None
    assert rest.when is None
    assert (WarnAt(share=0.5), WarnAt(share=0.8)) == rest.warn
    assert Reopen.RESUME == rest.on_reopen


def test_calendars_are_compiled_with_their_zone_holidays_and_closures() -> None:
    """24 December 2026 closes at noon, Christmas is a holiday."""
    office = policy(EXAMPLE).sla.calendars["office"]

    assert ZoneInfo("America/New_York") == office.spec.zone
    assert date(2026, 4, 20) in office.spec.holidays, "Patriots' Day, of Massachusetts alone"
    assert datetime(2026, 12, 28, 15, tzinfo=UTC) == office.add(
        datetime(2026, 12, 24, 16, tzinfo=UTC), timedelta(hours=2)
    )
    assert policy("{}").sla.calendars["always"].spec.always, "there without being written"


def test_pauses_default_to_waiting_statuses_for_resolution_and_update() -> None:
    """Nothing pauses a first response."""
    waiting = frozenset({Status.PENDING_CUSTOMER, Status.ON_HOLD})

    assert {TargetKind.RESOLUTION: waiting, TargetKind.UPDATE: waiting} == dict(
        policy(EXAMPLE).sla.targets[0].pauses_while
    )


@pytest.mark.parametrize(
    ("written", "resolution", "first_response"),
    [
        ("[on_hold]", {Status.ON_HOLD}, None),
        ("[]", set(), None),
        ("{first_response: [on_hold]}", {Status.ON_HOLD, Status.PENDING_CUSTOMER}, {Status.ON_HOLD}),
        ("{resolution: []}", set(), None),
    ],
)
def test_pauses_may_be_said_for_all_or_by_target(
    written: str, resolution: set[Status], first_response: set[Status] | None
) -> None:
    """A list is for resolution and update; a mapping changes what it names."""
    pauses = policy(target(f"pauses_while: {written}")).sla.targets[0].pauses_while

    assert resolution == pauses[TargetKind.RESOLUTION]
    assert first_response == pauses.get(TargetKind.FIRST_RESPONSE)


def test_channels_have_defaults_and_aliases_without_case() -> None:
    """Units of routing-rules 3.1 unless the policy says otherwise."""
    read = policy(EXAMPLE)

    assert {"phone": 12, "live_chat": 4, "messaging": 3, "social": 3, "email": 6, "self_service": 6, "other": 6} == {
        channel.value: rule.units for channel, rule in read.channels.items()
    }
    assert {Channel.EMAIL, Channel.SOCIAL, Channel.SELF_SERVICE, Channel.OTHER} == {
        channel for channel, rule in read.channels.items() if rule.interruptible
    }
    assert timedelta(seconds=30) == read.channels[Channel.LIVE_CHAT].offer
    assert Bind.LATE == read.channels[Channel.EMAIL].bind
    assert Channel.PHONE == read.aliases["constituent call"]
    assert (
        Channel.LIVE_CHAT
        == read.aliases["channel::webwidget"]
        == read.aliases["live_chat"]
        == read.aliases["live chat"]
    )


def test_a_channel_may_bind_on_arrival_and_ask_for_no_offer() -> None:
    """What a policy says of a channel replaces the default."""
    rule = policy("channels: {email: {bind: on_arrival, offer: none, interruptible: no, units: '2'}}").channels[
        Channel.EMAIL
    ]

    assert (Bind.ON_ARRIVAL, None, False, 2) == (rule.bind, rule.offer, rule.interruptible, rule.units)


def test_skills_have_levels_and_templates() -> None:
    """A bare name asks for level 1."""
    rules = policy(
        "skills: [{need: [billing, {sql: 3}], prefer: 'lang:{language}'}, {need: triage, when: {theme: unknown}}]"
    ).skills

    assert (
        SkillRule(need=(("billing", 1), ("sql", 3)), prefer=("lang:{language}",)),
        SkillRule(need=(("triage", 1),), when=Condition({"theme": frozenset({"unknown"})})),
    ) == rules


def test_escalations_and_rotations() -> None:
    """Steps, loops, fallback; who takes turns."""
    read = policy(EXAMPLE)

    assert (
        Ladder(
            name="wake the lead",
            steps=(
                Step(after=timedelta(), page=("on-call/support",)),
                Step(after=timedelta(minutes=10), page=("on-call/managers",)),
            ),
            repeat=2,
            otherwise=("person/head-of-support",),
            on_warning=("owner",),
        )
        == read.escalations["wake the lead"]
    )
    assert rotation(layer("ana", "ben", "chi"), zone="America/New_York") == read.on_call["support"]
    assert time(8, 30) == read.on_call["managers"].layers[0].handoff_time


def test_follow_up_counts_elapsed_time_or_business_days() -> None:
    """As targets do."""
    assert (
        FollowUp(after=BusinessDays(2), when=Condition({"urgency": frozenset({"urgent", "high"})}))
        == policy(EXAMPLE).sla.follow_up
    )
    assert FollowUp(after=timedelta(hours=48)) == policy("follow_up: {after_solved: 48h}").sla.follow_up


def test_a_line_may_promise_nothing_on_purpose() -> None:
    """So that a line below doesn't catch those tickets."""
    [line] = policy("targets: [{name: internal, when: {source: self}, promise: nothing}]").sla.targets

    assert {} == line.promises


def test_json_says_the_same_as_yaml() -> None:
    """Both are files of the same shape."""
    in_yaml = parse.read_policy(EXAMPLE, version=1)
    in_json = parse.read_policy(msgspec.json.encode(in_yaml.located.value).decode(), version=1)

    assert in_yaml.document == in_json.document


def test_a_stored_version_gives_the_same_policy_and_asks_no_list_of_holidays(monkeypatch: pytest.MonkeyPatch) -> None:
    """No upgrade of the holidays package moves a deadline."""
    read = parse.read_policy(EXAMPLE, version=3)

    def refuse(country: str, subdivision: str | None) -> None:
        raise AssertionError(f"asked for {country} {subdivision}")

    monkeypatch.setattr(holidays, "named_dates", refuse)
    stored = parse.stored_policy(read.document, version=3)

    assert [line.name for line in read.policy.sla.targets] == [line.name for line in stored.sla.targets]
    assert [line.promises for line in read.policy.sla.targets] == [line.promises for line in stored.sla.targets]
    assert {name: found.spec for name, found in read.policy.sla.calendars.items()} == {
        name: found.spec for name, found in stored.sla.calendars.items()
    }
    for part in ("channels", "aliases", "urgency", "themes", "skills", "escalations", "on_call"):
        assert getattr(read.policy, part) == getattr(stored, part)
    assert read.policy.sla.follow_up == stored.sla.follow_up
    assert read.document == parse.read_policy(read.document.decode(), version=3).document


def test_holidays_that_are_worked_are_left_out() -> None:
    """By name, in English or the country's language."""
    text = "calendars: {o: {hours: {mon-fri: all day}, holidays: [{country: US, without: [columbus day]}, {country: DE, subdivision: by, without: Karfreitag}]}}"
    days = policy(text).sla.calendars["o"].spec.holidays

    assert date(2026, 10, 12) not in days
    assert date(2026, 4, 3) not in days
    assert date(2026, 11, 11) in days
    assert date(2026, 1, 6) in days, "of Bavaria"


def test_every_fault_is_named_at_once_with_its_line() -> None:
    """In the order of the file, whatever kind they are of."""
    text = """calendars:
  office: {timezone: Europe/Berln, hours: {mon-fri: "9-17"}}
urgency:
  - {name: x, urgency: urgnt, when: {theme: bug}}
targets:
  - {name: a, calendar: ofice, resolutoin: 4h}
  - {name: b, calendar: office, resolution: 1d, escalate: wake}
"""

    found = faults(text)

    assert [2, 2, 4, 6, 6, 7, 7, 7] == [fault.line for fault in found]
    assert all(fault.remedy and fault.column and fault.pointer for fault in found)
    said = "\n".join(map(str, found))
    for part in (
        "did you mean `Europe/Berlin`?",
        "did you mean `urgent`?",
        "did you mean `office`?",
        "did you mean `resolution`?",
        "two ways",
        "no escalation `wake`",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("text", "pointer", "said"),
    [
        ("", "", "the file is empty"),
        ("- a", "", "a list stands here"),
        ("targets: {a: b}", "/targets", "a mapping stands here"),
        ("tragets: []", "/tragets", "did you mean `targets`?"),
        ("targets: [{name: a, calendar: always}]", "/targets/0", "it promises nothing"),
        ("targets: [{name: a, resolution: 4h}]", "/targets/0", "it names no calendar"),
        ("targets: [{calendar: always, resolution: 4h}]", "/targets/0", "`name` is missing"),
        ("targets: [{name: a, calendar: always, resolution: 4h, promise: nothing}]", "/targets/0/promise", "promises something"),
        (target("first_response: 0s"), "/targets/0/first_response", "no time at all"),
        (target("update: -5m"), "/targets/0/update", "negative"),
        (target("warn: [75%, 120%]"), "/targets/0/warn/1", "no share"),
        (target("warn: [75%, '75%']"), "/targets/0/warn/1", "twice"),
        (target("warn: [" + ", ".join(f"{n}m" for n in range(1, 30)) + "]"), "/targets/0/warn", "29 warnings"),
        (target("valid: {from: 2026-02-16T13:00:00}"), "/targets/0/valid/from", "no offset"),
        (target("valid: {to: soon}"), "/targets/0/valid/to", "no instant"),
        (target("valid: {from: 2026-02-16T13:00:00Z, to: 2026-02-16T13:00:00Z}"), "/targets/0/valid", "ends before it begins"),
        (target("pauses_while: [solved]"), "/targets/0/pauses_while/0", "doesn't pause"),
        (target("pauses_while: {resolution: [closed]}"), "/targets/0/pauses_while/resolution/0", "doesn't pause"),
        (target("on_reopen: maybe"), "/targets/0/on_reopen", "none of its words"),
        (target("escalate: x"), "/targets/0/escalate", "no escalation `x`"),
        (target("when: {chanel: email}"), "/targets/0/when/chanel", "did you mean `channel`?"),
        (target("when: {product: pay}"), "/targets/0/when/product", "attributes.product"),
        (target("when: {attributes.: pay}"), "/targets/0/when/attributes.", "no field"),
        (target("when: {channel: fax}"), "/targets/0/when/channel", "no channel `fax`"),
        (target("when: {channel: []}"), "/targets/0/when/channel", "empty list"),
        (target("when: {}"), "/targets/0/when", "asks for nothing"),
        (target("when: {text: []}"), "/targets/0/when/text", "no words"),
        (target("when: {text: null}"), "/targets/0/when/text", "no words"),
        (target("when: {text: '/(/'}"), "/targets/0/when/text", "missing )"),
        (target("when: {attributes.a: [" + "1, " * 2001 + "]}"), "/targets/0/when/attributes.a", "the limit is 2000"),
        (target("x: 1"), "/targets/0/x", "unknown key `x`"),
        (target("name2: 1").replace("targets:\n", "targets:\n  - {name: all, calendar: office, update: 1h, when: {channel: email}}\n").replace(", name2: 1", ""), "/targets/1/name", "used already, in line 3"),
        (target("when: {channel: email}") + "  - {name: b, calendar: always, update: 1h}\n  - {name: c, calendar: always, update: 1h}", "/targets/2", "never reached"),
        ("calendars: {a: {timezone: UTC}}", "/calendars/a", "never opens"),
        ("calendars: {a: {hours: {mon: closed}}}", "/calendars/a", "never opens"),
        ("calendars: {a: {hours: always, closed: 2026-01-01}}", "/calendars/a/closed", "always open"),
        ("calendars: {a: {hours: always, timezone: Mars}}", "/calendars/a/timezone", "no time zone"),
        ("calendars: {a: {hours: {mon-fri: 9-17}}}", "/calendars/a/hours/mon-fri", "not opening hours"),
        ("calendars: {a: {hours: {mon-fri: 09:00-17:00, fri: 09:00-12:00}}}", "/calendars/a/hours/fri", "has hours already, under `mon-fri`"),
        ("calendars: {a: {hours: {funday: 09:00-17:00}}}", "/calendars/a/hours/funday", "no day of the week"),
        ("calendars: {a: {hours: {mon: all day}, closed: [2026-13-01]}}", "/calendars/a/closed/0", "no date"),
        ("calendars: {a: {hours: {mon: all day}, holidays: {country: USA2}}}", "/calendars/a/holidays/country", "country `USA2`"),
        ("calendars: {a: {hours: {mon: all day}, holidays: {country: US, subdivision: ZZ}}}", "/calendars/a/holidays/subdivision", "no subdivision"),
        ("calendars: {a: {hours: {mon: all day}, holidays: {country: US, without: Crimbo}}}", "/calendars/a/holidays/without", "no holiday"),
        ("calendars: {a: {hours: {mon: all day}, holidays: {country: US, dates: [x]}}}", "/calendars/a/holidays/dates/0", "no date"),
        ("channels: {fax: {units: 1}}", "/channels/fax", "none of its words"),
        ("channels: {email: {units: 0}}", "/channels/email/units", "out of range"),
        ("channels: {email: {units: many}}", "/channels/email/units", "write a whole number"),
        ("channels: {email: {offer: 0s}}", "/channels/email/offer", "lapses at once"),
        ("channels: {email: {offer: x}}", "/channels/email/offer", "not a duration"),
        ("channels: {email: {aliases: [call]}, phone: {aliases: CALL}}", "/channels/phone/aliases", "a name of `email` already"),
        ("channels: {email: {aliases: [Phone]}}", "/channels/email/aliases/0", "a name of `phone` already"),
        ("urgency: [{name: a, urgency: high, when: {urgency: low}}]", "/urgency/0/when/urgency", "not known yet"),
        ("themes: [{name: a, when: {theme: b}}]", "/themes/0/when/theme", "not known yet"),
        ("skills: [{when: {theme: b}}]", "/skills/0", "asks for no skill"),
        ("skills: [{need: ['lang:{lang}']}]", "/skills/0/need/0", "`{lang}` is no field"),
        ("skills: [{prefer: 'lang:{language'}]", "/skills/0/prefer", "brace"),
        ("skills: [{need: [{sql: 9}]}]", "/skills/0/need/0/sql", "out of range"),
        ("escalations: {a: {steps: []}}", "/escalations/a/steps", "empty list"),
        ("escalations: {a: {steps: [{page: []}]}}", "/escalations/a/steps/0/page", "nobody is paged"),
        ("escalations: {a: {steps: [{after: 1d, page: owner}]}}", "/escalations/a/steps/0/after", "not counted here"),
        ("escalations: {a: {steps: [{page: onwer}]}}", "/escalations/a/steps/0/page", "did you mean `owner`?"),
        ("escalations: {a: {steps: [{page: person/}]}}", "/escalations/a/steps/0/page", "names nobody"),
        ("escalations: {a: {steps: [{page: channel/slack}]}}", "/escalations/a/steps/0/page", "says how, not whom"),
        ("escalations: {a: {steps: [{page: on-call/x}]}}", "/escalations/a/steps/0/page", "no rotation `x`"),
        ("escalations: {a: {steps: [{page: owner}], repeat: 0}}", "/escalations/a/repeat", "out of range"),
        ("escalations: {a/b: {steps: [{page: owner}], otherwise: [x]}}", "/escalations/a~1b/otherwise/0", "no recipient"),
        ("on_call: {a: {timezone: UTC, rotation: weekly, handoff: '09:00', people: [x]}}", "/on_call/a/handoff", "no weekly hand-off"),
        ("on_call: {a: {timezone: UTC, rotation: daily, handoff: 'mon 09:00', people: [x]}}", "/on_call/a/handoff", "no daily hand-off"),
        ("on_call: {a: {timezone: UTC, rotation: weekly, handoff: 'mon 25:00', people: [x]}}", "/on_call/a/handoff", "no time of day"),
        ("on_call: {a: {timezone: Nowhere, rotation: daily, handoff: '09:00', people: [x]}}", "/on_call/a/timezone", "no time zone"),
        ("on_call: {a: {timezone: UTC, rotation: daily, handoff: '09:00', people: []}}", "/on_call/a/people", "empty list"),
        ("follow_up: {after_solved: 1d}", "/follow_up/after_solved", "two ways"),
        ("follow_up: 5", "/follow_up", "write a mapping with after_solved"),
        ("follow_up: {after_solved: }", "/follow_up/after_solved", "nothing stands here"),
        ("themes: [{name: '', when: {channel: email}}]", "/themes/0/name", "an empty text"),
        (f"themes: [{{name: {'x' * 3000}, when: {{channel: email}}}}]", "/themes/0/name", "the limit is 2000"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_place(text: str, pointer: str, said: str) -> None:
    """And alone: one fault causes no others."""
    fault = only_fault(text)

    assert pointer == fault.pointer
    assert said in f"{fault.problem}; {fault.remedy}"
    assert fault.line > 0


def test_a_faulty_part_causes_no_fault_where_it_is_referred_to() -> None:
    """A calendar with bad hours is still a calendar's name."""
    text = "calendars: {office: {hours: {mon: 9}}}\ntargets: [{name: a, calendar: office, resolution: 1h, escalate: e}]\nescalations: {e: {}}"

    assert ["/calendars/office/hours/mon", "/escalations/e"] == [fault.pointer for fault in faults(text)]


def test_a_calendar_must_open_within_400_days_of_being_applied() -> None:
    """Not only some day (rule 15)."""
    text = "calendars: {a: {hours: {mon: closed}, open: 2030-01-01 09:00-10:00}}"

    assert "doesn't open within 400 days" in only_fault(text, date(2026, 6, 1)).problem
    assert parse.read_policy(text, version=1, today=date(2029, 6, 1)).policy


def test_expressions_that_are_too_large_together_are_refused_at_the_one_that_is_too_much() -> None:
    """All of a policy are searched in one pass, and reading them has to end."""
    text = "themes:\n" + "".join(f"  - {{name: t{n}, when: {{text: ['/a{n}{CLASS}/']}}}}\n" for n in range(600))

    fault = only_fault(text)

    assert "too large together" in fault.problem
    assert fault.line < 100


def test_expressions_that_are_too_large_each_are_refused_only_so_often() -> None:
    """A file full of them is not read to its end."""
    text = "themes:\n" + "".join(
        f"  - {{name: t{n}, when: {{text: ['/{n}a{{999}}b{{999}}c{{999}}d{{999}}e{{999}}f{{999}}/']}}}}\n"
        for n in range(600)
    )

    assert 22 == len(faults(text))


def test_so_many_faults_are_named_and_no_more() -> None:
    """A heap of nonsense doesn't take minutes to refuse."""
    found = faults("targets:\n" + "".join(f"  - {{name: t{n}, when: {{x: 1}}, resolutoin: 1d}}\n" for n in range(5000)))

    assert 501 == len(found)
    assert any("there may be more" in fault.problem for fault in found)


def test_sections_have_limits() -> None:
    """Far above what anybody needs."""
    assert "the limit is 5000" in only_fault("targets: [" + "{name: a}, " * 5001 + "]").remedy
    assert "the limit is 200" in only_fault("calendars: {" + ", ".join(f"c{n}: {{}}" for n in range(201)) + "}").remedy


def test_own_keys_at_the_top_hold_anchors() -> None:
    """`x-` is the author's."""
    text = "x-base: &base {calendar: always, warn: 50%}\ntargets:\n  - {<<: *base, name: a, update: 1h}\n"

    assert (WarnAt(share=0.5),) == policy(text).sla.targets[0].warn


def test_empty_sections_are_no_fault() -> None:
    """A key with nothing after it is as good as none."""
    assert () == policy("targets:\nchannels:\nthemes: []\nfollow_up: null\n").sla.targets


def test_a_fault_reads_as_one_line() -> None:
    """Place, pointer, what is wrong, the way out."""
    [fault] = faults("targets: [{name: a, calendar: always, resolution: 30}]")

    assert "line 1, column 39: /targets/0/resolution: `30` has no unit; write `30s`, `30m`, `30h` or `30bd`" == str(
        fault
    )
    assert str(fault) == str(PolicyErrors([fault]))


def test_the_schemas_are_made_from_the_same_structs() -> None:
    """For editors."""
    schema = policy_schema()

    assert "https://json-schema.org/draft/2020-12/schema" == schema["$schema"]
    assert {
        "calendars",
        "channels",
        "pools",
        "routing",
        "model",
        "urgency",
        "themes",
        "skills",
        "targets",
        "escalations",
        "on_call",
        "paging",
        "follow_up",
        "feeds",
        "tzdata",
    } == set(schema["$defs"]["PolicyFile"]["properties"])
    assert ["people"] == roster_schema()["$defs"]["RosterFile"]["required"]


def test_the_built_in_policy_promises_something_to_every_channel_and_urgency() -> None:
    """Version 0, so that a first ticket works at once."""
    read = builtin.policy()

    assert 0 == read.version
    assert read is builtin.policy()
    for channel in Channel:
        for urgency in Urgency:
            found = read.sla.line_for(Fields(channel=channel, urgency=urgency), datetime(2026, 6, 1, tzinfo=UTC))
            assert found is not None
            assert TargetKind.FIRST_RESPONSE in found.target.promises
    assert b'"office"' in builtin.document()
