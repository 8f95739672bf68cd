"""The recipe of speakers takes any corpus: by a name that the registry knows, or by one's own folder of manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asr_transfer.errors import ConfigError, DataError
from data_prep.prepare import prepare, require_root
from tests.real_runs import ROOT, load


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of (empty) manifests; nothing is fetched."""
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "fetched"))
    folder = tmp_path / "own"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        (folder / f"{split}.jsonl").touch()
    return folder


def test_a_folder_of_manifests_is_a_corpus(own: Path, tmp_path: Path) -> None:
    manifests = prepare(str(own), None, tmp_path / "out")
    assert manifests == {split: own / f"{split}.jsonl" for split in ("dev", "test", "train")}
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="own: is a folder of manifests, so that `root` would not be used"):
        prepare(str(own), tmp_path, tmp_path / "out")


def test_what_is_no_corpus_is_refused(own: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: holds no manifest \(\.jsonl\); see `asr-transfer prepare`"):
        require_root(str(tmp_path / "empty"), None)
    with pytest.raises(ConfigError, match="there is no corpus 'an5'. Did you mean 'an4'"):
        require_root("an5", None)
    with pytest.raises(ConfigError, match="'fsdd' is read from disk; say where it lies with --root"):
        require_root("fsdd", None)


def test_what_was_fetched_needs_no_root(own: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'queen' is read from disk"):
        require_root("queen", None)
    (tmp_path / "fetched/queen").mkdir(parents=True)
    require_root("queen", None)
    with pytest.raises(DataError, match=r"fetched.queen: holds no queen\.1c"):
        prepare("queen", None, tmp_path / "out")


@pytest.mark.parametrize("recipe", ["run", "forgetting", "calibration"])
def test_a_wrong_corpus_is_refused_before_a_run_is_begun(
    recipe: str, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module: Any = load(ROOT / "recipes" / "speaker_adaptation" / f"{recipe}.py")
    options = ["--corpus", "fillets-xx", "--out", str(tmp_path / "run"), "--protocol.judged_utterances", "9"]
    assert module.script(module.Recipe, module.run, [*options, "--methods", "[{name: full}]"]) == 1
    assert "there is no corpus 'fillets-xx'. Did you mean 'fillets'?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_recipe_takes_ones_own_manifests(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = load(ROOT / "recipes" / "speaker_adaptation" / "run.py")
    seen: list[Any] = []
    monkeypatch.setattr("asr_transfer.experiments.speakers.options.read_manifest", lambda path: [])
    monkeypatch.setattr(module, "run_experiment", lambda manifests, *_: seen.append(manifests) or ([], []))
    settings = ["--corpus", str(own), "--out", str(tmp_path / "run"), "--methods", "[{name: full}]"]
    module.script(module.Recipe, module.run, settings)
    assert seen == [{split: own / f"{split}.jsonl" for split in ("dev", "test", "train")}]
