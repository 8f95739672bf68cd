"""Draws a comparison: systems with their intervals, and error against amount; light and dark, as SVG and PNG.

Systems differ by marker and line as well as by colour; the colours are Okabe and Ito's, which colour-blind readers
tell apart. Texts are never read as formulas.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Theme = Literal["light", "dark"]
Draw = Callable[[Axes, "Palette"], None]


@dataclass(frozen=True)
class Palette:
    """Colours of a theme: the page, text, grid lines, and verdicts."""

    page: str
    ink: str
    dim: str
    grid: str
    better: str
    worse: str
    series: tuple[str, ...]


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        "#ffffff", "#17202c", "#53606f", "#dde2e8", "#0b7a45", "#b0300f",
        ("#0072b2", "#d55e00", "#008f68", "#a0508a", "#9a6a00", "#2f7fb5", "#555555"),
    ),
    "dark": Palette(
        "#11151b", "#e7ebf1", "#a9b4c2", "#2c3540", "#6fd39b", "#ff8f79",
        ("#63b4ee", "#ff9450", "#3ccfa2", "#e094c6", "#f0c046", "#9bd3f5", "#c9c9c9"),
    ),
}  # fmt: skip
MARKERS = "osD^vPX"
LINES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Point:
    """A system's figure in per cent, with its interval; `kind` is `better`, `worse`, `base` or empty."""

    name: str
    value: float
    low: float
    high: float
    kind: str = ""


