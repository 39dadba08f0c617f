"""The client."""

import atexit
import json
import operator
import os
import sys
import threading
import time
import weakref
from concurrent.futures import Future
from ctypes import c_char_p, c_uint8, c_uint32, c_uint64
from functools import partial
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, List, Mapping, NoReturn, Optional, Set, Type, TypeVar, Union

from . import refrain_ffi as ffi
from ._host import Host, detach
from ._listener import ConsentListener
from ._profile import Profile
from ._transport import HttpClientTransport
from ._types import (
    Audit,
    AuditedErasure,
    AuditedFile,
    ConfigError,
    Consent,
    ConsentError,
    Filter,
    Outcome,
    Signals,
    Stats,
    Subject,
    copied,
)
from ._values import MAX_CHARACTERS, Unusable, check_text, encode, too_large
from ._warnings import Warnings

_T = TypeVar("_T")
_ClientT = TypeVar("_ClientT", bound="Client")
_FORKED = "the client belongs to the parent process; create one after the fork"
_ACCEPTED = Outcome("accepted")
_HELD = Outcome("held")
_DEFAULT_CONSENT = {
    "granted": ffi.DefaultConsent.GRANTED,
    "denied": ffi.DefaultConsent.DENIED,
    "pending": ffi.DefaultConsent.PENDING,
}
_CONSENT_ERRORS: Dict[Type[BaseException], str] = {
    ffi.ConsentError.NotRecorded: "not_recorded",
    ffi.ConsentError.Overruled: "overruled",
    ffi.ConsentError.NotFenced: "not_fenced",
    ffi.ConsentError.NotPurged: "not_purged",
}
# Past UniFFI, by which a call takes six times as long.
_ENTER = ffi._UniffiLib.refrain_call
_ENTER.argtypes = (c_uint64, c_uint8, c_uint32, c_uint32, c_char_p)
_ENTER.restype = c_uint8
# The numbers of its kinds.
_TRACK, _IDENTIFY, _RESET, _REGISTER, _REGISTER_ONCE, _REGISTER_FOR_SESSION, _UNREGISTER, _SWITCH_USER = range(8)
_ALIAS, _TIME_EVENT, _PROFILE, _GROUP, _SET_GROUP, _ADD_GROUP, _REMOVE_GROUP = range(8, 15)
_ID_MERGE = {"simplified": ffi.IdMerge.SIMPLIFIED, "original": ffi.IdMerge.ORIGINAL}
_PERSONAL_DATA = {
    "off": ffi.PersonalDataMode.OFF,
    "observe": ffi.PersonalDataMode.OBSERVE,
    "redact": ffi.PersonalDataMode.REDACT,
    "reject": ffi.PersonalDataMode.REJECT,
}


