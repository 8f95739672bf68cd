"""Scores a model on recordings with transcripts: `asr-transfer evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse import Namespace

from asr_transfer.commands.options import (
    Command,
    OnlineOptions,
    RunOptions,
    Say,
    add_settings,
    settings_from,
    settings_of,
)
from asr_transfer.commands.speech import named_as, read_speech, take
from asr_transfer.config import to_record
from asr_transfer.data.manifest import Utterance
from asr_transfer.decoding.settings import SearchConfig, WritingConfig
from asr_transfer.evaluation.breakdown import biased_rates
from asr_transfer.evaluation.capped import capped
from asr_transfer.evaluation.scoring import Score, align, write_scores
from asr_transfer.evaluation.unwritable import find_unwritable
from asr_transfer.runs.console import say
from asr_transfer.runs.lock import released
from asr_transfer.runs.record import RunRecord
from asr_transfer.textfiles import require_writable_folder

if not TYPE_CHECKING:
    pass
else:  # not of `if TYPE_CHECKING`, which the parser runs to resolve the types of the options below
    from asr_transfer.decoding.recogniser import Recogniser


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand(OnlineOptions, RunOptions):
    """Score a model on a manifest or folder; hypotheses and scores are in the run folder.

    Attributes:
        data: manifest, or folder of recordings with transcripts; of a manifest in one of the model's languages that is
            listened for.
        speaker: name of the only speaker whose utterances are taken.
    """

    data: Path
    speaker: str | None = None


def evaluate(
    model: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    speaker: str | None = None,
    profile: str | Path | None = None,
    language: str | None = None,
    lexicon: str | Path | None = None,
    sentences: bool = False,
    lm: str | Path | None = None,
    hotwords: str | Path | None = None,
    search: SearchConfig = SearchConfig(),
    writing: WritingConfig = WritingConfig(),
    online_profile: Literal["warp", "film", "adabn"] | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Score:
    """Score a model, as `asr-transfer evaluate` does: the parameters are its options, described in `--help`.

    Returns:
        The scores, whose hypotheses and record lie in `out`.

    Raises:
        AsrTransferError: model, recordings, options or the folder are wrong; the message says how to mend it.

    Example:
        >>> import asr_transfer as at
        >>> score = at.evaluate("my_model", "my_recordings", "my_scores")
        >>> score.wer >= 0
        True
    """
    with released():
        return evaluate_from(settings_from(EvaluateCommand, locals()), say)


def evaluate_from(command: EvaluateCommand, say: Say) -> Score:
    """Open the model and read the recordings that the options name, and score them.

    Raises:
        AsrTransferError: model, recordings, options or the folder are wrong.
    """
    from asr_transfer.commands.language import AUTO, find_head
    from asr_transfer.commands.listen import open_recogniser
    from asr_transfer.data.features import build_store
    from asr_transfer.decoding.folder import speaks_many

    require_writable_folder(command.out)
    named = command
    if command.language != AUTO and not speaks_many(command.model):
        head = find_head(
            command.model, command.language, say, profile=command.profile, data=command.data, speaker=command.speaker
        )
        named = replace(command, language=head)
    recogniser = open_recogniser(named)
    # Where the language is to be found out, a folder of recordings does not say which it is.
    language = "" if command.language == AUTO else recogniser.speaks
    utterances = take(read_speech(command.data, language, recogniser.case(not language)), command.speaker, None, 0)
    utterances = named_as(utterances, recogniser.model.head_names())
    # A recording that cannot be read is refused before a run folder is made or replaced.
    build_store(utterances, recogniser.model.inputs)
    record = RunRecord(command.out, to_record(command), overwrite=command.overwrite)
    return evaluate_run(recogniser, utterances, command, record, say)


def evaluate_run(
    recogniser: Recogniser,
    utterances: Sequence[Utterance],
    command: EvaluateCommand,
    record: RunRecord,
    say: Say,
) -> Score:
    """Score a recogniser on utterances and write hypotheses, scores and record.

    References that the recogniser cannot write are said, and recorded under `unwritable`.
    With hot words, the word errors at them and at all other words are said and recorded, under `hot_words`.
    With the language to be found out, how well it was found is said and recorded too, under `identification`.
    """
    from asr_transfer.commands.language import AUTO
    from asr_transfer.commands.listen import (
        by_found_language,
        hot_words_of,
        listen,
        open_session,
        told_identification,
        told_way,
    )
    from asr_transfer.data.features import build_store
    from asr_transfer.data.speech import Spoken
    from asr_transfer.training.hypotheses import hypotheses, paired

    record.data("test", command.data, utterances)
    spoken = Spoken(utterances, build_store(utterances, recogniser.model.inputs))
    more: dict[str, Any] = {}
    if command.language == AUTO and not recogniser.tokens.writes_everything:
        say(told_way(recogniser))
        found, identification = by_found_language(recogniser, spoken)
        more = {"identification": identification}
        say(told_identification(identification))
    elif session := open_session(recogniser, command):
        found = paired(recogniser, spoken, *listen(recogniser, spoken, None, session))
        more["online_profile"] = session.plain()
        for line in session.describe():
            say(line)
    else:
        found = hypotheses(recogniser, spoken)
    total = write_scores(record.folder, found, recogniser.normalisation)
    if command.hotwords is not None:
        biased = biased_rates(align(found, "word", recogniser.normalisation), hot_words_of(command, recogniser))
        say(str(biased))
        more["hot_words"] = biased.to_plain()
    if recogniser.can_run_away:
        bounded = capped(found, recogniser.normalisation)
        say(str(bounded))
        more["capped"] = bounded.to_plain()
    written, writes = recogniser.written(by_head=command.language == AUTO), recogniser.writes
    if command.language == AUTO and recogniser.others:
        # Any head may have been found to be the one; where they write several kinds, all are made of characters.
        written = {"": [symbol for symbols in written.values() for symbol in symbols]}
        kinds = {recogniser.for_head(head).writes for head in recogniser.model.head_names()}
        writes = writes if len(kinds) == 1 else "characters"
    lacking = None if recogniser.tokens.writes_everything else find_unwritable(found, written, writes)
    if lacking is not None:
        say(lacking.sentence(str(record.given)))
        more["unwritable"] = lacking.to_plain()
    record.finish(scores={"test": total.to_plain()}, **more)
    return total


def _run(arguments: Namespace) -> int:
    say(str(evaluate_from(settings_of(EvaluateCommand, arguments), say)))
    return 0


COMMAND = Command("score a model on recordings with transcripts", _run, partial(add_settings, kind=EvaluateCommand))
