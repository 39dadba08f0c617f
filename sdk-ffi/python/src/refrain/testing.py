"""A test kit for apps: checks that the right events leave, and that after a "no" nothing does.

>>> from refrain.testing import TestClient
>>> with TestClient() as client:  # or give it to the app in place of a Client
...     outcome = client.track("Bought", {"item": "umbrella", "price": 12.5})
...     client.expect_nothing_sent()  # nobody has decided yet
...     client.opt_in()
...     event = client.expect_event("Bought", {"item": "umbrella"})
...     client.opt_out()
...     outcome = client.track("Bought", {"item": "scarf"})
...     client.expect_nothing_sent()
...     client.expect_nothing_kept()
"""

import json
import shutil
import tempfile
import threading
import weakref
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Callable, Dict, List, Mapping, NoReturn, Optional

from ._client import Client
from .refrain_ffi import HttpAnswer, HttpRequest, HttpTransport

__all__ = ["SentRequest", "TestClient"]

_ERASURES = "/refrain/v1/erasures"
#: Longer than everything takes that has not gone wrong, in seconds.
_HANG = 60.0


@dataclass(frozen=True)
class SentRequest:
    """A request whose body has left the client, whether or not the collector took it."""

    #: Where it went.
    url: str
    #: Its body; None if it had none.
    body: Any
    #: The status with which the collector answered.
    status: int


