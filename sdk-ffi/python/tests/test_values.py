"""What JSON cannot hold is refused with a reason and a place, and never raises into the app."""

import datetime
import unittest
from typing import Any, Dict, List

import refrain
from folder import FolderTestCase
from refrain._values import encode


class Hostile(dict):
    """A mapping that cannot be read."""

    def items(self) -> Any:
        raise RuntimeError("not today")

    def __iter__(self) -> Any:
        raise RuntimeError("not today")


class NoTime(datetime.datetime):
    """As the one of pandas, which stands for a time that there is not."""

    def isoformat(self, *_: Any, **__: Any) -> str:
        return "NaT"


class NoDate(datetime.date):
    """The same of a date."""

    def isoformat(self) -> str:
        return "NaT"


class Array:
    """As those of numpy and pandas, neither true nor false."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


class Values(FolderTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.recorder = self.client(default_consent="granted")

    def refused(self, properties: Any, reason: str, *places: str) -> None:
        for call in (lambda: self.recorder.track("Event", properties), lambda: self.recorder.register(properties)):
            outcome = call()
            self.assertEqual((outcome.status, outcome.reason), ("rejected", reason), outcome)
            self.assertFalse(outcome)
            for place in places:
                self.assertIn(place, outcome.hint)

    def test_circular_references(self) -> None:
        circle: Dict[str, Any] = {"list": [1, {}]}
        circle["list"][1]["back"] = circle
        self.refused(circle, "circular_reference", "properties.list[1].back")
        ring: List[Any] = []
        ring.append(ring)
        self.refused({"ring": ring}, "circular_reference", "properties.ring[0]")

    def test_numbers_that_are_none(self) -> None:
        for number in (float("nan"), float("inf"), float("-inf")):
            self.refused({"cart": [{"price": number}]}, "not_finite", "properties.cart[0].price")

    def test_types_that_json_does_not_have(self) -> None:
        for value, kind in ((b"bytes", "bytes"), ({1, 2}, "set"), (object(), "object"), (1 + 2j, "complex")):
            self.refused({"value": value}, "unsupported_type", "properties.value", kind)
        self.refused({"value": {(1, 2): 3}}, "unsupported_key", "properties.value", "tuple")

    def test_keys_that_are_no_texts(self) -> None:
        for key, kind in ((None, "None"), (True, "bool"), (False, "bool")):
            self.refused({key: 1}, "unsupported_key", "properties", kind)
            self.refused({"cart": [{"a": {key: 1}}]}, "unsupported_key", "properties.cart[0].a", kind)
        self.assertTrue(self.recorder.track("Event", {"null": 1, "true": {"false": 'a"true":'}}))

    def test_dates(self) -> None:
        zone = datetime.timezone(datetime.timedelta(hours=2))
        for date, text in (
            (datetime.datetime(987, 6, 5, 4, 3, 2, 1), "0987-06-05T04:03:02"),
            (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=zone), "2026-01-02T01:04:05"),
            (datetime.date(1, 2, 3), "0001-02-03"),
        ):
            self.assertEqual(encode({"at": date}), '{"at":"%s"}' % text)
        # Which in UTC is in no year.
        self.refused({"at": datetime.datetime(1, 1, 1, tzinfo=zone)}, "unreadable_value", "properties.at", "OverflowError")
        for none in (NoTime(1, 1, 1), NoDate(1, 1, 1)):
            self.refused({"at": none}, "unreadable_value", "properties.at", "date")

    def test_signals(self) -> None:
        client = self.client(data_dir=self.folder / "signals")
        for signals in ({"gpc": "0"}, {"dnt": 1}, {"host": None}):
            with self.assertRaises(refrain.ConfigError) as caught:
                client.signals(**signals)  # type: ignore[arg-type]
            self.assertIn(next(iter(signals)), str(caught.exception))
        self.assertEqual(client.consent().verdict, "hold")
        client.signals(gpc=True)
        self.assertEqual(client.consent().reason, "gpc")

    def test_a_timeout_that_is_no_number_is_none(self) -> None:
        self.recorder.track("waits")
        self.collector.answering.clear()
        self.addCleanup(self.collector.answering.set)
        self.assertFalse(self.recorder.flush(timeout=float("nan")))

    def test_halves_of_surrogate_pairs(self) -> None:
        self.refused({"name": "a\ud800"}, "lone_surrogate", "properties.name")
        self.refused({"\udc00": 1}, "lone_surrogate", "properties")
        self.assertEqual(self.recorder.track("a\ud800").reason, "lone_surrogate")
        self.assertEqual(self.recorder.identify("a\ud800").reason, "lone_surrogate")

    def test_too_much(self) -> None:
        deep: Any = 1
        for _ in range(100_000):
            deep = [deep]
        self.refused({"deep": deep}, "nested_too_deep")
        self.refused({"digits": 10**5000}, "too_large", "properties.digits")
        outcome = self.recorder.track("Event", {"text": "x" * 2_000_000})
        self.assertEqual((outcome.status, outcome.reason), ("rejected", "too_large"))
        self.assertEqual(self.recorder.track("x" * 1_000_001).reason, "too_large")
        # Few in memory, and nothing that could be written out.
        many: Any = {"a": "b"}
        for _ in range(40):
            many = [many, {"more": many}, (many,)]
        self.refused({"many": many}, "too_large")
        self.refused({"many": many, "ring": deep}, "too_large")
        while isinstance(deep, list):  # taking it apart here spares the interpreter a deep recursion
            deep = deep[0]

    def test_no_mapping_at_all(self) -> None:
        for properties in ([1], [], "text", "", 7, 0, b"", (("a", 1),), Array()):
            self.refused(properties, "not_an_object")
        self.assertEqual(self.recorder.stats().rejected, 18)

    def test_a_mapping_that_raises(self) -> None:
        self.refused({"inner": Hostile(a=1)}, "unreadable_value", "RuntimeError")

    def test_names(self) -> None:
        for name in (None, 7, b"Event"):
            self.assertEqual(self.recorder.track(name).reason, "invalid_name")  # type: ignore[arg-type]
        self.assertEqual(self.recorder.track("").reason, "empty_name")
        self.assertEqual(self.recorder.track("x" * 256).reason, "name_too_long")
        self.assertEqual(self.recorder.identify("").reason, "empty_user")
        self.assertEqual(self.recorder.identify("$device:1").reason, "reserved_user")
        self.assertEqual(self.recorder.identify(7).reason, "invalid_user")  # type: ignore[arg-type]

    def test_settings(self) -> None:
        for settings, word in (
            ({"signals": "gpc"}, "signals"),
            ({"signals": refrain.Signals(gpc=1)}, "signals.gpc"),
            ({"token": ""}, "token"),
            ({"token": None}, "token"),
            ({"default_consent": "yes"}, "default_consent"),
            ({"id_merge": "both"}, "id_merge"),
            ({"batch_size": 0}, "batch_size"),
            ({"batch_size": -1}, "batch_size"),
            ({"batch_size": 1.5}, "batch_size"),
            ({"batch_size": True}, "batch_size"),
            ({"queue_limit_bytes": 2**70}, "queue_limit_bytes"),
            ({"queue_limit_bytes": "1"}, "queue_limit_bytes"),
            ({"queue_limit_age": "1"}, "queue_limit_age"),
            ({"queue_limit_age": 10**400}, "queue_limit_age"),
            ({"flush_interval": False}, "flush_interval"),
            ({"honor_gpc": "no"}, "honor_gpc"),
            ({"honor_gpc": None}, "honor_gpc"),
            ({"honor_dnt": 0}, "honor_dnt"),
            ({"data_dir": ""}, "data_dir is empty"),
            ({"data_dir": "a\0b"}, "data_dir holds a zero byte"),
            ({"data_dir": 7}, "data_dir must be a str, not int"),
            ({"data_dir": b"folder"}, "data_dir must be a str, not bytes"),
            ({"default_consent": []}, "default_consent"),
            ({"id_merge": None}, "id_merge"),
            ({"personal_data": {}}, "personal_data"),
            ({"automatic_properties": 7}, "automatic_properties must be a mapping, not int"),
            ({"automatic_properties": []}, "automatic_properties must be a mapping, not list"),
            ({"automatic_properties": ""}, "automatic_properties must be a mapping, not str"),
            ({"automatic_properties": {"a": [float("nan")]}}, "automatic_properties.a[0] is nan"),
            ({"automatic_properties": {"a": b""}}, "automatic_properties.a is bytes"),
            ({"automatic_properties": {None: 1}}, "automatic_properties has a key that is None"),
            ({"automatic_properties": {"a": "\ud800"}}, "automatic_properties.a holds half of a surrogate pair"),
            ({"automatic_properties": {"a": NoTime(1, 1, 1)}}, "automatic_properties.a cannot be written as a date"),
            ({"automatic_properties": {"a": Hostile(b=1)}}, "automatic_properties"),
            ({"automatic_properties": {"a": "x" * 1_000_001}}, "automatic_properties: "),
            ({"automatic_properties": {"a": "x" * 400_000}}, "automatic_properties must be"),
            ({"automatic_properties": dict.fromkeys(map(str, range(201)))}, "automatic_properties must be"),
            ({"automatic_properties": {"a": {"b": {"c": {"d": {}}}}}}, "automatic_properties must be"),
            ({"automatic_properties": {"a": "a@b.example"}, "personal_data": "reject"}, "automatic_properties"),
            ({"deny_list": "ssn"}, "deny_list"),
            ({"deny_list": [7]}, "deny_list"),
            ({"personal_data_allow": None}, "personal_data_allow"),
            ({"personal_data_allow": "$email"}, "personal_data_allow"),
            ({"personal_data_allow": [7]}, "personal_data_allow"),
            ({"transport": object()}, "transport"),
            ({"flush_interval": -1.0}, "flush_interval"),
            ({"flush_interval": float("nan")}, "flush_interval"),
            ({"endpoint": "ftp://example.org"}, "endpoint"),
            ({"endpoint": "no address"}, "endpoint"),
        ):
            with self.subTest(settings=settings), self.assertRaises(refrain.ConfigError) as caught:
                refrain.Client(**{"token": "t", **settings})
            self.assertIn(word, str(caught.exception))
            self.assertIsInstance(caught.exception, ValueError)


if __name__ == "__main__":
    unittest.main()
