"""How people are reached, as a roster writes it: contacts in their order, each with what its account has for all of them.

`{sms: "+4915112345678", account: twilio}` takes `from` and `secret` of the roster's `accounts: {twilio: {...}}`; what the
contact says itself comes first. What comes out names no account any more.
"""

from collections.abc import Mapping

from shared.policy import shape
from shared.policy.document import Contact
from shared.policy.errors import did_you_mean, short
from shared.policy.located import escape
from shared.policy.methods import METHODS, SECRET, SECRET_REMEDY, Method
from shared.policy.reading import Reading

MOST_CONTACTS = 10
_SECRET, _ACCOUNT = "secret", "account"  # keys of a contact
_OPTIONS = frozenset(name for method in METHODS.values() for name in method.options)
_EXAMPLE = 'write it as in {webhook: "https://...", secret: "env:DESKCLOCK_SECRET_PAGER"}, or `console`'

Accounts = Mapping[str, Mapping[str, str]]


def read_accounts(reading: Reading, lines: Accounts) -> Accounts:
    """The roster's accounts, their keys and secrets looked at; what they say is checked with the contacts that use it."""
    for name, line in lines.items():
        pointer = f"/accounts/{escape(name)}"
        for key in line:
            if key not in _OPTIONS | {_SECRET}:
                known = did_you_mean(key, _OPTIONS | {_SECRET}, what="keys of an account")
                reading.fault(f"{pointer}/{escape(key)}", f"`{short(key)}` is nothing that an account has", known)
        _check_secret(reading, line.get(_SECRET, ""), f"{pointer}/{_SECRET}")
    return lines


def read_contacts(
    reading: Reading, lines: str | list[str | dict[str, str]], pointer: str, accounts: Accounts
) -> tuple[Contact, ...]:
    """A person's contacts in their order; faults are noted with their place."""
    found = [
        _contact(reading, {entry: ""} if isinstance(entry, str) else entry, place, accounts)
        for place, entry in shape.entries(lines, pointer)
    ]
    if len(found) > MOST_CONTACTS:
        reading.fault(pointer, f"{len(found)} contacts, the limit is {MOST_CONTACTS}", "keep those that wake them")
    return tuple(contact for contact in found if contact is not None)


def _contact(reading: Reading, entry: Mapping[str, str], pointer: str, accounts: Accounts) -> Contact | None:
    name = _method_of(reading, entry, pointer)
    if name is None:
        return None
    method = METHODS[name]
    _check_keys(reading, name, method, entry, pointer)
    _check_address(reading, name, method, entry[name], pointer)
    account = _account(reading, entry, pointer, accounts)
    if account is None:
        return None
    _check_secret(reading, entry.get(_SECRET, ""), f"{pointer}/{_SECRET}")
    options = _options(reading, name, method, entry, account, pointer)
    secret = entry.get(_SECRET) or (account.get(_SECRET, "") if method.takes_secret else "")
    if method.needs_secret and not secret and _SECRET not in entry:
        reading.fault(
            pointer,
            f"`{name}` needs a secret: {method.credential}",
            "add `secret: env:DESKCLOCK_SECRET_<name>`, or an `account` that has one",
        )
    return Contact(method=name, address=entry[name], secret=secret, options=options)


def _method_of(reading: Reading, entry: Mapping[str, str], pointer: str) -> str | None:
    """The one method that the entry names; a fault where it is none, unknown, or several."""
    named = [key for key in entry if key in METHODS]
    strangers = [key for key in entry if key not in METHODS and key not in _OPTIONS | {_SECRET, _ACCOUNT}]
    if len(named) == 1:
        return named[0]
    if any(reading.holds(f"{pointer}/{method}") for method in METHODS if method not in named):
        return None  # its address is no text: said already
    if not named and len(strangers) == 1:
        known = did_you_mean(strangers[0], METHODS, what="ways to page")
        place = f"{pointer}/{escape(strangers[0])}" if reading.holds(f"{pointer}/{escape(strangers[0])}") else pointer
        reading.fault(place, f"there is no way `{short(strangers[0])}` to page somebody", known)
    else:
        reading.fault(pointer, "one contact is one method with its address", _EXAMPLE)
    return None


def _check_keys(reading: Reading, name: str, method: Method, entry: Mapping[str, str], pointer: str) -> None:
    known = {name, _ACCOUNT, *method.options, *([_SECRET] if method.takes_secret else [])}
    for key in entry:
        if key not in known:
            remedy = did_you_mean(key, known - {name}, what=f"keys beside `{name}`")
            reading.fault(f"{pointer}/{escape(key)}", f"`{name}` has no `{short(key)}`", remedy)


def _check_address(reading: Reading, name: str, method: Method, address: str, pointer: str) -> None:
    place = f"{pointer}/{name}" if reading.holds(f"{pointer}/{name}") else pointer
    if method.address is None:
        if address:
            reading.fault(place, f"`{name}` takes no address", f"write `{name}` alone")
    elif not address:
        if method.needs_address:
            reading.fault(pointer, f"`{name}` has no address", _example(name, method))
    elif not method.address.fits(address):
        reading.fault(place, f"`{short(address)}` is no {method.address.what}", method.address.remedy)


def _example(name: str, method: Method) -> str:
    return method.address.remedy if method.address and name != "webhook" else f"{_EXAMPLE}; only `console` needs none"


def _account(reading: Reading, entry: Mapping[str, str], pointer: str, accounts: Accounts) -> Mapping[str, str] | None:
    """What the account says, nothing where none is named; None, and a fault, where there is none of that name."""
    name = entry.get(_ACCOUNT)
    if name is None:
        return {}
    if not reading.refer(f"{pointer}/{_ACCOUNT}", name, reading.names("accounts"), "account"):
        return None
    return accounts.get(name)


def _check_secret(reading: Reading, secret: str, pointer: str) -> None:
    if secret and not SECRET.fullmatch(secret):
        reading.fault(pointer, "secrets don't stand in this file, nor names of other variables", SECRET_REMEDY)


def _options(
    reading: Reading, name: str, method: Method, entry: Mapping[str, str], account: Mapping[str, str], pointer: str
) -> dict[str, str]:
    """The contact's own options, and for the rest those of its account."""
    options = {}
    for key, form in method.options.items():
        own, lent = entry.get(key), account.get(key)
        text = lent if own is None else own
        place = f"{pointer}/{_ACCOUNT}" if own is None else f"{pointer}/{key}"
        if text is None:
            if key in method.needs:
                reading.fault(pointer, f"`{name}` has no `{key}`", f"add it here or to its account; {form.remedy}")
        elif not form.fits(text):
            reading.fault(place, f"`{key}: {short(text)}` is no {form.what}", form.remedy)
        else:
            options[key] = text
    return options
