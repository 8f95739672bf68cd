"""The commands on speaker profiles, and `--profile`, through the command line; the base's folder never changes."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
import yaml

from asr_transfer.adaptation.profile import FACTS, TENSORS, Profile, save_profile
from asr_transfer.cli import main
from asr_transfer.commands.profile_folders import find_profiles
from asr_transfer.commands.profile_on_model import load_with_profile
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import ModelError
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.models.adapters import PREFIX, AdapterSpec, adapter_specs, add_adapter, base_checksum
from asr_transfer.models.folder import load_model
from tests.small import different, small_model, snapshot

SPECS: Mapping[str, tuple[AdapterSpec, ...]] = {
    "lora": (AdapterSpec("lora", 2),),
    "lhuc+lora": (AdapterSpec("lhuc"), AdapterSpec("lora", 2)),
    "last-layers": (),
}
CHANGED = ("encoder.norm.weight", "encoder.layers.1.norm.bias", "heads.en.bias")
"""Of the base, by the method without adapters."""


def run(*arguments: object) -> int:
    """Run a command."""
    return main([str(argument) for argument in arguments])


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by its path in it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _speaker(base: AcousticModel, method: str) -> AcousticModel:
    """Return a copy of `base` as an adaptation might leave it, far enough off to be heard."""
    model, generator = copy.deepcopy(base), torch.Generator().manual_seed(len(method))
    for spec in SPECS[method]:
        add_adapter(model, spec)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.startswith(PREFIX) or (not SPECS[method] and name in CHANGED):
                tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.3)
    return model


@pytest.fixture(scope="module")
def made(tone_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run folder per method, each with `profile`, the first with `model` too."""
    root, source = tmp_path_factory.mktemp("speakers"), Recogniser.load(tone_run)
    for method in SPECS:
        adapted = _speaker(source.model, method)
        save_profile(
            root / method / "profile",
            source.model,
            adapted,
            {
                "method": method,
                "utterances": 7,
                "seconds": 21.5,
                "created": "2024-05-06T07:08:09+00:00",
                "parent": "ab" * 32 if method == "lora" else None,
                "origin": {"speaker": "ida"},
            },
        )
    shutil.copytree(tone_run / "model", root / "lora" / "model")
    return root


@pytest.fixture
def speakers(made: Path, tmp_path: Path) -> Path:
    """Return a copy of `made` that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "speakers"))


@pytest.fixture(autouse=True)
def untouched(tone_run: Path) -> Iterator[None]:
    """Fail where a test leaves another byte in the base's run folder."""
    before = hashes(tone_run)
    yield
    assert hashes(tone_run) == before


@pytest.fixture
def recordings(tone_corpus: dict[str, Path]) -> list[Path]:
    """Return some recordings of two speakers."""
    wav = tone_corpus["test"].parent / "wav"
    return [wav / name / f"{name}-{number}.wav" for name in ("ida", "jon") for number in range(6)]


