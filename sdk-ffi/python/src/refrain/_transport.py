"""Sending by the standard library's HTTP client."""

import gzip
import http.client
import socket
import ssl
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
    """HTTP and HTTPS with ``http.client``. It follows no redirects and uses no proxy: environment variables such as
    ``HTTPS_PROXY`` are ignored. If your network can only be left through a proxy, pass a transport of your own.

    Each client needs one of its own.
    """

    def __init__(self) -> None:
        self._exchange: Optional[_Exchange] = None
        self._warnings = Warnings()
        self._compresses = True

    def send(self, request: HttpRequest) -> HttpAnswer:
        exchange = self._exchange = _Exchange(request, self._compresses)
        answer = exchange.run()
        if exchange.distrust is not None:
            self._warnings.say(f"the collector's certificate is not trusted: {exchange.distrust}")
        if exchange.compressed and answer.is_RESPONSE() and answer.status in _NOT_IN_THIS_FORM:
            # The records are sent again, in the clear.
            self._compresses = False
            return HttpAnswer.UNREACHABLE()
        return answer

    def cancel(self) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.abort()


class _Exchange:
    """One request and its answer."""

    def __init__(self, request: HttpRequest, compresses: bool) -> None:
        self.compressed = False
        #: Why the peer is not believed to be the collector.
        self.distrust: Optional[str] = None
        self._request = request
        self._compresses = compresses
        self._connection: Optional[http.client.HTTPConnection] = None
        self._aborted = False

    def abort(self) -> None:
        self._aborted = True
        connection = self._connection
        sock = connection.sock if connection is not None else None
        if sock is not None:
            try:
                # Not `sock.shutdown`: on a TLS socket that first takes TLS away from under the writing thread.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                pass

    def run(self) -> HttpAnswer:
        try:
            return self._talk()
        except (socket.timeout, TimeoutError):
            return HttpAnswer.TIMED_OUT()
        except ssl.SSLCertVerificationError as error:
            self.distrust = error.verify_message
            return HttpAnswer.UNREACHABLE()
        except Exception:  # whatever a network, a proxy or a peer can come up with
            return HttpAnswer.UNREACHABLE()
        finally:
            if self._connection is not None:
                self._connection.close()

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
