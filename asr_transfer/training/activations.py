"""Trains what lies above frozen blocks on their outputs, which are computed once for each utterance or image.

Blocks whose weights and statistics are frozen give the same activations at every step. Only those are computed that a
batch asks for: of speech utterance by utterance, of images in groups that are always the same, so that they are the
same bits whichever of them are trained on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from asr_transfer.config import ModelConfig, SpecAugmentConfig
from asr_transfer.data.batching import ArrayData, Batch
from asr_transfer.data.features import FeatureStore
from asr_transfer.data.inputs import Inputs
from asr_transfer.data.speech import Spoken
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.adapters import PREFIX
from asr_transfer.models.contract import Block, DecoderState, Model, SequenceModel, SpeechModel
from asr_transfer.models.modes import evaluating
from asr_transfer.training.streams import Mixture, Task
from asr_transfer.training.views import Views

TOGETHER = 64
"""Images that run through frozen blocks together."""


def frozen_depth(model: Model) -> int:
    """Return how many blocks, from the first on, training will leave wholly alone.

    Call it after the plan was applied. A block is frozen when none of its parameters requires a gradient, adapters on
    it included, and the statistics of its BatchNorms are held; a decoder's blocks are never among them. 0 where the
    front end is trained, and where the model is more than its blocks: not `sequential`, with an adapter parameter that
    belongs to no block, or with hooks on it.
    """
    paths = [block.path for block in model.blocks()]
    above = {path.rsplit(".", depth)[0] for path in paths for depth in range(1, path.count(".") + 1)}
    if not model.sequential or any(_is_hooked(model.get_submodule(path)) for path in {"", *above}):
        return 0
    moving = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for path, module in model.named_modules():
        if not (isinstance(module, _BatchNorm) and getattr(module, "statistics_frozen", False)):
            moving += [f"{path}.{name}" for name, _ in module.named_buffers(recurse=False)]
    depth = model.hearing()
    for name in moving:
        own = re.sub(rf"^{re.escape(PREFIX)}[^.]+\.", "", name)  # an adapter's parameter stands at its module's path
        found = [number for number, path in enumerate(paths) if own.startswith(f"{path}.")]
        if not own.startswith("heads."):
            depth = min([depth, *(found or [0])])
    return depth


class Activations(FeatureStore):
    """A feature store whose views are a model's outputs at a depth instead of features, each computed when first read.

    Views and their lengths, in frames of speech, are those of the store below, so that batches hold the same items.
    The model runs in evaluation mode and in float32: dropout inside the frozen layers is off, and mixed precision
    begins above them. Otherwise training on the activations is training the whole model, but that those of a published
    encoder are kept in float16, within 5e-4 of their size: hours of speech would not fit into memory. What passes
    `IN_MEMORY` lies in a file.

    Args:
        store: features.
        model: model whose first blocks run; it must not change meanwhile.
        depth: number of these blocks; at least 1.
    """

    def __init__(self, store: FeatureStore, model: SpeechModel, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"The 'depth' parameter of Activations must be at least 1, got {depth} instead.")
        vars(self).update(vars(store))
        self._model, self._depth = model, depth
        self._kept = Views(half=bool(model.published()) or isinstance(model, SequenceModel))

    def load(self, view: int) -> torch.Tensor:
        """Return the activations of a view, (frames after subsampling, dim) float32."""
        if view not in self._kept:
            features = super().load(view)[None]
            self._kept.keep(view, _run_once(self._model, self._depth, features)[0])
        return self._kept.get(view)


class ArrayActivations:
    """Items without a time axis whose inputs are a model's outputs at a depth, each computed when first read.

    The model runs as for `Activations`. What passes `IN_MEMORY` lies in a file.

    Args:
        data: Items; they are not changed at random.
        model: Model whose first blocks run; it must not change meanwhile.
        depth: Number of these blocks; at least 1.
    """

    def __init__(self, data: ArrayData, model: Model, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"The 'depth' parameter of ArrayActivations must be at least 1, got {depth} instead.")
        if data.augment is not None:
            raise ValueError("Items that are changed at random give other activations each time; store none of them.")
        self._data, self._model, self._depth = data, model, depth
        self._kept = Views(half=bool(model.published()))

    def costs(self) -> np.ndarray:
        """Return a cost of 1 for every item."""
        return self._data.costs()

    def collate(self, items: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        """Return the batch of `items`."""
        index = torch.as_tensor(items)
        return Batch(index, torch.stack([self._load(item) for item in index.tolist()]), self._data.targets[index])

    def _load(self, item: int) -> torch.Tensor:
        if item not in self._kept:
            first = item - item % TOGETHER
            group = range(first, min(first + TOGETHER, len(self._data.targets)))
            hidden = _run_once(self._model, self._depth, self._data.collate(group).inputs)
            for number, own in zip(group, hidden, strict=True):
                self._kept.keep(number, own.clone())
        return self._kept.get(item)


def _run_once(model: Model, depth: int, inputs: torch.Tensor) -> torch.Tensor:
    """Return a model's outputs at a depth, on the processor; of speech, utterances are of one length."""
    device = next(model.parameters()).device
    lengths: Any = None
    if isinstance(model, SpeechModel):
        lengths = torch.full((len(inputs),), inputs.shape[1], device=device)
    # It may be read in the midst of a training of the blocks above, which keep their mode.
    with evaluating(model), torch.no_grad(), torch.autocast(device.type, enabled=False):
        hidden, _ = model.run(0, depth, inputs.to(device), lengths)
    return hidden.cpu()


