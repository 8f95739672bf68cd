"""Bugs of speech as data: features and their cache, tokens, targets, manifests, settings."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ROOM = "asr_transfer/data"

MUTANTS = (
    Mutant(
        "too-short-for-ctc-is-kept",
        f"{ROOM}/speech.py",
        "frames = (frames - 1) // stride + 1",
        "frames = frames // stride + 1",
        "an utterance that CTC cannot spell is trained on with an infinite loss",
        ("tests/test_models.py::test_output_lengths_are_those_that_the_feasibility_filter_counts_with",),
    ),
    Mutant(
        "feasible-at-the-slowest-speed",
        f"{ROOM}/speech.py",
        "frames = min(subsampled(",
        "frames = max(subsampled(",
        "the sped-up copy of an utterance may be too short for CTC",
        ("tests/test_speech_data.py",),
    ),
    Mutant(
        "speed-copies-say-something-else",
        f"{ROOM}/speech.py",
        "targets = [self._targets[item // len(self.speeds)] for item in items]",
        "targets = [self._targets[item % len(self._targets)] for item in items]",
        "a speed copy is trained with the transcript of another utterance",
        ("tests/test_speech_data.py",),
    ),
    Mutant(
        "repeats-need-no-blank",
        f"{ROOM}/tokens.py",
        "return len(indices) + sum(a == b for a, b in itertools.pairwise(indices))",
        "return len(indices)",
        "the blank between equal neighbours is not counted where CTC needs one",
        ("tests/test_tokens.py",),
    ),
    Mutant(
        "pieces-lose-a-frame",
        f"{ROOM}/pieces.py",
        "parts.append((first, cut))\n            first = cut",
        "parts.append((first, cut))\n            first = cut + 1",
        "a frame is lost at each cut of a long recording",
        ("tests/regressions/test_long_recordings.py::test_pieces_hold_every_frame_once_and_are_never_too_long",),
    ),
    Mutant(
        "pieces-have-their-own-statistics",
        f"{ROOM}/features.py",
        "return normalise(self._block(view, first, last), self.mean[view], self.std[view], self.config)",
        "block = self._block(view, first, last)\n"
        "        return normalise(block, *mean_and_deviation(block, self.config), self.config)",
        "a piece of a long recording is normalised by its own statistics instead of the whole's",
        ("tests/test_features.py",),
    ),
    Mutant(
        "features-of-another-part-of-a-file",
        f"{ROOM}/features.py",
        "digests.of(utterance.audio), utterance.start, round",
        "digests.of(utterance.audio), round",
        "two parts of a file that are equally long share their features",
        ("tests/test_promises.py",),
    ),
    Mutant(
        "features-of-other-settings",
        f"{ROOM}/features.py",
        "[VERSION, wanted.config.__dict__, list(wanted.speeds)]",
        "[VERSION, list(wanted.speeds)]",
        "features of other bands or windows are taken from the cache",
        ("tests/test_features.py",),
    ),
    Mutant(
        "changed-recordings-keep-their-hash",
        f"{ROOM}/digests.py",
        "stamp = [status.st_size, status.st_mtime_ns]",
        "stamp = [status.st_size, 0]",
        "a recording that was replaced by one of the same size keeps the features of the old one",
        ("tests/test_features.py",),
    ),
    Mutant(
        "windows-are-off-centre",
        f"{ROOM}/mels.py",
        "(pad // 2, pad - pad // 2)",
        "(0, pad)",
        "frames lie half a window's padding beside where they should",
        ("tests/test_features.py",),
    ),
    Mutant(
        "silence-counts-as-speech",
        f"{ROOM}/mels.py",
        "block = block[loudness >= (loudness.min() + loudness.max()) / 2]",
        "block = block[loudness <= (loudness.min() + loudness.max()) / 2]",
        "`speech-mean` takes the mean of the silence",
        ("tests/test_features.py",),
    ),
    Mutant(
        "checksums-leave-texts-out",
        f"{ROOM}/manifest.py",
        'f"{utterance.duration:.4f}", utterance.text]',
        'f"{utterance.duration:.4f}"]',
        "a run is resumed though transcripts were changed",
        ("tests/test_manifest.py",),
    ),
    Mutant(
        "shares-ignore-alpha",
        f"{ROOM}/mixture.py",
        "** alpha",
        "** 1.0",
        "languages are sampled as they are, whatever alpha says",
        ("tests/test_mixture.py",),
    ),
    Mutant(
        "patience-that-never-counts",
        "asr_transfer/config.py",
        "if self.patience and not self.validate_every:",
        "if self.patience and self.validate_every < 0:",
        "early stopping is accepted where nothing is ever validated",
        ("tests/test_trainer.py",),
    ),
    Mutant(
        "joined-stores-overlap",
        f"{ROOM}/features.py",
        "second.offsets[1:] + first.offsets[-1]]",
        "second.offsets[1:]]",
        "source utterances that are mixed in have the features of the speaker's",
        ("tests/test_summary.py",),
    ),
)
