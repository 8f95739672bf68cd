"""Lists the experiments' recipes with their settings and what they need (`asr-transfer recipes`)."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from asr_transfer.commands.options import Command


def _declare(parser: ArgumentParser) -> None:
    default = "by default `recipes`, or else those that came with the package"
    parser.add_argument("--folder", type=Path, default=None, help=f"folder of the recipes; {default}")
    parser.add_argument("--speech", type=Path, default=None, help="folder of corpora as distributed")


def _run(arguments: Namespace) -> int:
    from asr_transfer.experiments.recipes import find_recipes, listing

    print(listing(arguments.folder or find_recipes(), arguments.speech))
    return 0


COMMAND = Command("list the recipes, their settings and what they need", _run, _declare)
