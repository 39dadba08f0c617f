"""What stands in a client's folder, byte for byte."""

import socket
import tempfile
import unittest
from pathlib import Path
from typing import Any, List

import refrain
from collector import Collector


class FolderTestCase(unittest.TestCase):
    """A test with a collector, and a folder of its own that does not exist yet."""

    def setUp(self) -> None:
        above = tempfile.TemporaryDirectory()
        self.addCleanup(above.cleanup)
        self.folder = Path(above.name) / "refrain"
        self.collector = Collector()
        self.addCleanup(self.collector.close)

    def client(self, **settings: Any) -> refrain.Client:
        """A client on the folder that sends to the collector, closed when the test ends."""
        settings = {"endpoint": self.collector.url, "data_dir": self.folder, **settings}
        client = refrain.Client("project-token", **settings)
        self.addCleanup(self._end, client)
        return client

    @staticmethod
    def _end(client: refrain.Client) -> None:
        try:
            client.opt_out()  # leaves nothing to send, so that the end is not a matter of the network
        except refrain.ConsentError:
            pass
        client.close(timeout=60)

    def files(self) -> List[Path]:
        """All files in the folder."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def holds(self, planted: str) -> List[str]:
        """The files whose bytes contain a text."""
        return [path.name for path in self.files() if planted.encode() in path.read_bytes()]


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return "http://127.0.0.1:%d" % free.getsockname()[1]
