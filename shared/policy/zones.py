"""Which edition of the IANA time zones this process goes by (rule 31).

Python takes zones from the system's folders where there are any, else from the `tzdata` package; so does this.
"""

import zoneinfo
from functools import cache
from pathlib import Path

import tzdata  # type: ignore[import-untyped]

UNKNOWN = "unknown"
_HEAD = "# version "


@cache
def tzdata_version() -> str:
    """As in `2026a`; `unknown` where the system has zones but doesn't say of when."""
    for folder in map(Path, zoneinfo.TZPATH):
        if (folder / "UTC").is_file():
            return _said_by(folder)
    return str(tzdata.IANA_VERSION)


def _said_by(folder: Path) -> str:
    for name in ("tzdata.zi", "+VERSION"):
        try:
            with (folder / name).open(encoding="ascii", errors="replace") as file:
                line = file.readline(100).strip()
        except OSError:
            continue
        version = line.removeprefix(_HEAD)
        if version and (line.startswith(_HEAD) or name == "+VERSION"):
            return version
    return UNKNOWN
