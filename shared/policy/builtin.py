"""The policy of a tenant that has applied none: version 0, shipped as `default.yaml`."""

from functools import cache
from importlib import resources

from shared.policy import parse
from shared.policy.document import Policy

VERSION = 0


@cache
def policy() -> Policy:
    """The built-in policy, compiled once."""
    return parse.parse_policy(source(), version=VERSION)


def source() -> str:
    """The file as it is shipped, a start for one's own."""
    return resources.files("shared.policy").joinpath("default.yaml").read_text(encoding="utf-8")
