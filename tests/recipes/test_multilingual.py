"""The multilingual recipes: their settings parse, a small run goes from prepared corpora to the table, and on again."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from asr_transfer.data.manifest import read_manifest, write_manifest
from asr_transfer.decoding.recogniser import Recogniser
from asr_transfer.experiments.core.jobs import run_job
from asr_transfer.experiments.languages.identification import identification_table
from asr_transfer.experiments.languages.points import Corpora
from asr_transfer.experiments.languages.sources import SourceModel, TrainSource
from asr_transfer.runs.record import read_record
from data_prep.multilingual import SOURCE_SPLITS
from tests.language_sweeps import make_folders, source_config
from tests.real_runs import ROOT, load

FOLDER = ROOT / "recipes" / "multilingual"
SETTINGS = sorted(path for path in (FOLDER / "hparams").glob("*.yaml") if not path.stem.startswith("base"))
"""Settings of recipes; `base` and `base_whisper` are of `asr-transfer train`."""
OVER = {
    "variants": ("curve",), "one_language": ("curve",), "whisper_tiny": ("curve",),
    "whisper_tiny_transfer": ("curve", "whisper_tiny"), "new_speaker_whisper": ("new_speaker",),
}  # fmt: skip
"""Settings that change other files'."""

TINY = """--source.model.encoder tdnn --source.model.layers 1 --source.model.dim 12 --source.model.channels 12
--source.model.features.mels 16 --source.speeds [1.0] --learn.speeds [1.0] --learn.units characters --workers 1"""


def _arguments(settings: Path) -> tuple[ModuleType, list[str]]:
    names = (*OVER.get(settings.stem, ()), settings.stem)
    files = [settings.with_name(f"{name}.yaml") for name in names]
    return load(FOLDER / f"{names[0]}.py"), [word for file in files for word in ("--config", str(file))]


