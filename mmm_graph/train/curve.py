"""metrics.csv -> a picture of the loss curves of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from mmm_graph.train.files import replacing
from mmm_graph.train.log import Row


def can_draw() -> bool:
    """Whether matplotlib (extra `train`) is installed."""
    return find_spec("matplotlib") is not None


def draw_curve(path: Path, stage: str, rows: Sequence[Row]) -> None:
    """Draw every loss term of one stage against the step, on a log scale where all are positive.

    Raises:
        ImportError: matplotlib is not installed; ask `can_draw` first.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    own = [row for row in rows if row["stage"] == stage and row["loss"] != ""]
    names = [name for name in (own[0] if own else ()) if name == "loss" or name.startswith("loss.")]
    used = [name for name in names if any(row[name] not in ("", None) for row in own)]
    lowest = 1.0
    for name in used:
        points = [(int(row["step"]), float(row[name])) for row in own if row[name] not in ("", None)]
        axes.plot(*zip(*points, strict=True), label=name, linewidth=1)
        lowest = min(lowest, *(y for _, y in points))
    axes.set(title=stage, xlabel="step", ylabel="loss", yscale="log" if lowest > 0 else "linear")
    if used:
        axes.legend()
    axes.grid(alpha=0.3)
    with replacing(path) as part:
        figure.savefig(part, dpi=110, format="png")
