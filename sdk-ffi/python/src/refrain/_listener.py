"""What the app wants to hear, told on a thread of Python's."""

import threading
from collections import deque
from typing import Callable, Deque

from ._types import Consent
from ._warnings import Warnings


class ConsentListener:
    """Tells the app where consent stands, one change after the other.

    Not on the core's thread: that must not be in the app's code when the interpreter ends. The thread lives while there is
    something to tell, so that a client that nobody keeps can be collected.
    """

    def __init__(self, hear: Callable[[Consent], object]) -> None:
        self._hear = hear
        self._warnings = Warnings()
        self._lock = threading.Lock()
        self._news: Deque[Consent] = deque()
        self._is_telling = False

    def tell(self, consent: Consent) -> None:
        with self._lock:
            self._news.append(consent)
            if self._is_telling:
                return
            self._is_telling = True
        try:
            threading.Thread(target=self._run, name="refrain-consent", daemon=True).start()
        except RuntimeError:  # no thread is to be had, as at the end of the interpreter
            with self._lock:
                self._is_telling = False

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._news:
                    self._is_telling = False
                    return
                consent = self._news.popleft()
            try:
                self._hear(consent)
            except Exception as error:
                self._warnings.say(f"the on_consent function that this app has set raises {type(error).__name__}")
