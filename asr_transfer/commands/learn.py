"""Teaches a model a new language, or more of one that it knows: `asr-transfer learn`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import Namespace

from asr_transfer.commands.options import Command, ResumableOptions, Say, add_settings, settings_from, settings_of
from asr_transfer.config import TopConfig, Units
from asr_transfer.data.notations import Scheme
from asr_transfer.errors import ConfigError
from asr_transfer.languages.config import Mode
from asr_transfer.languages.learning_settings import LearningSettings
from asr_transfer.ranges import Positive, Shares
from asr_transfer.runs.console import say
from asr_transfer.runs.lock import released
from asr_transfer.textfiles import require_writable_folder

if not TYPE_CHECKING:
    pass
else:  # not of `if TYPE_CHECKING`, which the parser runs to resolve the types of the options below
    from asr_transfer.decoding.recogniser import Recogniser


@dataclass(frozen=True, kw_only=True)
class LearnCommand(LearningSettings, ResumableOptions):
    """Teach a model a language; the run folder then holds it in `model`, with the heads that it had.

    Attributes:
        model: model folder, or the run folder of `train` or `learn`.
        data: manifest, or folder of recordings, of the language. Where only some have a transcript, the others are
            used where that helps on held-out ones.
        language: ISO 639 code of the language; may be left out where a manifest says it.
        head: name of a head that does not say its language, such as `main` of a model published with one; it is taken
            for that of `language` and grows. Without it the language gets a head of its own beside that one.
        units: kind of text that a token of the new head is; by default the head's where the model knows the language,
            else characters.
        scheme: notation of pronunciations where units are phones and the recordings have none.
        dev: manifest or folder that chooses weights and way; by default a part of `data` is held out for that.
        test: manifest or folder that is scored at the end; by default a part of `data` is held out for that.
        source: manifest of recordings in the model's other languages, to mix in; by default what the model's folder
            keeps.
        use_summary: whether to use what the model's folder keeps of its other languages: utterances to mix in, and
            held-out ones that show what these languages lose.
        minutes: length of transcribed speech of `data` to take, drawn by the seed; None takes all.
        use_untranscribed: whether recordings of `data` without transcript may be used beside those with one.
        confidences: least confidences, from 0 to 1, of the model's own texts that are tried for them.
    """

    model: Path
    data: Path
    language: str | None = None
    head: str | None = None
    units: Units | None = None
    scheme: Scheme = "ipa"
    dev: Path | None = None
    test: Path | None = None
    source: Path | None = None
    use_summary: bool = True
    minutes: Positive | None = None
    use_untranscribed: bool = True
    confidences: Shares = (0.6, 0.9)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head is not None and self.language is None:
            raise ConfigError("`head` is taken for that of the language; give its code with --language.")
        if self.pieces is not None and self.units != "subwords":
            raise ConfigError("`pieces` is for --units subwords; leave it out.")


def learn(
    model: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    language: str | None = None,
    head: str | None = None,
    way: Literal["auto", Mode] = "auto",
    units: Units | None = None,
    pieces: int | None = None,
    scheme: Scheme = "ipa",
    dev: str | Path | None = None,
    test: str | Path | None = None,
    source: str | Path | None = None,
    use_summary: bool = True,
    minutes: float | None = None,
    use_untranscribed: bool = True,
    confidences: tuple[float, ...] = (0.6, 0.9),
    steps: int | None = None,
    patience: int = 4,
    learning_rate: float = 3e-3,
    encoder_rate: float = 0.3,
    batch_budget: int = 3000,
    speeds: tuple[float, ...] = (0.9, 1.0, 1.1),
    keep_source: int = 100,
    seed: int = 0,
    device: str = "auto",
    top: TopConfig = TopConfig(),
    resume: bool = False,
    overwrite: bool = False,
) -> Recogniser:
    """Teach a model a language, as `asr-transfer learn` does: the parameters are its options, described in `--help`.

    Prints what the command prints: what was held out, the ways that were tried, what the other languages lose.

    Returns:
        The model, which listens in the language and also lies in `out`.

    Raises:
        AsrTransferError: model, recordings, options or the folder are wrong; the message says how to mend it.

    Example:
        >>> import asr_transfer as at
        >>> learnt = at.learn("my_model", "my_language", "my_new_model", language="eo", steps=3)
        >>> learnt.head
        'eo'
    """
    with released():
        return learn_from(settings_from(LearnCommand, locals()), say)


def learn_from(command: LearnCommand, say: Say) -> Recogniser:
    """Read the model and the recordings that the options name, learn, and return the model.

    Raises:
        AsrTransferError: model, recordings, options or the folder are wrong.
    """
    from asr_transfer.commands.learn_run import learn_run

    require_writable_folder(command.out)
    return learn_run(command, say)


def _run(arguments: Namespace) -> int:
    learn_from(settings_of(LearnCommand, arguments), say)
    return 0


COMMAND = Command("teach a model a new language", _run, partial(add_settings, kind=LearnCommand))
