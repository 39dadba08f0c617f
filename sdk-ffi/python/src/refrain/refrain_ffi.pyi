# What of the generated bindings is public, as type checkers see it: UniFFI attaches an enum's variants in a way that none
# of them follows. The rest is the package's own affair.

from typing import Any, Optional

class HttpAnswer:
    """How a request ended."""

    status: int
    retry_after: Optional[str]
    body: str
    @staticmethod
    def RESPONSE(status: int, retry_after: Optional[str], body: str) -> HttpAnswer:
        """Somebody answered: the HTTP status, ``Retry-After`` in seconds, and the body, of which 64 KiB are plenty."""
    @staticmethod
    def UNREACHABLE() -> HttpAnswer:
        """No connection, or it broke; also where :meth:`HttpRequest.open` gave no body."""
    @staticmethod
    def TIMED_OUT() -> HttpAnswer:
        """No answer in time."""
    def is_RESPONSE(self) -> bool: ...
    def is_UNREACHABLE(self) -> bool: ...
    def is_TIMED_OUT(self) -> bool: ...

class HttpRequest:
    """A request that a transport carries out."""

    def url(self) -> str: ...
    def body_length(self) -> int: ...
    def open(self) -> Optional[bytes]: ...
    def started(self) -> None: ...

class HttpTransport:
    """What sends requests."""

    def send(self, request: HttpRequest) -> HttpAnswer:
        """Connects, takes the body by ``request.open()``, writes it, calls ``request.started()``, and reads the answer. Runs
        on a thread of Python's, which ends with the interpreter wherever it is."""
    def cancel(self) -> None:
        """Break off the request that is under way, where the platform can. Called from another thread; must not wait for
        anything. A request that has its body and is not broken off keeps a withdrawal waiting until
        ``request.started()``, or until :meth:`send` has returned; after five seconds that raises ``not_fenced``. A minute
        after its begin it is left behind."""

def version() -> str: ...
def __getattr__(name: str) -> Any: ...
