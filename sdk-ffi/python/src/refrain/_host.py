"""A client's transport, as the core calls it."""

import os
import threading
import weakref
from queue import SimpleQueue
from typing import Any, Optional, Set

from . import refrain_ffi as ffi
from ._listener import ConsentListener
from ._types import Consent, copied
from ._warnings import LOG, Warnings

_CANCELLING = 1.0
"""What a transport gets to break off, in seconds; it is not to wait for anything."""


class Host(ffi.HttpTransport):
    """A transport as the core calls it, with the log of this package.

    The core calls :meth:`send` on a thread of its own. The transport runs on one of Python's, so that :meth:`cancel` can
    bring the core's thread home out of one that hangs: a thread of the core's must not be in Python when the interpreter
    ends.
    """

    def __init__(self, transport: ffi.HttpTransport, listener: Optional[ConsentListener] = None) -> None:
        self._transport = transport
        self._listener = listener
        self._warnings = Warnings()
        self._sending: Optional[_Sending] = None
        self._worker: Optional[_Worker] = None
        # At once, not at the first request: that may be the one at the end of the interpreter, and from Python 3.12 on
        # there are no new threads then.
        try:
            self._hire()
        except RuntimeError:
            pass  # tried again when there is something to send

    def send(self, request: ffi.HttpRequest) -> ffi.HttpAnswer:
        worker = self._worker
        if worker is None or not worker.is_free():
            try:
                worker = self._hire()
            except RuntimeError:
                return ffi.HttpAnswer.UNREACHABLE()  # no thread is to be had, as at the end of the interpreter
        sending = self._sending = _Sending(request, self._transport, self._warnings)
        _UNDER_WAY.add(sending)
        try:
            worker.carry(sending)
            return sending.wait()
        finally:
            _UNDER_WAY.discard(sending)

    def _hire(self) -> "_Worker":
        """A thread that has nothing to do; one that hangs in what was broken off is left behind."""
        worker = _Worker()
        if self._worker is not None:
            self._worker.end()
        self._worker = worker
        # Not at exit: there it is needed to the last.
        weakref.finalize(self, worker.end).atexit = False
        return worker

    def cancel(self) -> None:
        sending = self._sending
        if _interpreter_ends:
            if sending is not None:
                sending.go_home()
            return
        if sending is not None:
            sending.break_off()
        # Nor is the core's thread to be in one that hangs here.
        try:
            cancelling = threading.Thread(target=self._cancel, name="refrain-cancel", daemon=True)
            cancelling.start()
        except RuntimeError:
            return
        cancelling.join(_CANCELLING)

    def _cancel(self) -> None:
        try:
            self._transport.cancel()
        except Exception as error:
            self._warnings.say(f"the transport that this app has set raises {type(error).__name__} where it is to break off")

    def notice(self, text: str) -> None:
        LOG.warning(text)

    def consent_changed(self, consent: ffi.Consent) -> None:
        if self._listener is not None:
            self._listener.tell(copied(Consent, consent))


class _Sending(ffi.HttpRequest):
    """A request, for the transport to carry out. The core's thread waits for it; broken off, only as long as the transport
    has a body that it may still write: a withdrawal waits for that (C5)."""

    def __init__(self, request: ffi.HttpRequest, transport: ffi.HttpTransport, warnings: Warnings) -> None:
        #: Whether the transport has come back from it.
        self.is_over = False
        self._request = request
        self._transport = transport
        self._warnings = warnings
        self._answer = ffi.HttpAnswer.UNREACHABLE()
        self._lock = threading.Lock()
        self._is_opened = False
        self._is_writing = False
        self._is_broken_off = False
        self._is_home = threading.Event()

    def url(self) -> str:
        return self._request.url()

    def body_length(self) -> int:
        return self._request.body_length()

    def open(self) -> Optional[bytes]:
        with self._lock:
            # Where the core's thread has gone home, nobody holds the sending lock.
            if self._is_opened or self._is_home.is_set():
                return None
            self._is_opened = self._is_writing = True
        body = self._request.open()
        if body is None:
            self._written()
        return body

    def started(self) -> None:
        self._request.started()
        self._written()

    def run(self) -> None:
        """Has the transport carry it out."""
        try:
            answer = self._transport.send(self)
            if not _is_answer(answer):
                self._warnings.say("the transport that this app has set returns what is no HttpAnswer; what it was to send is kept")
                answer = ffi.HttpAnswer.UNREACHABLE()
        except BaseException as error:
            self._warnings.say(f"the transport that this app has set raises {type(error).__name__}")
            answer = ffi.HttpAnswer.UNREACHABLE()
        if not self._is_broken_off:
            self._answer = answer
        self.is_over = True
        self._is_home.set()

    def wait(self) -> ffi.HttpAnswer:
        self._is_home.wait()
        return self._answer

    def break_off(self) -> None:
        with self._lock:
            self._is_broken_off = True
            if not self._is_writing:
                self._is_home.set()

    def go_home(self) -> None:
        """Whatever the transport does. What the core holds for it goes with the process."""
        self._is_broken_off = True
        self._is_home.set()

    def _written(self) -> None:
        with self._lock:
            self._is_writing = False
            if self._is_broken_off:
                self._is_home.set()


class _Worker:
    """A thread that carries out requests, one after the other.

    Raises:
        RuntimeError: there are no threads to be had.
    """

    def __init__(self) -> None:
        self._requests: "SimpleQueue[Optional[_Sending]]" = SimpleQueue()
        self._last: Optional[_Sending] = None
        threading.Thread(target=_work, args=(self._requests,), name="refrain-http", daemon=True).start()

    def is_free(self) -> bool:
        return self._last is None or self._last.is_over

    def carry(self, sending: _Sending) -> None:
        self._last = sending
        self._requests.put(sending)

    def end(self) -> None:
        """Lets the thread go when it has done what it has."""
        self._requests.put(None)


def _work(requests: "SimpleQueue[Optional[_Sending]]") -> None:
    sending = requests.get()
    while sending is not None:
        sending.run()
        # Not held while there is nothing to do.
        sending = None
        sending = requests.get()


_UNDER_WAY: Set[_Sending] = set()
"""What the core's threads wait for."""
_interpreter_ends = False
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_UNDER_WAY.clear)


def detach() -> None:
    """Brings the core's threads out of Python for good, whatever a transport does."""
    global _interpreter_ends
    _interpreter_ends = True
    ffi.detach()
    # Nobody has asked those that have been left behind.
    for sending in list(_UNDER_WAY):
        sending.go_home()
    ffi.detach()


def _is_answer(answer: Any) -> bool:
    if not isinstance(answer, ffi.HttpAnswer):
        return False
    if not answer.is_RESPONSE():
        return True
    is_status = isinstance(answer.status, int) and 0 <= answer.status < 1 << 16
    return is_status and isinstance(answer.retry_after, (str, type(None))) and isinstance(answer.body, str)
