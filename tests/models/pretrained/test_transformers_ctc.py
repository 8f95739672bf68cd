"""CTC models of Transformers behind the contract: the same numbers, alone and in a batch, saved and read again."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import yaml

from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.folder import load_model, save_model
from asr_transfer.models.kinds import build, describe
from asr_transfer.models.pretrained import transformers_ctc
from asr_transfer.models.pretrained.door import open_pretrained
from asr_transfer.models.pretrained.family import Pretrained
from asr_transfer.models.pretrained.transformers_ctc import TransformersCtc
from tests.models.pretrained.ctc_folders import FAMILIES, SYMBOLS, extractor, write
from tests.small import different, snapshot

every = pytest.mark.parametrize("name", FAMILIES)
ROWS = [SYMBOLS.index("<pad>"), *(index for index, symbol in enumerate(SYMBOLS) if not symbol.startswith("<"))]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Pretrained, Path]]:
    """Return a function to a family's model as Transformers has it, as ours, and its folder; none is to be changed."""

    def make(name: str) -> tuple[Any, Pretrained, Path]:
        folder = tmp_path_factory.mktemp(name)
        theirs = write(folder, name)
        return theirs, open_pretrained(folder), folder

    return functools.cache(make)


def _samples(count: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(count).standard_normal(count)).astype(np.float32)


def _logits(model: TransformersCtc, recordings: list[np.ndarray]) -> list[torch.Tensor]:
    """Return the valid logits of recordings that go through the model as one batch."""
    inputs = [model.inputs.compute(torch.from_numpy(samples)) for samples in recordings]
    lengths = torch.tensor([len(one) for one in inputs])
    with torch.no_grad():
        hidden, frames = model(torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True), lengths)
        logits = model.head("main")(hidden)
    assert frames.tolist() == [model.frames(len(one)) for one in inputs]
    return [row[:length] for row, length in zip(logits, frames.tolist(), strict=True)]


def _ours(found: Pretrained) -> TransformersCtc:
    assert isinstance(found.model, TransformersCtc)
    return found.model


@every
def test_logits_are_those_of_transformers(name: str, opened: Callable[[str], tuple[Any, Pretrained, Path]]) -> None:
    theirs, found, _ = opened(name)
    samples = _samples(16_077)
    heard = extractor(name)(samples, sampling_rate=16_000, return_tensors="pt")
    if name != "parakeet":  # which needs it even alone: its features have a frame more
        heard = {key: heard[key] for key in ("input_values", "input_features") if key in heard}
    with torch.no_grad():
        wanted = theirs(**heard).logits[0]
    (logits,) = _logits(_ours(found), [samples])
    assert found.tokens["main"].symbols == ["<blank>", " ", *"ABCDEF'"]
    torch.testing.assert_close(logits, wanted[: len(logits), ROWS], rtol=0, atol=1e-4)
    assert 0 <= len(wanted) - len(logits) <= (name == "parakeet")


@every
def test_alone_is_as_in_a_batch(name: str, opened: Callable[[str], tuple[Any, Pretrained, Path]]) -> None:
    model = _ours(opened(name)[1])
    recordings = [_samples(count) for count in (9000, 16_000, 4321, 1600)]
    for alone, together in zip(recordings, _logits(model, recordings), strict=True):
        torch.testing.assert_close(together, _logits(model, [alone])[0], rtol=0, atol=1e-4)


@every
@pytest.mark.parametrize("count", [1600, 300])
def test_what_lasts_a_moment_is_heard(
    name: str, count: int, opened: Callable[[str], tuple[Any, Pretrained, Path]]
) -> None:
    (logits,) = _logits(_ours(opened(name)[1]), [_samples(count)])
    assert len(logits) >= 1 and bool(torch.isfinite(logits).all())


@every
def test_in_training_nothing_is_masked_or_dropped_unasked(
    name: str, opened: Callable[[str], tuple[Any, Pretrained, Path]]
) -> None:
    """Their defaults mask 5 % of the frames and drop each layer with 10 %: the teacher would not equal itself."""
    model = _ours(opened(name)[1])
    training = copy.deepcopy(model).train()
    for module in training.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.eval()
    for _ in range(3):
        torch.testing.assert_close(_logits(training, [_samples(8000)]), _logits(model, [_samples(8000)]))


@every
def test_a_saved_folder_needs_no_other_and_gives_the_same_bits(
    name: str, opened: Callable[[str], tuple[Any, Pretrained, Path]], tmp_path: Path
) -> None:
    model = _ours(opened(name)[1])
    save_model(tmp_path / "model", model, "", {})
    again = load_model(tmp_path / "model")
    assert isinstance(again, TransformersCtc) and again.inputs == model.inputs and again.blocks() == model.blocks()
    assert not different(snapshot(again), snapshot(model))
    assert torch.equal(_logits(again, [_samples(5000)])[0], _logits(model, [_samples(5000)])[0])


