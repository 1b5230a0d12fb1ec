"""What every route declares of itself: who may call it, what it takes and gives.

One declaration serves the guard and the OpenAPI document. A route without one is refused when the app is built, so that
nothing is open by oversight.
"""

from collections.abc import Mapping
from typing import Any

from litestar.handlers import BaseRouteHandler
from msgspec import Struct

from shared.contract.access import Scope
from shared.contract.problems import Kind

_OPT = "operation"


class Example(Struct, frozen=True, kw_only=True):
    """A body that works as it stands, for the documentation."""

    name: str
    body: object


class Operation(Struct, frozen=True, kw_only=True):
    """One method of one route."""

    scopes: tuple[Scope, ...] | None
    """Any of them will do; empty: every key; None: open to all, also without a key."""
    takes: Any = None
    """Type of the JSON body, or None."""
    takes_text: tuple[str, ...] = ()
    """Media types of a body that is plain text (a policy file)."""
    query: type[Struct] | None = None
    gives: Mapping[int, Any]
    """Type of the body by status below 400; None: no body."""
    gives_text: str | None = None
    """Media type of the answer, where it isn't JSON."""
    problems: tuple[Kind, ...] = ()
    """Beyond those that every route of its sort may answer."""
    headers: Mapping[str, str] = {}
    """Request headers that are read, with a sentence for each."""
    examples: tuple[Example, ...] = ()
    """Of the body it takes."""
    answers: tuple[Example, ...] = ()
    """Of the body it gives with status 200."""


def operation(
    *scopes: Scope,
    is_open: bool = False,
    takes: Any = None,
    takes_text: tuple[str, ...] = (),
    query: type[Struct] | None = None,
    gives: Mapping[int, Any] | None = None,
    gives_text: str | None = None,
    problems: tuple[Kind, ...] = (),
    headers: Mapping[str, str] | None = None,
    examples: tuple[Example, ...] = (),
    answers: tuple[Example, ...] = (),
) -> dict[str, Any]:
    """Declare a route: `@post("/v1/things", opt=operation(Scope.ADMIN, takes=NewThing, gives={201: Thing}))`."""
    return {
        _OPT: Operation(
            scopes=None if is_open else scopes,
            takes=takes,
            takes_text=takes_text,
            query=query,
            gives=gives or {200: None},
            gives_text=gives_text,
            problems=problems,
            headers=headers or {},
            examples=examples,
            answers=answers,
        )
    }


def operation_of(handler: BaseRouteHandler) -> Operation | None:
    """What the route declared, or None where it declared nothing."""
    found = handler.opt.get(_OPT)
    return found if isinstance(found, Operation) else None
