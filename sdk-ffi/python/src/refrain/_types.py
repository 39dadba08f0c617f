"""What the client tells."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True)
class Outcome:
    """What became of a call. True in a condition unless it was rejected."""

    #: ``"accepted"``: recorded. ``"held"``: kept in memory until the person decides, or until the folder has been read, a
    #: moment after the start. ``"rejected"``: not recorded.
    status: str
    #: Why it was rejected, a stable word: ``denied``, ``empty_name``, ``not_finite``, …
    reason: Optional[str] = None
    #: One sentence that says what to do about it.
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
    #: One sentence that a person can read.
    sentence: str


@dataclass(frozen=True)
class Signals:
    """What the environment says. True means "do not track"; a choice of the person's outranks it."""

    #: Global Privacy Control, as a request's ``Sec-GPC``.
    gpc: bool = False
    #: Do Not Track, as a request's ``DNT``.
    dnt: bool = False
    #: The app's own setting.
    host: bool = False


@dataclass(frozen=True)
class Subject:
    """What the properties that a filter sees belong to."""

    #: ``"event"``; ``"registered"``: they go with every later event; ``"profile"``: operators on a profile or on a
    #: group's profile, such as ``{"$set": {…}}``.
    kind: str
    #: The event's name.
    event: Optional[str] = None


#: Says what is recorded in place of some properties; ``None``: nothing is.
Filter = Callable[[Subject, Dict[str, Any]], Optional[Mapping[str, Any]]]


class Error(Exception):
    """The base of what this package raises. Recording calls raise nothing."""


class ConfigError(Error, ValueError):
    """A setting that cannot work."""


class ConsentError(Error):
    """A decision that did not end as it should. See :attr:`code`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        #: ``"not_recorded"``: nothing durable was written; a refusal holds for this process all the same.
        #: ``"overruled"``: a refusal was given elsewhere after this grant, and counts.
        #: ``"not_fenced"``: the refusal is durable, but a sender did not let go in time.
        #: ``"not_purged"``: the refusal is durable, but some data could not be deleted.
        self.code = code
        #: In words.
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
    #: Records that the collector has.
    delivered: int
    #: Records waiting to be delivered.
    queued: int
    #: Calls waiting for a decision.
    held: int
    #: Records that were dropped, by reason.
    dropped: Dict[str, int]
    #: Records that another owner delivers.
    given_up: int
    #: Bytes waiting to be delivered.
    queued_bytes: int
    #: Stored records that could not be read again. Not part of the balance.
    damaged: int
    #: Files deleted unread because consent was withdrawn. Not part of the balance.
    wiped: int
    #: Calls refused, so that nothing was recorded.
    rejected: int
    #: Personal data found in calls that were recorded or refused, by kind: ``email``, ``card``, ``iban``, ``jwt``. Not
    #: part of the balance.
    personal_data: Dict[str, int]


@dataclass(frozen=True)
class AuditedFile:
    """A file in the folder."""

    #: Its path in the folder.
    name: str
    #: What it holds: ``"consent"`` or ``"data"``. ``"unlisted"`` is a file or folder that could not be looked at: it may
    #: hold anything.
    kind: str
    #: Its length; 0 where that cannot be told.
    bytes: int


@dataclass(frozen=True)
class AuditedErasure:
    """Something that the server was asked for with an objection. The proof that goes with it is not shown."""

    #: Its id.
    id: str
    #: ``"device"``: to erase everything that carries the device's id. ``"profile"``: to delete the profiles of the
    #: device and its user, which erases no event.
    kind: str
    #: The withdrawn device.
    device_id: str
    #: How far it has come: ``"requested"``, ``"accepted"``, ``"completed"`` or ``"refused"``.
    state: str
    #: What the server has said last, where that is a JSON object: its text, with the receipt at the end.
    answer: Optional[str]


@dataclass(frozen=True)
class Audit:
    """Everything that the client holds now, in memory and in its folder. After an objection: the consent record,
    erasures that were asked for, and nothing else."""

    #: The files of this project in the folder, but for empty ones that only serve as locks.
    files: List[AuditedFile]
    #: The device's random id.
    device_id: Optional[str]
    #: Whom the records are about.
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
    #: Requests under way.
    requests_in_flight: int
    #: In how many seconds the client next acts by itself.
    next_action_in: Optional[float]
    #: Erasures that were asked for.
    outbox: List[AuditedErasure]


def copied(kind: Type[_T], record: Any) -> _T:
    """A generated record as the package's own type."""
    return kind(**{name: getattr(record, name) for name in kind.__dataclass_fields__})  # type: ignore[attr-defined]
