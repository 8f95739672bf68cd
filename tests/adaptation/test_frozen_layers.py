"""What adaptations share is computed once and changes nothing: weights and scores are those of the plain path."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from asr_transfer.adaptation import adapt as adapting
from asr_transfer.adaptation import choice as choosing
from asr_transfer.adaptation.adapt import Adapted, adapt
from asr_transfer.adaptation.built_method import build
from asr_transfer.adaptation.choice import adapt_by_choice, choose
from asr_transfer.adaptation.frozen_layers import Shared
from asr_transfer.adaptation.judge import Judge
from asr_transfer.adaptation.ladder import Candidate
from asr_transfer.adaptation.methods import METHODS, default_learning_rate
from asr_transfer.adaptation.settings import AdaptConfig, ChoiceConfig, MethodSettings
from asr_transfer.config import EncoderName, FeatureConfig, ModelConfig, SpecAugmentConfig, TrainerConfig
from asr_transfer.data.manifest import Utterance
from asr_transfer.data.speech import Spoken
from asr_transfer.data.tokens import Tokens
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ConfigError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.training.activations import Activations, Suffix, above, frozen_depth
from asr_transfer.training.checkpoints import AtomicCheckpointer
from asr_transfer.training.trainer import Trainer
from asr_transfer.training.views import Views
from asr_transfer.transfer.distillation import Distillation
from tests.small import MELS, different, settings, small_model, snapshot, speech_task
from tests.tones import Speech, two_speakers

SPEEDS = (0.9, 1.0)
CONFIG = AdaptConfig(
    steps=4,
    learning_rate=0.01,
    batch_budget=400,
    speeds=SPEEDS,
    settings=MethodSettings(rank=2, bottleneck=3, code=4, confidence=0.0),
    precision="fp32",
    device="cpu",
)
FROZEN = [
    "last-layers",
    "head",
    "residual-adapter",
    "head+kld",
    "last-layers+l2sp+replay",
    "head+ewc",
    "head+replay+kld",
]
ENCODERS: tuple[EncoderName, ...] = get_args(EncoderName)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Speech:
    """Return recordings of two tone speakers."""
    return two_speakers(tmp_path_factory.mktemp("prefix"), FeatureConfig(mels=MELS), 6, SPEEDS)


def _source(encoder: EncoderName = "tdnn", dropout: float = 0.0, channels: int = 10) -> Recogniser:
    torch.manual_seed(4)
    tokens = Tokens(["a", "b", "c", "d", "e", "f", " "])
    config = ModelConfig(encoder, 3, 8, channels, (2, 1), dropout, FeatureConfig(mels=MELS))
    model = AcousticModel(config, {"en": len(tokens)})
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():
        model.get_parameter("heads.en.bias")[0] = -2  # hears something
    return Recogniser(model.eval(), tokens, "en", {})


def _adapted(source: Recogniser, world: Speech, method: str, shared: Shared | None = None, **changes: Any) -> Adapted:
    config = replace(CONFIG, **changes)
    return adapt(
        source,
        Spoken(world.own, world.store),
        method,
        config,
        source_speech=Spoken(world.more, world.store),
        shared=shared,
    )


def _plain(source: Recogniser, world: Speech) -> Shared:
    return Shared(source, world.store, once=False)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("method", FROZEN)
def test_the_weights_are_those_of_the_plain_path(encoder: EncoderName, method: str, world: Speech) -> None:
    source = _source(encoder)
    before = snapshot(source.model)
    ours, plain = _adapted(source, world, method), _adapted(source, world, method, _plain(source, world))
    assert ours.depth and not plain.depth
    assert not different(snapshot(source.model), before)
    assert ours.end.keys() == plain.end.keys() and ours.result.cost == plain.result.cost
    changed = different(dict(ours.start), dict(ours.end))
    assert changed, "nothing was learnt"
    for name, tensor in plain.recogniser.model.state_dict().items():
        own = ours.recogniser.model.state_dict()[name]
        if name.endswith("in_proj_bias"):
            # A bias of the keys has no influence on attention; Adam makes steps of its gradient, which is round-off.
            own, tensor = (torch.cat([t[:8], t[16:]]) for t in (own, tensor))
        torch.testing.assert_close(own, tensor, rtol=2e-4, atol=2e-5)
    assert type(ours.recogniser.model) is AcousticModel
    assert all(p.requires_grad for p in ours.recogniser.model.parameters())


@pytest.mark.parametrize("method", FROZEN)
def test_what_is_shared_changes_no_bit(method: str, world: Speech) -> None:
    """Somebody else has computed a part of it before, in other company."""
    source = _source("bilstm", dropout=0.2)
    shared = Shared(source, world.store)
    adapt(source, Spoken(world.own[3:], world.store), "head+kld", CONFIG, shared=shared)
    adapt(source, Spoken(world.own[:2], world.store), "last-layers", CONFIG, shared=shared)
    first, second = _adapted(source, world, method, shared), _adapted(source, world, method)
    assert not different(snapshot(first.recogniser.model), snapshot(second.recogniser.model))


@pytest.mark.parametrize("method", ["kld", "first-layers+kld", "head+kld", "kld+replay"])
def test_the_teachers_posteriors_are_the_same_bits_from_the_cache(method: str, world: Speech) -> None:
    source = _source("bilstm", dropout=0.2)
    shared = Shared(source, world.store)
    adapt(source, Spoken(world.own[2:], world.store), "kld", CONFIG, shared=shared)
    assert len(shared.posteriors()) == 4 * len(SPEEDS)
    first, second = _adapted(source, world, method, shared), _adapted(source, world, method)
    assert not different(snapshot(first.recogniser.model), snapshot(second.recogniser.model))
    assert set(shared.posteriors()) == {(u.id, speed) for u in world.own for speed in SPEEDS}


def test_a_cache_is_what_the_objective_uses_and_what_a_direct_run_gives(world: Speech) -> None:
    source = _source("tdnn")
    data = Spoken(world.own, world.store, source.tokens, SPEEDS)
    task = replace(speech_task(data, name="s"), head="en")
    cache, key = Views(half=False), (world.own[1].id, 1.0)
    cached = Distillation(source.model, "s", cache=cache)
    plain = Distillation(source.model, "s")
    for objective in (cached, plain):
        objective.setup(source.model, {"s": task})
    items = torch.tensor([3, 0, 11])
    torch.testing.assert_close(cached.target(items, 60), plain.target(items, 60), rtol=1e-4, atol=1e-6)
    # Item 3 is the second utterance at the second speed.
    assert torch.equal(cached.target(items[:1], len(cache.get(key)))[0], cache.get(key))
    cache.keep(key, torch.full_like(cache.get(key), 0.5))
    again = Distillation(source.model, "s", cache=cache)
    again.setup(source.model, {"s": task})
    assert again.target(items[:1], 5).unique().tolist() == [0.5]


def test_a_cache_needs_utterances() -> None:
    objective = Distillation(None, "speaker", cache=Views(half=False))
    with pytest.raises(ConfigError, match="the stream 'speaker' holds none; leave it out"):
        Trainer(small_model(), [speech_task()], [(1.0, objective)], config=settings())


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_depth_is_that_of_the_lowest_layer_trained(encoder: EncoderName) -> None:
    source = _source(encoder)
    depths = {}
    for method in [*METHODS, "head+kld"]:
        if default_learning_rate(method):
            model = _source(encoder).model
            build(method, source.model, CONFIG.settings).plan.apply(model)
            depths[method] = frozen_depth(model)
    # Front end, projection and first layer; all five blocks and the norm; below the first layer's adapter.
    wanted = {"last-layers": 3, "head": 6, "head+kld": 6, "residual-adapter": 2}
    assert depths == {**dict.fromkeys(depths, 0), **wanted}
    assert [block.path for block in source.model.blocks()][:3] == ["frontend", "encoder.projection", "encoder.layers.0"]


def test_moving_statistics_are_no_frozen_prefix() -> None:
    model = _source("tdnn").model
    model.requires_grad_(False)
    assert frozen_depth(model) == 0, "BatchNorm's statistics still move"
    build("head", _source("tdnn").model, CONFIG.settings).plan.apply(model)
    assert frozen_depth(model) == 6
    model.encoder.layers[1].statistics_frozen = False
    model.get_submodule("encoder.layers.1.norm").statistics_frozen = False  # type: ignore[assignment]
    assert frozen_depth(model) == 3
    model.encoder.projection.requires_grad_(True)
    assert frozen_depth(model) == 1
    model.register_forward_pre_hook(lambda module, arguments: None)
    assert frozen_depth(model) == 0, "whatever the hook does would be left out"


def test_random_features_and_taps_need_the_whole_model(world: Speech) -> None:
    source = _source()
    augmented = _adapted(source, world, "head", augment=SpecAugmentConfig())
    assert augmented.depth == 0
    model = _source().model
    build("head", source.model, CONFIG.settings).plan.apply(model)
    shared = Shared(source, world.store)
    assert [shared.depth(model, a, t) for a, t in ((False, False), (True, False), (False, True))] == [6, 0, 0]
    assert shared.inputs(0) is world.store and above(model, 0) is model
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Activations(world.store, model, 0)
    with pytest.raises(ValueError, match="another source model"):
        _adapted(_source(), world, "head", shared)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("depth", [1, 2, 4, 6])
def test_prefix_and_rest_are_the_model(encoder: EncoderName, depth: int, world: Speech) -> None:
    source = _source(encoder)
    inputs = Activations(world.store, source.model, depth)
    batches = [Spoken(world.own, s, source.tokens, SPEEDS).collate([4, 1, 9]) for s in (world.store, inputs)]
    rest = Suffix(source.model, depth)
    with torch.no_grad():
        (whole, lengths), (ours, own_lengths) = (
            model(batch.inputs, batch.lengths) for model, batch in zip((source.model, rest), batches, strict=True)
        )
    assert torch.equal(lengths, own_lengths)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(ours[row, :length], whole[row, :length], rtol=1e-4, atol=1e-5)
    assert dict(rest.named_parameters()).keys() == dict(source.model.named_parameters()).keys()
    assert rest.get_parameter("heads.en.bias") is source.model.get_parameter("heads.en.bias")


def _counted(model: nn.Module, path: str, log: Counter[str]) -> None:
    model.get_submodule(path).register_forward_hook(lambda module, arguments, result: log.update({path: len(result)}))


def test_frozen_layers_run_once_over_each_utterance_of_all_folds_and_candidates(world: Speech) -> None:
    source, log = _source("tdnn"), Counter[str]()
    tried = [Candidate(name, 0.01) for name in ("last-layers", "head", "head+kld")]
    choice = ChoiceConfig(folds=3, strengths=(0.5, 1.0))
    judge_alone = len(world.own)  # the source model's own answers
    _counted(source.model, "encoder.layers.0.norm", log)
    choose(source, Spoken(world.own, world.store), CONFIG, choice, tried)
    # Two depths and two views of each utterance.
    assert log["encoder.layers.0.norm"] == judge_alone + 2 * len(SPEEDS) * len(world.own)


def test_only_source_utterances_that_are_heard_are_computed(world: Speech) -> None:
    source = _source("tdnn")
    shared = Shared(source, world.store)
    _adapted(source, world, "head+replay", shared, steps=1, source_budget=1)
    inputs = shared.inputs(6)
    assert isinstance(inputs, Activations)
    own = {world.store.view(u.id, speed) for u in world.own for speed in SPEEDS}
    kept = inputs._kept
    assert len({*kept._memory, *kept._filed} - own) == 1


def test_the_choice_is_the_same_with_and_without(world: Speech, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source("tdnn")
    tried = [Candidate("last-layers", 0.02), Candidate("head", 0.05), Candidate("kld", 0.02)]
    choice = ChoiceConfig(folds=3, strengths=(0.5, 1.0), tolerance=9.0)

    def chosen(shared: Shared | None) -> Any:
        return choose(
            source,
            Spoken(world.own, world.store),
            CONFIG,
            choice,
            tried,
            Spoken(world.more, world.store),
            shared=shared,
        )

    ours, plain = chosen(None), chosen(_plain(source, world))
    assert (ours.method, ours.strength) == (plain.method, plain.strength)
    for one, other in zip(ours.ladder, plain.ladder, strict=True):
        assert (one.method, one.errors, one.source_errors) == (other.method, other.errors, other.source_errors)
        assert one.score == pytest.approx(other.score, rel=1e-4)
        assert one.forgetting == pytest.approx(other.forgetting, abs=1e-4)
        assert one.score != pytest.approx(1, rel=1e-3)
    # Without any sharing between the trainings the choice is the same to the last bit.
    monkeypatch.setattr(choosing, "adapt", lambda *args, shared, **options: adapt(*args, **options))
    assert replace(chosen(None), cpu_seconds=0.0) == replace(ours, cpu_seconds=0.0)


def test_held_out_answers_are_those_of_the_whole_model(world: Speech) -> None:
    source = _source("conformer")
    adapted = _adapted(source, world, "last-layers")
    judge = Judge(source, Spoken(world.own, world.store), Spoken(world.more, world.store))
    for strength in (0.5, 1.0):
        model = adapted.at_strength(strength)
        ours, whole = (judge.own(model, [4, 0, 3], depth) for depth in (adapted.depth, 0))
        assert np.array_equal(ours.errors, whole.errors)
        np.testing.assert_allclose(ours.losses, whole.losses, rtol=1e-5)
        assert judge.forgetting(model, adapted.depth) == pytest.approx(judge.forgetting(model), abs=1e-5)


def test_the_last_adaptation_uses_what_the_choice_computed(world: Speech, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Shared | None] = []

    def noting(*args: Any, shared: Shared | None = None, **options: Any) -> Adapted:
        given.append(shared if len(args) < 8 else args[7])
        return adapt(*args, **({"shared": shared} if len(args) < 8 else {}), **options)

    monkeypatch.setattr(choosing, "adapt", noting)
    choice = ChoiceConfig(folds=2, strengths=(1.0,), without_source=("head",))
    source: Recogniser = _source()
    own: Sequence[Utterance] = world.own
    adapt_by_choice(source, Spoken(own, world.store), CONFIG, choice)
    assert len(given) == 3 and given[0] is not None and all(shared is given[0] for shared in given)


def test_a_stopped_run_goes_on_from_its_checkpoint(
    world: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)  # guards against power cuts, and is slow
    source = _source("tdnn", dropout=0.1)
    whole = _adapted(source, world, "last-layers")
    monkeypatch.setattr(adapting, "TrainerConfig", functools.partial(TrainerConfig, checkpoint_every=2))
    save, begin = AtomicCheckpointer.save, Trainer.on_fit_start
    begun: list[int] = []

    def beginning(self: Trainer) -> None:
        begin(self)
        begun.append(self.optimizer_step)

    monkeypatch.setattr(Trainer, "on_fit_start", beginning)

    def stopping(self: AtomicCheckpointer, step: int) -> None:
        save(self, step)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AtomicCheckpointer, "save", stopping)
        adapt(source, Spoken(world.own, world.store), "last-layers", CONFIG, tmp_path)
    again = adapt(source, Spoken(world.own, world.store), "last-layers", CONFIG, tmp_path)
    assert again.depth and begun == [0, 2]
    assert not different(snapshot(again.recogniser.model), snapshot(whole.recogniser.model))
    assert again.result.history == whole.result.history
