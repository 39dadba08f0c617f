"""Profiles of people and groups."""

from typing import Any, Callable, Mapping, Sequence

from ._types import Outcome


class Profile:
    """The profile of a person or a group. Each call is a record of its own, and like all recording calls it never raises
    and never waits."""

    def __init__(self, update: Callable[[Mapping[str, Any]], Outcome]) -> None:
        self._update = update

    def set(self, properties: Mapping[str, Any]) -> Outcome:
        """Sets properties."""
        return self._apply("$set", properties)

    def set_once(self, properties: Mapping[str, Any]) -> Outcome:
        """Sets those properties that are not set yet."""
        return self._apply("$set_once", properties)

    def add(self, numbers: Mapping[str, float]) -> Outcome:
        """Adds numbers to properties; a missing property counts as 0. If the response to a request is lost, the request
        is sent again, and collectors do not tell the two apart."""
        return self._apply("$add", numbers)

    def append(self, values: Mapping[str, Any]) -> Outcome:
        """Appends a value to each of the named lists."""
        return self._apply("$append", values)

    def union(self, lists: Mapping[str, Sequence[Any]]) -> Outcome:
        """Appends those values to each of the named lists that are not in it yet."""
        return self._apply("$union", lists)

    def remove(self, values: Mapping[str, Any]) -> Outcome:
        """Removes a value from each of the named lists."""
        return self._apply("$remove", values)

    def unset(self, *names: str) -> Outcome:
        """Removes properties."""
        return self._apply("$unset", list(names))

    def delete(self) -> Outcome:
        """Deletes the profile. This erases no events."""
        return self._apply("$delete", "")

    def _apply(self, operator: str, value: Any) -> Outcome:
        return self._update({operator: value})
