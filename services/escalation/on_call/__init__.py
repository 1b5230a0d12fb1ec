"""Who is on call: gathered for a step, told to people, overridden, imported from calendars kept elsewhere."""