@pytest.mark.parametrize("path", SETTINGS, ids=lambda p: p.stem)
def test_settings_parse_and_hold_no_code(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    assert isinstance(values, dict) and "!" not in re.sub(r"#.*", "", text)
    recipe, given = _arguments(path)
    seen: list[Any] = []
    assert recipe.script(recipe.Recipe, seen.append, [*given, "--out", "x"]) == 0
    for name, value in values.items():
        if isinstance(value, list):
            assert list(getattr(seen[0], name)) == value
    assert seen[0].source.trainer.steps >= 200 and not seen[0].quick
    shortened = seen[0].shortened()
    assert shortened.source.trainer.steps == seen[0].source.trainer.steps // 10
    assert recipe.script(recipe.Recipe, seen.append, [*given, "--out", "x", "--learn.trainer.stps", "1"]) == 2
    assert recipe.script(recipe.Recipe, seen.append, [*given, "--out", "x", "--quick", "--backend", "ray"]) == 0
    assert seen[1].quick is True and seen[1].backend == "ray"


@pytest.mark.parametrize("name", ["curve", "negative_transfer", "new_speaker", "transfer_table"])
def test_help_tells_what_the_recipes_share(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = load(FOLDER / f"{name}.py")
    with pytest.raises(SystemExit):
        recipe.script(recipe.Recipe, recipe.run, ["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "--out OUT Run folder to write. (required, type: <class 'Path'>)" in told
    assert "Parallel processes, of one thread each; at least 1. (type: int, default: 2)" in told
    assert "--source.model.layers LAYERS" in told and "Unvalidated" not in told


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of manifests as `prepare_languages` leaves them: two sources, and a target for both test sets."""
    folder = tmp_path_factory.mktemp("prepared")
    made = make_folders(folder)
    for language, name in (("en", "asterisk-en"), ("nl", "fillets-nl"), ("fr", "hsk"), ("fr", "aishell")):
        for split in ("train", "dev", "test"):
            part = read_manifest(made[language] / f"{split}.jsonl")
            if language == "fr":
                part = [replace(u, language="cmn") for u in part[int(name == "aishell") :: 2]]
            write_manifest(folder / "corpora" / name / f"{split}.jsonl", part)
    write_manifest(folder / "corpora" / "hsk" / "syllables.jsonl", part)
    return folder / "corpora"


@pytest.mark.parametrize(
    ("name", "more", "models"),
    [
        (
            "curve",
            "--amounts [0.05] --amounts_of {} --seeds_of {} --systems [scratch-long,transfer] --seeds [0] "
            "--extra_seeds []",
            2,
        ),
        (
            "curve",
            "--quick --amounts [0.05,0.1,0.2] --amounts_of '{joint: [], transfer-head: [0.2]}'",
            5,
        ),
        ("negative_transfer", "--languages [] --minutes 0.05 --designs [leave-out]", 3),
        (
            "transfer_table",
            "--minutes 0.04 --source_minutes 0.05 --languages [en,nl] --seeds [0] --source.units_of {}",
            8,
        ),
    ],
)
def test_a_recipe_runs_from_prepared_corpora_and_goes_on(
    name: str,
    more: str,
    models: int,
    prepared: Path,
    feature_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "nothing"))
    recipe, given = _arguments(FOLDER / "hparams" / f"{name}.yaml")
    folders = {path.name: path for path in sorted(prepared.iterdir())}
    targets = {n: folders.pop(n) for n in ("hsk", "aishell")}
    if name == "transfer_table":
        given += [f"--corpora=[{','.join(str(path) for path in (*folders.values(), *targets.values()))}]"]
    else:
        own = {"sources": folders, "targets": targets}
        given += [f"--{kind}=[{','.join(map(str, found.values()))}]" for kind, found in own.items()]
    arguments = [
        *given,
        *shlex.split(f"{TINY} {more} --learn.trainer.validate_every 0 --learn.trainer.patience 0 --out {tmp_path}/out"),
        *(f"--{part}.trainer.{what}" for part in ("source", "learn") for what in ("steps=2", "batch_budget=600")),
    ]
    assert recipe.script(recipe.Recipe, recipe.run, arguments) == 0, capsys.readouterr().err
    assert len(list((tmp_path / "out" / "points").iterdir())) == models
    table = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    record = read_record(tmp_path / "out")
    assert table.count("|") > 20 and record["status"] == "finished" and record["scores"]
    assert "backend" not in record["config"] and "workers" not in record["config"]
    assert recipe.script(recipe.Recipe, recipe.run, arguments) == 1
    assert "already holds a run" in capsys.readouterr().err
    # What is missing is made again; the rest is taken as it is.
    (tmp_path / "out" / "run.json").write_text(
        (tmp_path / "out" / "run.json").read_text(encoding="utf-8").replace('"finished",', '"running",', 1),
        encoding="utf-8",
    )
    gone = sorted((tmp_path / "out" / "points").iterdir())[0]
    shutil.rmtree(gone)
    assert recipe.script(recipe.Recipe, recipe.run, [*arguments, "--resume", "--backend", "processes"]) == 0
    again = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    timeless = [re.sub(r"\| \d+ \| [\d–]+ \|$", "", line) for line in again.splitlines()]
    assert gone.is_dir() and timeless == [re.sub(r"\| \d+ \| [\d–]+ \|$", "", line) for line in table.splitlines()]


@dataclass(frozen=True)
class Identification:
    """The recipe that identifies languages, on a finished source model."""

    folders: dict[str, Path]
    source: Path
    out: Path

    def run(self, name: str, *more: str, sources: dict[str, Path] | None = None) -> int:
        """Run the recipe into a folder and return its exit status."""
        recipe = load(FOLDER / "identification.py")
        named = f"[{','.join(map(str, (self.folders if sources is None else sources).values()))}]"
        given = [
            "--source_model",
            str(self.source),
            "--sources",
            named,
            "--workers",
            "1",
            "--out",
            str(self.out / name),
        ]
        code: int = recipe.script(recipe.Recipe, recipe.run, [*given, *more])
        return code


@pytest.fixture
def identification(prepared: Path, feature_cache: Path, tmp_path: Path) -> Identification:
    """Return the recipe with a source model of two languages."""
    folders = {name: prepared / name for name in ("asterisk-en", "fillets-nl")}
    corpora = Corpora.from_folders(folders, {}, splits=SOURCE_SPLITS)
    run_job(tmp_path, TrainSource(replace(corpora, source_tests={}), SourceModel("all-0", (), None, source_config())))
    return Identification(folders, tmp_path / "sources" / "all-0", tmp_path)


def test_identification_is_measured_of_a_finished_source_model(
    identification: Identification, capsys: pytest.CaptureFixture[str]
) -> None:
    assert identification.run("one") == 0
    shares = read_record(identification.out / "one")["scores"]["identification"]
    assert shares["utterances"] == 6 and set(shares["languages"]) == {"en", "nl"}
    assert "mean" in capsys.readouterr().out and not Recogniser.load(identification.source, "en").offsets
    assert identification.run("two", "--keep", "true") == 0
    assert set(Recogniser.load(identification.source, "en").offsets) == {"en", "nl"}
    assert [row[0] for row in identification_table(shares).rows] == ["en", "nl", "mean"]


def test_identification_goes_on_and_is_not_measured_twice(
    identification: Identification, capsys: pytest.CaptureFixture[str]
) -> None:
    assert identification.run("one") == 0
    record = identification.out / "one" / "run.json"
    shares, before = read_record(record.parent)["scores"]["identification"], record.stat().st_mtime_ns
    capsys.readouterr()
    assert identification.run("one") == 1 and "give --resume to go on with it" in capsys.readouterr().err
    assert identification.run("one", "--resume") == 0 and record.stat().st_mtime_ns == before
    assert "mean" in capsys.readouterr().out
    record.write_text(record.read_text(encoding="utf-8").replace('"finished",', '"stopped",', 1), encoding="utf-8")
    assert identification.run("one", "--resume") == 0
    assert read_record(record.parent)["scores"]["identification"] == shares


def test_what_cannot_be_identified_is_refused(
    identification: Identification, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert identification.run("three", sources={"asterisk-en": identification.folders["asterisk-en"]}) == 1
    assert "fewer than two of the model's languages" in capsys.readouterr().err
    assert identification.run("four", "--source_model", str(tmp_path)) == 1 and not (tmp_path / "four").exists()
    assert "is not a model folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["curve", "negative_transfer", "transfer_table", "new_speaker"])
def test_a_slip_of_the_pen_leaves_no_folder_behind(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, given = _arguments(FOLDER / "hparams" / f"{name}.yaml")
    slip = {"transfer_table": ["--corpora", "[asterisk-ex]"], "new_speaker": ["--source_model", str(tmp_path)]}
    own = slip.get(name, ["--sources", "[asterisk-ex]"])
    assert recipe.script(recipe.Recipe, recipe.run, [*given, *own, "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert "asterisk-ex" in told or "is not a run folder" in told
    assert not (tmp_path / "out").exists()
    nowhere = ["--speech", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]
    assert recipe.script(recipe.Recipe, recipe.run, [*given, *nowhere]) == 1
    assert "nowhere: there is no such folder; give the folder of corpora, or none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
