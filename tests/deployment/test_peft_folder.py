"""LoRA is written apart as peft reads it: on its base it recognises as the adapted model, or it is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch

from asr_transfer.adaptation.profile import ProfileFacts, save_profile
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.deployment import ExportOptions, export, find_target
from asr_transfer.models.adapters import AdapterSpec, add_adapter
from tests.deployment import sources
from tests.models.pretrained import ctc_folders, whole_whisper

pytest.importorskip("peft")
APART = ExportOptions(adapters=True)
TARGET = find_target("transformers")


def _profile(folder: Path, out: Path, *specs: AdapterSpec, changed: str = "") -> Path:
    """Write a profile of adapters with random weights on the model of a folder, and perhaps of a changed tensor."""
    base = Recogniser.load(folder)
    model = copy.deepcopy(base.model)
    for spec in specs:
        add_adapter(model, spec)
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("adapters.") or name == changed:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    return save_profile(out, base.model, model, ProfileFacts("lora", 1, 1.0, head=base.head))


def test_whispers_lora_is_put_on_its_base(tmp_path: Path) -> None:
    whole_whisper.write_whisper(tmp_path / "base")
    blocks = ("encoder.layers.0", "decoder.layers.1")
    profile = _profile(tmp_path / "base", tmp_path / "profile", AdapterSpec("lora", 3, blocks))
    done = export(sources.opened(tmp_path / "base", profile), "transformers", tmp_path / "out", APART)
    assert done.check["equal texts"] == 3
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 3 and config["base_model_name_or_path"] == str(tmp_path / "base")
    assert "model.decoder.layers.1.encoder_attn.q_proj" in config["target_modules"]
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize("name", ["hubert", "parakeet"])
def test_a_ctc_models_lora_is_put_on_its_base(name: str, tmp_path: Path) -> None:
    ctc_folders.write(tmp_path / "base", name)
    profile = _profile(tmp_path / "base", tmp_path / "profile", AdapterSpec("lora", 2, ("encoder.layers.1",)))
    source = sources.opened(tmp_path / "base", profile)
    if name == "parakeet":  # its layers hold convolutions
        assert "acts on encoder.layers.1.inner.conv" in str(TARGET.refusal(source, APART))
        return
    assert export(source, "transformers", tmp_path / "out", APART).check["equal texts"] == 3


def test_what_peft_cannot_put_on_a_model_is_refused(tmp_path: Path) -> None:
    whole_whisper.write_whisper(tmp_path / "base")
    ctc_folders.write(tmp_path / "wavlm", "wavlm")
    lora, layers = AdapterSpec("lora", 2), AdapterSpec("lora", 2, ("encoder.layers.0",))
    for where, specs, changed, reason in (
        ("base", (lora,), "", "acts on encoder.front.conv1, and in Transformers' models adapters act on linear layers"),
        ("base", (AdapterSpec("lhuc"),), "", "the adapter lhuc cannot be folded"),
        ("base", (), "encoder.norm.weight", "peft has none but `lora`, and the profile holds no adapter"),
        ("base", (layers,), "encoder.norm.weight", "changes weights of the model too (encoder.norm.weight)"),
        ("wavlm", (layers,), "", "past the adapters"),
    ):
        profile = _profile(tmp_path / where, tmp_path / "profile", *specs, changed=changed)
        assert reason in str(TARGET.refusal(sources.opened(tmp_path / where, profile), APART))
    plain = sources.opened(tmp_path / "base")
    assert "none is given with --profile" in str(TARGET.refusal(plain, APART))
