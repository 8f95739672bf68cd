"""Debian packages made by hand: an `ar` archive of a control and a data archive, as deb(5) describes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path


def make_deb(
    path: Path, name: str, files: Mapping[str, bytes], version: str = "1.0-1", kind: str = "xz", machine: str = "all"
) -> Path:
    """Write a package that holds `files` and a symbolic link out of the tree, and return its path."""
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: {machine}\nDescription: a test\n Version: not a field\n"
    ).encode()
    data = make_tar(
        {"./" + key if not key.startswith(("/", "..")) else key: value for key, value in files.items()}, kind
    )
    members = {
        "debian-binary": b"2.0\n",
        f"control.tar.{kind}": make_tar({"./control": control}, kind),
        f"data.tar.{kind}": data,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"!<arch>\n"
    for member, value in members.items():
        content += f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(value):<10}`\n".encode()
        content += value + b"\n" * (len(value) % 2)
    path.write_bytes(content)
    return path


def make_tar(files: Mapping[str, bytes], kind: str) -> bytes:
    """Return a tar archive of `files` and a symbolic link; `kind` is its compression."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as archive:  # type: ignore[call-overload]
        for name, value in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(value)
            archive.addfile(member, io.BytesIO(value))
        link = tarfile.TarInfo("./etc-passwd")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()
