"""Makes the table of what `auto` chose by amount, which comes with the package, from the records in `docs/results`.

A record counts where its `auto` is the one that is shipped, by its settings, and is not to be repeated.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from asr_transfer.adaptation.auto_chosen import COLUMNS, Chosen
from asr_transfer.adaptation.settings import ChoiceConfig
from asr_transfer.experiments.speakers.adapting import UNUSABLE
from docs.origin import older, unshipped
from docs.records import names, record
from docs.tables_headline import AUTOMATIC


def chosen_table() -> str:
    """Return the table as its file has it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(one.cells() for name in names() for one in chosen_in(record(name)))
    return file.getvalue()


def chosen_in(values: Mapping[str, Any]) -> Iterator[Chosen]:
    """Yield what `auto` chose at each amount of a record; nothing of one that does not count.

    Of a model that was given ready the record does not say which kind it is, and so not which methods were tried.
    """
    scores = values.get("scores")
    rows = scores.get("rows", []) if isinstance(scores, Mapping) else []
    rows = [row for row in rows if isinstance(row, Mapping) and row.get("method") in AUTOMATIC]
    if not rows or older(values) or unshipped(values) or values["config"].get("model") is not None:
        return
    shipped, published = ChoiceConfig(), values["config"]["source"]["model"].get("pretrained") is not None
    for row in rows:
        with_source = row["method"] == "auto"
        tried = shipped.with_source if with_source else shipped.without_source
        if published:
            tried = tuple(f"{name}+replay" if with_source else name for name in shipped.on_published)
        split = (part.rsplit(" ", 1) for part in row["chosen"])
        # Where no recording could be learnt from there was nothing to choose by, which is no choice.
        counts = Counter({method: int(times) for method, times in split if method != UNUSABLE.split()[0]})
        yield Chosen(values["name"], tried, row["amount"], row["speakers"], row["reduction"] or 0.0, counts)
