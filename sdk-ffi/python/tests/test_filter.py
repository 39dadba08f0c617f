"""The app's own filter: a last look at what is about to be recorded."""

import unittest
from typing import Any, Dict, List, Mapping, Optional, Tuple

import refrain
from folder import FolderTestCase


class Filters(FolderTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.seen: List[Tuple[refrain.Subject, Dict[str, Any]]] = []

    def keep(self, subject: refrain.Subject, properties: Dict[str, Any]) -> Optional[Mapping[str, Any]]:
        self.seen.append((subject, dict(properties)))
        if subject.event == "Debug":
            return None
        properties.pop("street", None)
        for values in properties.values():
            if isinstance(values, dict):
                values.pop("street", None)
        return properties

    def test_what_it_takes_out_is_never_recorded(self) -> None:
        client = self.client(default_consent="granted", filter=self.keep)
        address = {"street": "Elm Street 9", "city": "Bonn"}
        self.assertTrue(client.register({"street": "Elm Street 9", "region": "eu"}))
        self.assertTrue(client.track("Moved", {"street": "Elm Street 9", "to": address}))
        self.assertTrue(client.profile().set(address))
        self.assertEqual(client.track("Debug").reason, "filtered")
        self.assertTrue(client.flush(timeout=30))

        self.assertEqual(address, {"street": "Elm Street 9", "city": "Bonn"}, "the app's own stays as it is")
        (moved,) = self.collector.events
        self.assertEqual([moved["properties"].get(name) for name in ("street", "to", "region")], [None, {"city": "Bonn"}, "eu"])
        self.assertEqual([update["$set"] for update in self.collector.updates], [{"city": "Bonn"}])
        self.assertEqual(
            [(subject.kind, subject.event) for subject, _ in self.seen],
            [("registered", None), ("event", "Moved"), ("profile", None), ("event", "Debug")],
        )
        self.assertEqual(client.stats().rejected, 1)

    def test_whose_profile_it_is_is_not_for_it_to_see_or_say(self) -> None:
        def only_set(subject: refrain.Subject, properties: Dict[str, Any]) -> Mapping[str, Any]:
            self.keep(subject, properties)
            return {"$set": properties["$set"], "$group_key": "company", "$group_id": "another"}

        client = self.client(default_consent="granted", filter=only_set)
        self.assertTrue(client.group("company", "acme").set({"street": "Elm Street 9", "city": "Bonn"}))
        self.assertTrue(client.flush(timeout=30))
        self.assertEqual([list(properties) for _, properties in self.seen], [["$set"]])
        (update,) = self.collector.updates
        self.assertEqual((update["$group_id"], update["$set"]), ("acme", {"city": "Bonn"}))

    def test_what_is_held_has_passed_it(self) -> None:
        client = self.client(filter=self.keep)
        self.assertEqual(client.track("Early", {"street": "Elm Street 9"}).status, "held")
        self.assertEqual(len(self.seen), 1)
        client.opt_in()
        self.assertTrue(client.flush(timeout=30))
        early = next(event for event in self.collector.events if event["event"] == "Early")
        self.assertNotIn("street", early["properties"])

    def test_what_it_cannot_judge_is_not_recorded(self) -> None:
        def fail(subject: refrain.Subject, properties: Dict[str, Any]) -> Dict[str, Any]:
            raise KeyError("street")

        client = self.client(default_consent="granted", filter=fail)
        with self.assertLogs("refrain", "WARNING") as logs:
            outcomes = [client.track("Moved", {"city": "Bonn"}) for _ in range(2)]
        self.assertEqual([outcome.reason for outcome in outcomes], ["filtered"] * 2)
        self.assertIn("KeyError", str(outcomes[0].hint))
        self.assertEqual(len(logs.output), 1, "it is said once")
        self.assertEqual(client.track("Moved", {"ratio": float("nan")}).reason, "not_finite", "the call's own fault is said")
        self.assertEqual(client.stats().rejected, 3)

    def test_what_it_makes_has_to_be_fit(self) -> None:
        client = self.client(default_consent="granted", filter=lambda subject, properties: {"ratio": float("nan")})
        self.assertEqual(client.track("Moved").reason, "not_finite")
        with self.assertRaises(refrain.ConfigError) as raised:
            self.client(filter="street")
        self.assertIn("filter", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
