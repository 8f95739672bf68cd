"""The command line end to end on a toy corpus, and what it says to a user's mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from asr_transfer import commands
from asr_transfer.cli import COMMANDS, build_parser, main
from asr_transfer.decoding.recogniser import Recogniser
from tests.adapting import Ran, adapt
from tests.tones import TINY, make_speaker, speak


def run(*arguments: object) -> int:
    """Run a command."""
    return main([str(argument) for argument in arguments])


def test_train_writes_a_run_folder_with_a_model_that_recognises(tone_run: Path) -> None:
    record = json.loads((tone_run / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "finished"
    assert record["data"]["train"]["speakers"] == 6 and record["data"]["test"]["utterances"] == 48
    assert record["config"]["model"]["encoder"] == "tdnn" and record["versions"]["torch"].startswith("2.11")
    assert record["time"]["cpu_seconds"] > 0 and record["peak_memory_mb"] > 50
    assert [entry["step"] for entry in record["history"]] == [50, 100, 150]
    assert record["best"]["wer"] == min(entry["wer"] for entry in record["history"])
    assert record["scores"]["test"]["wer"] < 0.9
    hypotheses = [json.loads(line) for line in (tone_run / "hypotheses.jsonl").read_text().splitlines()]
    assert len(hypotheses) == 48 and {h["speaker"] for h in hypotheses} == {"ida", "jon"}
    assert "WER" in (tone_run / "scores.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ida(tone_run: Path, tone_corpus: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return the model adapted to a speaker by the one method that was named, and what was said on the way."""
    before = (tone_run / "model" / "model.safetensors").read_bytes()
    ran = adapt(tone_run, tone_corpus["test"], tmp_path_factory.mktemp("adapted") / "ida", "--speaker", "ida",
                "--utterances", 12, "--method", "full", "--steps", 60, "--learning_rate", 0.003,
                "--others", tone_corpus["train"])  # fmt: skip
    assert (tone_run / "model" / "model.safetensors").read_bytes() == before, "the source model must stay as it is"
    return ran


def test_adapt_improves_the_new_speaker(ida: Ran, tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path) -> None:
    texts = {}
    for name, model in (("before", tone_run), ("after", ida.out)):
        assert run("evaluate", "--model", model, "--data", tone_corpus["test"], "--speaker", "ida",
                   "--out", tmp_path / name) == 0  # fmt: skip
        texts[name] = json.loads((tmp_path / name / "run.json").read_text())["scores"]["test"]["wer"]
    assert texts["after"] < 0.7 * texts["before"]


def test_adapt_says_what_it_cost(ida: Ran) -> None:
    assert "held-out recordings" in ida.printed and "chosen: full lr 0.003" in ida.printed
    assert "others: WER" in ida.printed and "Transfer plan" in ida.printed
    record = ida.record
    assert record["data"]["adapt"]["utterances"] == 12 and set(record["scores"]) == {"others", "judged"}
    (rung,) = record["adaptation"]["ladder"]
    assert (rung["method"], rung["learning_rate"], rung["strength"], rung["folds"]) == ("full", 0.003, 1.0, 3)
    assert rung["errors"] < rung["source_errors"] and rung["score"] < 1 and rung["refused"] == ""
    assert f"{rung['source_errors']} → {rung['errors']} of {rung['units']}" in ida.printed
    assert record["adaptation"]["method"] == "full" and record["adaptation"]["reason"] in ida.printed


