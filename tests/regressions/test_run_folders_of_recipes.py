"""A run folder is the run's own, for every command and recipe: emptied by --overwrite, resumed with the same data only.

Each of them is stopped as soon as it would begin to compute, so that nothing is trained.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_transfer.adaptation.usable_recordings import Vetted
from asr_transfer.cli import main
from asr_transfer.config import FeatureConfig, ModelConfig
from asr_transfer.data.lexicon import Lexicon
from asr_transfer.data.manifest import Utterance, read_manifest, write_manifest
from asr_transfer.data.tokens import Tokens
from asr_transfer.data.voice import Diagnosis, Measured
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.errors import DataError
from asr_transfer.experiments.languages.points import Corpora
from asr_transfer.models.acoustic import AcousticModel
from asr_transfer.runs import attempts
from asr_transfer.runs.record import read_record
from data_prep import multilingual
from tests.real_runs import ROOT, load

TEXTS = ("你好", "好你", "你你", "好好")
PHONES = {"你": "n i3", "好": "h ao3"}


def _write(folder: Path, name: str, language: str, splits: Sequence[str] = ("train", "dev", "test")) -> Path:
    """Write manifests whose recordings nobody reads."""
    for split in splits:
        made = []
        for number, text in enumerate(TEXTS):
            spoken = " ".join(PHONES[letter] for letter in text)
            key = f"{name}-{split}-{number}"
            made.append(Utterance(key, f"{key}.wav", 1.5, text, f"ann-{split}", language, pronunciation=spoken))
        write_manifest(folder / name / f"{split}.jsonl", made)
    return folder / name


@dataclass(frozen=True)
class Ways:
    """How a command or recipe is run on toy data, and what of it can change.

    Attributes:
        run: runs it with further options and returns its status.
        changing: manifests and files, any of which the run has to notice a change of.
    """

    run: Callable[..., int]
    changing: Sequence[Path]


def _begun(*arguments: object, **options: object) -> Any:
    raise DataError("all is ready to begin.")


def _model(folder: Path) -> Path:
    network = ModelConfig("tdnn", layers=1, dim=8, channels=8, features=FeatureConfig(mels=8))
    torch.manual_seed(0)
    model = AcousticModel(network, {"cmn": 3})
    Recogniser(model, Tokens(["你", "好"]), "cmn", {}).save(folder / "model", "card", {})
    return folder


def _recipe(path: str, stop_at: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = load(ROOT / "recipes" / f"{path}.py")
    monkeypatch.setattr(module, stop_at, _begun)
    return module


def _languages(name: str, stop_at: str, more: Sequence[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    module = _recipe(f"multilingual/{name}", stop_at, monkeypatch)
    sources = {n: _write(folder, n, code) for n, code in (("asterisk-en", "en"), ("fillets-nl", "nl"))}
    targets = {"hsk": _write(folder, "hsk", "cmn", ("train", "dev", "test", "syllables"))}
    targets["gcin"] = _write(folder, "gcin", "cmn", ("train", "dev", "test"))

    def prepare(speech: object, out: Path, say: object, wanted: Any = (), *_: object, **__: object) -> Any:
        (out / "asterisk-en").mkdir(parents=True, exist_ok=True)
        (out / "asterisk-en" / "train.jsonl").touch()
        return multilingual.Corpora({} if wanted is None else sources, {n: targets[n] for n in own})

    own = ["hsk", "gcin"] if name == "new_speaker" else ["hsk"]
    monkeypatch.setattr("asr_transfer.experiments.languages.options.prepare_languages", prepare)
    given = ["--learn.units", "toneless-phones"] if name == "new_speaker" else []
    changing = [sources["fillets-nl"] / "train.jsonl", targets["hsk"] / "train.jsonl", targets["hsk"] / "dev.jsonl"]
    if name == "new_speaker":
        changing += [targets["gcin"] / "train.jsonl", targets["hsk"] / "syllables.jsonl"]
    return Ways(
        lambda out, *options: module.script(module.Recipe, module.run, [*given, *more, "--out", str(out), *options]),
        changing,
    )


def _curve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    return _languages("curve", "run_curve", [], folder, monkeypatch)


def _negative(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    return _languages("negative_transfer", "run_negative", [], folder, monkeypatch)


def _pairs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    return _languages("transfer_table", "run_pairs", [], folder, monkeypatch)


def _new_speaker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    return _languages("new_speaker", "run_new_speaker", [], folder, monkeypatch)


def _identification(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    module = _recipe("multilingual/identification", "identified", monkeypatch)
    sources = {n: _write(folder, n, code) for n, code in (("asterisk-en", "en"), ("fillets-nl", "nl"))}
    monkeypatch.setattr(module, "prepare_languages", lambda *_, **__: multilingual.Corpora(sources, {}))
    tested = Corpora.from_folders(sources, {}, splits=multilingual.SOURCE_SPLITS)
    given = ["--source_model", str(_model(folder / "base"))]
    return Ways(
        lambda out, *options: module.script(module.Recipe, module.run, [*given, "--out", str(out), *options]),
        [Path(path) for path in tested.source_tests.values()] + [folder / "base" / "model"],
    )


def _forgetting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    return _speakers(folder, monkeypatch, "forgetting", "run_predicted", ["--protocol.judged_utterances", "9"])


def _speakers(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str = "run",
    stop_at: str = "run_experiment",
    more: Sequence[str] = (),
) -> Ways:
    module = _recipe(f"speaker_adaptation/{name}", stop_at, monkeypatch)
    corpus = _write(folder, "tones", "cmn")
    found = {split: corpus / f"{split}.jsonl" for split in ("train", "dev", "test")}
    monkeypatch.setattr("asr_transfer.experiments.speakers.options.prepare", lambda *arguments: found)
    given = ["--corpus", "synthetic", *more]
    return Ways(
        lambda out, *options: module.script(module.Recipe, module.run, [*given, "--out", str(out), *options]),
        list(found.values()),
    )


def _words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    module = load(ROOT / "recipes" / "zero_shot_words" / "run.py")
    monkeypatch.setattr("asr_transfer.experiments.words.experiment.refuse_leaks", _begun)
    corpus = _write(folder, "words", "cmn")
    Lexicon.from_pairs((text, " ".join(PHONES[x] for x in text)) for text in TEXTS).save(corpus / "hsk_lexicon.txt")
    more = _write(folder, "more", "cmn", ("train",)) / "train.jsonl"
    given = ["--corpus", "hsk", "--root", str(corpus), "--also", f"[{more}]", "--learn.model.encoder", "tdnn"]
    return Ways(
        lambda out, *options: module.script(module.Recipe, module.run, [*given, "--out", str(out), *options]),
        [corpus / "train.jsonl", corpus / "test.jsonl", more, corpus / "hsk_lexicon.txt"],
    )


def _sentences(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    module = load(ROOT / "recipes" / "zero_shot_words" / "sentences.py")
    monkeypatch.setattr("asr_transfer.experiments.sentences.experiment.build_store", _begun)
    corpus, model = _write(folder, "sentences", "cmn"), _model(folder / "base")
    (folder / "more.txt").write_text("好 你\n", encoding="utf-8")
    given = ["--model", str(model), "--corpus", str(corpus), "--more", f"[{folder / 'more.txt'}]"]
    return Ways(
        lambda out, *options: module.script(module.Recipe, module.run, [*given, "--out", str(out), *options]),
        [*(corpus / f"{split}.jsonl" for split in ("train", "dev", "test")), folder / "more.txt", model / "model"],
    )


def _train(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    monkeypatch.setattr("asr_transfer.data.features.build_store", lambda *arguments: None)
    monkeypatch.setattr("asr_transfer.training.session.require_trainable", lambda *arguments: None)
    monkeypatch.setattr("asr_transfer.training.precision.precise", lambda trainer, *arguments: trainer)
    monkeypatch.setattr("asr_transfer.adaptation.adaptable_source.train_source", _begun)
    corpus = _write(folder, "chars", "cmn")
    given = [word for split in ("train", "dev", "test") for word in (f"--{split}", str(corpus / f"{split}.jsonl"))]
    return Ways(
        lambda out, *options: main(["train", *given, "--out", str(out), *options]),
        [corpus / f"{split}.jsonl" for split in ("train", "dev", "test")],
    )


QUIET = Diagnosis((Measured("own", 1.0, None, -30.0, 0.0, 0.1, None),), 1)


def _adapt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    """Return `adapt` with ears that hear nothing: it vets recordings before it opens a new run's folder."""
    monkeypatch.setattr("asr_transfer.commands.adapt_run.build_store", lambda *arguments: None)
    monkeypatch.setattr("asr_transfer.commands.adapt_run.vet", lambda source, own, *more: Vetted(own, [], []))
    monkeypatch.setattr("asr_transfer.commands.adapt_run.diagnose", lambda recordings: QUIET)
    monkeypatch.setattr("asr_transfer.commands.adapt_run.choose_method", _begun)
    speech = _write(folder, "own", "cmn", ("own", "test", "others", "source"))
    model = _model(folder / "base")
    given = ["--model", str(model), "--method", "full", "--data", str(speech / "own.jsonl")]
    given += [word for part in ("test", "others", "source") for word in (f"--{part}", str(speech / f"{part}.jsonl"))]
    return Ways(
        lambda out, *options: main(["adapt", *given, "--out", str(out), *options]),
        [*(speech / f"{part}.jsonl" for part in ("own", "test", "others", "source")), model / "model"],
    )


