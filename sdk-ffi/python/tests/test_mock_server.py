"""Against the mock server itself: `REFRAIN_MOCK_BIN` names its program. Without it this file holds no test."""

import json
import os
import subprocess
import unittest
import urllib.request
from typing import Any

from folder import FolderTestCase

PROGRAM = os.environ.get("REFRAIN_MOCK_BIN")


class MockServer(FolderTestCase):
    def setUp(self) -> None:
        super().setUp()
        server = subprocess.Popen(
            [str(PROGRAM), "serve", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, universal_newlines=True
        )
        self.addCleanup(self._stop, server)
        ready = server.stdout.readline()  # type: ignore[union-attr]
        self.assertTrue(ready.startswith("refrain-mock ready http://"), ready)
        self.url = ready.split()[-1]

    @staticmethod
    def _stop(server: "subprocess.Popen[str]") -> None:
        server.kill()
        server.communicate()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)

    def events(self) -> Any:
        return self.get("/mock/events?project=project-token")["events"]

    def test_records_objects_and_is_remembered(self) -> None:
        notes = {f"note {index}": "ä" * 200 for index in range(20)}  # enough to be compressed
        client = self.client(endpoint=self.url)
        client.track("asked")
        client.opt_in()
        client.identify("ada")
        client.track("Bought", {"item": "umbrella", **notes})
        self.assertTrue(client.flush(timeout=60))
        events = {event["event"]: event["properties"] for event in self.events()}
        self.assertEqual(set(events), {"asked", "$opt_in", "$identify", "Bought"})
        self.assertEqual(events["Bought"]["item"], "umbrella")
        self.assertEqual({name: events["Bought"][name] for name in notes}, notes)
        self.assertEqual(self.get("/mock/stats")["rejected"], 0)

        client.track("not sent yet")
        client.opt_out()
        client.track("refused")
        client.close(timeout=60)
        later = self.client(endpoint=self.url)
        self.assertTrue(later.has_opted_out())
        later.track("refused too")
        later.flush(timeout=60)
        names = {event["event"] for event in self.events()}
        self.assertEqual(names - {"not sent yet"}, set(events))


if not PROGRAM:
    del MockServer


if __name__ == "__main__":
    unittest.main()
