"""Translates images of a labelled domain into the looks of an unlabelled one, to train a classifier on.

UNIT (Liu et al. 2017): two autoencoders with one latent space, so that what is read by the one can be written by the
other. MUNIT (Huang et al. 2018): content is shared, style is each domain's own and can be drawn at random. Both here
are small, for digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from asr_transfer.data.batching import Batch
from asr_transfer.errors import ConfigError
from asr_transfer.training.forward import run
from asr_transfer.training.objective import TrainedObjective
from asr_transfer.training.streams import Output, Stream, Task
from asr_transfer.transfer.discriminator import standing_still, two_streams


class Translator(nn.Module):
    """Autoencoders of two domains with shared inner layers, for images whose sides are multiples of 4.

    Args:
        channels: channels of the images.
        width: channels of the outer layers; the inner ones have twice as many.
        style: length of a style; 0 for UNIT, which has none.
    """

    def __init__(self, channels: int, width: int = 32, style: int = 0) -> None:
        super().__init__()
        self.style = style
        self.readers = nn.ModuleList(nn.Conv2d(channels, width, 4, 2, 1) for _ in range(2))
        self.content = nn.Sequential(
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.ReLU(), nn.Conv2d(2 * width, 2 * width, 3, 1, 1)
        )
        self.inner = nn.Conv2d(2 * width, 2 * width, 3, 1, 1)
        self.grow = nn.ConvTranspose2d(2 * width, width, 4, 2, 1)
        self.writers = nn.ModuleList(nn.ConvTranspose2d(width, channels, 4, 2, 1) for _ in range(2))
        if style:
            self.styles = nn.ModuleList(
                nn.Sequential(
                    nn.Conv2d(channels, width, 4, 2, 1),
                    nn.ReLU(),
                    nn.Conv2d(width, width, 4, 2, 1),
                    nn.ReLU(),
                    nn.AdaptiveAvgPool2d(1),
                    nn.Flatten(),
                    nn.Linear(width, style),
                )
                for _ in range(2)
            )
            self.modulate = nn.Linear(style, 4 * width)

    def read(self, images: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the (batch, 2 width, height / 4, width / 4) content of a side's images, and their styles."""
        content = self.content(torch.relu(self.readers[side](images)))
        return content, self.styles[side](images) if self.style else None

    def write(self, content: torch.Tensor, side: int, style: torch.Tensor | None = None) -> torch.Tensor:
        """Return images of a side, from 0 to 1."""
        hidden = torch.relu(self.inner(content))
        if style is not None:
            # A style sets mean and deviation of each channel (Huang and Belongie 2017).
            scale, shift = self.modulate(style)[:, :, None, None].chunk(2, 1)
            hidden = functional.instance_norm(hidden) * (1 + scale) + shift
        images: torch.Tensor = torch.sigmoid(self.writers[side](torch.relu(self.grow(hidden))))
        return images


