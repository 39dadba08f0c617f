"""A collector in the test's own process: it takes what the wire brings and keeps it for the test to look at."""

import gzip
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, Tuple
from urllib.parse import urlsplit


class Collector:
    """Listens on a free port of the loopback interface until it is closed."""

    def __init__(self) -> None:
        #: Every event that arrived, in order.
        self.events: List[Dict[str, Any]] = []
        #: Path, headers and events of every request.
        self.requests: List[Dict[str, Any]] = []
        #: Every profile and group update that arrived, in order.
        self.updates: List[Dict[str, Any]] = []
        #: Every erasure request.
        self.erasures: List[Dict[str, Any]] = []
        #: The next answers' status; 200 and the collector's own word for success while it is empty.
        self.statuses: List[int] = []
        #: So much is said in every answer beside the collector's own word.
        self.padding = 0
        #: Set while requests are answered; cleared, they are read and wait.
        self.answering = threading.Event()
        self.answering.set()
        #: Counts requests that have been read.
        self.arrived = threading.Semaphore(0)
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector._take(self)

            def do_GET(self) -> None:
                collector._take(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> Tuple[socket.socket, Any]:
                connection, peer = super().get_request()
                with collector._accepted:
                    collector._peers.append(peer)
                    collector._accepted.notify_all()
                return connection, peer

        #: Who has connected.
        self._peers: List[Any] = []
        self._accepted = threading.Condition()
        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def connections(self) -> int:
        """Connections that were made until now. Where nothing may leave, nobody may even connect (C13)."""
        # They are accepted in order, so with this one all are known; it counts for nothing itself.
        with socket.create_connection(self._server.server_address) as probe, self._accepted:
            self._accepted.wait_for(lambda: probe.getsockname() in self._peers)
            self._peers.remove(probe.getsockname())
            return len(self._peers)

    def names(self) -> List[str]:
        """The names of the events that arrived."""
        return [event["event"] for event in self.events]

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        path = urlsplit(handler.path)
        taken: List[Dict[str, Any]] = []
        status = self.statuses.pop(0) if self.statuses else 200
        answer = b'{"pad":"%s","error":null,"status":1}' % (b"x" * self.padding)
        if path.path == "/refrain/v1/erasures":
            self.erasures.append(json.loads(body))
            status, answer = 202, b'{"id":"e1","state":"accepted"}'
        elif path.path == "/refrain/v1/erasures/e1":
            answer = b'{"id":"e1","state":"completed","receipt":{"events":1}}'
        elif status == 200:
            taken = json.loads(body)
        (self.events if path.path == "/track/" else self.updates).extend(taken)
        self.requests.append({"path": handler.path, "headers": dict(handler.headers), "events": taken})
        self.arrived.release()
        self.answering.wait()
        try:
            handler.send_response(status)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(answer)))
            handler.end_headers()
            handler.wfile.write(answer)
        except OSError:  # the client has gone, as some tests want it to
            pass

    def close(self) -> None:
        """Ends it, and waiting requests with it."""
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
