"""Synthetic speech: it repeats exactly, it is what the voice asks for, and its alignment fits its sound."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from asr_transfer.audio import SAMPLE_RATE
from asr_transfer.data.synthesis import KINDS, Speech, Voice, random_voice, synthesise
from asr_transfer.errors import ConfigError, DataError

pytestmark = pytest.mark.voices

TEXTS = (
    "turn the kitchen light off at seven thirty please and close the door",
    "the answer is four hundred and twenty one, my number is nine eight seven",
)
PLAIN = Voice("en-us+f3")


@pytest.fixture(scope="module")
def plain() -> list[Speech]:
    return synthesise(TEXTS, PLAIN)


def median_f0(samples: np.ndarray) -> float:
    """Median fundamental in Hz of the loud frames, by autocorrelation between 70 and 450 Hz."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[::512]
    loudness = np.sqrt(np.mean(frames**2, axis=1))
    shortest, longest = SAMPLE_RATE // 450, SAMPLE_RATE // 70
    found = []
    for frame in frames[loudness > 0.4 * loudness.max()]:
        spectrum = np.fft.rfft(frame * np.hanning(1024), 2048)
        similarity = np.fft.irfft(np.abs(spectrum) ** 2)[: longest + 1]
        lag = shortest + int(np.argmax(similarity[shortest:]))
        if similarity[lag] > 0.3 * similarity[0]:
            found.append(SAMPLE_RATE / lag)
    return float(np.median(found))


def formant_shift(before: np.ndarray, after: np.ndarray) -> float:
    """The factor on the frequency axis that best lays the mean log spectrum of `before` over that of `after`."""

    def envelope(samples: np.ndarray) -> np.ndarray:
        frames = np.lib.stride_tricks.sliding_window_view(samples, 512)[::160] * np.hanning(512)
        power = np.log(np.mean(np.abs(np.fft.rfft(frames)) ** 2, axis=0) + 1e-8)
        return np.convolve(power, np.hanning(9) / np.hanning(9).sum(), "same")

    grid = np.arange(257) * SAMPLE_RATE / 512
    band = np.geomspace(300, 5000, 400)
    low, high = envelope(before), envelope(after)
    factors = np.arange(0.7, 1.58, 0.01)
    fits = [np.corrcoef(np.interp(band, grid, low), np.interp(band * f, grid, high))[0, 1] for f in factors]
    return float(factors[int(np.argmax(fits))])


def joined(speeches: list[Speech]) -> np.ndarray:
    return np.concatenate([speech.samples for speech in speeches])


def test_speech_is_mono_float32_of_plausible_length_and_level(plain: list[Speech]) -> None:
    for speech in plain:
        assert speech.samples.dtype == np.float32
        assert speech.samples.ndim == 1
        assert 2.5 < speech.duration < 6
        assert 0.1 < np.abs(speech.samples).max() <= 1


def test_the_same_call_gives_the_same_bytes_whatever_happened_before(plain: list[Speech]) -> None:
    other = random_voice(3, "child")
    with ThreadPoolExecutor(3) as pool:
        again, _, third = pool.map(lambda voice: synthesise(TEXTS, voice), (PLAIN, other, PLAIN))
    for first, second, last in zip(plain, again, third, strict=True):
        assert first.samples.tobytes() == second.samples.tobytes() == last.samples.tobytes()
        assert first.phones == second.phones == last.phones


@pytest.mark.parametrize("variant", ["f2", "f5"])
def test_breathy_voices_do_not_depend_on_the_time_of_day(variant: str) -> None:
    voice = Voice(f"en-us+{variant}")
    first = synthesise(TEXTS[:1], voice)[0]
    time.sleep(1.01)  # espeak-ng's own seed changes every second
    assert synthesise(TEXTS[:1], voice)[0].samples.tobytes() == first.samples.tobytes()


def test_results_keep_the_order_of_the_texts() -> None:
    short, long = synthesise(["seven", "seven hundred and seventy seven thousand"], PLAIN)
    assert short.duration < 0.6 * long.duration
    assert len(short.phones) < len(long.phones)
    assert synthesise([], PLAIN) == []


@pytest.mark.parametrize("name", ["en-us+f3", "en-us+m1"])
@pytest.mark.parametrize("warp", [0.88, 1.15, 1.4])
def test_a_warp_moves_the_formants_and_nothing_else(name: str, warp: float) -> None:
    before = joined(synthesise(TEXTS, Voice(name, pitch=55)))
    after = joined(synthesise(TEXTS, Voice(name, pitch=55, warp=warp)))
    assert len(after) == pytest.approx(len(before), rel=0.03)
    assert median_f0(after) == pytest.approx(median_f0(before), rel=0.06)
    assert formant_shift(before, after) == pytest.approx(warp, abs=0.05)


def test_pitch_and_rate_do_what_they_say(plain: list[Speech]) -> None:
    octave_up = joined(synthesise(TEXTS, Voice(PLAIN.name, pitch=90)))
    hasty = joined(synthesise(TEXTS, Voice(PLAIN.name, rate=240)))
    base = joined(plain)
    assert 1.4 < median_f0(octave_up) / median_f0(base) < 1.9
    assert len(hasty) / len(base) == pytest.approx(160 / 240, rel=0.12)


