"""Requests in the digit world, their answers, and what the answers are to show. Axes: f frames, n samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import shake_256
from typing import Any, Literal

import torch
from torch import Tensor

from mmm_data.canvas.layout import hash_units
from mmm_data.digits.captions import WORDS
from mmm_data.digits.config import DigitSplit
from mmm_data.digits.dataset import CHUNK, enlarge, load_split
from mmm_data.world.config import WorldConfig, task
from mmm_data.world.motion import corners
from mmm_data.world.phrases import JOINT, MOVES, MOVING, NAMED, SHOWN, Medium, captions, phrase
from mmm_data.world.tones import Ring, dual_tone

Use = Literal["given", "wanted"]
UNITS = 28
"""Numbers of an item, each of one choice."""
PLACES: Mapping[Use, slice] = {"given": slice(14, 21), "wanted": slice(21, 28)}
"""Of these the ones that say how a medium looks or sounds."""
LEVELS, TWIST = (0.2, 0.9), 4.0
"""Amplitudes of sounds; how much louder one of the two tones may be [dB]."""
ASKS_MOVE, SAYS_IT = 0.5, 0.5
"""Share of the texts about a video that ask which way the digit goes; of requests that say "it" after another one."""
MOST_BEFORE = 2
"""Turns before a request."""


class World:
    """See WorldConfig.

    Items: chat (the request and its answer, after those that go before) and prompt (without that answer); task; answer,
    the text of the answer, empty where none is wanted; wanted_image, wanted_audio, wanted_video, whether the answer has
    one; digit, of all that is shown, and move, as a place in MOVES or -1. Where it is wanted: image [1,h,w] in [0,1],
    audio [1,n] at 8000 Hz and video [f,3,h,w] as the answer might show them, each with a caption (image_text ...).
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.tasks = [task(text) for text in config.tasks]
        self.units: list[list[float]] = hash_units(config.seed, config.length, UNITS, "world").tolist()
        self.earlier = [self._earlier(i) for i in range(config.length)]
        self.plans = [self._plan(i) for i in range(config.length)]
        self.drawings = draw_all(self)

    def __len__(self) -> int:
        return self.config.length

    def __getitem__(self, index: int) -> dict[str, object]:
        config = self.config
        if not 0 <= index < config.length:
            raise IndexError(index)
        given, wanted = self.task(index)
        plan, made, chat = self.plans[index], Maker(self, index), self.chat(index)
        texts = captions(plan.digit, MOVES[plan.move] if plan.move >= 0 else "")
        item: dict[str, object] = {
            "chat": chat,
            "prompt": chat[:-1],
            "task": f"{given}->{'+'.join(wanted)}",
            "answer": plan.answer,
            "digit": torch.tensor(plan.digit),
            "move": torch.tensor(plan.move),
        }
        for medium in ("image", "audio", "video"):
            item[f"wanted_{medium}"] = torch.tensor(medium in wanted)
            is_there = config.every or medium in wanted
            item[medium] = made.wanted(medium) if is_there else None
            item[f"{medium}_text"] = texts[medium] if is_there else None
        return item

    def task(self, index: int) -> tuple[Medium, tuple[Medium, ...]]:
        """What is given and wanted."""
        return self.tasks[int(self.units[index][0] * len(self.tasks))]

    def chat(self, index: int) -> list[dict[str, Any]]:
        """A request and its answer, after those that go before."""
        before = self.earlier[index]
        return [*([] if before is None else self.chat(before)), *self._turn(index)]

    def _turn(self, index: int) -> list[dict[str, Any]]:
        (given, wanted), plan = self.task(index), self.plans[index]
        request: list[dict[str, Any]] = [{"type": "text", "text": plan.request}]
        if given != "text" and self.config.medium == "text":
            told = captions(plan.digit, MOVES[plan.seen_move])[given]
            request.insert(0, {"type": "text", "text": f"{told}. "})
        elif given != "text":
            request.insert(0, {"type": given, given: Maker(self, index).given(given)})
        said = [{"type": "text", "text": plan.answer}] if plan.answer else []
        said += [{"type": "signal", "signal": medium} for medium in wanted if medium != "text"]
        return [{"role": "user", "content": request}, {"role": "assistant", "content": said}]

    def _earlier(self, index: int) -> int | None:
        """The item whose turns go before; it has one turn less."""
        count, length = self._before(index), self.config.length
        if not count:
            return None
        start = int(self.units[index][10] * length)
        others = (i % length for i in range(start, start + length))
        return next((i for i in others if self._before(i) == count - 1), None)

    def _before(self, index: int) -> int:
        """How many turns are to go before an item's."""
        return sum(self.units[index][9] < self.config.before**k for k in range(1, MOST_BEFORE + 1))

    def _plan(self, index: int) -> Plan:
        units, before = self.units[index], self.earlier[index]
        given, wanted = self.task(index)
        says_it = before is not None and given == "text" and units[11] < SAYS_IT
        if before is None or not says_it or self.task(before) == ("text", ("text",)):  # that names two digits
            return make_plan(given, wanted, self.config, units)
        return make_plan(given, wanted, self.config, units, self._plan(before).digit)


@dataclass(frozen=True)
class Plan:
    """What a request is about.

    Attributes:
        request, answer: texts; the answer is empty where no text is wanted.
        digit: that is shown.
        move: of the video that an answer shows, as a place in MOVES; -1: there is none.
        seen_move: of a video that is given.
    """

    request: str
    answer: str
    digit: int
    move: int
    seen_move: int


