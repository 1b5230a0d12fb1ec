"""`python -m services.escalation`."""

import sys

from services.escalation.main import assemble
from shared.runtime.run import run

if __name__ == "__main__":
    sys.exit(run(assemble))
