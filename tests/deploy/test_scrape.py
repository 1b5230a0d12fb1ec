"""A real Prometheus scrapes real services with the configuration that is shipped, and every panel finds its series."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml
from nats.js import JetStreamContext

from services.router.versions import policies
from shared import timesource
from shared.postgres import time as database_time
from shared.postgres.pool import Pool

ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 60.0


class Prometheus:
    """A server of this test's own."""

    def __init__(self, folder: Path, targets: dict[str, str]) -> None:
        configuration = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
        configuration["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        for config in configuration["scrape_configs"][0]["static_configs"]:
            config["targets"] = [targets[config["labels"]["service"]]]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        shutil.copytree(ROOT / "deploy/prometheus/rules", folder / "rules")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.url = f"http://{address}"
        self._process = subprocess.Popen(
            [
                "prometheus",
                "--config.file=prometheus.yml",
                f"--web.listen-address={address}",
                "--storage.tsdb.path=data",
            ],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def ask(self, expression: str) -> list[dict]:
        """The result of an instant query; fails where Prometheus does not understand it."""
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = (await http.get(f"{self.url}/api/v1/query", params={"query": expression})).json()
        assert "success" == answer["status"], answer
        return answer["data"]["result"]

    async def until(self, expression: str) -> None:
        """Wait until a query has a result."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while True:
                    with suppress(httpx.TransportError, json.JSONDecodeError):
                        if await self.ask(expression):
                            return
                    await timesource.pause(0.1)
        except TimeoutError:
            raise AssertionError(f"Prometheus finds nothing for {expression}") from None

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)


async def _live_through(jetstream: JetStreamContext) -> None:
    """A ticket is opened and answered."""
    for kind, data in (("opened", {"channel": "email"}), ("replied", {"by": "agent"})):
        event = {"id": kind, "source": "helpdesk", "type": f"ticket.{kind}", "subject": "1", "data": data}
        event["time"] = datetime.fromtimestamp(timesource.unix_time(), UTC).isoformat()
        await jetstream.publish(f"tickets.acme.{kind}", json.dumps(event).encode())


_ROTATION = """
calendars: {always: {hours: always}}
targets: [{name: all, calendar: always, resolution: 1h}]
on_call: {support: {timezone: UTC, rotation: daily, handoff: "09:00", people: [ana]}}
"""
_ROSTER = "people: {ana: {name: Ana, contacts: [console]}}"


@pytest.fixture
async def services(pool: Pool, spawn, jetstream) -> dict[str, str]:
    """Both services, started, and a tenant with somebody on call; their addresses by name."""
    async with pool.acquire() as connection:
        now = await database_time.now(connection)
        await policies.apply_roster(connection, "default", _ROSTER, "test", now)
        await policies.apply_policy(connection, "default", _ROTATION, "test", now)
    started = {name: spawn(f"services.{name}", DESKCLOCK_METRICS_OPEN="true") for name in ("router", "escalation")}
    for service in started.values():
        service.launch()
    return {name: service.url.removeprefix("http://") for name, service in started.items()}


async def test_every_panel_of_the_dashboard_finds_its_series(
    services: dict[str, str], jetstream: JetStreamContext, tmp_path: Path
) -> None:
    """What Grafana would ask, Prometheus can answer, from the first scrape on."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed: it comes with the package `prometheus`")
    prometheus = Prometheus(tmp_path, services)
    try:
        await prometheus.until('up{service="router"} == 1')
        await prometheus.until('up{service="escalation"} == 1')
        await _live_through(jetstream)
        await prometheus.until("sla_response_seconds_count > 0")
        await prometheus.until("sla_tickets_open")
        dashboard = json.loads((ROOT / "deploy/grafana/dashboards/promises.json").read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                await prometheus.ask(target["expr"])
                for metric in set(re.findall(r"\bsla_[a-z_]+\b", target["expr"])):
                    await prometheus.until(metric)
        assert [] == await prometheus.ask('ALERTS{alertstate="firing"}')
    finally:
        prometheus.stop()
