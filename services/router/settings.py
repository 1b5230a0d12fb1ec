"""Settings of the router, each from its DESKCLOCK_ variable."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from shared.runtime.settings import SECRET


class Settings(Struct, frozen=True, kw_only=True):
    """What an operator may decide about this process."""

    database_url: Annotated[str, Meta(description="PostgreSQL, as postgresql://user@host/database."), SECRET]
    nats_url: Annotated[str, Meta(description="NATS, as nats://host:4222."), SECRET] = "nats://127.0.0.1:4222"
    environment: Annotated[
        Literal["development", "production"],
        Meta(description="`production` refuses the embedded servers and warped time."),
    ] = "development"
    http_host: Annotated[str, Meta(description="Address the HTTP server listens on.")] = "127.0.0.1"
    router_port: Annotated[int, Meta(ge=0, le=65535, description="Port of the router's HTTP server.")] = 8080
    fault_point: Annotated[
        str,
        Meta(
            description="Only for trials: where this process is to die, as K6_CLAIMED:3, or to stand still, as K6_CLAIMED:3:stop; "
            "refused in production."
        ),
    ] = ""
    log_format: Annotated[Literal["text", "json"], Meta(description="Lines for a person, or JSON lines.")] = "text"
    metrics_open: Annotated[bool, Meta(description="Whether /metrics answers without an API key.")] = False
    docs_open: Annotated[bool, Meta(description="Whether the API's description answers without an API key.")] = False
    pool_size: Annotated[int, Meta(ge=4, le=100, description="Connections to PostgreSQL.")] = 8
