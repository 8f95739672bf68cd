"""Recognises which of a few words a recording is, from a few recordings of each, or that it is none of them.

A recording is a vector: the mean over time of what a model's heads are fed. A word is the mean direction of its
recordings' vectors, and the nearest direction is the word that is found (prototypes, Snell et al. 2017; of one
recording each it is the nearest neighbour). Nothing is trained, so that any model of speech will do, also one that has
no head.

What all recordings have in common, such as the voice, is taken off first: the mean of other speech, where there is
some, or of each speaker's own recordings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from safetensors import SafetensorError
from torch.nn import functional

from asr_transfer.data.batching import sequential
from asr_transfer.data.speech import Spoken
from asr_transfer.decoding.folder import model_folder
from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.evaluation.detection import EqualError, equal_error
from asr_transfer.models.configuration import read_yaml, readable, refuse_foreign
from asr_transfer.models.contract import SpeechModel
from asr_transfer.models.folder import load_model
from asr_transfer.models.modes import evaluating
from asr_transfer.models.pretrained.door import is_foreign, open_pretrained
from asr_transfer.models.replacing import replace_folder, restore
from asr_transfer.models.weight_files import checksum, read_weights, write_weights
from asr_transfer.plain import from_plain, to_plain
from asr_transfer.progress import Work
from asr_transfer.textfiles import write_text

FORMAT = 1
TENSORS, FACTS = "keywords.safetensors", "keywords.yaml"

NONE = "none"
"""What a recording is called that is none of the words; no word can be called so."""

LONGEST = 10.0
"""Seconds of a recording; the mean of a longer one is that of many words."""

FALSE_ALARMS = 0.05
"""Share of other speech that is taken for a word, where only that says what threshold to take."""

BATCH = 6_000
"""Padded cost of a batch, as of `Inputs.cost`."""


class Listener:
    """What makes vectors of recordings: a model of speech as far as it is trained.

    Attributes:
        model: The model.
        layer: Dotted path of the last block that has been trained.
    """

    def __init__(self, model: SpeechModel) -> None:
        raw = {block.path for block in model.untrained()}
        trained = [block.path for block in model.blocks()[: model.hearing()] if block.path not in raw]
        self.model, self.layer = model, trained[-1]
        self._whole = not raw
        self._parts = tuple(f"{path}." for path in trained)

    @classmethod
    def load(cls, folder: str | Path) -> Listener:
        """Open a model folder, or a pretrained model of another house, of which the encoder is taken.

        Raises:
            ModelError: It is no model of speech, or damaged.
        """
        path = model_folder(folder)
        if is_foreign(path):
            return cls(open_pretrained(path, "ctc").model)
        return cls(load_model(path))

    @property
    def digest(self) -> str:
        """Checksum of the weights that vectors are made by."""
        weights = {name: value for name, value in self.model.state_dict().items() if name.startswith(self._parts)}
        return checksum(weights)

    def vectors(self, spoken: Spoken) -> torch.Tensor:
        """Return (utterances, dim) the mean over time of each utterance's frames, on the CPU; see `frames`."""
        return torch.stack([own.mean(0) for own in self.frames(spoken)])

    @torch.no_grad()
    def frames(self, spoken: Spoken) -> list[torch.Tensor]:
        """Return (frames, dim) what the last trained block makes of each utterance, on the CPU.

        Raises:
            DataError: A recording is too long for a word.
        """
        for utterance in spoken.utterances:
            if utterance.duration > LONGEST:
                raise DataError(
                    f"'{utterance.id}' lasts {utterance.duration:.1f} s, and a keyword's recording at most "
                    f"{LONGEST:g} s; cut the word out of it."
                )
        kept: list[torch.Tensor] = []

        def keep(module: object, arguments: object, result: Any) -> None:
            kept.append(result[0] if isinstance(result, tuple) else result)

        found: dict[int, torch.Tensor] = {}
        device = next(self.model.parameters()).device
        handle = None if self._whole else self.model.get_submodule(self.layer).register_forward_hook(keep)
        try:
            with evaluating(self.model), Work("listening", len(spoken), "recording") as work:
                for batch in sequential(spoken, BATCH):
                    assert batch.lengths is not None
                    kept.clear()
                    hidden, lengths = self.model(batch.inputs.to(device), batch.lengths.to(device))
                    if handle is not None:
                        # Layers above it, such as an untrained one that joins frames, leave other lengths.
                        hidden = kept[-1]
                        lengths = (batch.lengths / batch.inputs.shape[1] * hidden.shape[1]).ceil().long()
                    rows = zip(batch.items.tolist(), hidden.float().cpu(), lengths.tolist(), strict=True)
                    found.update({item: row[:length].clone() for item, row, length in rows})
                    work.advance(len(hidden))
        finally:
            if handle is not None:
                handle.remove()
        return [found[number] for number in range(len(spoken))]


class Found(NamedTuple):
    """What a recording was taken for.

    Attributes:
        word: Word, or `none`.
        nearest: Word that is nearest, whatever the threshold.
        score: Cosine of the recording's vector and that word's direction, from -1 to 1.
    """

    word: str
    nearest: str
    score: float


