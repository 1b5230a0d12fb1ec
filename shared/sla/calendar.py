"""Working time, compiled: instants to open time and back in two binary searches."""

from shared.sla.hours import CalendarSpec


class Calendar:
    """One calendar, compiled as far as it was asked; shared by all tickets."""

    def __init__(self, spec: CalendarSpec) -> None:
        self.spec = spec
