"""The scans of scikit-learn -> images [1,h,w] in [0,1], captions and labels."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmm_data.digits.captions import caption, hash_unit
from mmm_data.digits.config import DigitPromptsConfig, DigitsConfig, DigitSplit, Split
from mmm_graph.errors import RunError, problem

SCAN = 8  # px, the side of a scan
CHUNK = 2048  # images enlarged at a time: bounds memory at about 100 MB


class Digits:
    """See DigitsConfig. Items: image float32 [1,h,w] in [0,1], text, label and id (int64, no axes)."""

    def __init__(self, config: DigitsConfig) -> None:
        self.config = config
        self.scans = load_split(config, config.split)
        self.images = torch.cat(
            [self._draw(range(i, min(i + CHUNK, len(self)))) for i in range(0, len(self), CHUNK)]
        )

    def __len__(self) -> int:
        return len(self.scans.labels) * self.config.repeat

    def __getitem__(self, index: int) -> dict[str, object]:
        seed, scan = self.config.seed, index % len(self.scans.labels)
        label = self.scans.labels[scan]
        return {
            "image": self.images[index].float() / 255.0,
            "text": caption(int(label), seed, index),
            "label": label,
            "id": self.scans.ids[scan],
        }

    def _draw(self, items: range) -> Tensor:
        """Images of these items as bytes [n,1,h,w]: a scan has only 17 grey levels."""
        scans = self.scans.pixels[torch.tensor([i % len(self.scans.labels) for i in items])]
        return (enlarge(scans, self.config, self._jitter(items)) * 255.0).round().to(torch.uint8)

    def _jitter(self, items: range) -> Tensor | None:
        """Shifts x and y [pixels of the scan], rotation [rad], zoom of each item [n,4]; None: no jitter."""
        c = self.config
        reach = torch.tensor([c.shift, c.shift, math.radians(c.rotate), c.zoom])
        if not reach.any():
            return None
        names = ("x", "y", "rotate", "zoom")
        unit = torch.tensor([[hash_unit(c.seed, i, name) for name in names] for i in items])
        return (2.0 * unit - 1.0) * reach


class DigitPrompts:
    """See DigitPromptsConfig. Item i asks for digit i mod 10."""

    def __init__(self, config: DigitPromptsConfig) -> None:
        self.config = config

    def __len__(self) -> int:
        return 10 * self.config.per_class

    def __getitem__(self, index: int) -> dict[str, object]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        digit = index % 10
        return {
            "prompt": caption(digit, self.config.seed, index),
            "negative_prompt": "",
            "label": torch.tensor(digit),
        }


@dataclass(frozen=True)
class Scans:
    """pixels float32 [n,1,8,8] in [0,1], labels [n], ids [n] (position in scikit-learn's copy)."""

    pixels: Tensor
    labels: Tensor
    ids: Tensor


def load_split(config: DigitSplit, split: Split) -> Scans:
    """The scans of one split; the ids with the smallest hashes of each class are the test split.

    Raises:
        RunError: scikit-learn is not installed.
    """
    table = load_table()
    labels = table[:, -1].long()
    chosen: list[int] = []
    for digit in range(10):
        ids = (labels == digit).nonzero()[:, 0].tolist()
        ids.sort(key=lambda i: hash_unit(config.split_seed, i, "split"))
        cut = round(len(ids) * config.test_share)
        chosen += ids[:cut] if split == "test" else ids[cut:]
    index = torch.tensor(sorted(chosen))
    pixels = table[index, :-1].view(-1, 1, SCAN, SCAN) / 16.0
    return Scans(pixels, labels[index], index)


def load_table() -> Tensor:
    """The scans of scikit-learn, from its file: importing its `load_digits` takes a second. [n,65]: 64 pixels, label.

    Raises:
        RunError: E711, scikit-learn is not installed, or has no such file.
    """
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        hint = "pip install 'mmm_graph[train]'"
        raise RunError(problem("E711", "data.digits needs scikit-learn, which is not installed", hint=hint))
    path = Path(found.origin).with_name("datasets") / "data" / "digits.csv.gz"
    try:
        return torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.float32))
    except (OSError, ValueError) as error:
        what = f"data.digits cannot read the scans of scikit-learn: {error}"
        raise RunError(problem("E711", what, hint="install scikit-learn anew")) from error


def enlarge(scans: Tensor, config: DigitSplit, jitter: Tensor | None = None) -> Tensor:
    """Bicubic enlargement with an empty margin, and in the same interpolation shift, rotation and zoom.

    Args:
        scans: [n,1,8,8] in [0,1].
        config: size and margin of the result.
        jitter: [n,4], see Digits; None = none.
    Returns:
        Images [n,1,size,size] in [0,1].
    """
    num = len(scans)
    x, y, angle, zoom = (jitter if jitter is not None else torch.zeros(num, 4)).unbind(1)
    field = 1.0 + 2.0 * config.margin / SCAN  # half the field of view, in half widths of the scan
    c, s = field * (1.0 + zoom) * angle.cos(), field * (1.0 + zoom) * angle.sin()
    rows = torch.stack([c, -s, x * 2.0 / SCAN, s, c, y * 2.0 / SCAN], 1)
    grid = F.affine_grid(rows.view(num, 2, 3), [num, 1, config.size, config.size], align_corners=False)
    return F.grid_sample(scans, grid, mode="bicubic", padding_mode="zeros", align_corners=False).clamp(
        0.0, 1.0
    )
