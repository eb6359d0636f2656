"""Scans on canvases: images [3,h,w] in [0,1] with captions, or with questions and answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmm_data.canvas.captions import describe, name
from mmm_data.canvas.config import CELLS, CanvasConfig, QuestionsConfig
from mmm_data.canvas.layout import Layout, lay_out
from mmm_data.canvas.questions import ask
from mmm_data.digits.config import DigitSplit
from mmm_data.digits.dataset import Scans, enlarge, load_split

CHANNELS = 3  # grey as RGB, so that encoders of photos and images of conversations fit
CHUNK = 4096  # scans enlarged at a time: bounds memory


class Canvases:
    """See CanvasConfig.

    Items: image float32 [3,h,w] in [0,1], text, label (the first digit, row by row), count, and id: canvases with one
    id have the same digits at the same places, or the same digit alone anywhere, so that all their captions fit each.
    """

    def __init__(self, config: CanvasConfig) -> None:
        self.config = config
        scans = load_split(config, config.split)
        self.layout = lay_out(config, len(scans.labels))
        self.images = draw(scans, self.layout, config)
        self.digits = torch.where(self.layout.scan < 0, -1, scans.labels[self.layout.scan])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, object]:
        digits, words = self.places(index), self.layout.caption[index].tolist()
        first = next(iter(digits.values()))
        free = bool(self.layout.free[index])
        return {
            "image": self.image(index),
            "text": name(first, words) if free else describe(digits, words),
            "label": torch.tensor(first),
            "count": torch.tensor(len(digits)),
            "id": torch.tensor(meaning(digits, free)),
        }

    def image(self, index: int) -> Tensor:
        """float32 [3,h,w]."""
        return (self.images[index].float() / 255.0).expand(CHANNELS, -1, -1)

    def places(self, index: int) -> dict[int, int]:
        """Digits by place, row by row."""
        return {place: digit for place, digit in enumerate(self.digits[index].tolist()) if digit >= 0}


class Questions:
    """See QuestionsConfig.

    Items: image as in Canvases, description (a caption that says what stands where), the first question and its
    answer, chat (a conversation with all questions and answers) and prompt (the first question alone).
    """

    def __init__(self, config: QuestionsConfig) -> None:
        self.config, self.canvases = config, Canvases(config)

    def __len__(self) -> int:
        return len(self.canvases)

    def __getitem__(self, index: int) -> dict[str, object]:
        config, layout = self.config, self.canvases.layout
        digits, image = self.canvases.places(index), self.canvases.image(index)
        description = describe(digits, layout.caption[index].tolist())
        shown: dict[str, Any] = (
            {"type": "image", "image": image}
            if config.medium == "image"
            else {"type": "text", "text": f"{description}. "}
        )
        chat: list[dict[str, Any]] = []
        for which, *units in layout.asked[index, : config.turns].tolist():
            kind = config.kinds[int(which * len(config.kinds))]
            question, answer = ask(kind, config.phrasing, digits, units)
            said = [{"type": "text", "text": question}]
            chat.append({"role": "user", "content": said if chat else [shown, *said]})
            chat.append({"role": "assistant", "content": answer})
        return {
            "image": image,
            "description": description,
            "question": chat[0]["content"][1]["text"],
            "answer": chat[1]["content"],
            "chat": chat,
            "prompt": chat[:1],
        }


def draw(scans: Scans, layout: Layout, config: CanvasConfig) -> Tensor:
    """Images as bytes [i,h,w]."""
    half = config.size // 2
    tile = DigitSplit(size=half, margin=config.margin)
    images = torch.zeros(len(layout.scan), config.size, config.size, dtype=torch.uint8)
    steps = torch.arange(half)
    for chunk in torch.split((layout.scan >= 0).nonzero(), CHUNK):
        item, place = chunk.unbind(1)
        tiles = enlarge(scans.pixels[layout.scan[item, place]], tile, layout.jitter[item, place])
        y, x = layout.corner[item, place].unbind(1)
        rows, columns = (y[:, None] + steps)[:, :, None], (x[:, None] + steps)[:, None, :]
        images[item[:, None, None], rows, columns] = (tiles[:, 0] * 255.0).round().to(torch.uint8)
    return images


def meaning(digits: dict[int, int], free: bool) -> int:
    """A number for what stands where; for a digit that may stand anywhere the digit decides alone."""
    if free:
        return int(11**CELLS) + next(iter(digits.values()))
    number = 0
    for place in reversed(range(CELLS)):
        number = 11 * number + digits.get(place, -1) + 1
    return number
