"""Named queries: every statement of the product stands in a .sql file beside the store that runs it.

A file is a list of `-- name: claim_due_clocks`, one line of purpose as a comment, and the statement.
"""

import re
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(package: str) -> dict[str, str]:
    """All queries of the package's .sql files by name; a name given twice is an error."""
    queries: dict[str, str] = {}
    for file in sorted(resources.files(package).iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            for name, text in _split(file.read_text(encoding="utf-8")):
                if name in queries:
                    raise ValueError(f"{package}: query {name!r} is there twice")
                queries[name] = text
    return queries


def _split(text: str) -> list[tuple[str, str]]:
    parts = _NAME.split(text)
    return [(name, body.strip()) for name, body in zip(parts[1::2], parts[2::2], strict=True)]
