"""Draws docs/images/llm_to_draw.png: ten requests, with the projector of llm_to_draw.yaml untrained and trained."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

import mmm_graph as mmm
from mmm_graph.spec import load_spec

HERE = Path(__file__).resolve().parent
GRAPH = HERE / "llm_to_draw.yaml"
PICTURE = HERE.parent.parent / "docs" / "images" / "llm_to_draw.png"
UNTRAINED = {"models.told.weights": "null"}
COLUMNS, SIDE, GAP, TEXT = 5, 96, 8, 16
"""Cells of a row; height and width of a drawing, space around it, and height of a line [px]."""


def main() -> None:
    """Draw and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=PICTURE, help="the picture")
    args = parser.parse_args()
    requests = load_spec(GRAPH).inputs["prompt"].default
    sheets = [mmm.load(GRAPH, sets=sets).run(outputs=["image"])["image"] for sets in (UNTRAINED, {})]
    sheet(requests, *sheets).save(args.out, optimize=True)


def sheet(requests: list[str], before: Tensor, after: Tensor) -> Image.Image:
    """Cells with a request above two drawings; drawings [b,1,h,w] in [0,1]."""
    width, height = 2 * SIDE + 2 * GAP, SIDE + TEXT + GAP
    rows = -(-len(requests) // COLUMNS)
    whole = Image.new("L", (COLUMNS * width + GAP, rows * height + GAP), 255)
    pen = ImageDraw.Draw(whole)
    for i, request in enumerate(requests):
        x, y = GAP + i % COLUMNS * width, GAP + i // COLUMNS * height
        pen.text((x, y), request, fill=0)
        for k, drawn in enumerate((before[i], after[i])):
            whole.paste(picture(drawn), (x + k * (SIDE + 2), y + TEXT))
    return whole


def picture(drawn: Tensor) -> Image.Image:
    """[1,h,w] in [0,1], larger."""
    pixels = (drawn[0].clamp(0, 1) * 255).round().byte().cpu().numpy()
    return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST)


if __name__ == "__main__":
    main()
