"""Corpora that lie in Debian packages: `asr-transfer fetch NAME` downloads, checks and unpacks them without root.

What is fetched is kept in `data_folder()` and found there again, so everything after the first call works offline.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr_transfer.cache import home_folder
from asr_transfer.errors import ConfigError, DataError, nearest_hint
from asr_transfer.progress import Work
from asr_transfer.textfiles import require_writable_folder
from data_prep.debian import PackageFile, read_package, unpack

_STAMP = "fetched.json"


@dataclass(frozen=True)
class Source:
    """Where a corpus comes from.

    Attributes:
        packages: the Debian packages that make it up.
        licence: under which it is given, in one line.
        prepare: the corpus name and options of the `prepare` command that reads it.
    """

    packages: tuple[str, ...]
    licence: str
    prepare: str


_ASTERISK_LICENCES = {
    "en": "CC BY-SA 3.0 (2003-2010, Allison Smith; Digium, Inc.)",
    "es": "CC BY-SA 3.0 (2003-2010, Allison Smith; Digium, Inc.)",
    "fr": "CC BY-SA 3.0 (2006-2008, June Wallack)",
    "it": "CC BY 3.0 (2012, Carlo Flora)",
    "ru": "CC BY 3.0 (2010, Maxim Topal, ivrvoice.ru)",
}
_FILLETS_LICENCE = "GNU General Public License, version 2 (sounds and texts of Fish Fillets NG)"

SOURCES = {
    "queen": Source(
        ("flight-of-the-amazon-queen",),
        "freeware licence of Flight of the Amazon Queen (1995, John Passfield and Steven Stamatiadis): free to "
        "distribute with its readme, not to be sold by itself, changed versions marked as such",
        "queen",
    ),
    "fillets-cs": Source(("fillets-ng-data", "fillets-ng-data-cs"), _FILLETS_LICENCE, "fillets --language cs"),
    "fillets-nl": Source(("fillets-ng-data", "fillets-ng-data-nl"), _FILLETS_LICENCE, "fillets --language nl"),
    **{
        f"asterisk-{language}": Source(
            (f"asterisk-core-sounds-{language}", f"asterisk-core-sounds-{language}-g722"),
            licence,
            f"asterisk --language {language}",
        )
        for language, licence in _ASTERISK_LICENCES.items()
    },
    "festvox-ru": Source(
        ("festvox-ru",),
        "BSD-like (2005, Nickolay V. Shmyrev): free to use, change and distribute with its notice, changes marked, "
        "authors' names kept and not used to endorse",
        "festvox_ru",
    ),
    "gcin-voice": Source(
        ("gcin-voice",),
        "the man's voice GPL-3 or LGPL-3 (2014, Edward Der-Hua Liu), the woman's CC BY 3.0 (ChionMeilin, Chu Lo)",
        "gcin_voice",
    ),
    "tuxpaint": Source(
        ("tuxpaint-stamps-default",),
        "GNU General Public License, version 2 or later (2002-2022, Bill Kendrick and contributors)",
        "tuxpaint --language fr",
    ),
}

CHECKSUMS = {
    "flight-of-the-amazon-queen_1.0.0-9": "40c08fd258d6fe95c46c1eaf5e9137f84ba330657995a281bd887c94a560a0f1",
    "fillets-ng-data_1.0.1-1.1": "25de89afd8b1adf7bcace8290248a6a22c89cd42300317e69000e162c032cf84",
    "fillets-ng-data-cs_1.0.1-1.1": "3ecef99b9456f1c80c9625c6f2418642b52d58e7167a46bad7a412db17991b14",
    "fillets-ng-data-nl_1.0.1-1.1": "afb4443fda9ab507dee578b75be857d121718a1cd6017a474f30e0eb13dc9d10",
    "asterisk-core-sounds-en_1.6.1-1": "973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50",
    "asterisk-core-sounds-en-g722_1.6.1-1": "38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806",
    "asterisk-core-sounds-es_1.6.1-1": "9afdab7f559f036649fb406e625899306ca1004df8ebe39c30bfbd5912d66f74",
    "asterisk-core-sounds-es-g722_1.6.1-1": "e4e3b4281057d3b81b779298fd6be705f57411513955c518eed1bcaabbd615b8",
    "asterisk-core-sounds-fr_1.6.1-1": "04c82c78c570c43a7136cbc5e2488d0c470b775468dff9fbce4a131b18cf1056",
    "asterisk-core-sounds-fr-g722_1.6.1-1": "7add61d5e42279ecff1bbdf842a5a946ac3644fac9a0fe44384731aa7270c8e0",
    "asterisk-core-sounds-it_1.6.1-1": "3884d9457e12f21caa018c18f0d587df5d53ebea14b673d8453a134c5941ab3b",
    "asterisk-core-sounds-it-g722_1.6.1-1": "46b4cf7afc508a5fcfc051b7ea233251c0d195dd4ef83cc4b7facb4c6429b016",
    "asterisk-core-sounds-ru_1.6.1-1": "28a61616bb0cd3345a7ea532dec4df9f071e5d0fa9f8c1a563ea9669002f39ab",
    "asterisk-core-sounds-ru-g722_1.6.1-1": "673b4238a6b8269960f055d868c6a11083f7a0d00979167cb01554046b48ed9b",
    "festvox-ru_0.5+dfsg-6": "21ef3f0f2978ecf2e2eddb367cb0ff4a72572196d28dc69feb84f4177af5e6c4",
    "gcin-voice_0~20170223-3": "6a0353f0294d06f7bd901bada3d5d9eec63b66c2ec029f92da3124d93d45de70",
    "tuxpaint-stamps-default_2022.06.04-1": "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
}
"""SHA-256 of the packages that this module was written with, by NAME_VERSION; the package index says it of others."""


def data_folder() -> Path:
    """Return where fetched corpora are kept: `$ASR_TRANSFER_DATA`, else `~/.local/share/asr-transfer`.

    Raises:
        ConfigError: the variable is not set, and there is no home folder.
    """
    if named := os.environ.get("ASR_TRANSFER_DATA"):
        return Path(os.path.expanduser(named))
    try:
        return home_folder() / ".local" / "share" / "asr-transfer"
    except ConfigError:
        raise ConfigError("there is no home folder for corpora; set ASR_TRANSFER_DATA to a folder.") from None


def fetch(name: str, deb: Sequence[Path] | None = None) -> Path:
    """Put a corpus into `data_folder()` unless it is there, say where it is, and return its folder.

    Args:
        name: a key of `SOURCES`.
        deb: the packages as files, where they were downloaded by other means; without them `apt-get download` is used.

    Raises:
        ConfigError: there is no such corpus.
        DataError: a package cannot be downloaded, is not the one that is needed, is damaged, or its checksum is wrong.
    """
    if name not in SOURCES:
        raise ConfigError(f"the corpus '{name}' cannot be fetched.{nearest_hint(name, SOURCES)}")
    source, folder = SOURCES[name], data_folder() / name
    if (folder / _STAMP).is_file():
        print(f"{folder}: is there already; remove the folder to fetch it again")
    else:
        _fill(folder, source, [Path(file) for file in deb or ()])
        print(f"{folder}: fetched")
    print(f"licence: {source.licence}")
    print(f"next: asr-transfer prepare {source.prepare} --root {folder} --out DIR")
    return folder


def _fill(folder: Path, source: Source, files: list[Path]) -> None:
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
        sums = {package.name: _check(package) for package in packages}
        content = work / "content"
        content.mkdir()
        for package in packages:
            unpack(package.path, content)
        record = [{"package": p.name, "version": p.version, "sha256": sums[p.name]} for p in packages]
        stamp = {"packages": record, "licence": source.licence}
        (content / _STAMP).write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
        content.rename(folder)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror or error}); make room or choose another folder with "
            "ASR_TRANSFER_DATA."
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _given(source: Source, files: list[Path]) -> list[PackageFile]:
    """Return the packages among `files` in the order of the source, which must be all of it and nothing else."""
    found: dict[str, PackageFile] = {}
    for file in files:
        package = read_package(file)
        if package.name not in source.packages or package.name in found:
            raise DataError(
                f"{file}: is the package '{package.name}'; --deb takes {' and '.join(source.packages)}, each once."
            )
        found[package.name] = package
    missing = [name for name in source.packages if name not in found]
    if missing:
        raise DataError(f"--deb lacks the package {' and '.join(missing)}; give its .deb file too.")
    return [found[name] for name in source.packages]


def _download(source: Source, work: Path) -> list[PackageFile]:
    wanted = " and ".join(source.packages)
    instead = (
        "download the .deb on a Debian system or from a Debian mirror and give it with `--deb FILE [FILE ...]`"
        if len(source.packages) == 1
        else "download the .deb files on a Debian system or from a Debian mirror and give them with `--deb FILE FILE`"
    )
    try:
        with Work(f"downloading {wanted}", bar=False):
            done = subprocess.run(
                ["apt-get", "download", *source.packages], cwd=work, capture_output=True, text=True, errors="replace"
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


def _check(package: PackageFile) -> str:
    """Return the SHA-256 of a package after comparing it with what is known of that version."""
    found = hashlib.sha256(package.path.read_bytes()).hexdigest()
    known = CHECKSUMS.get(f"{package.name}_{package.version}") or _indexed(package)
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
