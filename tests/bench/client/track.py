"""What `track()` costs a Python program, in microseconds, in a burst and paced; beside a call that does nothing."""

import sys
import tempfile
import time
from statistics import median

from refrain import Client

PROPERTIES = {
    "run": "r",
    "page": "/pricing",
    "plan": "pro",
    "price": 19.99,
    "currency": "EUR",
    "items": 3,
    "first": True,
}


def took(call, count: int, pause: float = 0.0):
    """The median and the 99th percentile of so many calls."""
    times = []
    for _ in range(count):
        if pause:
            time.sleep(pause)
        start = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - start) / 1_000)
    times.sort()
    return median(times), times[count * 99 // 100]


def main() -> None:
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        # Nobody listens there: what is measured is the call.
        client = Client("bench", endpoint="http://127.0.0.1:9", data_dir=folder, default_consent="granted")
        client.flush(5)
        print("\na call from Python, microseconds")
        print(f"{'':28} {'burst p50':>9} {'p99':>9} {'paced p50':>9} {'p99':>9}")
        for name, call in [
            ("refrain", lambda: client.track("Viewed", PROPERTIES)),
            ("a call that does nothing", lambda: None),
        ]:
            figures = [*took(call, count), *took(call, count // 10, 200e-6)]
            print(f"{name:28} " + " ".join(f"{figure:>9.2f}" for figure in figures))
        client.close(1)


main()
