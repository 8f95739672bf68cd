"""Write what sclite and jiwer count in the texts of this folder, from the repository's root; needs Debian's `sctk`.

    python tests/data/scoring/make.py

Each SET.ref.trn and SET.hyp.trn is aligned by sclite word by word (SET.words.pra), Mandarin character by character as
well (mandarin.characters.pra), and by jiwer, in words and in characters with their spaces (jiwer.json). The first line
of what sclite printed is the command.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
from pathlib import Path

import jiwer

FOLDER = Path(__file__).parent
SETS = sorted(path.name.removesuffix(".ref.trn") for path in FOLDER.glob("*.ref.trn"))


def sclite(name: str, unit: str) -> None:
    """Write sclite's alignment of a set, with the command above it."""
    letters = ["-c"] if unit == "characters" else []
    command = ["sctk", "sclite", "-r", f"{name}.ref.trn", "trn", "-h", f"{name}.hyp.trn", "trn", "-i", "spu_id", "-s",
               "-e", "utf-8", *letters, "-f", "0", "-o", "pralign", "stdout"]  # fmt: skip
    printed = subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, text=True).stdout
    lines = [line.rstrip() for line in printed.splitlines()]
    (FOLDER / f"{name}.{unit}.pra").write_text("\n".join(["$ " + " ".join(command), *lines]) + "\n", encoding="utf-8")


def texts(name: str, side: str) -> dict[str, str]:
    """Return the texts of a `trn` by id."""
    lines = (FOLDER / f"{name}.{side}.trn").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"(.*?) ?\((\S+)\)", line) for line in lines]
    return {match[2]: match[1] for match in found if match}


def counts(output: jiwer.WordOutput | jiwer.CharacterOutput) -> list[int]:
    """Return reference units, substitutions, deletions and insertions."""
    reference = output.hits + output.substitutions + output.deletions
    return [reference, output.substitutions, output.deletions, output.insertions]


def by_jiwer(name: str) -> dict[str, dict[str, list[int]]]:
    """Return jiwer's counts of each utterance that has a reference."""
    references, hypotheses = texts(name, "ref"), texts(name, "hyp")
    return {
        unit: {one: counts(align(said, hypotheses[one])) for one, said in references.items() if said}
        for unit, align in (("words", jiwer.process_words), ("characters", jiwer.process_characters))
    }


if __name__ == "__main__":
    for one in SETS:
        sclite(one, "words")
    sclite("mandarin", "characters")
    found = {"jiwer": importlib.metadata.version("jiwer"), **{one: by_jiwer(one) for one in SETS}}
    text = re.sub(r"\[\s+(\d+),\s+(\d+),\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2, \3, \4]", json.dumps(found, indent=2))
    (FOLDER / "jiwer.json").write_text(text + "\n", encoding="utf-8")
