"""The network, and whatever else may stand in for it, cannot harm the app or lose a record."""

import gc
import http.client
import itertools
import logging
import os
import queue
import random
import socket
import ssl
import threading
import unittest
import unittest.mock
from pathlib import Path
from typing import Any, List, Optional

import refrain
from folder import FolderTestCase, nobody
from refrain._transport import _in_seconds

#: A certificate and its key; only these tests trust it.
LOCALHOST = Path(__file__).parent / "localhost.pem"


class NeverUnderWay(refrain.HttpTransport):
    def cancel(self) -> None:
        pass


class Raising(NeverUnderWay):
    """A host transport with a bug."""

    def __init__(self) -> None:
        self.calls = 0

    def send(self, request: refrain.HttpRequest) -> refrain.HttpAnswer:
        self.calls += 1
        raise ZeroDivisionError("a bug in the host")


class Hoarding(NeverUnderWay):
    """A host transport that keeps its requests and takes the body only when it is too late."""

    def __init__(self) -> None:
        self.requests: List[refrain.HttpRequest] = []

    def send(self, request: refrain.HttpRequest) -> refrain.HttpAnswer:
        self.requests.append(request)
        return refrain.HttpAnswer.UNREACHABLE()


class Mistaken(NeverUnderWay):
    """A host transport that returns what it should not."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send(self, request: refrain.HttpRequest) -> refrain.HttpAnswer:
        request.open()
        request.started()
        return self.answer  # type: ignore[no-any-return]


class Greedy(NeverUnderWay):
    """A host transport that takes the body twice and never says that it has begun."""

    def __init__(self) -> None:
        self.bodies: List[Optional[bytes]] = []

    def send(self, request: refrain.HttpRequest) -> refrain.HttpAnswer:
        self.bodies += [request.open(), request.open()]
        return refrain.HttpAnswer.RESPONSE(status=200, retry_after=None, body="1")


class Stuck(NeverUnderWay):
    """A host transport that does not break off, and writes when it may."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_write = threading.Event()

    def send(self, request: refrain.HttpRequest) -> refrain.HttpAnswer:
        request.open()
        self.begun.set()
        self.may_write.wait()
        request.started()
        return refrain.HttpAnswer.UNREACHABLE()


