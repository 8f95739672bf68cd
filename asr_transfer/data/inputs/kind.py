"""Defines what every kind of inputs offers, and keeps the kinds by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from asr_transfer.config import FeatureConfig, SpecAugmentConfig
from asr_transfer.data.inputs.spec_augment import mask_spectrum
from asr_transfer.data.inputs.vocal_tract import Scale
from asr_transfer.errors import ConfigError, nearest_hint
from asr_transfer.plain import from_plain


@dataclass(frozen=True)
class Inputs(ABC):
    """What a model is fed, computed from mono audio at `audio.SAMPLE_RATE` within ±1.

    Equal ones give equal inputs: they are compared, hashed, and kept under what `plain` says. A store keeps what
    `analyse` gives, and normalises when it is read, by statistics of the whole recording.

    Attributes:
        kind: Name of the kind.
        dtype: Type of the numbers that a store keeps.
        step: Time steps that cost as much as a hundredth of a second of features.
        augmentation: Parts of SpecAugment that it allows besides time masks: `frequency_masks`, `channel`, `warp` and
            `silence`.
        band: Lowest and highest frequency in Hertz, between which bands lie evenly in mel.
        scale: Way to count mel; None where there are no bands in mel.
    """

    kind: ClassVar[str]
    dtype: ClassVar[type[np.floating[Any]]] = np.float16
    step: ClassVar[int] = 1
    augmentation: ClassVar[frozenset[str]] = frozenset()
    band: ClassVar[tuple[float, float]] = (0.0, 8000.0)
    scale: ClassVar[Scale | None] = None

    @property
    @abstractmethod
    def dim(self) -> int:
        """Return the numbers of a time step."""

    @property
    @abstractmethod
    def shift(self) -> float:
        """Return the seconds from a time step to the next."""

    @abstractmethod
    def analyse(self, samples: torch.Tensor) -> torch.Tensor:
        """Map (n,) samples to (time, dim) inputs that are not normalised."""

    @abstractmethod
    def blocks(self, pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield what `analyse` returns of consecutive pieces of a recording as one, in pieces of at least a step."""

    @abstractmethod
    def statistics(self, blocks: Callable[[], Iterable[torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return two (dim,) vectors by which a recording is normalised, such as means and deviations.

        Args:
            blocks: begins the (time, dim) blocks of a recording anew at every call.
        """

    @abstractmethod
    def normalise(self, block: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Normalise some time steps of a recording by its `statistics`."""

    def compute(self, samples: torch.Tensor) -> torch.Tensor:
        """Map (n,) samples of a recording to its (time, dim) inputs, normalised, float32."""
        block = self.analyse(samples)
        return self.normalise(block, *self.statistics(lambda: [block]))

    def plain(self) -> dict[str, Any]:
        """Return all that decides what is computed, as plain values: the key under which stores are kept."""
        return {"kind": self.kind, **asdict(self)}

    def cost(self, length: int) -> int:
        """Return what an input of so many time steps costs in a batch, where a second of features costs about 100."""
        return -(-length // self.step)

    def seconds(self, cost: float) -> float:
        """Return the seconds of speech that cost so much."""
        return cost * self.step * self.shift

    def loudness(self, block: torch.Tensor) -> torch.Tensor:
        """Map (time, dim) inputs that are not normalised to how loud each unit of cost is, (cost,)."""
        return block.mean(1)

    def require_bands(self, what: str) -> None:
        """Refuse to change bands where there are none.

        Args:
            what: Whoever changes them, for the message.

        Raises:
            ConfigError: The inputs have no bands in mel.
        """
        if self.scale is None:
            able = ", ".join(sorted(kind for kind, cls in KINDS.items() if cls.scale))
            raise ConfigError(
                f"{what} moves bands in mel, which inputs of the kind {able} have, not {self.kind} as this model "
                "takes; name another method."
            )

    def warped(self, inputs: torch.Tensor, lengths: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """Return (batch, time, dim) normalised inputs as if the vocal tracts were of another length.

        Args:
            inputs: Inputs of recordings, or of pieces of them.
            lengths: (batch,) valid time steps.
            factor: Single number above 0, by which all frequencies are multiplied (`warp_bands`); 1 leaves the inputs
                as they are, bit for bit.

        Raises:
            ConfigError: The inputs have no bands in mel.
        """
        self.require_bands("a warp")
        raise NotImplementedError(f"{type(self).__name__} has bands and must say how they are warped.")

    def require_augmentation(self, config: SpecAugmentConfig) -> None:
        """Refuse what these inputs do not allow; masks of bands are left out where there are none.

        Raises:
            ConfigError: something is asked for that they do not allow.
        """
        for name in ("channel", "warp", "silence"):
            if getattr(config, name) and name not in self.augmentation:
                able = ", ".join(sorted(kind for kind, cls in KINDS.items() if name in cls.augmentation))
                raise ConfigError(
                    f"`augment.{name}` changes inputs of the kind {able}, not {self.kind} as this model takes; leave "
                    "it out."
                )

    def augment(
        self, inputs: torch.Tensor, lengths: torch.Tensor, config: SpecAugmentConfig, generator: torch.Generator
    ) -> torch.Tensor:
        """Change (batch, time, dim) inputs at random as their kind allows; see `mask_spectrum`."""
        return mask_spectrum(inputs, lengths, config, generator, self.band)


Wanted = Inputs | FeatureConfig
"""Inputs, or the features that a model's settings name."""

Class = TypeVar("Class", bound=type[Inputs])

KINDS: dict[str, type[Inputs]] = {}
"""All kinds by name."""


def register(name: str) -> Callable[[Class], Class]:
    """Return a decorator that makes a class of inputs known by `name`."""

    def known(cls: Class) -> Class:
        KINDS[name] = cls
        cls.kind = name
        return cls

    return known


def as_inputs(wanted: Wanted) -> Inputs:
    """Return the inputs that settings describe, or inputs as they are."""
    if isinstance(wanted, Inputs):
        return wanted
    # Kinds that have no such setting are never asked to.
    plain = {name: value for name, value in asdict(wanted).items() if name != "remove_offset" or value}
    return inputs_from_plain(plain, "features")


def inputs_from_plain(plain: Mapping[str, Any], where: str) -> Inputs:
    """Make inputs of what `Inputs.plain` returned; those that name no kind are log-mels.

    Args:
        plain: Plain values.
        where: File, for messages.

    Raises:
        ConfigError: The kind is unknown, or a value is missing, unknown or of another type.
    """
    kind = plain.get("kind", "log-mel")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(f"{where}: `kind` of the inputs is {kind!r}.{nearest_hint(str(kind), KINDS)}")
    return from_plain(KINDS[kind], {name: value for name, value in plain.items() if name != "kind"}, where)
