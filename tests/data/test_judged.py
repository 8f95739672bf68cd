"""Speech held out from training to judge on: whole speakers where there are several, never so much that it hurts."""

from __future__ import annotations

from collections.abc import Collection, Hashable

import pytest

from asr_transfer.config import ModelConfig, SourceConfig
from asr_transfer.data.judged import LEAST, HeldOut, hold_out, symbols_of
from asr_transfer.data.manifest import Utterance


def spoken(speakers: int, each: int, texts: int = 10_000, language: str = "en", name: str = "s") -> list[Utterance]:
    """Return utterances of speakers with as many different texts as that allows."""
    return [
        Utterance(f"{name}{n}-{i}", "x.wav", 1.0, f"text {(n * each + i) % texts}", f"{name}{n}", language)
        for n in range(speakers)
        for i in range(each)
    ]


def letters(utterance: Utterance) -> Collection[Hashable]:
    """Return what a model of letters learns of an utterance."""
    return set(utterance.text)


def divided(train: list[Utterance], dev: list[Utterance] | None = None, count: int = 60, seed: int = 0) -> HeldOut:
    """Hold out, and check that nothing is both trained and judged on, or lost."""
    held = hold_out(train, dev or [], count, seed, letters)
    ids = {u.id for u in held.judged}
    assert len(ids) == len(held.judged) and not ids & {u.id for u in held.train}
    assert held == hold_out(list(train), dev or [], count, seed, letters)
    return held


@pytest.mark.parametrize(("speakers", "each"), [(74, 13), (40, 15), (400, 2), (60, 113)])
def test_whole_speakers_are_held_out_where_there_are_several(speakers: int, each: int) -> None:
    train = spoken(speakers, each)
    held = divided(train)
    assert held.apart and len({u.speaker for u in held.judged}) >= 2
    assert {u.speaker for u in held.train} | {u.speaker for u in held.judged} == {u.speaker for u in train}
    assert 0.9 * len(train) <= len(held.train) < len(train) and LEAST <= len(held.judged) <= 60
    assert "whole speakers" in held.remark
    assert {u.speaker for u in divided(train, seed=1).judged} != {u.speaker for u in held.judged}


@pytest.mark.parametrize(("speakers", "each"), [(1, 900), (6, 500), (3, 200)])
def test_of_few_speakers_texts_are_held_out(speakers: int, each: int) -> None:
    held = divided(spoken(speakers, each))
    assert len(held.judged) == 60 and len(held.train) == speakers * each - 60
    assert not {u.text for u in held.judged} & {u.text for u in held.train}
    assert not held.apart and "speakers who are trained on" in held.remark


def test_of_few_speakers_who_say_few_words_no_word_is_held_out() -> None:
    held = divided(spoken(6, 500, texts=10))
    assert len(held.judged) == 60 and len({u.text for u in held.judged}) == 10 == len({u.text for u in held.train})


@pytest.mark.parametrize("train", [spoken(20, 5), spoken(1, 10 * LEAST - 1), spoken(2, 60)])
def test_small_training_sets_keep_everything_and_say_so(train: list[Utterance]) -> None:
    held = divided(train)
    assert list(held.train) == train and not held.judged
    assert "too few to hold any out" in held.remark and "300" in held.remark
    assert divided(train, count=0).remark == ""


def test_development_speech_serves_and_takes_nothing_from_training() -> None:
    train, dev = spoken(74, 13), spoken(5, 20, name="dev")
    held = divided(train, dev)
    assert list(held.train) == train and len(held.judged) == 60 and held.apart
    assert {u.speaker for u in held.judged} <= {u.speaker for u in dev}
    known = [Utterance(f"x{n}", "x.wav", 1.0, u.text, "s0", "en") for n, u in enumerate(dev)]
    assert not divided(train, known).apart, "development speech of a speaker who is trained on"
    assert {u.speaker for u in divided(train, [*known, *dev[:40]]).judged} == {"dev0", "dev1"}
    few = divided(train, dev[:10])
    assert len(few.train) < len(train) and not {u.id for u in few.judged} & {u.id for u in dev}


def test_every_language_has_its_own() -> None:
    train = [*spoken(40, 15), *spoken(30, 20, language="fr", name="f"), *spoken(2, 20, language="de", name="d")]
    held = divided(train)
    assert {u.language for u in held.judged} == {"en", "fr"}
    assert sum(u.language == "de" for u in held.train) == 40


@pytest.mark.parametrize("seed", range(5))
def test_what_only_one_speaker_says_stays_in_training(seed: int) -> None:
    train = spoken(40, 10)
    train[::10] = [Utterance(f"only{n}", "x.wav", 1.0, chr(0x4E00 + n), f"s{n}", "en") for n in range(40)]
    symbols = symbols_of(SourceConfig(model=ModelConfig(units="characters")))
    held = hold_out(train, [], 20, seed, symbols)
    left = {letter for u in held.train for letter in u.text}
    assert held.judged and left >= {chr(0x4E00 + n) for n in range(40)}


def test_symbols_are_what_the_tokens_are_made_of() -> None:
    one = Utterance("a", "x.wav", 1.0, "so so", "s", "en", pronunciation="s ow1 s ow1")
    for units, found in (
        ("characters", {"s", "o", " "}), ("subwords", {"s", "o", " "}), ("words", {"so"}), ("phones", {"s", "ow1"}),
        ("toneless-phones", {"s", "ow"}),
    ):  # fmt: skip
        assert symbols_of(SourceConfig(model=ModelConfig(units=units)))(one) == found  # type: ignore[arg-type]
    words = SourceConfig(model=ModelConfig(units="phones"), isolated_words=True)
    assert ("text", "so so") in symbols_of(words)(one), "a lexicon's words are learnt from training too"
