"""The report's pictures of its worst utterances, and what it says of the recordings that a system was adapted to."""

from __future__ import annotations

import io
import re
from pathlib import Path

import librosa
import matplotlib.image
import numpy as np
import pytest

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.data.voice import Diagnosis, Measured
from asr_transfer.evaluation import listing, spectrograms
from asr_transfer.evaluation.report import write_report
from asr_transfer.evaluation.spectrograms import BANDS, picture
from tests.evaluation.test_report import compare_folder, page_data
from tests.made_runs import garbled, utterances, write_recipe, write_run

PICTURE = r'<img class="spectrogram" data-utterance="(\d+)" src="data:image/png;base64,[\w+/=]+" alt="Spectrogram of '


def brightness(png: bytes) -> np.ndarray:
    """Return a picture's brightness, the lowest band first."""
    pixels = matplotlib.image.imread(io.BytesIO(png), format="png")
    return np.asarray(pixels[::-1, :, :3].sum(axis=2))


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 4000.0])
def test_a_tone_is_a_line_at_its_height(hertz: float) -> None:
    clock = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    shown = brightness(picture((0.1 * np.sin(2 * np.pi * hertz * clock)).astype(np.float32)))
    assert shown.shape == (BANDS, 101)
    centres = librosa.mel_frequencies(BANDS + 2, fmin=0, fmax=SAMPLE_RATE / 2)[1:-1]
    assert abs(int(shown.mean(axis=1).argmax()) - int(np.abs(centres - hertz).argmin())) <= 1


def test_time_runs_to_the_right_and_pauses_are_dark() -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal(2 * SAMPLE_RATE)
    noise[:SAMPLE_RATE] *= 1e-4
    shown = brightness(picture(noise.astype(np.float32))).mean(axis=0)
    assert shown[:95].max() < 0.5 * shown[-95:].min()


def test_long_recordings_and_silence_give_small_pictures() -> None:
    assert brightness(picture(np.zeros(60 * SAMPLE_RATE, np.float32))).shape[1] <= 601


def test_the_worst_utterances_have_pictures_once(tmp_path: Path) -> None:
    compared = compare_folder(write_recipe(tmp_path / "demo", utterances(24), recordings=True))
    worst = listing.worst_first(compared.focus)
    gone = Path(listing.places(compared)[worst[1]].file)
    gone.unlink()
    page = write_report(tmp_path / "out", compared, "link", "x").read_text(encoding="utf-8")
    shown = [int(n) for n in re.findall(PICTURE, page)]
    assert shown == [worst[0], *worst[2 : spectrograms.SHOWN]] and page.count("data:image/png") == len(shown)
    assert "image/png" not in str(page_data(page))
    bare = write_report(tmp_path / "bare", compared, "none", "x").read_text(encoding="utf-8")
    assert "spectrogram" not in re.sub(r"<style>.*?</style>|<script>.*?</script>", "", bare, flags=re.DOTALL)


def test_a_part_of_a_long_recording_is_drawn_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = compare_folder(write_recipe(tmp_path / "demo", utterances(24), recordings=True))
    place = listing.places(compared)[0]
    whole = listing.read_place(place)
    assert len(listing.read_place(place, 0.1)) == 1600 and len(listing.read_place(place, 60.0)) == len(whole)
    part = listing.read_place(listing.Place(place.file, (0.05, 0.15)))
    assert np.array_equal(part, whole[800:2400])


def test_the_report_tells_what_the_recordings_were_like(tmp_path: Path) -> None:
    fine = Measured("a", 3.0, (90.0, 120.0, 160.0), -22.0, 0.0, 0.3, 31.0)
    bad = Measured("b <i>", 2.0, None, -50.0, 0.0, 0.2, None, ("quiet: record closer to the microphone",))
    plain = Diagnosis((fine, bad), 2).to_plain()
    perfect = utterances(16)
    write_run(tmp_path / "runs" / "before", garbled(perfect, 0.3, 1))
    write_run(tmp_path / "runs" / "after", garbled(perfect, 0.2, 2), adaptation={"method": "full", "voice": plain})
    compared = compare_folder(tmp_path / "runs" / "before", tmp_path / "runs" / "after")
    page = write_report(tmp_path / "out", compared, "none", "x").read_text(encoding="utf-8")
    table = page.split("Recordings that were adapted to")[-1].split("</table>")[0]
    assert "all 2" in table and "120 (90 to 160)" in table and "b &lt;i&gt;" in table and "quiet: record" in table
    assert "standing_out" not in page
    assert "quiet: record closer" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
