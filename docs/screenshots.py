"""Makes pictures of a report, `docs/report-light.png` and `docs/report-dark.png`, in a headless Chromium.

make screenshots                     of made-up runs
make screenshots RUNS="runs/an4"     of the given ones
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from asr_transfer.evaluation.compare import compare_systems, load
from asr_transfer.evaluation.report import write_report
from tests.browser import missing, open_browser, set_media
from tests.made_runs import utterances, write_recipe

HERE = Path(__file__).parent
SIZE = (1280, 3000)


def main(runs: list[str]) -> int:
    """Write both pictures."""
    if lacking := missing():
        print(f"no pictures made: {lacking}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        given = runs or [str(write_recipe(folder / "demo", utterances(160), recordings=True))]
        systems, notes = load(given)
        command = f"asr-transfer compare {' '.join(runs) or 'runs/demo'}"
        page = write_report(folder / "report", compare_systems(systems, notes=notes), "link", command)
        driver = open_browser(folder / "profile", *SIZE)
        try:
            for theme in ("light", "dark"):
                set_media(driver, theme)
                driver.get(page.resolve().as_uri())
                picture = HERE / f"report-{theme}.png"
                driver.save_screenshot(str(picture))
                print(f"{picture.relative_to(HERE.parent)}: written")
        finally:
            driver.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
