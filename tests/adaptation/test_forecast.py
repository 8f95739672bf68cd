"""The forecast of the error with more recordings: its law, its intervals, what it refuses, and the line it prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from asr_transfer.adaptation.choice import Choice
from asr_transfer.adaptation.forecast import (
    KINDS,
    Constants,
    Expected,
    Forecast,
    Observed,
    fit,
    forecast,
    observe,
)
from asr_transfer.adaptation.ladder import Judgement, Rung
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.plain import to_plain

WORDS = KINDS["words"]
EXACT = replace(WORDS, extra=0.0)


class Source:
    """A recogniser of which only what it writes matters."""

    def __init__(self, lexicon: Sequence[str] = (), writes: str = "characters", runs_away: bool = False) -> None:
        pairs = [(word, " ".join(word)) for word in lexicon]
        self.lexicon = Lexicon.from_pairs(pairs) if pairs else None
        self.writes, self.can_run_away = ("words" if pairs else writes), runs_away
        self.tokens = Tokens(list("abcdefgxyz"))

    def reference(self, utterance: Utterance) -> str:
        """Return the transcript."""
        return utterance.text


def law(amount: float, constants: Constants, first: float, exponent: float) -> float:
    """Return the error with so many recordings."""
    return first * (1 + amount / constants.knee) ** -exponent


def judged(before: Sequence[float], after: Sequence[float], texts: Sequence[str] = ()) -> tuple[Judgement, ...]:
    """Return held-out recordings of ten characters, with losses that fall as the errors do."""
    texts = texts or [""] * len(before)
    return tuple(
        Judgement(n, 10.0, b, a, 10.0 * sum(before) / len(before), 10.0 * sum(after) / len(before), text)
        for n, (b, a, text) in enumerate(zip(before, after, texts, strict=True))
    )


def chosen(held: tuple[Judgement, ...], method: str = "full", score: float = 0.5, folds: int = 4) -> Choice:
    """Return a choice that was made on held-out recordings."""
    rung = Rung(method, 1e-3, 1.0, folds, 0, 10, 10, score, None, held=held)
    return Choice(method, 1e-3, 1.0, "the usual choice", (rung,), 1.0, rung)


def spoken(texts: Sequence[str]) -> list[Utterance]:
    """Return recordings of some texts."""
    return [Utterance(f"u{n}", f"u{n}.wav", 1.0, text, "kim", "en") for n, text in enumerate(texts)]


def percent(rate: float) -> str:
    """Return a share in per cent, as lines have it."""
    return f"{100 * rate:.0f}" if rate >= 0.0995 else f"{100 * rate:.1f}"


def foretold(source: Source, texts: Sequence[str], choice: Choice) -> Forecast:
    """Return the forecast of recordings of some texts."""
    return forecast(cast(Recogniser, source), spoken(texts), choice)


@pytest.mark.parametrize("exponent", [0.8, 0.25, 0.0, -0.1])
def test_a_curve_that_follows_the_law_is_forecast_exactly(exponent: float) -> None:
    points = [math.log(law(amount, EXACT, 0.3, exponent)) for amount in (0, 8)]
    curve = fit(Observed(8, np.array(points), np.zeros((2, 2))), EXACT)
    for more in (0, 10, 50):
        found = curve.expected(12, more)
        assert found.rate == pytest.approx(law(12 + more, EXACT, 0.3, exponent), rel=1e-6)
        assert found.low == pytest.approx(found.rate, rel=1e-4) and found.high == pytest.approx(found.rate, rel=1e-4)


def test_the_folds_show_the_error_with_a_part_less_and_now_is_that_with_all() -> None:
    before, after = (10 * law(amount, WORDS, 0.3, WORDS.exponent) for amount in (0, 300))
    found = foretold(Source(), ["abc"] * 400, chosen(judged([before] * 400, [after] * 400), folds=4))
    assert found.now is not None and found.now.rate == pytest.approx(law(400, WORDS, 0.3, WORDS.exponent), rel=0.05)


def test_what_tells_nothing_leaves_what_is_known_of_other_speakers() -> None:
    curve = fit(Observed(8, np.array([0.0, 3.0]), np.eye(2) * 1e9), WORDS)
    assert curve.mean == pytest.approx([WORDS.level, WORDS.exponent], abs=1e-6)
    assert curve.covariance == pytest.approx(
        np.diag([WORDS.level_spread**2, WORDS.exponent_spread**2]), rel=1e-6, abs=1e-6
    )


def test_two_points_are_rates_of_the_held_out_recordings() -> None:
    found = observe(judged([4, 4, 4, 4] * 50, [1, 1, 1, 1] * 50), 150, WORDS)
    assert np.exp(found.logs) == pytest.approx([0.4, 0.1], rel=0.01) and found.amount == 150
    assert np.array_equal(found.covariance, found.covariance.T) and np.linalg.eigvalsh(found.covariance)[0] > 0


def test_recordings_that_disagree_widen_the_interval() -> None:
    widths = []
    for before, after in (([4] * 12, [2] * 12), ([4] * 12, [0, 4] * 6), ([0, 8] * 6, [0, 4] * 6)):
        found = fit(observe(judged(before, after), 8, WORDS), WORDS).expected(12, 10)
        widths.append(math.log(found.high / found.low))
    assert widths[0] < widths[1] and widths[0] < widths[2]


def test_no_errors_of_few_recordings_are_not_taken_for_none_at_all() -> None:
    few, many = (observe(judged([4, 0] * count, [0] * 2 * count), 8, WORDS).covariance[1, 1] for count in (5, 100))
    assert few > 0.5 > 2 * many


def test_losses_that_are_not_finite_leave_the_counted_errors() -> None:
    held = [replace(one, loss_after=math.inf) for one in judged([4, 4, 4], [1, 1, 1])]
    assert np.exp(observe(held, 2, WORDS).logs[1]) == pytest.approx(3.5 / 12.5 * 12.5 / 30)


def test_more_recordings_mean_wider_intervals_of_the_fall() -> None:
    curve = fit(observe(judged([4] * 12, [2] * 12), 8, WORDS), WORDS)
    near, far = curve.expected(12, 10), curve.expected(12, 500)
    assert near.rate > far.rate and near.high / near.low < far.high / far.low


def test_the_interval_holds_what_it_says_of_speakers_from_the_prior() -> None:
    """The errors with 10 and 50 more recordings of speakers whom the constants describe lie within 80 % intervals."""
    random = np.random.default_rng(0)
    spread = np.array([[0.05, 0.03], [0.03, 0.06]])
    hits = []
    for _ in range(1500):
        level = random.normal(WORDS.level, WORDS.level_spread)
        exponent = random.normal(WORDS.exponent, WORDS.exponent_spread)
        truth = [
            level - exponent * math.log1p(n / WORDS.knee) + random.normal(0, WORDS.extra) * bool(n)
            for n in (0, 8, 20, 60)
        ]
        curve = fit(Observed(8, random.multivariate_normal(truth[:2], spread), spread), WORDS)
        for value, more in zip(truth[2:], (10, 50), strict=True):
            found = curve.expected(10, more)
            # At certainty an interval ends, where errors may be more.
            hits.append(found.low <= min(math.exp(value), 1.0) <= found.high)
    assert 0.77 < np.mean(hits) < 0.83


def test_the_interval_holds_what_it_says_of_counted_errors() -> None:
    """The same from recordings: words that are wrong as a whole or not at all, ten of them."""
    random = np.random.default_rng(1)
    hits = []
    for _ in range(400):
        level = random.normal(WORDS.level, 0.5)
        exponent = random.normal(WORDS.exponent, WORDS.exponent_spread)
        rates = [min(1.0, math.exp(level) * (1 + n / WORDS.knee) ** -exponent) for n in (0, 8, 20)]
        rank = random.uniform(size=10)
        before, after = ([3.0 * (own < rate) for own in rank] for rate in rates[:2])
        held = [
            Judgement(n, 3.0, b, a, 3.0 * rates[0], 3.0 * rates[1] * random.uniform(0.7, 1.3), "")
            for n, (b, a) in enumerate(zip(before, after, strict=True))
        ]
        found = fit(observe(held, 8, WORDS), WORDS).expected(10, 10)
        hits.append(found.low <= rates[2] <= found.high)
    assert 0.75 < np.mean(hits) < 0.99


def test_no_trend_is_no_gain() -> None:
    flat = Constants("flat", 5.0, 0.0, 0.01, math.log(0.4), 1.0, 0.0, 1.0, 1e-3, "")
    curve = fit(Observed(8, np.log([0.4, 0.4]), np.zeros((2, 2))), flat)
    assert curve.expected(10, 50).rate == pytest.approx(curve.expected(10, 0).rate)
    worse = foretold(Source(), ["abc"] * 400, chosen(judged([2] * 400, [4] * 400)))
    assert worse.exponent is not None and worse.exponent < 0 and "no gain to expect" in str(worse)


def test_the_line_says_now_ten_and_fifty_more_what_it_is_worth_and_what_to_record() -> None:
    texts = ["abc", "xyz", "fed", "cab"] * 5
    heard = ["abc", "abc", "fed", "cab"] * 5
    held = judged([4] * 20, [0, 4, 0, 0] * 5, heard)
    found = foretold(Source(["abc", "xyz", "fed", "cab", "bad"]), texts, chosen(held))
    assert found.recordings == 20 and found.now is not None and [one.more for one in found.more] == [10, 50]
    ten, fifty = found.more
    assert found.now.rate > ten.rate > fifty.rate and ten.low < ten.rate < ten.high
    law = f"{found.exponent:.2f} of the errors, of single words usually ^-{WORDS.exponent:.2f}"
    now, then, later = (percent(one.rate) for one in (found.now, ten, fifty))
    (low, high), (least, most) = ((percent(one.low), percent(one.high)) for one in found.more)
    assert str(found) == (
        f"10 more recordings: {now} → {then} % ({low} … {high}) of characters wrong; 50 more: {later} % ({least} … "
        f"{most}); worth it; record next the words xyz and bad (never recorded) (80 % intervals; n recordings "
        f"leave (1 + n/{WORDS.knee:g})^-{law} ± {WORDS.exponent_spread:.2f})"
    )


def test_a_forecast_comes_back_from_a_record() -> None:
    found = foretold(Source(["abc"]), ["abc"] * 4, chosen(judged([4] * 4, [2] * 4)))
    assert Forecast.from_plain(found.to_plain(), "run.json") == found
    nothing = Forecast("one recording leaves none to hold out; record more", 1)
    assert nothing.to_plain() == {"reason": nothing.reason, "recordings": 1}
    assert Forecast.from_plain(nothing.to_plain(), "run.json") == nothing
    assert "before forecasts were kept" in str(Forecast.from_plain(None, "run.json"))
    with pytest.raises(ConfigError, match=r"run\.json.*recordings"):
        Forecast.from_plain({"recordings": "many"}, "run.json: `adaptation.forecast`")


def test_a_model_that_stays_as_it_is_keeps_its_error_now() -> None:
    held = judged([4] * 8, [3] * 8)
    kept = replace(chosen(held, score=0.9), method="none")
    found, adapted = (foretold(Source(), ["ab cd"] * 8, one) for one in (kept, chosen(held)))
    assert found.now is not None and adapted.now is not None and found.now.rate > adapted.now.rate
    assert found.more == adapted.more


GOOD = chosen(judged([4] * 4, [2] * 4))
NOTHING_TO_GO_BY: dict[str, tuple[Source, int, Choice, str]] = {
    "one": (Source(), 1, replace(GOOD, tried=None), "one recording leaves none to hold out; record more"),
    "unchecked": (Source(), 4, replace(GOOD, tried=None), "nothing was tried on held-out recordings; leave --check on"),
    "refused": (Source(), 4, replace(GOOD, method="none", tried=None), "nothing was tried on held-out recordings that"),
    "no-trend": (Source(), 4, replace(chosen(GOOD.tried.held if GOOD.tried else (), score=1.01), method="none"),
                 "nothing that was tried gained on held-out recordings"),
    "writer": (Source(runs_away=True), 4, GOOD, "a model that writes token after token"),
    "warp": (Source(), 4, replace(GOOD, method="warp"), "how errors fall by `warp`"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTHING_TO_GO_BY)
def test_where_there_is_nothing_to_go_by_it_says_why(name: str) -> None:
    source, count, choice, reason = NOTHING_TO_GO_BY[name]
    found = foretold(source, ["abc"] * count, choice)
    assert str(found).startswith("more recordings: no forecast, for ") and reason in found.reason
    assert found.now is None and not found.more and to_plain(found)["constants"] is None


@pytest.mark.parametrize("more", [(), (0,), (10, -1)])
def test_numbers_of_further_recordings_below_one_are_refused(more: tuple[int, ...]) -> None:
    source: Any = Source()
    with pytest.raises(ConfigError, match="numbers of further recordings of at least 1"):
        forecast(source, spoken(["abc"] * 4), GOOD, more)


def test_sentences_have_other_constants_than_single_words() -> None:
    one, other = (foretold(Source(), [text] * 4, GOOD) for text in ("abc", "abc xyz"))
    assert one.constants == KINDS["words"] and other.constants == KINDS["sentences"]


@pytest.mark.parametrize(("rate", "told"), [(0.214, "21"), (0.0994, "9.9"), (0.0997, "10"), (0.004, "0.4")])
def test_small_rates_have_a_digit_more(rate: float, told: str) -> None:
    found = Forecast("", 2, Expected(0, rate, 0, 1), (Expected(10, rate, 0, 1),), 0.1, 0.1, "worth it", WORDS)
    assert f": {told} → {told} % (0.0 … 100) of" in str(found)
