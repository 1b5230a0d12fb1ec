"""YAML (or JSON) as plain values, with the line and column of every node.

Scalars stay the text they were written as (`no` a language, `09:00` a time, `2.10` a version) until something asks for a
number. Built from the parser's events with limits, so that no input can exhaust memory or crash the process.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from shared.policy.errors import LocatedError, PolicyErrors

SIZE_LIMIT = 1 << 20
"""Bytes of a file."""
DEPTH_LIMIT = 40
NODE_LIMIT = 100_000
"""Nodes once every alias is unfolded."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_BAD_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_UNREADABLE_RAW = re.compile("[\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


class Mark(NamedTuple):
    """A place in a file, both from 1."""

    line: int
    column: int


class Document(NamedTuple):
    """A file's content and where in the file each part of it stands."""

    value: Any
    """Texts, None, lists of these and mappings of text to these."""
    marks: dict[str, Mark]
    """JSON Pointer -> where the value begins; for what a mapping holds, where its key does."""

    def error(self, pointer: str, problem: str, remedy: str) -> LocatedError:
        """A fault at this pointer; where nothing stands there, at the nearest part that holds it."""
        place = pointer
        while place not in self.marks and place:
            place = place.rpartition("/")[0]
        mark = self.marks.get(place, Mark(0, 0))
        return LocatedError(line=mark.line, column=mark.column, pointer=pointer, problem=problem, remedy=remedy)


class _Node(NamedTuple):
    mark: Mark
    value: Any
    """A scalar, a list of nodes, or a list of (key mark, key, node)."""
    kind: str
    size: int
    depth: int


class _Open:
    """A list or mapping whose end the parser has not reached."""

    def __init__(self, kind: str, mark: Mark, anchor: str | None) -> None:
        self.kind = kind
        self.mark = mark
        self.anchor = anchor
        self.nodes: list[_Node] = []


def read(text: str) -> Document:
    """Read a file; raises `PolicyErrors` for what is not YAML, too big, or has a key twice."""
    _refuse_unreadable(text)
    source = _json_as_yaml(text) if text.lstrip("\ufeff \t\r\n")[:1] == "{" else text
    root = _compose(source)
    marks: dict[str, Mark] = {}
    errors: list[LocatedError] = []
    value = _plain(root, "", marks, errors)
    if errors:
        raise PolicyErrors(errors)
    return Document(value, marks)


def escape(key: str) -> str:
    """A key as one step of a JSON Pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def _refusal(mark: Mark, problem: str, remedy: str) -> PolicyErrors:
    return PolicyErrors([LocatedError(line=mark.line, column=mark.column, pointer="", problem=problem, remedy=remedy)])


def _refuse_unreadable(text: str) -> None:
    size = len(text.encode("utf-8", "replace"))
    if size > SIZE_LIMIT:
        raise _refusal(Mark(1, 1), f"the file has {size:,} bytes, the limit is {SIZE_LIMIT:,}", "make it smaller")
    found = _BAD_CHARACTER.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        raise _refusal(
            Mark(line, column), f"a control character (U+{ord(found[0]):04X})", "remove it; save the file as UTF-8 text"
        )


def _json_as_yaml(text: str) -> str:
    """JSON with what YAML 1.1 parsers don't read of it rewritten: escapes of `/` and of surrogate pairs, tabs as space."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text

    def rewritten(found: re.Match[str]) -> str:
        shown = json.dumps(json.loads(found[0]), ensure_ascii=False)
        return _UNREADABLE_RAW.sub(lambda character: f"\\u{ord(character[0]):04x}", shown)

    return _JSON_TEXT.sub(rewritten, text).replace("\t", " ")


def _compose(text: str) -> _Node:
    composer = _Composer()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            composer.take(event, _mark(event.start_mark))
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error) from None
    except PolicyErrors:
        raise
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _refusal(Mark(1, 1), f"not YAML: {error}", "save the file as UTF-8 text in YAML or JSON") from None
    return composer.root or _Node(Mark(1, 1), None, "scalar", 1, 0)


