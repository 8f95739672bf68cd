"""Reads n-gram models from ARPA text, with messages that name the line, and writes them.

    \\data\\
    ngram 1=4
    ngram 2=1

    \\1-grams:
    -0.60	zero	-0.30

    \\2-grams:
    -0.12	zero one

    \\end\\

Numbers are logarithms to base 10: the probability, the words, and the back-off weight (none in the highest order).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from asr_transfer import textfiles
from asr_transfer.errors import DataError
from asr_transfer.whitespace import words_of

Grams = list[dict[tuple[str, ...], tuple[float, float]]]
"""Of each order from 1, the n-grams with the logarithms (base 10) of probability and back-off weight."""

_COUNT = re.compile(r"ngram[ \t]+(\d+)[ \t]*=[ \t]*(\d+)$")
_SPACES = " \t\r"


def read_arpa(path: str | Path) -> Grams:
    """Read a file.

    Raises:
        DataError: the file is missing, not UTF-8 text or not an ARPA file; the message names the line.
    """
    source = str(path)
    lines = _Lines(_text(path, source), source)
    for number, line in lines:
        if line == "\\data\\":
            break
        if number > 1000:
            lines.fail("there is no line `\\data\\` near the beginning, so that this is no ARPA file")
    else:
        lines.fail("there is no line `\\data\\`, so that this is no ARPA file")
    counts: list[int] = []
    heading = ""
    for _, line in lines:
        if (found := _COUNT.match(line)) is None:
            heading = line
            break
        if int(found[1]) != len(counts) + 1:
            lines.fail(f"expected the count `ngram {len(counts) + 1}=…`, got {line!r}")
        counts.append(int(found[2]))
    if not counts:
        lines.fail("the section `\\data\\` lists no counts (`ngram 1=…`)")
    grams: Grams = []
    for order, count in enumerate(counts, start=1):
        if heading != f"\\{order}-grams:":
            lines.fail(f"expected the section `\\{order}-grams:`, got {heading or 'the end of the file'!r}")
        section, heading = _section(lines, order, len(counts), grams)
        if len(section) != count:
            lines.fail(f"the section `\\{order}-grams:` has {len(section):,} entries, but `\\data\\` says {count:,}")
        grams.append(section)
    if heading != "\\end\\":
        lines.fail(f"expected `\\end\\`, got {heading or 'the end of the file'!r}, so that the file may be cut off")
    return grams


def write_arpa(path: str | Path, grams: Grams) -> None:
    """Write a file that `read_arpa` gives back to seven digits, through a temporary name.

    Raises:
        DataError: it cannot be written.
    """
    with textfiles.writing(path) as out:
        out.write("\\data\\\n")
        out.writelines(f"ngram {order}={len(section)}\n" for order, section in enumerate(grams, start=1))
        for order, section in enumerate(grams, start=1):
            out.write(f"\n\\{order}-grams:\n")
            last = order == len(grams)
            out.writelines(
                f"{prob:.7f}\t{' '.join(words)}" + ("\n" if last else f"\t{backoff:.7f}\n")
                for words, (prob, backoff) in section.items()
            )
        out.write("\n\\end\\\n")


class _Lines:
    """Iterates over the lines that are not blank, stripped, and knows where it is."""

    def __init__(self, lines: Sequence[str], source: str) -> None:
        self._lines = enumerate(lines, start=1)
        self.source, self.number = source, 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        for number, line in self._lines:
            self.number = number
            if stripped := line.strip(_SPACES):
                yield number, stripped

    def fail(self, what: str) -> None:
        """Raise a DataError about the present line."""
        raise DataError(f"{self.source} line {max(1, self.number)}: {what}; write the language model anew.")


def _text(path: str | Path, source: str) -> list[str]:
    data = textfiles.read_bytes(path, "give an ARPA file")
    if data[:2] == b"\x1f\x8b":
        raise DataError(f"{source}: is compressed; unpack it with gunzip.")
    text = textfiles.decoded(data, source, "give an ARPA file in UTF-8, not a binary model")
    # In the form NFC, as everything else that words are compared with.
    return textfiles.lines_of(unicodedata.normalize("NFC", text))


def _section(
    lines: _Lines, order: int, highest: int, lower: Grams
) -> tuple[dict[tuple[str, ...], tuple[float, float]], str]:
    """Read a section's entries; return them and the line that follows, empty at the end of the file."""
    found: dict[tuple[str, ...], tuple[float, float]] = {}
    for _, line in lines:
        if line[0] == "\\" and (line.endswith("-grams:") or line == "\\end\\"):
            return found, line
        columns = words_of(line)
        words = tuple(columns[1 : order + 1])
        # The back-off weight may be left out, and the highest order has none.
        if len(words) != order or len(columns) > order + 2 or (order == highest and len(columns) > order + 1):
            form = "probability, words" + ("" if order == highest else ", back-off weight")
            lines.fail(f"an entry of `\\{order}-grams:` holds {form}; got {line[:60]!r}")
        prob = _number(lines, columns[0])
        if prob > 0:
            lines.fail(f"the logarithm of a probability is above 0: {columns[0]}")
        backoff = _number(lines, columns[-1]) if len(columns) == order + 2 else 0.0
        if words in found:
            lines.fail(f"{' '.join(words)!r} stands twice in `\\{order}-grams:`")
        if order > 1:
            if words[:-1] not in lower[order - 2]:
                lines.fail(f"{' '.join(words[:-1])!r} has no entry of its own in `\\{order - 1}-grams:`")
            if words[-1:] not in lower[0]:
                lines.fail(f"{words[-1]!r} is not among the `\\1-grams:`")
        found[words] = prob, backoff
    return found, ""


def _number(lines: _Lines, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if value == -math.inf:
        return -99.0  # what ARPA files write for a probability of 0
    if not math.isfinite(value):
        lines.fail(f"{text!r} is no number")
    return value
