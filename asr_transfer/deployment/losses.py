"""Tells what other speakers and other languages lost by the run that made a model, as its record states it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

from asr_transfer.errors import DataError
from asr_transfer.evaluation.finished_run import read_finished

_TIMES = NormalDist().inv_cdf(0.975)
"""Standard errors from the middle of an interval of 95 % to its ends."""


def lost_by_others(run: Path) -> list[str]:
    """Return sentences, without a full stop, on what others lost in a finished run of `adapt` or `learn`.

    Changes of an adaptation have intervals of 95 % of their own, for both models heard the same recordings; languages
    beside one that was learnt have those of the error rates before and after. A record that is damaged states nothing.

    Args:
        run: run folder.
    """
    try:
        record = read_finished(run)
    except DataError:
        return []
    scores, adapted, learnt = record["scores"], _fields(record.get("adaptation")), _fields(record.get("learning"))
    parts = {"other speakers that the model keeps": scores.get("judged"), "other speakers": scores.get("others")}
    parts |= {f"speakers of '{name}'": one for name, one in _fields(adapted.get("other_languages")).items()}
    found = [line for who, one in parts.items() if (line := _change(who, _fields(one), run))]
    unknown = adapted.get("others")
    if not found and isinstance(unknown, str) and unknown.startswith("not measured"):
        found.append(f"what other speakers lost is {unknown}")
    languages = learnt.get("others")
    for one in languages if isinstance(languages, list) else []:
        found += _rates(_fields(one), run)
    return found


def _change(who: str, part: Mapping[str, Any], run: Path) -> str:
    """Return a sentence on how the errors in characters of some speakers changed; empty where none is stated."""
    change = _fields(part.get("cer_change"))
    value, error = _number(change.get("value")), _number(change.get("standard_error"))
    before, after = (_number(_fields(part.get(name)).get("cer")) for name in ("before", "after"))
    if value is None or before is None or after is None:
        return ""
    far = "" if error is None else f" ({_points(value - _TIMES * error)} … {_points(value + _TIMES * error)})"
    return (
        f"errors in characters of {who}: {_points(value)} points{far}, from {100 * before:.1f} % to "
        f"{100 * after:.1f} %, by `{run}`"
    )


def _rates(one: Mapping[str, Any], run: Path) -> list[str]:
    """Return a sentence on the errors in a language before another was learnt, and after; none where none is stated."""
    before, after = (_rate(_fields(one.get(name))) for name in ("before", "after"))
    if not before or not after:
        return []
    unit = _fields(one["before"]).get("unit", "character")
    return [f"errors in {unit}s of speakers of '{one.get('language')}': {before} before, {after} after `{run}`"]


def _rate(stated: Mapping[str, Any]) -> str:
    rate, low, high = (_number(stated.get(name)) for name in ("rate", "low", "high"))
    if rate is None:
        return ""
    return f"{100 * rate:.1f} %" + ("" if low is None or high is None else f" ({100 * low:.1f} … {100 * high:.1f})")


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _fields(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
