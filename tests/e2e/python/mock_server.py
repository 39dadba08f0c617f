"""The real mock server, started on a free port for the length of a `with` block."""

import json
import os
import pathlib
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

PROJECT = pathlib.Path(__file__).resolve().parents[3]


class MockServer:
    """`REFRAIN_MOCK_BIN` names the program; without it, the one that `cargo build -p refrain-mock` makes."""

    def __enter__(self):
        suffix = ".exe" if sys.platform == "win32" else ""
        built = PROJECT / "target" / "debug" / f"refrain-mock{suffix}"
        program = os.environ.get("REFRAIN_MOCK_BIN") or str(built)
        if not os.path.isfile(program):
            raise RuntimeError(f"{program} is not there: run `cargo build -p refrain-mock` first")
        command = [program, "serve", "--listen", "127.0.0.1:0", "--store", "memory"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("refrain-mock ready http://"):
            self.process.kill()
            raise RuntimeError(f"the server did not say that it is ready, but {line!r}")
        self.url = line.split()[-1].rstrip("/")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def get(self, path, **query):
        """A list of the control API."""
        return self._call(f"{path}?{urllib.parse.urlencode(query)}")

    def wait(self, **wanted):
        """The events that were asked for, as soon as they are there; an error when they do not come."""
        return self._call("/mock/wait", json.dumps({"timeout_ms": 20_000, **wanted}).encode())["events"]

    def _call(self, path, body=None):
        request = urllib.request.Request(self.url + path, body, {"content-type": "application/json"})
        # A proxy of this machine is not meant for a server on it.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{path} was answered {error.code}: {error.read().decode()}") from None