class TestClient(Client):
    """A client for tests, with its own data folder and collector. It is a real :class:`Client`: the engine, the store on
    disk and the threads are the ones that ship. Only the collector is in memory, and answers as it is told.

    Time is real. No expectation waits for an interval: queued records are sent at once. A retry takes as long as it
    takes in an app.

    At the end of a ``with`` statement, the client is closed and the folder is deleted.

    Args:
        token: the project's token.
        settings: those of :class:`Client`. ``endpoint``, ``data_dir`` and ``transport`` are always those of the
            test.
    """

    #: To pytest, it is no class with tests.
    __test__ = False

    def __init__(self, token: str = "test-token", **settings: Any) -> None:
        folder = tempfile.mkdtemp(prefix="refrain-test-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._folder = folder
        self._collector = _Collector()
        self._token = token
        self._settings = {
            **settings,
            "endpoint": "https://collector.test",
            "data_dir": folder,
            "transport": self._collector,
        }
        self._start()

    def restart(self) -> None:
        """Ends the client without another attempt to deliver, and starts it again on the same folder, as though the app's
        process had ended and another one begun. The collector stays. The app can keep using this object."""
        self._collector.is_closed = True
        self.close(_HANG)
        self._collector.is_closed = False
        self._start()

    def answer_next(self, status: int, retry_after: Optional[int] = None) -> None:
        """Sets the collector's answer to the next request that has none set yet: a status, and ``Retry-After`` in
        seconds. With 2xx it takes the records. Call it several times for several requests in a row."""
        self._collector.told.append((status, retry_after))

    def collector_away(self, away: bool) -> None:
        """Sets whether the collector is unreachable, so that no request leaves."""
        self._collector.is_away = away

    @property
    def requests(self) -> List[SentRequest]:
        """Every request that has left so far, including those of the erasure outbox, whether or not the collector took
        it."""
        return list(self._collector.requests)

    @property
    def events(self) -> List[Dict[str, Any]]:
        """Every event that the collector has taken so far, in order, as it was sent: ``event`` and ``properties``."""
        return [record.value for record in self._collector.of("event")]

    def expect_event(self, name: str, properties: Mapping[str, Any] = {}, timeout: float = 10.0) -> Dict[str, Any]:
        """Expects an event of this name that has at least these properties, and returns the first one that the collector
        has taken and no earlier expectation has matched. If there is none yet, queued records are sent first.
        Dictionaries among the properties may have additional members too; everything else has to be equal.

        Args:
            timeout: how long to wait, in seconds, while something is queued that could be the event.

        Raises:
            AssertionError: if there is none. The message lists what has arrived, and describes the state of consent and
                of the queue.
        """
        found = self._expect(
            "event", lambda it: it["event"] == name and _contains(it["properties"], properties), timeout
        )
        if found is not None:
            return found
        text = f"no event {name!r}{f' with {dict(properties)!r}' if properties else ''} has arrived"
        for record in self._collector.of("event"):
            if record.value["event"] == name:
                differences = _differences(record.value["properties"], properties)
                text += f"\n  one differed: {differences}" if differences else "\n  one was the same, and expected before"
        self._fail(text)

    def expect_profile(self, members: Mapping[str, Any], timeout: float = 10.0) -> Dict[str, Any]:
        """Expects an update of a person's or a group's profile that has at least these members, such as
        ``{"$set": {"plan": "pro"}}``. Otherwise like :meth:`expect_event`."""
        found = self._expect("profile", lambda it: _contains(it, members), timeout)
        if found is not None:
            return found
        updates = "".join(f"\n  update: {record}" for record in self._collector.of("profile"))
        self._fail(f"no profile update with {dict(members)!r} has arrived{updates}")

    def expect_nothing_sent(self) -> None:
        """Expects that nothing has been sent since the last expectation (or the beginning); queued records are sent
        first. Erasures, and deletions of profiles with an objection, do not count.

        Raises:
            AssertionError: if something was sent. The message lists it.
        """
        self.flush(_HANG)
        sent = [request for request in self._collector.unseen() if not _is_wish(request)]
        if sent:
            self._fail("something has left" + "".join(f"\n  {request.url}: {request.body}" for request in sent))

    def expect_nothing_kept(self) -> None:
        """Expects that the client holds nothing but the record of the person's choice and the erasure outbox: no ids, no
        properties and no records, in memory or on disk.

        Raises:
            AssertionError: if it holds more. The message lists it.
        """
        audit = self.audit()
        kept = [f"the file {file.name}, {file.bytes} bytes" for file in audit.files if file.kind != "consent"]
        kept += [f"the super property {name!r}" for name in audit.super_properties]
        for what, value in {
            "device id": audit.device_id,
            "distinct_id": audit.distinct_id,
            "running timers": audit.timers,
            "records that wait for a decision": audit.held_records,
            "records that wait to be delivered": audit.queued_records,
            # Not requests under way: with this collector only those for erasures last.
        }.items():
            if value:
                kept.append(f"{what}: {value}")
        if kept:
            self._fail("something is kept" + "".join("\n  " + item for item in kept))

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        super().__init__(self._token, **self._settings)
        # Waits for the folder: what becomes of the first calls is not to be a matter of luck.
        self.consent()

    def _expect(
        self, kind: str, fits: Callable[[Dict[str, Any]], bool], timeout: float
    ) -> Optional[Dict[str, Any]]:
        until = monotonic() + timeout
        found = self._collector.expect(kind, fits)
        while found is None:
            left = until - monotonic()
            self.flush(max(left, 0))
            arrived = len(self._collector.requests)
            found = self._collector.expect(kind, fits)
            if found is not None or left <= 0 or self.stats().queued == 0:
                break
            # A retry is on its way, or a pause that the collector has asked for.
            self._collector.wait(arrived, until - monotonic())
        return found

    def _fail(self, text: str) -> NoReturn:
        consent, stats = self.consent(), self.stats()
        arrived = ", ".join(map(str, self._collector.of("event"))) or "no event"
        dropped = "".join(f", {count} dropped ({reason})" for reason, count in stats.dropped.items() if count)
        text += (
            f"\n  arrived: {arrived}"
            f"\n  consent: {consent.sentence}"
            f"\n  records: {stats.tracked} made, {stats.delivered} delivered, {stats.queued} queued, {stats.held} held,"
            f" {stats.rejected} refused{dropped}"
        )
        if self._collector.requests:
            text += f"\n  last answer of the collector: {self._collector.requests[-1].status}"
        if self._collector.is_away:
            text += "\n  the collector is away: collector_away(False) brings it back"
        if consent.verdict != "allow":
            text += f"\n  {'what is held leaves after' if consent.verdict == 'hold' else 'nothing is recorded before'} opt_in()"
        raise AssertionError(text)


@dataclass
class _Record:
    """Something that the collector has taken."""

    kind: str
    value: Dict[str, Any]
    #: A test has expected it already.
    expected: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        what = self.value["event"] if self.kind == "event" else self.value
        return f"{what}{' (expected before)' if self.expected else ''}"


class _Collector(HttpTransport):
    """A collector in memory. It keeps what it takes, and answers as a real one does or as it is told."""

    def __init__(self) -> None:
        self.requests: List[SentRequest] = []
        #: In the order in which they came.
        self._records: List[_Record] = []
        #: Requests that were there at the last expectation.
        self._seen = 0
        self._erasures = 0
        self.told: List[Any] = []
        self.is_away = False
        #: Between two processes.
        self.is_closed = False
        self._arrival = threading.Condition()

    def send(self, request: HttpRequest) -> HttpAnswer:
        if self.is_away or self.is_closed:
            return HttpAnswer.UNREACHABLE()
        text = request.open()
        if text is None:
            return HttpAnswer.UNREACHABLE()
        with self._arrival:
            # Noted before it counts as started: a withdrawal that waits for it finds it in the list.
            answer = self._take(request.url(), json.loads(text) if text else None)
            self._arrival.notify_all()
        request.started()
        return answer

    def cancel(self) -> None:
        pass  # no request lasts

    def wait(self, after: int, timeout: float) -> None:
        """Waits until more than so many requests have come, so many seconds at most."""
        with self._arrival:
            self._arrival.wait_for(lambda: len(self.requests) > after, max(timeout, 0))

    def of(self, kind: str) -> List[_Record]:
        """What was taken of a kind."""
        return [record for record in self._records if record.kind == kind]

    def expect(self, kind: str, fits: Callable[[Dict[str, Any]], bool]) -> Optional[Dict[str, Any]]:
        """The first record that fits and was not expected before."""
        with self._arrival:
            for record in self.of(kind):
                if not record.expected and fits(record.value):
                    record.expected = True
                    self._seen = len(self.requests)
                    return record.value
        return None

    def unseen(self) -> List[SentRequest]:
        """The requests since the last expectation, which this is one of."""
        with self._arrival:
            sent = self.requests[self._seen :]
            self._seen = len(self.requests)
        return sent

    def _take(self, url: str, body: Any) -> HttpAnswer:
        retry_after = None
        if self.told:
            status, retry_after = self.told.pop(0)
            answer = '{"error":null,"status":1}' if 200 <= status < 300 else '{"error":"as told by the test","status":0}'
        elif url.endswith(_ERASURES):
            status, answer = 202, json.dumps(self._erase(body["device_id"]))
        else:
            status, answer = 200, '{"error":null,"status":1}'
        self.requests.append(SentRequest(url, body, status))
        if 200 <= status < 300 and isinstance(body, list):
            kind = "event" if "/track/" in url else "profile"
            self._records += [_Record(kind, value) for value in body]
        return HttpAnswer.RESPONSE(status, None if retry_after is None else str(retry_after), answer)

    def _erase(self, device: str) -> Dict[str, Any]:
        """Done at once: a test would have to wait for it otherwise."""
        self._erasures += 1
        events = sum(record.value["properties"].get("$device_id") == device for record in self.of("event"))
        return {"id": str(self._erasures), "state": "completed", "receipt": {"events": events}}


def _is_wish(request: SentRequest) -> bool:
    """Whether a person has asked for it with an objection. Such a deletion names the device's own profile, as no call of an
    app does; the user's goes with it."""
    if _ERASURES in request.url:
        return True
    return all("$delete" in update for update in request.body) and any("$ignore_alias" in update for update in request.body)


def _contains(value: Any, wanted: Any) -> bool:
    """Whether a value is what is wanted; a dictionary may hold more."""
    if isinstance(value, Mapping) and isinstance(wanted, Mapping):
        return all(name in value and _contains(value[name], part) for name, part in wanted.items())
    # 1 and True are equal to Python, and not to JSON.
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _differences(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name!r} is {value[name]!r}, not {part!r}" if name in value else f"{name!r} is missing"
        for name, part in wanted.items()
        if name not in value or not _contains(value[name], part)
    )
