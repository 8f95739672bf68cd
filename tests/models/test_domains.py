"""Tests statistics of BatchNorm that are kept by domain."""

from __future__ import annotations

import copy

import pytest
import torch

from asr_transfer.config import ImageConfig
from asr_transfer.data.batching import ArrayData
from asr_transfer.errors import ConfigError
from asr_transfer.models.domains import domains_of, keep_domains, normalisation_layers, normalised_for, settle
from asr_transfer.models.image import ImageModel
from asr_transfer.training.criteria import cross_entropy
from asr_transfer.training.prediction import embed, predict
from asr_transfer.training.recalibration import recalibrate
from asr_transfer.training.streams import Stream, Task
from asr_transfer.training.trainer import Trainer
from tests.small import settings


def _model(seed: int = 0) -> ImageModel:
    torch.manual_seed(seed)
    return ImageModel(ImageConfig(channels=(4, 6)), {"main": 3}).double()


def _data(seed: int, light: float) -> ArrayData:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(24, 1, 8, 8, generator=generator, dtype=torch.float64) + light
    return ArrayData(images, torch.arange(24) % 3)


def _trained(model: ImageModel, streams: list[Stream], steps: int = 3) -> ImageModel:
    Trainer(model, streams, config=settings(steps=steps, batch_budget=24)).train()
    return model


def test_a_domain_has_the_statistics_of_its_own_stream_alone() -> None:
    task = Task("source", _data(1, 0.0), cross_entropy, head="main", domain="day")
    both = _trained(_model(), [task, Stream("target", _data(2, 5.0), domain="night")])
    alone = _trained(_model(), [task])
    for one, other in zip(normalisation_layers(both), normalisation_layers(alone), strict=True):
        assert torch.equal(one._buffers["running_mean@day"], other._buffers["running_mean@day"])
        assert (one._buffers["running_mean@night"] - one._buffers["running_mean@day"]).abs().max() > 0.01
    assert all(torch.equal(p, q) for p, q in zip(both.parameters(), alone.parameters(), strict=True))


def test_streams_of_one_domain_share_a_pass_unless_they_are_not_joint() -> None:
    target = _data(2, 5.0)

    def trained(**how: bool) -> torch.Tensor:
        task = Task("source", _data(1, 0.0), cross_entropy, head="main")
        model = _trained(_model(), [task, Stream("target", target, **how)], 1)
        return next(model.parameters()).detach()

    alone = _trained(_model(), [Task("source", _data(1, 0.0), cross_entropy, head="main")], 1)
    assert torch.equal(trained(joint=False), next(alone.parameters()))
    assert not torch.allclose(trained(joint=True), next(alone.parameters()), atol=1e-6)


def test_settling_leaves_an_ordinary_model_that_answers_as_in_the_domain() -> None:
    model, data = _model(), _data(3, 2.0)
    recalibrate(model, data, "night")
    answers = predict(model, data, "main", domain="night")
    assert domains_of(model) == ["night"]
    assert not torch.allclose(answers, predict(model, data, "main"))
    settle(model, "night")
    assert domains_of(model) == [] and not any("@" in name for name in model.state_dict())
    assert torch.equal(predict(model, data, "main"), answers)


def test_recalibration_takes_the_moments_of_the_data_layer_by_layer() -> None:
    model, data = _model(), _data(3, 2.0)
    before = copy.deepcopy(model)
    assert recalibrate(model, data) == 2
    first = model.encoder.layers[0]
    hidden = first.conv(data.inputs)
    assert torch.allclose(first.norm.running_mean, hidden.mean((0, 2, 3)))
    assert torch.allclose(first.norm.running_var, hidden.var((0, 2, 3), unbiased=True))
    # What a batch norm gives in training on all the data, it gives now in evaluation.
    trained = before.train()(data.inputs)[0]
    assert torch.allclose(embed(model, data), trained.float(), rtol=0.02, atol=0.02)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before.parameters(), strict=True))


def test_an_unknown_domain_is_named() -> None:
    model = _model()
    keep_domains(model, ["night"])
    with (
        pytest.raises(ConfigError, match="no statistics of the domain 'nigth'. Did you mean 'night'"),
        normalised_for(model, "nigth"),
    ):
        pass
    with pytest.raises(ConfigError, match="cannot be called 'a.b'"):
        keep_domains(model, ["a.b"])


def test_statistics_of_domains_come_back_with_the_weights() -> None:
    streams = [Task("source", _data(1, 0.0), cross_entropy, head="main", domain="day")]
    model = _trained(_model(), [*streams, Stream("target", _data(2, 5.0), domain="night")])
    again = _model(7)
    keep_domains(again, domains_of(model))
    again.load_state_dict(model.state_dict())
    data = _data(4, 5.0)
    assert torch.equal(predict(again, data, "main", "night"), predict(model, data, "main", "night"))
