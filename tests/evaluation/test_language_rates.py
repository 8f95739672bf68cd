"""The error rate of each language, with its interval, in a record and on a card."""

from __future__ import annotations

import pytest

from asr_transfer.evaluation.language_rates import language_rates, markdown
from asr_transfer.evaluation.scoring import Hypothesis


def _heard(language: str, speaker: str, number: int, reference: str, text: str) -> Hypothesis:
    return Hypothesis(f"{language}-{speaker}-{number}", speaker, language, reference, text)


SAID = [
    *(_heard("de", f"s{n}", n, "abcd", "abxd" if n < 2 else "abcd") for n in range(5)),
    *(_heard("el", "one", n, "αβ γδ", "αβ γδ") for n in range(5)),
    _heard("fr", "one", 1, "ab cd", "ab"),
    _heard("it", "one", 1, "", "a"),
]


def test_each_language_has_its_rate_over_its_own_units() -> None:
    rates = {one.language: one for one in language_rates(SAID, ["fr"])}
    assert list(rates) == ["de", "el", "fr"], "a language without reference has none"
    assert rates["de"].estimate.value == pytest.approx(2 / 20) and rates["el"].estimate.value == 0
    assert rates["fr"].estimate.value == pytest.approx(1 / 2) and rates["fr"].to_plain()["unit"] == "phone"


def test_the_interval_is_over_speakers_where_there_are_enough() -> None:
    de, el, fr = language_rates(SAID)
    assert (de.over, el.over, fr.over) == ("speakers", "utterances", "utterances")
    low, high = de.estimate.low, de.estimate.high
    assert low is not None and high is not None and low < 0.1 < high
    assert de.interval == f" ({100 * low:.1f} … {100 * high:.1f})" and str(de) == f"10.0 %{de.interval}"
    assert fr.interval == "" and fr.to_plain()["low"] is None, "one utterance has no interval"


def test_the_table_of_a_card() -> None:
    lines = markdown(language_rates(SAID, ["fr"])).splitlines()
    assert lines[2].startswith("| de | 5 | 5 | characters | 10.0 % (") and lines[2].endswith(") | speakers |")
    assert lines[4] == "| fr | 1 | 1 | phones | 50.0 % | utterances |" and len(lines) == 5
    assert markdown([]) == ""