class ImageTranslation(TrainedObjective):
    """A translator between two streams of images, and the classifier's loss on translated images of the source.

    Its loss is the sum of what each image loses when it is read and written on its own side, and when it is written on
    the other side and read again (in UNIT the image, in MUNIT content and style); of the discriminators' losses, and of
    the translator's through discriminators that stand still; and of the classifier's cross-entropy on translated images
    with the labels of those that they were made of. No gradient goes from the classifier to the translator.

    Args:
        source: name of the source's task.
        target: name of the target's stream.
        style: length of a style, which makes it MUNIT; 0 for UNIT.
        width: channels of the translator's outer layers.
        faithful: weight of the images' losses beside the others.
        seed: random seed of the initial weights.

    Raises:
        ConfigError: both are one stream.
    """

    def __init__(
        self, source: str, target: str, style: int = 0, width: int = 32, faithful: float = 10.0, seed: int = 0
    ) -> None:
        super().__init__()
        self.streams: Sequence[str] = two_streams("ImageTranslation", (source, target))
        self.style, self.width, self.faithful, self.seed = style, width, faithful, seed
        self.translator: nn.Module = nn.Identity()
        self.discriminators = nn.ModuleList()
        self._target: Stream | None = None

    def setup(self, model: nn.Module, streams: Mapping[str, Stream]) -> None:
        """Make the translator and the discriminators.

        Raises:
            ConfigError: the source has no labels, or the sides of the images are no multiples of 4.
        """
        task, target = (streams[name] for name in self.streams)
        if not isinstance(task, Task):
            raise ConfigError(f"ImageTranslation needs labels, but the stream '{task.name}' is no task.")
        images = task.data.collate([0]).inputs
        if images.dim() != 4 or images.shape[2] % 4 or images.shape[3] % 4:
            raise ConfigError("ImageTranslation needs images whose sides are multiples of 4 pixels.")
        like = next(model.parameters())
        # Random numbers of its own: with weight 0 the classifier takes the very steps of a training without.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.translator = Translator(images.shape[1], self.width, self.style).to(like.device, like.dtype)
            self.discriminators = nn.ModuleList(_discriminator(images.shape[1], self.width) for _ in range(2))
            self.discriminators.to(like.device, like.dtype)
        self._target = replace(target, head=task.head)

    def translated(self, images: torch.Tensor, style: torch.Tensor | None = None) -> torch.Tensor:
        """Return the source's images in the target's looks; MUNIT draws a style where none is given."""
        assert isinstance(self.translator, Translator)
        content, _ = self.translator.read(images, 0)
        return self.translator.write(content, 1, self._drawn(images) if style is None else style)

    def _drawn(self, images: torch.Tensor) -> torch.Tensor | None:
        return images.new_empty(len(images), self.style).normal_() if self.style else None

    def forward(self, model: nn.Module, outputs: Mapping[str, Output]) -> torch.Tensor:
        """Return the sum of the losses."""
        assert isinstance(self.translator, Translator) and self._target is not None
        task, other = (outputs[name].batch for name in self.streams)
        images = [task.inputs, other.inputs]
        kept, read = [], [self.translator.read(own, side) for side, own in enumerate(images)]
        crossed, judged = [], []
        for side, (content, style) in enumerate(read):
            kept.append(functional.l1_loss(self.translator.write(content, side, style), images[side]))
            noisy = content if self.style else content + torch.randn_like(content)
            drawn = self._drawn(images[side])
            there = self.translator.write(noisy, 1 - side, drawn)
            crossed.append(there)
            again, found = self.translator.read(there, 1 - side)
            if drawn is None or found is None:
                kept.append(functional.l1_loss(self.translator.write(again, side), images[side]))
                kept.append(0.01 * content.square().mean() / self.faithful)
            else:
                kept.append(functional.l1_loss(again, content.detach()) / self.faithful)
                kept.append(functional.l1_loss(found, drawn) / self.faithful)
            judged.append(self._judged(1 - side, images[1 - side], there))
        faithful = self.faithful * torch.stack(kept).sum()
        against = torch.stack(judged).sum()
        fake = Batch(task.items, crossed[0].detach(), task.targets)
        logits = run(model, self._target, fake).require_logits()
        classified = functional.cross_entropy(logits, task.targets)
        for name, value in (("faithful", faithful), ("against", against), ("classified", classified)):
            self.note(f"translation.{name}", value)
        return faithful + against + classified

    def _judged(self, side: int, real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
        """Return the discriminator's loss and the translator's, each with a gradient for its own weights alone."""
        discriminator = self.discriminators[side]
        verdicts = discriminator(real), discriminator(made.detach())
        own = functional.softplus(-verdicts[0]).mean() + functional.softplus(verdicts[1]).mean()
        return own + functional.softplus(-standing_still(discriminator, made)).mean()


def _discriminator(channels: int, width: int) -> nn.Sequential:
    """Return a network that judges patches of images."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 3, 1, 1),
    )