class _Composer:
    """Makes nodes of the parser's events, within the limits."""

    def __init__(self) -> None:
        self.root: _Node | None = None
        self._open: list[_Open] = []
        self._anchors: dict[str, _Node] = {}

    def take(self, event: yaml.Event, mark: Mark) -> None:
        match event:
            case yaml.DocumentStartEvent() if self.root is not None:
                raise _refusal(mark, "a second document begins here", "remove the `---` and what follows")
            case yaml.CollectionStartEvent():
                self._begin(event, mark)
            case yaml.CollectionEndEvent():
                opened = self._open.pop()
                self._add(_closed(opened), opened.anchor, mark)
            case yaml.ScalarEvent():
                self._add(_Node(mark, _scalar(event, mark), "scalar", 1, 0), event.anchor, mark)
            case yaml.AliasEvent():
                self._add(self._named(event.anchor, mark), None, mark)
            case _:
                pass

    def _begin(self, event: yaml.CollectionStartEvent, mark: Mark) -> None:
        if len(self._open) >= DEPTH_LIMIT:
            remedy = "no part of a policy is nested so deep; check the brackets"
            raise _refusal(mark, f"nested over {DEPTH_LIMIT} deep", remedy)
        self._open.append(_Open("mapping" if isinstance(event, yaml.MappingStartEvent) else "list", mark, event.anchor))

    def _named(self, anchor: str | None, mark: Mark) -> _Node:
        node = self._anchors.get(anchor or "")
        if node is None:
            remedy = f"write `&{anchor}` before what it stands for, above this line"
            raise _refusal(mark, f"unknown alias `*{anchor}`", remedy)
        return node

    def _add(self, node: _Node, anchor: str | None, mark: Mark) -> None:
        if node.size > NODE_LIMIT or node.depth > DEPTH_LIMIT:
            problem = f"over {NODE_LIMIT:,} values, or {DEPTH_LIMIT} levels, once aliases are unfolded"
            raise _refusal(mark, problem, "use fewer aliases")
        if anchor:
            self._anchors[anchor] = node
        if self._open:
            self._open[-1].nodes.append(node)
        else:
            self.root = node


def _mark(mark: Any) -> Mark:
    return Mark(1, 1) if mark is None else Mark(mark.line + 1, mark.column + 1)


def _closed(opened: _Open) -> _Node:
    nodes = opened.nodes
    size = 1 + sum(node.size for node in nodes)
    depth = 1 + max((node.depth for node in nodes), default=0)
    if opened.kind == "list":
        return _Node(opened.mark, nodes, "list", size, depth)
    pairs = list(zip(nodes[::2], nodes[1::2], strict=True))
    return _Node(opened.mark, pairs, "mapping", size, depth)


def _scalar(event: yaml.ScalarEvent, mark: Mark) -> str | None:
    text: str = event.value
    if event.implicit[0] and text in _NULLS:
        return None
    if _BAD_CHARACTER.search(text):
        raise _refusal(mark, "a text with a control character in it", "remove it")
    return text


def _syntax_error(error: yaml.MarkedYAMLError) -> PolicyErrors:
    place = _mark(error.problem_mark or error.context_mark)
    said = ", ".join(part for part in (error.context, error.problem) if part)
    if "\\t" in said or "tab" in said:
        remedy = "indent with spaces, not tabs"
    elif "mapping values" in said or "expected" in said:
        remedy = "check the indentation and brackets there, and quote texts that hold `: ` or ` #`, or begin with one of @ % & * ! | > { ["
    else:
        remedy = "check the quotes, indentation and brackets there"
    return _refusal(place, f"not YAML: {said}", remedy)


def _plain(node: _Node, pointer: str, marks: dict[str, Mark], errors: list[LocatedError]) -> Any:
    marks.setdefault(pointer, node.mark)
    if node.kind == "scalar":
        return node.value
    if node.kind == "list":
        return [_plain(item, f"{pointer}/{index}", marks, errors) for index, item in enumerate(node.value)]
    result: dict[str, Any] = {}
    for mark, key, item in _pairs(node, errors, pointer):
        place = f"{pointer}/{escape(key)}"
        if key in result:
            first = marks[place].line
            errors.append(
                LocatedError(
                    line=mark.line,
                    column=mark.column,
                    pointer=place,
                    problem=f"`{key}` is there twice, first in line {first}",
                    remedy="remove one, or join them",
                )
            )
            continue
        marks[place] = mark
        result[key] = _plain(item, place, marks, errors)
    for mark, key, item in _merged(node):
        if key not in result:
            place = f"{pointer}/{escape(key)}"
            marks[place] = mark
            result[key] = _plain(item, place, marks, errors)
    return result


def _pairs(node: _Node, errors: list[LocatedError], pointer: str) -> Iterator[tuple[Mark, str, _Node]]:
    for key, item in node.value:
        if key.kind != "scalar":
            errors.append(
                LocatedError(
                    line=key.mark.line,
                    column=key.mark.column,
                    pointer=pointer,
                    problem="a list or mapping stands where a key should be",
                    remedy="keys are words; quote what begins with { or [",
                )
            )
        elif key.value != "<<" or item.kind == "scalar":
            yield key.mark, _word(key), item


def _word(key: _Node) -> str:
    return "null" if key.value is None else str(key.value)


def _merged(node: _Node) -> Iterator[tuple[Mark, str, _Node]]:
    """What `<<: *defaults` brings in."""
    for key, item in node.value:
        if key.kind == "scalar" and key.value == "<<":
            for source in item.value if item.kind == "list" else [item]:
                if source.kind == "mapping":
                    for inner, value in source.value:
                        if inner.kind == "scalar":
                            yield inner.mark, _word(inner), value
