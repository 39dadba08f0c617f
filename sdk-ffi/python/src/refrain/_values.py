"""Properties on their way to JSON text. A value that JSON cannot hold is named, with its place; nothing is guessed."""

import datetime
import itertools
import json
import math
import re
from typing import Any, Iterable, Iterator, List, Mapping, Optional, Tuple

_WORDS_AS_KEYS = ('"null":', '"true":', '"false":')
# The core's limits; they are checked there too, for the text. What has more is not even written out.
_MAX_DEPTH = 64
MAX_CHARACTERS = 1_000_000
_PLAIN = frozenset((int, float, bool, type(None)))
# Some classes stand for a date that there is not, or write one in a way of their own.
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?", re.ASCII)


class Unusable(Exception):
    """A value that cannot be recorded: a stable reason, and a hint that says where it stands."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(hint)
        self.reason = reason
        self.hint = hint


def too_large() -> Unusable:
    return Unusable("too_large", "a record may be at most 1 MB: split it")


def encode(properties: Mapping[str, Any], place: str = "properties") -> str:
    """The JSON text of some properties; what is wrong with them is said of this place.

    Dates become the wire's text form (``YYYY-MM-DDTHH:MM:SS``, times with a zone in UTC); any mapping becomes an
    object, a tuple an array. Everything else is what ``json`` makes of it.

    Raises:
        Unusable: if JSON cannot hold it.
    """
    if type(properties) is not dict:
        if not isinstance(properties, Mapping):
            raise Unusable("not_an_object", f"{place} must be a mapping, not {_kind(properties)}")
        properties = _attempt(lambda: dict(properties), place)
    if not properties:
        return "{}"
    try:
        # Lists that hold one another are few in memory and many as text.
        _room_after(properties, MAX_CHARACTERS, 0)
        text = _encode(properties)
        text.encode("utf-8")
    except Unusable:
        raise
    except Exception as error:
        raise _explain(properties, error, place) from None
    # Keys that `json` makes texts of. Most texts hold none of these words, and nobody has to look at their parts.
    if any(word in text for word in _WORDS_AS_KEYS):
        for fault in _faults(place, properties, []):
            raise fault
    return text


def check_text(value: Any, what: str, reason: str) -> None:
    """Refuses what is not a text that Unicode can carry."""
    if not isinstance(value, str):
        raise Unusable(reason, f"{what} must be a str, not {_kind(value)}")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise Unusable("lone_surrogate", f"{what} holds half of a surrogate pair") from None


def _room_after(value: Any, room: int, depth: int) -> int:
    """What is left of so many characters behind the parts of a value, each of which takes two at least."""
    if isinstance(value, (list, tuple)):
        parts: Iterable[Any] = value
    elif isinstance(value, Mapping):
        parts = itertools.chain(value, value.values())
    else:
        return room - len(value) if isinstance(value, str) else room
    if depth == _MAX_DEPTH:
        raise RecursionError
    room -= 2 * len(value)
    if room < 0:
        raise too_large()
    for part in parts:
        kind = type(part)
        if kind is str:
            room -= len(part)
        elif kind not in _PLAIN:
            room = _room_after(part, room, depth + 1)
    if room < 0:
        raise too_large()
    return room


def _default(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        # Not by `strftime`, whose year has as many digits as the C library likes.
        return _date(value.isoformat(timespec="seconds"))
    if isinstance(value, datetime.date):
        return _date(value.isoformat())
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def _date(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise ValueError
    return text


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default).encode


def _attempt(read: Any, place: str) -> Any:
    try:
        return read()
    except Exception as error:
        raise Unusable("unreadable_value", f"reading the {place} raised {type(error).__name__}") from None


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _explain(properties: Mapping[Any, Any], error: Exception, place: str) -> Unusable:
    """Finds the value at fault. Only refused properties pay for it."""
    try:
        for found in _faults(place, properties, []):
            return found
    except Exception:  # a value that cannot even be looked at
        pass
    return Unusable("unreadable_value", f"writing the {place} as JSON raised {type(error).__name__}")


def _faults(place: str, value: Any, above: List[int]) -> Iterator[Unusable]:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            yield Unusable("lone_surrogate", f"{place} holds half of a surrogate pair")
    elif isinstance(value, int):
        try:
            int.__repr__(value)
        except ValueError:
            yield Unusable("too_large", f"{place} has more digits than Python writes; pass a text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield Unusable("not_finite", f"{place} is {value}, which JSON cannot hold; leave it out or pass a text")
    elif isinstance(value, (Mapping, list, tuple)):
        if id(value) in above:
            yield Unusable("circular_reference", f"{place} contains itself")
        elif len(above) >= _MAX_DEPTH:
            yield Unusable("nested_too_deep", f"{place} is nested deeper than {_MAX_DEPTH} levels")
        else:
            for part, inner in _parts(place, value):
                if part is None:
                    yield Unusable("unsupported_key", f"{place} has a key that is {_kind(inner)}; keys must be str")
                else:
                    yield from _faults(part, inner, [*above, id(value)])
    elif isinstance(value, (datetime.datetime, datetime.date)):
        try:
            _default(value)
        except Exception as error:  # a zone that fails, or years that UTC does not have
            yield Unusable("unreadable_value", f"{place} cannot be written as a date: {type(error).__name__}")
    else:
        yield Unusable("unsupported_type", f"{place} is {_kind(value)}, which JSON cannot hold; pass a text or a number")


def _parts(place: str, value: Any) -> Iterator[Tuple[Optional[str], Any]]:
    if not isinstance(value, Mapping):
        for index, item in enumerate(value):
            yield f"{place}[{index}]", item
        return
    for key, item in value.items():
        if isinstance(key, str):
            yield f"a key of {place}", key
            yield f"{place}.{_shown(key)}", item
        elif isinstance(key, (int, float)) and not isinstance(key, bool):
            yield f"{place}.{key}", item
        else:
            yield None, key


def _shown(key: str) -> str:
    return key if len(key) <= 40 else key[:40] + "…"