RECIPES: dict[str, Callable[[Path, pytest.MonkeyPatch], Ways]] = {
    "curve": _curve,
    "negative_transfer": _negative,
    "transfer_table": _pairs,
    "new_speaker": _new_speaker,
    "identification": _identification,
    "forgetting": _forgetting,
    "speaker_adaptation": _speakers,
    "zero_shot_words": _words,
    "sentences": _sentences,
    "train": _train,
    "adapt": _adapt,
}


@pytest.fixture(params=list(RECIPES))
def ways(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    """Return one command or recipe after the other."""
    monkeypatch.setattr(attempts, "code", lambda: {"commit": None, "changes": None})  # asking git takes its time
    return RECIPES[request.param](tmp_path / "given", monkeypatch)


def _alter(file: Path) -> None:
    """Change what a manifest, a lexicon, a text or a model says, in one place."""
    if file.is_dir():
        tokens = file / "tokens.txt"
        tokens.write_text(tokens.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    elif file.suffix == ".jsonl":
        first, *rest = read_manifest(file)
        write_manifest(
            file, [replace(first, duration=first.duration + 0.25), *rest[:-1], replace(rest[-1], text="好你")]
        )
    elif file.name.endswith("lexicon.txt"):
        file.write_text(file.read_text(encoding="utf-8").replace("n i3 n i3", "n i3 n i3 n i3"), encoding="utf-8")
    else:
        file.write_text(file.read_text(encoding="utf-8") + "你\n", encoding="utf-8")


READY = "all is ready to begin"


def test_a_run_that_is_killed_has_noted_its_data_and_may_be_moved(
    ways: Ways, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert ways.run(out) == 1
    assert READY in (told := capsys.readouterr().err), told
    assert read_record(out)["data"], "a run that is killed has noted its data"
    assert not (out / "run.lock").exists()
    shutil.move(out, tmp_path / "moved")
    assert ways.run(tmp_path / "moved", "--resume") == 1 and READY in capsys.readouterr().err


def test_resuming_takes_the_data_that_the_run_began_with_and_no_other(
    ways: Ways, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert ways.run(out) == 1
    capsys.readouterr()
    for file in ways.changing:
        kept = tmp_path / "kept"
        (shutil.copytree if file.is_dir() else shutil.copy)(file, kept)
        _alter(file)
        assert ways.run(out, "--resume") == 1
        told = capsys.readouterr().err
        assert "cannot be resumed, for the content of `" in told and told.count("\n") == 1, (file, told)
        assert "--overwrite would delete all" in told
        assert ways.run(out, "--resume") == 1 and "cannot be resumed" in capsys.readouterr().err, "refused for good"
        (shutil.rmtree if file.is_dir() else Path.unlink)(file)
        shutil.move(kept, file)
    assert ways.run(out, "--resume") == 1 and READY in capsys.readouterr().err


def test_overwriting_empties_the_folder(ways: Ways, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert ways.run(out) == 1 and "all is ready to begin" in capsys.readouterr().err
    begun = {path.name for path in out.iterdir()}
    names = "points sources corpora corpus plots syllables data searches aligner models halves systems checkpoints"
    for name in names.split():
        (out / name / "old").mkdir(parents=True, exist_ok=True)
        (out / name / "old" / "run.json").write_text(json.dumps({"status": "finished"}), encoding="utf-8")
    for name in ("curve-words.svg", "left_out.txt", "trials.jsonl", "table.md", "lm.arpa", "hypotheses.jsonl"):
        (out / name).write_text("old", encoding="utf-8")
    assert ways.run(out) == 1 and "already holds a run" in capsys.readouterr().err
    assert (out / "lm.arpa").is_file()
    assert ways.run(out, "--overwrite") == 1 and "all is ready to begin" in capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == begun
    assert not list(out.glob("*/old"))