class Suffix(Model):
    """The rest of a model above a depth, under the model contract: inputs are activations there.

    All modules are the model's own, under their own names, those below the depth included; these do not run. What is
    trained here is trained there, and checkpoints fit both.

    Args:
        model: model whose modules are taken.
        depth: blocks left out; at least 1, for lengths count frames after the front end.
    """

    def __init__(self, model: Model, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self._whole = (model,)  # in a tuple, for it is no part of this one: its parts are
        for name, child in model.named_children():
            self.add_module(name, child)
        self.training = model.training

    def train(self, mode: bool = True) -> Suffix:
        """Set the mode of the whole model."""
        self._whole[0].train(mode)
        return super().train(mode)

    def forward(self, inputs: torch.Tensor, lengths: Any = None) -> tuple[torch.Tensor, Any]:
        """Map activations and their (batch,) lengths to hidden vectors and their lengths, as the whole model does."""
        (model,) = self._whole
        return model.run(self.depth, model.hearing(), inputs, lengths)

    def hearing(self) -> int:
        """Return how many of the blocks hear the activations."""
        return self._whole[0].hearing() - self.depth

    def answered(
        self,
        hidden: torch.Tensor,
        lengths: torch.Tensor | None,
        targets: torch.Tensor,
        target_lengths: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what the whole model makes of it."""
        return self._whole[0].answered(hidden, lengths, targets, target_lengths)

    def blocks(self) -> list[Block]:
        """Return the blocks that run."""
        return self._whole[0].blocks()[self.depth :]

    def head(self, name: str) -> nn.Module:
        """Return the whole model's head."""
        return self._whole[0].head(name)

    def describe(self) -> dict[str, Any]:
        """Return what the whole model is."""
        return self._whole[0].describe()

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], heads: Mapping[str, int], where: str) -> Suffix:
        """Refuse: nobody stores the rest of a model."""
        raise ModelError(f"{where}: the rest of a model above a depth is not stored; store the whole model.")


class SpeechSuffix(Suffix, SpeechModel):
    """The rest of a model that listens to speech; lengths count frames."""

    _whole: tuple[SpeechModel]

    @property
    def inputs(self) -> Inputs:
        """Return the inputs that the whole model listens to."""
        return self._whole[0].inputs

    @property
    def network(self) -> ModelConfig | None:
        """Return the whole model's network."""
        return self._whole[0].network

    def frames(self, length: int) -> int:
        """Return the output frames of so many frames of activations, as the blocks that run leave them."""
        (model,) = self._whole
        like = next(model.parameters())
        with torch.no_grad():
            hidden = torch.zeros(1, length, model.blocks()[self.depth - 1].dim, device=like.device, dtype=like.dtype)
            _, (count,) = self(hidden, torch.tensor([length], device=like.device))
        return int(count)


