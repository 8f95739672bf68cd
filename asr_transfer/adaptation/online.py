"""Says what a sitting is in which speakers are adapted to while they are listened to, without any transcript."""

from __future__ import annotations

from typing import Any, Protocol

from asr_transfer.data.speech import Spoken

UNNAMED = "the speaker"
"""Name, in what is told, of whoever speaks in recordings that name nobody."""


class Session(Protocol):
    """A sitting with one or more speakers, each of whom begins with the model as it is and is adapted to alone.

    The bound: what has been found of a speaker is used only where the model is surer of what it has heard of him with
    it than without, or where he differs from those trained on by more than any speaker does.
    """

    def listen(self, spoken: Spoken) -> list[str]:
        """Recognise utterances one after the other; what is learnt of a speaker serves him alone.

        Args:
            spoken: speech, whose texts are not read.
        """
        ...

    def plain(self) -> dict[str, Any]:
        """Return, for a record, what was found of each speaker."""
        ...

    def describe(self) -> list[str]:
        """Return a line on each speaker who is heard otherwise than by the model as it is."""
        ...
