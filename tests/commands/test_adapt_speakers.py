"""`profile speakers`, and `adapt --method eigen-profile` and its kin by what it keeps: profiles of a few numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from asr_transfer.adaptation.profile import WEIGHTS, Profile
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.speaker_space import FILE, SpeakerSpace
from tests.adapting import Ran, adapt, recordings, run
from tests.tones import TINY, make_speaker

QUICK = (*TINY, "--trainer.steps", "3", "--trainer.validate_every", "0", "--speaker_profiles")
"""A short training; what follows is the kind of the profiles."""

SHIFTS = {f"s{number}": 0.9 + 0.025 * number for number in range(9)}


@pytest.fixture(scope="module")
def speakers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a manifest of nine speakers."""
    folder = tmp_path_factory.mktemp("speakers")
    made = [
        u for number, (name, shift) in enumerate(SHIFTS.items()) for u in make_speaker(folder, name, shift, 4, number)
    ]
    write_manifest(folder / "train.jsonl", made)
    return folder / "train.jsonl"


@pytest.fixture(scope="module")
def model(tone_run: Path, speakers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tone model with directions of nine speakers' profiles."""
    folder = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(tone_run / "model", folder)
    assert run("profile", "speakers", "--model", folder, "--data", speakers, "--device", "cpu") == 0
    return folder


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return recordings with transcripts of another voice."""
    return recordings(tmp_path_factory.mktemp("voice"), "lea", 1.1, 3, 41)


@pytest.fixture(scope="module")
def described(model: Path, voice: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return a run that described that voice by weights."""
    out = tmp_path_factory.mktemp("described") / "out"
    return adapt(model, voice, out, "--method", "eigen-profile", "--keep_suspicious", "--settings.directions", 3)


def test_the_file_lies_beside_the_weights_and_changes_nothing_of_them(model: Path, tone_run: Path) -> None:
    space = SpeakerSpace.load(model / FILE)
    assert space.speakers == tuple(sorted(SHIFTS)) and len(space.deviations) == 8 and 0 <= space.used <= 8
    plain, own = Recogniser.load(tone_run), Recogniser.load(model)
    assert own.model.speakers is not None and own.model.speakers.digest == space.digest and plain.model.speakers is None
    before, after = plain.model.state_dict(), own.model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert (model / FILE).stat().st_size < 200_000


def test_the_profile_is_a_few_weights(model: Path, described: Ran, voice: Path, tmp_path: Path) -> None:
    profile = Profile.load(described.out / "profile")
    weights = profile.tensors[WEIGHTS]
    assert set(profile.tensors) == {WEIGHTS} and weights.shape == (3,) and bool(weights.any())
    assert profile.size_bytes < 4000 and "lhuc by 3 weights of training speakers' directions" in profile.describe()
    assert described.record["adaptation"]["speaker"]["weights"] == pytest.approx(weights.tolist(), abs=1e-6)
    assert "eigen-profile: weights" in described.printed
    files = sorted(voice.glob("*.wav"))
    whole, base = Recogniser.load(described.out), Recogniser.load(model)
    profile.apply(base.model)
    state, wanted = base.model.state_dict(), whole.model.state_dict()
    assert state.keys() == wanted.keys() and all(torch.equal(state[name], wanted[name]) for name in state)
    profile.remove(base.model, Recogniser.load(model).model)
    assert base.model.state_dict().keys() == Recogniser.load(model).model.state_dict().keys()
    assert run("transcribe", "--model", model, "--profile", described.out, *files) == 0
    assert run("profile", "merge", "--model", model, "--profile", described.out, "--out", tmp_path / "merged") == 0
    assert Recogniser.load(tmp_path / "merged").transcribe(files) == whole.transcribe(files)


@pytest.mark.parametrize("name", ["mean-profile", "nearest-profile", "mixture-profile", "eigen-profile-untranscribed"])
def test_its_kin_are_weights_too(name: str, model: Path, voice: Path, tmp_path: Path) -> None:
    ran = adapt(model, voice, tmp_path / "out", "--method", name, "--keep_suspicious")
    profile = Profile.load(ran.out / "profile")
    assert set(profile.tensors) == {WEIGHTS} and profile.size_bytes < 4000 and f"{name}" in ran.printed


def test_more_is_learnt_from_there(model: Path, voice: Path, tmp_path: Path) -> None:
    options = ("--steps", 2, "--check", "false", "--device", "cpu", "--keep_suspicious", "--precision", "fp32")
    ran = adapt(model, voice, tmp_path / "lhuc", "--method", "eigen-profile+lhuc", *options)
    profile = Profile.load(ran.out / "profile")
    assert WEIGHTS not in profile.tensors and all(name.startswith("adapters.lhuc.") for name in profile.tensors)
    ran = adapt(model, voice, tmp_path / "warped", "--method", "warp+eigen-profile", *options)
    assert set(Profile.load(ran.out / "profile").tensors) == {WEIGHTS, "adapters.warp.factor"}
    ran = adapt(model, voice, tmp_path / "front", "--method", "mean-profile+front-end", *options)
    names = set(Profile.load(ran.out / "profile").tensors)
    assert WEIGHTS in names and all(name == WEIGHTS or name.startswith("frontend.") for name in names)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs a command which is refused, and returns its one sentence."""

    def told(*given: object) -> str:
        capsys.readouterr()
        assert run(*given) == 1
        said = capsys.readouterr().err.strip()
        assert "\n" not in said and "Traceback" not in said
        return said

    return told


def test_what_a_speaker_is_described_by_is_named_where_it_lacks(
    tone_run: Path, model: Path, described: Ran, voice: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    given = ("--data", voice, "--out", tmp_path / "out", "--keep_suspicious")
    said = refused("adapt", "--model", tone_run, *given, "--method", "eigen-profile")
    assert "goes by the profiles of the speakers" in said and "`asr-transfer profile speakers`" in said
    assert not (tmp_path / "out").exists()
    files = sorted(voice.glob("*.wav"))
    said = refused("transcribe", "--model", tone_run, "--profile", described.out, files[0])
    digest = Profile.load(described.out / "profile").facts.directions or "lacking"
    assert f"is 3 weights of the directions {digest[:12]} of training speakers, but the model has none" in said
    said = refused("adapt", "--model", model, *given, "--method", "eigen-profile", "--profile", described.out)
    assert "has a profile of the kind `lhuc` already, which `eigen-profile` would replace" in said


def test_speech_that_gives_no_directions_is_named(
    tone_run: Path, model: Path, described: Ran, voice: Path, speakers: Path, tmp_path: Path,
    refused: Callable[..., str],
) -> None:  # fmt: skip
    said = refused("profile", "speakers", "--model", tone_run, "--data", voice.parent / "voice")
    assert "there is neither" in said
    write_manifest(tmp_path / "few.jsonl", make_speaker(tmp_path, "solo", 1.0, 3, 1))
    said = refused("profile", "speakers", "--model", tone_run, "--data", tmp_path / "few.jsonl")
    assert "few.jsonl: has 1 training speaker with 2 recordings or more" in said and "need at least 8" in said
    write_manifest(tmp_path / "nobody.jsonl", [replace(u, speaker="unknown") for u in read_manifest(speakers)])
    said = refused("profile", "speakers", "--model", tone_run, "--data", tmp_path / "nobody.jsonl")
    assert "nobody.jsonl: no recording names its speaker" in said
    said = refused("profile", "speakers", "--model", described.out, "--data", speakers)
    assert "is adapted to a speaker already" in said
    bare = recordings(tmp_path, "mia", 1.16, 2, 43, table=False)
    said = refused("adapt", "--model", model, "--data", bare, "--out", tmp_path / "out", "--method", "eigen-profile")
    assert "take `--method eigen-profile-untranscribed`, which reads none." in said


def test_directions_of_other_weights_are_refused_or_left_out(model: Path, voice: Path, tmp_path: Path) -> None:
    options = ("--steps", 2, "--check", "false", "--device", "cpu", "--keep_suspicious", "--precision", "fp32")
    ran = adapt(model, voice, tmp_path / "full", "--method", "full", *options)
    assert not (ran.out / "model" / FILE).exists(), "of these weights the directions say nothing"
    lhuc = adapt(model, voice, tmp_path / "lhuc", "--method", "lhuc", *options)
    assert (lhuc.out / "model" / FILE).exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[:-40], "is damaged"),
        (lambda text: text.replace(b"lhuc", b"lhuX"), "is damaged"),
    ],
)
def test_a_damaged_file_is_named_and_can_be_made_anew(
    damage: object, reason: str, model: Path, speakers: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    (folder / FILE).write_bytes(damage((folder / FILE).read_bytes()))  # type: ignore[operator]
    with pytest.raises(Exception, match=reason) as caught:
        Recogniser.load(folder)
    assert str(folder / FILE) in str(caught.value) and "\n" not in str(caught.value)
    command = ("profile", "speakers", "--model", folder, "--data", speakers, "--device", "cpu")
    assert "--overwrite true" in refused(*command)
    assert run(*command, "--overwrite", "true") == 0
    assert (folder / FILE).read_bytes() == (model / FILE).read_bytes()


def test_directions_are_replaced_only_where_that_is_asked_for(
    model: Path, described: Ran, voice: Path, speakers: Path, tmp_path: Path, refused: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    command = ("profile", "speakers", "--model", folder, "--data", speakers, "--device", "cpu", "--seed", 1)
    said = refused(*command, "--kind", "lin")
    assert "holds directions of 9 training speakers already" in said and "give --overwrite true" in said
    assert (folder / FILE).read_bytes() == (model / FILE).read_bytes()
    assert run(*command, "--kind", "lin", "--overwrite", "true") == 0
    assert "can no longer be used; make them anew" in capsys.readouterr().out
    assert SpeakerSpace.load(folder / FILE).spec.kind == "lin"
    refused("transcribe", "--model", folder, "--profile", described.out, *sorted(voice.glob("*.wav")))


def test_training_makes_them(speakers: Path, tmp_path: Path) -> None:
    assert run("train", "--train", speakers, "--out", tmp_path / "nine", *QUICK, "lin", "--speeds", "[0.9]") == 0
    assert SpeakerSpace.load(tmp_path / "nine" / "model" / FILE).spec.kind == "lin"
    assert yaml.safe_load((tmp_path / "nine" / "model" / "config.yaml").read_text())["format"] == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda u: replace(u, speaker="s1" if u.speaker == "s2" else u.speaker), None),  # eight are left
        (lambda u: replace(u, speaker="s1" if u.speaker in ("s2", "s3") else u.speaker), "has 7 training speakers"),
        (lambda u: replace(u, speaker=u.id), "has 0 training speakers"),
        (lambda u: replace(u, speaker="unknown"), "no recording names its speaker"),
        (lambda u: replace(u, text="abba cab deed" * 9 if u.speaker < "s2" else u.text), "has 7 training speakers"),
    ],
)
def test_a_training_begins_only_with_speakers_enough(
    change: Callable[[Utterance], Utterance], reason: str | None, speakers: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_manifest(tmp_path / "some.jsonl", map(change, read_manifest(speakers)))
    command = ("train", "--train", tmp_path / "some.jsonl", "--out", tmp_path / "run", *QUICK, "lhuc")
    if reason is None:
        assert run(*command) == 0
        return
    assert run(*command) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]  # what is left out is remarked upon before
    assert reason in said and "some.jsonl: " in said and said.endswith("or leave `speaker_profiles` out.")
    assert not (tmp_path / "run").exists()