class Client:
    """A client that records what happens, as far as the person's choice allows.

    Calls that record never raise and never wait; they return what became of the call. One client is enough for a
    process, may be used from any thread, and shares its folder with other processes. It cannot be copied or pickled, and
    belongs to the main interpreter.

    A forked process needs a client of its own: in the child the parent's client rejects every call (``forked``),
    because its threads do not survive the fork. Create clients after the fork, for example in a web server's worker.
    A child that lives on shares the parent's file locks: if the parent is killed, other processes take over what it
    had not sent only once the child has ended too.

    Args:
        token: the project's token.
        endpoint: where the collector is, for example ``http://127.0.0.1:8787``. Default:
            ``https://api.mixpanel.com``.
        data_dir: the folder that stores the person's choice and undelivered records. Without one nothing survives
            the process, nothing is collected until :meth:`opt_in` is called, and :meth:`opt_out` cannot ask for
            erasure.
        default_consent: what applies until the person decides: ``"pending"`` keeps calls in memory, ``"granted"``
            collects, ``"denied"`` does not.
        honor_gpc: whether Global Privacy Control (see :meth:`signals`) counts as a "no" until the person decides.
        honor_dnt: the same for Do Not Track.
        flush_interval: how long records are gathered before they are sent, in seconds.
        batch_size: the maximum number of records in one request.
        queue_limit_bytes: the maximum size of the queue. Beyond it the oldest records are dropped, and counted.
        queue_limit_age: the maximum age of queued records, in seconds.
        id_merge: how the project merges ids, ``"simplified"`` or ``"original"``.
        automatic_properties: what every event carries, such as the app's version. An event's own properties take
            precedence, and so do registered ones. They come from the app at every start, are kept with no profile, and
            are not shown to ``filter``; ``deny_list`` and ``personal_data`` apply. As they stand in every event,
            whoever it is about, nothing that tells people apart belongs here.
        deny_list: names of properties that are never recorded, no matter who sets them. Nested properties are not
            inspected.
        personal_data: what to do about e-mail addresses, card numbers, IBANs and JSON web tokens in what is recorded:
            ``"off"`` does nothing, ``"observe"`` counts them (see :class:`Stats`), ``"redact"`` counts them and
            records ``[email]`` and the like in their place, ``"reject"`` counts them and rejects the call. Properties,
            profiles and groups are inspected; event names and user ids are not.
        personal_data_allow: names of properties and kinds of groups that may contain such data on purpose, such as
            ``["$email"]``.
        signals: signals that are known at the start, before anything is read or written. For later ones there is
            :meth:`signals`.
        filter: a function that sees properties just before they are recorded, including registered ones, updates of
            profiles, and calls that are held until the person decides. It does not see event names, the ids of users
            and groups (for which there is ``deny_list``), or what an earlier client has registered. It is called on
            the recording thread with what the properties belong to (see :class:`Subject`) and a dictionary of its own,
            and returns what to record instead. If it returns ``None`` or raises, the call is rejected (``filtered``).
        on_consent: a function that is called with the :class:`Consent` once the folder has been read, and again
            whenever the decision or the verdict changes, here or in another process. It runs on a thread of its own,
            for one change at a time, and may call the client. All clients of a project on one folder share that of the
            first.
        transport: replaces the built-in HTTP client, which uses no proxy, whatever the environment says. All clients
            of a project on one folder share the transport of the first; a later client's is not used, and the log says
            so.

    Raises:
        ConfigError: if a setting cannot work.
    """

    def __init__(
        self,
        token: str,
        *,
        endpoint: Optional[str] = None,
        data_dir: Union[str, "os.PathLike[str]", None] = None,
        default_consent: str = "pending",
        honor_gpc: bool = True,
        honor_dnt: bool = True,
        flush_interval: Optional[float] = None,
        batch_size: Optional[int] = None,
        queue_limit_bytes: Optional[int] = None,
        queue_limit_age: Optional[float] = None,
        id_merge: str = "simplified",
        automatic_properties: Optional[Mapping[str, Any]] = None,
        deny_list: Iterable[str] = (),
        personal_data: str = "off",
        personal_data_allow: Iterable[str] = (),
        signals: Signals = Signals(),
        filter: Optional[Filter] = None,
        on_consent: Optional[Callable[[Consent], object]] = None,
        transport: Optional[ffi.HttpTransport] = None,
    ) -> None:
        self._process = os.getpid()
        self._warnings = Warnings()
        if _is_patched():
            self._warnings.say("gevent or eventlet has replaced Python's threads: this client may be unable to send")
        if filter is not None and not callable(filter):
            raise ConfigError(f"filter must be a function, not {type(filter).__name__}")
        self._filter = filter
        if on_consent is not None and not callable(on_consent):
            raise ConfigError(f"on_consent must be a function, not {type(on_consent).__name__}")
        try:
            config = ffi.Config(
                token=_setting("token", token),
                endpoint=None if endpoint is None else _setting("endpoint", endpoint),
                data_dir=None if data_dir is None else _folder("data_dir", data_dir),
                default_consent=_word(_DEFAULT_CONSENT, "default_consent", default_consent),
                honor_gpc=_flag("honor_gpc", honor_gpc),
                honor_dnt=_flag("honor_dnt", honor_dnt),
                flush_interval=_seconds("flush_interval", flush_interval),
                batch_size=_count("batch_size", batch_size, 32),
                queue_limit_bytes=_count("queue_limit_bytes", queue_limit_bytes, 64),
                queue_limit_age=_seconds("queue_limit_age", queue_limit_age),
                id_merge=_word(_ID_MERGE, "id_merge", id_merge),
                automatic_properties=_properties("automatic_properties", automatic_properties),
                deny_list=_names("deny_list", deny_list),
                library="refrain-python",
                personal_data=_word(_PERSONAL_DATA, "personal_data", personal_data),
                personal_data_allow=_names("personal_data_allow", personal_data_allow),
                signals=_signals(signals),
            )
            host = Host(
                HttpClientTransport() if transport is None else _transport(transport),
                None if on_consent is None else ConsentListener(on_consent),
            )
            self._native = ffi.Client(config, host)
        except ffi.ConfigError as error:
            raise ConfigError(error.reason) from None
        except ConfigError:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"a setting has an unusable value: {error}") from None
        used = weakref.ref(host)
        del host
        if used() is None:
            for setting, value in (("transport", transport), ("on_consent", on_consent)):
                if value is not None:
                    self._warnings.say(f"another client is open on this folder: this one's {setting} is not used")
        self._door = self._native.door()
        # Also for a client that nobody closes, when it is collected; those that are left when the interpreter ends, all at once.
        weakref.finalize(self, _end, self._process, self._native, _AT_EXIT).atexit = False
        _CLIENTS.add(self)
        _PROCESSES.add(self._process)

    def track(self, name: str, properties: Optional[Mapping[str, Any]] = None) -> Outcome:
        """Records an event."""
        return self._record(
            lambda: self._call(_TRACK, _name(name), self._kept({} if properties is None else properties, "event", name))
        )

    def identify(self, user_id: str) -> Outcome:
        """From now on the person is known as this user."""
        return self._record(lambda: self._call(_IDENTIFY, _text(user_id, "the user id", "invalid_user"), ""))

    def reset(self) -> Outcome:
        """Another person from now on: a new device id, no user, no super properties. The choice stays."""
        return self._record(lambda: self._call(_RESET, "", ""))

    def register(self, properties: Mapping[str, Any]) -> Outcome:
        """Adds properties to every later event. An event's own properties take precedence."""
        return self._record(lambda: self._call(_REGISTER, "", self._kept(properties, "registered")))

    def register_once(self, properties: Mapping[str, Any]) -> Outcome:
        """Like :meth:`register`, but only for properties that are not registered yet."""
        return self._record(lambda: self._call(_REGISTER_ONCE, "", self._kept(properties, "registered")))

    def register_for_session(self, properties: Mapping[str, Any]) -> Outcome:
        """Like :meth:`register`, but in memory only."""
        return self._record(lambda: self._call(_REGISTER_FOR_SESSION, "", self._kept(properties, "registered")))

    def unregister(self, name: str) -> Outcome:
        """Forgets a property that was registered."""
        return self._record(lambda: self._call(_UNREGISTER, _name(name), ""))

    def time_event(self, name: str) -> Outcome:
        """Starts a timer: the next event of this name carries ``$duration``, the number of seconds since this call."""
        return self._record(lambda: self._call(_TIME_EVENT, _name(name), ""))

    def switch_user(self, user_id: str) -> Outcome:
        """Another known person uses this device from now on. It gets a new device id, so that the two people are never
        joined, no super properties, and this user. The choice stays."""
        return self._record(lambda: self._call(_SWITCH_USER, _text(user_id, "the user id", "invalid_user"), ""))

    def alias(self, alias: str) -> Outcome:
        """Gives the current person a second name. It only has an effect if ``id_merge`` is ``"original"``."""
        return self._record(lambda: self._call(_ALIAS, _text(alias, "the alias", "invalid_user"), ""))

    def profile(self) -> Profile:
        """The profile of the person who is current at each of its calls."""
        return Profile(partial(self._update, _PROFILE, {}))

    def group(self, key: str, group_id: str) -> Profile:
        """The profile of a group, such as ``group("company", "acme")``."""
        return Profile(partial(self._update, _GROUP, {"$group_key": key, "$group_id": group_id}))

    def set_group(self, key: str, group_id: str) -> Outcome:
        """Associates later events with this group, and with no other of the same kind."""
        return self._membership(_SET_GROUP, key, group_id)

    def add_group(self, key: str, group_id: str) -> Outcome:
        """Associates later events with this group too."""
        return self._membership(_ADD_GROUP, key, group_id)

    def remove_group(self, key: str, group_id: str) -> Outcome:
        """No longer associates later events with this group."""
        return self._membership(_REMOVE_GROUP, key, group_id)

    def opt_out(self, erase: bool = False, delete_profile: bool = False) -> None:
        """The person objects. When this returns, the choice is durable, what was collected but not sent has been deleted,
        and no request with records starts any more, from this process or any other on the same folder.

        Args:
            erase: also ask the server to erase what this device has sent under its current id. Ids from before a
                :meth:`reset`, a :meth:`switch_user` or an earlier objection are forgotten. Where a signal or a default
                of "no" has already purged the device, there is no id to name, and the server is not asked. This needs
                a ``data_dir``: the request stays in the consent record until it is answered, and without a folder the
                server is not asked.
            delete_profile: also ask the server to delete the profiles of this device and its user. This erases no
                events, and needs a ``data_dir`` too.

        Raises:
            ConsentError: see its ``code``; without a ``data_dir`` always ``not_recorded``. Even so, nothing is
                collected or sent by this process any more.
        """
        self._decide(lambda: _interruptibly(lambda: self._native.opt_out(erase, delete_profile)))

    def opt_in(self) -> None:
        """The person agrees. Nothing from before an objection comes back, and the device gets a new id.

        Raises:
            ConsentError: the choice could not be written; unless a refusal is on record, it holds for this process all
                the same. Without a ``data_dir``, or over a record that cannot be read (which is left as it is), it
                also holds for this process only, but nothing is raised.
        """
        self._decide(lambda: self._native.opt_in())

    def consent(self) -> Consent:
        """Where consent stands. Reading changes nothing. A choice made in another process shows here within a second; it
        applies at once to whatever is sent. In a forked child and after :meth:`close` the decision is the one in the
        folder; if a forked child cannot find one, it is an objection."""
        return copied(Consent, self._native.consent())

    def has_opted_out(self) -> bool:
        """Whether the person has objected."""
        return self.consent().decision == "denied"

    def signals(self, *, gpc: bool = False, dnt: bool = False, host: bool = False) -> None:
        """Sets what the environment says, replacing what it said before. True means "do not track". The person's own
        choice takes precedence. A web backend passes on ``Sec-GPC`` and ``DNT``; ``host`` is the app's own setting.

        Raises:
            ConfigError: if one of them is neither True nor False, such as the text of a header.
        """
        self._native.signals(_flag("gpc", gpc), _flag("dnt", dnt), _flag("host", host))

    def stats(self) -> Stats:
        """Counts what became of every record since the client was made."""
        return copied(Stats, self._native.stats())

    def audit(self) -> Audit:
        """Lists everything that the client holds now, in the folder and in memory. After an objection that is the
        consent record, any erasures that were asked for, and nothing else."""
        audit = self._native.audit()
        audit.files = [copied(AuditedFile, file) for file in audit.files]
        audit.outbox = [copied(AuditedErasure, erasure) for erasure in audit.outbox]
        return copied(Audit, audit)

    @property
    def distinct_id(self) -> Optional[str]:
        """The ``distinct_id`` that records carry; None while nothing may be collected."""
        distinct_id: Optional[str] = self._native.distinct_id()
        return distinct_id

    @property
    def device_id(self) -> Optional[str]:
        """The device's random id; None while nothing may be collected."""
        device_id: Optional[str] = self._native.device_id()
        return device_id

    def flush(self, timeout: float = 10.0) -> bool:
        """Sends what is queued, and waits for it. Returns True if everything that was queued at the call left the queue
        in time: each record was delivered, or refused by the server and dropped; :meth:`stats` tells which. It is also
        True if nothing was queued, as before a decision: held calls are not queued. Returns False if the time was up
        or a request failed; what is left is kept."""
        seconds = _timeout(timeout)
        return not self._forked() and _interruptibly(lambda: self._native.flush(seconds))

    def close(self, timeout: float = 5.0) -> bool:
        """Sends what is queued, and what an objection has asked the server for, waiting at most ``timeout`` seconds, and
        ends the client. What could not be sent is kept in the folder for next time. Returns True as :meth:`flush`
        does, and False for a client that was already closed."""
        seconds = _timeout(timeout)
        return _interruptibly(lambda: _end(self._process, self._native, seconds))

    def __enter__(self: _ClientT) -> _ClientT:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def _update(self, kind: int, of: Mapping[str, str], operators: Mapping[str, Any]) -> Outcome:
        return self._record(lambda: self._call(kind, "", self._kept(operators, "profile", of=of)))

    def _membership(self, kind: int, key: str, group_id: str) -> Outcome:
        def call() -> int:
            name, text = (
                _text(key, "the group's key", "invalid_group"),
                _text(group_id, "the group's id", "invalid_group"),
            )
            return self._call(kind, name, text)

        return self._record(call)

    def _kept(
        self, properties: Mapping[str, Any], kind: str, event: Optional[str] = None, of: Mapping[str, str] = {}
    ) -> str:
        """The JSON text of what is to be recorded of properties, and of whose they are, which is not for the filter."""
        if self._filter is None:
            return encode({**properties, **of} if of else properties)
        text = encode(properties)
        try:
            kept = self._filter(Subject(kind, event), json.loads(text))
        except Exception as error:  # what it cannot judge is not recorded
            name = type(error).__name__
            self._warnings.say(f"the filter that this app has set raises {name}; nothing of what it raises for is recorded")
            raise Unusable("filtered", f"the filter that this app has set has raised {name}") from None
        if kept is None:
            raise Unusable("filtered", "the app's own filter rejected it")
        return encode({**kept, **of} if of and isinstance(kept, Mapping) else kept)

    def _call(self, kind: int, name: str, text: str) -> int:
        size = len(name) if name.isascii() else len(name.encode())
        both = (name + text).encode()
        code: int = _ENTER(self._door, kind, size, len(both), both)
        return code

    def _record(self, call: Callable[[], int]) -> Outcome:
        if self._forked():
            self._warnings.say(_FORKED)
            return Outcome("rejected", "forked", _FORKED)
        try:
            code = call()
            if code == 0:
                return _ACCEPTED
            outcome = ffi.outcome(code)
        except Unusable as error:
            self._native.count_rejected()
            return Outcome("rejected", error.reason, error.hint)
        except Exception as error:  # never into the app
            return Outcome("rejected", "internal", f"the client failed: {type(error).__name__}")
        if outcome.is_HELD():
            return _HELD
        return Outcome("rejected", outcome.reason, outcome.hint)

    def _decide(self, call: Callable[[], None]) -> None:
        if self._forked():
            raise ConsentError("not_recorded", _FORKED)
        try:
            call()
        except ffi.ConsentError as error:
            raise ConsentError(_CONSENT_ERRORS[type(error)], error.reason) from None

    def _forked(self) -> bool:
        return os.getpid() != self._process