class Stored:
    """Activations of one model's first blocks; give one to all trainings that leave these blocks as they are.

    Args:
        model: Model whose blocks run; they must not change meanwhile.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._stores: dict[tuple[FeatureStore, int], Activations] = {}
        self._arrays: dict[tuple[ArrayData, int], ArrayActivations] = {}

    @overload
    def feed(self, data: Spoken, depth: int, masked: bool = False) -> Spoken: ...

    @overload
    def feed(self, data: ArrayData, depth: int, masked: bool = False) -> ArrayData | ArrayActivations: ...

    def feed(self, data: Spoken | ArrayData, depth: int, masked: bool = False) -> Spoken | ArrayData | ArrayActivations:
        """Return speech or images that are fed the activations at a depth; at 0 they are returned as they are.

        Args:
            data: Speech or images with inputs of the model.
            depth: Number of blocks.
            masked: Choice to hide parts of the activations where speech has masks for its inputs.
        """
        if not depth:
            return data
        if isinstance(data, ArrayData):
            if (data, depth) not in self._arrays:
                self._arrays[data, depth] = ArrayActivations(data, self.model, depth)
            return self._arrays[data, depth]
        key = data.store, depth
        assert isinstance(self.model, SpeechModel)
        if key not in self._stores:
            self._stores[key] = Activations(data.store, self.model, depth)
        masks = masks_on_states(data.spec_augment, self.model) if masked else None
        return data.fed(self._stores[key]).masked(masks)

    def feed_all(self, groups: Sequence[Task | Mixture], depth: int, masked: bool = False) -> list[Task | Mixture]:
        """Return tasks on speech or on images, and mixtures of such, that are fed as by `feed`.

        Raises:
            ConfigError: A task is of a domain with statistics of its own, by which frozen blocks give others.
        """

        def fed(task: Task) -> Task:
            if depth and task.domain is not None:
                raise ConfigError(
                    f"the task '{task.name}' is of the domain '{task.domain}', whose statistics frozen blocks take; "
                    "train it on the whole model."
                )
            assert isinstance(task.data, Spoken | ArrayData)
            return replace(task, data=self.feed(task.data, depth, masked))

        return [
            replace(group, tasks=tuple(map(fed, group.tasks))) if isinstance(group, Mixture) else fed(group)
            for group in groups
        ]


def stored_depth(model: Model, masked: bool) -> int:
    """Return how many frozen blocks can run once, ahead of training.

    Args:
        model: Model after its plan was applied.
        masked: Whether inputs are masked at random, which changes what frozen blocks give. A published encoder runs
            once all the same: then its states are masked.
    """
    depth, published = frozen_depth(model), len(model.published())
    return (published if depth >= published else 0) if masked else depth


def masks_on_states(config: SpecAugmentConfig | None, model: SpeechModel) -> SpecAugmentConfig | None:
    """Return masks that hide as much of a published encoder's states as `config` hides of its inputs.

    Bands of mels become as large a share of the channels; of inputs without bands no channels are hidden. Vocal tracts,
    channels and silences cannot be changed there.
    """
    if config is None:
        return None
    inputs = model.inputs
    wider = model.published()[-1].dim / inputs.dim if "frequency_masks" in inputs.augmentation else 0.0
    # Masks of waveforms are counted in hundredths of a second, too.
    shorter = inputs.shift * inputs.step / model.frame_shift()
    width, length = round(config.frequency_width * wider), round(config.time_width * shorter)
    return replace(config, frequency_width=width, time_width=length, channel=0.0, warp=0.0, silence=0.0)


class SequenceSuffix(SpeechSuffix, SequenceModel):
    """The rest of a model of sequence to sequence, whose decoder writes as ever."""

    _whole: tuple[SequenceModel]

    @property
    def prompt(self) -> int:
        """Return the whole model's."""
        return self._whole[0].prompt

    @property
    def window(self) -> float:
        """Return the whole model's."""
        return self._whole[0].window

    @property
    def most_tokens(self) -> int:
        """Return the whole model's."""
        return self._whole[0].most_tokens

    def begin(self, states: torch.Tensor) -> DecoderState:
        """Return what the whole model keeps of an encoder's states."""
        return self._whole[0].begin(states)

    def follow(self, tokens: torch.Tensor, state: DecoderState) -> torch.Tensor:
        """Return the whole model's vectors behind tokens."""
        return self._whole[0].follow(tokens, state)


@overload
def above(model: SpeechModel, depth: int) -> SpeechModel: ...


@overload
def above(model: Model, depth: int) -> Model: ...


def above(model: Model, depth: int) -> Model:
    """Return what runs on the activations at a depth: at 0 the model itself."""
    if not depth:
        return model
    if isinstance(model, SequenceModel):
        return SequenceSuffix(model, depth)
    return SpeechSuffix(model, depth) if isinstance(model, SpeechModel) else Suffix(model, depth)


def _is_hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)
