"""Requests of Boston's open data as ticket events, for `deskclock evaluate`: `events.py REQUESTS.csv > events.ndjson`."""

import sys
from pathlib import Path

from services.console.domain import requests


def main() -> int:
    """Write one line for each opening and each closing; the exit code says whether the file could be read."""
    try:
        read = requests.read(Path(sys.argv[1]))
    except IndexError:
        sys.stderr.write("name a CSV file of requests, gzipped or not\n")
        return 2
    except requests.UnreadableRequests as error:
        sys.stderr.write(f"{error}\n")
        return 4
    for request in read:
        for event in requests.story(request):
            sys.stdout.buffer.write(event.body + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
