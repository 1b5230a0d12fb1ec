"""The rules of a policy file: conditions, channels, urgency, themes and skills (routing-rules 2 and 3.1)."""

import re
from collections.abc import Iterable
from datetime import timedelta

from shared.contract.tickets import Channel, Urgency
from shared.policy import durations, shape
from shared.policy.document import Bind, ChannelRule, SkillRule, ThemeRule, UrgencyRule
from shared.policy.errors import did_you_mean
from shared.policy.layout import ChannelLine, Comparand, SkillLine, ThemeLine, UrgencyLine, When
from shared.policy.located import escape
from shared.policy.reading import Reading, Unreadable
from shared.sla import condition
from shared.sla.condition import BadPattern, Condition

CHANNEL_DEFAULTS: dict[Channel, ChannelRule] = {
    Channel.PHONE: ChannelRule(units=12),
    Channel.LIVE_CHAT: ChannelRule(units=4, park=timedelta(minutes=10)),
    Channel.MESSAGING: ChannelRule(units=3),
    Channel.SOCIAL: ChannelRule(units=3, interruptible=True),
    Channel.EMAIL: ChannelRule(units=6, interruptible=True),
    Channel.SELF_SERVICE: ChannelRule(units=6, interruptible=True),
    Channel.OTHER: ChannelRule(units=6, interruptible=True),
}
"""Routing-rules 3.1. Nothing is offered unless the policy says so: an offer needs somebody who can accept it."""

_OWN_NAMES = {
    spelled: channel
    for channel in Channel
    for spelled in (
        channel.value,
        channel.value.replace("_", " "),
        channel.value.replace("_", "-"),
        channel.value.replace("_", ""),
    )
}
_PLACE = re.compile(r"\{([^{}]*)\}")
_MOST_VALUES = 2_000
_PATTERN_REMEDY = "write words, or an RE2 expression between slashes (no look-around, no back-references)"
_CLOSED_SETS: dict[str, frozenset[str]] = {"channel": frozenset(Channel), "urgency": frozenset(Urgency)}


def when(reading: Reading, written: When | None, pointer: str, *, unknown_yet: Iterable[str] = ()) -> Condition | None:
    """Compile a `when`; fields that are `unknown_yet` at this point of the classification can't be asked for."""
    if written is None:
        return None
    if not written and not reading.has_faults_in(pointer):
        reading.fault(
            pointer, "this `when` asks for nothing", "name a field, as in {channel: email}, or leave `when` out"
        )
    comparisons: dict[str, frozenset[str]] = {}
    patterns: tuple[str, ...] = ()
    for field, value in written.items():
        place = f"{pointer}/{escape(field)}"
        if field == "text":
            patterns = _patterns(reading, value, place)
        elif field in unknown_yet:
            reading.fault(
                place,
                f"`{field}` is not known yet when this rule is read",
                "channel and theme are found first, then urgency, then skills",
            )
        elif _is_field(field):
            comparisons[field] = _values(reading, field, value, place)
        else:
            remedy = did_you_mean(field, [*condition.FIELDS, "text"], what="fields")
            hint = "" if remedy.startswith("did") else f"; a field of your own is `attributes.{field[:40]}`"
            reading.fault(place, f"a ticket has no field `{field[:60]}`", remedy + hint)
    return Condition(comparisons, patterns)


def channels(
    reading: Reading, lines: dict[Channel, ChannelLine]
) -> tuple[dict[Channel, ChannelRule], dict[str, Channel]]:
    """What each channel costs, and under which names it is known."""
    rules = dict(CHANNEL_DEFAULTS)
    aliases = dict(_OWN_NAMES)
    for channel, line in lines.items():
        pointer = f"/channels/{channel}"
        default = CHANNEL_DEFAULTS[channel]
        rules[channel] = ChannelRule(
            units=default.units if line.units is None else line.units,
            interruptible=default.interruptible if line.interruptible is None else line.interruptible,
            bind=line.bind or Bind.LATE,
            offer=default.offer if line.offer is None else _offer(reading, line.offer, f"{pointer}/offer"),
            at_most=line.at_most,
            park=default.park if line.park is None else _park(reading, line.park, f"{pointer}/park"),
        )
        for place, alias in shape.entries(line.aliases, f"{pointer}/aliases"):
            taken = aliases.setdefault(alias.strip().casefold(), channel)
            if taken is not channel:
                reading.fault(
                    place,
                    f"`{alias[:60]}` is a name of `{taken}` already",
                    "a name leads to one channel; remove it from one of them",
                )
    return rules, aliases


def urgency(reading: Reading, lines: list[UrgencyLine]) -> tuple[UrgencyRule, ...]:
    """Compile the `urgency` rules."""
    rules = []
    names: dict[str, str] = {}
    for pointer, line in shape.entries(lines, "/urgency"):
        unique_name(reading, names, line.name, pointer)
        found = when(reading, line.when, f"{pointer}/when", unknown_yet=("urgency",))
        rules.append(UrgencyRule(name=line.name, urgency=line.urgency, when=found or Condition({})))
    return tuple(rules)


