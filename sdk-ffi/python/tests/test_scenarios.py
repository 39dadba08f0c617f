"""The scenarios of ``tests/scenarios`` in a checkout. `REFRAIN_MOCK_BIN` names the server's program; without it this
file holds no test."""

import json
import subprocess
import sys
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import mock_server
import pattern

_HOST = "python"
_HOSTS = {"native", "browser", "node", "python", "kotlin", "swift"}
_SCENARIOS = Path(__file__).resolve().parents[3] / "tests" / "scenarios"
_SOON = 20.0
"""How long ``soon`` may take, in seconds; only a broken client ever uses it up."""
_SETTINGS = {
    "default_consent", "honor_gpc", "honor_dnt", "flush_interval", "batch_size", "queue_limit_bytes",
    "queue_limit_age", "id_merge", "deny_list",
}  # fmt: skip


class Process:
    """A client in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("scenario_client.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True,
        )  # fmt: skip

    def ask(self, what: str, **details: Any) -> Any:
        """Has it do something; what came of it."""
        self._process.stdin.write(json.dumps({"do": what, **details}) + "\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        answer = json.loads(self._process.stdout.readline())  # type: ignore[union-attr]
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["done"]

    def wait(self) -> None:
        """Has it end, and waits until it has."""
        self._process.communicate(timeout=60)
        if self._process.returncode != 0:
            raise AssertionError(f"the client's process ended with {self._process.returncode}")

    def kill(self) -> None:
        """Ends it as SIGKILL does."""
        self._process.kill()
        self._process.communicate()


class Client:
    """One that has run; without a process it is stopped."""

    def __init__(self, device: str, settings: Dict[str, Any]) -> None:
        self.process: Optional[Process] = None
        self.device = device
        self.settings = settings
        self.signals: Dict[str, bool] = {}


class World:
    """What a scenario is played in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = mock_server.MockServer()
        self._clients: Dict[str, Client] = {}
        self._remembered: pattern.Remembered = {}

    def close(self) -> None:
        """Ends everything."""
        for client in self._clients.values():
            if client.process is not None:
                client.process.kill()
        self._server.close()

    def step(self, step: Dict[str, Any]) -> None:
        """Plays a step. What the verb's method does not take is unknown, and an error."""
        verbs = [name for name in step if name in _VERBS and not (name == "signals" and "start" in step)]
        if len(verbs) != 1:
            raise AssertionError(f"a step has one verb, not {verbs}")
        modifiers = {_MODIFIERS[name]: value for name, value in step.items() if name != verbs[0]}
        _VERBS[verbs[0]](self, step[verbs[0]], **modifiers)
        self._check_books()

    def _start(
        self, settings: Any, on: str = "first", device: Optional[str] = None, signals: Optional[Any] = None
    ) -> None:
        if on not in self._clients:
            defaults = {"token": "scenario", "endpoint": self._server.url, "flush_interval": 3600}
            self._clients[on] = Client(device or "device", defaults)
        client = self._clients[on]
        assert client.process is None, "it is running already"
        assert device in (None, client.device), "it was on another device"
        assert set(settings) <= _SETTINGS, f"settings: {settings}"
        if signals is not None:
            client.signals = _signals(signals)
        client.settings.update(settings, data_dir=str(self._folder / client.device))
        client.process = Process()
        client.process.ask("start", settings=client.settings, signals=client.signals)

    def _stop(self, how: Any, on: str = "first") -> None:
        assert how in ("close", "kill"), how
        process = self._running(on)
        self._clients[on].process = None
        if how == "kill":
            process.kill()
        else:
            process.ask("shutdown")
            process.wait()

    def _shutdown(self, how: Any, on: str = "first") -> None:
        assert how == {}, how
        self._running(on).ask("shutdown")

    def _call(
        self, method: Any, on: str = "first", arguments: Any = (), gives: Any = "accepted", times: int = 1
    ) -> None:
        rejected = isinstance(gives, dict) and list(gives) == ["rejected"]
        assert rejected or gives in ("accepted", "held"), f"a call cannot give {gives}"
        for index in range(times):
            values = pattern.value(list(arguments), index, self._remembered)
            given = self._running(on).ask("call", **{"method": method, "with": values})
            assert given == gives, f"it gave {given}"

    def _opt_in(self, how: Any, on: str = "first") -> None:
        assert how == {}, how
        self._running(on).ask("opt_in", how=how)

    def _opt_out(self, how: Any, on: str = "first") -> None:
        assert set(how) <= {"erase", "delete_profile"}, how
        self._running(on).ask("opt_out", how=how)

    def _say_signals(self, signals: Any, on: str = "first") -> None:
        self._running(on).ask("signals", signals=_signals(signals))
        self._clients[on].signals = signals

    def _flush(self, wanted: Any, on: str = "first", soon: bool = False) -> None:
        assert isinstance(wanted, bool), "a flush answers true or false"

        def flush() -> None:
            answer = self._running(on).ask("flush")
            assert answer == wanted, f"it answered {answer}"

        _attempt(flush, soon)

    def _ask_server(self, request: List[Any], gives: Any = pattern.NOTHING, soon: bool = False) -> None:
        method, path, *body = request
        assert len(body) <= 1, "a request is a method, a path and perhaps a body"
        body = pattern.value(body, 0, self._remembered)

        def ask() -> None:
            answer = self._server.ask(method, path, *body)
            if gives is not pattern.NOTHING:
                pattern.check(gives, answer, 0, self._remembered)

        _attempt(ask, soon)

    def _damage(self, what: Any, device: str = "device") -> None:
        for slot in self._slots(what, device):
            content = bytearray(slot.read_bytes())
            content[-1] ^= 0x10
            slot.write_bytes(content)

    def _remove(self, what: Any, device: str = "device") -> None:
        for slot in self._slots(what, device):
            slot.unlink()

    def _slots(self, what: Any, device: str) -> List[Path]:
        assert what == "consent", f"`{what}` cannot be hurt"
        running = [name for name, client in self._clients.items() if client.device == device and client.process]
        assert not running, f"{running} runs"
        slots = [path for path in self._files(device) if ".consent." in path.name]
        assert len(slots) == 2, slots
        return slots

    def _remember(self, what: Any, on: str = "first") -> None:
        ids = self._state(on)["ids"]
        for name, key in what.items():
            assert key in ("device_id", "distinct_id"), key
            assert key in ids, f"it has no {key}"
            self._remembered[name] = ids[key]

    def _check_consent(self, wanted: Any, on: str = "first", soon: bool = False) -> None:
        self._check_state("consent", wanted, on, soon)

    def _check_ids(self, wanted: Any, on: str = "first", soon: bool = False) -> None:
        self._check_state("ids", wanted, on, soon)

    def _check_stats(self, wanted: Any, on: str = "first", soon: bool = False) -> None:
        self._check_state("stats", wanted, on, soon)

    def _check_outbox(self, wanted: Any, on: str = "first", soon: bool = False) -> None:
        self._check_state("outbox", wanted, on, soon)

    def _check_state(self, part: str, wanted: Any, on: str, soon: bool) -> None:
        def check() -> None:
            state = self._state(on)
            pattern.check(wanted, state[part], 0, self._remembered, part)
            if part == "consent":
                _check_consent(state)

        _attempt(check, soon)

    def _check_kept(self, word: Any, device: str = "device", soon: bool = False) -> None:
        _attempt(lambda: self._check_kept_now(word, device), soon)

    def _check_kept_now(self, word: Any, device: str) -> None:
        full = [path.name for path in self._files(device) if path.stat().st_size > 0]
        data = [name for name in full if ".consent." not in name and name != "owner"]
        recorded = any(".consent." in name for name in full)
        holds = {
            "untouched": not (self._folder / device).exists(),
            "nothing": not full,
            "consent": recorded and not data,
            "data": bool(data),
        }
        assert holds[word], f"the folder holds {full}"
        for name, client in self._clients.items():
            if client.device != device or client.process is None:
                continue
            audit = self._state(name)["audit"]
            anonymous = audit["ids"] == [None, None]
            quiet = audit["super_properties"] == [] and audit["counts"] == [0, 0, 0]
            kinds = set(audit["files"])
            holds = {
                "untouched": anonymous and not kinds,
                "nothing": anonymous and not kinds,
                "consent": anonymous and quiet and kinds == {"consent"},
                "data": bool(kinds - {"consent"}),
            }
            assert holds[word], f"audit() lists {audit}"

    def _check_kept_with(self, texts: Any, device: str = "device", soon: bool = False) -> None:
        def check() -> None:
            missing = [text for text, places in self._search(texts, device) if not places]
            assert not missing, f"{missing} is not there"

        _attempt(check, soon)

    def _check_kept_without(self, texts: Any, device: str = "device") -> None:
        found = [(text, places) for text, places in self._search(texts, device) if places]
        assert not found, f"there are {found}"

    def _search(self, texts: Any, device: str) -> List[Tuple[str, List[str]]]:
        texts = pattern.value(texts, 0, self._remembered)
        assert texts and all(isinstance(text, str) and text for text in texts), texts
        folder = self._folder / device
        files = [(str(path.relative_to(folder)), path.read_bytes()) for path in self._files(device)]
        return [
            (text, [name for name, content in files if text in name or text.encode() in content]) for text in texts
        ]

    def _check_arrived(self, records: Any, any_order: bool = False) -> None:
        wanted: List[Tuple[Any, int]] = []
        for record in records:
            record = {"event": record} if isinstance(record, str) else record
            assert "event" in record and set(record) <= {"event", "properties", "times"}, record
            one = {name: record[name] for name in ("event", "properties") if name in record}
            wanted.extend((one, index) for index in range(record.get("times", 1)))
        try:
            wait = {"min": len(wanted), "timeout_ms": int(_SOON * 1000), "limit": 0}
            self._server.ask("POST", "/mock/wait", wait)
        except OSError:
            pass  # they did not come; what did is shown
        events = self._server.ask("GET", "/mock/events?limit=100000")["events"]
        names = [event["event"] for event in events]
        assert len(events) == len(wanted), f"{len(events)} events have arrived: {names}"
        _check_form(events)
        for event in events:
            place = 0
            if any_order:
                fitting = (
                    at for at, one in enumerate(wanted) if pattern.matches(one[0], event, one[1], self._remembered)
                )
                place = next(fitting, -1)
                assert place >= 0, f"nobody waits for {event}; there are {names}"
            one, index = wanted.pop(place)
            pattern.check(one, event, index, self._remembered, event["event"])

    def _check_profiles(self, patterns: Any) -> None:
        self._check_set("profiles", patterns)

    def _check_groups(self, patterns: Any) -> None:
        self._check_set("groups", patterns)

    def _check_set(self, which: str, patterns: List[Any]) -> None:
        found = self._server.ask("GET", f"/mock/{which}")[which]
        assert len(found) == len(patterns), f"there are {found}"
        still_open = list(patterns)
        for one in found:
            fitting = [wanted for wanted in still_open if pattern.matches(wanted, one, 0, self._remembered)]
            assert fitting, f"nobody waits for {one}"
            still_open.remove(fitting[0])

    def _running(self, on: str) -> Process:
        process = self._clients[on].process if on in self._clients else None
        assert process is not None, f"{on} is not running"
        return process

    def _files(self, device: str) -> List[Path]:
        return sorted(path for path in (self._folder / device).rglob("*") if path.is_file())

    def _state(self, on: str) -> Any:
        """What a client says of itself."""
        return self._running(on).ask("state")

    def _check_books(self) -> None:
        """C15, of every client that runs."""
        for name, client in self._clients.items():
            if client.process is None:
                continue
            stats = self._state(name)["stats"]
            given = stats["tracked"] + stats["recovered"] + stats["adopted"]
            taken = stats["delivered"] + stats["queued"] + stats["held"] + stats["given_up"]
            assert given == taken + sum(stats["dropped"].values()), f"C15: the books of {name}: {stats}"


