"""A "no" holds: on the wire, in the folder, in the next process, and after a later "yes".

Rule ids refer to ``sdk-core/src/engine/rules.md``.
"""

import subprocess
import sys
import unittest

import refrain
from folder import FolderTestCase, nobody

PLANTED = "planted-4711-value"


class Withdrawal(FolderTestCase):
    def in_another_process(self, script: str) -> str:
        """What a new process with a client on the same folder prints."""
        program = (
            "import sys, refrain\n"
            "with refrain.Client('project-token', endpoint=sys.argv[1], data_dir=sys.argv[2],"
            " default_consent='granted') as client:\n"
        ) + "\n".join("    " + line for line in script.splitlines())
        run = subprocess.run(
            [sys.executable, "-c", program, self.collector.url, str(self.folder)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=120,
        )  # fmt: skip
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return run.stdout.strip()

    def test_c3_c4_only_the_consent_record_is_left(self) -> None:
        client = self.client(endpoint=nobody(), default_consent="granted")
        client.register({"super": PLANTED})
        client.identify("user-" + PLANTED)
        client.track("Event " + PLANTED, {"value": PLANTED})
        client.flush(timeout=30)
        device = client.device_id
        # What is looked for below can be found.
        self.assertTrue(self.holds(PLANTED))
        self.assertTrue(self.holds("Event " + PLANTED))
        self.assertGreater(client.stats().queued, 0)

        client.opt_out()

        self.assertEqual(self.holds(PLANTED), [])
        self.assertEqual(self.holds(device), [])
        self.assertEqual({file.kind for file in client.audit().files}, {"consent"})
        self.assertTrue(self.holds('"decision":"denied"'))
        self.assertEqual([path.name for path in self.files() if path.stat().st_size > 0 and not self._is_consent(path)], [])
        self.assertIsNone(client.distinct_id)
        self.assertIsNone(client.device_id)
        self.assertTrue(client.has_opted_out())
        stats = client.stats()
        self.assertEqual((stats.queued, stats.held), (0, 0))
        self.assertGreater(stats.dropped["withdrawn"], 0)

    @staticmethod
    def _is_consent(path) -> bool:
        return b'"decision":"denied"' in path.read_bytes()

    def test_c5_nothing_leaves_after_the_call_returned(self) -> None:
        client = self.client(default_consent="granted")
        client.track("before")
        self.assertTrue(client.flush(timeout=30))
        client.track("not yet sent")

        client.opt_out()

        arrived = len(self.collector.requests)
        for outcome in (
            client.track("after"),
            client.identify("user-1"),
            client.register({"a": 1}),
            client.unregister("a"),
        ):
            self.assertFalse(outcome)
            self.assertEqual((outcome.status, outcome.reason), ("rejected", "denied"))
        client.reset()
        client.flush(timeout=30)
        client.close(timeout=30)
        self.assertEqual(len(self.collector.requests), arrived)
        self.assertNotIn("after", self.collector.names())

    def test_c5_c7_another_process_remembers(self) -> None:
        client = self.client(default_consent="granted")
        client.track("before")
        self.assertTrue(client.flush(timeout=30))
        client.opt_out()
        client.close()
        arrived = len(self.collector.requests)

        said = self.in_another_process(
            "client.track('at once')\n"  # may be held until the folder has been read
            "print(client.has_opted_out(), client.consent().verdict, client.device_id)\n"
            "print(client.track('after').reason)\n"
            "client.reset(); client.flush(timeout=30)"
        )
        self.assertEqual(said, "True deny None\ndenied")
        self.assertEqual(len(self.collector.requests), arrived)

    def test_c5_a_running_process_obeys_another_ones_no(self) -> None:
        client = self.client(default_consent="granted", flush_interval=3600)
        client.track("waits")
        self.in_another_process("client.opt_out()")
        client.flush(timeout=30)
        client.close(timeout=30)
        self.assertEqual(self.collector.events, [])

    def test_a_closed_client_takes_a_refusal_and_no_agreement(self) -> None:
        client = self.client(default_consent="granted")
        client.close()
        with self.assertRaises(refrain.ConsentError) as caught:
            client.opt_in()
        self.assertEqual(caught.exception.code, "not_recorded")
        self.assertIn("closed", caught.exception.detail)
        client.opt_out()
        self.assertTrue(client.has_opted_out())
        self.assertTrue(self.client(default_consent="granted").has_opted_out())

    def test_c6_a_later_yes_brings_nothing_back(self) -> None:
        client = self.client(default_consent="granted", flush_interval=3600)
        client.track("old")
        client.flush(timeout=0)
        first = client.device_id
        client.opt_out()
        arrived = len(self.collector.requests)
        client.track("refused")
        client.opt_in()
        second = client.device_id
        client.track("new")
        self.assertTrue(client.flush(timeout=30))
        later = [event for request in self.collector.requests[arrived:] for event in request["events"]]
        self.assertEqual(sorted(event["event"] for event in later), ["$opt_in", "new"])
        self.assertIsNotNone(second)
        self.assertNotEqual(first, second)
        self.assertEqual({event["properties"]["$device_id"] for event in later}, {second})

    def test_c11_agreeing_twice_records_one_transition(self) -> None:
        client = self.client()
        client.opt_in()
        client.opt_in()
        self.assertTrue(client.flush(timeout=30))
        self.assertEqual(self.collector.names(), ["$opt_in"])

    def test_c13_pending_writes_nothing_and_connects_to_nobody_until_the_person_agrees(self) -> None:
        client = self.client()
        self.assertEqual(client.track("asked", {"value": PLANTED}), refrain.Outcome("held"))
        self.assertEqual(client.consent().verdict, "hold")
        self.assertIsNone(client.device_id)
        client.identify("user-1")
        client.flush(timeout=30)
        self.assertFalse(self.folder.exists())
        self.assertEqual(self.collector.connections(), 0)
        client.opt_in()
        self.assertTrue(client.flush(timeout=30))
        self.assertIn("asked", self.collector.names())
        self.assertTrue(self.folder.exists())

    def test_pending_then_no_leaves_only_the_no(self) -> None:
        client = self.client()
        client.track("asked", {"value": PLANTED})
        client.opt_out()
        client.close(timeout=30)
        self.assertEqual(self.holds(PLANTED), [])
        self.assertTrue(self.holds('"decision":"denied"'))
        self.assertEqual(self.collector.connections(), 0)

    def test_c10_reading_changes_nothing(self) -> None:
        client = self.client()
        self.assertFalse(client.has_opted_out())
        consent = client.consent()
        self.assertEqual((consent.decision, consent.verdict, consent.reason), ("unset", "hold", "default"))
        self.assertTrue(consent.sentence.endswith("."))
        client.stats(), client.audit(), client.distinct_id
        client.close(timeout=30)
        self.assertFalse(self.folder.exists())
        self.assertEqual(self.collector.connections(), 0)

    def test_a_signal_is_a_no_until_the_person_decides(self) -> None:
        client = self.client(default_consent="granted")
        client.signals(gpc=True)
        self.assertEqual(client.consent().reason, "gpc")
        self.assertEqual(client.track("refused").reason, "denied")
        client.signals(host=True)
        self.assertEqual(client.consent().reason, "host")
        self.assertFalse(client.has_opted_out())
        self.assertEqual(self.collector.connections(), 0)
        client.opt_in()
        self.assertEqual(client.consent().verdict, "allow")

    def test_c3_a_signal_that_is_known_at_the_start_comes_before_everything(self) -> None:
        client = self.client(default_consent="granted", signals=refrain.Signals(dnt=True))
        self.assertEqual(client.consent().reason, "dnt")
        self.assertEqual(client.track("refused").reason, "denied")
        client.flush(timeout=30)
        self.assertFalse(self.folder.exists())

    def test_a_signal_that_is_not_honoured(self) -> None:
        client = self.client(default_consent="granted", honor_gpc=False, honor_dnt=False)
        client.signals(gpc=True, dnt=True)
        self.assertEqual(client.consent().verdict, "allow")

    def test_a_default_of_no(self) -> None:
        client = self.client(default_consent="denied")
        self.assertEqual(client.consent().reason, "default")
        outcome = client.track("refused")
        self.assertEqual((outcome.status, outcome.reason), ("rejected", "denied"))
        client.close(timeout=30)
        self.assertFalse(self.folder.exists())
        self.assertEqual(self.collector.connections(), 0)

    def test_c8_a_damaged_record_is_a_no(self) -> None:
        client = self.client(default_consent="granted")
        client.opt_in()
        client.close()
        for path in self.files():
            if b'"decision"' in path.read_bytes():
                path.write_bytes(b"\x00damaged\xff")
        later = self.client(default_consent="granted")
        later.flush(timeout=30)
        consent = later.consent()
        self.assertEqual((consent.verdict, consent.reason), ("deny", "store_unavailable"))
        self.assertEqual(later.track("refused").reason, "denied")

    def test_a_folder_that_cannot_be_made(self) -> None:
        self.folder.write_bytes(b"a file stands where the folder should")
        client = self.client(default_consent="granted")
        with self.assertRaises(refrain.ConsentError) as caught:
            client.opt_out()
        self.assertEqual(caught.exception.code, "not_recorded")
        self.assertIn("the data folder cannot be written", str(caught.exception))
        self.assertEqual(client.track("refused").reason, "denied")
        self.assertEqual(self.collector.connections(), 0)

    def test_c8_without_a_folder_only_this_process_knows(self) -> None:
        client = self.client(data_dir=None, default_consent="granted")
        self.assertEqual(client.consent().reason, "store_unavailable")
        self.assertEqual(client.track("refused").reason, "denied")
        client.opt_in()
        client.track("agreed")
        self.assertTrue(client.flush(timeout=30))
        self.assertIn("agreed", self.collector.names())
        arrived = len(self.collector.requests)
        with self.assertRaises(refrain.ConsentError) as caught:
            client.opt_out()
        self.assertEqual(caught.exception.code, "not_recorded")
        self.assertTrue(client.has_opted_out())
        self.assertEqual(client.track("refused").reason, "denied")
        client.flush(timeout=30)
        self.assertEqual(len(self.collector.requests), arrived)

    def test_c12_erasure_is_asked_for_by_the_withdrawn_device(self) -> None:
        client = self.client(default_consent="granted")
        client.track("before")
        self.assertTrue(client.flush(timeout=30))
        device = client.device_id
        self.collector.arrived.acquire()
        client.opt_out(erase=True)
        self.assertTrue(self.collector.arrived.acquire(timeout=60))
        (erasure,) = self.collector.erasures
        self.assertEqual(erasure["device_id"], device)
        self.assertEqual(erasure["token"], "project-token")
        self.assertEqual(len(erasure["secret"]), 32)


if __name__ == "__main__":
    unittest.main()
