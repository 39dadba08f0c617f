"""Against the mock server itself: `REFRAIN_MOCK_BIN` names its program. Without it this file holds no test."""

import unittest
from typing import Any

import mock_server
from folder import FolderTestCase


class MockServer(FolderTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = mock_server.MockServer()
        self.addCleanup(self.server.close)

    def events(self) -> Any:
        return self.server.ask("GET", "/mock/events?project=project-token")["events"]

    def test_records_objects_and_is_remembered(self) -> None:
        notes = {f"note {index}": "ä" * 200 for index in range(20)}  # enough to be compressed
        client = self.client(endpoint=self.server.url)
        client.track("asked")
        client.opt_in()
        client.identify("ada")
        client.track("Bought", {"item": "umbrella", **notes})
        self.assertTrue(client.flush(timeout=60))
        events = {event["event"]: event["properties"] for event in self.events()}
        self.assertEqual(set(events), {"asked", "$opt_in", "$identify", "Bought"})
        self.assertEqual(events["Bought"]["item"], "umbrella")
        self.assertEqual({name: events["Bought"][name] for name in notes}, notes)
        self.assertEqual(self.server.ask("GET", "/mock/stats")["rejected"], 0)

        client.track("not sent yet")
        client.opt_out()
        client.track("refused")
        client.close(timeout=60)
        later = self.client(endpoint=self.server.url)
        self.assertTrue(later.has_opted_out())
        later.track("refused too")
        later.flush(timeout=60)
        names = {event["event"] for event in self.events()}
        self.assertEqual(names - {"not sent yet"}, set(events))


if not mock_server.PROGRAM:
    del MockServer


if __name__ == "__main__":
    unittest.main()
