"""What the command line needs to know; the services have settings of their own, and `up` hands these on to them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from shared.runtime.settings import SECRET

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - looked up, not bound


class Environment(StrEnum):
    """Where this runs; `production` refuses what only trials may do."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Settings(Struct, frozen=True, kw_only=True):
    """Settings of the command `deskclock`."""

    database_url: Annotated[
        str,
        Meta(
            description="PostgreSQL, as in postgresql://user:password@host:5432/name. Unset: `up` and `demo` start their own."
        ),
        SECRET,
    ] = ""
    nats_url: Annotated[
        str, Meta(description="NATS, as in nats://host:4222. Unset: `up` and `demo` start their own."), SECRET
    ] = ""
    environment: Annotated[
        Environment,
        Meta(description="`development` or `production`; production refuses embedded servers and moving the time."),
    ] = Environment.DEVELOPMENT
    http_host: Annotated[str, Meta(description="Address on which the services listen.")] = "127.0.0.1"
    router_port: Annotated[int, Meta(description="Port of the router's HTTP server.", ge=1, le=65535)] = 8080
    escalation_port: Annotated[int, Meta(description="Port of escalation's HTTP server.", ge=1, le=65535)] = 8081
    home: Annotated[str, Meta(description="Folder in which `up` keeps its data, logs and first API key.")] = (
        ".deskclock"
    )
    debug: Annotated[bool, Meta(description="1 shows where in the program an unexpected error came from.")] = False

    @property
    def home_path(self) -> Path:
        """`home`, absolute."""
        return Path(self.home).expanduser().absolute()

    @property
    def reachable_host(self) -> str:
        """`http_host` as part of a URL from here."""
        return _WILDCARDS.get(self.http_host, f"[{self.http_host}]" if ":" in self.http_host else self.http_host)

    @property
    def is_production(self) -> bool:
        """Trials are refused."""
        return self.environment is Environment.PRODUCTION
