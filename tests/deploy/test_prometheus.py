"""What is shipped for Prometheus and Grafana holds together, and names only metrics that exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from services.escalation.domain.promptness import OBJECTIVE
from services.escalation.metrics.pages import PageMetrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def _promtool(*arguments: str) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: it comes with the package `prometheus`")
    done = subprocess.run(
        ["promtool", *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_the_configuration() -> None:
    """The scrape configuration and the rules parse."""
    _promtool("check", "config", "prometheus.yml")


def test_every_alert_fires_and_stays_silent_as_its_test_says() -> None:
    """The rules do what their own tests say."""
    _promtool("test", "rules", "tests/deskclock.yml")


def test_every_alert_has_a_test() -> None:
    """No alert is shipped of which nobody has seen that it can fire."""
    rules = yaml.safe_load((DEPLOY / "prometheus/rules/deskclock.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    tests = yaml.safe_load((DEPLOY / "prometheus/tests/deskclock.yml").read_text())
    fired = {case["alertname"] for test in tests["tests"] for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert alerts == fired


def _metrics_in_code() -> set[str]:
    names = set()
    for top in ("services", "shared"):
        for file in (ROOT / top).rglob("*.py"):
            names |= set(re.findall(r'"((?:sla|http)_[a-z_]+)"', file.read_text()))
    return names


def test_panels_and_alerts_name_metrics_that_exist() -> None:
    """A panel over a metric that nobody exports would be empty for ever."""
    dashboard = json.loads((DEPLOY / "grafana/dashboards/promises.json").read_text())
    text = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", []))
    text += (DEPLOY / "prometheus/rules/deskclock.yml").read_text()
    used = {re.sub(r"_(bucket|count)$", "", name) for name in re.findall(r"\b(sla_[a-z_]+)\b", text)}
    assert used - _metrics_in_code() == set()


def test_the_objective_is_a_boundary_of_the_histogram() -> None:
    """Its two seconds, as the rules and the dashboard write them; a boundary that isn't there would count nothing."""
    registry = CollectorRegistry()
    PageMetrics(registry, ())
    kept = {
        str(sample.labels["le"]) for family in registry.collect() for sample in family.samples if "le" in sample.labels
    }
    shipped = (DEPLOY / "prometheus/rules/deskclock.yml").read_text()
    shipped += (DEPLOY / "grafana/dashboards/promises.json").read_text().replace("\\", "")
    asked = set(re.findall(r'sla_page_lag_seconds_bucket\{[^}]*le="([^"]+)"', shipped))
    assert {str(OBJECTIVE.total_seconds())} == asked
    assert asked | {"0.15"} <= kept


def test_compose_waits_for_health() -> None:
    """Each service that needs another waits until that one is healthy, or has done its work."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in services.items():
        for needed, condition in service.get("depends_on", {}).items():
            assert condition["condition"] in {"service_healthy", "service_completed_successfully"}, name
            assert "healthcheck" in services[needed] or services[needed]["restart"] == "no", needed