def _refuse_to_copy(self: object) -> NoReturn:
    name = type(self).__name__
    raise TypeError(f"a {name} cannot be copied or pickled: pass it on as it is, and make another one in another process")


# A copy of what stands for something native would let go of it while the original still uses it.
for _native in (Client, ffi.Client, ffi.HttpRequest):
    _native.__reduce__ = _refuse_to_copy  # type: ignore[method-assign]


def _renew_lock() -> None:
    """The lock around the transports that the library knows. The garbage collector may end a client on a thread that has
    it, and so takes it again; and a forked child never gets back the one of a parent's thread."""
    ffi._UniffiFfiConverterTypeHttpTransport._handle_map._lock = threading.RLock()


_renew_lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)

_AT_EXIT = 1.0
"""What clients that were not closed get at exit to send what is queued, in seconds; all of them together."""
_CLIENTS: "weakref.WeakSet[Client]" = weakref.WeakSet()
_PROCESSES: Set[int] = set()
"""Those that made a client: a forked child has none of its parent's threads."""


@atexit.register
def _detach() -> None:
    """Before the interpreter goes, and its threads with it: a thread of the library's that called into it afterwards
    would take the process down. Threads may outlive their client, and a closed client's transport may be another's."""
    try:
        _end_all()
    finally:  # whoever interrupts that
        if os.getpid() in _PROCESSES:
            detach()


