"""What the app hears of where consent stands."""

import threading
import unittest
from queue import Queue
from typing import List, Tuple

import refrain
from folder import FolderTestCase


class OnConsent(FolderTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.heard: "Queue[refrain.Consent]" = Queue()

    def hear(self, count: int) -> List[Tuple[str, str]]:
        heard = [self.heard.get(timeout=60) for _ in range(count)]
        return [(consent.decision, consent.verdict) for consent in heard]

    def test_it_is_told_at_the_start_and_at_every_change(self) -> None:
        client = self.client(on_consent=self.heard.put)
        self.assertEqual(self.hear(1), [("unset", "hold")])
        client.opt_in()
        client.opt_out()
        self.assertEqual(self.hear(2), [("granted", "allow"), ("denied", "deny")])
        client.close()
        self.client(on_consent=self.heard.put)
        self.assertEqual(self.hear(1), [("denied", "deny")])

    def test_it_may_call_the_client(self) -> None:
        said: "Queue[Tuple[str, str]]" = Queue()
        made = threading.Event()

        def answer(consent: refrain.Consent) -> None:
            made.wait(60)
            if consent.verdict == "hold":
                client.opt_in()
            said.put((consent.sentence, client.consent().decision))

        client = self.client(on_consent=answer, signals=refrain.Signals(host=True))
        made.set()
        said.get(timeout=60)
        client.signals()
        self.assertEqual(said.get(timeout=60)[1], "granted")
        self.assertEqual(said.get(timeout=60)[0], "Collecting: you have agreed.")

    def test_one_that_raises_is_named_and_asked_again(self) -> None:
        def fail(consent: refrain.Consent) -> None:
            self.heard.put(consent)
            raise LookupError("no banner")

        with self.assertLogs("refrain", "WARNING") as logs:
            client = self.client(on_consent=fail)
            client.opt_in()
            self.hear(2)
            client.close()
        self.assertIn("raises LookupError", logs.output[0])

    def test_a_word_in_place_of_a_function_is_refused(self) -> None:
        with self.assertRaisesRegex(refrain.ConfigError, "on_consent must be a function, not str"):
            self.client(on_consent="later")


if __name__ == "__main__":
    unittest.main()