@every
def test_it_may_begin_at_any_block_and_nothing_is_outside(
    name: str, opened: Callable[[str], tuple[Any, Pretrained, Path]]
) -> None:
    model = _ours(opened(name)[1])
    assert model.outside() == [] and model.layers() and model.front_end()[0].path == "front"
    inputs, lengths = torch.randn(2, 3000, model.inputs.dim)[:, : 3000 // model.inputs.step], torch.tensor([900, 1500])
    if model.inputs.dim > 1:
        inputs, lengths = torch.randn(2, 90, model.inputs.dim), torch.tensor([90, 50])
    else:
        inputs = torch.randn(2, 1500, 1)
    with torch.no_grad():
        whole, _ = model(inputs, lengths)
        for first in range(1, len(model.blocks())):
            hidden, frames = model.run(0, first, inputs, lengths)
            assert hidden.shape[-1] == model.blocks()[first - 1].dim
            assert torch.equal(model.run(first, len(model.blocks()), hidden, frames)[0], whole)


@pytest.mark.parametrize("name", ["wav2vec2", "hubert", "wavlm"])
def test_old_names_of_weights_and_pickles_are_read_too(
    name: str, opened: Callable[[str], tuple[Any, Pretrained, Path]], tmp_path: Path
) -> None:
    theirs, found, folder = opened(name)
    for file in folder.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    old = {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for key, tensor in theirs.state_dict().items()
    }
    assert any(key.endswith("weight_g") for key in old)
    torch.save(old, tmp_path / "pytorch_model.bin")
    assert not different(snapshot(open_pretrained(tmp_path).model), snapshot(found.model))


def test_half_precision_becomes_full(tmp_path: Path) -> None:
    write(tmp_path / "half", "wav2vec2").half().save_pretrained(tmp_path / "half")
    model = open_pretrained(tmp_path / "half").model
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}


def test_what_was_only_pre_trained_is_an_encoder_without_heads(tmp_path: Path) -> None:
    small = {"codevector_dim": 8, "proj_codevector_dim": 8, "num_codevectors_per_group": 4}
    config = transformers.Wav2Vec2Config.from_dict({**FAMILIES["wav2vec2"], **small})
    whole = transformers.Wav2Vec2ForPreTraining(config)
    whole.save_pretrained(tmp_path / "whole")
    whole.wav2vec2.save_pretrained(tmp_path / "encoder")
    found = [open_pretrained(tmp_path / name) for name in ("whole", "encoder")]
    assert found[0].model.head_names() == [] and found[0].tokens == {}
    assert not different(snapshot(found[0].model), snapshot(found[1].model))
    assert build({**describe(found[0].model), "heads": {"en": 5}}, "x").head("en").out_features == 5


def test_activations_that_are_computed_anew_give_the_same_gradients(
    opened: Callable[[str], tuple[Any, Pretrained, Path]], tmp_path: Path
) -> None:
    gradients = []
    for wanted in (False, True):
        model = copy.deepcopy(_ours(opened("wav2vec2")[1])).train()
        model.checkpointing = wanted
        hidden, _ = model(torch.ones(2, 2000, 1) * torch.linspace(-1, 1, 2000)[:, None], torch.tensor([2000, 1700]))
        hidden.square().sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name in gradients[0]:
        torch.testing.assert_close(gradients[1][name], gradients[0][name])
    save_model(tmp_path / "model", model, "", {})
    again = load_model(tmp_path / "model")
    assert isinstance(again, TransformersCtc) and again.checkpointing


def test_large_models_keep_no_activations(
    opened: Callable[[str], tuple[Any, Pretrained, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = describe(opened("wav2vec2")[1].model)
    models = [build(plain, "x")]
    monkeypatch.setattr(transformers_ctc, "LARGE", 1000)
    models += [build(plain, "x"), build({**plain, "checkpointing": False}, "x")]
    assert [model.checkpointing for model in models if isinstance(model, TransformersCtc)] == [False, True, False]
    assert describe(models[1]) == plain and describe(models[2]) == {**plain, "checkpointing": False}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "wav2vec3"}, r"`model_type` is 'wav2vec3'.*wav2vec2"),
        ({"num_attention_heads": 3}, "describes no Wav2Vec2ForCTC .*divisible by num_heads.*copy the model again"),
        ({"num_hidden_layers": "many"}, "`num_hidden_layers` must be a whole number, got 'many'"),
        ({"hidden_dropout": 5}, "describes no Wav2Vec2ForCTC .*dropout probability"),
        ({"add_adapter": True}, "`add_adapter` shortens"),
    ],
)
def test_a_damaged_description_is_refused(
    change: dict[str, Any], message: str, opened: Callable[[str], tuple[Any, Pretrained, Path]], tmp_path: Path
) -> None:
    save_model(tmp_path / "model", opened("wav2vec2")[1].model, "", {})
    file = tmp_path / "model" / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config["network"].update(change)
    file.write_text(yaml.safe_dump(config))
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "model")


def test_without_transformers_one_sentence_says_how_to_get_it(
    opened: Callable[[str], tuple[Any, Pretrained, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ModelError, match=r"needs transformers .*pip install 'asr-transfer\[pretrained\]'"):
        build(describe(opened("wav2vec2")[1].model), "config.yaml")


def test_normalisation_cannot_be_exchanged(opened: Callable[[str], tuple[Any, Pretrained, Path]]) -> None:
    with pytest.raises(ConfigError, match="not of a TransformersCtc"):
        _ours(opened("wav2vec2")[1]).renormalised("none")
