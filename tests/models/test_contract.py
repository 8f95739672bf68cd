"""The contract for models, held by a stranger: another class, other names, another config, all methods."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.built_method import build
from asr_transfer.adaptation.choice import adapt_by_choice
from asr_transfer.adaptation.film_summary import FILM
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.methods import METHODS, default_learning_rate
from asr_transfer.adaptation.own_statistics import ADABN
from asr_transfer.adaptation.profile import Profile, save_profile
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.config import ImageConfig, SpecAugmentConfig
from asr_transfer.data.features import build_store
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.decoding.test_time import _adapted_parameters
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import KINDS, Adapter, AdapterSpec, add_adapter
from asr_transfer.models.adapters import register as register_adapter
from asr_transfer.models.attributes import Inventory, PhoneModel
from asr_transfer.models.contract import Block, Model, SpeechModel
from asr_transfer.models.folder import load_model, save_model
from asr_transfer.models.image import ImageModel
from asr_transfer.models.kinds import build as build_model
from asr_transfer.models.kinds import describe, make
from asr_transfer.models.progressive import ProgressiveImageModel, ProgressiveModel
from asr_transfer.models.shared_private import SharedPrivateModel
from asr_transfer.training import precision
from asr_transfer.training.activations import frozen_depth
from tests.models.stranger import Stranger, StrangerConfig
from tests.small import MELS, different, small_model, snapshot
from tests.spaces import STARTS, give_space
from tests.tones import Speech, two_speakers

TRIED = [name for name in METHODS if name not in (FILM, ADABN)]  # which need what this model was not made with
UNTRAINED = ("none", "suta", "warp", "warp-untranscribed", *STARTS)
CONFIG = AdaptConfig(
    steps=3,
    learning_rate=0.01,
    settings=MethodSettings(rank=2, bottleneck=3, code=4, confidence=0.0),
    suta=SutaConfig(steps=2, learning_rate=0.05),
    precision="fp32",
    device="cpu",
)
TRAINS = {
    "first-layers": ("feature_extractor.", "feature_projection.", "encoder.layers.0."),
    "last-layers": ("encoder.layers.1.", "encoder.layers.2.", "heads.en."),
    "front-end": ("feature_extractor.",),
    "head": ("heads.en.",),
}
"""What a method trains, written out by name; other methods train everything or what they add."""

ADDED = ("lhuc", "lin", "lora", "residual-adapter", "speaker-code")


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers."""
    return two_speakers(tmp_path_factory.mktemp("stranger"), Stranger(StrangerConfig(), {}).inputs)


def _source() -> Recogniser:
    torch.manual_seed(4)
    tokens = Tokens(["a", "b", "c", "d", "e", "f", " "])
    model = Stranger(StrangerConfig(), {"en": len(tokens)})
    with torch.no_grad():
        model.get_parameter("heads.en.weight").mul_(4)
        model.get_parameter("heads.en.bias")[0] = -2  # hears something
    give_space(model.eval())
    return Recogniser(model, tokens, "en", {})


@pytest.fixture(scope="module")
def source() -> Recogniser:
    """Return the stranger; no test may change it."""
    return _source()


@pytest.fixture(scope="module")
def done(source: Recogniser, speech: Speech) -> Callable[[str], Adapted]:
    """Return a function to what a method made of the stranger; each is trained once and not to be changed."""
    return functools.cache(
        lambda name: adapt(
            source, Spoken(speech.own, speech.store), name, CONFIG, source_speech=Spoken(speech.more, speech.store)
        )
    )


def _texts(recogniser: Recogniser, speech: Speech) -> list[str]:
    return recogniser.listen(Spoken(speech.own, speech.store))


def _trained(name: str, model: nn.Module) -> set[str]:
    everything = ("feature_extractor.", "feature_projection.", "encoder.", "heads.en.")
    prefixes = (f"adapters.{name}.",) if name in ADDED else TRAINS.get(name, everything)
    return set() if name in UNTRAINED else {n for n, _ in model.named_parameters() if n.startswith(prefixes)}


