"""Image sets out of packages: what of them is kept, what is said, and where readers find it."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.data.images import read_fetched
from asr_transfer.errors import DataError
from asr_transfer.fetched import fetched_images
from data_prep.fetch import fetch
from data_prep.images import IMAGE_SETS, keep_only
from tests.data.images.test_idx import idx_files
from tests.data_prep.test_archives import make_tgz
from tests.packages import make_deb


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep images in a folder of the test, and hide the system's programs."""
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "data/images"


def test_images_are_fetched_and_read_by_name(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits = {f"package/src/data/{name}": content for name, content in idx_files().items()}
    about = {"package/package.json": b'{"name": "mnistjs", "version": "9"}', "package/dist/mnist.js": b"x" * 99}
    packed = make_tgz(tmp_path / "mnistjs-9.tgz", {**about, **digits})
    assert main(["fetch", "mnist", "--deb", str(packed)]) == 0
    assert fetched_images("mnist") == home / "mnist"
    kept = {file.name for file in (home / "mnist").rglob("*") if file.is_file()}
    assert kept == {"fetched.json", "package.json", *idx_files()}, "not the same digits once more as JavaScript"
    assert json.loads((home / "mnist/fetched.json").read_text())["packages"][0]["version"] == "9"
    printed = capsys.readouterr().out
    assert "licence: MIT for the package; of the digits themselves no terms are stated" in printed
    assert 'next: in Python, asr_transfer.data.images.read_fetched("mnist", "train")' in printed
    assert read_fetched("mnist", "test").pixels.shape == (3, 1, 4, 5)


def test_what_was_not_fetched_names_the_command() -> None:
    with pytest.raises(DataError, match="there is no 'mnist' there; get it with `asr-transfer fetch mnist`"):
        read_fetched("mnist", "train")


def test_a_package_of_another_content_leaves_nothing(tmp_path: Path, home: Path) -> None:
    deb = make_deb(
        tmp_path / "f.deb", "dataset-fashion-mnist", {"usr/share/doc/dataset-fashion-mnist/copyright": b"MIT"}
    )
    with pytest.raises(DataError, match=r"the package holds no file usr/share/datasets/fashion-mnist/\*\.gz"):
        fetch("fashion-mnist", [deb])
    assert not list(home.iterdir())


def test_only_the_files_that_are_read_are_kept(tmp_path: Path) -> None:
    for name in ("a/one.png", "a/two.txt", "b.png"):
        (tmp_path / "content" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "content" / name).write_text(name)
    keep_only(["*/*.png", "b.*"], tmp_path / "content", tmp_path / "made")
    kept = sorted(file.relative_to(tmp_path / "made").as_posix() for file in (tmp_path / "made").rglob("*.*"))
    assert kept == ["a/one.png", "b.png"]


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_what_comes_next_is_a_function_that_there_is(name: str) -> None:
    called = re.search(r"(asr_transfer[\w.]+)\.(\w+)\(", IMAGE_SETS[name].next)
    assert called is not None and callable(getattr(importlib.import_module(called[1]), called[2]))


@pytest.mark.parametrize("name", IMAGE_SETS)
def test_prepare_knows_no_images(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", name, "--out", "x"]) == 2
    assert f"'{name}' is not known" in capsys.readouterr().err


def test_help_and_a_misspelt_name_show_the_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "fashon-mnist"]) == 1
    assert "Did you mean 'fashion-mnist'?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["fetch", "--help"])
    shown = " ".join(capsys.readouterr().out.replace("-\n", "-").split())
    assert all(name in shown.replace("- ", "-") for name in IMAGE_SETS)