def make_plan(
    given: Medium,
    wanted: Sequence[Medium],
    config: WorldConfig,
    units: Sequence[float],
    it: int | None = None,
) -> Plan:
    """Words for a task; of several wanted media the first is asked for in full, and the others of "it".

    Args:
        it: the digit that "it" is from the start on, since something was said or shown before.
    """
    is_named = given == "text" and it is None
    most = 9 if is_named and "text" in wanted else 10  # after 9 comes no digit
    digit = int(units[1] * most) if it is None else it
    seen_move, move = int(units[2] * 4), int(units[3] * 4)
    answer, parts = "", []
    for k, medium in enumerate(wanted):
        forms = NAMED[medium] if is_named and not k else SHOWN[medium]
        if medium == "text":
            asks_move = given == "video" and units[4] < ASKS_MOVE
            forms = MOVING if asks_move else forms
            answer = MOVES[seen_move] if asks_move else str(digit + is_named)
        name = WORDS[digit] if units[5] < 0.5 else str(digit)
        parts.append(phrase(forms, config.phrasing, units[6 + k], digit=name, move=MOVES[move]))
    request = JOINT.join(part.rstrip("?") for part in parts) + ("?" if parts[-1].endswith("?") else "")
    is_moved = config.every or "video" in wanted
    return Plan(request, answer, digit, move if is_moved else -1, seen_move)


class Maker:
    """Media of an item: what is given, and another example of what is wanted."""

    def __init__(self, world: World, index: int) -> None:
        self.world, self.config, self.index = world, world.config, index

    def given(self, medium: Medium) -> Tensor:
        """What a request shows: a digit somewhere on a canvas [3,h,w], one that moves [f,3,h,w], or a tone [1,n]."""
        if medium == "audio":
            return self.tone("given")
        if medium == "video":
            return self.video("given", self.world.plans[self.index].seen_move)
        size, half = self.config.size, self.config.size // 2
        y, x = (int(unit * (size - half + 1)) for unit in self.units("given")[5:7])
        canvas = torch.zeros(1, size, size)
        canvas[:, y : y + half, x : x + half] = self.drawn("given", half)
        return canvas.expand(3, -1, -1)

    def wanted(self, medium: Medium) -> Tensor:
        """What an answer might show: a digit [1,h,w], one that moves [f,3,h,w], or a tone [1,n]."""
        if medium == "audio":
            return self.tone("wanted")
        if medium == "video":
            return self.video("wanted", self.world.plans[self.index].move)
        return self.drawn("wanted", self.config.size)

    def units(self, use: Use) -> Sequence[float]:
        """Numbers that say how a medium looks or sounds."""
        return self.world.units[self.index][PLACES[use]]

    def drawn(self, use: Use, size: int) -> Tensor:
        """[1,size,size]"""
        return self.world.drawings[use, size][self.index].float() / 255

    def video(self, use: Use, move: int) -> Tensor:
        """[f,3,h,w]"""
        config, half, units = self.config, self.config.size // 2, self.units(use)
        tile = self.drawn(use, half)
        frames = torch.zeros(config.frames, 1, config.size, config.size)
        where = corners(move, config.frames, config.size - half, along=units[5], across=units[6])
        for frame, (y, x) in zip(frames, where.tolist(), strict=True):
            frame[:, y : y + half, x : x + half] = tile
        return frames.expand(-1, 3, -1, -1)

    def tone(self, use: Use) -> Tensor:
        """[1,n]; what is wanted has no noise: that is what is learnt to be made."""
        units, (low, high) = self.units(use), self.config.noise
        noise = math.inf if use == "wanted" else low + units[4] * (high - low)
        level = LEVELS[0] + units[0] * (LEVELS[1] - LEVELS[0])
        phases = (2 * math.pi * units[2], 2 * math.pi * units[3])
        ring = Ring(level, (2 * units[1] - 1) * TWIST, phases, noise)
        generator = torch.Generator().manual_seed(_key(f"{self.config.seed}/{self.index}"))
        return dual_tone(self.world.plans[self.index].digit, self.config.samples, ring, generator)


def draw_all(world: World) -> dict[tuple[Use, int], Tensor]:
    """Scans, moved, turned and stretched a little, for whatever items show: bytes [i,1,size,size] by use and size."""
    config = world.config
    scans = load_split(config, config.split)
    of_digit = [(scans.labels == digit).nonzero()[:, 0] for digit in range(10)]
    reach = torch.tensor([config.shift, config.shift, math.radians(config.rotate), config.zoom])
    units, found = torch.tensor(world.units), {}
    own = [of_digit[plan.digit] for plan in world.plans]
    for use, place in PLACES.items():
        chosen = torch.stack(
            [ids[int(unit * len(ids))] for ids, unit in zip(own, units[:, place][:, 0], strict=True)]
        )
        jitter = (2 * units[:, place][:, 1:5] - 1) * reach
        for size in _sizes(world, use):
            flat = DigitSplit(size=size, margin=config.margin)
            pieces = zip(chosen.split(CHUNK), jitter.float().split(CHUNK), strict=True)
            drawn = [(enlarge(scans.pixels[ids], flat, moved) * 255).round().byte() for ids, moved in pieces]
            found[use, size] = torch.cat(drawn)
    return found


def _sizes(world: World, use: Use) -> set[int]:
    """Sides of the drawings that tasks need: only a picture that is wanted is as large as a canvas."""
    whole, half = world.config.size, world.config.size // 2
    if use == "given":
        is_text = world.config.medium == "text"
        return {half for given, _ in world.tasks if given in ("image", "video") and not is_text}
    media = {medium for _, wanted in world.tasks for medium in wanted}
    media |= {"image", "video"} if world.config.every else set()
    return {size for medium, size in (("image", whole), ("video", half)) if medium in media}


def _key(text: str) -> int:
    return int.from_bytes(shake_256(text.encode()).digest(7), "big")
