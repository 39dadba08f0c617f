"""A client in a process of its own: does what it is told in lines of JSON, for ``test_scenarios``."""

import json
import sys
from typing import Any, Dict, Optional

import refrain

_CLOSING = 20.0
"""What a client that is closed has to deliver what is queued, in seconds."""
_PATIENCE = 60.0


class Player:
    """Plays the client of a scenario."""

    def __init__(self) -> None:
        self._client: Optional[refrain.Client] = None

    def obey(self, asked: Dict[str, Any]) -> Any:
        """Does one thing; what came of it."""
        what = asked.pop("do")
        if what == "start":
            settings = asked["settings"]
            signals = refrain.Signals(**asked["signals"])
            self._client = refrain.Client(settings.pop("token"), signals=signals, **settings)
            self._client.consent()  # waits until the folder has been read
            return None
        client = self._client
        assert client is not None, "it was not started"
        if what == "call":
            return self._call(asked["method"], asked["with"])
        if what == "signals":
            return client.signals(**asked["signals"])
        if what == "flush":
            return client.flush(_PATIENCE)
        if what == "shutdown":
            client.close(_CLOSING)
            return None
        if what == "state":
            return _state(client)
        assert what in ("opt_in", "opt_out"), what
        return getattr(client, what)(**asked["how"])

    def _call(self, method: str, arguments: Any) -> Any:
        of: Any = self._client
        if method.startswith("profile."):
            of, method = of.profile(), method.split(".")[1]
        elif method.startswith("group."):
            of, method, arguments = of.group(*arguments[:2]), method.split(".")[1], arguments[2:]
        outcome = getattr(of, method)(*arguments)
        if outcome.status != "rejected":
            return outcome.status
        assert outcome.hint, f"{outcome} has no hint"
        return {"rejected": outcome.reason}


def _state(client: refrain.Client) -> Any:
    """Everything that the client says of itself."""
    audit = client.audit()
    ids = {"device_id": client.device_id, "distinct_id": client.distinct_id}
    return {
        "consent": vars(client.consent()),
        "has_opted_out": client.has_opted_out(),
        "ids": {name: value for name, value in ids.items() if value is not None},
        "stats": vars(client.stats()),
        "outbox": [
            {"kind": entry.kind, "state": entry.state, "answer": entry.answer and json.loads(entry.answer)}
            for entry in audit.outbox
        ],
        "audit": {
            "ids": [audit.device_id, audit.distinct_id],
            "super_properties": audit.super_properties,
            "counts": [audit.queued_records, audit.held_records, audit.timers],
            "files": [file.kind for file in audit.files if file.bytes > 0],
        },
    }


def main() -> None:
    player = Player()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"done": player.obey(asked)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
