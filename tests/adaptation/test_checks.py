"""Checks of recordings before adaptation find silence, clipping, copies and wrong texts; folds keep copies together."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asr_transfer.adaptation.checks import (
    Finding,
    check_audio,
    ctc_losses,
    held_out_folds,
    misfit,
    suspicious_transcripts,
)
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError
from tests.tones import make_speaker, speak

RATE = 16_000


def _write(folder: Path, name: str, samples: np.ndarray, text: str = "cab", rate: int = RATE) -> Utterance:
    path = folder / name
    soundfile.write(path, samples, rate)
    return Utterance(path.stem, str(path), len(samples) / rate, text, "s", "en")


def _made(texts: Sequence[str]) -> list[Utterance]:
    return [Utterance(f"u{n}", f"u{n}.wav", 1.0, text, "s", "en") for n, text in enumerate(texts)]


def _swappable(one: Utterance, two: Utterance) -> bool:
    """Whether two texts share no word and fit into each other's recordings."""
    return not set(one.text.split()) & set(two.text.split()) and abs(len(one.text) - len(two.text)) < 3


def _kinds(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.utterance, finding.kind) for finding in findings]


def test_silence_noise_and_hum_are_found_and_speech_is_not(tmp_path: Path) -> None:
    random, time = np.random.default_rng(0), np.arange(RATE) / RATE
    speech = speak("abba cab", 1.0, 1)
    utterances = [
        _write(tmp_path, "zeros.wav", np.zeros(RATE)),
        _write(tmp_path, "faint.wav", speech * 10 ** (-45 / 20)),
        _write(tmp_path, "noise.wav", 0.05 * random.standard_normal(RATE)),
        _write(tmp_path, "hum.wav", 0.2 * np.sin(2 * np.pi * 100 * time)),
        _write(tmp_path, "offset.wav", 0.3 + 1e-4 * random.standard_normal(RATE)),
        _write(tmp_path, "speech.wav", speech),
        _write(tmp_path, "quiet.wav", speech * 10 ** (-30 / 20)),
        _write(tmp_path, "short.wav", 0.2 * np.sin(2 * np.pi * 300 * time[:1200])),
    ]
    findings = check_audio(utterances).findings
    assert _kinds(findings) == [(name, "silence") for name in ("zeros", "faint", "noise", "hum", "offset")]
    for finding in findings:
        assert f"utterance '{finding.utterance}': {tmp_path / finding.utterance}.wav" in str(finding)
        assert str(finding).endswith("record it again or leave it out.")


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_clipping_is_found_at_any_rate_and_full_scale_alone_is_none(tmp_path: Path, rate: int) -> None:
    time = np.arange(rate) / rate
    speech = np.sin(2 * np.pi * 220 * time) * np.sin(2 * np.pi * 1.5 * time) ** 2
    utterances = [
        _write(tmp_path, "loud.wav", speech / np.abs(speech).max(), rate=rate),
        _write(tmp_path, "clipped.wav", np.clip(4 * speech, -1, 1), rate=rate),
    ]
    (finding,) = check_audio(utterances).findings
    assert (finding.utterance, finding.kind) == ("clipped", "clipped")
    assert "lower level" in str(finding)


def test_copies_are_found_whatever_their_name_format_and_place_in_a_file(tmp_path: Path) -> None:
    one, two = np.round(speak("cab", 1.0, 1) * 32768) / 32768, np.round(speak("cab", 1.0, 2) * 32768) / 32768
    utterances = [
        _write(tmp_path, "first.wav", one),
        _write(tmp_path, "take2.wav", two),
        _write(tmp_path, "copy.flac", one),
        _write(tmp_path, "other.wav", one, "dab"),
        replace(
            _write(tmp_path, "long.wav", np.concatenate([one, two])), start=len(one) / RATE, duration=len(two) / RATE
        ),
    ]
    check = check_audio(utterances)
    assert check.groups == [0, 1, 0, 0, 1]
    assert _kinds(check.findings) == [(name, "duplicate") for name in ("copy", "other", "long")]
    assert "utterance 'first'; leave one" in str(check.findings[0])
    assert "says 'dab' where that says 'cab'; remove the wrong one." in str(check.findings[1])


def test_a_missing_recording_is_an_error_of_the_user() -> None:
    with pytest.raises(DataError, match="u0.wav: there is no such audio file"):
        check_audio(_made(["cab"]))
    assert check_audio([]).groups == []


def test_folds_hold_each_utterance_once_and_are_balanced() -> None:
    for count, folds, seed in itertools.product(range(30), (2, 3, 5, 10), range(5)):
        utterances = _made([f"t{n % 4}" for n in range(count)])
        parts = held_out_folds(utterances, folds, seed, range(count))
        assert parts == held_out_folds(utterances, folds, seed, range(count))
        assert len(parts) == (0 if count < 2 else min(folds, count))
        if not parts:
            continue
        assert sorted(itertools.chain(*parts)) == list(range(count))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        for text in {u.text for u in utterances}:
            held = [sum(utterances[n].text == text for n in part) for part in parts]
            assert max(held) - min(held) <= 1


