"""metrics.csv -> a picture of a stage: the curves of its losses, and of what its evaluations found."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmm_graph.train.files import replacing
from mmm_graph.train.log import Row

WIDTH, HEIGHT, LOW = 7.0, 4.0, 2.2
"""Inches: of the picture, of the losses, and of a row of metrics."""
DECADES = 100.0
"""From this ratio of largest and smallest on a log scale says more."""


def can_draw() -> bool:
    """Whether matplotlib (extra `train`) is installed."""
    return find_spec("matplotlib") is not None


def draw_curve(path: Path, stage: str, rows: Sequence[Row]) -> None:
    """Draw one stage against the step: every loss term on top, below each metric that was measured more than once.

    Losses are on a log scale where all are positive.

    Raises:
        ImportError: matplotlib is not installed; ask `can_draw` first.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    own = [row for row in rows if row["stage"] == stage]
    losses = _curves(own, "loss")
    metrics = {name: points for name, points in _curves(own, "eval").items() if len(points) > 1}
    low_rows = -(-len(metrics) // 2)
    figure = Figure(figsize=(WIDTH, HEIGHT + LOW * low_rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1 + low_rows, 2, height_ratios=[HEIGHT, *[LOW] * low_rows])
    _draw_losses(figure.add_subplot(grid[0, :]), stage, losses)
    for number, (name, points) in enumerate(metrics.items()):
        row, column = divmod(number, 2)
        alone = number == len(metrics) - 1 and column == 0
        _draw_metric(figure.add_subplot(grid[1 + row, :] if alone else grid[1 + row, column]), name, points)
    with replacing(path) as part:
        figure.savefig(part, dpi=110, format="png")


Points = list[tuple[int, float]]


def _curves(rows: Sequence[Row], head: str) -> dict[str, Points]:
    """Column -> points, of the columns that begin so and have any."""
    names = [name for name in (rows[0] if rows else ()) if name == head or name.startswith(f"{head}.")]
    found = {n: [(int(r["step"]), float(r[n])) for r in rows if r.get(n) not in ("", None)] for n in names}
    return {name: points for name, points in found.items() if points}


def _draw_losses(axes: Any, stage: str, losses: dict[str, Points]) -> None:
    terms = [name for name in losses if name != "loss"]
    shown = {n: p for n, p in losses.items() if n != "loss" or len(terms) != 1 or p != losses[terms[0]]}
    values = [y for points in shown.values() for _, y in points]
    for name, points in shown.items():
        whole = name == "loss"
        axes.plot(
            *zip(*points, strict=True), label=name, linewidth=1.6 if whole else 1, zorder=3 if whole else 2
        )
    axes.set(title=stage, xlabel="step", ylabel="loss")
    axes.set_yscale("log" if values and min(values) > 0 else "linear")
    if shown:
        axes.legend()
    axes.grid(alpha=0.3, which="both")


def _draw_metric(axes: Any, name: str, points: Points) -> None:
    values = [y for _, y in points]
    axes.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1, color="tab:green")
    axes.set_title(f"{name.removeprefix('eval.')}: {values[-1]:.4g}", fontsize=9)
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=8)
    if min(values) > 0 and max(values) > DECADES * min(values):
        axes.set_yscale("log")
    axes.margins(y=0.2)
    axes.grid(alpha=0.3)
