"""Draws the pages' plots from the run records in `docs/results`, so that none of them is older than its record.

Each picture says in its first lines which records it was drawn from, and holds their checksum: what a picture looks
like depends on the version of matplotlib, what it shows on the records alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.evaluation.plots import Plot
from asr_transfer.experiments.languages import curve
from asr_transfer.experiments.rates import experiment as rates
from asr_transfer.experiments.speakers.calibrated import calibration_plot
from asr_transfer.experiments.speakers.foretold import Foretold, Measured
from asr_transfer.plain import to_json
from asr_transfer.textfiles import read_text, write_text
from docs.records import CORPORA, RESULTS, ROOT, record

FOLDER = ROOT / "docs" / "pictures"


@dataclass(frozen=True)
class Picture:
    """A plot of the pages.

    Attributes:
        records: records that it shows.
        draw: function that draws it.
    """

    records: tuple[str, ...]
    draw: Callable[[], Plot]

    def checksum(self) -> str:
        """Return a checksum of what the records say that it shows."""
        shown = to_json([record(name)["scores"] for name in self.records])
        return hashlib.sha256(shown.encode()).hexdigest()[:16]

    def made_from(self) -> str:
        """Return the comment that it holds."""
        files = ", ".join(f"{(RESULTS / name).relative_to(ROOT)}.json" for name in self.records)
        return f"<!-- Drawn from {files} by `python -m docs.update_tables`; their checksum: {self.checksum()} -->"


def _curve(name: str, test: str) -> Plot:
    rows = [curve.Row(**row) for row in record(name)["scores"]["rows"]]
    return curve.plot(rows, test, "unit error rate")


def _rates(name: str, what: str) -> Plot:
    rows = [rates.Row(**row) for row in record(name)["scores"]["rates"]]
    return rates.rate_plot([row for row in rows if row.what == what])


def _calibration(*names: str) -> Plot:
    corpora = {}
    for name in names:
        cases = record(name)["scores"]["cases"]
        corpora[CORPORA[name.removeprefix("calibration_")]] = [
            Foretold(**{**case, "measured": {int(n): Measured(**found) for n, found in case["measured"].items()}})
            for case in cases
        ]
    return calibration_plot(corpora)


FORETOLD = ("calibration_fsdd", "calibration_an4", "calibration_fillets")
PICTURES = {
    "curve-words": Picture(("multilingual",), lambda: _curve("multilingual", "words")),
    "curve-sentences": Picture(("multilingual",), lambda: _curve("multilingual", "sentences")),
    "rates-speakers": Picture(("learned_rates",), lambda: _rates("learned_rates", "speakers")),
    "rates-images": Picture(("learned_rates",), lambda: _rates("learned_rates", "images")),
    "rates-languages": Picture(("learned_rates_languages",), lambda: _rates("learned_rates_languages", "languages")),
    "calibration": Picture(FORETOLD, lambda: _calibration(*FORETOLD)),
}
"""The pictures by name."""


def drawn(write: bool) -> list[Path]:
    """Return the pictures that are not of their records as these are now.

    Args:
        write: whether to draw them anew.
    """
    stale = []
    for name, picture in PICTURES.items():
        file, comment = FOLDER / f"{name}.svg", picture.made_from()
        if file.is_file() and comment in read_text(file):
            continue
        stale.append(file)
        if write:
            head, line, rest = picture.draw().svg().partition("\n")
            write_text(file, f"{head}{line}{comment}{line}{rest}")
    return stale