_VERBS: Dict[str, Callable[..., None]] = {
    "start": World._start,
    "stop": World._stop,
    "shutdown": World._shutdown,
    "call": World._call,
    "opt_in": World._opt_in,
    "opt_out": World._opt_out,
    "signals": World._say_signals,
    "flush": World._flush,
    "server": World._ask_server,
    "damage": World._damage,
    "remove": World._remove,
    "remember": World._remember,
    "consent": World._check_consent,
    "ids": World._check_ids,
    "stats": World._check_stats,
    "outbox": World._check_outbox,
    "kept": World._check_kept,
    "kept_with": World._check_kept_with,
    "kept_without": World._check_kept_without,
    "arrived": World._check_arrived,
    "profiles": World._check_profiles,
    "groups": World._check_groups,
}
# `with` is a word of Python's own.
_MODIFIERS = {
    "with": "arguments", "on": "on", "device": "device", "signals": "signals", "gives": "gives", "times": "times",
    "soon": "soon", "any_order": "any_order",
}  # fmt: skip


def _signals(signals: Any) -> Any:
    assert set(signals) <= {"gpc", "dnt", "host"}, signals
    return signals


def _attempt(check: Callable[[], None], soon: bool) -> None:
    """Once, or until it holds."""
    deadline = time.monotonic() + _SOON
    while True:
        try:
            return check()
        except AssertionError:
            if not soon or time.monotonic() > deadline:
                raise


