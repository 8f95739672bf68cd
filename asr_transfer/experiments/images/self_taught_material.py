"""Reads the unlabelled and the few labelled items of self-taught learning: images, and speech alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from asr_transfer.config import FeatureConfig
from asr_transfer.data.features import build_store
from asr_transfer.data.images import font_characters, photographs, read_fetched
from asr_transfer.data.items import Items, describe
from asr_transfer.data.manifest import Utterance, read_manifest
from asr_transfer.errors import DataError

Maps = list[torch.Tensor]
"""(rows, columns) maps: images, or log-mels over time."""


@dataclass(frozen=True)
class Labelled:
    """Labelled items, and those that a classifier of them is tested on.

    Attributes:
        train, labels: items and their classes.
        test, truth: test items and their classes.
    """

    train: Maps
    labels: torch.Tensor
    test: Maps
    truth: torch.Tensor

    def noted(self) -> dict[str, Items]:
        """Return what a run record notes of both."""
        sides = {"train": (self.train, self.labels), "test": (self.test, self.truth)}
        found = {}
        for name, (own, labels) in sides.items():
            longest = max(one.numel() for one in own)
            rows = [torch.nn.functional.pad(one.flatten(), (0, longest - one.numel())) for one in own]
            found[name] = describe(torch.stack(rows).numpy(), labels.numpy())
        return found


class Material(Protocol):
    """What a job gets its data from; held as plain values."""

    def __hash__(self) -> int:
        """Tell it from others, so that its items are read once."""
        ...

    def unlabelled(self, source: str, count: int, seed: int) -> Maps:
        """Return at most so many unlabelled maps of a source."""
        ...

    def labelled(self, per_class: int, test: int, seed: int, held_out: bool) -> Labelled:
        """Return few labelled items of each class, and test items."""
        ...


@dataclass(frozen=True)
class ImageMaterial:
    """MNIST's digits, and photographs, characters or digits without labels."""

    def unlabelled(self, source: str, count: int, seed: int) -> Maps:
        """See `Material.unlabelled`; digits are none of those that have labels or are tested on."""
        if source == "photographs":
            return [one.float().mean(0) / 255 for one in photographs("train")][:count]
        images = font_characters("train") if source == "characters" else read_fetched("mnist", "train")
        chosen = np.random.default_rng(seed).permutation(len(images) // 2)[:count]
        return list(images.pixels[torch.from_numpy(chosen)].float()[:, 0] / 255)

    def labelled(self, per_class: int, test: int, seed: int, held_out: bool) -> Labelled:
        """See `Material.labelled`; held-out ones are training images of the set."""
        images = read_fetched("mnist", "train")
        others = images if held_out else read_fetched("mnist", "test")
        assert images.labels is not None and others.labels is not None
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(images) // 2) + len(images) // 2)
        found = [order[images.labels[order] == label][:per_class] for label in range(10)]
        chosen = torch.cat(found)
        rest = order[~torch.isin(order, chosen)] if held_out else torch.arange(len(others))
        judged = rest[:test]
        return Labelled(
            list(images.pixels[chosen].float()[:, 0] / 255),
            images.labels[chosen],
            list(others.pixels[judged].float()[:, 0] / 255),
            others.labels[judged],
        )


MELS = FeatureConfig(mels=24, normalisation="utterance")


@dataclass(frozen=True)
class SpeechMaterial:
    """Words of a corpus by speaker, and speech of another one without its texts.

    Attributes:
        source: manifest of the unlabelled speech.
        target: manifest of the words; a text is a class.
    """

    source: str
    target: str

    def unlabelled(self, source: str, count: int, seed: int) -> Maps:
        """See `Material.unlabelled`."""
        every = read_manifest(self.source)
        chosen = np.random.default_rng(seed).permutation(len(every))[:count]
        return _log_mels([every[n] for n in sorted(chosen)])

    def labelled(self, per_class: int, test: int, seed: int, held_out: bool) -> Labelled:
        """See `Material.labelled`: half of the speakers have labels, by the seed, the others are tested on.

        Held-out items are other recordings of the speakers with labels.
        """
        every = read_manifest(self.target)
        random = np.random.default_rng(seed)
        speakers = sorted({one.speaker for one in every})
        if len(speakers) < 2:
            raise DataError(
                f"{self.target}: has {len(speakers)} speaker; half of them are tested on, so give two or more."
            )
        mine = set(random.permutation(speakers)[: len(speakers) // 2])
        texts = sorted({one.text for one in every})
        known = [one for one in random.permutation(len(every)) if every[one].speaker in mine]
        train = [place for text in texts for place in [n for n in known if every[n].text == text][:per_class]]
        used = set(train)
        rest = [n for n in random.permutation(len(every)) if (every[n].speaker in mine) == held_out and n not in used]
        sides = [[every[n] for n in side] for side in (train, rest[:test])]
        labels = [torch.tensor([texts.index(one.text) for one in side]) for side in sides]
        return Labelled(_log_mels(sides[0]), labels[0], _log_mels(sides[1]), labels[1])


def _log_mels(utterances: Sequence[Utterance]) -> Maps:
    """Return the (mels, frames) log-mels of recordings."""
    store = build_store(utterances, MELS)
    return [store.load(store.view(one.id)).float().T.contiguous() for one in utterances]
