"""Sending by the standard library's HTTP client."""

import gzip
import http.client
import queue
import socket
import ssl
import threading
import weakref
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Optional
from urllib.parse import urlsplit

from ._warnings import Warnings
from .refrain_ffi import HttpAnswer, HttpRequest, HttpTransport

_CONNECT_TIMEOUT = 10.0
_ANSWER_TIMEOUT = 30.0
#: Of the answer's body; no collector's is longer.
_ANSWER_BYTES = 65536
#: So many may come before the answer.
_INTERIM_ANSWERS = 10
#: Below this a body grows by compression rather than shrinks.
_WORTH_COMPRESSING = 1024
#: It is the form of a body that is refused, not what stands in it.
_NOT_IN_THIS_FORM = (411, 415, 501)


class HttpClientTransport(HttpTransport):
    """HTTP and HTTPS by ``http.client``. Redirects are not followed, and requests go by no proxy: the environment's
    ``HTTPS_PROXY`` and the like are not looked at. Where only a proxy leads outside, pass a transport of your own.

    The core calls :meth:`send` on a thread of its own. The exchange itself runs on one of Python's, so that
    :meth:`cancel` can bring the core's thread home at once, even out of a name lookup that does not end: a thread
    of the core's must not be in Python when the interpreter ends.

    Each client needs one of its own.
    """

    def __init__(self) -> None:
        self._exchange: Optional[_Exchange] = None
        self._warnings = Warnings()
        self._compresses = True
        self._worker: Optional[_Worker] = None
        # At once, not at the first request: that may be the one at the end of the interpreter, and from Python 3.12 on
        # there are no new threads then.
        try:
            self._hire()
        except RuntimeError:
            pass  # tried again when there is something to send

    def send(self, request: HttpRequest) -> HttpAnswer:
        worker = self._worker
        if worker is None or not worker.is_free():
            try:
                worker = self._hire()
            except RuntimeError:
                return HttpAnswer.UNREACHABLE()  # no thread is to be had, as at the end of the interpreter
        exchange = self._exchange = _Exchange(request, self._compresses)
        worker.carry(exchange)
        answer = exchange.wait()
        if exchange.distrust is not None:
            self._warnings.say(f"the collector's certificate is not trusted: {exchange.distrust}")
        if exchange.compressed and answer.is_RESPONSE() and answer.status in _NOT_IN_THIS_FORM:
            # The records are sent again, in the clear.
            self._compresses = False
            return HttpAnswer.UNREACHABLE()
        return answer

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
        exchange = self._exchange
        if exchange is not None:
            exchange.abort()


class _Worker:
    """A thread that carries out exchanges, one after the other.

    Raises:
        RuntimeError: there are no threads to be had.
    """

    def __init__(self) -> None:
        self._exchanges: "queue.SimpleQueue[Optional[_Exchange]]" = queue.SimpleQueue()
        self._last: Optional[_Exchange] = None
        threading.Thread(target=_work, args=(self._exchanges,), name="refrain-http", daemon=True).start()

    def is_free(self) -> bool:
        return self._last is None or self._last.is_over

    def carry(self, exchange: "_Exchange") -> None:
        self._last = exchange
        self._exchanges.put(exchange)

    def end(self) -> None:
        """Lets the thread go when it has done what it has."""
        self._exchanges.put(None)


def _work(exchanges: "queue.SimpleQueue[Optional[_Exchange]]") -> None:
    exchange = exchanges.get()
    while exchange is not None:
        exchange.run()
        # Not held while there is nothing to do.
        exchange = None
        exchange = exchanges.get()


