"""What the package says in the log."""

import logging
from typing import Set

LOG = logging.getLogger("refrain")


class Warnings:
    """Those of one client or transport. Each is said once: what is wrong may be so at every call and every retry."""

    def __init__(self) -> None:
        self._said: Set[str] = set()

    def say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            LOG.warning(text)
