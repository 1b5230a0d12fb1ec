"""A city's requests become ticket events as the example's README says; what the city promised does not go into them."""

import subprocess
import sys
from pathlib import Path

from shared.contract import events
from shared.contract.events import Opened, StatusChanged
from shared.contract.tickets import Status

SCRIPT = Path(__file__).parents[3] / "examples" / "boston" / "events.py"
REQUESTS = """\
CASE_ENQUIRY_ID,OPEN_DT,TARGET_DT,CLOSED_DT,OnTime_Status,CASE_STATUS,SUBJECT,REASON,TYPE,QUEUE,Department,neighborhood,Source
7,07/01/2015 12:25:23 AM,07/17/2015 08:30:00 AM,07/02/2015 04:17:43 PM,ONTIME,Closed,Public Works,Street Lights,Street Light Outages,Q,D,Fenway,Twitter
8,07/01/2015 01:45:37 AM,,,,Open,Animal Control,Animal Issues,Animal Found,Q,D,West Roxbury,Constituent Call
"""


def test_each_opening_and_each_closing_is_an_event(tmp_path: Path) -> None:
    """In local time, by type, without promise, verdict, queue or department."""
    file = tmp_path / "requests.csv"
    file.write_text(REQUESTS)
    done = subprocess.run([sys.executable, SCRIPT, file], capture_output=True, check=True, timeout=60)
    told = [events.decode("t", line) for line in done.stdout.splitlines()]
    attributes = {
        "type": "Street Light Outages",
        "reason": "Street Lights",
        "subject": "Public Works",
        "neighborhood": "Fenway",
    }
    assert ["7", "7", "8"] == [event.ticket for event in told]
    assert isinstance(told[0].data, Opened)
    assert ("Twitter", attributes) == (told[0].data.channel, told[0].data.attributes)
    assert "2015-07-01T04:25:23+00:00" == told[0].occurred_at.isoformat()
    assert isinstance(told[1].data, StatusChanged)
    assert Status.SOLVED is told[1].data.status
    assert b"2015-07-17" not in done.stdout
    assert b"ONTIME" not in done.stdout


def test_a_file_that_holds_no_requests_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    """One line and an exit code."""
    file = tmp_path / "requests.csv"
    file.write_text("a,b\n1,2\n")
    done = subprocess.run([sys.executable, SCRIPT, file], capture_output=True, check=False, timeout=60, text=True)
    assert (4, "") == (done.returncode, done.stdout)
    assert "is not a file of service requests" in done.stderr
