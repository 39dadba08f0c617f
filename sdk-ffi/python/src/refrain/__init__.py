"""A client-side tracking SDK that takes no for an answer.

>>> import refrain
>>> with refrain.Client("project-token", endpoint="http://127.0.0.1:8787", data_dir="data") as client:
...     client.opt_in()
...     client.track("Signed up", {"plan": "pro"})
Outcome(status='accepted', reason=None, hint=None)
"""

from ._client import Client
from ._profile import Profile
from ._transport import HttpClientTransport
from ._types import (
    Audit,
    AuditedErasure,
    AuditedFile,
    ConfigError,
    Consent,
    ConsentError,
    Error,
    Filter,
    Outcome,
    Signals,
    Stats,
    Subject,
)
from .refrain_ffi import HttpAnswer, HttpRequest, HttpTransport, version

__version__ = version()

__all__ = [
    "Audit",
    "AuditedErasure",
    "AuditedFile",
    "Client",
    "ConfigError",
    "Consent",
    "ConsentError",
    "Error",
    "Filter",
    "HttpAnswer",
    "HttpClientTransport",
    "HttpRequest",
    "HttpTransport",
    "Outcome",
    "Profile",
    "Signals",
    "Stats",
    "Subject",
]