def _answer(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        request = b""
        while not request.endswith(b"}}]"):
            request += connection.recv(4096)
        connection.sendall(answer)


def _refuse_large(listener: socket.socket, is_tls: bool, refusal: bytes) -> None:
    """Answers large requests as soon as their head is there, and hangs up; others when they are."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(LOCALHOST)
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if is_tls:
            connection = tls.wrap_socket(connection, server_side=True)
        with connection:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            head, _, begun = request.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            if length > 200_000:
                connection.sendall(refusal)
                continue
            while len(begun) < length:
                begun += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")


class Answers(FolderTestCase):
    def test_one_may_be_long(self) -> None:
        client = self.client(default_consent="granted")
        client.track("Event")
        self.collector.padding = 60_000
        self.assertTrue(client.flush(timeout=30))
        self.assertEqual(client.stats().delivered, 1)

    def test_half_of_one_is_neither_a_yes_nor_a_no(self) -> None:
        for queued, word in enumerate((b"1", b"0"), 1):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + word
                proxy = threading.Thread(target=_answer, args=(listener, answer), daemon=True)
                proxy.start()
                url = "http://127.0.0.1:%d" % listener.getsockname()[1]
                client = self.client(endpoint=url, default_consent="granted")
                client.track("kept")
                self.assertFalse(client.flush(timeout=30))
                proxy.join()
                stats = client.stats()
                self.assertEqual((stats.queued, stats.delivered), (queued, 0), stats)
                client.close(timeout=0)

    def test_one_may_come_behind_interim_ones(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            interim = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"
            answer = interim + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"
            proxy = threading.Thread(target=_answer, args=(listener, answer), daemon=True)
            proxy.start()
            client = self.client(endpoint="http://127.0.0.1:%d" % listener.getsockname()[1], default_consent="granted")
            client.track("delivered")
            self.assertTrue(client.flush(timeout=30))
            proxy.join()
            self.assertEqual(client.stats().delivered, 1)

    def test_one_may_come_before_the_body_is_out(self) -> None:
        whole = b"Content-Length: 0\r\n\r\n"
        # Its body breaks off with the connection.
        half = b"Transfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n"
        trusted = unittest.mock.patch.dict(os.environ, SSL_CERT_FILE=str(LOCALHOST))
        for scheme, rest in itertools.product(("http", "https"), (whole, half)):
            with socket.create_server(("localhost", 0)) as listener, trusted:
                # So that no body is on its way as a whole before it is refused.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                refusal = b"HTTP/1.1 413 Too Large\r\n" + rest
                threading.Thread(target=_refuse_large, args=(listener, scheme == "https", refusal), daemon=True).start()
                url = "%s://localhost:%d" % (scheme, listener.getsockname()[1])
                client = self.client(endpoint=url, default_consent="granted")
                noise = random.Random(1)
                for _ in range(18):
                    client.track("e", {"large": "%x" % noise.getrandbits(200_000)})
                self.assertTrue(client.flush(timeout=30))
                self.assertEqual(client.stats().delivered, 18)
                client.close(timeout=0)

    def test_what_is_not_taken_compressed_is_sent_again_in_the_clear(self) -> None:
        for status in (411, 415, 501):
            self.collector.statuses = [status]
            client = self.client(default_consent="granted")
            client.track("large", {"text": "x" * 2_000})
            self.assertFalse(client.flush(timeout=30))
            self.assertEqual(client.stats().queued, 1)
            self.assertTrue(client.flush(timeout=30))
            self.assertEqual(client.stats().delivered, 1)
            encodings = [request["headers"].get("Content-Encoding") for request in self.collector.requests]
            self.assertEqual(encodings[-2:], ["gzip", None])
            client.close(timeout=0)

    def test_one_may_say_on_which_date_the_collector_is_back(self) -> None:
        later, date = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:47:37 GMT"
        self.assertEqual(_in_seconds(later, date), "120")
        self.assertIsNone(_in_seconds(date, later))
        self.assertIsNone(_in_seconds(later, None))  # by this clock it has passed
        for value in (None, "", "120", "soon", "Sun, 99 Nov 1994 08:49:37 GMT"):
            self.assertEqual(_in_seconds(value, date), value)


class Logged(logging.Handler):
    """What the package logs."""

    def __init__(self) -> None:
        super().__init__()
        self.records: "queue.Queue[logging.LogRecord]" = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.put(record)


class Notices(FolderTestCase):
    def test_a_developer_reads_why_nothing_is_sent(self) -> None:
        logged = Logged()
        logging.getLogger("refrain").addHandler(logged)
        self.addCleanup(logging.getLogger("refrain").removeHandler, logged)
        self.collector.statuses.append(401)
        client = self.client(default_consent="granted")
        client.track("Bought", {"item": "umbrella"})
        self.assertFalse(client.flush(timeout=30))
        record = logged.records.get(timeout=30)
        self.assertEqual(record.levelno, logging.WARNING)
        self.assertEqual(record.getMessage(), "the collector answers 401: check the token and the endpoint; sending is paused, nothing is lost")

    def test_a_developer_reads_that_records_go(self) -> None:
        logged = Logged()
        logging.getLogger("refrain").addHandler(logged)
        self.addCleanup(logging.getLogger("refrain").removeHandler, logged)
        client = self.client(default_consent="granted", flush_interval=3600, queue_limit_bytes=2_000)
        for _ in range(20):
            client.track("Bought", {"item": "umbrella"})
        record = logged.records.get(timeout=30)
        self.assertEqual(record.getMessage(), "the queue is full: the oldest records are dropped; is the collector out of reach?")
        self.assertGreater(client.stats().dropped["evicted"], 1)
        self.assertTrue(logged.records.empty())


class Workers(FolderTestCase):
    def test_one_that_hangs_is_left_behind(self) -> None:
        client = self.client(default_consent="granted", flush_interval=3600)
        hangs = threading.Event()
        self.addCleanup(hangs.set)
        lookups: List[str] = []
        real = socket.getaddrinfo

        def lookup(name: str, *rest: object, **more: object) -> object:
            lookups.append(name)
            if len(lookups) == 1:
                hangs.wait(60)
            return real(name, *rest, **more)  # type: ignore[arg-type]

        with unittest.mock.patch("socket.getaddrinfo", lookup):
            client.track("lost with the answer")
            self.assertFalse(client.flush(timeout=0.1))
            client.opt_out()  # breaks it off
            client.opt_in()
            client.track("later")
            self.assertTrue(client.flush(timeout=30))
        self.assertFalse(hangs.is_set())
        self.assertEqual(self.collector.names(), ["$opt_in", "later"])

    def test_they_end_with_their_client(self) -> None:
        before = threading.active_count()
        client = refrain.Client("worker", endpoint=self.collector.url)
        [worker] = [thread for thread in threading.enumerate() if thread.name == "refrain-http"][-1:]
        client.close()
        del client
        gc.collect()
        worker.join(timeout=60)
        self.assertFalse(worker.is_alive())
        self.assertLessEqual(threading.active_count(), before)


class Addresses(FolderTestCase):
    def test_without_a_port_the_schemes_own_is_meant(self) -> None:
        for endpoint, port in (("http://[::1]", 80), ("https://[::1]", 443), ("http://127.0.0.1", 80)):
            refused = unittest.mock.patch.object(http.client.HTTPConnection, "connect", autospec=True, side_effect=OSError)
            with refused as connect:
                client = self.client(endpoint=endpoint, default_consent="granted")
                client.track("kept")
                self.assertFalse(client.flush(timeout=30))
                client.close(timeout=0)
            connection = connect.call_args[0][0]
            host = endpoint.split("/")[-1].strip("[]")
            self.assertEqual((connection.host, connection.port), (host, port))


class Transports(FolderTestCase):
    def test_one_that_raises_loses_nothing(self) -> None:
        transport = Raising()
        client = self.client(default_consent="granted", transport=transport)
        client.track("kept")
        with self.assertLogs("refrain", "WARNING") as logs:
            self.assertFalse(client.flush(timeout=30))
            self.assertFalse(client.flush(timeout=30))
        raised = [line for line in logs.output if "the transport that this app has set raises ZeroDivisionError" in line]
        self.assertEqual(len(raised), 1, logs.output)
        self.assertGreater(transport.calls, 0)
        self.assertEqual((client.stats().delivered, client.stats().queued), (0, 1))
        client.close(timeout=0)

        later = self.client(default_consent="granted")
        later.track("and sent")
        self.assertTrue(later.flush(timeout=30))
        self.assertEqual(sorted(self.collector.names()), ["and sent", "kept"])

    def test_one_that_returns_no_answer_is_named(self) -> None:
        answer: Any = refrain.HttpAnswer.RESPONSE  # whose parts nobody checks
        for queued, wrong in enumerate((None, 200, answer("200", None, ""), answer(-1, None, ""), answer(200, 5, "")), 1):
            client = self.client(default_consent="granted", transport=Mistaken(wrong))
            client.track("kept")
            with self.assertLogs("refrain", "WARNING") as logs:
                self.assertFalse(client.flush(timeout=30))
            self.assertIn("returns what is no HttpAnswer", logs.output[0])
            self.assertEqual((client.stats().delivered, client.stats().queued), (0, queued))
            client.close(timeout=0)

    def test_a_body_is_given_out_once_and_in_time_only(self) -> None:
        hoarding = Hoarding()
        client = self.client(default_consent="granted", transport=hoarding)
        client.track("kept")
        self.assertFalse(client.flush(timeout=30))
        client.opt_out()
        self.assertTrue(hoarding.requests)
        self.assertEqual([request.open() for request in hoarding.requests], [None] * len(hoarding.requests))
        client.close(timeout=0)

    def test_one_that_never_says_it_began_holds_nobody_up(self) -> None:
        greedy = Greedy()
        client = self.client(default_consent="granted", transport=greedy)
        client.track("sent")
        self.assertTrue(client.flush(timeout=30))
        self.assertEqual(len(greedy.bodies), 2)
        self.assertIn(b'"event":"sent"', greedy.bodies[0] or b"")
        self.assertIsNone(greedy.bodies[1])
        client.opt_out()  # raises if the sending lock were still held

    def test_c5_a_withdrawal_hears_of_one_that_does_not_break_off_and_may_still_write(self) -> None:
        stuck = Stuck()
        self.addCleanup(stuck.may_write.set)
        client = self.client(default_consent="granted", transport=stuck)
        client.track("under way")
        client.flush(timeout=0)
        self.assertTrue(stuck.begun.wait(60))
        with self.assertRaises(refrain.ConsentError) as raised:
            client.opt_out()
        self.assertEqual(raised.exception.code, "not_fenced")
        stuck.may_write.set()
        client.opt_out()

    def test_one_that_is_not_used_is_named(self) -> None:
        first = self.client(transport=Mistaken(None))
        with self.assertLogs("refrain", "WARNING") as logs:
            self.client(transport=Mistaken(None))
        self.assertIn("transport is not used", logs.output[0])
        with self.assertRaises(AssertionError), self.assertLogs("refrain", "WARNING"):
            self.client()
            self.client(data_dir=None, transport=Mistaken(None))
        self.assertEqual(first.consent().verdict, "hold")

    def test_nobody_listens(self) -> None:
        client = self.client(endpoint=nobody(), default_consent="granted")
        client.track("kept")
        self.assertFalse(client.flush(timeout=30))
        self.assertEqual(client.stats().queued, 1)

    def test_an_answer_that_is_not_the_collectors_is_no_delivery(self) -> None:
        self.collector.statuses = [302]
        client = self.client(default_consent="granted")
        client.track("kept")
        self.assertFalse(client.flush(timeout=30))
        self.assertEqual((client.stats().delivered, client.stats().queued), (0, 1))

    def test_a_withdrawal_does_not_wait_for_an_answer(self) -> None:
        self.collector.answering.clear()
        client = self.client(default_consent="granted")
        client.track("under way")
        client.flush(timeout=0)
        self.assertTrue(self.collector.arrived.acquire(timeout=60))
        client.opt_out()
        self.assertTrue(client.has_opted_out())


if __name__ == "__main__":
    unittest.main()
