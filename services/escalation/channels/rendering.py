"""Pages as channels write them: plain text, without what could steer whoever shows it, cut to what the provider takes."""

from services.escalation.channels import Closed, Page

_LONGEST_LABEL = 40
_CUT = "\N{HORIZONTAL ELLIPSIS}"


def title(page: Page) -> str:
    """What broke, or is over: the first line, but for a note."""
    return printable(_in_order(page)[0])


def rest(page: Page) -> str:
    """The other lines, without that of the link, for channels that have links of their own."""
    return printable("\n".join(line for line in _in_order(page)[1:] if not page.link or page.link not in line))


def label(page: Page) -> str:
    """What the link is for, as the page's text says it: `Acknowledge`."""
    line = next((line for line in page.text.split("\n") if page.link and page.link in line), "")
    return cut(printable(line.partition(page.link)[0]).rstrip(": "), _LONGEST_LABEL) or "Acknowledge"


def _in_order(page: Page) -> list[str]:
    first, *others = page.text.split("\n")
    is_note = bool(others) and first == " ".join((page.facts.note or "").split())
    return [others[0], first, *others[1:]] if is_note else [first, *others]


def printable(text: str) -> str:
    """Names come from outside: no control characters, nothing that turns the direction of writing; line breaks stay."""
    return "".join(letter if letter == "\n" or letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def cut(text: str, most: int) -> str:
    """At most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}{_CUT}"


def cut_bytes(text: str, most: int) -> str:
    """At most so many bytes of UTF-8."""
    whole = text.encode()
    if len(whole) <= most:
        return text
    return whole[: most - len(_CUT.encode())].decode(errors="ignore") + _CUT


def closed(page: Page) -> tuple[Closed, ...]:
    """What a `resolve` makes moot."""
    return page.closes or tuple(Closed(id=made, provider_id=None) for made in page.facts.resolves)