def test_there_are_as_many_methods_as_the_contract_was_tried_on() -> None:
    assert len(METHODS) == 26


@pytest.mark.parametrize("name", TRIED)
def test_every_method_trains_exactly_what_it_says(
    name: str, source: Recogniser, done: Callable[[str], Adapted]
) -> None:
    before = snapshot(source.model)
    model = done(name).recogniser.model
    after = snapshot(model)
    moved = {n for n in after if n in before and not torch.equal(after[n], before[n])}
    moved |= {n for n in after if n not in before}
    # Attention does not feel a bias of the keys: its gradient is round-off at best.
    wanted = {n for n in _trained(name, model) if not n.endswith("k_proj.bias")}
    chosen = {"adapters.warp.factor"} if name.startswith("warp") else set()
    chosen |= {n for n in after if n.startswith("adapters.lhuc.")} if name in STARTS else set()
    assert {n for n in moved if not n.endswith("k_proj.bias")} == wanted | chosen
    assert not different(snapshot(source.model), before)


@pytest.mark.parametrize("name", TRIED)
def test_every_method_makes_a_profile_that_comes_back(
    name: str, source: Recogniser, speech: Speech, done: Callable[[str], Adapted], tmp_path: Path
) -> None:
    adapted = done(name).recogniser
    profile = Profile.load(_saved_profile(tmp_path / "profile", source, adapted, name))
    base = _source().model
    with profile.applied(base) as again:
        assert not different(snapshot(again), snapshot(adapted.model))
    assert not different(snapshot(base), snapshot(source.model))


def _saved_profile(folder: Path, source: Recogniser, adapted: Recogniser, name: str) -> Path:
    facts: dict[str, Any] = {"method": name, "utterances": 5, "seconds": 3.0, "created": "2020-01-01T00:00:00+00:00"}
    return save_profile(folder, source.model, adapted.model, facts)


@pytest.mark.parametrize("name", TRIED)
def test_every_method_makes_a_folder_that_says_the_same(
    name: str, speech: Speech, done: Callable[[str], Adapted], tmp_path: Path
) -> None:
    adapted = done(name).recogniser
    adapted.save(tmp_path / "model", "", {})
    again = Recogniser.load(tmp_path / "model")
    assert type(again.model) is Stranger
    assert not different(snapshot(again.model), snapshot(adapted.model))
    assert _texts(again, speech) == _texts(adapted, speech)


@pytest.mark.parametrize("name", ["head", "last-layers", "residual-adapter", "head+kld", "head+ewc"])
def test_frozen_blocks_run_once_and_change_nothing(name: str, source: Recogniser, speech: Speech) -> None:
    model = _source().model
    build(name, source.model, CONFIG.settings).plan.apply(model)
    assert frozen_depth(model) == {"head": 5, "last-layers": 3, "residual-adapter": 2}[name.split("+")[0]]
    ours, plain = (
        adapt(
            source,
            Spoken(speech.own, speech.store),
            name,
            CONFIG,
            source_speech=Spoken(speech.more, speech.store),
            shared=shared,
        )
        for shared in (Shared(source, speech.store), Shared(source, speech.store, once=False))
    )
    assert ours.depth and not plain.depth
    assert different(dict(ours.start), dict(ours.end))
    for key, tensor in plain.recogniser.model.state_dict().items():
        if not key.endswith("k_proj.bias"):
            torch.testing.assert_close(ours.recogniser.model.state_dict()[key], tensor, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["lhuc", "lora", "residual-adapter", "speaker-code"])