def _end_all() -> None:
    clients = [client for client in _CLIENTS if not client._forked()]
    until = time.monotonic() + _AT_EXIT
    # All begin at once: one whose collector hangs is not to take the others' time.
    for client in clients:
        client._native.flush(0.0)
    for client in clients:
        _end(client._process, client._native, max(0.0, until - time.monotonic()))


def _end(process: int, native: ffi.Client, timeout: float) -> bool:
    """Brings the client's threads home. Before the interpreter goes, because they must not call into it afterwards."""
    return os.getpid() == process and native.shutdown(timeout)


def _interruptibly(wait: Callable[[], _T]) -> _T:
    """Waits in such a way that signals are served meanwhile, which only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        return wait()
    ended: "Future[_T]" = Future()

    def run() -> None:
        try:
            ended.set_result(wait())
        except BaseException as error:
            ended.set_exception(error)

    try:
        threading.Thread(target=run, name="refrain-wait", daemon=True).start()
    except RuntimeError:
        return wait()  # at the end of the interpreter there are no new threads
    return ended.result()


def _is_patched() -> bool:
    """Whether threads are none, for the modules that this package uses."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    return bool(gevent and gevent.is_module_patched("threading") or eventlet and eventlet.is_monkey_patched("thread"))


def _name(name: Any) -> str:
    return _text(name, "the name", "invalid_name")


