"""From the rows of a model's input that each member holds to the rows of a feature map inside it."""

from __future__ import annotations

from mmm_graph.errors import RunError, problem
from mmm_graph.parallel.exchange import Where


def member_rows(at: Where, layer: str, height: int) -> tuple[int, ...]:
    """How many rows of a feature map each member holds, when `height` of them are here.

    Raises:
        RunError: E721, some member would hold a fraction of a row.
    """
    first, last = at.spans[at.member]
    rows = []
    for a, b in at.spans:
        count, rest = divmod(height * (b - a), last - first)
        if rest:
            what = f"{height} rows of a feature map for rows {first} to {last} of the input"
            raise RunError(
                problem(
                    "E721",
                    f"{layer}: {what} leave a fraction of a row for rows {a} to {b} on another rank",
                    hint="cut the image at multiples of the model's total stride",
                )
            )
        rows.append(count)
    return tuple(rows)


def need_whole_image(at: Where, layer: str, what: str) -> None:
    """Refuse `what` where the members together hold one patch of a pipeline only.

    Raises:
        RunError: E721.
    """
    first, last = at.spans[0][0], at.spans[-1][1]
    if (first, last) != (0, at.total):
        raise RunError(
            problem(
                "E721",
                f"{layer}: {what} needs the whole image, but the ranks are at rows {first} to {last} of {at.total}",
                hint="split the model by rows or by layers, not into patches of a pipeline",
            )
        )
