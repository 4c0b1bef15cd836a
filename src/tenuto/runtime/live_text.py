"""What is published of an answer while it arrives: for the eye, before it is durable, and never recorded."""

from __future__ import annotations

from dataclasses import dataclass

from tenuto.core.ids import RunId
from tenuto.core.redaction import Redactor
from tenuto.runtime.bus import EventBus

__all__ = ["LiveText", "LiveTextTeller"]

_WORD_CHARACTERS_MAX = 4_096


@dataclass(frozen=True, slots=True)
class LiveText:
    """The next piece of text of a call's answer. A later try of the call begins again; the record alone counts."""

    run: RunId
    call: str
    """The call's position."""
    try_number: int
    text: str


class LiveTextTeller:
    """Tells the text of one try on a bus. Where secrets are looked for it tells whole words, without those."""

    def __init__(self, bus: EventBus, redactor: Redactor, run: RunId, call: str, try_number: int) -> None:
        self._bus = bus
        self._redactor = redactor
        self._run = run
        self._call = call
        self._try_number = try_number
        self._held = ""

    def __call__(self, text: str) -> None:
        if self._redactor.idle:
            self._tell(text)
            return
        self._held += text
        end = max(self._held.rfind(" "), self._held.rfind("\n")) + 1
        if len(self._held) > _WORD_CHARACTERS_MAX:
            end = len(self._held)
        words, self._held = self._held[:end], self._held[end:]
        self._tell(self._redactor.text(words))

    def end(self) -> None:
        """The answer is complete: tell its last word."""
        held, self._held = self._held, ""
        self._tell(self._redactor.text(held))

    def _tell(self, text: str) -> None:
        if text:
            self._bus.emit(LiveText(self._run, self._call, self._try_number, text))
