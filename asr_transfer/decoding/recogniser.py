"""A recogniser: an acoustic model with the tokens of one of its heads, loaded, saved and put to work."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from asr_transfer import audio
from asr_transfer.adapt_config import SutaConfig
from asr_transfer.config import to_plain
from asr_transfer.data.batching import Batch, sequential
from asr_transfer.data.features import model_input
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import SpeechData
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.decoders import Decoder, GreedyDecoder, SentenceDecoder, WordDecoder
from asr_transfer.decoding.test_time import adapted_logits
from asr_transfer.errors import ConfigError, ModelError, nearest_hint
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.folder import load_model, read_config, readable, save_model
from asr_transfer.models.progressive import head_names
from asr_transfer.models.replacing import restore
from asr_transfer.plain import checked, from_plain

BATCH_FRAMES = 12_000
"""Two minutes of speech per batch: as fast as larger ones, and under 100 MB."""

OFFSETS = "language_offsets"
"""Where a model folder's `config.yaml` keeps the offsets, below `origin`."""


@dataclass
class Recogniser:
    """An acoustic model and the tokens of a head.

    Attributes:
        model: in evaluation mode whenever it recognises.
        tokens: what the head emits.
        head: its name.
        origin: facts about how the model came to be, kept in its folder.
        test_time: adapts the model to each utterance alone while recognising it; None for not.
        lexicon: words; each utterance is taken for one of them. None for spelling greedily what is heard.
        others: tokens of the model's other heads, kept with it.
        decoder: turns logits into texts; None for greedily, or with a lexicon for its likeliest word. Not saved.
        offsets: of every head, with which languages are told apart (`identify.calibrate`); empty where the model was
            never calibrated. They hold for these weights only.
        decode: the decoder in use.
    """

    model: AcousticModel
    tokens: Tokens
    head: str
    origin: Mapping[str, Any]
    test_time: SutaConfig | None = None
    lexicon: Lexicon | None = None
    others: Mapping[str, Tokens] = field(default_factory=dict)
    decoder: Decoder | None = None
    offsets: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.decode: Decoder = self.decoder or GreedyDecoder(self.tokens)
        if self.decoder is None and self.lexicon is not None:
            self.decode = WordDecoder(self.lexicon, self.tokens)

    @classmethod
    def load(cls, folder: str | Path, head: str | None = None) -> Recogniser:
        """Read a model folder, or the `model` folder of a run folder.

        Args:
            folder: where.
            head: which head; may be left out when there is one.

        Raises:
            ModelError: the folder is no model, is damaged, or the head must be named.
        """
        path = Path(folder)
        restore(path)
        restore(path / "model")
        if not path.is_dir():
            raise ModelError(f"{path}: there is no such model folder; make one with `asr-transfer train` or `adapt`.")
        with readable(path):
            if not (path / "config.yaml").is_file() and (path / "model").is_dir():
                path = path / "model"
        model = load_model(path)
        names = head_names(model)
        if head is None and len(names) > 1:
            raise ModelError(f"{path}: the model has the heads {', '.join(names)}; say which with --language.")
        if not names:
            raise ModelError(f"{path}: the model has no head; copy the model again.")
        if head is not None and head not in names:
            raise ModelError(f"{path}: the model has no head '{head}'.{nearest_hint(head, names)}")
        tokens = {name: _read_tokens(path, model, name) for name in names}
        name = head or names[0]
        origin = read_config(path)["origin"]
        config = _read_test_time(path, origin)
        lexicon = path / _file_of("lexicon", name, names)
        words = Lexicon.read(lexicon) if lexicon.is_file() else None
        offsets = _read_offsets(path, origin, names)
        return cls(model, tokens.pop(name), name, origin, config, words, tokens, offsets=offsets)

    def for_head(self, name: str) -> Recogniser:
        """Return a recogniser of the same model that listens through another head.

        Raises:
            ModelError: there is none of that name.
        """
        self.model.head(name)
        every = {**self.others, self.head: self.tokens}
        lexicon = self.lexicon if name == self.head else None
        return replace(self, tokens=every.pop(name), head=name, lexicon=lexicon, others=every, decoder=None)

    def save(
        self,
        folder: str | Path,
        card: str,
        origin: Mapping[str, Any],
        more: Mapping[str, Callable[[Path], None]] | None = None,
    ) -> None:
        """Write a model folder, with `more` files or folders in it; see `models.folder.save_model`."""
        origin = {name: value for name, value in origin.items() if name not in ("test_time", OFFSETS)}
        if self.test_time is not None:
            origin["test_time"] = to_plain(self.test_time)
        if self.offsets:
            origin[OFFSETS] = dict(self.offsets)
        names = head_names(self.model)
        every = {**self.others, self.head: self.tokens}
        files: dict[str, Callable[[Path], None]] = {_file_of("tokens", name, names): every[name].save for name in names}
        if self.lexicon is not None:
            files[_file_of("lexicon", self.head, names)] = self.lexicon.save
        save_model(folder, self.model, card, {**files, **(more or {})}, origin)

    def reference(self, utterance: Utterance) -> str:
        """Return what a perfect recogniser would write: the transcript, or where it writes phones the pronunciation."""
        words = self.lexicon is not None or isinstance(self.decoder, WordDecoder | SentenceDecoder)
        return utterance.text if words else utterance.spelled(self.tokens.units)

    @torch.no_grad()
    def recognise(self, data: SpeechData) -> list[str]:
        """Return the hypothesis of each item of `data`, in its order."""
        self.model.eval()
        if self.test_time is not None:
            named = ((f"utterance '{data.utterance(n).id}'", data.collate([n])) for n in range(len(data)))
            return self._adapted(named, self.test_time)
        texts = [""] * len(data)
        for batch in sequential(data, BATCH_FRAMES):
            for item, heard in zip(
                batch.items.tolist(), self.decode(*self.logits(batch.inputs, batch.lengths)), strict=True
            ):
                texts[item] = heard.text
        return texts

    @torch.no_grad()
    def transcribe(self, files: Sequence[str | Path]) -> list[str]:
        """Return the hypothesis of each audio file.

        Raises:
            DataError: a file cannot be read.
        """
        self.model.eval()
        if self.test_time is not None:
            return self._adapted(((str(file), self._batch(file)) for file in files), self.test_time)
        batches = (self._batch(file) for file in files)
        return [self.decode(*self.logits(batch.inputs, batch.lengths))[0].text for batch in batches]

    def _batch(self, file: str | Path) -> Batch:
        features = model_input(torch.from_numpy(audio.read(file)), self.model.config.features)[None]
        none = torch.zeros(1, 0, dtype=torch.long)
        return Batch(torch.tensor([0]), features, none, torch.tensor([features.shape[1]]), torch.tensor([0]))

    def _adapted(self, batches: Iterable[tuple[str, Batch]], config: SutaConfig) -> list[str]:
        return [
            self.decode(logits, lengths)[0].text
            for logits, lengths in adapted_logits(self.model, self.head, batches, config)
        ]

    def logits(self, inputs: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, mels) and (batch,) lengths to the head's (batch, frames, tokens) and (batch,) lengths."""
        device = next(self.model.parameters()).device
        assert lengths is not None
        hidden, lengths = self.model(inputs.to(device), lengths.to(device))
        return self.model.head(self.head)(hidden), lengths