def test_list_shows_every_profile_and_passes_over_links_and_hidden_folders(
    speakers: Path, tone_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(speakers / "lora" / "profile", speakers / "deep" / "er" / "own")
    shutil.copytree(speakers / "lora" / "profile", speakers / ".hidden" / "profile")
    (speakers / "link").symlink_to(speakers / "lora", target_is_directory=True)
    (speakers / "loop").symlink_to(speakers, target_is_directory=True)
    monkeypatch.chdir(speakers)
    assert run("profile", "list") == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["path", "method", "utterances", "seconds", "kB", "created", "base", "parent"]
    base = base_checksum(load_model(tone_run / "model"))[:12]
    expected = []
    for path in ("deep/er/own", "last-layers/profile", "lhuc+lora/profile", "lora/profile"):
        profile = Profile.load(path)
        size = f"{sum(file.stat().st_size for file in Path(path).iterdir()) / 1000:.1f}"
        parent = "ab" * 6 if profile.facts.method == "lora" else "–"
        expected.append([path, profile.facts.method, "7", "21.5", size, "2024-05-06", "07:08", base,
                         parent])  # fmt: skip
    assert [row.split() for row in rows] == expected
    assert run("profile", "list", speakers / "lora" / "profile") == 0
    assert str(speakers / "lora" / "profile") in capsys.readouterr().out
    assert list(find_profiles(speakers / "lora")) == [speakers / "lora" / "profile"]


def test_list_names_damaged_profiles_with_the_reason(speakers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (speakers / "lora" / "profile" / TENSORS).write_bytes(b"x" * 50)
    (speakers / "lhuc+lora" / "profile" / FACTS).write_text("format: 1\nbase: 3\n")
    assert run("profile", "list", speakers) == 1
    lines = capsys.readouterr().out.splitlines()
    for method, reason in (("lora", "is cut off or no safetensors file"), ("lhuc+lora", "the field `base` is missing")):
        folder = str(speakers / method / "profile")
        assert any(line.split()[:2] == [folder, "damaged"] for line in lines)
        assert sum(reason in line and folder in line for line in lines) == 1
    assert sum(line.startswith(str(speakers / "last-layers")) and " 21.5 " in line for line in lines) == 1


def test_list_sends_no_control_characters(speakers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = speakers / "lora" / "profile" / FACTS
    plain = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump({**plain, "method": "a\x1b[2J[red]b"}), encoding="utf-8")
    for command in (["list", speakers], ["show", speakers / "lora"]):
        assert run("profile", *command) == 0
        printed = capsys.readouterr().out
        assert "\x1b" not in printed and "[2J[red]b" in printed


def test_list_without_profiles_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("profile", "list", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "there is no profile in this folder" in printed and printed.count("\n") == 1
    assert run("profile", "list", tmp_path / "nowhere") == 1
    assert "nowhere: there is no such folder" in capsys.readouterr().err


def test_show_counts_tensors_and_knows_the_base(
    speakers: Path, tone_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = Profile.load(speakers / "lhuc+lora" / "profile")
    assert run("profile", "show", speakers / "lhuc+lora", "--model", tone_run) == 0
    printed = capsys.readouterr().out
    for spec in (AdapterSpec("lhuc"), AdapterSpec("lora", 2)):
        own = [t.numel() for n, t in profile.tensors.items() if n.split(".")[1] == spec.kind]
        assert f"{spec}: {len(own)} tensors, {sum(own):,} values" in printed
    assert profile.checksum in printed and profile.base in printed and "nothing of the base" in printed
    assert "origin speaker  ida" in printed and "the profile belongs to this model" in printed
    assert run("profile", "show", speakers / "last-layers" / "profile") == 0
    printed = capsys.readouterr().out
    assert "of the base: 3 tensors, " in printed and "model" not in printed
    assert [line.split(":")[0].strip() for line in printed.splitlines() if line.startswith(" ")] == [
        "encoder.layers.1", "encoder.norm", "heads.en",
    ]  # fmt: skip


def test_show_says_that_a_profile_belongs_to_another_model(
    speakers: Path, tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Recogniser.load(tone_run)
    with torch.no_grad():
        other.model.heads["en"].bias[0] += 1
    other.save(tmp_path / "other", "A card.", {})
    checksums = Profile.load(speakers / "lora" / "profile").base, base_checksum(other.model)
    for command in (
        ("profile", "show", speakers / "lora", "--model", tmp_path / "other"),
        ("profile", "merge", "--profile", speakers / "lora", "--model", tmp_path / "other", "--out", tmp_path / "out"),
        ("transcribe", "--profile", speakers / "lora", "--model", tmp_path / "other", "a.wav"),
        ("evaluate", "--profile", speakers / "lora", "--model", tmp_path / "other", "--data", "x", "--out",
         tmp_path / "out"),
    ):  # fmt: skip
        assert run(*command) == 1
        captured = capsys.readouterr()
        said = captured.out if command[1] == "show" else captured.err
        assert f"belongs to the base model {checksums[0][:12]}, but this one is {checksums[1][:12]}" in said
    assert not (tmp_path / "out").exists()
    # A model that carries adapters has the same base, and yet the profile cannot be put on it.
    assert run("profile", "merge", "--model", tone_run, "--profile", speakers / "lhuc+lora",
               "--out", tmp_path / "merged") == 0  # fmt: skip
    assert run("profile", "show", speakers / "lora", "--model", tmp_path / "merged") == 1
    assert "carries the adapter 'lhuc' already" in capsys.readouterr().out


@pytest.mark.parametrize("method", SPECS)
def test_a_merged_model_says_what_it_was_made_of(
    method: str, made: Path, tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "merged"
    assert run("profile", "merge", "--model", tone_run, "--profile", made / method, "--out", out) == 0
    said, card = capsys.readouterr().out, (out / "README.md").read_text(encoding="utf-8")
    profile = Profile.load(made / method / "profile")
    assert f"`{method}` learnt from 7 utterances (21.5 s)" in card and profile.base[:12] in card
    assert adapter_specs(load_model(out)) == tuple(spec for spec in SPECS[method] if spec.kind != "lora")
    assert ("folded into its weights: lora of rank 2" in said) == ("lora" in method)
    assert ("kept as adapters inside it: lhuc" in said) == ("lhuc" in method)
    origin = yaml.safe_load((out / "config.yaml").read_text(encoding="utf-8"))["origin"]
    assert origin["profile"] == profile.checksum and origin["base"] == profile.base and "trained_on" in origin


@pytest.mark.parametrize("method", SPECS)
def test_a_merged_model_transcribes_as_base_and_profile(
    method: str, made: Path, tone_run: Path, recordings: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is folded differs by rounding; what is copied does not differ."""
    before, out = hashes(made), tmp_path / "merged"
    assert run("profile", "merge", "--model", tone_run, "--profile", made / method, "--out", out) == 0
    capsys.readouterr()
    texts = {}
    for name, options in (
        ("base", ["--model", tone_run]),
        ("profile", ["--model", tone_run, "--profile", made / method]),
        ("folder", ["--model", tone_run, "--profile", made / method / "profile"]),
        ("merged", ["--model", out]),
    ):
        assert run("transcribe", *options, *recordings) == 0
        texts[name] = capsys.readouterr().out
    assert texts["merged"] == texts["profile"] == texts["folder"] != texts["base"]
    assert hashes(made) == before
    if method == "last-layers":
        adapted = load_with_profile(tone_run, made / method).model
        assert not different(snapshot(load_model(out)), snapshot(adapted))


def test_evaluate_scores_with_the_profile(
    made: Path, tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "scored"
    assert run("evaluate", "--model", tone_run, "--profile", made / "lora", "--data", tone_corpus["test"],
               "--speaker", "ida", "--out", out) == 0  # fmt: skip
    lines = [json.loads(line) for line in (out / "hypotheses.jsonl").read_text(encoding="utf-8").splitlines()]
    files = [tone_corpus["test"].parent / "wav" / "ida" / f"{line['id']}.wav" for line in lines]
    adapted = load_with_profile(tone_run, made / "lora").transcribe(files)
    assert [line["hypothesis"] for line in lines] == adapted != Recogniser.load(tone_run).transcribe(files)
    assert json.loads((out / "run.json").read_text())["config"]["profile"] == str(made / "lora")


def test_merge_replaces_nothing_but_a_model(
    speakers: Path, tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(speakers)
    model = Path(shutil.copytree(tone_run / "model", tmp_path / "model"))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("precious")
    both = Path(shutil.copytree(model, tmp_path / "both"))
    (both / "thesis.tex").write_text("precious")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(model)
    profile = speakers / "lora" / "profile"
    original = hashes(model)
    for out, message in (
        (model, "lies in the folder of the model"),
        (model / "below", "lies in the folder of the model"),
        (tmp_path / "link", "lies in the folder of the model"),
        (profile, "lies in the folder of the profile"),
        (tmp_path / "thesis", "holds other things than a model (thesis.tex)"),
        (both, "holds other things than a model (thesis.tex)"),
        (tmp_path / "file", "is a file"),
    ):
        merge = ["profile", "merge", "--model", model, "--profile", speakers / "lora", "--out", out, "--overwrite"]
        assert run(*merge) == 1, out
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert (both / "thesis.tex").exists() and (tmp_path / "thesis" / "thesis.tex").exists()
    assert hashes(model) == original and hashes(speakers) == before


def test_merge_replaces_a_model_only_when_asked(
    speakers: Path, tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(tone_run / "model", tmp_path / "model"))
    original, out = hashes(model), tmp_path / "empty"
    out.mkdir()

    def merge(method: str, *options: str) -> int:
        return run("profile", "merge", "--model", model, "--profile", speakers / method, "--out", out, *options)

    assert merge("lora") == 0
    first = hashes(out)
    capsys.readouterr()
    assert merge("last-layers") == 1
    assert "already holds a model; give --overwrite" in capsys.readouterr().err
    assert hashes(out) == first
    assert merge("last-layers", "--overwrite") == 0
    assert hashes(out) != first and hashes(model) == original


def test_remove_takes_profiles_and_nothing_else(speakers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # One by its run folder, one by its own name, and that twice.
    last = speakers / "last-layers" / "profile"
    model = hashes(speakers / "lora" / "model")
    assert run("profile", "remove", speakers / "lora", last, last.parent) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and all("the base model needs nothing done" in line for line in said)
    assert "the whole adapted model" in said[0] and "adapted" not in said[1]
    assert list(find_profiles(speakers)) == [speakers / "lhuc+lora" / "profile"]
    assert os.listdir(speakers / "last-layers") == [] and hashes(speakers / "lora" / "model") == model
    assert os.listdir(speakers / "lora") == ["model"]


def test_a_damaged_profile_can_be_removed(speakers: Path) -> None:
    (speakers / "lora" / "profile" / TENSORS).write_bytes(b"x")
    (speakers / "lora" / "profile" / FACTS).write_bytes(b"\xff\x00")
    assert run("profile", "remove", speakers / "lora") == 0
    assert not (speakers / "lora" / "profile").exists()


def test_remove_refuses_what_is_not_only_a_profile_and_then_removes_nothing(
    speakers: Path, tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (speakers / "lhuc+lora" / "profile" / "notes.txt").write_text("precious")
    (tmp_path / "link").symlink_to(speakers / "lora" / "profile")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / FACTS).write_text("cpu: fast")
    (tmp_path / "odd" / FACTS).mkdir(parents=True)
    (tmp_path / "odd" / TENSORS).write_text("")
    before = hashes(tmp_path)
    for bad, message in (
        (tmp_path / "nowhere", "nowhere: there is no such profile folder"),
        (speakers / "lora" / "profile" / FACTS, "there is no such profile folder"),
        (speakers / "lhuc+lora", "holds more than a profile (notes.txt)"),
        (tmp_path / "link", "is a link"),
        (tmp_path / "half", f"is not a whole profile (it holds no {TENSORS})"),
        (tmp_path / "odd", f"holds more than a profile ({FACTS})"),
        (tone_run / "model", f"is not a whole profile (it holds no {FACTS})"),
        (tone_run, "is not a whole profile"),
    ):
        assert run("profile", "remove", speakers / "lora", bad) == 1, bad
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert hashes(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["profile"], 2, "subcommand"),
        (["profile", "lst"], 2, "Did you mean 'list'?"),
        (["profile", "show"], 2, "required"),
        (["profile", "remove"], 2, "required"),
        (["profile", "merge", "--model", "x", "--out", "y"], 2, "profile"),
        (["profile", "show", "nowhere"], 1, "nowhere: there is no such profile folder"),
        (["profile", "show", "."], 1, "is not a profile folder (it holds no profile.yaml)"),
        (["profile", "merge", "--model", "x", "--profile", "z", "--out", "y"], 1, "x: there is no such model folder"),
    ],
)
def test_mistakes_get_one_sentence(
    arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == status
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "Traceback" not in error
    assert not any(tmp_path.iterdir())


def test_a_missing_profile_is_named_where_one_is_used(
    tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("transcribe", "--model", tone_run, "--profile", tmp_path / "nobody", "a.wav") == 1
    assert "nobody: there is no such profile folder" in capsys.readouterr().err
    assert run("evaluate", "--model", tone_run, "--profile", tone_run, "--data", "x", "--out", tmp_path / "y") == 1
    assert "is not a profile folder" in capsys.readouterr().err and not (tmp_path / "y").exists()


def test_loading_without_a_profile_is_loading_the_model(tone_run: Path, made: Path) -> None:
    plain, base = load_with_profile(tone_run, None, "en"), Recogniser.load(tone_run)
    assert not different(snapshot(plain.model), snapshot(base.model)) and plain.head == "en"
    adapted = load_with_profile(tone_run, made / "lhuc+lora", "en")
    assert not different(snapshot(adapted.model), snapshot(_speaker(base.model, "lhuc+lora")))
    assert adapted.tokens == base.tokens and not adapted.model.training
    with pytest.raises(ModelError, match="no head"):
        load_with_profile(tone_run, made / "lora", "fr")


def test_a_head_is_named_where_a_model_has_several(
    tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Recogniser.load(tone_run)
    size = len(source.tokens)
    model = small_model(heads={"en": size, "nl": size}).eval()
    Recogniser(model, source.tokens, "en", {}, others={"nl": source.tokens}).save(tmp_path / "two", "A card.", {})
    add_adapter(adapted := copy.deepcopy(model), AdapterSpec("lora", 2))
    save_profile(tmp_path / "own", model, adapted, {"method": "lora", "utterances": 1, "seconds": 1.0})
    command = ["profile", "merge", "--model", tmp_path / "two", "--profile", tmp_path / "own", "--out", tmp_path / "o"]
    assert run(*command) == 1
    assert "say which with --language" in capsys.readouterr().err
    assert run(*command, "--language", "en") == 0
    assert set(load_model(tmp_path / "o").heads) == {"en", "nl"}
    assert run("profile", "show", tmp_path / "own", "--model", tmp_path / "two") == 0
