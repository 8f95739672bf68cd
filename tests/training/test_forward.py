"""Several streams in one pass give what each gives alone: logits, taps and gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_args

import pytest
import torch
from torch import nn

from asr_transfer.config import EncoderName, ImageConfig
from asr_transfer.data.batching import ArrayData, Batch
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.image import ImageModel
from asr_transfer.training.criteria import cross_entropy, ctc
from asr_transfer.training.forward import run, run_together
from asr_transfer.training.streams import Output, Stream, Task
from asr_transfer.transfer.plan import FreezeStatistics, TransferPlan
from tests.small import MELS, HeadOnly, ToySpeech, small_model

HEADS = {"main": 5, "other": 7}
TAPS = ("encoder.layers.0", "encoder.norm", "frontend")
Parts = dict[str, tuple[Stream, Batch]]
everywhere = pytest.mark.parametrize("encoder", get_args(EncoderName))


def _model(encoder: Any, dropout: float = 0.3) -> AcousticModel:
    """Return a model whose normalisation statistics are its own."""
    model = small_model(2, encoder, heads=HEADS, dropout=dropout, dtype=torch.float64)
    generator = torch.Generator().manual_seed(5)
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            drawn = torch.rand(buffer.shape, generator=generator, dtype=torch.float64)
            buffer.copy_(drawn + 0.5 if name.endswith("var") else drawn - 0.5)
    return model


def _parts() -> Parts:
    """Return a short stream, a long one with another head, and an unlabelled one between them."""
    made: Parts = {}
    for name, items, head in (("short", (0, 1, 2), "main"), ("long", (3, 4), "other"), ("bare", (5, 0), "")):
        data = ToySpeech(6, seed=len(name), dtype=torch.float64)
        # By length, so that no two streams have the same longest item.
        order = data.lengths.argsort().tolist()
        batch = data.collate([order[item] for item in items])
        made[name] = (Task(name, data, ctc, head=head) if head else Stream(name, data), batch)
    longest = [int(batch.lengths.max()) for _, batch in made.values() if batch.lengths is not None]
    assert len(set(longest)) == len(made), "streams must differ in length"
    return made


def _alone(model: nn.Module, parts: Parts, taps: Mapping[str, Sequence[str]]) -> dict[str, Output]:
    return {name: run(model, stream, batch, taps[name]) for name, (stream, batch) in parts.items()}


@contextmanager
def _passes(model: nn.Module) -> Iterator[list[int]]:
    """Count the rows of each pass through `model`."""
    rows: list[int] = []
    handle = model.register_forward_pre_hook(lambda module, arguments: rows.append(len(arguments[0])))
    yield rows
    handle.remove()


def _require(value: torch.Tensor | None) -> torch.Tensor:
    assert value is not None
    return value


@everywhere
def test_streams_of_different_lengths_and_heads_give_what_each_gives_alone(encoder: Any) -> None:
    model, parts = _model(encoder).eval(), _parts()
    taps = {"short": TAPS, "long": TAPS[:1], "bare": TAPS[1:]}
    with _passes(model) as rows:
        together = run_together(model, parts, taps)
    assert rows == [7]
    assert list(together) == list(parts)
    for name, output in _alone(model, parts, taps).items():
        own = together[name]
        assert own.batch is parts[name][1]
        assert torch.equal(_require(own.lengths), _require(output.lengths))
        assert (own.logits is None) == (output.logits is None) == (name == "bare")
        if output.logits is not None:
            torch.testing.assert_close(own.logits, output.logits, rtol=1e-10, atol=1e-12)
        assert set(own.taps) == set(output.taps) == set(taps[name])
        for tap in taps[name]:
            for level in ("frames", "utterance"):
                torch.testing.assert_close(own.vectors(tap, level), output.vectors(tap, level), rtol=1e-10, atol=1e-12)
    assert _require(together["short"].logits).shape[2] == 5 and _require(together["long"].logits).shape[2] == 7


@everywhere
def test_the_gradient_is_the_sum_of_the_gradients_alone_and_the_losses_are_equal(encoder: Any) -> None:
    model, parts = _model(encoder, dropout=0.0), _parts()
    parts.pop("bare")
    TransferPlan(FreezeStatistics()).apply(model)
    model.train()
    gradients = []
    for runner in (run_together, _alone):
        model.zero_grad()
        outputs = runner(model, parts, {name: () for name in parts})
        losses = {name: loss / count for name, (loss, count) in ((n, ctc(o)) for n, o in outputs.items())}
        (0.7 * losses["short"] + 0.3 * losses["long"]).backward()  # type: ignore[no-untyped-call]
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() == dict(model.named_parameters()).keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-8, atol=1e-11, msg=name)
        assert gradient.any(), name


@pytest.mark.parametrize(("learning", "idle"), [("short", "other"), ("long", "main")])
def test_a_task_reaches_its_own_head_alone(learning: str, idle: str) -> None:
    model, parts = _model("tdnn"), _parts()
    outputs = run_together(model, parts, {name: () for name in parts})
    loss, count = ctc(outputs[learning])
    (loss / count).backward()  # type: ignore[no-untyped-call]
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {name for name, _ in model.named_parameters() if not name.startswith(f"heads.{idle}.")}


def test_frozen_statistics_are_not_moved_and_others_are_those_of_the_joint_batch() -> None:
    parts = _parts()
    joint = _model("tdnn", dropout=0.0).train()
    before = {name: buffer.clone() for name, buffer in joint.named_buffers()}
    run_together(joint, parts, {name: () for name in parts})
    counted = [buffer for name, buffer in joint.named_buffers() if name.endswith("num_batches_tracked")]
    assert counted and all(int(count) == 1 for count in counted), "one pass is one update"
    frozen = _model("tdnn", dropout=0.0)
    TransferPlan(FreezeStatistics()).apply(frozen)
    run_together(frozen.train(), parts, {name: () for name in parts})
    assert all(torch.equal(buffer, before[name]) for name, buffer in frozen.named_buffers())
    assert not any(torch.equal(buffer, before[name]) for name, buffer in joint.named_buffers())


@everywhere
def test_one_stream_is_run_exactly_as_alone_in_training_too(encoder: Any) -> None:
    model, parts = _model(encoder), _parts()
    for name, (stream, batch) in parts.items():
        model.train()
        seeded = []
        for runner in (run_together, _alone):
            torch.manual_seed(3)
            seeded.append(runner(model, {name: (stream, batch)}, {name: TAPS})[name])
        for tap in TAPS:
            assert torch.equal(seeded[0].taps[tap], seeded[1].taps[tap])
        if seeded[0].logits is not None:
            assert torch.equal(seeded[0].logits, seeded[1].require_logits())


def test_images_of_one_size_share_a_pass_and_others_do_not() -> None:
    torch.manual_seed(0)
    model = ImageModel(ImageConfig(channels=(4, 6)), {"first": 3, "second": 2}).double().eval()
    sizes = {"a": (8, "first"), "b": (8, "second"), "c": (12, "first")}
    parts: Parts = {}
    for name, (size, head) in sizes.items():
        data = ArrayData(torch.rand(3, 1, size, size, dtype=torch.float64), torch.tensor([0, 1, 1]))
        parts[name] = (Task(name, data, cross_entropy, head=head), data.collate([2, 0]))
    for names, passes in ((("a", "b"), [4]), (("a", "c"), [2, 2]), (("a", "b", "c"), [2, 2, 2])):
        chosen = {name: parts[name] for name in names}
        taps = {name: ("encoder.layers.0",) for name in names}
        with _passes(model) as rows:
            together = run_together(model, chosen, taps)
        assert rows == passes
        for name, output in _alone(model, chosen, taps).items():
            assert together[name].lengths is None
            torch.testing.assert_close(together[name].logits, output.logits, rtol=1e-12, atol=1e-14)
            torch.testing.assert_close(
                together[name].vectors("encoder.layers.0", "utterance"), output.vectors("encoder.layers.0", "utterance")
            )


@pytest.mark.parametrize("shape", [(3, MELS), (3, -1, MELS), (3, 1, 4, MELS)])
def test_speech_and_images_are_run_one_by_one(shape: tuple[int, ...]) -> None:
    model, speech = HeadOnly(MELS, 4), ToySpeech(dtype=torch.float64)
    spoken = speech.collate([int(speech.lengths.argmax()), 1])
    # The second shape is that of the speech, and still has no lengths.
    sizes = [spoken.inputs.shape[1] if size < 0 else size for size in shape]
    images = ArrayData(torch.rand(sizes, dtype=torch.float64), torch.zeros(3, dtype=torch.long))
    parts: Parts = {
        "speech": (Task("speech", speech, ctc, head="main"), spoken),
        "images": (Task("images", images, cross_entropy, head="main"), images.collate([0, 1, 2])),
    }
    taps: dict[str, tuple[str, ...]] = {"speech": (), "images": ()}
    with _passes(model) as rows:
        together = run_together(model, parts, taps)
    assert rows == [2, 3]
    for name, output in _alone(model, parts, taps).items():
        assert torch.equal(together[name].require_logits(), output.require_logits())
    assert together["images"].lengths is None and together["speech"].lengths is not None


def test_inputs_of_different_width_or_precision_are_run_one_by_one() -> None:
    class Tolerant(HeadOnly):
        def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> tuple[torch.Tensor, Any]:
            return inputs[..., :4].double(), lengths

    model, data = Tolerant(4, 3), ToySpeech(dtype=torch.float64)
    narrow = data.collate([0])
    wide = Batch(narrow.items, narrow.inputs.repeat(1, 1, 2), narrow.targets, narrow.lengths, narrow.target_lengths)
    coarse = ToySpeech().collate([0])
    task = Task("a", data, ctc, head="main")
    for other, passes in ((narrow, [2]), (wide, [1, 1]), (coarse, [1, 1])):
        with _passes(model) as rows:
            outputs = run_together(model, {"a": (task, narrow), "b": (task, other)}, {"a": (), "b": ()})
        assert rows == passes
        torch.testing.assert_close(outputs["b"].logits, run(model, task, other).logits)
