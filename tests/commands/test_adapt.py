"""`asr-transfer adapt` as a new user meets it: a folder of recordings in, a model, a profile and honest words out."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

import asr_transfer as at
from asr_transfer.adaptation.forecast import KINDS, Forecast
from asr_transfer.adaptation.profile import Profile
from asr_transfer.commands.profile_on_model import load_with_profile
from asr_transfer.data.manifest import Utterance, write_manifest
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.decoding.settings import SutaConfig
from asr_transfer.evaluation.standard_error import in_points
from asr_transfer.models.adapters import base_checksum
from tests.adapting import QUICK, Ran, adapt, equal, recordings, run, weights
from tests.tones import make_speaker


@pytest.fixture(scope="module")
def kim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return ten recordings of a speaker some way off the training speakers, with a table."""
    return recordings(tmp_path_factory.mktemp("speaker"), "kim", 1.17, 10, 7)


@pytest.fixture(scope="module")
def adapted(tone_run: Path, kim: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return the run of `auto` on that folder."""
    return adapt(tone_run, kim, tmp_path_factory.mktemp("runs") / "kim", *QUICK, "--keep_suspicious")


def test_auto_shows_what_it_tried(adapted: Ran) -> None:
    assert "held-out recordings" in adapted.printed and "criterion" in adapted.printed and "chosen: " in adapted.printed
    assert "charac…" not in adapted.printed, "headings must not be cut where nobody sees the rest"
    about = adapted.record["adaptation"]
    assert about["method"] in ("full", "lhuc") and about["reason"] in adapted.printed
    assert f"chosen: {about['method']} lr" in adapted.printed
    assert all(f"→ {rung['errors']} of {rung['units']}" in adapted.printed for rung in about["ladder"])


def test_auto_keeps_what_it_tried_in_the_record(adapted: Ran) -> None:
    about = adapted.record["adaptation"]
    assert {rung["method"] for rung in about["ladder"]} == {"full", "lhuc"}
    for rung in about["ladder"]:
        assert rung["folds"] == 2 and rung["units"] > rung["source_errors"] >= rung["errors"] and rung["score"] < 1
        assert rung["forgetting"] is None
    assert about["choosing_cpu_seconds"] > 0 and about["left_out"] == [] and about["plan"]
    assert adapted.record["status"] == "finished" and adapted.record["data"]["adapt"]["utterances"] == 10
    assert (adapted.out / "model" / "config.yaml").is_file() and (adapted.out / "profile" / "profile.yaml").is_file()


def test_the_voice_is_told_before_anything_is_tried(adapted: Ran) -> None:
    assert "level dBFS" in adapted.printed and "all 10" in adapted.printed
    assert adapted.printed.index("level dBFS") < adapted.printed.index("held-out recordings")
    voice = adapted.record["adaptation"]["voice"]
    assert voice["all"]["seconds"] == pytest.approx(adapted.record["data"]["adapt"]["seconds"], abs=0.1)
    assert -30 < voice["all"]["level"] < -10 and voice["all"]["clipped"] == 0 and voice["standing_out"] == []


def test_model_and_base_with_profile_are_one_and_the_same(
    tone_run: Path, kim: Path, adapted: Ran, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(kim.glob("*.wav"))[:4]
    heard = []
    for chosen in ((adapted.out,), (tone_run, "--profile", adapted.out)):
        assert run("transcribe", "--model", *chosen, *files) == 0
        heard.append(capsys.readouterr().out)
    assert heard[0] == heard[1] and heard[0].count("\n") == 4
    assert equal(weights(adapted.out), weights(tone_run, adapted.out))
    assert not equal(weights(adapted.out), weights(tone_run))


def test_going_on_from_a_profile_begins_there_and_names_it(tone_run: Path, adapted: Ran, tmp_path: Path) -> None:
    base = (tone_run / "model" / "model.safetensors").read_bytes()
    first = {file.name: file.read_bytes() for file in (adapted.out / "profile").iterdir()}
    more = recordings(tmp_path, "kim", 1.17, 6, 8)
    test = recordings(tmp_path / "test", "kim", 1.17, 6, 9)
    later = adapt(tone_run, more, tmp_path / "later", "--profile", adapted.out, "--test", test, "--method", "full",
                  "--check", "false", "--steps", 5, "--learning_rate", 0.001, "--keep_suspicious")  # fmt: skip
    profile, parent = Profile.load(later.out / "profile"), Profile.load(adapted.out / "profile")
    assert profile.facts.parent == parent.checksum and profile.base == parent.base and profile.facts.utterances == 6
    assert equal(weights(later.out), weights(tone_run, later.out))
    assert (tone_run / "model" / "model.safetensors").read_bytes() == base
    assert {file.name: file.read_bytes() for file in (adapted.out / "profile").iterdir()} == first
    before = {}
    for name, options in (("base", ()), ("profile", ("--profile", adapted.out))):
        with contextlib.redirect_stdout(io.StringIO()):
            assert run("evaluate", "--model", tone_run, *options, "--data", test, "--out", tmp_path / name) == 0
        before[name] = Ran(tmp_path / name, "").record["scores"]["test"]["cer"]
    scored = later.record["scores"]["test"]["before"]["cer"]
    assert scored == before["profile"] != before["base"], "the profile must be what adaptation begins with"


def test_where_nothing_is_learnt_the_given_profile_stays(
    tone_run: Path, kim: Path, adapted: Ran, tmp_path: Path
) -> None:
    ran = adapt(tone_run, kim, tmp_path / "out", "--profile", adapted.out, "--method", "none", "--keep_suspicious")
    assert "stays the speaker's profile" in ran.printed and not (ran.out / "profile").exists()
    assert equal(weights(ran.out), weights(adapted.out))


def test_source_utterances_make_auto_replay_them_and_watch_forgetting(
    tone_run: Path, tone_corpus: dict[str, Path], kim: Path, tmp_path: Path
) -> None:
    ran = adapt(tone_run, kim, tmp_path / "out", *QUICK, "--source", tone_corpus["train"], "--source_utterances", 30,
                "--choice.with_source", "[full+replay]", "--keep_suspicious")  # fmt: skip
    assert ran.record["data"]["source"]["utterances"] == 30
    (rung,) = ran.record["adaptation"]["ladder"]
    assert rung["method"] == "full+replay" and isinstance(rung["forgetting"], float)
    assert in_points(rung["forgetting"], rung["forgetting_error"]) + " points" in ran.printed
    assert "others" in ran.printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--method", "replay", "--use_summary", "false"),
            "`replay` mixes source utterances in; give some with --source",
        ),
        ((*QUICK, "--choice.without_source", "[full, replay]"), "`replay` mixes source utterances in"),
        ((*QUICK, "--choice.without_source", "[full, suta]"), "`suta` trains nothing"),
        (("--settings.first", 2), "`settings.first` is 2"),
        (("--learning_rate", 0.01), "`learning_rate` is for a named method"),
        (("--strength", 0.5), "`strength` is for a named method"),
        (("--check", "false"), "`check` is for a named method"),
        (("--method", "full", "--check", "false", "--source", "SOURCE"), "reads no source utterances"),
        (("--method", "pseudo-label", "--source", "SOURCE"), "reads no source utterances"),
    ],
)
def test_what_cannot_work_or_would_be_ignored_is_refused_before_anything_is_written(
    tone_run: Path,
    tone_corpus: dict[str, Path],
    kim: Path,
    tmp_path: Path,
    options: tuple[object, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [tone_corpus["dev"] if option == "SOURCE" else option for option in options]
    assert run("adapt", "--model", tone_run, "--data", kim, "--out", tmp_path / "out", *given) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_method_that_makes_held_out_recordings_worse_leaves_the_model_alone(
    tone_run: Path, kim: Path, tmp_path: Path
) -> None:
    ran = adapt(tone_run, kim, tmp_path / "out", "--method", "full", "--learning_rate", 5, "--steps", 10,
                "--keep_suspicious")  # fmt: skip
    about = ran.record["adaptation"]
    assert about["method"] == "none" and "stays as it is" in about["reason"] and about["reason"] in ran.printed
    assert [rung["method"] for rung in about["ladder"]] == ["full"]
    assert equal(weights(ran.out), weights(tone_run)) and not (ran.out / "profile").exists()
    assert "trains nothing" in (ran.out / "model" / "README.md").read_text(encoding="utf-8")
    forced = adapt(tone_run, kim, tmp_path / "forced", "--method", "full", "--learning_rate", 5, "--steps", 2,
                   "--check", "false", "--keep_suspicious")  # fmt: skip
    assert forced.record["adaptation"]["method"] == "full" and not equal(weights(forced.out), weights(tone_run))


def test_a_single_recording_is_too_little_to_judge_on(tone_run: Path, tmp_path: Path) -> None:
    one = recordings(tmp_path, "lee", 1.1, 1, 3)
    ran = adapt(tone_run, one, tmp_path / "auto", *QUICK, "--keep_suspicious")
    assert ran.record["adaptation"]["method"] == "none" and equal(weights(ran.out), weights(tone_run))
    assert "one recording leaves none to hold out, so the model stays as it is" in ran.printed
    assert "Transfer plan" not in ran.printed, "there is none"
    named = adapt(tone_run, one, tmp_path / "named", "--method", "full", "--steps", 2, "--keep_suspicious")
    assert named.record["adaptation"]["method"] == "full" and "give --test" in named.printed


@pytest.fixture
def doubtful(tmp_path: Path, make_audio: Callable[..., Path]) -> Path:
    """Return a manifest of a speaker whom the model knows well, with one recording of each sort that is wrong."""
    made = make_speaker(tmp_path / "wav", "nia", 1.0, 12, 21)
    made.sort(key=lambda utterance: -len(utterance.text))
    names = {utterance.id: f"nia-{number}" for number, utterance in enumerate(made)}
    made = [replace(utterance, id=names[utterance.id]) for utterance in made]
    assert made[0].text != made[1].text, "the two longest are swapped"
    made[0], made[1] = replace(made[0], text=made[1].text), replace(made[1], text=made[0].text)
    loud = Path(made[4].audio)
    samples, rate = soundfile.read(loud)
    soundfile.write(loud, np.clip(samples * 30, -1, 1), rate)
    shutil.copy(made[5].audio, tmp_path / "wav" / "copy.wav")
    made.append(Utterance("copy", str(tmp_path / "wav" / "copy.wav"), made[5].duration, made[5].text, "nia", "en"))
    noise = make_audio(tmp_path / "wav" / "noise.wav", seconds=1.0)
    made.append(Utterance("noise", str(noise), 1.0, "abba", "nia", "en"))
    write_manifest(tmp_path / "nia.jsonl", made)
    return tmp_path / "nia.jsonl"


def test_what_is_wrong_with_recordings_is_said_by_name(tone_run: Path, doubtful: Path, tmp_path: Path) -> None:
    ran = adapt(tone_run, doubtful, tmp_path / "out", "--method", "none")
    lines = {line.split("'")[1]: line for line in ran.printed.splitlines() if line.startswith("utterance '")}
    assert "noise or a hum" in lines["noise"] and lines["noise"].endswith("It is left out.")
    assert "is clipped" in lines["nia-4"] and "left out" not in lines["nia-4"]
    assert "the same recording as utterance 'nia-5'" in lines["copy"] and "It is left out" not in lines["copy"]
    left_out = ran.record["adaptation"]["left_out"]
    assert {"noise: silence", "nia-0: suspicious", "nia-1: suspicious"} <= set(left_out)
    assert "its transcript says" in lines["nia-0"] and "but the model recognised" in lines["nia-0"]
    assert ran.record["data"]["adapt"]["utterances"] == 14 - len(left_out)
    log = (ran.out / "log.txt").read_text(encoding="utf-8")
    assert all(line in log for line in lines.values()), "findings belong to the run's log too"
    kept = adapt(tone_run, doubtful, tmp_path / "kept", "--method", "none", "--keep_suspicious")
    assert kept.record["adaptation"]["left_out"] == ["noise: silence"] and "utterance 'nia-0'" in kept.printed
    assert kept.record["data"]["adapt"]["utterances"] == 13


def test_silence_alone_is_refused_and_leaves_nothing_half_written(
    tone_run: Path, kim: Path, tmp_path: Path, make_audio: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    silent = [Utterance(f"q{n}", str(make_audio(tmp_path / f"q{n}{'x' * n}.wav", level=1e-4)), 0.5, "abba", "q", "en")
              for n in range(3)]  # fmt: skip
    write_manifest(tmp_path / "q.jsonl", silent)
    earlier = adapt(tone_run, kim, tmp_path / "earlier", "--method", "none", "--keep_suspicious")
    before = {file: file.read_bytes() for file in earlier.out.rglob("*") if file.is_file()}
    (tmp_path / "empty").mkdir()
    for out, options in ((tmp_path / "new", ()), (tmp_path / "empty", ()), (earlier.out, ("--overwrite",))):
        capsys.readouterr()
        assert run("adapt", "--model", tone_run, "--data", tmp_path / "q.jsonl", "--out", out, *options) == 1
        error = capsys.readouterr().err
        assert "none of the 3 recordings can be adapted to (q0: silence" in error and error.count("\n") == 1
    assert not (tmp_path / "new").exists() and not list((tmp_path / "empty").iterdir())
    assert {file: file.read_bytes() for file in earlier.out.rglob("*") if file.is_file()} == before


def test_a_profile_of_another_model_is_refused_with_both_checksums(
    tone_run: Path, kim: Path, adapted: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Recogniser.load(tone_run)
    with torch.no_grad():
        next(other.model.parameters()).add_(1e-3)
    other.save(tmp_path / "other", "", {})
    assert run("adapt", "--model", tmp_path / "other", "--profile", adapted.out, "--data", kim,
               "--out", tmp_path / "out") == 1  # fmt: skip
    error = capsys.readouterr().err
    assert base_checksum(Recogniser.load(tone_run).model)[:12] in error and error.count("\n") == 1
    assert base_checksum(other.model)[:12] in error and not (tmp_path / "out").exists()


def test_a_run_is_refused_resumed_or_replaced_with_its_profile(
    tone_run: Path, kim: Path, adapted: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(adapted.out, out)
    common = ("adapt", "--model", tone_run, "--data", kim, "--out", out, "--keep_suspicious")
    assert run(*common, *QUICK) == 1
    assert "already holds a run" in capsys.readouterr().err
    assert run(*common, "--method", "none", "--resume") == 1
    assert "cannot be resumed" in capsys.readouterr().err
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    record["config"]["out"] = str(out)
    (out / "run.json").write_text(json.dumps(record), encoding="utf-8")
    before = (out / "model" / "model.safetensors").stat().st_mtime_ns
    assert run(*common, *QUICK, "--resume") == 0
    assert "the run is finished already; nothing to do" in capsys.readouterr().out
    assert (out / "model" / "model.safetensors").stat().st_mtime_ns == before and (out / "profile").is_dir()
    assert run(*common, "--method", "none", "--overwrite") == 0
    assert not (out / "profile").exists() and equal(weights(out), weights(tone_run))


def test_pseudo_labels_need_no_transcripts_and_read_none(
    tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = recordings(tmp_path / "bare", "mia", 1.06, 6, 5, table=False)
    texts = recordings(tmp_path / "texts", "mia", 1.06, 6, 5)
    table = texts / "transcripts.tsv"
    table.write_text(table.read_text(encoding="utf-8").replace("\tabba", "\txyz! 7"), encoding="utf-8")
    options = ("--method", "pseudo-label+kld", "--steps", 4, "--learning_rate", 0.001, "--device", "cpu")
    sure = ("--settings.confidence", 0.3)
    ran = adapt(tone_run, bare, tmp_path / "out", *options, *sure)
    assert equal(weights(ran.out), weights(adapt(tone_run, texts, tmp_path / "same", *options, *sure).out))
    assert not equal(weights(ran.out), weights(tone_run)) and equal(weights(ran.out), weights(tone_run, ran.out))
    assert ran.record["data"]["adapt"]["utterances"] == 6 and ran.record["adaptation"]["ladder"] == []
    left_out = ran.record["adaptation"]["left_out"]
    assert all("its confidence is" in line and line.split(":")[0] in ran.printed for line in left_out)
    assert Profile.load(ran.out / "profile").facts.utterances == 6 - len(left_out)
    assert run("adapt", "--model", tone_run, "--data", bare, "--out", tmp_path / "no", *options,
               "--settings.confidence", 1.0) == 1  # fmt: skip
    assert "nowhere as sure as 1" in capsys.readouterr().err and not (tmp_path / "no").exists()


def test_suta_makes_a_model_that_adapts_to_each_recording(
    tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = recordings(tmp_path, "mia", 1.17, 6, 5, table=False)
    ran = adapt(tone_run, bare, tmp_path / "out", "--method", "suta", "--suta.steps", 3, "--suta.learning_rate", 0.05)
    assert equal(weights(ran.out), weights(tone_run))
    config = yaml.safe_load((ran.out / "model" / "config.yaml").read_text(encoding="utf-8"))
    assert config["origin"]["test_time"]["steps"] == 3
    loaded, plain = Recogniser.load(ran.out), Recogniser.load(tone_run)
    assert loaded.test_time == SutaConfig(steps=3, learning_rate=0.05)
    files = sorted(bare.glob("*.wav"))
    plain.test_time = loaded.test_time
    expected = plain.transcribe(files)
    plain.test_time = None
    assert expected != plain.transcribe(files), "large steps must change something, or the test sees nothing"
    profile = Profile.load(ran.out / "profile")
    assert not profile.tensors and profile.facts.utterances == 0 and profile.facts.test_time == loaded.test_time
    for options in (("--model", ran.out), ("--model", tone_run, "--profile", ran.out)):
        assert run("transcribe", *options, *files) == 0
        assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == expected


def test_a_profile_keeps_what_it_learnt_when_suta_is_added_and_suta_when_it_learns_more(
    tone_run: Path, kim: Path, adapted: Ran, tmp_path: Path
) -> None:
    ran = adapt(tone_run, kim, tmp_path / "suta", "--profile", adapted.out, "--method", "suta", "--suta.steps", 2)
    profile, parent = Profile.load(ran.out / "profile"), Profile.load(adapted.out / "profile")
    assert profile.facts.parent == parent.checksum == profile.checksum and profile.facts.test_time == SutaConfig(2)
    assert equal(weights(tone_run, ran.out), weights(adapted.out))
    again = adapt(tone_run, kim, tmp_path / "again", "--profile", ran.out, "--method", "suta", "--suta.steps", 2)
    assert "stays the speaker's profile" in again.printed and not (again.out / "profile").exists()
    later = adapt(tone_run, kim, tmp_path / "later", "--profile", ran.out, "--method", "lhuc", "--steps", 2,
                  "--check", "false", "--learning_rate", 0.1)  # fmt: skip
    profile = Profile.load(later.out / "profile")
    assert profile.facts.method == "lhuc" and profile.facts.test_time == SutaConfig(2) and profile.facts.utterances
    assert load_with_profile(tone_run, later.out).test_time == Recogniser.load(later.out).test_time == SutaConfig(2)


def test_folders_that_name_their_files_alike_are_kept_apart(tone_run: Path, kim: Path, tmp_path: Path) -> None:
    others = recordings(tmp_path, "kim", 0.9, 4, 31)
    test = recordings(tmp_path / "test", "kim", 1.17, 4, 32)
    ran = adapt(tone_run, kim, tmp_path / "out", "--method", "none", "--keep_suspicious", "--test", test,
                "--others", others)  # fmt: skip
    for name, data in (("test", test), ("others", others)):
        with contextlib.redirect_stdout(io.StringIO()):
            assert run("evaluate", "--model", tone_run, "--data", data, "--out", tmp_path / f"{name}-alone") == 0
        alone = Ran(tmp_path / f"{name}-alone", "").record["scores"]["test"]
        assert ran.record["scores"][name]["before"] == alone == ran.record["scores"][name]["after"]
    lines = (ran.out / "hypotheses.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["id"] for line in lines} == {f"kim-{n}" for n in range(4)}, "compared runs share ids"


def test_what_more_recordings_would_give_is_said_and_kept(adapted: Ran) -> None:
    lines = [line for line in adapted.printed.splitlines() if line.startswith("10 more recordings: ")]
    assert len(lines) == 1 and "; 50 more: " in lines[0] and "worth it" in lines[0]
    kept = adapted.record["adaptation"]["forecast"]
    assert str(Forecast.from_plain(kept, "run.json")) == lines[0]
    assert kept["recordings"] == 10 and [one["more"] for one in kept["more"]] == [10, 50]


def test_python_is_told_what_more_recordings_would_give(
    tone_run: Path, kim: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"method": "full", "steps": 3, "device": "cpu", "use_summary": False, "keep_suspicious": True}
    made = at.adapt(tone_run, kim, tmp_path / "named", **asked)
    assert str(made.forecast) in capsys.readouterr().out and made.forecast.constants == KINDS["sentences"]
    again = at.adapt(tone_run, kim, tmp_path / "named", **asked, resume=True)
    assert again.forecast == made.forecast
    single = at.adapt(tone_run, kim, tmp_path / "single", **asked, utterances=1)
    assert single.forecast.reason == "one recording leaves none to hold out; record more"
