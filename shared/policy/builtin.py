"""The policy of a tenant that has applied none: version 0, shipped as `default.yaml`."""

from functools import cache
from importlib import resources

from shared.policy import parse
from shared.policy.document import Policy
from shared.policy.parse import ReadPolicy

VERSION = 0


def policy() -> Policy:
    """The built-in policy, compiled once."""
    return _read().policy


def document() -> bytes:
    """The same as the JSON that a stored version would have."""
    return _read().document


@cache
def _read() -> ReadPolicy:
    return parse.read_policy(source(), version=VERSION)


def source() -> str:
    """The file as it is shipped, a start for one's own."""
    return resources.files("shared.policy").joinpath("default.yaml").read_text(encoding="utf-8")
