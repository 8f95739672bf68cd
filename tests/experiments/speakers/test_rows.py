"""Summing up experiments: figures from hand-made trials, and learning rates chosen without the test speaker."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from asr_transfer.evaluation import clusters
from asr_transfer.experiments.speakers.experiment import choose_rates
from asr_transfer.experiments.speakers.protocol import Draw, Fold
from asr_transfer.experiments.speakers.rows import Row, adaptation_table, summarise
from asr_transfer.experiments.speakers.trials import Trial


def trial(speaker: str, draw: int, method: str, rate: float, errors: int, others: int = 1, amount: int = 5) -> Trial:
    """Return a trial with 100 words of the speaker and 50 of others."""
    amount = 0 if method == "none" else amount
    return Trial("si", speaker, draw, amount, method, rate, errors, 100, others, 50, 2.0, {})


def fold(test: tuple[str, ...], dev: tuple[str, ...] = ()) -> Fold:
    """Return a fold with one draw per speaker."""
    return Fold("si", (), (), tuple(Draw(s, 0, (), ()) for s in dev), tuple(Draw(s, 0, (), ()) for s in test))


def test_rates_have_fewest_errors_on_the_given_speakers_and_ties_take_the_smaller() -> None:
    trials = [
        trial("d", 0, "full", 0.1, 9), trial("d", 1, "full", 0.1, 1),
        trial("d", 0, "full", 0.01, 5), trial("d", 1, "full", 0.01, 5),
        trial("d", 0, "full", 1.0, 11), trial("t", 0, "full", 1.0, 0),
    ]  # fmt: skip
    assert choose_rates(trials, {"d"}) == {("full", 5): 0.01}
    assert choose_rates(trials, {"t"}) == {("full", 5): 1.0}


def test_rows_have_the_figures_of_the_trials() -> None:
    trials = [
        trial("d", 0, "none", 0.0, 30), trial("d", 0, "full", 0.1, 10), trial("d", 0, "full", 0.2, 20),
        trial("a", 0, "none", 0.0, 40, others=2), trial("a", 0, "full", 0.1, 10, others=4),
        trial("a", 1, "none", 0.0, 20, others=2), trial("a", 1, "full", 0.1, 20, others=4),
        trial("b", 0, "none", 0.0, 10, others=2), trial("b", 0, "full", 0.1, 16, others=4),
        trial("b", 1, "none", 0.0, 10, others=2), trial("b", 1, "full", 0.1, 10, others=4),
    ]  # fmt: skip
    none, full = summarise([fold(("a", "b"), ("d",))], trials)
    assert (none.method, none.wer, none.reduction) == ("none", 80 / 400, None)
    assert (full.amount, full.speakers, full.draws, full.wer) == (5, 2, 2, 56 / 400)
    assert full.reduction == pytest.approx(1 - 56 / 80)
    assert (full.low, full.high) == (None, None), "two speakers say next to nothing of a third"
    assert full.by_speaker == {"a": [60, 30, 200, 4, 8, 100], "b": [20, 26, 200, 4, 8, 100]}
    assert full.harmed == 0.5 and full.learning_rates == (0.1,)
    assert (full.others, full.others_before) == (4 / 50, 2 / 50)
    assert full.draw_spread == pytest.approx(abs(26 / 200 - 30 / 200) / 2**0.5)
    assert "| 5 | full | 14.0 |" in adaptation_table([none, full]).markdown()


def test_an_interval_is_over_speakers_and_follows_from_their_sums() -> None:
    trials = [
        trial(speaker, draw, *own)
        for n, speaker in enumerate("abcde")
        for draw in range(3)
        for own in (("none", 0.0, 40 + 5 * n), ("full", 0.1, 20 + 3 * n + draw))
    ]
    _, full = rows = summarise([fold(tuple("abcde"))], trials)
    before, after = ([own[n] for own in full.by_speaker.values()] for n in (0, 1))
    found = clusters.reduction(before, after)
    assert found.low is not None and (full.reduction, full.low, full.high) == (found.value, found.low, found.high)
    assert adaptation_table(rows).markdown().splitlines()[-1].split("|")[6].strip().endswith(", n = 5")
    # Draws that agree are no observations of their own: more of them narrow nothing.
    again = [replace(t, draw=t.draw + 3) for t in trials]
    _, twice = summarise([fold(tuple("abcde"))], [*trials, *again])
    assert twice.low == pytest.approx(full.low, abs=0.002) and twice.high == pytest.approx(full.high, abs=0.002)


def test_a_record_without_sums_by_speaker_is_still_read() -> None:
    rows = summarise(
        [fold(tuple("abcd"))], [trial(s, 0, *own) for s in "abcd" for own in (("none", 0.0, 9), ("full", 0.1, 5))]
    )
    plain = json.loads(json.dumps([asdict(row) for row in rows]))
    assert adaptation_table([Row(**one) for one in plain]).markdown() == adaptation_table(rows).markdown()
    for one in plain:
        del one["by_speaker"]
    old = [Row(**one) for one in plain]
    assert old[1].low == rows[1].low and "n = " not in adaptation_table(old).markdown()


def test_without_development_speakers_nobody_chooses_for_himself() -> None:
    trials = []
    for speaker in "abc":
        trials.append(trial(speaker, 0, "none", 0.0, 50))
        # Each speaker alone would choose 0.9; the others always vote for 0.1.
        for rate, errors in ((0.1, 20), (0.9, 5 if speaker == "a" else 40)):
            trials.append(trial(speaker, 0, "full", rate, errors))
    rows = {row.method: row for row in summarise([fold(("a", "b", "c"))], trials)}
    # a gets 0.1 (b and c vote), b and c get 0.1 as well: a's own vote for 0.9 loses against the other's 40.
    assert rows["full"].learning_rates == (0.1,) and rows["full"].wer == 60 / 300


def test_a_single_rate_needs_nobody_to_choose_it() -> None:
    trials = [trial("a", 0, "none", 0.0, 40), trial("a", 0, "full", 0.1, 10), trial("a", 0, "auto", 0.0, 8)]
    rows = {row.method: row for row in summarise([fold(("a",))], trials)}
    assert rows["full"].learning_rates == (0.1,) and rows["full"].wer == 0.1
    assert rows["auto"].learning_rates == () and rows["auto"].wer == 0.08
    # A second rate must be chosen by others, and there are none.
    rows = {row.method: row for row in summarise([fold(("a",))], [*trials, trial("a", 0, "full", 0.2, 5)])}
    assert set(rows) == {"none", "auto"}


def test_what_an_automatic_method_chose_is_counted() -> None:
    chosen = ["none", "full lr 0.001 × 0.5", "full lr 0.002 × 1", "lhuc+replay lr 0.03 × 1", "full lr 0.001 × 1"]
    trials = [trial("a", draw, "none", 0.0, 40) for draw in range(5)]
    trials += [replace(trial("a", draw, "auto", 0.0, 20), chosen=what) for draw, what in enumerate(chosen)]
    none, auto = summarise([fold(("a",))], trials)
    assert none.chosen == () and auto.chosen[0] == "full 3" and set(auto.chosen[1:]) == {"none 1", "lhuc+replay 1"}
    line = next(line for line in adaptation_table([none, auto]).markdown().splitlines() if "| auto |" in line)
    assert line.split("|")[-2].strip().startswith("full 3, ")


def test_what_others_lose_stands_beside_what_was_predicted() -> None:
    def told(draw: int, errors: int, predicted: float) -> Trial:
        own = trial("a", draw, "full", 0.1, 20)
        return replace(own, predicted=predicted, other_character_errors=errors, other_characters=200)

    before = [
        replace(trial("a", draw, "none", 0.0, 40), other_character_errors=10, other_characters=200) for draw in (0, 1)
    ]
    rows = summarise([fold(("a",))], [*before, told(0, 14, 0.01), told(1, 10, 0.01)])
    assert rows[0].predicted is None
    assert (rows[1].predicted, rows[1].measured, rows[1].missed_by) == pytest.approx((0.01, 0.01, 0.01))
    assert "| +1.00 | +1.00 (1.00) |" in adaptation_table(rows).markdown()
    assert "predicted" not in adaptation_table(summarise([fold(("a",))], before)).markdown()


def test_runaways_are_counted_and_bounded_beside_plain_errors() -> None:
    def away(t: Trial, capped: int, over: int) -> Trial:
        return replace(t, capped=capped, other_capped=5, over=over, hypotheses={"a": "", "b": ""}, unit="characters")

    rows = summarise(
        [fold(tuple("abcd"))],
        [
            away(trial(speaker, 0, *own), bounded, over)
            for speaker in "abcd"
            for own, bounded, over in ((("none", 0.0, 300), 40, 1), (("full", 0.1, 20), 20, 0))
        ],
    )
    none, full = rows
    assert (none.wer, none.capped, none.over, none.clips) == (3.0, 0.4, 4, 8)
    assert full.capped_reduction == pytest.approx(0.5) and full.reduction == pytest.approx(1 - 20 / 300)
    assert full.capped_low is not None and full.capped_low <= 0.5 <= (full.capped_high or 0.0)
    assert full.capped_others == 0.1 and none.capped_reduction is None
    table = adaptation_table(rows)
    cells = dict(zip(table.headings, table.rows[0], strict=True))
    assert (cells["CER speaker %"], cells["capped CER speaker %"], cells["runaways"]) == ("300.0", "40.0", "4 of 8")
    # A rate is chosen by what is bounded: one loop more or less decides nothing.
    choosing = [away(trial("d", 0, "full", 0.1, 500), 30, 1), away(trial("d", 0, "full", 0.2, 60), 60, 0)]
    assert choose_rates(choosing, {"d"}) == {("full", 5): 0.1}


def test_headings_name_what_errors_are_counted_in() -> None:
    words = summarise([fold(("a",))], [trial("a", 0, "none", 0.0, 40), trial("a", 0, "full", 0.1, 10)])
    letters = summarise(
        [fold(("a",))],
        [replace(t, unit="characters") for t in (trial("a", 0, "none", 0.0, 40), trial("a", 0, "full", 0.1, 10))],
    )
    assert [row.unit for row in words] == ["words"] * 2 and [row.unit for row in letters] == ["characters"] * 2
    for rows, rate, other in ((words, "WER", "CER"), (letters, "CER", "WER")):
        headings = " ".join(adaptation_table(rows).headings)
        assert f"{rate} speaker %" in headings and f"{rate} others %" in headings and other not in headings


def test_an_unharmed_perfect_source_gives_no_division_by_zero() -> None:
    rows = summarise([fold(("a",), ("d",))], [trial("a", 0, "none", 0.0, 0), trial("d", 0, "full", 0.1, 0),
                                             trial("a", 0, "full", 0.1, 0)])  # fmt: skip
    assert rows[1].reduction == 0.0 and rows[1].harmed == 0.0
