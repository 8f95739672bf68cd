"""Packages of npm and PyPI: made by hand, with small scripts in place of the clients that download them."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from asr_transfer.errors import DataError
from data_prep import archives, fetch
from data_prep.registry import Corpus, Packages

FILES = {"package/voices/one.ogg": b"one", "package/package.json": b'{"name": "voices", "version": "1.2"}'}


def make_tgz(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def make_wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep corpora in a folder of the test, and hide the system's programs."""
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "data"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "data"


def declared(monkeypatch: pytest.MonkeyPatch, packages: Packages) -> None:
    """Declare a corpus `mine` that lies in packages."""

    def prepare(root: Path, out: Path) -> None:
        raise AssertionError(f"{root} {out}")

    monkeypatch.setitem(fetch.SOURCES, "mine", packages)
    monkeypatch.setitem(fetch._KNOWN, "mine", (Corpus("mine", prepare), packages))


def test_npm(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    packed = make_tgz(tmp_path / "made.tgz", FILES)
    client = tmp_path / "bin/npm"
    client.write_text(f'#!/bin/sh\n[ "$1 $3" = "pack voices" ] && /bin/cp {packed} voices-1.2.tgz\n')
    client.chmod(0o755)
    declared(monkeypatch, Packages(("voices",), "CC0", registry="npm"))
    assert fetch.fetch("mine") == home / "mine"
    assert (home / "mine/package/voices/one.ogg").read_bytes() == b"one"
    assert json.loads((home / "mine/fetched.json").read_text())["packages"][0]["version"] == "1.2"
    assert "licence: CC0" in capsys.readouterr().out


def test_pypi(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(tmp_path / "some_voices-3.0-py3-none-any.whl", {"some_voices/one.ogg": b"one"})
    monkeypatch.setitem(archives.COMMANDS, "PyPI", ("/bin/cp", str(wheel), "-t", ".", "--"))
    declared(monkeypatch, Packages(("some-voices",), "CC0", registry="PyPI"))
    with pytest.raises(DataError, match=r"the PyPI package some-voices was not downloaded \(.*cp: .*No such file"):
        fetch.fetch("mine")
    assert fetch.fetch("mine", [wheel]) == home / "mine"
    assert (home / "mine/some_voices/one.ogg").read_bytes() == b"one"


def test_the_version_whose_checksum_is_known_is_asked_for() -> None:
    npm = Packages(("@my/voices", "other"), "CC0", {"@my/voices_1.2": "0" * 64}, registry="npm")
    assert npm.wanted() == ["@my/voices@1.2", "other"]
    assert Packages(("some-voices",), "CC0", {"some-voices_3.0": "0" * 64}, registry="PyPI").wanted() == [
        "some-voices==3.0"
    ]


def test_words_for_the_client_go_before_the_packages(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path / "voices-3.0-cp311-cp311-any.whl", {"voices/one.ogg": b"one"})
    client = tmp_path / "bin/pip"
    client.write_text(f'#!/bin/sh\n[ "$*" = "--python-version 3.11 voices" ] && /bin/cp {wheel} .\n')
    client.chmod(0o755)
    monkeypatch.setitem(archives.COMMANDS, "PyPI", ("pip",))
    declared(monkeypatch, Packages(("voices",), "CC0", registry="PyPI", options=("--python-version", "3.11")))
    assert fetch.fetch("mine") == home / "mine"


def test_a_client_that_is_not_installed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared(monkeypatch, Packages(("voices",), "CC0", registry="npm"))
    with pytest.raises(DataError, match="the npm package voices is needed, but there is no `npm` here"):
        fetch.fetch("mine")
    assert not list(home.iterdir())


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", "a\\..\\outside"])
def test_members_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    for archive in (
        make_tgz(tmp_path / "a.tgz", {name: b"evil"}),
        make_wheel(tmp_path / "a-1-py3-none-any.whl", {name: b"evil"}),
    ):
        with pytest.raises(DataError, match="outside' would be written outside of"):
            archives.unpack_archive(archive, tmp_path / "content")
    assert not list(tmp_path.rglob("outside"))


def test_damaged_archives(tmp_path: Path) -> None:
    whole = make_tgz(tmp_path / "a.tgz", FILES)
    assert archives.read_archive(whole).name == "voices"
    whole.write_bytes(whole.read_bytes()[:40])
    with pytest.raises(DataError, match=r"a\.tgz: is no package of npm or PyPI \("):
        archives.read_archive(whole)
    bad = tmp_path / "b-1-py3-none-any.whl"
    bad.write_bytes(b"PK")
    with pytest.raises(DataError, match=r"whl: is a damaged package \("):
        archives.unpack_archive(bad, tmp_path / "content")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.tgz", None, r"none\.tgz: there is no such file; correct its name\.$"),
        ("none.whl", None, r"none\.whl: there is no such file; correct its name\.$"),
        ("a.wav", b"RIFF", r"a\.wav: is no package of npm or PyPI \(it is no tar archive, or a damaged one\); downloa"),
        (
            "a.whl",
            b"PK",
            r"a\.whl: is no package of npm or PyPI \(its name does not say a version\); download it again",
        ),
    ],
)
def test_what_is_no_package_is_told_in_one_line(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        archives.read_archive(tmp_path / name)
    assert "\n" not in str(caught.value) and "Errno" not in str(caught.value)
