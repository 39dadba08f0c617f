"""Records arrive, with what was said about them."""

import datetime
import types
import unittest

import refrain
from folder import FolderTestCase


class Recording(FolderTestCase):
    def test_an_event_arrives_as_the_wire_wants_it(self) -> None:
        client = self.client(default_consent="granted")
        outcome = client.track("Signed up", {"plan": "pro", "seats": 3, "ratio": 0.5, "who": "Zoë 🎈", "none": None})
        self.assertTrue(outcome)
        self.assertTrue(client.flush(timeout=30))

        (event,) = self.collector.events
        properties = event["properties"]
        self.assertEqual(event["event"], "Signed up")
        self.assertEqual(
            {key: properties[key] for key in ("plan", "seats", "ratio", "who", "none")},
            {"plan": "pro", "seats": 3, "ratio": 0.5, "who": "Zoë 🎈", "none": None},
        )
        self.assertEqual(properties["token"], "project-token")
        self.assertEqual(properties["mp_lib"], "refrain-python")
        self.assertEqual(properties["distinct_id"], "$device:" + client.device_id)
        self.assertEqual(properties["distinct_id"], client.distinct_id)
        self.assertEqual(len(properties["$insert_id"]), 32)
        self.assertEqual(self.collector.requests[0]["path"], "/track/?verbose=1&ip=0")
        self.assertEqual(self.collector.requests[0]["headers"]["Content-Type"], "application/json")
        stats = client.stats()
        self.assertEqual((stats.tracked, stats.delivered, stats.queued, stats.rejected), (1, 1, 0, 0))

    def test_a_flush_speaks_of_what_is_queued(self) -> None:
        client = self.client()
        client.track("held")
        self.assertTrue(client.flush(timeout=30))
        self.assertEqual((client.stats().held, self.collector.requests), (1, []))
        # As many as there may be, whenever they leave.
        self.collector.statuses = [503] * 100
        client.opt_in()
        self.assertFalse(client.flush(timeout=30))
        self.assertEqual(client.stats().delivered, 0)

    def test_identity_and_super_properties(self) -> None:
        client = self.client(default_consent="granted")
        client.track("before")
        client.register({"plan": "free", "theme": "dark"})
        client.register_once({"plan": "pro", "source": "ad"})
        client.unregister("theme")
        client.identify("user-1")
        client.track("after", {"source": "mail"})
        device = client.device_id
        client.reset()
        client.track("another person")
        self.assertTrue(client.flush(timeout=30))

        events = {event["event"]: event["properties"] for event in self.collector.events}
        self.assertEqual(events["after"]["distinct_id"], "user-1")
        self.assertEqual(events["after"]["$user_id"], "user-1")
        self.assertEqual(events["after"]["$device_id"], device)
        self.assertEqual((events["after"]["plan"], events["after"]["source"]), ("free", "mail"))
        self.assertNotIn("theme", events["after"])
        self.assertNotIn("plan", events["before"])
        self.assertNotIn("plan", events["another person"])
        self.assertNotEqual(events["another person"]["$device_id"], device)
        self.assertIn("$identify", events)

    def test_automatic_properties_are_the_weakest(self) -> None:
        settings = {
            "default_consent": "granted",
            "automatic_properties": {"app": "1.0", "since": datetime.date(2026, 1, 2), "plan": "-", "step": "-", "by": "-"},
            "deny_list": ["by"],
        }
        client = self.client(**settings)
        client.track("before")
        client.register({"plan": "free", "source": "ad"})
        client.register_for_session({"step": 1})
        client.track("after", {"source": "mail", "step": 2})
        client.profile().set({"name": "Zoë"})
        self.assertEqual(client.audit().super_properties, ["plan", "source", "step"])
        client.reset()
        client.track("another person", {"plan": None})
        self.assertTrue(client.flush(timeout=30))

        names = ("app", "since", "plan", "step", "source", "by")
        events = {
            event["event"]: {name: event["properties"][name] for name in names if name in event["properties"]}
            for event in self.collector.events
        }
        always = {"app": "1.0", "since": "2026-01-02"}
        self.assertEqual(events["before"], {**always, "plan": "-", "step": "-"})
        self.assertEqual(events["after"], {**always, "plan": "free", "step": 2, "source": "mail"})
        self.assertEqual(events["another person"], {**always, "plan": None, "step": "-"})
        self.assertEqual([update["$set"] for update in self.collector.updates], [{"name": "Zoë"}])

    def test_clients_on_a_folder_have_the_same_automatic_properties(self) -> None:
        self.client(automatic_properties={"app": "1.0", "os": {"a": 1, "b": 2}})
        self.client(automatic_properties=types.MappingProxyType({"os": {"b": 2, "a": 1}, "app": "1.0"}))
        for other in (None, {"app": "1.1", "os": {"a": 1, "b": 2}}):
            with self.assertRaisesRegex(refrain.ConfigError, "another automatic_properties"):
                self.client(automatic_properties=other)

    def test_profiles_groups_and_timers(self) -> None:
        client = self.client(default_consent="granted")
        client.identify("ada")
        self.assertTrue(client.profile().set({"plan": "pro"}))
        self.assertTrue(client.profile().add({"logins": 1}))
        self.assertTrue(client.profile().unset("street", "city"))
        self.assertTrue(client.group("company", "acme").union({"products": ["umbrella"]}))
        self.assertTrue(client.add_group("company", "acme"))
        self.assertTrue(client.register_for_session({"tab": 1}))
        self.assertTrue(client.time_event("Read"))
        self.assertEqual((client.audit().timers, client.audit().super_properties), (1, ["company", "tab"]))
        self.assertTrue(client.track("Read"))
        self.assertEqual(client.profile().add({"logins": "1"}).reason, "invalid_operator")
        self.assertEqual(client.group("", "acme").set({"a": 1}).reason, "empty_group")
        self.assertEqual(client.group("company", 7).set({"a": 1}).reason, "empty_group")  # type: ignore[arg-type]
        self.assertEqual(client.set_group("company", None).reason, "invalid_group")  # type: ignore[arg-type]
        self.assertTrue(client.switch_user("bob"))
        self.assertTrue(client.track("second"))
        self.assertTrue(client.flush(timeout=30))

        read, second = [event["properties"] for event in self.collector.events if event["event"] in ("Read", "second")]
        self.assertEqual((read["company"], read["tab"], read["$user_id"]), (["acme"], 1, "ada"))
        self.assertGreaterEqual(read["$duration"], 0)
        self.assertNotEqual(read["$device_id"], second["$device_id"])
        self.assertNotIn("company", second)
        operators = [
            {key: value for key, value in update.items() if key.startswith("$") and isinstance(value, (dict, list))}
            for update in self.collector.updates
        ]
        for expected in (
            {"$set": {"plan": "pro"}},
            {"$add": {"logins": 1}},
            {"$unset": ["street", "city"]},
            {"$union": {"products": ["umbrella"]}},
            {"$union": {"company": ["acme"]}},
        ):
            self.assertIn(expected, operators)
        groups = [update for update in self.collector.updates if "$group_key" in update]
        self.assertEqual([(g["$group_key"], g["$group_id"]) for g in groups], [("company", "acme")])

    def test_many_records_travel_in_compressed_batches(self) -> None:
        client = self.client(default_consent="granted", batch_size=40)
        for index in range(100):
            self.assertTrue(client.track("Viewed", {"page": index, "title": "The same words again and again"}))
        self.assertTrue(client.flush(timeout=30))
        self.assertEqual([event["properties"]["page"] for event in self.collector.events], list(range(100)))
        self.assertLessEqual(len(self.collector.requests), 4)
        self.assertEqual(self.collector.requests[0]["headers"]["Content-Encoding"], "gzip")

    def test_values_that_json_has_no_word_for(self) -> None:
        client = self.client(default_consent="granted")
        zone = datetime.timezone(datetime.timedelta(hours=2))
        client.track(
            "Booked",
            types.MappingProxyType(
                {
                    "at": datetime.datetime(2026, 11, 24, 4, 30, tzinfo=zone),
                    "day": datetime.date(2026, 11, 24),
                    "inner": types.MappingProxyType({"pair": (1, 2)}),
                }
            ),
        )
        self.assertTrue(client.flush(timeout=30))
        properties = self.collector.events[0]["properties"]
        self.assertEqual(properties["at"], "2026-11-24T02:30:00")
        self.assertEqual(properties["day"], "2026-11-24")
        self.assertEqual(properties["inner"], {"pair": [1, 2]})

    def test_what_a_closed_client_could_not_send_the_next_one_sends(self) -> None:
        self.collector.statuses = [503] * 100
        with self.client(default_consent="granted") as client:
            client.track("kept")
            self.assertFalse(client.flush(timeout=30))
        self.collector.statuses = []
        later = self.client(default_consent="granted")
        later.track("new")
        self.assertTrue(later.flush(timeout=30))
        self.assertEqual(sorted(self.collector.names()), ["kept", "new"])
        self.assertEqual(later.stats().recovered + later.stats().adopted, 1)

    def test_a_closed_client_refuses_quietly(self) -> None:
        client = self.client(default_consent="granted")
        client.close()
        self.assertIsInstance(client.track("late"), refrain.Outcome)
        client.close()
        self.assertEqual(self.collector.names(), [])


if __name__ == "__main__":
    unittest.main()