@pytest.mark.parametrize("voice", [PLAIN, Voice("en-gb-x-rp+m4", warp=0.9), Voice("en-us+f2", 75, warp=1.38)])
def test_alignments_are_ordered_within_the_audio_and_cover_it(voice: Voice) -> None:
    for speech in synthesise(TEXTS, voice):
        assert len(speech.phones) > 30
        assert speech.phones[0][1] < 0.1
        assert all(start < end for _, start, end in speech.phones)
        assert all(before[2] <= after[1] + 1e-9 for before, after in itertools.pairwise(speech.phones))
        assert speech.duration - 0.3 < speech.phones[-1][2] <= speech.duration
        spoken = sum(end - start for _, start, end in speech.phones)
        assert spoken > 0.75 * speech.duration


@pytest.mark.parametrize("warp", [1.0, 1.35])
def test_alignments_fit_the_sound(warp: float) -> None:
    speech = synthesise(["say no, say see, say no"], Voice("en-us+f3", 65, warp=warp))[0]

    def power(start: float, end: float) -> float:
        return float(np.mean(speech.samples[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)] ** 2))

    vowels = [power(start, end) for phone, start, end in speech.phones if phone in ("eɪ", "oʊ", "iː")]
    hisses = [power(start, end) for phone, start, end in speech.phones if phone == "s"]
    gaps = [
        power(before[2] + 0.03, after[1] - 0.01)
        for before, after in itertools.pairwise(speech.phones)
        if after[1] - before[2] > 0.1
    ]
    assert (len(vowels), len(hisses), len(gaps)) == (6, 4, 2)
    assert max(gaps) < 0.05 * min(vowels)
    assert max(hisses) < min(vowels)


@pytest.mark.parametrize("name", ["fr", "de+m3", "en-gb", "pl+f1"])
def test_voices_of_other_languages_leave_no_language_marks_among_the_phones(name: str) -> None:
    speech = synthesise(["computer weekend zwei trois hundred manager"], Voice(name))[0]
    phones = [phone for phone, _, _ in speech.phones]
    assert len(phones) > 20
    assert all(phone.strip() for phone in phones)
    assert not any(mark in phone for phone in phones for mark in "()ˈˌ:_0123456789")


@pytest.mark.parametrize("kind", KINDS)
def test_random_voices_repeat_vary_and_can_be_spoken(kind: str) -> None:
    voices = [random_voice(seed, kind) for seed in range(300)]
    assert voices == [random_voice(seed, kind) for seed in range(300)]
    assert len(set(voices)) == 300
    assert len({voice.name for voice in voices}) > 15
    low, high = (0.88, 1.15) if kind == "ordinary" else (1.25, 1.4)
    assert all(low <= voice.warp <= high for voice in voices)


def test_every_accent_and_variant_that_can_be_drawn_exists() -> None:
    names = {random_voice(seed, kind).name for seed in range(300) for kind in KINDS}
    accents, variants = (sorted({name.split("+")[i] for name in names}) for i in (0, 1))
    pairs = [f"{a}+{v}" for a, v in itertools.zip_longest(accents, variants, fillvalue="en-us") if "+" not in v]
    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda name: synthesise(["one"], Voice(name))[0].duration > 0.2, pairs))
    assert len(variants) == 13


def test_other_languages_are_drawn_by_their_code() -> None:
    assert random_voice(0, language="fr").name.startswith("fr+")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pitch": 101}, r"`voice\.pitch` must be from 0 to 100, got 101\."),
        ({"warp": 2}, r"`voice\.warp` must be from 0\.75 to 1\.6, got 2\."),
        ({"rate": math.nan}, r"`voice\.rate` must be a finite number from 80 to 450 words per minute, got nan\."),
        ({"rate": 90, "warp": 1.4}, r"with warp 1\.4 must be between 112 and 630 words per minute, got 90"),
        ({"pitch": 5, "warp": 1.4}, r"with warp 1\.4 is out of espeak-ng's reach, got 5; choose one higher\."),
        ({"pitch": 99, "warp": 0.8}, r"choose one lower\."),
    ],
)
def test_voices_out_of_reach_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Voice("en-us", **settings)


def test_unknown_voices_variants_and_kinds_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"got 'en-uss' instead\. Did you mean 'en-us'\?"):
        synthesise(["one"], Voice("en-uss"))
    with pytest.raises(ConfigError, match=r"no variant 'f33'.* Did you mean 'f3'\?"):
        synthesise(["one"], Voice("en-us+f33"))
    with pytest.raises(ConfigError, match=r"'kind'.*ordinary, child, got 'adult' instead\."):
        random_voice(0, "adult")
    with pytest.raises(ConfigError, match=r"'seed'.*got -1 instead\."):
        random_voice(-1)


@pytest.mark.parametrize("text", ["", "  ", " . "])
def test_texts_without_words_are_refused_by_number(text: str) -> None:
    with pytest.raises(DataError, match=r"Text 2 of the en-us speaker"):
        synthesise(["one", text], Voice("en-us"))


def test_the_module_starts_fast_because_it_does_not_import_torch() -> None:
    code = "import sys, asr_transfer.data.synthesis; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]).returncode == 0
