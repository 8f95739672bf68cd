"""Learns words from a few recordings of each, and finds them in others: `asr-transfer keywords`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from asr_transfer.commands.options import Command, NewParser
from asr_transfer.errors import ConfigError, DataError, ModelError, one_line
from asr_transfer.progress import tracked
from asr_transfer.runs.console import require_free, say

if TYPE_CHECKING:
    import torch

    from asr_transfer.adaptation.keywords import Listener
    from asr_transfer.data.manifest import Utterance

SUMMARIES: Mapping[str, str] = {
    "learn": "Learn words from one or a few recordings of each.",
    "find": "Say which of the words each recording is, or that it is none of them.",
}


def learn_keywords(model: Path, data: Path, out: Path, background: Path | None = None, overwrite: bool = False) -> int:
    """Learn words and write them to a folder; nothing of the model is changed.

    Args:
        model: model folder, or the run folder of `train` or `adapt`.
        data: folder with a folder of recordings for each word, or manifest whose texts are the words.
        out: folder to write.
        background: manifest or folder of other speech; None for none.
        overwrite: whether to replace the keywords that `out` holds.

    Returns:
        0.

    Raises:
        AsrTransferError: data, model or folder is wrong.
    """
    from asr_transfer.adaptation.keywords import FACTS, Keywords, Listener
    from asr_transfer.commands.speech import read_speech

    require_free(out / FACTS, overwrite)
    utterances = _audible(_words_in(data))
    listener = Listener.load(model)
    other = None
    if background is not None:
        other = _vectors(listener, _audible(read_speech(background, "en", "kept", labelled=False)))
    texts, speakers = [u.text for u in utterances], [u.speaker for u in utterances]
    keywords = Keywords.of(_vectors(listener, utterances), texts, speakers, other)
    keywords.save(out, str(model), listener.digest)
    counts = ", ".join(f"{word} {count}" for word, count in sorted(keywords.counts().items()))
    right, judged = keywords.right()
    say(f"{out}: {len(keywords.words)} words ({counts}) by {len(set(speakers))} speakers")
    if judged:
        say(f"of {judged} recordings, each judged by the others, {right} are found")
    try:
        threshold, rate = keywords.choose()
    except DataError as error:
        say(f"no threshold: {error}")
    else:
        errors = "" if rate is None else f"; {100 * rate:.0f} % of either kind of error on these recordings"
        say(f"threshold {threshold:.3f}{errors}")
    return 0


def find_keywords(
    keywords: Path,
    files: Sequence[str],
    model: Path | None = None,
    threshold: float | None = None,
    together: bool = False,
) -> int:
    """Print the word that each recording is, or `none`, with the score of the nearest word.

    Args:
        keywords: folder that `learn` wrote.
        files: recordings, and manifests whose utterances need no text.
        model: model folder, where it is no longer where it was.
        threshold: score from which a recording is one of the words; None takes the one that the recordings choose.
        together: whether the recordings are one speaker's, of several words, so that what they have in common is taken
            off.

    Returns:
        1 when a recording could not be read or is silent, else 0.

    Raises:
        AsrTransferError: the keywords or the model are wrong, or no threshold can be chosen.
    """
    from asr_transfer.adaptation.keywords import Keywords, Listener
    from asr_transfer.data.manifest import Utterance

    known, facts = Keywords.load(keywords)
    if threshold is not None and not -1 <= threshold <= 1:
        raise ConfigError(f"`threshold` must be a cosine, from -1 to 1, got {threshold:g}.")
    least = known.choose(together).threshold if threshold is None else threshold
    listener = Listener.load(model or facts.model)
    if listener.digest != facts.digest:
        raise ModelError(
            f"{model or facts.model}: is not the model that {keywords} was learnt with, or it has changed since; give "
            "that one with --model, or learn the keywords again."
        )
    failed, ready = 0, list[Utterance]()
    for file in tracked(files, "recordings", len(files), bar=False):
        for one in _opened(file):
            if isinstance(one, DataError):
                print(f"asr-transfer: {one}", file=sys.stderr)
                failed += 1
            else:
                ready.append(one)
    if ready:
        for utterance, found in zip(ready, known.find(_vectors(listener, ready), least, together), strict=True):
            print(f"{one_line(utterance.id)}\t{found.word}\t{found.score:.3f}")
    return 1 if failed else 0


def _opened(file: str) -> list[Utterance | DataError]:
    """Return the recordings that a file is or names, or what is wrong with each."""
    from asr_transfer.commands.listen import recordings
    from asr_transfer.commands.speech import read_speech

    try:
        path = Path(file)
        named = read_speech(path, "en", "kept", labelled=False) if path.suffix == ".jsonl" else recordings([file], "en")
    except DataError as error:
        return [error]
    return [_checked(one) for one in named]


def _checked(utterance: Utterance) -> Utterance | DataError:
    """Return a recording, or what is wrong with it."""
    from asr_transfer.adaptation.checks import check_audio
    from asr_transfer.adaptation.keywords import LONGEST

    if utterance.duration > LONGEST:
        return DataError(
            f"{one_line(utterance.id)}: lasts {utterance.duration:.1f} s, a word {LONGEST:g} s at most; cut "
            "the word out of it."
        )
    try:
        silent = [finding for finding in check_audio([utterance]).findings if finding.kind == "silence"]
    except DataError as error:
        return error
    return DataError(silent[0].detail) if silent else utterance


def _audible(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Return the recordings that can be learnt from, and say what is wrong with the others.

    Raises:
        DataError: there is none, or a word has none that can be used.
    """
    kept = []
    for one in map(_checked, utterances):
        if isinstance(one, DataError):
            say(f"left out: {one}")
        else:
            kept.append(one)
    if lost := sorted({u.text for u in utterances} - {u.text for u in kept}):
        what = f"of the word '{lost[0]}' " if lost[0] else ""
        raise DataError(f"no recording {what}can be used; record it again.")
    return kept


