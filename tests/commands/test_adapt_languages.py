"""`asr-transfer adapt` on a model of two languages: what is learnt, kept, merged and lost."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import asr_transfer as at
from asr_transfer.adaptation.profile import Profile
from asr_transfer.commands.profile_on_model import load_with_profile
from asr_transfer.data.manifest import write_manifest
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.models.folder import update_origin
from tests.adapting import Ran, adapt, equal, recordings, run
from tests.tones import make_speaker

QUICK = ("--steps", 8, "--device", "cpu", "--keep_suspicious")


@pytest.fixture(scope="module")
def piet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the manifest of a speaker of the second language, some way off the training speakers."""
    folder = tmp_path_factory.mktemp("speaker")
    write_manifest(folder / "piet.jsonl", make_speaker(folder, "piet", 1.12, 8, 9, "nl"))
    return folder / "piet.jsonl"


@pytest.fixture(scope="module")
def adapted(languages_run: Path, piet: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return the run of `auto` on that manifest, whose language is found from it."""
    quick = (*QUICK, "--choice.folds", 2, "--choice.with_source", "[full+replay]", "--choice.rates", "[10.0]",
             "--choice.warp", "false")  # fmt: skip
    return adapt(languages_run, piet, tmp_path_factory.mktemp("runs") / "piet", *quick)


def _others(model: Recogniser, head: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.model.state_dict().items() if name.startswith(f"heads.{head}.")}


def test_a_speaker_of_one_language_is_adapted_to(languages_run: Path, piet: Path, adapted: Ran) -> None:
    about = adapted.record["adaptation"]
    assert about["method"] == "full+replay" and about["head"] == "nl"
    (rung,) = about["ladder"]
    assert rung["errors"] < rung["source_errors"] and set(rung["abroad"]) == {"en"}
    base, model = Recogniser.load(languages_run, "nl"), Recogniser.load(adapted.out, "nl")
    assert not equal(base.model.state_dict(), model.model.state_dict())
    assert equal(_others(base, "en"), _others(model, "en")), "the other head is replayed through, and yet stays"
    assert adapted.record["data"]["source"]["utterances"] == 128, "both languages are mixed in"


def test_what_the_other_language_loses_is_measured_through_its_own_head(adapted: Ran) -> None:
    found = adapted.record["adaptation"]["other_languages"]
    assert set(found) == {"en"} and "judged" in adapted.record["scores"]
    assert found["en"]["cer_change"]["standard_error"] is not None and found["en"]["before"]["cer"] < 0.2
    line = next(line for line in adapted.printed.splitlines() if line.startswith("others in en: "))
    assert " ± " in line and "on 32 kept utterances of 2 speakers" in line
    assert "other languages: judged on speech that the model keeps in en" in adapted.printed
    assert adapted.record["data"]["judged"]["utterances"] == 64


def test_model_profile_and_merged_model_hear_the_same(
    languages_run: Path, piet: Path, adapted: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merged = tmp_path / "merged"
    assert run("profile", "merge", "--model", languages_run, "--profile", adapted.out, "--out", merged) == 0
    heard, files = [], sorted((piet.parent / "piet").glob("*.wav"))[:4]
    capsys.readouterr()
    for chosen in (
        (adapted.out, "--language", "nl"),
        (merged, "--language", "nl"),
        (languages_run, "--profile", adapted.out),  # which says its language
    ):
        assert run("transcribe", "--model", *chosen, *files) == 0
        heard.append(capsys.readouterr().out)
    first = heard[0].splitlines()[0].split("\t")[1]
    assert heard[0] == heard[1] == heard[2] and first and set(first) <= set("uvwxyz ")
    assert run("profile", "show", adapted.out, "--model", languages_run) == 0
    assert "belongs to this model" in capsys.readouterr().out


def test_the_profile_is_evaluated_in_its_language_and_gone_on_from(
    languages_run: Path, piet: Path, adapted: Ran, tmp_path: Path
) -> None:
    rates = {}
    for name, options in (("base", ()), ("profile", ("--profile", adapted.out))):
        out = tmp_path / name
        with contextlib.redirect_stdout(io.StringIO()):
            assert run("evaluate", "--model", languages_run, *options, "--data", piet, "--out", out) == 0
        rates[name] = Ran(out, "").record["scores"]["test"]["cer"]
    assert rates["profile"] < rates["base"]
    later = adapt(languages_run, piet, tmp_path / "later", "--profile", adapted.out, "--method", "head", *QUICK)
    facts = Profile.load(later.out / "profile").facts
    assert facts.head == "nl" and facts.parent == Profile.load(adapted.out / "profile").checksum


def test_offsets_are_set_anew_for_the_new_weights(languages_run: Path, adapted: Ran) -> None:
    base, model = Recogniser.load(languages_run, "nl"), Recogniser.load(adapted.out, "nl")
    assert set(model.offsets) == {"en", "nl"} and dict(model.offsets) != dict(base.offsets)
    assert "are set anew, on 64 utterances" in adapted.printed
    assert dict(load_with_profile(languages_run, adapted.out).offsets) == dict(model.offsets)


def test_offsets_stay_where_no_weight_moves(languages_run: Path, piet: Path, tmp_path: Path) -> None:
    base = Recogniser.load(languages_run, "nl")
    for method in ("none", "suta"):
        ran = adapt(languages_run, piet, tmp_path / method, "--method", method, "--keep_suspicious")
        assert dict(Recogniser.load(ran.out, "nl").offsets) == dict(base.offsets)
    assert dict(load_with_profile(languages_run, tmp_path / "suta").offsets) == dict(base.offsets)


def test_a_model_without_kept_speech_says_what_it_cannot_do(languages_run: Path, piet: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(languages_run / "model", tmp_path / "bare"))
    for name in ("judged", "source"):
        shutil.rmtree(bare / name)
    ran = adapt(bare, piet, tmp_path / "out", "--method", "full", "--check", "false", *QUICK)
    assert "others in en: not measured, for the model keeps no speech" in ran.printed
    assert "languages are told apart without offsets from now on" in ran.printed
    assert "`train --keep_judged`" in ran.printed and ran.record["adaptation"]["other_languages"] == {}
    assert not Recogniser.load(ran.out, "nl").offsets and not load_with_profile(bare, ran.out).offsets


def test_models_without_offsets_are_given_none(languages_run: Path, piet: Path, tmp_path: Path) -> None:
    plain = Path(shutil.copytree(languages_run / "model", tmp_path / "plain"))
    update_origin(plain, {"language_offsets": None})
    ran = adapt(plain, piet, tmp_path / "out", "--method", "full", "--check", "false", *QUICK)
    assert "told apart" not in ran.printed and "tell languages" not in ran.printed
    assert not load_with_profile(plain, ran.out).offsets and not Recogniser.load(ran.out, "nl").offsets


def test_the_other_language_is_untouched_where_the_head_alone_is_trained(
    languages_run: Path, piet: Path, tmp_path: Path
) -> None:
    ran = adapt(languages_run, piet, tmp_path / "out", "--method", "head", "--check", "false", *QUICK)
    assert "other languages: lose nothing, for only what the head 'nl' alone needs was trained" in ran.printed
    assert ran.record["adaptation"]["other_languages"] == {}


def test_a_folder_is_adapted_to_in_a_named_or_an_identified_language(languages_run: Path, tmp_path: Path) -> None:
    kim = recordings(tmp_path, "kim", 1.02, 5, 7)
    for language in ("en", "auto"):
        ran = adapt(languages_run, kim, tmp_path / language, "--language", language, "--method", "lhuc", *QUICK)
        assert ran.record["adaptation"]["head"] == "en"
        assert ("taken to be in 'en', as 5 of 5 recordings (100 %)" in ran.printed) is (language == "auto")


def test_others_of_both_languages_are_scored_each_through_its_head(
    languages_run: Path, piet: Path, tmp_path: Path
) -> None:
    others = [*make_speaker(tmp_path, "eve", 1.0, 4, 3), *make_speaker(tmp_path, "jan", 1.0, 4, 4, "nl")]
    write_manifest(tmp_path / "others.jsonl", others)
    given = ("--others", tmp_path / "others.jsonl", "--method", "lin", "--check", "false")
    ran = adapt(languages_run, piet, tmp_path / "out", *given, *QUICK)
    assert ran.record["scores"]["others"]["before"]["cer"] < 0.2, "through one head half of it would be wrong"


def test_the_python_functions_take_the_language(languages_run: Path, piet: Path, tmp_path: Path) -> None:
    file = sorted((piet.parent / "piet").glob("*.wav"))[0]
    made = at.adapt(languages_run, piet, tmp_path / "out", language="nl", method="lin", check=False, steps=2,
                    device="cpu", keep_suspicious=True)  # fmt: skip
    assert made.head == "nl"
    assert at.load(languages_run, language="nl", profile=tmp_path / "out").transcribe([file]) == made.transcribe([file])
    assert at.load(languages_run, profile=tmp_path / "out").head == "nl"


@pytest.mark.parametrize("method", ["lhuc", "lin", "lora", "residual-adapter", "speaker-code"])
def test_added_parameters_leave_every_head_as_it_was_when_the_profile_is_off(
    languages_run: Path, piet: Path, tmp_path: Path, method: str
) -> None:
    given = ("--method", method, "--check", "false", "--learning_rate", 0.05, "--use_summary", "false")
    ran = adapt(languages_run, piet, tmp_path / "out", *given, *QUICK)
    base, profile = Recogniser.load(languages_run, "en"), Profile.load(ran.out / "profile")
    sound = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 80, 80), np.float32))
    before = base.logits(sound, torch.tensor([80]))[0]
    with profile.applied(base.model):
        assert not torch.equal(base.logits(sound, torch.tensor([80]))[0], before)
    assert torch.equal(base.logits(sound, torch.tensor([80]))[0], before)
