"""The built package alone: installed into an environment that has its dependencies, used far from the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

from tests.adapting import recordings
from tests.real_runs import ROOT

SETUPTOOLS = 77
"""First release that knows licences as SPDX expressions."""

BUILD = "import sys, setuptools.build_meta as backend; print(getattr(backend, 'build_' + sys.argv[1])(sys.argv[2]))"


@dataclass(frozen=True)
class Installed:
    """An environment with the package alone.

    Attributes:
        prefix: Folder of the environment.
        sdist: Source distribution that its wheel was built from.
        wheel: Built distribution that was installed.
    """

    prefix: Path
    sdist: Path
    wheel: Path

    def run(self, folder: Path, *command: object) -> str:
        """Run a program of the environment in a folder, which must succeed, and return what it printed."""
        program, *arguments = [str(self.prefix / "bin" / str(command[0])), *map(str, command[1:])]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(self.prefix / "bin" / program), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def far_away() -> dict[str, str]:
    """Return environment variables that lead nobody to the repository."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def build(kind: str, source: Path, out: Path) -> Path:
    """Build an sdist or a wheel with the package's own backend."""
    done = subprocess.run([sys.executable, "-c", BUILD, kind, str(out)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Return an environment with the wheel that was built from the source distribution."""
    if int(metadata.version("setuptools").split(".")[0]) < SETUPTOOLS:
        pytest.skip(
            f"building the package needs setuptools {SETUPTOOLS} or later: pip install -U 'setuptools>={SETUPTOOLS}'"
        )
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("the files of the package are not known, for this is no git repository")
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "copy" / name)
    sdist = build("sdist", folder / "copy", folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    wheel = build("wheel", next((folder / "unpacked").iterdir()), folder)
    prefix = folder / "environment"
    venv.create(prefix, symlinks=True)
    command = [sys.executable, "-m", "pip", "--python", str(prefix / "bin" / "python"), "install"]
    subprocess.run([*command, "--quiet", "--no-deps", "--no-index", str(wheel)], check=True, cwd=folder, env=far_away())
    packages = sysconfig.get_path("purelib", vars={"base": str(prefix), "platbase": str(prefix)})
    # The dependencies' folder, whose own .pth files (an editable installation of this package) are not followed.
    Path(packages, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return Installed(prefix, sdist, wheel)


@pytest.mark.slow
def test_the_installed_package_adapts_a_model_on_a_folder(installed: Installed, tone_run: Path, tmp_path: Path) -> None:
    home = installed.run(tmp_path, "python", "-c", "import asr_transfer, data_prep; print(asr_transfer.__file__)")
    assert Path(home.strip()).is_relative_to(installed.prefix)
    shown = installed.run(tmp_path, "asr-transfer", "--help")
    assert "adapt" in shown and "prepare" in shown and "recipes" in shown
    mine = recordings(tmp_path, "kim", 1.17, 6, 7)
    installed.run(tmp_path, "asr-transfer", "prepare", "folder", "--root", mine, "--out", "data")
    (manifest,) = (tmp_path / "data").glob("*.jsonl")
    shown = installed.run(
        tmp_path, "asr-transfer", "adapt", "--model", tone_run, "--data", manifest, "--out", "voice",
        "--method", "full", "--check", "false", "--steps", 2, "--use_summary", "false", "--device", "cpu",
    )  # fmt: skip
    assert "level dBFS" in shown and (tmp_path / "voice" / "profile" / "profile.yaml").is_file()


@pytest.mark.slow
def test_the_installed_package_writes_a_report(installed: Installed, tmp_path: Path) -> None:
    from tests.made_runs import utterances, write_run

    run = write_run(tmp_path / "one", utterances(8))
    installed.run(tmp_path, "asr-transfer", "compare", run, "--out", tmp_path / "report")
    assert "Utterances, worst first" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_recipes_come_with_the_package_and_run_from_there(installed: Installed, tmp_path: Path) -> None:
    shown = installed.run(tmp_path, "asr-transfer", "recipes")
    place = installed.prefix.resolve() / "share" / "asr-transfer" / "recipes"
    for file in (ROOT / "recipes").rglob("*.*"):
        if "__pycache__" not in file.parts and file.is_file():
            assert (place / file.relative_to(ROOT / "recipes")).is_file(), f"pyproject's data-files leave out {file}"
    found = re.search(rf"python ({re.escape(str(place))}/speaker_adaptation/run\.py) --config (\S+)", shown)
    assert found is not None and Path(found[2]).is_file() and "python recipes/" not in shown
    assert "--protocol" in installed.run(tmp_path, "python", found[1], "--config", found[2], "--help")


def test_the_distributions_hold_what_they_should(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for part in ("asr_transfer", "data_prep", "recipes", "examples", "docs", "tests", "benchmarks"):
        missing = {
            str(file.relative_to(ROOT)) for file in (ROOT / part).rglob("*.*") if "__pycache__" not in file.parts
        } - names
        assert not {name for name in missing if (ROOT / name).is_file()}
    assert {"Makefile", "LICENSE", "README.md", ".ci/run"} <= names
    with zipfile.ZipFile(installed.wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        about = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    assert {top for top in tops if "." not in top} == {"asr_transfer", "data_prep"}
    required = [line for line in about.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert required and not any("espeak" in line for line in required), "a library under the GPL-3 is no dependency"
    assert 'Requires-Dist: espeakng-loader>=0.2.4; extra == "voices"' in about
    assert "License-Expression: Apache-2.0" in about
