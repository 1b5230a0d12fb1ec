"""Every exception made into a problem: what the caller did wrong, what is away, and only then what is broken here."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from shared.contract import problems
from shared.contract.problems import FieldError, Kind, Refused
from shared.postgres import failures as postgres_failures
from shared.runtime.logs import Log

Translate: TypeAlias = Callable[[Any], Refused]
"""A service's own exception as a refusal."""

_log = Log(__name__)
_BY_STATUS = {
    400: Kind.BAD_REQUEST,
    401: Kind.NO_KEY,
    403: Kind.FORBIDDEN,
    404: Kind.NOT_FOUND,
    405: Kind.METHOD_NOT_ALLOWED,
    409: Kind.CONFLICT,
    412: Kind.CHANGED,
    413: Kind.TOO_LARGE,
    415: Kind.UNSUPPORTED_MEDIA,
    422: Kind.INVALID,
    429: Kind.TOO_MANY,
    503: Kind.UNAVAILABLE,
}


def refusal(error: Exception, translations: Mapping[type[Exception], Translate]) -> Refused:
    """What to answer to this exception; what nobody foresaw is logged, and is the only 500 there is."""
    if isinstance(error, Refused):
        return error
    for kind in type(error).__mro__:
        if kind in translations:
            return translations[kind](error)
    if isinstance(error, HTTPException) and error.status_code in _BY_STATUS:
        return _of_framework(error)
    if isinstance(error, postgres_failures.UNAVAILABLE):
        _log.warning("http_unavailable", "A request found the database away", error=error)
        return Refused(
            Kind.UNAVAILABLE,
            "the database does not answer: send it again in a few seconds",
            headers={"retry-after": "2"},
        )
    if isinstance(error, postgres_failures.UNSTORABLE):
        return Refused(Kind.INVALID, f"the database can't store this: {error}")
    _log.error("http_failed", "A request failed for a reason nobody foresaw", error=error)
    return Refused(Kind.INTERNAL, "this is a fault of ours and was logged; sending it again may help")


def handlers(translations: Mapping[type[Exception], Translate]) -> ExceptionHandlersMap:
    """What Litestar calls for an exception of any kind."""

    def answer(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        refused = refusal(error, translations)
        return Response(
            content=problems.encode(refused.problem),
            status_code=refused.problem.status,
            headers=dict(refused.headers),
            media_type=problems.MEDIA_TYPE,
        )

    return {Exception: answer, HTTPException: answer}


def _of_framework(error: HTTPException) -> Refused:
    if isinstance(error, ValidationException):
        return Refused(Kind.INVALID, "some parameters are wrong, see errors", errors=_parameter_errors(error))
    kind = _BY_STATUS[error.status_code]
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if kind is Kind.NOT_FOUND:
        return Refused(kind, "there is nothing at this address; /openapi.json lists all there are", headers=headers)
    if kind is Kind.METHOD_NOT_ALLOWED:
        return Refused(kind, f"this address takes {headers.get('allow', 'other methods')}", headers=headers)
    if kind is Kind.TOO_LARGE:
        return Refused(kind, "a body may have 1 MiB; send less at a time", headers=headers)
    return Refused(kind, error.detail or kind.title, headers=headers)


def _parameter_errors(error: ValidationException) -> tuple[FieldError, ...]:
    """What Litestar says of parameters and bodies that it read itself."""
    extra = error.extra if isinstance(error.extra, list) else []
    found = []
    for item in extra:
        if not isinstance(item, dict):
            continue
        where = str(item.get("key", ""))
        detail = str(item.get("message", "is wrong"))
        if item.get("source") in {"query", "header", "cookie", "path"}:
            found.append(FieldError(parameter=where, detail=detail))
        else:
            found.append(FieldError(pointer="#/" + where.replace(".", "/") if where else "#", detail=detail))
    return tuple(found)