def test_folds_keep_groups_together_and_level_them_out() -> None:
    random = np.random.default_rng(0)
    for _ in range(500):
        count = int(random.integers(1, 25))
        groups = random.integers(0, random.integers(1, 12), count).tolist()
        utterances = _made([f"t{n}" for n in random.integers(0, 5, count)])
        folds, seed = int(random.integers(2, 7)), int(random.integers(100))
        parts = held_out_folds(utterances, folds, seed, groups)
        sizes = Counter(groups)
        assert len(parts) == (min(folds, len(sizes)) if len(sizes) > 1 else 0)
        if parts:
            assert sorted(itertools.chain(*parts)) == list(range(count))
            assert sum(len({groups[n] for n in part}) for part in parts) == len(sizes)
            assert max(map(len, parts)) - min(map(len, parts)) <= max(sizes.values())


def test_folds_depend_on_the_seed_and_refuse_a_single_part() -> None:
    utterances = _made(["a"] * 10)
    assert len({str(held_out_folds(utterances, 5, seed, range(10))) for seed in range(10)}) > 5
    with pytest.raises(ValueError, match="'folds' parameter of held_out_folds must be at least 2, got 1"):
        held_out_folds(utterances, 1, 0, range(10))


def test_losses_of_several_texts_equal_those_found_path_by_path() -> None:
    log_probs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).log_softmax(-1)
    labels: list[list[int]] = [[1], [2, 1], [], [1, 1, 1]]
    wanted = []
    for label in labels:
        total = 0.0
        for path in itertools.product(range(3), repeat=4):
            if [token for token, _ in itertools.groupby(path) if token] == label:
                total += float(torch.stack([log_probs[t, k] for t, k in enumerate(path)]).sum().exp())
        wanted.append(-np.log(total) if total else np.inf)
    np.testing.assert_allclose(ctc_losses(log_probs, labels), wanted, rtol=1e-12)


def test_misfit_is_the_difference_of_differences() -> None:
    losses = np.random.default_rng(1).uniform(0, 5, (6, 3))
    losses[4, 1] = np.inf
    own = np.array([0, 1, 2, 0, 2, 1])

    def above(row: int, text: int) -> float:
        return float(
            losses[row, text] - np.mean([x for t, x in enumerate(losses[row]) if t != text and np.isfinite(x)])
        )

    for row, text in enumerate(own):
        rest = [above(k, text) for k in range(6) if own[k] != text and np.isfinite(losses[k, text])]
        assert misfit(losses, own)[row] == pytest.approx(above(row, text) - np.mean(rest), rel=1e-12)
    shifted = losses + np.arange(6)[:, None] + 7 * np.array([0.0, 1.0, -1.0])
    whole = np.isfinite(losses).all(1)
    assert misfit(shifted[whole], own[whole]) == pytest.approx(misfit(losses[whole], own[whole]), rel=1e-9)
    assert np.isnan(misfit(losses[:, :1], np.zeros(6, dtype=int))).all()


def test_swapped_transcripts_are_found_and_right_ones_pass(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path
) -> None:
    source = Recogniser.load(tone_run)
    everything = read_manifest(tone_corpus["test"])
    store = build_store(everything, source.model.inputs, cache=tmp_path)
    found = wrong = alarms = right = 0
    for speaker in ("ida", "jon"):
        own = [u for u in everything if u.speaker == speaker]
        for first in (0, 12):
            ten = own[first : first + 10]
            assert suspicious_transcripts(source, Spoken(ten, store)) == []
            one, two = next(p for p in itertools.combinations(range(10), 2) if _swappable(ten[p[0]], ten[p[1]]))
            changed = list(ten)
            changed[one] = replace(ten[one], text=ten[two].text)
            changed[two] = replace(ten[two], text=ten[one].text)
            findings = suspicious_transcripts(source, Spoken(changed, store))
            names = {finding.utterance for finding in findings}
            swapped = {ten[one].id, ten[two].id}
            found, wrong = found + len(names & swapped), wrong + 2
            alarms, right = alarms + len(names - swapped), right + 8
            for finding in findings:
                by_id = {u.id: u for u in changed}
                assert finding.kind == "suspicious"
                assert f"says '{by_id[finding.utterance].text}' but the model recognised '" in str(finding)
    assert found >= 0.75 * wrong
    assert alarms == 0


def test_too_little_to_compare_says_nothing(tone_run: Path, tmp_path: Path) -> None:
    source = Recogniser.load(tone_run)
    own = make_speaker(tmp_path, "kim", 1.0, 2, 5)
    store = build_store(own, source.model.inputs, cache=tmp_path / "cache")
    assert suspicious_transcripts(source, Spoken([], store)) == []
    assert suspicious_transcripts(source, Spoken([replace(own[0], text="dab")], store)) == []
    impossible = [replace(own[0], text="abba " * 60), own[1]]
    assert suspicious_transcripts(source, Spoken(impossible, store)) == []
    with pytest.raises(DataError, match="utterance 'kim-0'.*'x'"):
        suspicious_transcripts(source, Spoken([replace(own[0], text="x")], store))


def test_more_utterances_than_a_block_are_judged_the_same_way(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path
) -> None:
    source = Recogniser.load(tone_run)
    many = read_manifest(tone_corpus["train"])[:60]
    store = build_store(many, source.model.inputs, cache=tmp_path)
    other = next(n for n in range(31, 60) if many[n].text != many[30].text)
    changed = list(many)
    changed[30], changed[other] = replace(many[30], text=many[other].text), replace(many[other], text=many[30].text)
    assert [f.utterance for f in suspicious_transcripts(source, Spoken(changed, store))] == [
        many[30].id,
        many[other].id,
    ]
