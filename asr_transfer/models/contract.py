"""Defines what every model offers, whatever its class and the names of its layers, and keeps the kinds of models.

All that adapts, trains, stores or listens asks this contract: which blocks run in which order, how many frames an input
leaves, which features the model was made for, and how it is described and made again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import nn

from asr_transfer.config import ModelConfig, Normalisation
from asr_transfer.errors import ConfigError, ModelError, class_of, nearest_hint
from asr_transfer.models.heads import Headed

if TYPE_CHECKING:  # models of images need no library of audio
    from asr_transfer.data.inputs import Inputs
    from asr_transfer.models.speaker_space import SpeakerSpace

Role = Literal["front-end", "layer", "between"]
"""`front-end` hears what is fed, `layer` is one of those that are counted, `between` is neither, such as a norm."""


class Block(NamedTuple):
    """A part of a model that runs as a whole.

    Attributes:
        path: Dotted name of the module.
        dim: Channels of its output.
        role: Part that it plays: of the front end, a layer that is counted, or between them.
        axis: Axis of the channels in its output (in its first output, where it returns several).
    """

    path: str
    dim: int
    role: Role = "layer"
    axis: int = -1


class Model(Headed, ABC):
    """A network with named heads: `model.head(name)(model(inputs, lengths)[0])` are logits.

    `forward` maps inputs and their (batch,) lengths (None for images) to hidden vectors, channels last, and lengths.
    A class is made known by `@register("its kind")`; then folders of such models can be written and read.

    Attributes:
        sequential: Promise that `forward` is all blocks one after the other and nothing else, so that it may begin at
            any of them (`run`). Without it, frozen blocks are computed anew at every step.
        takes_heads: Promise that `from_plain` makes the model with whatever heads it is given.
        pace: Factor on the learning rates of methods that train the model's own weights: large pretrained models take
            smaller steps.
    """

    sequential: ClassVar[bool] = False
    takes_heads: ClassVar[bool] = True
    pace: ClassVar[float] = 1.0

    @abstractmethod
    def blocks(self) -> list[Block]:
        """Return the blocks in order of running, the front end first; the heads come after them."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what `from_plain` needs to make a model of the same architecture, as values that YAML can hold."""

    @classmethod
    @abstractmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> Model:
        """Make a model with initial weights.

        Args:
            plain: Description that `describe` returned; it may hold other keys beside.
            heads: Number of outputs of each head.
            where: File, for messages.

        Raises:
            ConfigError: A field is missing, of another type or impossible.
        """

    def layers(self) -> list[Block]:
        """Return the blocks that "the first n layers" counts."""
        return [block for block in self.blocks() if block.role == "layer"]

    def front_end(self) -> list[Block]:
        """Return the blocks of the front end."""
        return [block for block in self.blocks() if block.role == "front-end"]

    def units(self) -> list[Block]:
        """Return where hidden units can be scaled one by one: the modules whose outputs they are."""
        return self.front_end() + self.layers()

    def junctions(self) -> list[Block]:
        """Return where hidden vectors enter a part of the model: what a new column can hear of an older one's.

        The channels and their axis are those of what enters, the first argument of the part.
        """
        blocks = self.blocks()
        return [Block(block.path, before.dim, block.role, before.axis) for before, block in pairwise(blocks)]

    def published(self) -> list[Block]:
        """Return the blocks, from the first on, of an encoder that others trained, on which own layers or heads stand.

        None where all blocks were trained here. They know far more speech than is trained on here: a new top is
        trained while they stay as they are, and they follow slowly.
        """
        return []

    def untrained(self) -> list[Block]:
        """Return the blocks that still have initial weights: without a head, what stands on a published encoder."""
        return [] if self.heads else self.on_published()

    def on_published(self) -> list[Block]:
        """Return the blocks of our own on a published encoder; none where heads alone stand on it."""
        published = self.published()
        return self.blocks()[len(published) :] if published else []

    def outside(self) -> list[str]:
        """Return the trainable parameters that belong to no block, head or adapter, such as an embedding of masks."""
        own = [path for name in self.heads for path in self.own_parts(name)]
        inside = tuple(f"{path}." for path in ("heads", "adapters", *(block.path for block in self.blocks()), *own))
        return [n for n, parameter in self.named_parameters() if parameter.requires_grad and not n.startswith(inside)]

    def held(self) -> list[str]:
        """Return the paths of what no way to adapt trains: tables of vectors, of which few recordings need few rows."""
        return []

    def run(
        self, first: int, last: int, hidden: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the blocks from number `first` to before `last`, for models that are `sequential`.

        Each block is called as `block(hidden, lengths)` and returns hidden vectors or (hidden vectors, lengths).
        """
        for block in self.blocks()[first:last]:
            output = self.get_submodule(block.path)(hidden, lengths)
            hidden, lengths = output if isinstance(output, tuple) else (output, lengths)
        return hidden, lengths

    def hearing(self) -> int:
        """Return how many blocks, from the first on, `forward` runs: all but those of a decoder."""
        return len(self.blocks())

    def answered(
        self,
        hidden: torch.Tensor,
        lengths: torch.Tensor | None,
        targets: torch.Tensor,
        target_lengths: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the hidden vectors that heads map, and their lengths: what `forward` returned, as it is.

        Args:
            hidden: Hidden vectors that `forward` returned.
            lengths: Their lengths.
            targets: Labels, (batch, labels), that models of sequence to sequence go on from.
            target_lengths: Their lengths.
        """
        return hidden, lengths

    def head_names(self) -> list[str]:
        """Return the names that `head` knows."""
        return list(self.heads)

    def own_parts(self, head: str) -> list[str]:
        """Return the paths of what only a head's outputs need, such as the head itself."""
        return [f"heads.{head}"]


Criterion = Literal["ctc", "cross-entropy"]
"""`cross-entropy` is that of the next token, under teacher forcing: of sequence-to-sequence models."""


class SpeechModel(Model):
    """A model that listens to speech.

    The first block is called with (batch, time, dim) inputs and (batch,) lengths, as the model itself.

    Attributes:
        criterion: Loss that its heads are trained by; what needs another refuses the model (`require_ctc`).
        speakers: Mean and directions of its training speakers' profiles; None where nothing was kept of them.
    """

    criterion: ClassVar[Criterion] = "ctc"
    speakers: SpeakerSpace | None = None

    @property
    @abstractmethod
    def inputs(self) -> Inputs:
        """Return which inputs the model was made for; they are computed and kept under that key."""

    @abstractmethod
    def frames(self, length: int) -> int:
        """Return how many output frames an input of so many time steps leaves, exactly as the model pads."""

    def frame_shift(self) -> float:
        """Return the seconds from an output frame to the next."""
        long = 64 * 720_720  # a multiple of whatever factor a model shortens its inputs by
        return self.inputs.shift * long / (self.frames(2 * long) - self.frames(long))

    @property
    def window(self) -> float | None:
        """Return the seconds that it hears at once, longer recordings being cut; None where it hears any length."""
        return None

    @property
    def together(self) -> int:
        """Return how many utterances are heard side by side at least, where so many are within reason.

        A layer that goes from frame to frame takes nearly as long for one as for eight: on pieces of half a minute,
        eight were heard twice as fast by LSTMs as two.
        """
        return 8 if any(isinstance(module, nn.RNNBase) for module in self.modules()) and not self.published() else 1

    def renormalised(self, normalisation: Normalisation) -> SpeechModel:
        """Return the model, its tensors shared, as one that takes inputs of another normalisation.

        Raises:
            ConfigError: Its inputs have no other.
        """
        raise ConfigError(
            f"`language.normalisation` changes the features of models made by `train`, not of {class_of(self)}; "
            "leave it out."
        )

    @abstractmethod
    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, time, dim) inputs and (batch,) lengths to hidden (batch, frames, dim) and its lengths."""

    @property
    def network(self) -> ModelConfig | None:
        """Return the network whose speed in each precision can be measured; None where it is not one of this house."""
        return None


class SequenceModel(SpeechModel):
    """A model of sequence to sequence: `forward` gives an encoder's states, a decoder writes token after token.

    Targets are a prompt, a text and an end. All have prompts of the same length, which nobody need foretell.
    """

    criterion: ClassVar[Criterion] = "cross-entropy"

    @property
    @abstractmethod
    def prompt(self) -> int:
        """Return how many tokens a target begins with that are no text."""

    @property
    @abstractmethod
    def window(self) -> float:
        """Return the seconds that it hears at once; longer recordings are cut."""

    @property
    @abstractmethod
    def most_tokens(self) -> int:
        """Return how many tokens a prompt and a text can have together."""

    @abstractmethod
    def begin(self, states: torch.Tensor) -> DecoderState:
        """Return what decoding keeps, before the first token, of (batch, frames, dim) states of the encoder."""

    @abstractmethod
    def follow(self, tokens: torch.Tensor, state: DecoderState) -> torch.Tensor:
        """Map (rows, n) tokens that follow those before to (rows, n, dim) hidden vectors; the state goes on.

        Rows are as many to each utterance; more than one token can follow at the beginning alone.
        """

    def answered(
        self,
        hidden: torch.Tensor,
        lengths: torch.Tensor | None,
        targets: torch.Tensor,
        target_lengths: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `Model.answered`: the vectors that foretell each target from those before (teacher forcing)."""
        assert target_lengths is not None
        vectors = self.follow(targets[:, :-1], self.begin(hidden))
        return vectors[:, self.prompt - 1 :], target_lengths - self.prompt