def _check_consent(state: Any) -> None:
    """That ``has_opted_out()`` does not contradict ``consent()``, and there is a sentence for the person."""
    consent = state["consent"]
    assert state["has_opted_out"] == (consent["decision"] == "denied"), f"has_opted_out() contradicts {consent}"
    assert consent["sentence"].endswith("."), consent


def _check_form(events: List[Any]) -> None:
    """What every event of a client's has."""
    ids = set()
    for event in events:
        properties = event["properties"]
        assert len(properties["$insert_id"]) == 32 and properties["$insert_id"] not in ids, event
        ids.add(properties["$insert_id"])
        assert len(properties["$device_id"]) == 36, event
        assert properties["mp_lib"].startswith("refrain-") and properties["$lib_version"], event
        assert event["time_ms"] > 0, event


def _play(path: Path) -> Optional[str]:
    """Plays a file; the reason, if it is not for this host."""
    scenario = json.loads(path.read_text(encoding="utf-8"))
    assert set(scenario) <= {"name", "rules", "not_on", "fails_at", "steps"}, f"keys: {list(scenario)}"
    assert scenario["name"], "it has no name"
    assert set(scenario["rules"]) <= {f"C{number}" for number in range(1, 16)}, scenario["rules"]
    assert set(scenario.get("not_on", {})) <= _HOSTS, scenario["not_on"]
    if _HOST in scenario.get("not_on", {}):
        return str(scenario["not_on"][_HOST])
    fails_at = scenario.get("fails_at", [])
    assert set(fails_at) <= set(range(len(scenario["steps"]))), fails_at
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        try:
            for at, step in enumerate(scenario["steps"]):
                try:
                    world.step(step)
                except Exception as error:
                    if at in fails_at:
                        continue
                    raise AssertionError(f"step {at}: {json.dumps(step)}: {type(error).__name__}: {error}") from error
                assert at not in fails_at, f"step {at} must fail, and did not: {json.dumps(step)}"
        finally:
            world.close()
    return None


class Scenarios(unittest.TestCase):
    def test_every_scenario(self) -> None:
        files = sorted(_SCENARIOS.glob("*.json"))
        failing = sorted(_SCENARIOS.glob("must-fail/*.json"))
        self.assertTrue(files and failing, f"there are none in {_SCENARIOS}")
        # Most of a scenario is waiting for processes to start.
        with ThreadPoolExecutor(4) as pool:
            played = [(path, pool.submit(_play, path)) for path in files + failing]
            for path, ending in played:
                name = path.relative_to(_SCENARIOS).with_suffix("")
                with self.subTest(scenario=str(name)):
                    reason = ending.result()
                    said = "ok" if reason is None else f"not on this host: {reason}"
                    print(f"scenario {name} ... {said}", flush=True)


if not mock_server.PROGRAM:
    del Scenarios


if __name__ == "__main__":
    unittest.main()