def _text(value: Any, what: str, reason: str) -> str:
    if isinstance(value, str) and len(value) > MAX_CHARACTERS:
        raise too_large()
    check_text(value, what, reason)
    text: str = value
    return text


def _setting(setting: str, value: Any) -> str:
    try:
        check_text(value, setting, "")
    except Unusable as error:
        raise ConfigError(error.hint) from None
    text: str = value
    return text


def _folder(setting: str, path: Any) -> str:
    try:
        path = os.fspath(path)
    except TypeError:
        pass  # what it is stands in the error
    return _setting(setting, path)


def _flag(setting: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{setting} must be True or False, not {value!r}")
    return value


def _seconds(setting: str, value: Any) -> Optional[float]:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{setting} must be a number of seconds, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"{setting} is too large") from None


def _timeout(value: Any) -> float:
    seconds = _seconds("timeout", value)
    if seconds is None:
        raise ConfigError("timeout must be a number of seconds, not None")
    return seconds


def _count(setting: str, value: Any, bits: int) -> Optional[int]:
    if value is None:
        return None
    if isinstance(value, bool):
        raise ConfigError(f"{setting} must be an int, not {value!r}")
    try:
        count = operator.index(value)
    except TypeError:
        raise ConfigError(f"{setting} must be an int, not {value!r}") from None
    if not 0 <= count < 1 << bits:
        raise ConfigError(f"{setting} must be 0 or more, and less than 2**{bits}")
    return count


