"""What differs between two versions of a policy."""

from services.router.domain.policy_changes import changes
from shared.policy import located


def between(before: str, after: str) -> tuple[str, ...]:
    """The differences of two files."""
    return changes(located.read(before).value, located.read(after).value)


def test_files_that_say_the_same_do_not_differ() -> None:
    """Whatever their layout."""
    assert () == between("targets: [{name: a, update: 1h}]", '{"targets": [{"update": "1h", "name": "a"}]}')


def test_targets_are_compared_by_name() -> None:
    """Added, removed, changed in which term, moved."""
    assert (
        'targets: "d" added',
        'targets: "c" removed',
        'targets: "a" update 1h -> 2h',
        'targets: "a" warn none -> [50%, 75%]',
        "targets: in another order",
    ) == between(
        "targets: [{name: a, update: 1h}, {name: b, update: 1h}, {name: c}]",
        "targets: [{name: b, update: 1h}, {name: a, update: 2h, warn: [50%, 75%]}, {name: d}]",
    )


def test_what_decides_over_agents_is_told_too() -> None:
    """Pools by name, routing and model by their terms."""
    assert (
        'pools: "vip" added',
        "routing relax [25%] -> [50%]",
        "routing fallback none -> ana",
        "model confidence 60% -> 70%",
    ) == between(
        "{routing: {relax: [25%]}, model: {confidence: 60%}}",
        "{pools: [{name: vip}], routing: {fallback: ana, relax: [50%]}, model: {confidence: 70%}}",
    )


def test_sections_of_names_and_of_rules_without_names() -> None:
    """Calendars by name, skills by what they say, follow_up by its terms."""
    assert (
        'calendars: "o" hours {mon: 09:00-10:00} -> {mon: 09:00-11:00}',
        'calendars: "p" none -> {hours: always}',
        'skills: "{need: [b]}" added',
        'skills: "{need: [a]}" removed',
        "follow_up after_solved 1bd -> 2bd",
    ) == between(
        "{calendars: {o: {hours: {mon: 09:00-10:00}}, p: }, skills: [{need: [a]}, {need: [c]}], follow_up: {after_solved: 1bd}}",
        "{calendars: {o: {hours: {mon: 09:00-11:00}}, p: {hours: always}}, skills: [{need: [c]}, {need: [b]}], follow_up: {after_solved: 2bd}}",
    )


def test_rules_of_one_name_are_told_apart_by_number() -> None:
    """Several themes rules may lead to one theme."""
    assert ('themes: "a (2)" when {text: y} -> {text: z}',) == between(
        "themes: [{name: a, when: {text: x}}, {name: a, when: {text: y}}]",
        "themes: [{name: a, when: {text: x}}, {name: a, when: {text: z}}]",
    )


def test_the_built_in_calendar_neither_comes_nor_goes() -> None:
    """`always` holds whether a file has it or not."""
    always = "{calendars: {always: {hours: always}}}"
    assert () == between(always, "{}")
    assert () == between("{}", always)
    assert ('calendars: "always" hours always -> {mon: 09:00-10:00}',) == between(
        "{}", '{calendars: {always: {hours: {mon: "09:00-10:00"}}}}'
    )


def test_a_section_that_comes_or_goes() -> None:
    """Everything in it does."""
    assert ('on_call: "s" added', "follow_up after_solved none -> 1h") == between(
        "{}", "{on_call: {s: {people: [a]}}, follow_up: {after_solved: 1h}}"
    )
    assert ('themes: "a" removed',) == between("themes: [{name: a}]", "themes:")
