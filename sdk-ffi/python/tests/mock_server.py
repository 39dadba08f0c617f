"""The mock server itself, whose program `REFRAIN_MOCK_BIN` names."""

import json
import os
import subprocess
import urllib.request
from typing import Any

PROGRAM = os.environ.get("REFRAIN_MOCK_BIN")


class MockServer:
    """A running server that keeps its data in memory."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [str(PROGRAM), "serve", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, universal_newlines=True
        )
        ready = self._process.stdout.readline()  # type: ignore[union-attr]
        if not ready.startswith("refrain-mock ready http://"):
            self.close()
            raise RuntimeError(f"the server did not say that it is ready, but {ready!r}")
        self.url = ready.split()[-1]

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What it answers to a request; another status than 200 is an ``HTTPError``."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        # A proxy of the environment is not meant for a server on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)