def test_added_parameters_stand_on_the_blocks_that_a_selector_names(
    name: str, source: Recogniser, speech: Speech
) -> None:
    config = replace(CONFIG, settings=replace(CONFIG.settings, blocks="encoder.layers[1:]"))
    model = adapt(source, Spoken(speech.own, speech.store), name, config).recogniser.model
    added = {n.removeprefix(f"adapters.{name}.") for n, _ in model.named_parameters() if n.startswith("adapters.")}
    assert {".".join(n.split(".")[:3]) for n in added - {"code"}} == {"encoder.layers.1", "encoder.layers.2"}


def test_an_input_network_has_one_place_only(source: Recogniser, speech: Speech) -> None:
    config = replace(CONFIG, settings=replace(CONFIG.settings, blocks="encoder.layers[1:]"))
    with pytest.raises(ConfigError, match="'lin' stands before the whole model; leave 'blocks' out"):
        adapt(source, Spoken(speech.own, speech.store), "lin", config)


@pytest.mark.parametrize("name", ["full", "first-layers", "last-layers", "lin", "lora", "kld", "suta"])
def test_a_stranger_that_listens_to_waveforms_is_adapted_too(name: str, speech: Speech, tmp_path: Path) -> None:
    torch.manual_seed(5)
    tokens = Tokens(["a", "b", "c", "d", "e", "f", " "])
    model = Stranger(StrangerConfig(num_mel_bins=0, conv_stride=320), {"en": len(tokens)})
    source = Recogniser(model.eval(), tokens, "en", {})
    store = build_store([*speech.own, *speech.more], model.inputs, cache=tmp_path / "cache")
    assert model.frame_shift() == pytest.approx(0.02)
    before = snapshot(model)
    augment = SpecAugmentConfig(time_masks=1, time_width=5)
    adapted = adapt(source, Spoken(speech.own, store), name, replace(CONFIG, augment=augment)).recogniser
    assert not different(snapshot(model), before)
    adapted.save(tmp_path / "model", "", {})
    again = Recogniser.load(tmp_path / "model")
    files = [utterance.audio for utterance in speech.own]
    assert again.transcribe(files) == adapted.transcribe(files) == _texts(adapted, replace(speech, store=store))


def test_auto_tries_all_that_train_without_source_speech(source: Recogniser, speech: Speech) -> None:
    tried = tuple(name for name in METHODS if default_learning_rate(name) and name != "replay")
    choice = ChoiceConfig(folds=2, without_source=tried, rates=(1.0,))
    adapted, chosen = adapt_by_choice(
        source, Spoken(speech.own, speech.store), replace(CONFIG, learning_rate=None), choice
    )
    assert {rung.method for rung in chosen.ladder} == set(tried)
    assert isinstance(adapted.recogniser.model, Stranger)


def test_test_time_adaptation_trains_the_front_end_too(source: Recogniser) -> None:
    chosen = {id(parameter) for parameter in _adapted_parameters(source.model)}
    names = {name for name, parameter in source.model.named_parameters() if id(parameter) in chosen}
    norms = {
        f"encoder.layers.{n}.{norm}.{tensor}"
        for n in range(3)
        for norm in ("layer_norm", "final_layer_norm")
        for tensor in ("weight", "bias")
    }
    assert names == {"feature_extractor.conv.weight", "feature_extractor.conv.bias", *norms}


def test_test_time_adaptation_refuses_to_train_norms_alone(source: Recogniser, speech: Speech) -> None:
    model = _source().model
    model.front_end = lambda: []  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=r"`suta` trains the front end .* Stranger has no front end with weights"):
        _texts(replace(source, model=model, test_time=CONFIG.suta), speech)