def _file_of(what: str, head: str, heads: Sequence[str]) -> str:
    """Return the name of a head's token file or lexicon: `tokens.txt` for the only head, else `tokens.HEAD.txt`.

    Subwords write their SentencePiece model beside it, see `tokens.model_file`.
    """
    return f"{what}.txt" if len(heads) == 1 else f"{what}.{head}.txt"


def _read_test_time(path: Path, origin: Mapping[str, Any]) -> SutaConfig | None:
    if (plain := origin.get("test_time")) is None:
        return None
    try:
        return from_plain(SutaConfig, plain, f"{path / 'config.yaml'}: `origin.test_time`")
    except ConfigError as error:
        raise ModelError(str(error)) from None


def _read_offsets(path: Path, origin: Mapping[str, Any], heads: Sequence[str]) -> dict[str, float]:
    file = path / "config.yaml"
    try:
        offsets: dict[str, float] = checked(Mapping[str, float] | None, origin.get(OFFSETS), str(file), OFFSETS) or {}
    except ConfigError:
        offsets = {"": math.inf}
    if offsets and (set(offsets) != set(heads) or not all(map(math.isfinite, offsets.values()))):
        raise ModelError(
            f"{file}: `{OFFSETS}` must have a number for each of {', '.join(heads)} and nothing else; "
            "take it out, then languages are told apart without, or copy the model again."
        )
    return offsets


def _read_tokens(path: Path, model: AcousticModel, head: str) -> Tokens:
    file = path / _file_of("tokens", head, head_names(model))
    tokens = Tokens.load(file)
    if model.head(head).out_features != len(tokens):
        raise ModelError(
            f"{path}: {file.name} lists {len(tokens)} tokens but the head '{head}' has "
            f"{model.head(head).out_features} outputs; the folder mixes two models, copy it again."
        )
    return tokens
