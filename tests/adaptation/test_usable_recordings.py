"""Vetting a speaker's recordings: what is left out and why, and which recordings must stay together."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from asr_transfer.adaptation.usable_recordings import Vetted, vet
from asr_transfer.data.features import build_store
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError
from asr_transfer.remarks import Remark
from tests.tones import make_speaker


@dataclass
class Speaker:
    """A model, recordings of a speaker whom it knows, and what was said of them."""

    source: Recogniser
    utterances: list[Utterance]
    cache: Path

    def vet(
        self, utterances: list[Utterance], keep: bool = False, labelled: bool = True, speeds: tuple[float, ...] = (1.0,)
    ) -> tuple[Vetted, list[str]]:
        """Return what vetting leaves and says."""
        store = build_store(utterances, self.source.model.inputs, speeds, cache=self.cache)
        said: list[str] = []
        return vet(self.source, Spoken(utterances, store), speeds, keep, labelled, said.append), said


@pytest.fixture
def speaker(tone_run: Path, tmp_path: Path) -> Speaker:
    """Return eight recordings in which vetting finds nothing."""
    made = make_speaker(tmp_path / "wav", "ola", 1.0, 8, 41)
    return Speaker(Recogniser.load(tone_run), made, tmp_path / "cache")


def test_good_recordings_pass_without_a_word(speaker: Speaker) -> None:
    vetted, said = speaker.vet(speaker.utterances)
    assert vetted.spoken.utterances == speaker.utterances and not vetted.dropped and not said
    assert len(set(vetted.groups)) == 8


def test_copies_share_a_group_even_when_the_first_of_them_goes(speaker: Speaker, tmp_path: Path) -> None:
    copies = []
    for number in (1, 2):
        shutil.copy(speaker.utterances[3].audio, tmp_path / f"copy{number}.wav")
        copies.append(replace(speaker.utterances[3], id=f"copy{number}", audio=str(tmp_path / f"copy{number}.wav")))
    original = replace(speaker.utterances[3], text="abba " * 60)
    with pytest.warns(Remark, match=f"{original.id}: left out: CTC needs .* not what was said"):
        vetted, said = speaker.vet([*speaker.utterances[:3], original, *speaker.utterances[4:], *copies])
    assert vetted.dropped == [(original.id, "too short")] and len(said) == 2
    groups = dict(zip((u.id for u in vetted.spoken.utterances), vetted.groups, strict=True))
    assert groups["copy1"] == groups["copy2"] and len(set(groups.values())) == 8
    assert list(groups) == [u.id for u in vetted.spoken.utterances], "a group per utterance, in their order"


def test_a_swapped_transcript_is_left_out_unless_asked_for(speaker: Speaker) -> None:
    first, second, *rest = sorted(speaker.utterances, key=lambda utterance: -len(utterance.text))
    swapped = [replace(first, text=second.text), replace(second, text=first.text), *rest]
    vetted, said = speaker.vet(swapped)
    assert {(first.id, "suspicious"), (second.id, "suspicious")} <= set(vetted.dropped)
    assert all(line.endswith("It is left out.") for line in said) and len(said) == len(vetted.dropped)
    kept, said_too = speaker.vet(swapped, keep=True)
    assert kept.spoken.utterances == swapped and not kept.dropped
    assert said_too == [line.removesuffix(" It is left out.") for line in said]


def test_a_text_that_fits_as_spoken_may_be_too_long_for_a_faster_copy(speaker: Speaker) -> None:
    long = max(speaker.utterances, key=lambda utterance: len(utterance.text))
    frames = int(long.duration * 100) // 4
    tight = replace(long, text="abc" * (frames // 4))
    assert (long.id, "too short") not in speaker.vet([tight, *speaker.utterances[:2]], keep=True)[0].dropped
    vetted, _ = speaker.vet([tight, *speaker.utterances[:2]], keep=True, speeds=(1.0, 2.0))
    assert vetted.dropped == [(long.id, "too short")]


def test_transcripts_that_are_not_read_are_not_judged_either(
    speaker: Speaker, make_audio: Callable[..., Path], tmp_path: Path
) -> None:
    noise = Utterance("noise", str(make_audio(tmp_path / "noise.wav", seconds=1.0)), 1.0, "", "ola", "en")
    texts = ["", "???", "abba " * 60, "fad", "", "", "", ""]
    bare = [replace(u, text=text) for u, text in zip(speaker.utterances, texts, strict=True)]
    vetted, said = speaker.vet([*bare, noise], labelled=False)
    assert vetted.spoken.utterances == bare and vetted.dropped == [("noise", "silence")]
    assert len(said) == 1 and "noise or a hum" in said[0]


def test_nothing_left_is_an_error_that_says_why(
    speaker: Speaker, make_audio: Callable[..., Path], tmp_path: Path
) -> None:
    noise = Utterance("noise", str(make_audio(tmp_path / "noise.wav", seconds=1.0)), 1.0, "abba", "ola", "en")
    short = replace(speaker.utterances[0], text="abba " * 60)
    with pytest.raises(DataError, match=r"none of the 2 recordings can be adapted to \(noise: silence; ola-0: too sh"):
        speaker.vet([noise, short])
    with pytest.raises(DataError, match=r"none of the 1 recordings can be adapted to \(noise: silence\)"):
        speaker.vet([noise], labelled=False)
