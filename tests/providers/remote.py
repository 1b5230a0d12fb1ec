"""The providers as a process of their own, for tests that kill others."""

import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.providers.faults import Fault
from tests.providers.ledger import Ledger

_ROOT = Path(__file__).parents[2]
_SECONDS = 10.0


class Remote(Struct, frozen=True):
    """Where it listens and what it keeps."""

    base: str
    ledger: Ledger

    def url(self, provider: str) -> str:
        """A provider's base address."""
        return f"{self.base}/{provider}"

    def misbehave(self, *faults: Fault) -> None:
        """Tell it to."""
        self._tell("POST", msgspec.json.encode(faults))

    def behave(self) -> None:
        """Tell it not to."""
        self._tell("DELETE", None)

    def _tell(self, method: str, body: bytes | None) -> None:
        request = urllib.request.Request(f"{self.base}/_faults", data=body, method=method)  # noqa: S310 - our own address
        with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310 - our own address
            pass


@contextmanager
def provider_process(ledger: Path) -> Iterator[Remote]:
    """Start one that keeps its ledger in this file, and end it at the end."""
    command = [sys.executable, "-m", "tests.providers", "--ledger", str(ledger)]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            kept = Ledger(ledger)
            try:
                yield Remote(found.group(), kept)
            finally:
                kept.close()
        finally:
            process.terminate()
