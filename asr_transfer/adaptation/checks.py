"""Checks a new speaker's recordings before a model is adapted to them, and makes folds to score the adaptation on.

Nothing here changes or leaves out an utterance: a finding says what is likely wrong and how to mend it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from asr_transfer import audio
from asr_transfer.data.manifest import Utterance, read_audio
from asr_transfer.data.speech import Spoken
from asr_transfer.data.voice import CLIPPED, FULL_SCALE
from asr_transfer.decoding.greedy import greedy
from asr_transfer.decoding.recogniser import Frames, Recogniser

QUIET = -50.0
"""dBFS. Speech whose loudest 25 ms stay below it nears the floor of the log-mel features (about -60 dBFS); all
3,000 digits of FSDD rise above it."""

STEADY = 4.0
"""dB between the 5th and 95th percentile of the level. White noise spans 1, a hum 0; of 5,600 recordings of six
corpora, clips of 0.16 s included, none of speech spans less than 4.6."""

STEADY_FRAMES = 10
"""Shorter recordings (under 0.14 s) have too few frames to tell a vowel from a hum."""

BLOCK = 25
"""Transcripts are compared among so many at a time: with 50 of them no more swaps were found than with 10."""

MISMATCH = 2.0
"""Nats per token by which the model must prefer what it heard, so that a set without mistakes has no findings."""

CHANCE = 0.2
"""A transcript that fits this share as well as the speaker's middle one, where 0 is chance, fits no better than chance.
At 0 half of the wrong ones would pass; at 0.4 false alarms on a speaker of 41 % errors rise from 6 to 10 %."""

OUTLIER = 3.0
"""Scaled median absolute deviations above the speaker's median from which a preference is an outlier."""

FEW_TOKENS = 6.0
"""Nats that an outlier of one token must have above `MISMATCH`; they fall with the root of the tokens, as does the
spread of a mean. One misheard word costs a transcript up to 7 nats, one misheard letter in a sentence next to none."""


@dataclass(frozen=True)
class Finding:
    """Something about an utterance that a person should look at.

    Attributes:
        utterance: id of the utterance.
        kind: kind of the finding.
        detail: the rest of the sentence: what is wrong, and the mend.
    """

    utterance: str
    kind: Literal["silence", "clipped", "duplicate", "suspicious"]
    detail: str

    def __str__(self) -> str:
        return f"utterance '{self.utterance}': {self.detail}"


@dataclass(frozen=True)
class AudioCheck:
    """What one reading of the recordings told.

    Attributes:
        findings: all findings, in the order of the utterances.
        groups: index, for each utterance, of the first one with exactly the same samples (its own, if it is new).
    """

    findings: list[Finding]
    groups: list[int]


def check_audio(utterances: Sequence[Utterance]) -> AudioCheck:
    """Read each recording once and find silence, clipping and exact duplicates.

    Silence is a recording whose 25 ms frames all stay below `QUIET`, or whose level is as steady as noise or a hum
    (`STEADY`). Clipped is one with more than the share `CLIPPED` of its samples at `FULL_SCALE` or beyond. Duplicates
    have the same samples once decoded, so a WAV file and its FLAC copy are found, a second take is not.

    Raises:
        DataError: a recording cannot be read.
    """
    findings, groups = [], []
    first: dict[bytes, int] = {}
    for number, utterance in enumerate(utterances):
        samples = read_audio(utterance)
        original = first.setdefault(_digest(samples), number)
        groups.append(original)
        if silent := _silence(samples):
            findings.append(Finding(utterance.id, "silence", f"{utterance.audio} {silent}"))
        share = float((np.abs(samples) >= FULL_SCALE).mean())
        if share > CLIPPED:
            detail = f"{utterance.audio} is clipped ({100 * share:.0f} % of it at full scale)"
            findings.append(Finding(utterance.id, "clipped", f"{detail}; record it again at a lower level."))
        if original != number:
            findings.append(Finding(utterance.id, "duplicate", _duplicate(utterance, utterances[original])))
    return AudioCheck(findings, groups)


def digest(utterance: Utterance) -> bytes:
    """Return what two recordings share exactly when they have the same samples once decoded.

    Raises:
        DataError: the recording cannot be read.
    """
    return _digest(read_audio(utterance))


def _digest(samples: np.ndarray) -> bytes:
    return hashlib.sha256(samples.tobytes()).digest()