def _words_in(path: Path) -> list[Utterance]:
    """Return the recordings of a manifest, whose texts are the words, or of a folder with a folder for each word.

    Raises:
        DataError: it is not there, damaged, or a recording is of no word.
    """
    from asr_transfer import audio
    from asr_transfer.commands.speech import read_speech
    from asr_transfer.data.manifest import Utterance
    from data_prep.recordings import ENDINGS, Recordings

    if not path.is_dir():
        return read_speech(path, "en", "kept")
    found = Recordings(path)
    utterances = []
    for file in sorted(found.files):
        name = found.name(file)
        inner = Path(name).parts
        if len(inner) == 1:
            raise DataError(f"{file}: lies in no word's folder; put it into a folder that is called like its word.")
        speaker = inner[1] if len(inner) > 2 else "me"
        utterances.append(Utterance(name, str(file.absolute()), audio.probe(file).duration, inner[0], speaker, "en"))
    words = {utterance.text for utterance in utterances}
    empty = sorted(inner.name for inner in path.iterdir() if inner.is_dir() and inner.name not in words)
    empty = [name for name in empty if not name.startswith(".")]
    if empty or not utterances:
        where = path / empty[0] if empty else path
        raise DataError(f"{where}: holds no recording ({ENDINGS}); put recordings of the word into its folder.")
    return utterances


def _vectors(listener: Listener, utterances: Sequence[Utterance]) -> torch.Tensor:
    from asr_transfer.data.features import build_store
    from asr_transfer.data.speech import Spoken

    return listener.vectors(Spoken(utterances, build_store(utterances, listener.model.inputs)))


def _parsers(make: NewParser) -> dict[str, ArgumentParser]:
    """Return the parsers of the commands by name."""
    parsers = {name: make(name, summary) for name, summary in SUMMARIES.items()}
    part = parsers["learn"]
    part.add_argument("--model", type=Path, required=True, help="model folder, or the run folder of `train` or `adapt`")
    part.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder with a folder of recordings for each word (and below it one for each speaker, where there are "
        "several), or manifest whose texts are the words",
    )
    part.add_argument("--out", type=Path, required=True, help="folder to write the keywords to")
    part.add_argument(
        "--background",
        type=Path,
        default=None,
        help="manifest or folder of other speech, whose mean is taken off and which the threshold keeps out",
    )
    part.add_argument("--overwrite", type=bool, default=False, help="whether to replace the keywords that --out holds")
    part = parsers["find"]
    part.add_argument("--keywords", type=Path, required=True, help="folder that `learn` wrote")
    part.add_argument("--model", type=Path, default=None, help="model folder, where it is no longer where it was")
    part.add_argument(
        "--threshold",
        type=float,
        default=None,
        help="score from which a recording is one of the words, from -1 to 1; by default the recordings choose it",
    )
    part.add_argument(
        "--together",
        type=bool,
        default=False,
        help="whether the recordings are one speaker's, of several words: what they have in common is taken off",
    )
    part.add_argument(
        "files", nargs="+", type=str, help="recordings, and manifests (.jsonl) whose utterances need no text"
    )
    return parsers


def _run(arguments: Namespace) -> int:
    given = arguments[arguments.subcommand]
    if arguments.subcommand == "learn":
        return learn_keywords(given.model, given.data, given.out, given.background, given.overwrite)
    return find_keywords(given.keywords, given.files, given.model, given.threshold, given.together)


COMMAND = Command("recognise words from a few recordings of each", _run, below=_parsers)