class _Exchange:
    """One request and its answer."""

    def __init__(self, request: HttpRequest, compresses: bool) -> None:
        self.compressed = False
        #: Why the peer is not believed to be the collector.
        self.distrust: Optional[str] = None
        #: Whether its thread has come back from it.
        self.is_over = False
        self._request = request
        self._compresses = compresses
        self._connection: Optional[http.client.HTTPConnection] = None
        self._answer: HttpAnswer = HttpAnswer.UNREACHABLE()
        self._aborted = False
        self._ended = threading.Event()

    def wait(self) -> HttpAnswer:
        self._ended.wait()
        return self._answer

    def abort(self) -> None:
        # In this order: what is written before the socket is shut down is written before `send` returns.
        self._aborted = True
        connection = self._connection
        sock = connection.sock if connection is not None else None
        if sock is not None:
            try:
                # Not `sock.shutdown`: on a TLS socket that first takes TLS away from under the writing thread.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass
        self._ended.set()

    def run(self) -> None:
        try:
            answer = self._talk()
        except (socket.timeout, TimeoutError):
            answer = HttpAnswer.TIMED_OUT()
        except ssl.SSLCertVerificationError as error:
            self.distrust = error.verify_message
            answer = HttpAnswer.UNREACHABLE()
        except Exception:  # whatever a network, a proxy or a peer can come up with
            answer = HttpAnswer.UNREACHABLE()
        finally:
            if self._connection is not None:
                self._connection.close()
        if not self._aborted:
            self._answer = answer
        self.is_over = True
        self._ended.set()

    def _talk(self) -> HttpAnswer:
        url = urlsplit(self._request.url())
        # Without a port, the last part of an IPv6 address would be taken for one.
        if url.scheme == "https":
            self._connection = http.client.HTTPSConnection(
                url.hostname or "", url.port or 443, timeout=_CONNECT_TIMEOUT, context=ssl.create_default_context()
            )
        else:
            self._connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=_CONNECT_TIMEOUT)
        connection = self._connection
        connection.response_class = _Response
        connection.connect()
        connection.sock.settimeout(_ANSWER_TIMEOUT)
        path = (url.path or "/") + ("?" + url.query if url.query else "")

        # From here to `started` the folder's sending lock is held: a withdrawal waits for it, and no longer.
        body = self._request.open()
        if body is None or self._aborted:
            return HttpAnswer.UNREACHABLE()
        headers = {"Accept": "application/json", "User-Agent": "refrain-python"}
        if not body:
            connection.request("GET", path, headers=headers)
        else:
            headers["Content-Type"] = "application/json"
            if self._compresses and len(body) >= _WORTH_COMPRESSING:
                self.compressed = True
                body = gzip.compress(body, compresslevel=1)
                headers["Content-Encoding"] = "gzip"
            try:
                connection.request("POST", path, body, headers)
            except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                # Who refuses a body closes before all of it is read. The answer may stand there to be read all the same.
                pass
        self._request.started()

        response = connection.getresponse()
        return HttpAnswer.RESPONSE(
            status=response.status,
            retry_after=_in_seconds(response.getheader("Retry-After"), response.getheader("Date")),
            body=_beginning(response).decode("utf-8", "replace"),
        )


def _beginning(response: http.client.HTTPResponse) -> bytes:
    """The body, as far as it is read. Half of one says nothing but its status: what begins with a `1` or a `0` may go on
    otherwise."""
    try:
        body = response.read(_ANSWER_BYTES)
    except (http.client.HTTPException, OSError):
        return b""
    return b"" if response.length and len(body) < _ANSWER_BYTES else body


class _Response(http.client.HTTPResponse):
    """An answer behind interim ones, such as ``103 Early Hints``: of those the library reads away ``100`` only."""

    def begin(self) -> None:
        for _ in range(_INTERIM_ANSWERS):
            super().begin()
            if not 100 <= self.status < 200 or self.status == 101:
                return
            # Otherwise the next one counts as read.
            self.headers = None  # type: ignore[assignment]


def _in_seconds(retry_after: Optional[str], date: Optional[str]) -> Optional[str]:
    """``Retry-After`` as the core understands it: a date becomes seconds from the answer's own ``Date``, so that a
    clock that is wrong here does not matter, or from this clock where there is none."""
    until = _parse(retry_after)
    if until is None:
        return retry_after
    now = _parse(date) or datetime.now(timezone.utc)
    seconds = int((until - now).total_seconds())
    return str(seconds) if seconds > 0 else None


def _parse(date: Optional[str]) -> Optional[datetime]:
    try:
        parsed = parsedate_to_datetime(date or "")
    except (TypeError, ValueError, OverflowError):
        return None
    return parsed if parsed.tzinfo is not None else None