def themes(reading: Reading, lines: list[ThemeLine]) -> tuple[ThemeRule, ...]:
    """Compile the `themes`; several rules may lead to one theme."""
    rules = []
    for pointer, line in shape.entries(lines, "/themes"):
        found = when(reading, line.when, f"{pointer}/when", unknown_yet=("urgency", "theme"))
        rules.append(ThemeRule(name=line.name, when=found or Condition({})))
    return tuple(rules)


def skills(reading: Reading, lines: list[SkillLine]) -> tuple[SkillRule, ...]:
    """Compile the `skills` rules; skills have no case."""
    rules = []
    names: dict[str, str] = {}
    for pointer, line in shape.entries(lines, "/skills"):
        need: list[tuple[str, int]] = []
        for place, entry in shape.entries(line.need, f"{pointer}/need"):
            for skill, level in {entry: 1}.items() if isinstance(entry, str) else entry.items():
                need.append((_skill(reading, skill, place), level))
        prefer = tuple(
            _skill(reading, entry, place) for place, entry in shape.entries(line.prefer, f"{pointer}/prefer")
        )
        if not need and not prefer and not (reading.holds(f"{pointer}/need") or reading.holds(f"{pointer}/prefer")):
            reading.fault(pointer, "this rule asks for no skill", "add `need: [...]` or `prefer: [...]`")
        if line.insist and not line.prefer:
            reading.fault(
                f"{pointer}/insist", "nothing is preferred here to insist upon", "add `prefer: [...]`, or leave it out"
            )
        found = when(reading, line.when, f"{pointer}/when")
        if line.name:
            unique_name(reading, names, line.name, pointer)
        rules.append(SkillRule(name=line.name, need=tuple(need), prefer=prefer, when=found, insist=line.insist))
    return tuple(rules)


def unique_name(reading: Reading, names: dict[str, str], name: str, pointer: str) -> None:
    """Note a fault where a name is used a second time: tickets say by name which rule hit."""
    first = names.setdefault(name, pointer)
    if first != pointer:
        line = reading.document.marks.get(first)
        place = f"line {line.line}" if line else first
        reading.fault(
            f"{pointer}/name",
            f"the name `{name[:60]}` is used already, in {place}",
            "tickets say by name what matched; give each its own",
        )


def _is_field(field: str) -> bool:
    return field in condition.FIELDS or (
        field.startswith(condition.ATTRIBUTE) and len(field) > len(condition.ATTRIBUTE)
    )


def _values(reading: Reading, field: str, value: Comparand, pointer: str) -> frozenset[str]:
    values = value if isinstance(value, list) else [value]
    if not values:
        reading.fault(pointer, "an empty list, which no ticket matches", "name a value, or leave the field out")
    if len(values) > _MOST_VALUES:
        reading.fault(
            pointer, f"{len(values)} values, the limit is {_MOST_VALUES}", "compare with a field that groups them"
        )
    known = _CLOSED_SETS.get(field)
    if known is not None:
        for place, word in shape.entries(value, pointer):
            if condition.canonical(word) not in known:
                reading.fault(
                    place, f"there is no {field} `{str(word)[:60]}`", did_you_mean(str(word), known, what=f"{field}s")
                )
    return frozenset(condition.canonical(word) for word in values)


def _patterns(reading: Reading, value: Comparand, pointer: str) -> tuple[str, ...]:
    found = []
    for place, entry in shape.entries(value, pointer):
        if not reading.may_search:
            break
        try:
            pattern = condition.pattern(str(entry))
        except BadPattern as error:
            reading.spend_search(place, condition.SIZE_LIMIT)
            reading.fault(place, f"can't search for `{str(entry)[:60]}`: {error}", _PATTERN_REMEDY)
            continue
        reading.spend_search(place, pattern.size)
        found.append(pattern.expression)
    if value is None or value == []:
        reading.fault(pointer, "no words to search for", "name words or /expressions/, or leave `text` out")
    return tuple(found)


def _offer(reading: Reading, text: str, pointer: str) -> timedelta | None:
    if text.strip().lower() == "none":
        return None
    try:
        offer = durations.elapsed(text)
    except Unreadable as error:
        reading.unreadable(pointer, error)
        return None
    if not offer:
        reading.fault(
            pointer,
            "an offer of no length lapses at once",
            "write how long it waits, as in `30s`, or `none` to assign without asking",
        )
    return offer


def _park(reading: Reading, text: str, pointer: str) -> timedelta | None:
    if text.strip().lower() == "none":
        return None
    try:
        park = durations.elapsed(text)
    except Unreadable as error:
        reading.unreadable(pointer, error)
        return None
    if not park:
        reading.fault(pointer, "parked as soon as it begins", "write how long nobody writes, as in `10m`, or `none`")
    return park


def _skill(reading: Reading, name: str, pointer: str) -> str:
    for place in _PLACE.findall(name):
        if not _is_field(place.strip()):
            reading.fault(
                pointer,
                f"`{{{place[:40]}}}` is no field of a ticket",
                did_you_mean(place, condition.FIELDS, what="fields") + "; or {attributes.<name>}",
            )
    if "{" in _PLACE.sub("", name) or "}" in _PLACE.sub("", name):
        reading.fault(
            pointer, f"`{name[:60]}` has a brace without its other half", "write fields as in `lang:{language}`"
        )
    return name.strip()
