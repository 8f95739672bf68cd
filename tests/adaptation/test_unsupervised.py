"""Pseudo-labels depend on the speech alone, and their confidence is the probability of the label sequence."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_transfer.adaptation.unsupervised import guess, pseudo_label
from asr_transfer.config import FeatureConfig
from asr_transfer.data.features import FeatureStore, build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError, DataError
from tests.small import MELS, TOKENS, different, small_model, snapshot

Speech = tuple[list[Utterance], FeatureStore]


@pytest.fixture
def speech(tmp_path: Path, make_audio: Callable[..., Path]) -> Speech:
    """Return recordings of 0.06 to 0.5 seconds, without transcripts, and their features."""
    utterances = []
    for number, seconds in enumerate((0.5, 0.06, 0.3, 0.07, 0.4, 0.06)):
        recording = make_audio(tmp_path / f"{'a' * (number + 1)}.wav", seconds)
        utterances.append(Utterance(f"u{number}", str(recording), seconds, "", "s", "en"))
    return utterances, build_store(utterances, FeatureConfig(mels=MELS), cache=tmp_path / "cache")


def _recogniser(seed: int = 3, blank: float = 0.0, sharpness: float = 4.0) -> Recogniser:
    """Return a random model; `blank` raises the blank's logit, `sharpness` scales all of them."""
    model = small_model(seed).eval()
    with torch.no_grad():
        head = model.heads["main"]
        assert isinstance(head, torch.nn.Linear)
        head.weight.mul_(sharpness)
        head.bias[0] += blank
    return Recogniser(model, Tokens(["a", "b", "c", " "]), "main", {})


def _posteriors(recogniser: Recogniser, data: Spoken, item: int) -> torch.Tensor:
    batch = data.collate([item])
    with torch.no_grad():
        hidden, _ = recogniser.model(batch.inputs, batch.lengths)
        result: torch.Tensor = recogniser.model.head("main")(hidden)[0].double().softmax(-1)
    return result


def _probability(posteriors: torch.Tensor, labels: list[int]) -> float:
    """Sum over all paths that collapse to `labels`, by going through every path."""
    total = 0.0
    for path in itertools.product(range(TOKENS), repeat=len(posteriors)):
        if [token for token, _ in itertools.groupby(path) if token] == labels:
            total += float(torch.stack([posteriors[t, k] for t, k in enumerate(path)]).prod())
    return total


def test_confidence_is_the_probability_of_the_text_per_label_over_all_paths(speech: Speech) -> None:
    utterances, store = speech
    compared = 0
    for seed in range(12):
        recogniser = _recogniser(seed)
        data = Spoken(utterances, store)
        for item, guessed in enumerate(guess(recogniser, data)):
            posteriors = _posteriors(recogniser, data, item)
            labels = recogniser.tokens.encode(guessed.heard.text)
            if len(posteriors) > 4 or not labels:
                continue
            wanted = _probability(posteriors, labels) ** (1 / len(labels))
            assert guessed.confidence == pytest.approx(wanted, rel=1e-4)
            compared += 1
    assert compared >= 12


def test_texts_are_those_of_recognition_and_the_model_is_left_alone(speech: Speech) -> None:
    utterances, store = speech
    recogniser = _recogniser(blank=-100.0)  # else rounding might decide whether a random model hears a blank
    before = snapshot(recogniser.model)
    data = Spoken(utterances, store)
    guesses = guess(recogniser, data)
    assert [guessed.heard.text for guessed in guesses] == recogniser.listen(data)
    assert all(guessed.heard.text for guessed in guesses)
    assert all(0 <= guessed.confidence <= 1 for guessed in guesses)
    assert not different(before, snapshot(recogniser.model))


def test_what_is_kept_is_what_is_sure_enough(speech: Speech) -> None:
    utterances, store = speech
    recogniser = _recogniser()
    guesses = guess(recogniser, Spoken(utterances, store))
    by_confidence = sorted(guessed.confidence for guessed in guesses if guessed.heard.text)
    assert len(set(by_confidence)) > 3
    for threshold in (0.0, *by_confidence):
        kept, report = pseudo_label(recogniser, Spoken(utterances, store), threshold)
        sure = [bool(g.heard.text) and g.confidence >= threshold for g in guesses]
        assert kept.utterances == [
            replace(u, text=g.heard.text) for u, g, s in zip(utterances, guesses, sure, strict=True) if s
        ]
        assert report.kept == len(kept) == sum(sure)
        assert [name for name, _ in report.dropped] == [u.id for u, s in zip(utterances, sure, strict=True) if not s]
        for name, reason in report.dropped:
            guessed = guesses[int(name[1:])]
            assert (f"{guessed.confidence:.3f}" in reason) if guessed.heard.text else ("nothing" in reason)


def test_the_given_texts_have_no_influence(speech: Speech) -> None:
    utterances, store = speech
    recogniser = _recogniser()
    garbage = [replace(u, text=f"Ж {u.id} 123") for u in utterances]
    unlabelled, labelled = (pseudo_label(recogniser, Spoken(given, store), 0.0) for given in (utterances, garbage))
    assert unlabelled[1] == labelled[1]
    assert unlabelled[0].utterances == labelled[0].utterances != []


def test_empty_hypotheses_are_dropped_at_any_threshold(speech: Speech) -> None:
    utterances, store = speech
    for blank in torch.linspace(0, 10, 40).tolist():
        recogniser = _recogniser(blank=blank, sharpness=1.0)
        texts = recogniser.listen(Spoken(utterances, store))
        if 0 < texts.count("") < len(texts):
            break
    kept, report = pseudo_label(recogniser, Spoken(utterances, store), 0.0)
    assert [u.text for u in kept.utterances] == [text for text in texts if text]
    assert len(report.dropped) == texts.count("") > 0
    # A model that hears silence everywhere is very sure of it, and still there is nothing to learn.
    with pytest.raises(DataError, match="recognises nothing in any of the 6 utterances"):
        pseudo_label(_recogniser(blank=100.0), Spoken(utterances, store), 0.0)


def test_nothing_kept_names_the_highest_confidence_and_the_mend(speech: Speech) -> None:
    utterances, store = speech
    recogniser = _recogniser(sharpness=1.0)
    guesses = guess(recogniser, Spoken(utterances, store))
    best = max(guessed.confidence for guessed in guesses)
    assert 0 < best < 1
    with pytest.raises(DataError, match=rf"as sure as 1: .*6 utterances is {best:.3f}.*--settings\.confidence"):
        pseudo_label(recogniser, Spoken(utterances, store), 1.0)
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match=r"settings\.confidence"):
            pseudo_label(recogniser, Spoken(utterances, store), wrong)
    with pytest.raises(DataError, match="no utterances"):
        pseudo_label(recogniser, Spoken([], store), 0.5)