def _transport(transport: Any) -> ffi.HttpTransport:
    if not isinstance(transport, ffi.HttpTransport):
        raise ConfigError(f"transport must be a refrain.HttpTransport, not {type(transport).__name__}")
    return transport


def _properties(setting: str, properties: Optional[Mapping[str, Any]]) -> Optional[str]:
    if properties is None:
        return None
    try:
        return encode(properties, setting)
    except Unusable as error:
        # What is too large is not said of a place.
        raise ConfigError(error.hint if setting in error.hint else f"{setting}: {error.hint}") from None


def _names(setting: str, names: Iterable[str]) -> List[str]:
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise ConfigError(f"{setting} must be a list of names, not {names!r}")
    return [_setting(f"{setting}[{place}]", name) for place, name in enumerate(names)]


def _signals(signals: Any) -> ffi.Signals:
    if not isinstance(signals, Signals):
        raise ConfigError(f"signals must be refrain.Signals(…), not {signals!r}")
    return ffi.Signals(**{name: _flag(f"signals.{name}", value) for name, value in vars(signals).items()})


def _word(words: Mapping[str, Any], setting: str, word: Any) -> Any:
    if not isinstance(word, str) or word not in words:
        raise ConfigError(f"{setting} must be one of {', '.join(map(repr, words))}, not {word!r}")
    return words[word]