class Chosen(NamedTuple):
    """A threshold, and how it was chosen.

    Attributes:
        threshold: Score from which a recording is one of the words.
        rate: Share of errors of either kind on the recordings that it was chosen on; None where only other speech said.
    """

    threshold: float
    rate: float | None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What `keywords.yaml` holds beside its format.

    Attributes:
        model: Model's folder, as it was given.
        digest: Checksum of the weights that made the vectors.
        words: Words.
        labels: Number of each recording's word.
        speakers: Speaker of each recording.
    """

    model: str
    digest: str
    words: tuple[str, ...]
    labels: tuple[int, ...]
    speakers: tuple[str, ...]


@dataclass(frozen=True)
class Keywords:
    """Words, and the vectors of their recordings.

    Attributes:
        words: Words, two or more.
        vectors: Vectors of the recordings, (recordings, dim).
        labels: Number of each recording's word.
        speakers: Speaker of each recording.
        background: Vectors of other speech, (recordings, dim); there may be none.
    """

    words: tuple[str, ...]
    vectors: torch.Tensor
    labels: torch.Tensor
    speakers: tuple[str, ...]
    background: torch.Tensor

    @classmethod
    def of(
        cls,
        vectors: torch.Tensor,
        texts: Sequence[str],
        speakers: Sequence[str],
        background: torch.Tensor | None = None,
    ) -> Keywords:
        """Make them of recordings' vectors and what was said.

        Raises:
            DataError: There are fewer than two words, or one is called as recordings of no word are.
        """
        words = tuple(sorted(set(texts)))
        if len(words) < 2:
            raise DataError(
                f"the recordings are of {len(words)} word{'' if len(words) == 1 else 's'} "
                f"({', '.join(words) or 'none'}), and keywords are told from each other; give two words or more."
            )
        if NONE in words:
            raise DataError(f"'{NONE}' is how recordings of no word are called; give that word another name.")
        labels = torch.tensor([words.index(text) for text in texts])
        none = vectors.new_zeros(0, vectors.shape[1])
        return cls(words, vectors, labels, tuple(speakers), none if background is None else background)

    def counts(self) -> Counter[str]:
        """Return how many recordings each word has."""
        return Counter(self.words[label] for label in self.labels.tolist())

    def scores(self, queries: torch.Tensor, together: bool = False) -> torch.Tensor:
        """Return (queries, words) cosines of the queries' vectors and the words' directions.

        Args:
            queries: Vectors, (queries, dim).
            together: Choice to take the queries for recordings of one speaker, and off what they have in common, as off
                the recordings of each speaker here.

        Raises:
            DataError: One query alone should be taken together.
        """
        return _cosines(self._queries(queries, together), self._directions(self._examples(together), self.labels))

    def find(self, queries: torch.Tensor, threshold: float, together: bool = False) -> list[Found]:
        """Return what each query is taken for; see `scores` for the arguments and what is raised."""
        best, numbers = self.scores(queries, together).max(1)
        named = [(self.words[number], score) for number, score in zip(numbers.tolist(), best.tolist(), strict=True)]
        return [Found(word if score >= threshold else NONE, word, score) for word, score in named]

    def left_out(self, together: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scores of the recordings themselves, each judged by the others.

        A recording is judged by other speakers' recordings, where its word has some of others, else by those that are
        left when it is taken out.

        Returns:
            Its right word's score, (recordings,), NaN where its word has no other recording; and the best one of a
            wrong word, (recordings,), as if its own word were not there.
        """
        examples = self._examples(together)
        who = list(dict.fromkeys(self.speakers))
        speakers = torch.tensor([who.index(name) for name in self.speakers])
        right, wrong = [], []
        for number, label in enumerate(self.labels):
            others = speakers != speakers[number]
            if not (others & (self.labels == label)).any():
                others = torch.arange(len(examples)) != number
            directions = self._directions(examples[others], self.labels[others])
            scores = _cosines(examples[number][None], directions)[0]
            right.append(scores[label])
            scores = scores.clone()
            scores[label] = float("nan")
            wrong.append(scores[~scores.isnan()].max() if (~scores.isnan()).any() else scores[label])
        return torch.stack(right), torch.stack(wrong)

    def choose(self, together: bool = False) -> Chosen:
        """Choose the threshold: where as many of the recordings are missed as of others are taken for a word.

        What is missed is judged by leaving one recording out. Others are the recordings themselves as if their word
        were not there, and the other speech. Where no word has two recordings, the other speech alone says, of which
        `FALSE_ALARMS` may be taken for a word.

        Raises:
            DataError: No word has two recordings, and there is no other speech.
        """
        right, wrong = self.left_out(together)
        known = right[~right.isnan()]
        other = self.scores(self.background).amax(1) if len(self.background) else self.background.new_zeros(0)
        lonely = [word for word, count in self.counts().items() if count == 1]
        if not len(other) and lonely:
            raise DataError(
                f"the word '{lonely[0]}' has one recording, and leaving it out to choose a threshold leaves none; "
                "record it again, give other speech with --background, or a threshold with --threshold."
            )
        if not len(known):
            return Chosen(float(torch.quantile(other, 1 - FALSE_ALARMS)), None)
        found: EqualError = equal_error(known.numpy(), torch.cat([wrong[~wrong.isnan()], other]).numpy())
        return Chosen(found.threshold, found.rate)

    def right(self, together: bool = False) -> tuple[int, int]:
        """Return how many of the recordings are found by the others, and how many can be judged so."""
        right, wrong = self.left_out(together)
        known = ~right.isnan() & ~wrong.isnan()
        return int((right > wrong)[known].sum()), int(known.sum())

    def save(self, folder: str | Path, model: str, digest: str) -> None:
        """Write them to a folder, replacing an older one when the new one is complete.

        Args:
            folder: Folder to write.
            model: Model's folder, which is opened again to find them.
            digest: Checksum of its weights; see `Listener.digest`.

        Raises:
            ModelError: The folder holds something else, or cannot be written.
        """
        target = Path(folder)
        refuse_foreign(target, FACTS, "set of keywords")
        labels = tuple(self.labels.tolist())
        facts = Facts(model=model, digest=digest, words=self.words, labels=labels, speakers=self.speakers)

        def write(partial: Path) -> None:
            write_weights(partial / TENSORS, {"vectors": self.vectors, "background": self.background})
            text = yaml.safe_dump({"format": FORMAT, **to_plain(facts)}, sort_keys=False, allow_unicode=True)
            write_text(partial / FACTS, text)

        try:
            replace_folder(target, write)
        except (OSError, SafetensorError, DataError) as error:
            raise ModelError(f"{target}: the keywords cannot be written ({error}); choose another folder.") from error

    @classmethod
    def load(cls, folder: str | Path) -> tuple[Keywords, Facts]:
        """Read a folder that `save` wrote, and what it says of the model.

        Raises:
            ModelError: It is missing, damaged, or holds no keywords.
        """
        path = Path(folder)
        file = path / FACTS
        restore(path)
        with readable(file):
            if not file.is_file():
                raise ModelError(f"{path}: holds no {FACTS}; give a folder that `keywords learn` wrote.")
        plain = {name: value for name, value in read_yaml(file, FORMAT, "keywords").items() if name != "format"}
        tensors = read_weights(path / TENSORS, "keywords")
        try:
            facts = from_plain(Facts, plain, str(file))
        except ConfigError as error:
            reason = str(error).removeprefix(f"{file}: ")
            raise ModelError(f"{file}: is damaged: {reason} Copy the keywords again.") from None
        if not _fits(facts, tensors):
            raise ModelError(f"{path / TENSORS}: differs from what {FACTS} says of it; copy the keywords again.")
        labels = torch.tensor(facts.labels)
        return cls(facts.words, tensors["vectors"], labels, facts.speakers, tensors["background"]), facts

    def _centre(self) -> torch.Tensor:
        """Return what is taken off every vector: the mean of other speech, nothing where there is none."""
        return self.background.mean(0) if len(self.background) else self.vectors.new_zeros(self.vectors.shape[1])

    def _examples(self, together: bool) -> torch.Tensor:
        if not together:
            return self.vectors - self._centre()
        means = {}
        for name in set(self.speakers):
            own = torch.tensor([speaker == name for speaker in self.speakers])
            # One word alone would lose what distinguishes it.
            several = len(set(self.labels[own].tolist())) > 1
            means[name] = self.vectors[own].mean(0) if several else self._centre()
        return self.vectors - torch.stack([means[name] for name in self.speakers])

    def _queries(self, queries: torch.Tensor, together: bool) -> torch.Tensor:
        if not together:
            return queries - self._centre()
        if len(queries) < 2:
            raise DataError(
                "one recording has nothing in common with others; give several together, or leave that out."
            )
        return queries - queries.mean(0)

    def _directions(self, examples: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return (words, dim) mean directions of the examples, NaN of a word that has none."""
        unit = functional.normalize(examples, dim=1)
        sums = unit.new_zeros(len(self.words), unit.shape[1]).index_add_(0, labels, unit)
        counts = torch.bincount(labels, minlength=len(self.words))[:, None]
        return functional.normalize(sums, dim=1).masked_fill(counts == 0, float("nan"))


def _cosines(queries: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    return functional.normalize(queries, dim=1) @ directions.T


def _fits(facts: Facts, tensors: Mapping[str, torch.Tensor]) -> bool:
    vectors, background = tensors.get("vectors"), tensors.get("background")
    if vectors is None or background is None or vectors.dim() != 2 or background.dim() != 2:
        return False
    counts = len(vectors) == len(facts.labels) == len(facts.speakers)
    labels = set(facts.labels) == set(range(len(facts.words)))
    return counts and labels and len(facts.words) > 1 and vectors.shape[1] == background.shape[1]
