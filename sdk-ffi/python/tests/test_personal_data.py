"""The detector for personal data: set by a word, counted, and never recorded where that was asked for."""

import unittest
from typing import Any, Dict

import refrain
from folder import FolderTestCase

PROPERTIES: Dict[str, Any] = {
    "note": "mail alice@example.com, pay 4111 1111 1111 1111",
    "to": ["DE89370400440532013000"],
    "card": 4111111111111111,
    "plan": "pro",
}
FOUND = {"email": 1, "card": 2, "iban": 1, "jwt": 0}


class PersonalData(FolderTestCase):
    def recorded(self, **settings: Any) -> Dict[str, Any]:
        client = self.client(default_consent="granted", **settings)
        self.assertTrue(client.track("Paid", PROPERTIES))
        self.assertTrue(client.flush(timeout=30))
        self.found = client.stats().personal_data
        properties = self.collector.events[-1]["properties"]
        return {key: properties[key] for key in PROPERTIES}

    def test_off_unless_chosen(self) -> None:
        self.assertEqual(self.recorded(), PROPERTIES)
        self.assertEqual(self.found, dict.fromkeys(FOUND, 0))

    def test_observe_counts(self) -> None:
        self.assertEqual(self.recorded(personal_data="observe"), PROPERTIES)
        self.assertEqual(self.found, FOUND)

    def test_redact_records_placeholders(self) -> None:
        redacted = {"note": "mail [email], pay [card]", "to": ["[iban]"], "card": "[card]", "plan": "pro"}
        self.assertEqual(self.recorded(personal_data="redact"), redacted)
        self.assertEqual(self.found, FOUND)

    def test_what_is_allowed_by_name_stays(self) -> None:
        redacted = dict(PROPERTIES, to=["[iban]"], card="[card]")
        self.assertEqual(self.recorded(personal_data="redact", personal_data_allow=["note"]), redacted)

    def test_reject_records_nothing_and_says_why(self) -> None:
        client = self.client(default_consent="granted", personal_data="reject")
        outcome = client.track("Paid", PROPERTIES)
        self.assertEqual((bool(outcome), outcome.reason), (False, "personal_data"))
        self.assertNotIn("alice", repr(outcome))
        self.assertTrue(client.track("Paid", {"plan": "pro"}))
        self.assertTrue(client.flush(timeout=30))
        self.assertEqual(len(self.collector.events), 1)
        stats = client.stats()
        self.assertEqual((stats.tracked, stats.rejected, stats.personal_data), (1, 1, FOUND))

    def test_what_is_denied_by_name_is_never_recorded(self) -> None:
        client = self.client(default_consent="granted", deny_list=["card", "to"])
        self.assertTrue(client.register({"to": "x", "region": "eu"}))
        self.assertTrue(client.track("Paid", PROPERTIES))
        self.assertTrue(client.flush(timeout=30))
        properties = self.collector.events[-1]["properties"]
        self.assertEqual((properties["plan"], properties["region"]), ("pro", "eu"))
        self.assertFalse({"card", "to"} & set(properties))

    def test_settings_that_cannot_work_are_named(self) -> None:
        with self.assertRaisesRegex(refrain.ConfigError, "personal_data must be one of 'off', .*, not 'hide'"):
            refrain.Client("T", personal_data="hide")
        with self.assertRaisesRegex(refrain.ConfigError, "personal_data_allow must be a list"):
            refrain.Client("T", personal_data_allow="$email")
        with self.assertRaisesRegex(refrain.ConfigError, "personal_data_allow"):
            refrain.Client("T", personal_data_allow=[1])  # type: ignore[list-item]


if __name__ == "__main__":
    unittest.main()
