"""Recognises speech: an acoustic model with the tokens of one of its heads, loaded, saved and put to work."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from asr_transfer import audio
from asr_transfer.data.batching import Batch, sequential
from asr_transfer.data.byte_pairs import BytePairTokens
from asr_transfer.data.features import build_store
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.pieces import Pieces
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import BLANK, Tokens, spells_phones
from asr_transfer.decoding.decoders import Decoder, GreedyDecoder, SentenceDecoder, WordDecoder
from asr_transfer.decoding.folder import (
    OFFSETS,
    bare,
    file_of,
    model_folder,
    one_of,
    read_offsets,
    read_test_time,
    read_tokens,
)
from asr_transfer.decoding.settings import SutaConfig, WritingConfig
from asr_transfer.decoding.test_time import adapted_outputs
from asr_transfer.decoding.token_bias import TokenBias
from asr_transfer.decoding.writing import Writer, Written
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.models.configuration import read_config
from asr_transfer.models.contract import Criterion, SequenceModel, SpeechModel, require_ctc
from asr_transfer.models.folder import load_model, save_model
from asr_transfer.models.pretrained.door import is_foreign, open_pretrained
from asr_transfer.models.pretrained.provenance import base_of, told_base
from asr_transfer.orthography import Case, case_of
from asr_transfer.plain import to_plain
from asr_transfer.progress import Work
from asr_transfer.remarks import remark

BATCH_FRAMES = 6_000
"""A minute of speech per batch: two are slower, on Whisper-tiny's encoder by 15 %, on our own models by 4 %."""

T = TypeVar("T")

AUTO = "auto"
"""Language of a recogniser that listens for whatever language it hears."""

UNSPACED = ("zh", "cmn", "yue", "ja")
"""Languages without spaces, whose texts are scored by characters alone."""


@dataclass(frozen=True)
class Frames:
    """Output frames of a batch of speech.

    Attributes:
        batch: Batch that went in.
        hidden: Outputs of the encoder, (batch, frames, dim).
        logits: Outputs of the head, (batch, frames, tokens).
        lengths: Valid frames of both, (batch,).
    """

    batch: Batch
    hidden: torch.Tensor
    logits: torch.Tensor
    lengths: torch.Tensor


