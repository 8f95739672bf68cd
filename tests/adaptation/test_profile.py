"""A speaker profile and its base give the adapted model bit for bit, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from asr_transfer.adaptation import profile as profiles
from asr_transfer.adaptation.profile import Profile, ProfileFacts, merged, save_profile
from asr_transfer.config import FeatureConfig, ModelConfig
from asr_transfer.errors import ConfigError, ModelError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import (
    AdapterSpec,
    adapter_specs,
    add_adapter,
    base_checksum,
    base_state,
    remove_adapters,
)
from asr_transfer.models.folder import load_model, save_model
from asr_transfer.training.trainer import Trainer
from asr_transfer.transfer.plan import Action, Add, Freeze, FreezeStatistics, TransferPlan
from tests.small import MELS, ToySpeech, different, in_child, kill_self, settings, small_model, snapshot, speech_task

FACTS = ProfileFacts("lhuc", 7, 21.5, "2024-05-06T07:08:09+00:00", origin={"speaker": "F01", "steps": 5})

PLANS: dict[str, list[Action]] = {
    "lhuc": [Add(AdapterSpec("lhuc")), Freeze("** - adapters")],
    "lin": [Add(AdapterSpec("lin")), Freeze("** - adapters")],
    "lora": [Add(AdapterSpec("lora", 2)), Freeze("** - adapters")],
    "residual-adapter": [Add(AdapterSpec("residual-adapter", 3)), Freeze("** - adapters")],
    "speaker-code": [Add(AdapterSpec("speaker-code", 4)), Freeze("** - adapters")],
    "first-layers": [Freeze("encoder.layers[1:] | encoder.norm | heads")],
    "full": [],
    "lora and first-layers": [Add(AdapterSpec("lora", 2)), Freeze("encoder.layers[1:] | encoder.norm | heads")],
}


def _train(model: AcousticModel, *actions: Action, seed: int = 0) -> AcousticModel:
    config = settings(optimizer="adamw", learning_rate=0.02)
    Trainer(model, [speech_task(ToySpeech(seed=seed))], plan=TransferPlan(*actions), config=config).train()
    model.requires_grad_(True)
    return model


def _adapted(base: AcousticModel, plan: str) -> AcousticModel:
    # Statistics move in plain fine-tuning, so that profiles of buffers are seen too.
    actions = PLANS[plan] if plan == "full" else [FreezeStatistics(), *PLANS[plan]]
    return _train(copy.deepcopy(base), *actions, seed=4)


def _outputs(model: AcousticModel) -> torch.Tensor:
    x = torch.randn(2, 30, MELS, generator=torch.Generator().manual_seed(3))
    logits: torch.Tensor = model.heads["main"](model(x, torch.tensor([30, 21]))[0])
    return logits


@pytest.fixture(scope="module")
def base() -> AcousticModel:
    """Return a trained BiLSTM with statistics of its own and dropout; tests must leave it as it is."""
    return _train(small_model(1, "bilstm", dropout=0.3))


@pytest.fixture
def stored(base: AcousticModel, tmp_path: Path) -> Path:
    """Return the folder of a LoRA profile."""
    return save_profile(tmp_path / "profile", base, _adapted(base, "lora"), FACTS)


@pytest.mark.parametrize("plan", PLANS)
def test_base_and_profile_give_the_adapted_model(plan: str, base: AcousticModel, tmp_path: Path) -> None:
    adapted = _adapted(base, plan)
    profile = Profile.load(save_profile(tmp_path / "profile", base, adapted, FACTS))
    assert profile.facts == FACTS
    assert profile.specs == adapter_specs(adapted)
    model = copy.deepcopy(base)
    profile.apply(model)
    assert not different(snapshot(model), snapshot(adapted))
    assert torch.equal(_outputs(model), _outputs(adapted))
    assert not torch.allclose(_outputs(model), _outputs(base), atol=1e-4)


@pytest.mark.parametrize("plan", PLANS)
def test_a_profile_holds_only_what_changed_and_can_be_taken_off(plan: str, base: AcousticModel, tmp_path: Path) -> None:
    adapted = _adapted(base, plan)
    profile = Profile.load(save_profile(tmp_path / "profile", base, adapted, FACTS))
    unchanged = {name for name, tensor in base_state(base).items() if torch.equal(tensor, base_state(adapted)[name])}
    assert set(profile.tensors) == set(snapshot(adapted)) - unchanged
    model = copy.deepcopy(base)
    profile.apply(model)
    profile.remove(model, base)
    assert not different(snapshot(model), snapshot(base))
    assert torch.equal(_outputs(model), _outputs(base))
    with profile.applied(model) as speaker:
        assert torch.equal(_outputs(speaker), _outputs(adapted))
    assert not different(snapshot(model), snapshot(base))


@pytest.mark.parametrize("plan", PLANS)
def test_a_merged_model_needs_no_profile(plan: str, base: AcousticModel, tmp_path: Path) -> None:
    adapted = _adapted(base, plan)
    before = snapshot(base)
    whole = merged(base, Profile.load(save_profile(tmp_path / "profile", base, adapted, FACTS)))
    assert not different(snapshot(base), before)
    assert "lora" not in [spec.kind for spec in adapter_specs(whole)]
    save_model(tmp_path / "model", whole, "A card.", {"tokens.txt": lambda path: path.write_text("tokens")})
    torch.testing.assert_close(_outputs(load_model(tmp_path / "model")), _outputs(adapted), rtol=1e-5, atol=1e-6)


def test_the_context_restores_after_an_error(base: AcousticModel, stored: Path) -> None:
    model, profile = copy.deepcopy(base), Profile.load(stored)
    with pytest.raises(ZeroDivisionError), profile.applied(model):
        raise ZeroDivisionError
    assert not different(snapshot(model), snapshot(base))


def test_speakers_follow_one_another_on_one_model(base: AcousticModel, tmp_path: Path) -> None:
    model, outputs = copy.deepcopy(base), {}
    for plan in ("lhuc", "full", "lora"):
        adapted = _adapted(base, plan)
        outputs[plan] = _outputs(adapted)
        save_profile(tmp_path / plan, base, adapted, FACTS)
    for plan in ("full", "lora", "lhuc", "full"):
        with Profile.load(tmp_path / plan).applied(model):
            assert torch.equal(_outputs(model), outputs[plan])
    assert not different(snapshot(model), snapshot(base))


def test_the_checksum_is_of_the_base_alone() -> None:
    model = small_model(1)
    first = base_checksum(model)
    assert len(first) == 64 and first == base_checksum(small_model(1))
    add_adapter(model, AdapterSpec("lora", 2))
    assert base_checksum(model) == first
    remove_adapters(model)
    assert base_checksum(model.double()) != first
    assert base_checksum(small_model(2)) != first
    assert base_checksum(small_model(1, heads={"other": 5})) != first
    model = small_model(1)
    with torch.no_grad():
        model.frontend.layers[0]["norm"].running_mean[0] = -0.0  # equal to what it was, but other bits
    assert base_checksum(model) != first


def test_another_base_is_refused_by_both_checksums_and_left_alone(base: AcousticModel, stored: Path) -> None:
    other = small_model(2, "bilstm")
    before = snapshot(other)
    mine, its = base_checksum(base)[:12], base_checksum(other)[:12]
    message = rf"profile: the profile belongs to the base model {mine}, but this one is {its}; load the model"
    with pytest.raises(ModelError, match=message):
        Profile.load(stored).apply(other)
    assert not different(snapshot(other), before)
    with pytest.raises(ModelError, match=f"{mine}.*{its}"):
        merged(other, Profile.load(stored))


def test_a_model_that_carries_adapters_is_refused(base: AcousticModel, stored: Path) -> None:
    model, profile = copy.deepcopy(base), Profile.load(stored)
    profile.apply(model)
    with pytest.raises(ModelError, match="carries the adapter 'lora' already; remove it"):
        profile.apply(model)
    assert adapter_specs(model) == profile.specs


def test_removing_needs_the_tensors_that_changed(base: AcousticModel, tmp_path: Path) -> None:
    profile = Profile.load(save_profile(tmp_path / "profile", base, _adapted(base, "first-layers"), FACTS))
    model = copy.deepcopy(base)
    profile.apply(model)
    with pytest.raises(ModelError, match=r"'\S+' of the base is needed to remove the profile"):
        profile.remove(model, {})
    with pytest.raises(ModelError, match=f"belongs to the base model {base_checksum(base)[:12]}, but this one is"):
        profile.remove(model, small_model(3, "bilstm"))
    profile.remove(model, {name: base.state_dict()[name] for name in profile.tensors})
    assert not different(snapshot(model), snapshot(base))


def test_a_profile_of_nothing_is_nothing(base: AcousticModel, tmp_path: Path) -> None:
    profile = Profile.load(save_profile(tmp_path / "profile", base, base, FACTS))
    assert not profile.tensors
    assert "nothing changed; 0 values" in profile.describe()
    with profile.applied(copy.deepcopy(base)) as model:
        assert torch.equal(_outputs(model), _outputs(base))


def test_the_smallest_change_is_kept(base: AcousticModel, tmp_path: Path) -> None:
    adapted = copy.deepcopy(base)
    with torch.no_grad():
        for tensor in adapted.heads["main"].parameters():
            tensor[0] = torch.nextafter(tensor[0], torch.tensor(9.0))
        adapted.encoder.norm.bias[0] = -0.0
    start = copy.deepcopy(base)
    with torch.no_grad():
        start.encoder.norm.bias[0] = 0.0
    profile = Profile.load(save_profile(tmp_path / "profile", start, adapted, FACTS))
    assert set(profile.tensors) == {"heads.main.weight", "heads.main.bias", "encoder.norm.bias"}
    profile.apply(start)
    assert base_checksum(start) == base_checksum(adapted)


def test_a_lhuc_profile_takes_kilobytes(tmp_path: Path) -> None:
    model = AcousticModel(ModelConfig(features=FeatureConfig()), {"main": 30})
    adapted = copy.deepcopy(model)
    add_adapter(adapted, AdapterSpec("lhuc"))
    profile = Profile.load(save_profile(tmp_path / "profile", model, adapted, FACTS))
    whole = sum(tensor.nbytes for tensor in model.state_dict().values())
    values = 2 * 256 + 3 * 2 * 192
    assert 4 * values < profile.size_bytes < 4 * values + 2500
    assert profile.size_bytes < whole / 500
    assert profile.size_bytes == sum(file.stat().st_size for file in (tmp_path / "profile").iterdir())


def test_a_profile_describes_itself(base: AcousticModel, tmp_path: Path) -> None:
    adapted = _adapted(base, "lora and first-layers")
    first = Profile.load(save_profile(tmp_path / "first", base, adapted, FACTS))
    facts = {"method": "lora", "utterances": 3, "seconds": 9, "parent": first.checksum}
    second = Profile.load(save_profile(tmp_path / "second", base, adapted, facts))
    changed = [name for name in first.tensors if not name.startswith("adapters.")]
    text = first.describe()
    assert text.startswith("lhuc from 7 utterances (21.5 s), 2024-05-06T07:08:09+00:00: lora of rank 2 and ")
    for part in (f"{len(changed)} changed tensors", f"{first.size_bytes / 1000:.1f} kB", base_checksum(base)[:12]):
        assert part in text
    assert "\n" not in text
    assert second.describe().endswith(f", continues {first.checksum[:12]}")
    assert second.checksum == first.checksum and second.facts.created != FACTS.created


def test_adaptation_goes_on_from_a_profile(base: AcousticModel, tmp_path: Path) -> None:
    first = Profile.load(save_profile(tmp_path / "first", base, _adapted(base, "lora"), FACTS))
    model = copy.deepcopy(base)
    first.apply(model)
    before = snapshot(model)
    _train(model, FreezeStatistics(), *PLANS["lora"], seed=6)
    assert different(snapshot(model), before) == set(first.tensors)
    facts = ProfileFacts("lora", 12, 40.0, parent=first.checksum)
    second = Profile.load(save_profile(tmp_path / "second", base, model, facts))
    assert second.checksum != first.checksum and second.base == first.base
    assert torch.equal(_outputs(merged(base, second)), _outputs(model))


def _edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    def damage(folder: Path) -> None:
        plain = yaml.safe_load((folder / "profile.yaml").read_text())
        change(plain)
        (folder / "profile.yaml").write_text(yaml.safe_dump(plain))

    return damage


def _cut(folder: Path) -> None:
    file = folder / "profile.safetensors"
    file.write_bytes(file.read_bytes()[:-50])


def _flip(folder: Path) -> None:
    file = folder / "profile.safetensors"
    data = bytearray(file.read_bytes())
    data[-2] ^= 4
    file.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, r"profile\.safetensors: is cut off .*copy the profile again"),
        (_flip, r"profile\.safetensors: differs from what profile\.yaml says"),
        (lambda f: (f / "profile.safetensors").write_bytes(b""), r"profile\.safetensors: is cut off"),
        (lambda f: (f / "profile.safetensors").unlink(), r"profile\.safetensors: the weights are missing; the profile"),
        (lambda f: (f / "profile.yaml").unlink(), r"is not a profile folder \(it holds no profile\.yaml\)"),
        (lambda f: (f / "profile.yaml").write_bytes((f / "profile.yaml").read_bytes()[:40]), r"profile\.yaml"),
        (lambda f: (f / "profile.yaml").write_text("a: [1\nb: 2"), r"profile\.yaml line 2: is not plain YAML"),
        (lambda f: (f / "profile.yaml").write_text("!!python/object/apply:os.getcwd []"), r"is not plain YAML"),
        (lambda f: (f / "profile.yaml").write_text("text"), r"`format` must be 1, got None; the profile is"),
        (_edit(lambda p: p.update(format=2)), r"`format` must be 1, got 2"),
        (_edit(lambda p: p.pop("base")), r"the field `base` is missing or damaged"),
        (_edit(lambda p: p.update(checksum=3)), r"the field `checksum` is missing or damaged"),
        (_edit(lambda p: p.pop("adapters")), r"the field `adapters` must be a list, got None"),
        (_edit(lambda p: p["adapters"][0].update(kind="lara")), r"`adapters\[0\]` is damaged: .*Did you mean 'lora'"),
        (_edit(lambda p: p.pop("utterances")), r"is damaged: the field `utterances` is missing"),
        (_edit(lambda p: p.update(seconds="long")), r"is damaged: `seconds` .* got 'long'"),
        (_edit(lambda p: p.update(parent="mother")), r"is damaged: `parent` .* got 'mother'"),
        (_edit(lambda p: p.update(origin=[1])), r"is damaged: `origin` must be a mapping"),
        (_edit(lambda p: p.update(second=3)), r"unknown key `second`. Did you mean 'seconds'\?"),
        (_edit(lambda p: p.update({7: 3})), r"profile\.yaml: is damaged"),
    ],
)  # fmt: skip
def test_a_damaged_profile_is_refused_with_the_file_and_the_reason(
    damage: Callable[[Path], Any], message: str, stored: Path
) -> None:
    damage(stored)
    with pytest.raises(ModelError, match=message) as caught:
        Profile.load(stored)
    assert str(stored) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda adapters: adapters[0].update(size=3),
        lambda adapters: adapters.clear(),
        lambda adapters: adapters.append({"kind": "lhuc", "size": 0}),
    ],
)
def test_adapters_that_do_not_fit_their_tensors_leave_the_model_alone(
    change: Callable[[list[Any]], None], base: AcousticModel, stored: Path
) -> None:
    _edit(lambda plain: change(plain["adapters"]))(stored)
    model = copy.deepcopy(base)
    with pytest.raises(ModelError, match=r"profile\.safetensors: 'adapters\..*' is missing, unknown or of another"):
        Profile.load(stored).apply(model)
    assert not different(snapshot(model), snapshot(base)) and adapter_specs(model) == ()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nobody: is not a profile folder"):
        Profile.load(tmp_path / "nobody")


def test_models_of_two_architectures_make_no_profile(base: AcousticModel, tmp_path: Path) -> None:
    for other in (small_model(1, "bilstm", heads={"main": 9}), small_model(1, "bilstm", layers=3), small_model(1)):
        for pair in ((base, other), (other, base)):
            with pytest.raises(ModelError, match=r"'\S+' has another shape or type .* save a whole model folder"):
                save_profile(tmp_path / "profile", *pair, FACTS)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"method": "", "utterances": 1, "seconds": 1.0}, "`method` of a profile must not be empty"),
        ({"method": "x", "utterances": 1.5, "seconds": 1.0}, "`utterances` .* whole number, got 1.5"),
        ({"method": "x", "utterances": 1, "seconds": float("nan")}, "`seconds` .* got nan"),
        ({"method": "x", "utterances": 1}, "the field `seconds` is missing"),
        ({"method": "x", "utterances": 1, "seconds": 1.0, "speaker": "F"}, "unknown key `speaker`"),
        ({"method": "x", "utterances": 1, "seconds": 1.0, "origin": {"a": nn.ReLU}}, "`origin` .* plain values only"),
    ],
)
def test_impossible_facts_are_refused(facts: Any, message: str, base: AcousticModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        save_profile(tmp_path / "profile", base, base, facts)
    assert not any(tmp_path.iterdir())


def test_something_else_is_never_replaced_and_an_old_profile_as_a_whole(base: AcousticModel, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.yaml").write_text("format: 1")
    with pytest.raises(ModelError, match=r"model: holds other files \(config.yaml\) that a profile would replace"):
        save_profile(tmp_path / "model", base, base, FACTS)
    adapted = _adapted(base, "lhuc")
    assert save_profile(tmp_path / "a", base, base, FACTS) == save_profile(tmp_path / "a", base, adapted, FACTS)
    assert Profile.load(tmp_path / "a").specs == (AdapterSpec("lhuc"),)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "model"]


def _save_and_die(folder: Path, model: AcousticModel) -> None:
    write = profiles.write_weights
    profiles.write_weights = lambda file, tensors: (write(file, tensors), kill_self())  # type: ignore[assignment]
    save_profile(folder, model, model, FACTS)


def test_a_killed_or_failing_write_leaves_the_old_profile(
    base: AcousticModel, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checksum = Profile.load(stored).checksum
    child = in_child(_save_and_die, stored, base)
    child.join()
    assert child.exitcode is not None and child.exitcode < 0
    assert Profile.load(stored).checksum == checksum

    def no_disk(file: Path, tensors: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(profiles, "write_weights", no_disk)
    with pytest.raises(ModelError, match=r"cannot be written \(.*No space left.*\).*untouched"):
        save_profile(stored, base, base, FACTS)
    assert Profile.load(stored).checksum == checksum
