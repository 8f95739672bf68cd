"""Acoustic models ignore padding, and a model folder is complete, checked and gives the same outputs again."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml
from torch import nn

from asr_transfer.config import EncoderName, FeatureConfig, ModelConfig
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.configuration import read_config
from asr_transfer.models.encoders import BiLstmLayer, Encoder, LockedDropout
from asr_transfer.models.folder import load_model, replace_folder, save_model
from asr_transfer.training.trainer import Trainer
from tests.models.pretrained.published import random_encoder
from tests.small import MELS, ToySpeech, different, in_child, kill_self, settings, small_model, snapshot, speech_task

ENCODERS = get_args(EncoderName)
LENGTHS = [31, 7, 22, 1, 30, 2]


def _trained(encoder: Any, dtype: torch.dtype = torch.float32) -> AcousticModel:
    """Return a model whose BatchNorm statistics are no longer the initial ones."""
    model = small_model(1, encoder, dropout=0.3, dtype=dtype)
    Trainer(model, [speech_task(ToySpeech(dtype=dtype))], config=settings(optimizer="adamw")).train()
    return model


@pytest.fixture(scope="module")
def trained() -> AcousticModel:
    """Return a trained TDNN."""
    return _trained("tdnn")


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("extra", [0, 13])
def test_outputs_depend_neither_on_padding_nor_on_the_batch(encoder: str, extra: int) -> None:
    model = _trained(encoder, torch.float64)
    generator = torch.Generator().manual_seed(0)
    blocks = [torch.randn(length, MELS, generator=generator, dtype=torch.float64) for length in LENGTHS]
    padded = nn.functional.pad(nn.utils.rnn.pad_sequence(blocks, batch_first=True), (0, 0, 0, extra))
    together, lengths = model(padded, torch.tensor(LENGTHS))
    for row, block in enumerate(blocks):
        alone, length = model(block[None], torch.tensor([len(block)]))
        assert length.tolist() == [alone.shape[1]] == [lengths[row]]
        torch.testing.assert_close(together[row, : lengths[row]], alone[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 2), (4, 1)])
def test_output_lengths_are_those_that_the_feasibility_filter_counts_with(strides: tuple[int, int]) -> None:
    config = ModelConfig("tdnn", 1, 8, 8, strides, features=FeatureConfig(mels=MELS))
    model = AcousticModel(config, {"main": 3}).eval()
    for frames in range(1, 40):
        hidden, lengths = model(torch.zeros(1, frames, MELS), torch.tensor([frames]))
        assert hidden.shape[1] == int(lengths) == model.frames(frames)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_parameter_gets_a_gradient(encoder: Any) -> None:
    model = small_model(1, encoder)
    hidden, _ = model(torch.randn(2, 20, MELS), torch.tensor([20, 15]))
    model.heads["main"](hidden).log_softmax(-1)[..., 1].sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


def test_the_backward_lstm_reads_each_utterance_from_its_end() -> None:
    model = small_model(1, "bilstm", dropout=0.0).double().eval()
    layer = model.encoder.layers[0]
    x = torch.randn(1, 9, 8, dtype=torch.float64)
    reference = nn.LSTM(8, 8, batch_first=True, bidirectional=True, dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            part = layer.backward_lstm if name.endswith("_reverse") else layer.forward_lstm
            parameter.copy_(getattr(part, name.removesuffix("_reverse")))
    torch.testing.assert_close(layer(x, torch.tensor([9])), reference(x)[0], rtol=1e-10, atol=1e-12)


def test_reversing_frames_has_the_right_gradient() -> None:
    layer = small_model(1, "bilstm", dropout=0.0).double().encoder.layers[0]
    x = torch.randn(2, 4, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x, torch.tensor([4, 2])), (x,))


def test_dropout_drops_whole_channels_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = LockedDropout(0.25)(torch.ones(400, 3, 50))
    assert torch.equal(dropped.amin(1), dropped.amax(1))
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.02)
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3])
    x = torch.ones(2, 3, 4)
    assert LockedDropout(0.9).eval()(x) is x


def test_an_unknown_encoder_and_an_indivisible_width_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`model.encoder`.*'bilstn'.*Did you mean 'bilstm'\?"):
        Encoder("bilstn", 8, 1, 8, 0.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"`model.dim` must be a multiple of 4.*got 10"):
        Encoder("conformer", 8, 1, 10, 0.0)


def test_an_unknown_head_is_named() -> None:
    with pytest.raises(ModelError, match=r"no head 'mian'.*Did you mean 'main'\?"):
        small_model().head("mian")


def _save(folder: Path, model: AcousticModel, card: str = "A card.") -> None:
    tokens = {"tokens.txt": lambda path: path.write_text("tokens")}
    save_model(folder, model, card, tokens, {"seed": 3, "corpus": "toy"})


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_saved_model_gives_the_same_outputs(encoder: str, tmp_path: Path) -> None:
    model = _trained(encoder)
    _save(tmp_path / "model", model)
    again = load_model(tmp_path / "model")
    assert not different(snapshot(again), snapshot(model))
    assert again.config == model.config
    assert not again.training
    inputs, lengths = torch.randn(2, 30, MELS), torch.tensor([30, 12])
    assert torch.equal(again.heads["main"](again(inputs, lengths)[0]), model.heads["main"](model(inputs, lengths)[0]))
    assert {p.name for p in (tmp_path / "model").iterdir()} == {
        "model.safetensors",
        "config.yaml",
        "README.md",
        "tokens.txt",
    }
    assert read_config(tmp_path / "model")["origin"] == {"seed": 3, "corpus": "toy"}
    assert (tmp_path / "model" / "README.md").read_text() == "A card."
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def _edit(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        config = yaml.safe_load((folder / "config.yaml").read_text())
        change(config)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))

    return damage


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, r"model\.safetensors: is cut off or no safetensors file"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), r"model\.safetensors: is cut off"),
        (lambda f: (f / "model.safetensors").unlink(), r"model\.safetensors: the weights are missing"),
        (lambda f: (f / "config.yaml").unlink(), r"is not a model folder \(it holds no config\.yaml\)"),
        (lambda f: (f / "config.yaml").write_text("a: [1\nb: 2"), r"config\.yaml line 2: is not plain YAML"),
        (lambda f: (f / "config.yaml").write_bytes(b"\xff\xfe\x00"), r"config\.yaml: is UTF-16"),
        (lambda f: (f / "config.yaml").write_text("!!python/object/apply:os.getcwd []"), r"line 1: is not plain"),
        (lambda f: (f / "config.yaml").write_text("just text"), r"`format` must be 1, got None"),
        (_edit(lambda c: c.update(format=2)), r"`format` must be 1, got 2"),
        (_edit(lambda c: c.pop("model")), r"config\.yaml: `model` must be a mapping of fields, got None"),
        (_edit(lambda c: c.pop("heads")), r"config\.yaml: `heads` must be a mapping, got None"),
        (_edit(lambda c: c.update(model="x")), r"config\.yaml: `model` must be a mapping of fields, got 'x'"),
        (_edit(lambda c: c["model"].update(layers="three")), r"config\.yaml: `model\.layers` must be a whole"),
        (_edit(lambda c: c["model"].update(features=[1])), r"config\.yaml: `model\.features` must be a mapping"),
        (_edit(lambda c: c["heads"].update(main="many")), r"config\.yaml: `heads\.main` must be a whole number"),
        (_edit(lambda c: c["model"].update(layers=3)), r"another architecture: 'encoder\.layers\.2.* missing; .* more"),
        (_edit(lambda c: c["model"].update(layers=1)), r"another architecture: 'encoder\.layers\.1.* is unknown"),
        (_edit(lambda c: c["heads"].update(main=9)), r"'heads\.main\.weight' has shape \(5, 8\) instead of \(9, 8\)"),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_refused_with_the_file_and_the_reason(
    damage: Callable[[Path], None], message: str, tmp_path: Path, trained: AcousticModel
) -> None:
    _save(tmp_path / "model", trained)
    damage(tmp_path / "model")
    with pytest.raises(ModelError, match=message) as caught:
        load_model(tmp_path / "model")
    assert str(tmp_path / "model") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_setting_is_named(tmp_path: Path, trained: AcousticModel) -> None:
    _save(tmp_path / "model", trained)
    _edit(lambda c: c["model"].update(layer=3))(tmp_path / "model")
    with pytest.raises(ModelError, match=r"config\.yaml: unknown key `model\.layer`\. Did you mean 'layers'\?"):
        load_model(tmp_path / "model")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere: is not a model folder"):
        load_model(tmp_path / "nowhere")


def test_a_failing_write_leaves_the_old_model(tmp_path: Path, trained: AcousticModel) -> None:
    def no_disk(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    _save(tmp_path / "model", trained)
    old = {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()}
    with pytest.raises(ModelError, match=r"cannot be written \(.*No space left.*\).*untouched"):
        save_model(tmp_path / "model", small_model(5), "New.", {"tokens.txt": no_disk})
    assert {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()} == old
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def _save_with_little_disk(folder: Path, limit: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        _save(folder, small_model(5))
    except ModelError:
        os._exit(7)


@pytest.mark.parametrize("limit", [0, 100, 2000])
def test_a_full_disk_leaves_the_old_model(tmp_path: Path, limit: int, trained: AcousticModel) -> None:
    _save(tmp_path / "model", trained)
    child = in_child(_save_with_little_disk, tmp_path / "model", limit)
    child.join()
    assert child.exitcode == 7
    assert not different(snapshot(load_model(tmp_path / "model")), snapshot(trained))
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def _save_and_die(folder: Path) -> None:
    save_model(folder, small_model(5), "New.", {"tokens.txt": lambda path: kill_self()})


def test_a_killed_write_leaves_the_old_model_and_does_not_disturb_the_next(
    tmp_path: Path, trained: AcousticModel
) -> None:
    _save(tmp_path / "model", trained)
    child = in_child(_save_and_die, tmp_path / "model")
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not different(snapshot(load_model(tmp_path / "model")), snapshot(trained))
    _save(tmp_path / "model", small_model(5))
    assert not different(snapshot(load_model(tmp_path / "model")), snapshot(small_model(5)))


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path, trained: AcousticModel) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(ModelError, match=r"thesis: holds other files \(chapter.txt.*choose another folder"):
        _save(tmp_path / "thesis", trained)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match="file: is a file"):
        _save(tmp_path / "file", trained)
    (tmp_path / "empty").mkdir()
    _save(tmp_path / "empty", trained)
    load_model(tmp_path / "empty")


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "folder"
    replace_folder(target, lambda partial: (partial / "a").write_text("1") and None)
    replace_folder(target, lambda partial: (partial / "b").write_text("2") and None)
    assert [p.name for p in target.iterdir()] == ["b"]
    with pytest.raises(ZeroDivisionError):
        replace_folder(target, lambda partial: 1 / 0 and None)  # type: ignore[arg-type]
    assert [p.name for p in target.iterdir()] == ["b"]
    assert [p.name for p in target.parent.iterdir()] == ["folder"]


def test_models_with_recurrent_layers_hear_several_side_by_side() -> None:
    heads = {"en": 8}
    recurrent = AcousticModel(ModelConfig(encoder="bilstm", layers=1, dim=8), heads)
    assert recurrent.together > 1 == AcousticModel(ModelConfig(encoder="tdnn", layers=1, dim=8), heads).together
    assert random_encoder(heads).together == 1


def test_a_recurrence_in_half_the_bits_hears_frames_in_full_precision() -> None:
    """As behind a LayerNorm: there PyTorch asks oneDNN for a kernel that processors without AVX-512 lack."""
    torch.manual_seed(0)
    layer, frames, lengths = BiLstmLayer(12, 8, 0.0), torch.randn(2, 7, 12), torch.tensor([7, 5])
    with torch.autocast("cpu", torch.bfloat16):
        heard = layer(frames, lengths)
    heard.float().sum().backward()
    assert heard.dtype == torch.bfloat16 and layer.forward_lstm.weight_ih_l0.grad is not None
    torch.testing.assert_close(heard.float(), layer(frames, lengths), rtol=0, atol=0.02)
