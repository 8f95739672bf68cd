"""Reads Debian packages without root: a .deb is an `ar` archive of two tar archives, `control` and `data` (deb(5)).

Only ordinary files are taken out, and only below the folder that is asked for: links are left out, and a member whose
name points elsewhere refuses the whole package.
"""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from asr_transfer.errors import DataError

_MAGIC = b"!<arch>\n"
_HEADER = 60
"""Bytes of an ar member's header: name 16, time 12, owner 6, group 6, mode 8, size 10, and two that end it."""

_DAMAGE = (tarfile.TarError, lzma.LZMAError, zlib.error, gzip.BadGzipFile, EOFError, KeyError)
"""What the readers raise at wrong bytes; KeyError is a hard link to a member that is not there."""

_DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.decompress, ".xz": lzma.decompress}
_DPKG_OPTIONS = {"control": "--ctrl-tarfile", "data": "--fsys-tarfile"}


@dataclass(frozen=True)
class PackageFile:
    """A .deb on disk with what its control file says.

    Attributes:
        path: File.
        name: Name of the package.
        version: Its version.
        architecture: Kind of machine that it is for; `all` where its files are the same for every one.
    """

    path: Path
    name: str
    version: str
    architecture: str = "all"

    @property
    def edition(self) -> str:
        """Return what tells its file from others of the package: NAME_VERSION, and _ARCHITECTURE where it has one."""
        return f"{self.name}_{self.version}" + f"_{self.architecture}" * (self.architecture != "all")


def read_package(path: Path) -> PackageFile:
    """Read the name and version of a package.

    Raises:
        DataError: there is no such file, or it is not a Debian package.
    """
    with _tar(path, "control") as archive:
        for member in archive:
            if PurePosixPath(member.name).name == "control" and member.isfile():
                stream = archive.extractfile(member)
                fields = _fields(stream.read().decode("utf-8", "replace") if stream else "")
                if "Package" in fields and "Version" in fields:
                    return PackageFile(path, fields["Package"], fields["Version"], fields.get("Architecture", "all"))
    raise DataError(f"{path}: its control file names no package and version; download the package again.")


def unpack(path: Path, folder: Path) -> int:
    """Write the ordinary files of a package below `folder`, with default permissions, and return their number.

    Raises:
        DataError: it is not a Debian package, it is damaged, or a member's name leads out of `folder`.
    """
    count = 0
    try:
        with _tar(path, "data") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or "\\" in member.name:
                    raise DataError(
                        f"{path}: its member '{member.name}' would be written outside of {folder}; "
                        "the package is not safe to unpack, get it from its own source."
                    )
                stream = archive.extractfile(member) if member.isreg() or member.islnk() else None
                if stream is None:
                    continue
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with stream, target.open("wb") as out:
                    shutil.copyfileobj(stream, out)
                count += 1
    except _DAMAGE as error:
        raise DataError(_damaged(path, error)) from None
    return count


def _fields(control: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in control.splitlines() if ":" in line and not line.startswith(" "))
    return {key: value.strip() for key, value in pairs}


def _tar(path: Path, part: str) -> tarfile.TarFile:
    """Open the `control` or `data` archive of a package."""
    try:
        members = _ar_members(path)
        name = next((name for name in members if name == f"{part}.tar" or name.startswith(f"{part}.tar.")), None)
        if name is None:
            raise DataError(f"{path}: is not a Debian package: it holds no {part}.tar; download it again.")
        suffix = name[len(f"{part}.tar") :]
        # All of it before tarfile looks: it takes a broken header for the archive's end, checksums tell.
        plain = _DECOMPRESS[suffix](members[name]) if suffix in _DECOMPRESS else _by_dpkg(path, part, suffix)
        return tarfile.open(fileobj=io.BytesIO(plain), mode="r:")
    except _DAMAGE as error:
        raise DataError(_damaged(path, error)) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); correct the path.") from None


def _ar_members(path: Path) -> dict[str, bytes]:
    content = path.read_bytes()
    if not content.startswith(_MAGIC):
        raise DataError(f"{path}: is not a Debian package; give the .deb file.")
    members: dict[str, bytes] = {}
    at = len(_MAGIC)
    while at < len(content):
        header = content[at : at + _HEADER]
        digits = header[48:58].strip()
        if len(header) < _HEADER or not header.endswith(b"`\n") or not digits.isdigit():
            raise DataError(_damaged(path, "its archive header is broken"))
        size = int(digits)
        at += _HEADER
        if at + size > len(content):
            raise DataError(_damaged(path, "it is cut off"))
        members[header[:16].decode("ascii", "replace").strip().rstrip("/")] = content[at : at + size]
        at += size + size % 2
    return members


def _by_dpkg(path: Path, part: str, suffix: str) -> bytes:
    """Let dpkg-deb decompress what Python cannot (Zstandard)."""
    try:
        done = subprocess.run(["dpkg-deb", _DPKG_OPTIONS[part], str(path)], capture_output=True, check=True)
    except FileNotFoundError:
        raise DataError(
            f"{path}: holds {part}.tar{suffix}, which only `dpkg-deb` can decompress here, and that is not installed; "
            "unpack the package on a Debian system and give the folder to `prepare`."
        ) from None
    except subprocess.CalledProcessError as error:
        raise DataError(_damaged(path, error.stderr.decode("utf-8", "replace").strip())) from None
    return done.stdout


def _damaged(path: Path, error: object) -> str:
    reason = str(error).strip().rstrip(".") or "it ends early"
    return f"{path}: is a damaged Debian package ({reason}); download it again."
