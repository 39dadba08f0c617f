"""The values that a client returns."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True)
class Outcome:
    """The result of a call. True in a condition unless the call was rejected."""

    #: ``"accepted"``: recorded. ``"held"``: kept in memory until the person decides, or until the folder has been read,
    #: a moment after the start. ``"rejected"``: not recorded.
    status: str
    #: Why it was rejected, as a stable word: ``denied``, ``empty_name``, ``not_finite``, …
    reason: Optional[str] = None
    #: One sentence on what to do about it.
    hint: Optional[str] = None

    def __bool__(self) -> bool:
        return self.status != "rejected"


@dataclass(frozen=True)
class Consent:
    """Where consent stands."""

    #: What the person chose: ``"granted"``, ``"denied"`` or ``"unset"``.
    decision: str
    #: What may be done now: ``"allow"``, ``"hold"`` or ``"deny"``.
    verdict: str
    #: Why: ``"person"``, ``"gpc"``, ``"dnt"``, ``"host"``, ``"default"`` or ``"store_unavailable"``.
    reason: str
    #: One sentence to show to the person.
    sentence: str


@dataclass(frozen=True)
class Signals:
    """What the environment says. True means "do not track". The person's own choice takes precedence."""

    #: Global Privacy Control; in a request, the header ``Sec-GPC``.
    gpc: bool = False
    #: Do Not Track; in a request, the header ``DNT``.
    dnt: bool = False
    #: The app's own setting.
    host: bool = False


@dataclass(frozen=True)
class Subject:
    """What the properties passed to a filter belong to."""

    #: ``"event"``; ``"registered"`` for properties that are added to every later event; ``"profile"`` for operators on
    #: a person's or a group's profile, such as ``{"$set": {…}}``.
    kind: str
    #: The event's name.
    event: Optional[str] = None


#: Returns what is recorded in place of some properties; ``None`` records nothing.
Filter = Callable[[Subject, Dict[str, Any]], Optional[Mapping[str, Any]]]


class Error(Exception):
    """The base class of this package's exceptions. Recording calls raise nothing."""


class ConfigError(Error, ValueError):
    """A setting has a value that cannot work."""


class ConsentError(Error):
    """A consent decision that could not be fully carried out. See :attr:`code`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        #: ``"not_recorded"``: nothing durable was written; a refusal holds for this process all the same.
        #: ``"overruled"``: the person has refused elsewhere since this grant was given, and the refusal counts.
        #: ``"not_fenced"``: the refusal is durable, but a sender did not release its request in time.
        #: ``"not_purged"``: the refusal is durable, but some data could not be deleted.
        self.code = code
        #: A description.
        self.detail = detail

    def __reduce__(self) -> Tuple[Type["ConsentError"], Tuple[str, str]]:
        # Workers of a pool pass their errors on pickled.
        return type(self), (self.code, self.detail)


@dataclass(frozen=True)
class Stats:
    """What became of every record since the client was made. At all times
    ``tracked + recovered + adopted == delivered + queued + held + sum(dropped.values()) + given_up``."""

    #: Records made here.
    tracked: int
    #: Records found in the client's own queue at the start.
    recovered: int
    #: Records found in queues whose owner is gone.
    adopted: int
    #: Records that the collector has accepted.
    delivered: int
    #: Records waiting to be delivered.
    queued: int
    #: Calls waiting for a decision.
    held: int
    #: Records that were dropped, by reason.
    dropped: Dict[str, int]
    #: Records that were handed over to another owner, which delivers them.
    given_up: int
    #: Bytes waiting to be delivered.
    queued_bytes: int
    #: Stored records that could not be read back. Not part of the balance.
    damaged: int
    #: Files deleted unread because consent was withdrawn. Not part of the balance.
    wiped: int
    #: Calls that were rejected, so that nothing was recorded.
    rejected: int
    #: Personal data found in calls, whether recorded or rejected, by kind: ``email``, ``card``, ``iban``, ``jwt``. Not
    #: part of the balance.
    personal_data: Dict[str, int]


@dataclass(frozen=True)
class AuditedFile:
    """A file in the folder."""

    #: Its path in the folder.
    name: str
    #: What it holds: ``"consent"`` or ``"data"``. ``"unlisted"`` is a file or folder that could not be inspected; it
    #: may hold anything.
    kind: str
    #: Its length; 0 if that is unknown.
    bytes: int


@dataclass(frozen=True)
class AuditedErasure:
    """Something that the server was asked to do as part of an objection. The proof that accompanies it is not shown."""

    #: Its id.
    id: str
    #: ``"device"`` erases everything that carries the device's id. ``"profile"`` deletes the profiles of the device and
    #: its user, and erases no events.
    kind: str
    #: The withdrawn device.
    device_id: str
    #: How far it has come: ``"requested"``, ``"accepted"``, ``"completed"`` or ``"refused"``.
    state: str
    #: The server's last response, if it was a JSON object: its text, with the receipt at the end.
    answer: Optional[str]


@dataclass(frozen=True)
class Audit:
    """Everything that the client holds now, in memory and in its folder. After an objection that is the consent record,
    any erasures that were asked for, and nothing else."""

    #: The files of this project in the folder, except for empty ones that only serve as locks.
    files: List[AuditedFile]
    #: The device's random id.
    device_id: Optional[str]
    #: The ``distinct_id`` that records carry.
    distinct_id: Optional[str]
    #: The names of the registered properties.
    super_properties: List[str]
    #: Events that are being timed.
    timers: int
    #: Records waiting to be delivered.
    queued_records: int
    #: Their bytes.
    queued_bytes: int
    #: Calls waiting for a decision.
    held_records: int
    #: Requests in progress.
    requests_in_flight: int
    #: The number of seconds until the client next acts on its own.
    next_action_in: Optional[float]
    #: Erasures that were asked for.
    outbox: List[AuditedErasure]


def copied(kind: Type[_T], record: Any) -> _T:
    """A generated record as the package's own type."""
    return kind(**{name: getattr(record, name) for name in kind.__dataclass_fields__})  # type: ignore[attr-defined]