@pytest.mark.parametrize("name", ["front-end", "first-layers", "last-layers", "head"])
def test_what_belongs_to_no_block_is_not_trained_unnoticed(name: str) -> None:
    model = _source().model
    model.register_parameter("masked_spec_embed", nn.Parameter(torch.ones(MELS)))
    assert isinstance(model, Model) and model.outside() == ["masked_spec_embed"]
    build(name, model, MethodSettings()).plan.apply(model)
    trained = {tensor for tensor, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == _trained(name, model)


def test_no_model_of_this_house_has_parameters_outside_its_blocks() -> None:
    assert {type(model).__name__: model.outside() for model in _house()} == {
        type(model).__name__: [] for model in _house()
    }


def test_frames_are_those_that_the_model_makes() -> None:
    model = Stranger(StrangerConfig(), {"en": 3}).eval()
    for frames in range(3, 40):
        hidden, lengths = model(torch.zeros(1, frames, MELS), torch.tensor([frames]))
        assert hidden.shape[1] == int(lengths) == model.frames(frames)


def _house() -> list[Model]:
    acoustic = small_model()
    inventory = Inventory(("a", "b"))
    return [
        acoustic,
        SharedPrivateModel(acoustic.config, {"main": 3}),
        PhoneModel(acoustic.config, inventory, {"main": None}),
        ProgressiveModel(acoustic, acoustic.config, {"new": 3}),
        ImageModel(ImageConfig(channels=(4, 6)), {"digits": 5}),
        ProgressiveImageModel(
            ImageModel(ImageConfig(channels=(4, 6)), {"digits": 5}),
            ImageModel(ImageConfig(channels=(3, 2)), {"letters": 4}),
            rank=2,
        ),
        Stranger(StrangerConfig(), {"en": 3}),
        ProgressiveModel(Stranger(StrangerConfig(), {"en": 3}), Stranger(StrangerConfig(4), {"fr": 3}), rank=2),
    ]


@pytest.mark.parametrize("model", _house(), ids=lambda model: type(model).__name__)
def test_blocks_are_as_wide_as_they_say(model: Model) -> None:
    found: dict[str, int] = {}
    blocks = model.blocks()
    assert blocks[0].role == "front-end" and model.layers()

    def keep(block: Any) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            found.setdefault(block.path, hidden.shape[block.axis])

        return hook

    for block in {block.path: block for block in [*blocks, *model.units()]}.values():
        model.get_submodule(block.path).register_forward_hook(keep(block))
    if isinstance(model, SpeechModel):
        model.eval()(torch.randn(2, 24, MELS), torch.tensor([24, 20]))
    else:
        model.eval()(torch.randn(2, 1, 8, 8), None)
    assert found == {block.path: block.dim for block in [*blocks, *model.units()]}
    assert next(iter(found)).startswith(blocks[0].path), "the front end runs first"


@pytest.mark.parametrize("model", _house(), ids=lambda model: type(model).__name__)
def test_a_description_makes_the_same_architecture(model: Model, tmp_path: Path) -> None:
    if isinstance(model, SpeechModel):
        again: Model = build_model(describe(model), "config.yaml")
    else:
        with pytest.raises(ModelError, match="`kind` is '.*image.*', which listens to no speech"):
            build_model(describe(model), "config.yaml")
        again = make(describe(model), "config.yaml")
    assert type(again) is type(model)
    assert {n: t.shape for n, t in snapshot(again).items()} == {n: t.shape for n, t in snapshot(model).items()}


@pytest.mark.parametrize("kind", ["lhuc", "residual-adapter", "speaker-code", "lora"])
def test_images_take_adapters_too(kind: Any) -> None:
    torch.manual_seed(0)
    model, images = ImageModel(ImageConfig(channels=(4, 6)), {"digits": 5}).eval(), torch.randn(3, 1, 8, 8)
    before = model(images)[0]
    add_adapter(model, AdapterSpec(kind, 0 if kind == "lhuc" else 2))
    torch.testing.assert_close(model(images)[0], before, rtol=0, atol=0)
    model(images)[0].square().sum().backward()
    moved = [
        p for n, p in model.named_parameters() if n.startswith("adapters.") and p.grad is not None and p.grad.any()
    ]
    assert moved
    with torch.no_grad():
        for parameter in moved:
            parameter -= 0.5 * parameter.grad / parameter.grad.abs().max()  # type: ignore[union-attr]
    assert not torch.allclose(model(images)[0], before)


def test_a_kind_of_adapters_is_known_when_its_class_is_registered() -> None:
    @register_adapter("shift")
    class Shift(Adapter):
        @staticmethod
        def places(model: Model) -> list[Block]:
            return model.layers()

        def build(self, model: Model, generator: torch.Generator) -> None:
            for block in self.chosen(model):
                self.after(model, block.path, _Shift(block.dim))

    model = small_model().eval()
    try:
        add_adapter(model, AdapterSpec("shift", blocks=("encoder.layers.1",)))
        again = build_model(describe(model), "config.yaml")
    finally:
        del KINDS["shift"]
    added = ["adapters.shift.encoder.layers.1.by"]
    assert [[n for n, _ in m.named_parameters() if n.startswith("adapters.")] for m in (model, again)] == [added, added]


class _Shift(nn.Module):
    """Adds a vector."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.zeros(dim))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + self.by


def test_an_input_network_on_images_is_refused() -> None:
    with pytest.raises(ConfigError, match="`lin` transforms the features of speech, but ImageModel"):
        add_adapter(ImageModel(ImageConfig(channels=(4, 6)), {"digits": 5}), AdapterSpec("lin"))


@pytest.mark.parametrize("name", [name for name in METHODS if name != "none"])
def test_what_needs_ctc_refuses_sequence_to_sequence_models_by_name(
    name: str, source: Recogniser, speech: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stranger, "criterion", "cross-entropy")
    message = rf"`{name}` needs a model with CTC, but Stranger .* trained by cross-entropy"
    with pytest.raises(ConfigError, match=message):
        adapt(source, Spoken(speech.own, speech.store), name, CONFIG, source_speech=Spoken(speech.more, speech.store))
    with pytest.raises(ConfigError, match="recognising needs a model with CTC"):
        _texts(source, speech)
    assert adapt(source, Spoken(speech.own, speech.store), "none", CONFIG).result.steps == 0


def test_the_precision_of_a_strangers_model_is_measured_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASR_TRANSFER_CACHE", str(tmp_path))
    monkeypatch.delenv(precision.VARIABLE, raising=False)
    monkeypatch.setattr(precision, "_remembered", {})
    model = _source().model
    before = snapshot(model)
    found = precision.choose(model)
    assert found.speed is not None and found.speed > 0 and "Stranger" in next(iter(precision._remembered))
    assert not different(snapshot(model), before) and not model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    monkeypatch.setattr(precision, "measure", lambda *arguments: pytest.fail("is remembered"))
    assert precision.choose(_source().model) == found


@pytest.mark.parametrize("model", _house(), ids=lambda model: type(model).__name__)
def test_a_frame_lasts_as_long_as_the_model_says(model: Model) -> None:
    if isinstance(model, SpeechModel):
        assert model.frame_shift() == pytest.approx(0.03 if hasattr(model, "feature_extractor") else 0.02, rel=1e-12)


def test_a_class_that_nobody_registered_is_not_saved(tmp_path: Path) -> None:
    class Unknown(AcousticModel):
        pass

    model = Unknown(small_model().config, {"main": 3})
    with pytest.raises(ModelError, match=r"Unknown is no registered kind of model.*@contract\.register"):
        save_model(tmp_path / "model", model, "", {})
    assert not (tmp_path / "model").exists()


def test_a_folder_of_an_unknown_kind_is_refused(source: Recogniser, tmp_path: Path) -> None:
    save_model(tmp_path / "model", source.model, "", {})
    file = tmp_path / "model" / "config.yaml"
    file.write_text(file.read_text().replace("kind: stranger", "kind: strangr"))
    with pytest.raises(ModelError, match=r"config.yaml: `kind` is 'strangr'.*stranger"):
        load_model(tmp_path / "model")
