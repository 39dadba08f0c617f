"""The published Python client, unchanged but for the host, against the real mock server.

By itself: `pip install -r requirements.txt`, `cargo build -p refrain-mock`, `python -m unittest -v`.
"""

import datetime
import time
import unittest

import mixpanel

from mock_server import MockServer

TOKEN = "python-project"


class PublishedPythonClient(unittest.TestCase):
    def setUp(self):
        server = MockServer()
        self.server = server.__enter__()
        self.addCleanup(server.__exit__)

    def endpoints(self):
        # `api_host` is always spoken to over https; plain http needs the urls in full.
        url = self.server.url
        return {
            "events_url": f"{url}/track",
            "people_url": f"{url}/engage",
            "groups_url": f"{url}/groups",
            "import_url": f"{url}/import",
        }

    def test_events_arrive_as_they_were_recorded(self):
        client = mixpanel.Mixpanel(TOKEN, consumer=mixpanel.Consumer(**self.endpoints()))
        when = datetime.datetime(2026, 11, 5, 12, 30, tzinfo=datetime.timezone.utc)
        client.track("py-user", "Signed up", {"plan": "Größe L", "price": 12.5, "count": 3, "ok": True, "at": when})
        client.track("py-user", "Bought", {"$insert_id": "order-1"})
        client.track("other-user", "Bought")

        [event] = self.server.wait(project=TOKEN, event="Signed up")
        sent = {"plan": "Größe L", "price": 12.5, "count": 3, "ok": True, "mp_lib": "python"}
        self.assertEqual(event["properties"], event["properties"] | sent)
        self.assertEqual(event["properties"]["distinct_id"], "py-user")
        self.assertTrue(event["properties"]["at"].startswith("2026-11-05T12:30:00"), event)
        self.assertEqual(event["project"], TOKEN)
        self.assertEqual(self.server.get("/mock/events", project=TOKEN)["total"], 3)
        self.assertEqual(self.server.get("/mock/events", distinct_id="py-user")["total"], 2)
        self.assertEqual(self.server.get("/mock/events", insert_id="order-1")["total"], 1)

    def test_an_event_sent_twice_is_stored_once(self):
        client = mixpanel.Mixpanel(TOKEN, consumer=mixpanel.Consumer(**self.endpoints()))
        now = int(time.time())
        for _ in range(2):
            client.track("py-user", "Bought", {"$insert_id": "order-2", "time": now})
        self.assertEqual(self.server.get("/mock/events", insert_id="order-2")["total"], 1)
        self.assertEqual(self.server.get("/mock/stats")["duplicates"], 1)

    def test_a_buffered_batch_arrives_whole(self):
        consumer = mixpanel.BufferedConsumer(max_size=50, **self.endpoints())
        client = mixpanel.Mixpanel(TOKEN, consumer=consumer)
        for number in range(120):
            client.track("py-batch", "Step", {"number": number})
        consumer.flush()
        events = self.server.wait(event="Step", min=120)
        self.assertEqual(sorted(event["properties"]["number"] for event in events), list(range(120)))

    def test_profiles_are_set_and_deleted(self):
        client = mixpanel.Mixpanel(TOKEN, consumer=mixpanel.Consumer(**self.endpoints()))
        client.track("py-user", "Signed up")
        client.people_set("py-user", {"$name": "Ada", "plan": "free"})
        client.people_set("py-user", {"plan": "paid"})
        client.people_set("other-user", {"plan": "free"})

        [profile] = self.server.get("/mock/profiles", project=TOKEN, distinct_id="py-user")["profiles"]
        wanted = {"$name": "Ada", "plan": "paid"}
        self.assertEqual(profile["properties"], profile["properties"] | wanted)

        client.people_delete("py-user")
        left = self.server.get("/mock/profiles", project=TOKEN)["profiles"]
        self.assertEqual([profile["distinct_id"] for profile in left], ["other-user"])
        # The protocol's $delete takes the profile, not the events.
        self.assertEqual(self.server.get("/mock/events", distinct_id="py-user")["total"], 1)


if __name__ == "__main__":
    unittest.main()