class DecoderState(Protocol):
    """What a decoder keeps between tokens.

    Attributes:
        length: Number of tokens so far.
    """

    length: int

    def pick(self, rows: torch.Tensor) -> None:
        """Go on with these (n,) rows, as many to each utterance, of the same utterances in the same order."""
        ...

    def keep(self, items: torch.Tensor) -> None:
        """Go on with these (n,) utterances, each with one row."""
        ...


Class = TypeVar("Class", bound=type[Model])

_KINDS: dict[str, type[Model]] = {}


def register(kind: str) -> Callable[[Class], Class]:
    """Return a decorator that makes a class of models known to model folders by the name `kind`."""

    def known(cls: Class) -> Class:
        _KINDS[kind] = cls
        return cls

    return known


def kind_of(model: nn.Module) -> str:
    """Return the name of a model's kind.

    Raises:
        ModelError: Its class is not registered, so that nobody could make it again from a folder.
    """
    for kind, cls in _KINDS.items():
        if type(model) is cls:
            return kind
    name = type(model).__name__
    raise ModelError(
        f"{name} is no registered kind of model, so that it cannot be described or saved; decorate the class with "
        '`@contract.register("its kind")`.'
    )


def find_kind(kind: object, where: str) -> type[Model]:
    """Return the class of a kind; `where` is the file, for messages.

    Raises:
        ModelError: The kind is unknown.
    """
    if not isinstance(kind, str) or kind not in _KINDS:
        hint = nearest_hint(str(kind), _KINDS)
        raise ModelError(f"{where}: `kind` is {kind!r}, which this version does not know.{hint}")
    return _KINDS[kind]


def require_ctc(model: SpeechModel, what: str) -> None:
    """Refuse a model that is not trained by CTC.

    Args:
        model: Model that is to be trained or listened with.
        what: Whoever needs CTC, for the message.

    Raises:
        ConfigError: It is trained by another criterion.
    """
    if model.criterion != "ctc":
        raise ConfigError(
            f"{what} needs a model with CTC, but {type(model).__name__} is one of sequence to sequence, trained by "
            f"{model.criterion}; take another model."
        )


def paths_with_tensors(model: nn.Module, paths: list[str]) -> list[str]:
    """Return those of the modules that have parameters or buffers of their own or below; selectors refuse others."""
    return [path for path in paths if model.get_submodule(path).state_dict()]
