"""Typed options of each command, importable without torch so that the command line starts at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from asr_transfer.adapt_config import AdaptConfig, ChoiceConfig
from asr_transfer.config import KEEP_JUDGED, KEEP_SOURCE, SourceConfig
from asr_transfer.errors import ConfigError
from asr_transfer.remarks import remark
from asr_transfer.search_config import SearchConfig


@dataclass(frozen=True, kw_only=True)
class TrainCommand(SourceConfig):
    """Train a speaker-independent model.

    Attributes:
        train: manifest to train on.
        out: run folder to write; the model is its `model` folder.
        dev: manifest that the best weights are chosen on; without it the last weights are kept.
        dev_speakers: hold so many speakers of `train` out instead of giving `dev`.
        test: manifest to score the finished model on.
        keep_source: keep so many training utterances, drawn by the seed, in the model's folder as features and
            transcripts, for `adapt` to mix in; 0 for none.
        keep_judged: hold about so many utterances of each language out from training, whole speakers where there are
            several, and keep them in the model's folder: `adapt` judges on them what others lose. Development speech
            serves instead where there is enough, for it chooses the best weights but is not trained on. At most a
            tenth of the training utterances is taken, and none where that is too few to judge on; 0 for none.
        resume: go on with a run that was stopped.
        overwrite: replace the run that `out` holds.
    """

    train: Path
    out: Path
    dev: Path | None = None
    dev_speakers: int = 0
    test: Path | None = None
    keep_source: int = KEEP_SOURCE
    keep_judged: int = KEEP_JUDGED
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dev is not None and self.dev_speakers:
            raise ConfigError("`dev` and `dev_speakers` exclude each other; give one.")
        if self.dev_speakers < 0:
            raise ConfigError(f"`dev_speakers` must not be negative, got {self.dev_speakers}.")
        for name in ("keep_source", "keep_judged"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`{name}` must not be negative, got {getattr(self, name)}.")
        if self.trainer.patience and self.dev is None and not self.dev_speakers:
            raise ConfigError("`trainer.patience` needs development data; give `dev` or `dev_speakers`.")


@dataclass(frozen=True, kw_only=True)
class AdaptCommand(AdaptConfig):
    """Adapt a model to a speaker.

    Attributes:
        model: model folder, or the run folder of `train`.
        data: manifest, or folder of recordings, of the new speaker; with transcripts where the method reads them.
        out: run folder to write; the adapted model is its `model` folder, what changed alone its `profile`.
        method: how to adapt; several joined with +. `auto` tries several on the speaker's own recordings and may
            leave the model as it is.
        profile: go on from this profile of the model, with more recordings.
        source: manifest or folder of recordings like those the model was trained on, for `replay`, `ewc` and `auto`; by
            default the training utterances that the model's folder keeps. Where the model keeps no speech that it was
            not trained on, it is judged on a part of them what is forgotten.
        source_utterances: take so many of them, drawn by the seed.
        use_summary: False leaves out what the model's folder keeps: training utterances to mix in, and others to judge
            on what is forgotten.
        choice: how `auto` chooses.
        speaker: take this speaker's utterances of `data` only.
        utterances: take so many of them only, drawn by the seed.
        test: manifest or folder of the same speaker's other recordings, scored before and after.
        others: manifest or folder of other speakers, scored before and after to show what is forgotten.
        check: try a named method on held-out recordings first, and keep the model as it is where they get worse.
        keep_suspicious: adapt also to recordings whose transcript seems to belong to another one.
        resume: go on with a run that was stopped.
        overwrite: replace the run that `out` holds.
    """

    model: Path
    data: Path
    out: Path
    method: str = "auto"
    profile: Path | None = None
    source: Path | None = None
    source_utterances: int = 300
    use_summary: bool = True
    choice: ChoiceConfig = field(default_factory=ChoiceConfig)
    speaker: str | None = None
    utterances: int | None = None
    test: Path | None = None
    others: Path | None = None
    check: bool = True
    keep_suspicious: bool = False
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.utterances is not None and self.utterances < 1:
            raise ConfigError(f"`utterances` must be at least 1, got {self.utterances}.")
        if self.source_utterances < 1:
            raise ConfigError(f"`source_utterances` must be at least 1, got {self.source_utterances}.")


@dataclass(frozen=True, kw_only=True)
class ListenOptions:
    """How a model listens.

    Attributes:
        model: model folder, or the run folder of `train` or `adapt`.
        profile: speaker's profile to put on the model: profile folder, or the run folder of `adapt`.
        language: which head, where the model has several; `auto` takes the surest one for each recording.
        lexicon: words that can be said, with their pronunciations; each recording is one of them.
        sentences: each recording is a sentence of the lexicon's words.
        lm: language model of the sentences, ARPA text.
        hotwords: words or phrases to listen for, one per line.
        search: how sentences and hot words are searched for.
    """

    model: Path
    profile: Path | None = None
    language: str | None = None
    lexicon: Path | None = None
    sentences: bool = False
    lm: Path | None = None
    hotwords: Path | None = None
    search: SearchConfig = field(default_factory=SearchConfig)

    def __post_init__(self) -> None:
        if self.sentences and self.lexicon is None:
            raise ConfigError("`sentences` are made of a lexicon's words; give one with --lexicon.")
        if self.lm is not None and not self.sentences:
            raise ConfigError("`lm` is a language model of sentences; give --sentences and a --lexicon with it.")
        if self.language == "auto" and (self.lexicon or self.hotwords):
            raise ConfigError("a lexicon or hot words belong to one language; name it with --language instead of auto.")
        if self.hotwords is not None and self.lexicon is not None and not self.sentences:
            raise ConfigError(
                "with a lexicon each recording is one of its words, so hot words add nothing; leave one out or give "
                "--sentences."
            )


@dataclass(frozen=True, kw_only=True)
class TranscribeCommand(ListenOptions):
    """Print the text of recordings, or of those that a manifest names.

    Attributes:
        explain: a word of the lexicon: say for each recording how well it fits, and what beat it.
    """

    explain: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.explain is not None and (self.lexicon is None or self.sentences):
            raise ConfigError("`explain` tells about a word of a lexicon; give one with --lexicon.")


@dataclass(frozen=True, kw_only=True)
class TuneCommand:
    """Choose the weights of the search for sentences or hot words by word errors on development speech.

    Attributes:
        model: model folder, or the run folder of `train` or `adapt`.
        data: manifest, or folder of recordings with transcripts; never those that are tested on.
        out: YAML file to write, for `--config` of `transcribe` and `evaluate`.
        profile: speaker's profile to put on the model: profile folder, or the run folder of `adapt`.
        language: which head, where the model has several.
        lexicon: words of the sentences, with their pronunciations.
        lm: language model of the sentences, ARPA text.
        hotwords: words or phrases to listen for, one per line; some should occur in `data`.
        search: the other settings, and the weights to begin with.
        overwrite: replace the file `out`.
    """

    model: Path
    data: Path
    out: Path
    profile: Path | None = None
    language: str | None = None
    lexicon: Path | None = None
    lm: Path | None = None
    hotwords: Path | None = None
    search: SearchConfig = field(default_factory=SearchConfig)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.lexicon is None and self.hotwords is None:
            raise ConfigError("there is nothing to tune; give a --lexicon for sentences, or --hotwords.")
        if self.lm is not None and self.lexicon is None:
            raise ConfigError("`lm` is a language model of sentences; give a --lexicon with it.")


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand(ListenOptions):
    """Score a model on a manifest or folder.

    Attributes:
        data: manifest, or folder of recordings with transcripts.
        out: run folder to write hypotheses and scores to.
        speaker: take this speaker's utterances only.
        overwrite: replace the run that `out` holds.
    """

    data: Path
    out: Path
    speaker: str | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class CompareCommand:
    """Compare runs.

    Attributes:
        out: folder to write the report to; an earlier report there is replaced.
        baseline: name of the system that the others are tested against; by default the source model, else the first.
        language: language of texts that name none, for small letters depend on it.
        intersection: compare the utterances that all runs have, instead of refusing runs that differ in them.
        audio: put players into the report that `link` the recordings, or `embed` those of the worst utterances.
        normalisation: name of that to score under, whatever the runs state; by default what they state, `none` for
            files.
        texts: belonging together of the lines of ref.txt and hyp.txt: by `ids`, or by their order as `lines`; by
            default by ids, where they look like ids.
        words: file of words, one per line, whose recall is counted.
        vocabulary: file of known words, such as those trained on; the recall of all others is counted.
        profile: old name of `normalisation`, for one release.
    """

    out: Path = Path("comparison")
    baseline: str | None = None
    language: str | None = None
    intersection: bool = False
    audio: Literal["link", "embed", "none"] = "link"
    normalisation: str | None = None
    texts: Literal["auto", "ids", "lines"] = "auto"
    words: Path | None = None
    vocabulary: Path | None = None
    profile: str | None = None

    def __post_init__(self) -> None:
        if self.profile is None:
            return
        if self.normalisation is not None:
            raise ConfigError("`profile` is the old name of `normalisation`; give the latter alone.")
        remark("`profile` of `compare` is deprecated, for elsewhere it is a speaker's; write `normalisation` instead")
        object.__setattr__(self, "normalisation", self.profile)
        object.__setattr__(self, "profile", None)
