"""Values and patterns of the scenarios, as ``tests/scenarios/README.md`` has them."""

from typing import Any, Dict, Optional, Tuple

Remembered = Dict[str, str]


class Nothing:
    """What stands for a member that is not there."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING = Nothing()


def value(of: Any, index: int, remembered: Remembered) -> Any:
    """What a value stands for."""
    found = _word(of)
    if found is None:
        if isinstance(of, list):
            return [value(one, index, remembered) for one in of]
        if isinstance(of, dict):
            return {name: value(one, index, remembered) for name, one in of.items()}
        return of
    word, argument = found
    if word == "@number":
        return {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}[argument]
    if word == "@text":
        text, count = argument
        return text * count
    if word == "@half":
        return argument + "\ud83d"
    if word == "@members":
        return {f"p{number}": number for number in range(argument)}
    if word == "@remembered":
        return remembered[argument]
    if word == "@index":
        return index
    raise AssertionError(f"`{word}` is no word for a value")


def check(pattern: Any, found: Any, index: int, remembered: Remembered, place: str = "it") -> None:
    """Raises ``AssertionError`` where what was found does not match; ``NOTHING`` where there is nothing."""
    special = _word(pattern)
    if special is not None:
        if not _holds(*special, found, index, remembered, place):
            raise AssertionError(f"{place}: wanted {pattern}, found {_shown(found)}")
    elif isinstance(pattern, dict) and isinstance(found, dict):
        for name, wanted in pattern.items():
            check(wanted, found.get(name, NOTHING), index, remembered, f"{place}.{name}")
    elif isinstance(pattern, list) and isinstance(found, list):
        if len(pattern) != len(found):
            raise AssertionError(f"{place}: wanted {len(pattern)} elements, found {_shown(found)}")
        for at, (wanted, one) in enumerate(zip(pattern, found)):
            check(wanted, one, index, remembered, f"{place}[{at}]")
    # In Python True equals 1.
    elif isinstance(pattern, bool) != isinstance(found, bool) or pattern != found:
        raise AssertionError(f"{place}: wanted {pattern!r}, found {_shown(found)}")


def matches(pattern: Any, found: Any, index: int, remembered: Remembered) -> bool:
    """Whether it matches. A pattern that cannot be understood is no mismatch: see ``check``."""
    try:
        check(pattern, found, index, remembered)
        return True
    except AssertionError:
        return False


def _holds(word: str, argument: Any, found: Any, index: int, remembered: Remembered, place: str) -> bool:
    if word == "@absent":
        return found is NOTHING
    if word == "@present":
        return found is not NOTHING
    if word == "@remembered":
        return bool(found == remembered[argument])
    if word == "@other_than":
        return isinstance(found, str) and found != remembered[argument]
    if word == "@index":
        return bool(found == index)
    if word in ("@at_least", "@at_most"):
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            return False
        return bool(found >= argument if word == "@at_least" else found <= argument)
    if word == "@each":
        if not isinstance(found, list) or not found:
            return False
        for at, one in enumerate(found):
            check(argument, one, index, remembered, f"{place}[{at}]")
        return True
    raise AssertionError(f"`{word}` is no word for a pattern")


def _word(of: Any) -> Optional[Tuple[str, Any]]:
    """The word and the argument of an object that stands for something else."""
    words = [name for name in of if name.startswith("@")] if isinstance(of, dict) else []
    if not words:
        return None
    if len(of) != 1:
        raise AssertionError(f"{words[0]} stands beside other members")
    return words[0], of[words[0]]


def _shown(found: Any) -> str:
    text = repr(found)
    return text if len(text) <= 400 else text[:400] + "…"
