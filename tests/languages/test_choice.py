"""Which ways to learn a language are tried on so much speech, and which of them is taken."""

from __future__ import annotations

import pytest

from asr_transfer.languages.choice import FEW_MINUTES, Tried, choose_way, mean_rise, plan_ways


@pytest.mark.parametrize(
    ("minutes", "replayable", "ways"),
    [
        (FEW_MINUTES - 0.1, True, ("head", "joint", "all")),
        (FEW_MINUTES - 0.1, False, ("head", "all")),
        (FEW_MINUTES, True, ("joint", "all")),
        (FEW_MINUTES, False, ("all",)),
    ],
)
def test_the_ways_that_the_amount_and_the_kept_speech_allow(
    minutes: float, replayable: bool, ways: tuple[str, ...]
) -> None:
    plan = plan_ways(minutes, False, replayable)
    assert plan.ways == ways
    assert ("for no other speech is kept" in plan.reason) is not replayable
    assert f"{minutes:.1f} minutes are few" in plan.reason if "head" in ways else "from 3 minutes on" in plan.reason


def test_a_published_encoder_gets_a_top_first() -> None:
    bare = plan_ways(1.0, False, False, published=True, untrained=True)
    assert bare.ways == ("top", "all") and "the encoder comes without output layers" in bare.reason
    assert plan_ways(10, False, True, published=True).ways == ("top", "joint", "all")


def test_a_head_that_is_there_is_told_of() -> None:
    assert "the head that is there grows" in plan_ways(10, True, True).reason
    assert "grows" not in plan_ways(10, False, True).reason


@pytest.mark.parametrize(
    ("tried", "taken", "reason"),
    [
        ([Tried("all", 0.30, 0.10), Tried("joint", 0.40, 0.0)], "all", "it errs least"),
        ([Tried("all", 0.30, 0.10), Tried("joint", 0.31, 0.0)], "joint", "hardly more than `all`"),
        ([Tried("all", 0.30, 0.10), Tried("joint", 0.31, 0.2)], "all", "it errs least"),
        ([Tried("all", 0.30, None), Tried("joint", 0.31, None)], "all", "it errs least"),
        ([Tried("all", 0.30, None), Tried("joint", 0.31, 0.0)], "all", "it errs least"),
        ([Tried("head", 0.30, 0.0)], "head", "no other way was tried"),
        ([Tried("none", 0.20, 0.0), Tried("all", 0.20, 0.0)], "none", "it errs least"),
        ([Tried("none", 0.20, None), Tried("all", 0.10, None)], "all", "it errs least"),
        ([Tried("none", 0.0, 0.0), Tried("all", 0.1, -0.5)], "none", "it errs least"),
    ],
)
def test_the_fewest_errors_unless_others_lose_less_by_hardly_more(tried: list[Tried], taken: str, reason: str) -> None:
    chosen = choose_way(tried)
    assert chosen.way == taken and reason in chosen.reason
    assert [one.error for one in chosen.ladder] == sorted(one.error for one in tried)


@pytest.mark.parametrize(
    ("more", "rise", "taken"),
    [
        ([3, 0, 1, 0, -1, 1, 0, 0], 0.0, "all"),  # four errors more, and a standard error of 3.4
        ([3, 0, 1, 0, -2, 1, 0, 0], 0.0, "joint"),  # three more, and one of 4.0
        ([1, 1, 1, 0, 1, 1, 1, 0], 0.0, "all"),
        ([3, 0, 1, 0, -2, 1, 0, 0], 0.097, "all"),
    ],
)
def test_within_one_standard_error_others_that_lose_clearly_less_decide(
    more: list[int], rise: float, taken: str
) -> None:
    best = [5, 4, 3, 5, 4, 3, 5, 4]
    worse = [a + b for a, b in zip(best, more, strict=True)]
    tried = [
        Tried("all", sum(best) / 100, 0.10, errors=tuple(map(float, best))),
        Tried("joint", sum(worse) / 100, rise, errors=tuple(map(float, worse))),
    ]
    assert choose_way(tried).way == taken


def test_the_mean_of_what_languages_lose() -> None:
    assert mean_rise({"de": 0.1, "fr": 0.3}, {"de": 0.2, "fr": 0.3}) == pytest.approx(0.05)
    assert mean_rise({}, {}) is None


def test_a_way_goes_into_records_rounded() -> None:
    plain = Tried("all", 1 / 3, None, 5, 1.234).to_plain()
    assert plain == {"way": "all", "error": 0.33333, "others": None, "steps": 5, "cpu_seconds": 1.23}
    assert Tried("all", 0.1, 1 / 3).to_plain()["others"] == 0.33333
