"""The test kit finds what is wrong with an app, and nothing where nothing is."""

import json
import unittest
from typing import Any

import refrain
from refrain.testing import TestClient


class Kit(unittest.TestCase):
    def client(self, **settings: Any) -> TestClient:
        client = TestClient(**settings).__enter__()
        self.addCleanup(client.__exit__, None, None, None)
        return client

    def refuses(self, expect: Any, *texts: str) -> None:
        with self.assertRaises(AssertionError) as caught:
            expect()
        for text in texts:
            self.assertIn(text, str(caught.exception))

    def test_an_app_is_seen_through_its_own_client(self) -> None:
        client = self.client()
        self.assertIsInstance(client, refrain.Client)
        client.track("Bought", {"item": "umbrella", "price": 12.5, "of": {"kind": "rain", "size": 2}})
        client.expect_nothing_sent()
        client.opt_in()
        event = client.expect_event("Bought", {"of": {"kind": "rain"}})
        self.assertEqual(event["properties"]["price"], 12.5)
        client.profile().set({"plan": "pro"})
        client.expect_profile({"$set": {"plan": "pro"}})
        client.opt_out()
        client.track("Bought", {"item": "scarf"})
        client.expect_nothing_sent()
        client.expect_nothing_kept()

    def test_what_is_otherwise_is_told(self) -> None:
        client = self.client()
        self.refuses(lambda: client.expect_event("Bought"), "no event 'Bought' has arrived", "opt_in()")
        client.opt_in()
        client.track("Bought", {"item": "umbrella", "count": 1})
        self.refuses(lambda: client.expect_event("Bought", {"item": "scarf"}), "'item' is 'umbrella', not 'scarf'")
        # The same to Python.
        self.refuses(lambda: client.expect_event("Bought", {"count": True}), "'count' is 1, not True")
        self.refuses(lambda: client.expect_profile({"$set": {}}), "no profile update", "arrived: $opt_in, Bought")
        self.refuses(client.expect_nothing_sent, "something has left", "umbrella")
        client.expect_nothing_sent()
        client.expect_event("Bought")
        self.refuses(lambda: client.expect_event("Bought"), "expected before", "2 delivered")
        self.refuses(client.expect_nothing_kept, "something is kept", str(client.device_id))

    def test_what_the_collector_refuses_is_sent_again(self) -> None:
        client = self.client(default_consent="granted")
        client.answer_next(503)
        client.track("Bought")
        client.expect_event("Bought")
        self.assertEqual([event["event"] for event in client.events], ["Bought"])
        self.assertEqual([request.status for request in client.requests], [503, 200])

    def test_what_the_collector_does_not_get_is_there_after_a_restart(self) -> None:
        client = self.client(default_consent="granted")
        client.collector_away(True)
        client.track("Bought")
        self.refuses(lambda: client.expect_event("Bought", timeout=0), "the collector is away", "1 queued")
        client.restart()
        self.assertEqual(client.requests, [])
        client.collector_away(False)
        device = client.expect_event("Bought")["properties"]["$device_id"]
        self.assertEqual(client.device_id, device)
        client.opt_out()
        client.restart()
        self.assertTrue(client.has_opted_out())
        client.expect_nothing_kept()

    def test_what_a_person_asks_for_is_not_something_that_has_left(self) -> None:
        client = self.client(default_consent="granted")
        client.identify("user-1")
        client.track("Bought")
        client.expect_event("Bought")
        client.opt_out(erase=True, delete_profile=True)
        client.expect_nothing_kept()
        # It waits for what a person has asked for.
        client.close(60)
        client.expect_nothing_sent()
        outbox = {erasure.kind: erasure for erasure in client.audit().outbox}
        self.assertEqual({kind: erasure.state for kind, erasure in outbox.items()}, {"device": "completed", "profile": "completed"})
        self.assertEqual(json.loads(outbox["device"].answer)["receipt"], {"events": 2})

    def test_the_first_call_counts_as_every_other_one(self) -> None:
        self.assertEqual(self.client(default_consent="granted").track("Bought").status, "accepted")

    def test_each_has_a_folder_of_its_own(self) -> None:
        one, other = self.client(default_consent="granted"), self.client(default_consent="granted")
        one.opt_out()
        other.track("Bought")
        other.expect_event("Bought")
        one.expect_nothing_sent()
        # It is not the app's to say.
        elsewhere = self.client(data_dir="a folder that nobody can make\0", endpoint="no address", default_consent="granted")
        elsewhere.track("Bought")
        elsewhere.expect_event("Bought")


if __name__ == "__main__":
    unittest.main()
