"""EfficientNet-Lite under the contract, its weights out of a file, and the fetched one's figures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from asr_transfer.errors import ConfigError, DataError, ModelError
from asr_transfer.fetched import fetched_images
from asr_transfer.models.efficientnet import (
    FETCHED,
    IMAGENET,
    Convolution,
    EfficientNetConfig,
    EfficientNetLite,
    Stage,
    fetched_efficientnet,
    read_efficientnet,
)
from asr_transfer.models.folder import load_any, save_model
from asr_transfer.training.activations import frozen_depth
from asr_transfer.transfer.plan import Freeze, TransferPlan
from tests.small import different, snapshot

TINY = EfficientNetConfig(8, (Stage(1, 4, 1, 3, 1), Stage(2, 6, 2, 5, 2), Stage(3, 6, 1, 3, 1)), 20)
THEIRS = {"widen.conv": "_expand_conv", "widen.norm": "_bn0", "each.conv": "_depthwise_conv", "each.norm": "_bn1"} | {
    "narrow.conv": "_project_conv",
    "narrow.norm": "_bn2",
}
PICTURES = torch.rand(3, 3, 21, 30, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def model() -> EfficientNetLite:
    """Return a tiny network whose statistics are not the initial ones, and whose output follows its input."""
    torch.manual_seed(2)
    made = EfficientNetLite(TINY, {IMAGENET: 7})
    for name, buffer in made.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    for module in made.encoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data *= 3
    return made.eval()


def published(model: EfficientNetLite) -> dict[str, torch.Tensor]:
    """Return the tensors under the names that the published file gives them."""
    top = len(model.blocks()) - 1
    found = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("heads"):
            found[f"_fc.{name.rpartition('.')[2]}"] = tensor
            continue
        _, _, number, part, kind = *name.split(".")[:3], ".".join(name.split(".")[3:-1]), name.split(".")[-1]
        if number == "0":
            part = {"conv.conv": "_conv_stem", "conv.norm": "_bn0"}[part]
        elif number == str(top):
            part = {"conv.conv": "_conv_head", "conv.norm": "_bn1"}[part]
        else:
            part = f"_blocks.{int(number) - 1}.{THEIRS[part]}"
        found[f"{part}.{kind}"] = tensor
    return found


def test_blocks_run_one_after_the_other_as_they_are_described(model: EfficientNetLite) -> None:
    with torch.no_grad():
        whole, lengths = model(PICTURES)
        hidden = PICTURES
        for number, block in enumerate(model.blocks()):
            hidden, _ = model.run(number, number + 1, hidden, None)  # type: ignore[arg-type]
            assert hidden.shape[block.axis] == block.dim
    assert torch.equal(hidden, whole) and whole.shape == (3, 20) and lengths is None
    assert [block.path for block in model.front_end()] == ["encoder.layers.0"]
    assert [len(stage) for stage in model.stages()] == [1, 1, 2, 1, 1]
    assert [block for stage in model.stages() for block in stage] == model.blocks()


def test_a_map_is_padded_at_its_end_first() -> None:
    convolution = Convolution(1, 1, 3, 2).eval()
    with torch.no_grad():
        convolution.conv.weight.copy_(torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]))
    even, odd = torch.arange(16.0).reshape(1, 1, 4, 4), torch.arange(25.0).reshape(1, 1, 5, 5)
    scale = (1 + 1e-3) ** 0.5
    assert torch.allclose(convolution(even) * scale, torch.tensor([[5.0, 7], [13, 15]]))
    assert torch.allclose(convolution(odd) * scale, torch.tensor([[0.0, 2, 4], [10, 12, 14], [20, 22, 24]]))


def test_bytes_are_the_same_as_brightness(model: EfficientNetLite) -> None:
    bytes_ = (PICTURES * 255).round().to(torch.uint8)
    with torch.no_grad():
        assert torch.allclose(model(bytes_)[0], model(bytes_ / 255)[0], atol=1e-5)
        assert not torch.allclose(model(bytes_)[0], model(bytes_.float())[0], atol=1e-2)


def test_a_folder_keeps_it(model: EfficientNetLite, tmp_path: Path) -> None:
    save_model(tmp_path / "model", model, "# A card", {})
    again = load_any(tmp_path / "model")
    assert isinstance(again, EfficientNetLite) and again.config == TINY
    assert not different(snapshot(again), snapshot(model))


def test_frozen_stages_are_counted_for_activations(model: EfficientNetLite) -> None:
    TransferPlan(*(Freeze(block.path) for stage in model.stages()[:3] for block in stage)).apply(model)
    assert frozen_depth(model) == 4  # type: ignore[arg-type]


def test_published_names_are_known(model: EfficientNetLite, tmp_path: Path) -> None:
    torch.save(published(model), tmp_path / "net.pth")
    again = read_efficientnet(tmp_path / "net.pth", TINY)
    assert not different(snapshot(again), snapshot(model)) and not again.training
    assert again.head_names() == [IMAGENET]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("_fc.bias"), "holds no output layer '_fc'"),
        (lambda tensors: tensors.pop("_blocks.1._bn1.weight"), r"'encoder\.layers\.2\.each\.norm\.weight' is missing"),
        (lambda tensors: tensors.update({"_conv_head.weight": torch.zeros(9, 6, 1, 1)}), r"has shape \(9, 6, 1, 1\)"),
        (lambda tensors: tensors.update({"_fc.weight": Path("code")}), "holds more than tensors"),
        (None, "is cut off or damaged"),
    ],
)
def test_damaged_files(model: EfficientNetLite, tmp_path: Path, change: object, said: str) -> None:
    tensors, file = published(model), tmp_path / "net.pth"
    if callable(change):
        change(tensors)
    torch.save(tensors, file)
    if change is None:
        file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ModelError, match=said) as raised:
        read_efficientnet(file, TINY)
    assert str(raised.value).startswith(str(file)) and "\n" not in str(raised.value)


@pytest.mark.parametrize("bad", [{"stem": 0}, {"stages": ()}, {"stages": (Stage(1, 4, 1, 2, 1),)}, {"top": 10**6}])
def test_impossible_sizes(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="stages whose sizes are positive and whose kernels are odd|at least 1"):
        EfficientNetConfig(**bad)  # type: ignore[arg-type]


def test_what_was_not_fetched_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path))
    with pytest.raises(DataError, match="get it with `asr-transfer fetch efficientnet-lite0`"):
        fetched_efficientnet()


def test_the_fetched_network_answers_as_published() -> None:
    """The figures are those of its own package (efficientnet-lite-pytorch 0.1.0) for the same noise."""
    try:
        fetched_images(FETCHED)
    except DataError as error:
        pytest.skip(str(error))
    model = fetched_efficientnet()
    noise = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, _ = model(noise)
        logits = model.head(IMAGENET)(features)
    assert features.shape == (2, 1280) and logits.shape == (2, 1000)
    assert logits[0, :4].tolist() == pytest.approx([-2.91253, 0.20644, 0.91343, -0.20796], abs=1e-3)