def held_out_folds(utterances: Sequence[Utterance], folds: int, seed: int, groups: Sequence[int]) -> list[list[int]]:
    """Divide a speaker's utterances into parts, each to be held out once while the others are adapted to.

    Utterances of one group (the same recording) stay in one part: held out beside its copy, an utterance would be
    scored by a model that has heard it. Sizes differ by 1, or by at most the largest group. Utterances of one text are
    spread over the parts, as evenly as sizes allow: parts then resemble the whole, and no word of a small vocabulary is
    adapted away because all its examples were held out. So the score is one for new utterances of the same kind; to
    score on new texts instead, give all utterances of a text the same group.

    Args:
        utterances: speech of one speaker.
        folds: number of parts; with fewer groups than that, each group is one.
        seed: random seed of the division.
        groups: number of each utterance's group, as in `AudioCheck.groups`.

    Returns:
        Indices of each part's utterances, rising; nothing when there are fewer than two groups.
    """
    if folds < 2:
        raise ValueError(f"The 'folds' parameter of held_out_folds must be at least 2, got {folds} instead.")
    random = np.random.default_rng(seed)
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    count = min(folds, len(members))
    if count < 2:
        return []
    units = [list(members.values())[n] for n in random.permutation(len(members))]
    texts = {text: n for n, text in enumerate(dict.fromkeys(utterances[unit[0]].text for unit in units))}
    # Large groups first, while others can level them out; equal texts in a row, so that they go to different parts.
    units.sort(key=lambda unit: (-len(unit), texts[utterances[unit[0]].text]))
    parts: list[list[int]] = [[] for _ in range(count)]
    held = [Counter[str]() for _ in range(count)]
    for unit in units:
        text = utterances[unit[0]].text
        tie = random.random(count)
        part = min(range(count), key=lambda n: (len(parts[n]), held[n][text], tie[n]))
        parts[part] += unit
        held[part].update(utterances[index].text for index in unit)
    return [sorted(part) for part in parts]