def test_adapt_and_transcribe_on_an_ordinary_folder(
    tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_speaker(tmp_path / "mine", "kim", 1.1, 6, seed=7)
    for utterance in made:
        Path(utterance.audio).with_suffix(".txt").write_text(utterance.text.upper() + "\n", encoding="utf-8")
    folder = tmp_path / "mine" / "kim"
    assert run("adapt", "--model", tone_run, "--data", folder, "--out", tmp_path / "kim", "--method", "kld",
               "--steps", 10) == 0  # fmt: skip
    capsys.readouterr()
    assert run("transcribe", "--model", tmp_path / "kim", made[0].audio, made[1].audio) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [made[0].audio, made[1].audio]
    assert set(lines[0].split("\t")[1]) <= set("abcdef ")


def test_transcribe_goes_on_after_a_bad_file(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = next((tone_corpus["test"].parent / "wav" / "ida").glob("*.wav"))
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF....nonsense")
    assert run("transcribe", "--model", tone_run, broken, good) == 1
    captured = capsys.readouterr()
    assert str(good) in captured.out and "broken.wav" in captured.err and captured.err.count("\n") == 1


def test_transcribing_alone_equals_evaluating_in_batches(tone_run: Path, tone_corpus: dict[str, Path]) -> None:
    lines = [json.loads(line) for line in (tone_run / "hypotheses.jsonl").read_text().splitlines()]
    recogniser = Recogniser.load(tone_run)
    for line in lines[:5]:
        file = tone_corpus["test"].parent / "wav" / line["speaker"] / f"{line['id']}.wav"
        assert recogniser.transcribe([file]) == [line["hypothesis"]]


@pytest.fixture
def short(tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path) -> list[object]:
    """Return the command of a run of two steps, which is finished."""
    arguments = ["train", "--train", tone_corpus["train"], "--out", tmp_path / "run", *TINY,
                 "--trainer.steps", 2, "--trainer.validate_every", 0]  # fmt: skip
    assert run(*arguments) == 0
    return arguments


def test_a_finished_run_is_refused_or_resumed(short: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*short) == 1
    assert "already holds a run; give --resume" in capsys.readouterr().err
    assert run(*short, "--resume") == 0
    assert "finished already" in capsys.readouterr().out
    assert run(*short, "--resume", "--trainer.learning_rate", 0.5) == 1
    assert "`trainer.learning_rate` was 0.01 and is now 0.5" in capsys.readouterr().err


def test_a_finished_run_is_replaced_when_that_is_asked(short: list[object], tmp_path: Path) -> None:
    weights = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    assert run(*short, "--resume", "--overwrite") == 1
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == weights
    assert run(*short, "--overwrite", "--trainer.learning_rate", 0.5) == 0
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() != weights


def test_a_folder_with_other_things_is_never_overwritten(
    tone_corpus: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    assert run("train", "--train", tone_corpus["train"], "--out", tmp_path, "--overwrite") == 1
    assert "is not empty and holds no run" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["trian"], 2, "Did you mean 'train'?"),
        (["prepare", "an5"], 2, "Did you mean 'an4'?"),
        (["train", "--train", "x", "--out", "y", "--model.encodr", "tdnn"], 2, "Did you mean 'model.encoder'?"),
        (["train", "--train", "x", "--out", "y", "--model.encoder", "lstm"], 2, "bilstm"),
        (["train", "--train", "x", "--out", "y", "--trainer.steps", "many"], 2, "trainer.steps"),
        (["train", "--train", "x", "--out", "y", "--trainer.steps", "0"], 1, "`trainer.steps` must be at least 1"),
        (["train", "--train", "x", "--out", "y", "--model.strides", "[2,9]"], 1, "`model.strides`"),
        (["train", "--train", "nowhere.jsonl", "--out", "y"], 1, "nowhere.jsonl: there is no such manifest"),
        (["train", "--train", "x", "--out", "y", "--trainer.patience", "3"], 1, "`trainer.patience` needs"),
        (["transcribe", "--model", "nowhere", "a.wav"], 1, "nowhere: there is no such model folder"),
        (["adapt", "--model", "nowhere", "--data", "x", "--out", "y"], 1, "no such model folder"),
        (["transcribe", "--model", "a.file", "a.wav"], 1, "a.file: is a file, and a model is a folder that `train`, "),
        (["transcribe", "--model", "a.file", "--language", "auto", "a.wav"], 1, "a.file: is a file"),
        (["evaluate", "--model", "a.file", "--data", "x", "--out", "y"], 1, "a.file: is a file"),
        (["adapt", "--model", "a.file", "--data", "x", "--out", "y"], 1, "a.file: is a file"),
        (["learn", "--model", "a.file", "--data", "x", "--language", "mk", "--out", "y"], 1, "a.file: is a file"),
        (["tune", "--model", "a.file", "--data", "x", "--lexicon", "x", "--lm", "x", "--out", "y"], 1, "is a file"),
        (["profile", "merge", "--model", "a.file", "--profile", "x", "--out", "y"], 1, "a.file: is a file"),
        (["lexicon", "check", "x", "--model", "a.file"], 1, "a.file: is a file"),
        (["transcribe", "--model", "m/model.safetensors", "a.wav"], 1, "`adapt` wrote; give that, perhaps m."),
        (["train"], 2, "required"),
    ],
)
def test_mistakes_get_one_sentence(
    arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    for name in ("a.file", "m/config.yaml", "m/model.safetensors"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    assert main(arguments) == status
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "Traceback" not in error
    assert not (tmp_path / "y").exists(), "a refused command must leave nothing behind"


def test_unknown_key_in_a_yaml_file_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("trainer:\n  stepps: 3\n", encoding="utf-8")
    assert run("train", "--config", tmp_path / "c.yaml", "--train", "x", "--out", tmp_path / "y") == 2
    assert "`trainer.stepps` is not known. Did you mean 'trainer.steps'?" in capsys.readouterr().err


def test_a_stray_word_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lm", "make", "texts.txt", "--text", "a.txt", "--out", "x") == 2
    assert capsys.readouterr().err == ("asr-transfer: 'texts.txt' belongs to no option. See --help for the options.\n")


def test_an_out_that_cannot_be_a_folder_is_refused(
    tone_corpus: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    for out, message in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "below", "can be written below"),
    ):
        assert run("train", "--train", tone_corpus["train"], "--out", out) == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_yaml_is_overridden_by_the_command_line(
    tone_corpus: dict[str, Path], feature_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text("trainer: {steps: 3, seed: 5, validate_every: 0}\n", encoding="utf-8")
    tiny = [option for option in TINY if option not in ("--trainer.validate_every", "50")]
    assert run("train", *tiny, "--config", tmp_path / "c.yaml", "--train", tone_corpus["train"],
               "--out", tmp_path / "y", "--trainer.steps", 2) == 0  # fmt: skip
    config = json.loads((tmp_path / "y" / "run.json").read_text())["config"]
    assert config["trainer"]["steps"] == 2 and config["trainer"]["seed"] == 5


def test_adapting_refuses_what_cannot_work(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["adapt", "--model", tone_run, "--data", tone_corpus["test"], "--out", tmp_path / "out"]
    for extra, message in (
        (["--speaker", "nobody"], "there is no utterance of speaker 'nobody'"),
        (["--speaker", "ida", "--utterances", 99], "speaker 'ida' has 24 utterances but 99 were asked for"),
        (["--method", "fulll"], "there is no adaptation method 'fulll'. Did you mean 'full'?"),
        (["--method", "kld+kld"], "stands twice"),
        (["--test", tone_corpus["test"]], "stands in the data and in --test"),
        (["--settings.rho", 1.5], "`settings.rho` must be from 0 to 1"),
        (["--settings.first", 9, "--method", "first-layers"], "`settings.first` is 9 but the encoder has 2 layers"),
    ):
        assert run(*common, *extra) == 1, extra
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists(), extra


def test_a_transcript_the_model_cannot_spell_names_utterance_and_letters(
    tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_speaker(tmp_path / "mine", "lee", 1.0, 2, seed=3)
    Path(made[0].audio).with_suffix(".txt").write_text("ace xyz!\n", encoding="utf-8")
    Path(made[1].audio).with_suffix(".txt").write_text("ace\n", encoding="utf-8")
    assert run("adapt", "--model", tone_run, "--data", tmp_path / "mine" / "lee", "--out", tmp_path / "out") == 1
    assert not (tmp_path / "out").exists()
    error = capsys.readouterr().err
    assert "lee-0" in error and "'!', 'x', 'y', 'z'" in error and "rewrite the transcript" in error


def test_a_damaged_model_is_named(tone_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for damage, message in (
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 50), "model.safetensors: is cut off"),
        (lambda f: (f / "tokens.txt").write_text("# units: characters\n<blank>\na\n"), "tokens.txt lists 2 tokens"),
        (lambda f: (f / "config.yaml").write_text("format: 1\nmodel: {layrs: 2}\nheads: {en: 3}\n"), "`model.layrs`"),
        (lambda f: (f / "config.yaml").unlink(), "is not a model folder"),
    ):
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tone_run / "model", folder)
        damage(folder)  # type: ignore[no-untyped-call]
        assert run("transcribe", "--model", folder, "a.wav") == 1
        assert message in capsys.readouterr().err


def test_help_needs_no_torch() -> None:
    """The parser is built without importing torch, so that help and mistakes answer at once."""
    import subprocess
    import sys

    code = "import sys; from asr_transfer.cli import build_parser; build_parser(); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_by_itself_says_what_it_says_among_all(name: str) -> None:
    """Only the command that is asked for is declared, for declaring all takes a third of a second."""
    (_, every), (_, alone) = build_parser(), build_parser([name])
    own = {part: parser for part, parser in every.items() if part.split()[0] == name}
    assert own.keys() == alone.keys()
    assert all(parser.format_help() == alone[part].format_help() for part, parser in own.items())


def test_every_module_of_a_command_is_one() -> None:
    """A command that is not named in the list could not be called."""
    folder = Path(commands.__file__).parent
    found = {file.stem for file in folder.glob("*.py") if "\nCOMMAND = Command(" in file.read_text(encoding="utf-8")}
    assert found == set(COMMANDS)


def test_who_listens_loads_nothing_that_trains() -> None:
    """SpeechBrain and scipy's statistics took half of the time in which one recording was transcribed."""
    import subprocess
    import sys

    code = (
        "import sys; from asr_transfer.commands import listen, language; from asr_transfer.training import hypotheses; "
        "assert 'torch' in sys.modules; assert not {'speechbrain', 'scipy', 'transformers'} & set(sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_preparing_evaluating_and_showing_load_nothing_that_they_do_not_need(
    tone_run: Path, tone_corpus: dict[str, Path], tmp_path: Path
) -> None:
    """Torch and scipy's statistics took most of the time in which a corpus of a thousand recordings was prepared."""
    import subprocess
    import sys

    code = (
        "import sys; from asr_transfer.cli import main; "
        "from asr_transfer.data.manifest import Utterance, manifest_text; "
        "from data_prep import registry; from data_prep.transcripts import usual_seconds; registry.commands(); "
        "usual_seconds([(1, 1.0), (2, 2.0)]); "
        "manifest_text('m.jsonl', [Utterance('a', '/a.wav', 1.0, 'a', 'b', 'en')]); "
        "run, model, data, out = sys.argv[1:]; assert main(['show', run]) == 0; "
        "assert not {'torch', 'scipy.stats'} & set(sys.modules); "
        "assert main(['evaluate', '--model', model, '--data', data, '--out', out]) == 0; "
        "assert not {'speechbrain', 'scipy', 'transformers'} & set(sys.modules)"
    )
    given = [str(tone_run), str(tone_run / "model"), str(tone_corpus["test"]), str(tmp_path / "evaluated")]
    found = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_tones_differ_by_letter() -> None:
    """The toy corpus itself: different letters give different spectra, so that a failing model is not its fault."""
    first, second = (torch.fft.rfft(torch.from_numpy(speak(letter * 3, 1.0, 0))).abs().argmax() for letter in "ab")
    assert first != second
