# What of the generated bindings is public, as type checkers see it: UniFFI attaches an enum's variants in a way that none
# of them follows. The rest is the package's own affair.

from typing import Any, Optional

class HttpAnswer:
    """The outcome of a request."""

    status: int
    retry_after: Optional[str]
    body: str
    @staticmethod
    def RESPONSE(status: int, retry_after: Optional[str], body: str) -> HttpAnswer:
        """There was a response: the HTTP status, ``Retry-After`` in seconds, and the body, of which 64 KiB are enough."""
    @staticmethod
    def UNREACHABLE() -> HttpAnswer:
        """No connection, or it broke. Also if :meth:`HttpRequest.open` returned no body."""
    @staticmethod
    def TIMED_OUT() -> HttpAnswer:
        """No response in time."""
    def is_RESPONSE(self) -> bool: ...
    def is_UNREACHABLE(self) -> bool: ...
    def is_TIMED_OUT(self) -> bool: ...

class HttpRequest:
    """A request for a transport to send."""

    def url(self) -> str: ...
    def body_length(self) -> int: ...
    def open(self) -> Optional[bytes]: ...
    def started(self) -> None: ...

class HttpTransport:
    """Sends requests."""

    def send(self, request: HttpRequest) -> HttpAnswer:
        """Connects, takes the body with ``request.open()``, writes it, calls ``request.started()``, and reads the response.
        Runs on a Python thread, which ends with the interpreter wherever it is."""
    def cancel(self) -> None:
        """Aborts the request in progress, if the platform can. Called from another thread; must not wait for anything. A
        request that has its body and is not aborted keeps a withdrawal waiting until ``request.started()`` is called
        or :meth:`send` has returned; after five seconds the withdrawal raises ``not_fenced``. One minute after it
        began, the request is abandoned."""

def version() -> str: ...
def __getattr__(name: str) -> Any: ...