def suspicious_transcripts(source: Recogniser, spoken: Spoken) -> list[Finding]:
    """Find transcripts that do not belong to their recordings.

    By its CTC loss per token, the model must prefer its own greedy hypothesis to the transcript by more than
    `MISMATCH`, and one of two things must hold. Either the transcript fits its recording no better than chance
    (`misfit`, `CHANCE`): among the speaker's transcripts it does no better on this recording than on the others. This
    spares a speaker whom the model understands badly: a misheard transcript still fits better than a wrong one, and a
    text that the model dislikes throughout is not held against one recording. Or the preference is an outlier among
    the speaker's (`OUTLIER`, `FEW_TOKENS`), which tells sentences that resemble each other apart.

    A speaker with a single text has little to compare with and seldom findings; a transcript too long for CTC has
    none, because `Spoken.feasible` names it. A model of sequence to sequence has no CTC loss and no findings.

    Args:
        source: the model before adaptation.
        spoken: Speech of one speaker.

    Raises:
        DataError: a transcript cannot be spelled.
    """
    if not spoken or source.can_run_away:
        return []
    utterances = spoken.spelled(source.tokens).utterances
    log_probs, heard = _listen(source, spoken)
    preferred, unfit, longer = (np.full(len(utterances), np.nan) for _ in range(3))
    blocks = -(-len(utterances) // BLOCK)
    for first in range(blocks):
        block = list(range(first, len(utterances), blocks))
        spelled = [utterances[n].spelled(source.tokens.units) for n in block]
        texts = list(dict.fromkeys(spelled))
        own = np.array([texts.index(text) for text in spelled])
        labels = [source.tokens.encode(text) for text in texts]
        losses = np.stack([ctc_losses(log_probs[n], [*labels, heard[n]]) for n in block])
        tokens = np.array([len(label) for label in labels])
        longer[block] = np.maximum(tokens[own], [len(heard[n]) for n in block])
        preferred[block] = (losses[np.arange(len(own)), own] - losses[:, -1]) / longer[block]
        unfit[block] = misfit(losses[:, :-1] / tokens, own)
    judged = np.isfinite(preferred)
    chance = judged & (unfit > CHANCE * min(0.0, _median(unfit)))
    middle = _median(preferred)
    spread = 1.4826 * _median(np.abs(preferred - middle))
    outlier = judged & (preferred > np.maximum(MISMATCH + FEW_TOKENS / np.sqrt(longer), middle + OUTLIER * spread))
    return [
        _suspicion(utterances[n], source.tokens.decode(heard[n]))
        for n in np.flatnonzero((preferred > MISMATCH) & (chance | outlier)).tolist()
    ]


def misfit(losses: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Say how much worse than chance each recording's text fits it.

    Args:
        losses: (recordings, texts) loss of each text on each recording, per token; infinite where it does not fit in.
        own: (recordings,) number of the text that is the recording's.

    Returns:
        (recordings,) the text's loss above the mean of the other texts on the same recording, less the same
        difference's mean over the recordings of other texts. 0 is chance, below it is better; NaN where there is
        nothing to compare with.
    """
    finite = np.isfinite(losses)
    values = np.where(finite, losses, 0.0)
    relative = losses - _mean(values.sum(1, keepdims=True) - values, finite.sum(1, keepdims=True) - finite)
    others = np.isfinite(relative) & (own[:, None] != np.arange(losses.shape[1]))
    expected = _mean(np.where(others, relative, 0.0).sum(0), others.sum(0))
    result = relative[np.arange(len(own)), own] - expected[own]
    return np.where(np.isfinite(result), result, np.nan)


def ctc_losses(log_probs: torch.Tensor, labels: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the CTC loss of each of `labels` on one recording's (frames, tokens) log-probabilities, in nats."""
    frames, count = len(log_probs), len(labels)
    targets = torch.nn.utils.rnn.pad_sequence([torch.tensor(label, dtype=torch.long) for label in labels], True)
    sizes = torch.tensor([len(label) for label in labels])
    every = log_probs[:, None].expand(-1, count, -1)
    loss = functional.ctc_loss(every, targets, torch.full((count,), frames), sizes, blank=0, reduction="none")
    return loss.double().numpy()


def _listen(source: Recogniser, spoken: Spoken) -> tuple[list[torch.Tensor], list[list[int]]]:
    """Return each utterance's (frames, tokens) log-probabilities and greedy token indices."""

    def read(frames: Frames) -> Iterator[tuple[torch.Tensor, list[int]]]:
        for row, indices in enumerate(greedy(frames.logits, frames.lengths)):
            yield frames.logits[row, : frames.lengths[row]].float().log_softmax(-1).cpu(), indices

    found = [own for (own,) in source.listen_with(read, spoken, whole=True, label="comparing with the transcripts")]
    return [log_probs for log_probs, _ in found], [indices for _, indices in found]


def is_silent(utterance: Utterance) -> bool:
    """Return whether nothing in a recording is as loud as speech.

    Raises:
        DataError: the recording cannot be read.
    """
    return bool(_levels(read_audio(utterance)).max() < QUIET)


def _levels(samples: np.ndarray) -> np.ndarray:
    """Return the levels of the 25 ms frames of `samples`, in dBFS."""
    centred = samples - samples.mean()
    frames = np.lib.stride_tricks.sliding_window_view(centred, audio.MIN_SAMPLES)[:: audio.MIN_SAMPLES // 2]
    levels: np.ndarray = 10 * np.log10(np.maximum(np.square(frames).mean(1), 1e-12))
    return levels


def _silence(samples: np.ndarray) -> str:
    """Return what is wrong with the level of `samples`, or nothing."""
    levels = _levels(samples)
    if levels.max() < QUIET:
        return (
            f"is silent (nothing in it rises above {levels.max():.0f} dBFS, speech does above {QUIET:.0f}); "
            "record it again or leave it out."
        )
    low, high = np.percentile(levels, [5, 95])
    if len(levels) >= STEADY_FRAMES and high - low < STEADY:
        return (
            f"holds a steady sound such as noise or a hum (its level varies by {high - low:.1f} dB, that of speech by "
            f"more than {STEADY:.0f}); record it again or leave it out."
        )
    return ""


def _duplicate(copy: Utterance, original: Utterance) -> str:
    same = f"{copy.audio} holds the same recording as utterance '{original.id}'"
    if copy.text == original.text:
        return f"{same}; leave one of them out."
    return f"{same}, but says '{copy.text}' where that says '{original.text}'; remove the wrong one."


def _suspicion(utterance: Utterance, heard: str) -> Finding:
    what = f"recognised '{heard}'" if heard else "recognised nothing"
    detail = f"its transcript says '{utterance.text}' but the model {what}; listen to {utterance.audio} and correct it."
    return Finding(utterance.id, "suspicious", detail)


def _mean(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Divide, NaN where there is nothing to average."""
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _median(values: np.ndarray) -> float:
    """Return the median of the finite values, 0 when there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else 0.0