@dataclass(frozen=True)
class Series:
    """A method's error in per cent by amount, with intervals."""

    name: str
    amounts: tuple[int, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Plot:
    """A drawn plot.

    Attributes:
        name: name of its files.
        caption, alt: description, below it and for those who do not see it.
        width, height: size in inches.
        draw: function that draws it into axes.
    """

    name: str
    caption: str
    alt: str
    width: float
    height: float
    draw: Draw

    def svg(self, theme: Theme = "light") -> str:
        """Return it as SVG, text as text; equal figures give equal bytes."""
        with io.StringIO() as out:
            self._save(out, "svg", theme)
            return out.getvalue()

    def png(self, theme: Theme = "light") -> bytes:
        """Return it as PNG."""
        with io.BytesIO() as out:
            self._save(out, "png", theme)
            return out.getvalue()

    def uri(self, theme: Theme = "light") -> str:
        """Return it as the address of an image that contains it."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg(theme).encode()).decode("ascii")

    def _save(self, out: io.StringIO | io.BytesIO, kind: str, theme: Theme) -> None:
        palette = PALETTES[theme]
        settings: Any = {
            "svg.fonttype": "none", "svg.hashsalt": self.name, "text.parse_math": False, "font.size": 10,
            "text.color": palette.ink, "axes.labelcolor": palette.dim, "xtick.color": palette.dim,
            "ytick.color": palette.ink, "axes.edgecolor": palette.grid,
        }  # fmt: skip
        with matplotlib.rc_context(settings), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # names in scripts that the font lacks
            figure = Figure((self.width, self.height), facecolor=palette.page, layout="constrained")
            # Room at the edges: a reader's font may be wider than the one measured here.
            figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08)
            axes = figure.add_subplot(facecolor=palette.page)
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(length=0)
            self.draw(axes, palette)
            figure.savefig(out, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)


def intervals(points: Sequence[Point], label: str, caption: str, zero: float | None) -> Plot:
    """Return systems below each other, each with its interval; `zero` is where nothing differs."""

    def draw(axes: Axes, palette: Palette) -> None:
        rows = range(len(points))
        for row, point in zip(rows, points, strict=True):
            colour = {"better": palette.better, "worse": palette.worse}.get(point.kind, palette.dim)
            marker = {"better": "<", "worse": ">", "base": "D"}.get(point.kind, "o")
            axes.plot([point.low, point.high], [row, row], color=colour, linewidth=2.2, solid_capstyle="round")
            axes.plot(point.value, row, marker, color=colour, markersize=7, markeredgecolor=palette.page)
        if zero is not None:
            axes.axvline(zero, color=palette.ink, linewidth=1, linestyle="--")
        axes.set_yticks(list(rows), [shorten(point.name) for point in points])
        axes.set_ylim(len(points) - 0.5, -0.5)
        axes.set_xlabel(label)
        axes.grid(axis="x", color=palette.grid, linewidth=0.8)
        axes.set_axisbelow(True)

    height = 1.1 + (0.34 if len(points) <= 12 else 0.26) * max(2, len(points))
    listed = "; ".join(f"{p.name}: {p.value:.1f} ({p.low:.1f} to {p.high:.1f})" for p in points)
    return Plot("systems", caption, f"{label}. {listed}", 6.4, height, draw)


def curves(series: Sequence[Series], start: tuple[str, float] | None, label: str, unit: str, caption: str) -> Plot:
    """Return error against amount, logarithmic; `start` is the error that needs no amount, and its name."""

    def draw(axes: Axes, palette: Palette) -> None:
        amounts = sorted({amount for one in series for amount in one.amounts})
        # Side by side, so that intervals of equal amounts stay apart.
        spread = [1.018 ** (n - (len(series) - 1) / 2) for n in range(len(series))]
        if start is not None:
            axes.axhline(start[1], color=palette.ink, linewidth=1, linestyle="--", label=start[0])
        for number, one in enumerate(series):
            colour = palette.series[number % len(palette.series)]
            style = LINES[number // len(palette.series) % len(LINES)]
            x = [amount * spread[number] for amount in one.amounts]
            axes.vlines(x, one.low, one.high, color=colour, linewidth=1.6, alpha=0.75)
            marker = MARKERS[number % len(MARKERS)]
            axes.plot(x, one.values, style, color=colour, marker=marker, markersize=5.5, label=shorten(one.name))
        axes.set_xscale("log")
        axes.set_xticks(amounts, [str(amount) for amount in amounts])
        axes.set_xticks([], minor=True)
        if len(amounts) == 1:
            axes.set_xlim(amounts[0] / 2, amounts[0] * 2)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(unit)
        axes.set_ylabel(label)
        axes.grid(axis="y", color=palette.grid, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9, labelcolor=palette.ink)

    def listed(one: Series) -> str:
        return f"{one.name}: " + ", ".join(f"{v:.1f} at {a}" for a, v in zip(one.amounts, one.values, strict=True))

    alt = f"{label} by {unit}. " + "; ".join(listed(one) for one in series)
    return Plot("curve", caption, alt, 7.4, 4.2, draw)


def shares_of_levels(series: Sequence[Series], caption: str) -> Plot:
    """Return the share of intervals that hold against their level, both in per cent; the diagonal is what they say."""

    def draw(axes: Axes, palette: Palette) -> None:
        axes.plot([0, 100], [0, 100], color=palette.ink, linewidth=1, linestyle="--", label="as they say")
        for number, one in enumerate(series):
            colour = palette.series[number % len(palette.series)]
            x = [level + number - (len(series) - 1) / 2 for level in one.amounts]
            axes.vlines(x, one.low, one.high, color=colour, linewidth=1.6, alpha=0.75)
            marker = MARKERS[number % len(MARKERS)]
            axes.plot(x, one.values, color=colour, marker=marker, markersize=5.5, label=shorten(one.name))
        axes.set_xlim(-3, 103)
        axes.set_ylim(-3, 103)
        axes.set_xlabel("level of the intervals, %")
        axes.set_ylabel("intervals that hold, %")
        axes.grid(color=palette.grid, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9, labelcolor=palette.ink)

    listed = "; ".join(
        f"{one.name}: "
        + ", ".join(f"{value:.0f} at {level}" for value, level in zip(one.values, one.amounts, strict=True))
        for one in series
    )
    return Plot("calibration", caption, f"Intervals that hold, in per cent, by their level. {listed}", 6.4, 4.2, draw)


def shorten(name: str, most: int = 32) -> str:
    """Return a name that leaves room for the plot, cut in the middle when it is too long."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"
