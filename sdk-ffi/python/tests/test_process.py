"""Forks, and the end of the interpreter."""

import copy
import os
import pickle
import signal
import socket
import subprocess
import sys
import unittest

import refrain
from folder import FolderTestCase

NO_SUCH_CALL = 255
#: What the bindings hold while they note down a client's transport.
LOCK = "lock = refrain.refrain_ffi._UniffiFfiConverterTypeHttpTransport._handle_map._lock\n"


class ScriptTestCase(FolderTestCase):
    """A test that runs a script in an interpreter of its own."""

    def run_script(self, script: str, *options: str) -> None:
        """Runs it with the collector's address and the folder, and expects that it says nothing."""
        run = self.run_anyhow(script, *options)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""))

    def run_anyhow(self, script: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """Runs it, whatever comes of it."""
        return subprocess.run(
            [sys.executable, "-X", "dev", *options, "-c", script, self.collector.url, str(self.folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            timeout=120,
        )


class Forks(ScriptTestCase):
    def test_a_forked_child_needs_a_client_of_its_own(self) -> None:
        client = self.client(default_consent="granted", flush_interval=3600)
        client.track("parent")
        child = os.fork()
        if child == 0:
            try:
                outcome = client.track("child")
                said = (outcome.status, outcome.reason, client.flush(), client.close())
                # The library itself, too, which does not ask the system at every call.
                past = client._call(0, "child", "{}")
                os._exit(0 if (said, past) == (("rejected", "forked", False, False), NO_SUCH_CALL) else 1)
            finally:
                os._exit(2)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertTrue(client.flush(timeout=30))
        self.assertEqual(self.collector.names(), ["parent"])

    def test_a_childs_own_client_outlives_the_one_that_it_has_inherited(self) -> None:
        self.run_script(
            "import os, signal, sys, refrain\n"
            "def client():\n"
            "    return refrain.Client('project-token', endpoint=sys.argv[1], data_dir=sys.argv[2],\n"
            "        default_consent='granted', flush_interval=3600)\n"
            "inherited = client()\n"
            "inherited.track('parent')\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    signal.alarm(60)\n"
            "    own = client()\n"
            "    del inherited\n"
            "    outcome = own.track('child')\n"
            "    os._exit(0 if outcome and own.flush(timeout=30) else 1)\n"
            "status = os.waitpid(child, 0)[1]\n"
            "inherited.close()\n"
            "os._exit(status)\n",
            "-W",
            "ignore::DeprecationWarning",  # of a fork where threads are
        )
        self.assertEqual(sorted(self.collector.names()), ["child", "parent"])

    def test_a_child_hears_what_the_person_has_decided(self) -> None:
        client = self.client(default_consent="granted", flush_interval=3600)
        client.opt_out()
        child = os.fork()
        if child == 0:
            try:
                consent = client.consent()
                said = (client.has_opted_out(), consent.decision, consent.verdict, consent.reason)
                os._exit(0 if said == (True, "denied", "deny", "person") else 1)
            finally:
                os._exit(2)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def test_a_client_is_made_in_a_child_whatever_the_parents_threads_do(self) -> None:
        # To find its client among long tokens that differ at their end takes a thread long: most forks meet it there.
        self.run_script(
            "import os, signal, sys, threading, refrain\n"
            "def client(token):\n"
            "    return refrain.Client(token, endpoint=sys.argv[1], data_dir=sys.argv[2])\n"
            "tokens = ['t' * 200_000 + str(number) for number in range(10, 50)]\n"
            "clients = [client(token) for token in tokens]\n"
            "def build():\n"
            "    while True:\n"
            "        clients.append(client(tokens[-1]))\n"
            "threading.Thread(target=build, daemon=True).start()\n"
            "for _ in range(30):\n"
            "    child = os.fork()\n"
            "    if child == 0:\n"
            "        signal.alarm(30)\n"
            "        client('child').consent()\n"
            "        os._exit(0)\n"
            "    if os.waitpid(child, 0)[1] != 0:\n"
            "        os._exit(1)\n"
            "os._exit(0)\n",
            "-W",
            "ignore::DeprecationWarning",  # of a fork where threads are
        )

    def test_a_client_is_made_in_a_child_while_a_thread_of_the_parents_makes_one(self) -> None:
        self.run_script(
            "import os, signal, sys, threading, refrain\n"
            + LOCK
            + "threading.Thread(target=lock.acquire).start()\n"
            "while lock.acquire(blocking=False):\n"
            "    lock.release()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    signal.alarm(60)\n"
            "    refrain.Client('child', endpoint=sys.argv[1]).close()\n"
            "    os._exit(0)\n"
            "os._exit(os.waitpid(child, 0)[1])\n",
            "-W",
            "ignore::DeprecationWarning",  # of a fork where threads are
        )


class Collected(ScriptTestCase):
    def test_a_client_may_be_so_while_another_one_is_made(self) -> None:
        self.run_script(
            "import gc, signal, sys, refrain\n"
            + LOCK
            + "signal.alarm(60)\n"
            "class Holder:\n"
            "    pass\n"
            "holder = Holder()\n"
            "holder.itself, holder.client = holder, refrain.Client('t', endpoint=sys.argv[1])\n"
            "del holder\n"
            "with lock:\n"
            "    gc.collect()\n"
        )


class Copies(FolderTestCase):
    def test_there_are_none_of_a_client(self) -> None:
        client = self.client(default_consent="granted")
        for make in (copy.copy, copy.deepcopy, pickle.dumps):
            with self.assertRaisesRegex(TypeError, "cannot be copied or pickled"):
                make(client)
        self.assertTrue(client.track("Goes on"))
        self.assertTrue(client.flush(timeout=30))

    def test_an_error_can_be_passed_on_to_another_process(self) -> None:
        with self.assertRaises(refrain.ConsentError) as raised:
            self.client(data_dir=None).opt_out()
        passed_on = pickle.loads(pickle.dumps(raised.exception))
        self.assertEqual((passed_on.code, str(passed_on)), (raised.exception.code, str(raised.exception)))


class Interrupts(FolderTestCase):
    def test_a_signal_is_served_while_the_main_thread_waits(self) -> None:
        self.collector.answering.clear()
        before = signal.signal(signal.SIGALRM, lambda number, frame: self.collector.answering.set())
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        client = self.client(default_consent="granted")
        client.track("Waits")
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        self.assertTrue(client.flush(timeout=60))


class Sharing(FolderTestCase):
    def test_two_clients_on_a_folder_are_one_person(self) -> None:
        one = self.client(default_consent="granted", flush_interval=3600)
        other = self.client(default_consent="granted", flush_interval=3600)
        one.track("one")
        one.close(timeout=30)
        other.track("other")
        self.assertTrue(other.flush(timeout=30))  # over the transport that the closed one brought
        self.assertEqual(sorted(self.collector.names()), ["one", "other"])
        self.assertEqual(len({event["properties"]["$device_id"] for event in self.collector.events}), 1)
        other.opt_out()
        self.assertEqual(one.track("late").status, "rejected")

    def test_settings_that_contradict_an_open_client_are_refused(self) -> None:
        self.client(default_consent="pending")
        with self.assertRaises(refrain.ConfigError) as caught:
            self.client(default_consent="granted")
        self.assertIn("default_consent", str(caught.exception))


class Ends(ScriptTestCase):
    def test_a_script_that_forgets_to_close_ends_and_what_it_recorded_is_sent(self) -> None:
        self.run_script(
            "import sys, refrain\n"
            "client = refrain.Client('t', endpoint=sys.argv[1], data_dir=sys.argv[2], default_consent='granted')\n"
            "client.track('forgotten')\n"
        )
        later = self.client(default_consent="granted")
        later.flush(timeout=30)
        self.assertEqual(self.collector.names(), ["forgotten"])

    def test_what_is_left_at_the_end_is_sent_also_where_no_thread_begins_then(self) -> None:
        # As from Python 3.12 on.
        self.run_script(
            "import atexit, sys, threading, refrain\n"
            "client = refrain.Client('t', endpoint=sys.argv[1], default_consent='granted', flush_interval=3600)\n"
            "client.opt_in()\n"
            "client.track('last')\n"
            "def refuse(thread):\n"
            "    raise RuntimeError(\"can't create new thread at interpreter shutdown\")\n"
            "atexit.register(setattr, threading.Thread, 'start', refuse)\n"
        )
        self.assertEqual(self.collector.names(), ["$opt_in", "last"])

    def test_what_is_recorded_where_no_thread_begins_any_more_is_kept(self) -> None:
        self.run_script(
            "import atexit, sys, threading, refrain\n"
            "def record():\n"
            "    client = refrain.Client('project-token', endpoint=sys.argv[1], data_dir=sys.argv[2], default_consent='granted')\n"
            "    client.track('kept')\n"
            "    client.flush()\n"
            "def refuse(thread):\n"
            "    raise RuntimeError(\"can't create new thread at interpreter shutdown\")\n"
            "atexit.register(record)\n"
            "atexit.register(setattr, threading.Thread, 'start', refuse)\n"
        )
        later = self.client(default_consent="granted")
        later.track("and sent")
        self.assertTrue(later.flush(timeout=30))
        self.assertEqual(sorted(self.collector.names()), ["and sent", "kept"])

    def test_a_script_ends_while_a_request_is_under_way(self) -> None:
        self.collector.answering.clear()
        self.run_script(
            "import sys, refrain\n"
            "client = refrain.Client('t', endpoint=sys.argv[1], data_dir=sys.argv[2], default_consent='granted')\n"
            "client.track('under way')\n"
            "client.flush(timeout=1)\n"
        )
        self.assertTrue(self.collector.arrived.acquire(timeout=60))

    def test_a_script_ends_while_a_thread_of_the_librarys_comes_back_from_a_transport(self) -> None:
        # The transport is the first client's, which is closed and gone; the second one sends with it. Its thread
        # is let go of by what the interpreter does last, which leaves it some time to come back in.
        self.run_script(
            "import os, sys, threading, time, types, refrain\n"
            "held, let_go = os.pipe()\n"
            "class Late:\n"
            "    def __del__(self, write=os.write, let_go=let_go, sleep=time.sleep):\n"
            "        write(let_go, b'!')\n"
            "        sleep(0.5)\n"
            "class Slow(refrain.HttpTransport):\n"
            "    def __init__(self):\n"
            "        self.begun = threading.Event()\n"
            "    def send(self, request):\n"
            "        self.begun.set()\n"
            "        os.read(held, 1)  # no thread of the interpreter's could be woken any more\n"
            "        return refrain.HttpAnswer.UNREACHABLE()\n"
            "    def cancel(self):\n"
            "        pass\n"
            "def client(**settings):\n"
            "    return refrain.Client('t', endpoint=sys.argv[1], data_dir=sys.argv[2], default_consent='granted',\n"
            "        flush_interval=3600, **settings)\n"
            "sys.modules['late'] = types.ModuleType('late')\n"
            "sys.modules['late'].late = Late()  # a module's content goes while the interpreter ends\n"
            "slow = Slow()\n"
            "one, other = client(transport=slow), client()\n"
            "one.close()\n"
            "del one\n"
            "other.track('under way')\n"
            "threading.Thread(target=other.flush, daemon=True).start()\n"
            "slow.begun.wait()\n"
            "other.close(timeout=0)\n"
        )

    def test_a_script_ends_whatever_a_transport_hangs_in(self) -> None:
        for takes, ends in (
            ("pass", "pass"),
            ("request.open()", "client.close(timeout=0)"),
            ("request.open()", "del client"),
        ):
            with self.subTest(takes=takes, ends=ends):
                self.run_script(
                    "import sys, threading, time, refrain\n"
                    "begun = threading.Event()\n"
                    "def hang():\n"
                    "    while True:\n"
                    "        time.sleep(0.001)\n"
                    "class Hangs(refrain.HttpTransport):\n"
                    "    def send(self, request):\n"
                    f"        {takes}\n"
                    "        begun.set()\n"
                    "        hang()\n"
                    "    def cancel(self):\n"
                    "        hang()\n"
                    "client = refrain.Client('t', endpoint=sys.argv[1], transport=Hangs())\n"
                    "client.opt_in()\n"
                    "client.flush(timeout=0)\n"
                    "begun.wait()\n"
                    f"{ends}\n"
                )

    def test_a_script_ends_although_its_end_is_interrupted(self) -> None:
        script = (
            "import sys, threading, time, refrain\n"
            "begun = threading.Event()\n"
            "class Hangs(refrain.HttpTransport):\n"
            "    def send(self, request):\n"
            "        begun.set()\n"
            "        while True:\n"
            "            time.sleep(0.001)\n"
            "    def cancel(self):\n"
            "        pass\n"
            "client = refrain.Client('t', endpoint=sys.argv[1], transport=Hangs())\n"
            "client.opt_in()\n"
            "client.flush(timeout=0)\n"
            "begun.wait()\n"
            "def interrupt(*_):\n"
            "    raise KeyboardInterrupt\n"
            "refrain.refrain_ffi.Client.shutdown = interrupt\n"
        )
        run = self.run_anyhow(script)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("KeyboardInterrupt", run.stderr)

    def test_clients_that_nobody_closed_share_one_time(self) -> None:
        self.run_script(
            "import atexit, sys, time\n"
            "given, now = [], [0.0]\n"
            "def look():\n"
            "    if given != [1.0, 0.25, 0.0]:\n"
            "        print(given, flush=True)\n"
            "atexit.register(look)\n"
            "import refrain\n"
            "time.monotonic = lambda: now[0]\n"
            "clients = [refrain.Client('t', endpoint=sys.argv[1]) for _ in range(3)]\n"
            "shutdown = refrain.refrain_ffi.Client.shutdown\n"
            "def hang(client, timeout):\n"
            "    given.append(timeout)\n"
            "    now[0] += 0.75\n"
            "    return shutdown(client, 0.0)\n"
            "refrain.refrain_ffi.Client.shutdown = hang\n"
        )

    def test_one_that_hangs_at_the_end_does_not_take_the_others_time(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.run_script(
                "import sys, refrain\n"
                f"urls = [sys.argv[1], 'http://127.0.0.1:{silent.getsockname()[1]}', sys.argv[1]]\n"
                "clients = [refrain.Client('t', endpoint=url, flush_interval=3600) for url in urls]\n"
                "for client in clients:\n"
                "    client.opt_in()\n"
            )
        self.assertEqual(self.collector.names(), ["$opt_in", "$opt_in"])


if __name__ == "__main__":
    unittest.main()