@dataclass
class Recogniser:
    """An acoustic model and the tokens of a head.

    Attributes:
        model: in evaluation mode whenever it recognises.
        tokens: token set of the head.
        head: its name; empty of a published encoder that has none, from which a language can be learnt.
        origin: facts about how the model came to be, kept in its folder.
        test_time: adapts the model to each utterance alone while recognising it; None for not.
        lexicon: words; each utterance is taken for one of them. None for spelling greedily what is heard.
        others: tokens of the model's other heads, kept with it.
        other_lexica: lexica of those of the other heads that have one, kept with it.
        decoder: turns logits into texts; None for greedily, or with a lexicon for its likeliest word. Not saved.
        other_decoders: decoders of those of the other heads that have one. Not saved.
        language: code of the language that a model of sequence to sequence listens for; empty for that of each
            utterance, and where it names none that the model knows, for what the model hears; `auto` for always that.
            Not saved.
        writing: settings by which a model of sequence to sequence writes. Not saved.
        bias: bonus of the hot words that such a model is pulled towards; None for none. Not saved.
        before: text that such a model is told was said before; empty for none. Not saved.
        offsets: offset of every head, with which languages are told apart (`identify.calibrate`); empty where the model
            was never calibrated. They hold for these weights only.
        decode: the decoder in use.
    """

    model: SpeechModel
    tokens: Tokens
    head: str
    origin: Mapping[str, Any]
    test_time: SutaConfig | None = None
    lexicon: Lexicon | None = None
    others: Mapping[str, Tokens] = field(default_factory=dict)
    decoder: Decoder | None = None
    offsets: Mapping[str, float] = field(default_factory=dict)
    other_lexica: Mapping[str, Lexicon] = field(default_factory=dict)
    other_decoders: Mapping[str, Decoder] = field(default_factory=dict)
    language: str = ""
    writing: WritingConfig = field(default_factory=WritingConfig)
    bias: TokenBias | None = None
    before: str = ""

    def __post_init__(self) -> None:
        self.decode: Decoder = self.decoder or GreedyDecoder(self.tokens)
        if self.decoder is None and self.lexicon is not None:
            self.decode = WordDecoder(self.lexicon, self.tokens)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        head: str | None = None,
        criterion: Criterion | None = None,
        speakers: bool = True,
    ) -> Recogniser:
        """Read a model folder, the `model` folder of a run folder, or a pretrained model of another house.

        Args:
            folder: folder of the model, or the name of a pretrained one on the hub, such as `openai/whisper-tiny`.
            head: name of the head; may be left out when there is one.
            criterion: loss by which a pretrained model shall be trained, for which an encoder without a head is taken
                too; None takes it as it was published.
            speakers: whether to read what its training speakers' profiles have in common, too.

        Raises:
            ModelError: the folder is no model, is damaged, the head must be named, or a pretrained model has none.
        """
        path = model_folder(folder)
        if is_foreign(path):
            return cls._of_pretrained(path, head, criterion)
        model = load_model(path, speakers)
        names = model.head_names()
        if not names:
            raise ModelError(f"{path}: the model has no head; copy the model again.")
        name = one_of(names, head, path)
        tokens = {name: read_tokens(path, model, name) for name in names}
        origin = read_config(path)["origin"]
        config = read_test_time(path, origin)
        files = {own: path / file_of("lexicon", own, names) for own in names}
        lexica = {own: Lexicon.read(file) for own, file in files.items() if file.is_file()}
        words = lexica.pop(name, None)
        offsets = read_offsets(path, origin, names)
        return cls(model, tokens.pop(name), name, origin, config, words, tokens, offsets=offsets, other_lexica=lexica)

    @classmethod
    def _of_pretrained(cls, path: Path, head: str | None, criterion: Criterion | None) -> Recogniser:
        """Open a model of another house."""
        found = open_pretrained(path, criterion, head)
        origin = {**base_of(path), "matched": str(found.matched)}
        names = found.model.head_names()
        if not names and criterion is None:
            raise bare(path)
        if not names:
            return cls(found.model, Tokens([]), "", origin)
        tokens = dict(found.tokens)
        name = one_of(names, head, path)
        return cls(found.model, tokens.pop(name), name, origin, others=tokens)

    @property
    def base_remark(self) -> str:
        """Lines for the model's card on the pretrained model that it began with; empty where there is none."""
        told = told_base(self.origin)
        return f"\n{told[0].upper()}{told[1:]}.\n" if told else ""

    @property
    def tokens_by_head(self) -> dict[str, Tokens]:
        """Tokens of all heads by name, its own last; none of a published encoder that has no head."""
        return {**self.others, self.head: self.tokens} if self.head else {}

    @property
    def lexica(self) -> dict[str, Lexicon]:
        """Lexica of all heads that have one, its own among them."""
        return {**self.other_lexica, **({} if self.lexicon is None else {self.head: self.lexicon})}

    def for_head(self, name: str) -> Recogniser:
        """Return a recogniser of the same model that listens through another head, with that head's words and decoder.

        Raises:
            ModelError: there is none of that name.
        """
        self.model.head(name)
        every, lexica = self.tokens_by_head, self.lexica
        decoders = {**self.other_decoders, **({} if self.decoder is None else {self.head: self.decoder})}
        return replace(
            self,
            tokens=every.pop(name),
            head=name,
            lexicon=lexica.pop(name, None),
            others=every,
            decoder=decoders.pop(name, None),
            other_lexica=lexica,
            other_decoders=decoders,
        )

    def tokens_for(self, language: str) -> Tokens:
        """Return the tokens of a language's head; of a language without one those of its own head."""
        return self.others.get(language, self.tokens)

    def save(
        self,
        folder: str | Path,
        card: str,
        facts: Mapping[str, Any],
        more: Mapping[str, Callable[[Path], None]] | None = None,
    ) -> None:
        """Write a model folder; what it keeps of how the model came to be is its `origin` with `facts` in addition.

        Args:
            folder: Folder to write; see `models.folder.save_model`.
            card: Text of its README.md, to which the pretrained model is added that this one began with.
            facts: Plain values that `origin` does not say yet, or that are others now.
            more: Functions that write further files or folders, by their names.
        """
        origin = {n: value for n, value in {**self.origin, **facts}.items() if n not in ("test_time", OFFSETS)}
        if self.test_time is not None:
            origin["test_time"] = to_plain(self.test_time)
        if self.offsets:
            origin[OFFSETS] = dict(self.offsets)
        names = self.model.head_names()
        every = self.tokens_by_head
        files: dict[str, Callable[[Path], None]] = {file_of("tokens", name, names): every[name].save for name in names}
        for name, lexicon in self.lexica.items():
            files[file_of("lexicon", name, names)] = lexicon.save
        save_model(folder, self.model, card + self.base_remark, {**files, **(more or {})}, origin)

    def reference(self, utterance: Utterance) -> str:
        """Return what a perfect recogniser would write: the transcript, or where it writes phones the pronunciation."""
        return utterance.text if self.writes == "words" else utterance.spelled(self.tokens.units)

    def written(self, by_head: bool = False) -> dict[str, list[str]]:
        """Return what its texts are made of: the words of its lexicon, else the symbols of its tokens.

        Args:
            by_head: each language's own head listens to it, where there is one.

        Returns:
            The words or symbols by language, under "" for all languages that are not named.
        """
        every = self.tokens_by_head if by_head else {self.head: self.tokens}
        lexica = self.lexica
        found = {
            name: [*lexica[name].words, " "] if name in lexica else _symbols(tokens) for name, tokens in every.items()
        }
        return {"": found[self.head], **(found if by_head else {})}

    @property
    def speaks(self) -> str:
        """Language of recordings that name none: that of the head, or of a model of many what it listens for."""
        if not self.tokens.writes_everything:
            return self.head
        return "" if self.language == AUTO else self.language

    @property
    def can_run_away(self) -> bool:
        """Whether it writes token after token, so that it may write more than was said."""
        return isinstance(self.model, SequenceModel)

    @property
    def normalisation(self) -> str:
        """Name of the normalisation that its texts are scored under: without capitals and punctuation, if it has any.

        Transcripts seldom have them, and nobody should be said to gain by learning to leave them out.
        """
        if not self.tokens.writes_everything:
            return "none"
        return "mandarin" if self.language.partition("-")[0] in UNSPACED else "basic"

    @property
    def writes(self) -> Literal["characters", "phones", "words"]:
        """What it writes: words of its lexicon where it has one, else phones or texts as its tokens spell them."""
        if self.lexicon is not None or isinstance(self.decoder, WordDecoder | SentenceDecoder):
            return "words"
        return "phones" if spells_phones(self.tokens.units) else "characters"

    def case(self, by_head: bool = False) -> Case:
        """Return the only case that it can write, `kept` where it has both or none; texts beside phones are lower."""
        if self.writes == "phones":
            return "lower"
        if self.tokens.writes_everything:
            return "kept"
        return case_of(symbol for symbols in self.written(by_head).values() for symbol in symbols)

    def listen(self, spoken: Spoken, heads: Sequence[str] | None = None) -> list[str]:
        """Return what is heard in each utterance, in their order.

        A long one is recognised in `Pieces`, whose texts are joined; test-time adaptation begins anew in each piece.

        Args:
            spoken: Speech to listen to; its targets are not read.
            heads: Head that listens to each utterance, as `identify` finds or a manifest says; None takes its own head
                for all.

        Raises:
            DataError: a long one should be a single word of the lexicon.
            ModelError: there is no such head.
            ConfigError: the model has no CTC.
        """
        if heads is not None:
            found: dict[int, str] = {}
            for head in dict.fromkeys(heads):
                own = self if head == self.head else self.for_head(head)
                chosen = [number for number, name in enumerate(heads) if name == head]
                found.update(zip(chosen, own.listen(spoken.subset(chosen)), strict=True))
            return [found[number] for number in range(len(heads))]
        if isinstance(self.model, SequenceModel):
            return self.listen_for_languages(spoken)[1]
        if isinstance(self.decode, WordDecoder):
            _require_words(spoken, self.model.window)
        heard = self.listen_with(lambda frames: self.decode(frames.logits, frames.lengths), spoken, adapted=True)
        spaced = " " if self.tokens.writes_spaces or isinstance(self.decode, SentenceDecoder) else ""
        return [spaced.join(piece.text for piece in own if piece.text) for own in heard]

    def listen_for_languages(self, spoken: Spoken) -> tuple[list[str], list[str]]:
        """Return the language and the text of each utterance, of a model of sequence to sequence; see `write`.

        The language of a long recording is that of its first piece.
        """
        written = self.write(spoken)
        texts = [" ".join(piece.text for piece in own if piece.text) for own in written]
        return [own[0].language for own in written], texts

    def write(self, spoken: Spoken) -> list[list[Written]]:
        """Return what a model of sequence to sequence writes of each utterance, one for each of its pieces.

        What a loop of the decoder did is remarked upon. See `listen` for the argument.

        Raises:
            ConfigError: the model writes by CTC.
            DataError: the model does not know the language that it shall listen for.
        """
        writer = self.writer()
        data = Pieces(spoken, writer.model.window)
        found: dict[int, Written] = {}
        with Work("recognising", len(data), "piece") as work:
            for batch in sequential(data, BATCH_FRAMES):
                items = batch.items.tolist()
                languages = [self.language_of(data.utterance(item)) for item in items]
                assert batch.lengths is not None
                seconds = [data.seconds(item) for item in items]
                found.update(zip(items, writer.write(batch.inputs, batch.lengths, seconds, languages), strict=True))
                work.advance(len(items))
        if away := sum(written.ran_away for written in found.values()):
            remark(f"in {away} of {len(found)} pieces the decoder ran away; these were searched again, or cut")
        return data.of_utterances([found[number] for number in range(len(data))])

    def writer(self) -> Writer:
        """Return what writes, of a model of sequence to sequence.

        Raises:
            ConfigError: the model writes by CTC.
            DataError: a text shall stand in the prompt of a model that takes none.
        """
        if not isinstance(self.model, SequenceModel) or not isinstance(self.tokens, BytePairTokens):
            raise ConfigError(f"{type(self.model).__name__} writes by CTC and not token after token.")
        self.model.eval()
        return Writer(self.model, self.head, self.tokens, self.writing, self.bias, self.before)

    def language_of(self, utterance: Utterance) -> str | None:
        """Return the model's own code of the language to listen for, None for what the model hears.

        Raises:
            DataError: the model does not know the language that it shall listen for.
        """
        assert isinstance(self.tokens, BytePairTokens)
        if self.language not in ("", AUTO):
            return self.tokens.require_language(self.language, "--language") if self.tokens.languages else None
        return None if self.language == AUTO else self.tokens.language(utterance.language)

    @torch.no_grad()
    def languages_heard(self, spoken: Spoken) -> list[str]:
        """Return the language that each utterance's first piece is taken for, of a model of sequence to sequence.

        Raises:
            ConfigError: the model writes by CTC.
        """
        writer, data = self.writer(), Pieces(spoken, self.model.window)
        first = [own[0] for own in data.of_utterances(range(len(data)))]
        device = next(self.model.parameters()).device
        found: list[str] = []
        with Work("finding the language", len(first), "recording") as work:
            for item in first:
                batch = data.collate([item])
                assert batch.lengths is not None
                states, _ = self.model(batch.inputs.to(device), batch.lengths.to(device))
                found += writer.languages_of(states)
                work.advance(1)
        return found

    def posteriors(self, spoken: Spoken) -> list[torch.Tensor]:
        """Return what the network makes of each utterance, (frames, tokens) log-probabilities, for many searches.

        The network hears a long one in `Pieces`.
        """

        def rows(frames: Frames) -> list[torch.Tensor]:
            log_probs = frames.logits.log_softmax(-1)
            return [row[:length].cpu() for row, length in zip(log_probs, frames.lengths.tolist(), strict=True)]

        return [torch.cat(pieces) for pieces in self.listen_with(rows, spoken, adapted=True)]

    @torch.no_grad()
    def listen_with(
        self,
        read: Callable[[Frames], Iterable[T]],
        spoken: Spoken,
        whole: bool = False,
        adapted: bool = False,
        label: str = "recognising",
    ) -> list[list[T]]:
        """Run the network over all of the speech, batch by batch, and return what `read` makes of its outputs.

        Args:
            read: Function from the outputs of a batch to a result for each of its rows.
            spoken: Speech to listen to.
            whole: Choice to hear long utterances at once, and with the targets of `spoken`, instead of in `Pieces`.
            adapted: Choice to adapt the network to each piece alone where `test_time` says how.
            label: Name of the work, for those who wait.

        Returns:
            The results of each utterance, one for each of its pieces, in the order of the utterances.
        """
        require_ctc(self.model, "recognising")
        self.model.eval()
        data = spoken if whole else Pieces(spoken, self.model.window)
        found: dict[int, T] = {}
        batches = self._adapted(data) if adapted and self.test_time is not None else self._plain(data)
        count = len(data.costs())
        with Work(label, count, "piece") as work:
            for frames in batches:
                found.update(zip(frames.batch.items.tolist(), read(frames), strict=True))
                work.advance(len(frames.batch.items))
                del frames  # so that its memory serves the next batch
        results = [found[number] for number in range(count)]
        return data.of_utterances(results) if isinstance(data, Pieces) else [[result] for result in results]

    def _plain(self, data: Spoken | Pieces) -> Iterator[Frames]:
        for batch in sequential(data, BATCH_FRAMES, self.model.together):
            yield Frames(batch, *self._outputs(batch.inputs, batch.lengths))

    def _adapted(self, data: Spoken | Pieces) -> Iterator[Frames]:
        assert self.test_time is not None
        named = ((f"utterance '{data.utterance(n).id}'", data.collate([n])) for n in range(len(data.costs())))
        for outputs in adapted_outputs(self.model, self.head, named, self.test_time):
            yield Frames(*outputs)

    def transcribe(self, files: Sequence[str | Path]) -> list[str]:
        """Return the hypothesis of each audio file.

        Raises:
            DataError: a file cannot be read.
        """
        if not files:
            return []
        named = [
            Utterance(str(file), str(Path(file).absolute()), audio.probe(file).duration, "", "", self.head)
            for file in files
        ]
        with tempfile.TemporaryDirectory() as folder:
            store = build_store(named, self.model.inputs, cache=Path(folder))
            return self.listen(Spoken(named, store))

    def logits(self, inputs: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, dim) and (batch,) lengths to the head's (batch, frames, tokens) and (batch,) lengths."""
        _, logits, lengths = self._outputs(inputs, lengths)
        return logits, lengths

    def _outputs(
        self, inputs: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        device = next(self.model.parameters()).device
        assert lengths is not None
        hidden, lengths = self.model(inputs.to(device), lengths.to(device))
        return hidden, self.model.head(self.head)(hidden), lengths


def _symbols(tokens: Tokens) -> list[str]:
    spaced = [" "] if tokens.units == "words" else []
    return [*sorted(tokens.alphabet - {BLANK}), *spaced]


def _require_words(spoken: Spoken, window: float | None) -> None:
    """Refuse recordings that are too long to be one word, which a search for one word would take them for."""
    pieces = Pieces(spoken, window)
    for item, parts in enumerate(pieces.of_utterances(range(len(pieces)))):
        if len(parts) > 1:
            utterance = spoken.utterance(item)
            seconds = spoken.store.inputs.seconds(spoken.costs()[item])
            raise DataError(
                f"utterance '{utterance.id}': lasts {seconds:.0f} s, but each recording is taken for a single word of "
                "the lexicon; give --sentences with --lexicon, or cut it into words."
            )
