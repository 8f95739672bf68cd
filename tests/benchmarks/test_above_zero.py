"""Benchmarks refuse what they could measure nothing of, before any work."""

from __future__ import annotations

import pytest

from benchmarks import adaptation, beam, images, lexicon, multilingual, scoring, step_profile, training


@pytest.mark.parametrize(
    ("benchmark", "options", "named"),
    [
        (scoring, {"rounds": 0}, "--rounds 0"),
        (lexicon, {"sizes": ()}, "--sizes 0"),
        (lexicon, {"sizes": (1000, 0)}, "--sizes 0"),
        (training, {"steps": 0}, "--steps 0"),
        (multilingual, {"rounds": -1}, "--rounds -1"),
        (adaptation, {"steps": 0, "quick": True}, "--steps 0"),
        (step_profile, {"steps": 0, "quick": True}, "--steps 0"),
        (beam, {"beams": ()}, "--beams 0"),
        (images, {"count": 0}, "--count 0"),
    ],
)
def test_nothing_is_refused_by_name(benchmark: object, options: dict[str, object], named: str) -> None:
    with pytest.raises(SystemExit, match=f"{named}: must be above 0"):
        benchmark.main(**options)  # type: ignore[attr-defined]
