"""How a provider misbehaves when it is told to, and which requests that meets."""

from typing import Literal

from msgspec import Struct

ALWAYS = -1


class Fault(Struct, kw_only=True, omit_defaults=True):
    """One way to misbehave; the first that fits a request is taken, and counted down."""

    kind: Literal["status", "delay", "hang", "close", "garbage", "redirect", "trickle"]
    """`status`: this status, and nothing is done. `delay`: the right answer, later. `hang`: read, and never answered.
    `close`: the connection is cut. `garbage`: an answer that is not HTTP. `redirect`: 307 to /_landed. `trickle`: the right
    answer, a byte at a time."""
    provider: str = ""
    """Whose requests; empty: everybody's."""
    containing: str = ""
    """Only requests with this text in their path, headers or body."""
    times: int = 1
    """How many requests; ALWAYS until told otherwise."""
    is_handled: bool = False
    """With `status`, `hang`, `close`, `garbage`: the provider did it all the same, only its answer went wrong."""
    status: int = 503
    retry_after: str = ""
    body: str = ""
    seconds: float = 0.0
    """Of `delay` the wait, of `trickle` the pause between bytes."""

    def meets(self, provider: str, text: str) -> bool:
        """Whether it is for this request."""
        return self.times != 0 and self.provider in ("", provider) and self.containing in text
