"""Requests and answers as a page without anything from elsewhere: pictures, videos that move, sounds that play."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from mmm_graph.nn.wav import read_wav

NAMES = {"text": "words", "image": "a picture", "audio": "a sound", "video": "a video"}
BAND, BETWEEN = (550.0, 1650.0), 1075.0
"""Where the tones of a telephone are [Hz], and what parts the lower from the higher ones."""
STYLE = """
:root { --page: #f5f4f0; --card: #fff; --ask: #eef2fb; --ink: #1c1d21; --soft: #70727a; --line: #e2e0d9;
  --mark: #2f5bd0 }
@media (prefers-color-scheme: dark) {
  :root { --page: #15161a; --card: #1e2026; --ask: #262b38; --ink: #ececf0; --soft: #9a9ca6; --line: #2f323b;
    --mark: #8aa8ff }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 76rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif }
h1 { margin: 0; font-size: 1.7rem; letter-spacing: -.01em }
h2 { margin: 2.2rem 0 .8rem; font-size: 1.05rem }
p { margin: .4rem 0; max-width: 46rem; color: var(--soft) }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 31rem), 1fr)) }
article { display: flex; flex-direction: column; overflow: hidden; border: 1px solid var(--line); border-radius: 12px;
  background: var(--card) }
.sides { display: grid; grid-template-columns: 1fr 1fr; flex: 1 }
section { display: flex; flex-direction: column; align-items: center; gap: .7rem; padding: 1rem; min-width: 0 }
section:first-child { background: var(--ask) }
section > :last-child { margin-bottom: auto }
h3 { align-self: stretch; margin: 0 0 auto; font-size: .72rem; font-weight: 600; letter-spacing: .06em;
  text-transform: uppercase; color: var(--soft) }
.said { text-align: center; font-size: 1.05rem }
.answered { font-size: 1.9rem; font-weight: 600; color: var(--mark) }
figure { display: flex; flex-direction: column; align-items: center; margin: 0; width: 100% }
img { width: 128px; height: 128px; border-radius: 8px; background: #000; image-rendering: pixelated }
audio { width: 100%; height: 36px }
svg { width: 100%; max-width: 200px; height: 46px; fill: none; stroke: var(--mark); stroke-width: 1.5 }
figcaption { font-size: .8rem; color: var(--soft) }
code { display: block; padding: .5rem 1rem; border-top: 1px solid var(--line); overflow-wrap: anywhere;
  font: 11.5px/1.5 ui-monospace, Menlo, Consolas, monospace; color: var(--soft) }
"""


@dataclass
class Shown:
    """A request and its answer.

    Attributes:
        given, wanted: media.
        prompt: the words of the request; file: what they are about.
        text, answers: the words of the answer, and its media with the files that hold them.
    """

    given: str
    wanted: Sequence[str]
    prompt: str
    file: Path | None = None
    text: str = ""
    answers: list[tuple[str, Path]] = field(default_factory=list)

    def chat(self) -> list[dict[str, Any]]:
        """The request as a conversation."""
        media = [] if self.file is None else [{"type": self.given, self.given: str(self.file)}]
        return [{"role": "user", "content": [*media, {"type": "text", "text": self.prompt}]}]

    @property
    def is_exact(self) -> bool:
        """Whether the answer has the media that are wanted, each once, and no others."""
        found = [name for name, _ in self.answers] + ["text"] * bool(self.text)
        return sorted(found) == sorted(self.wanted)


def write_page(folder: Path, shown: Sequence[Shown], seconds: float) -> Path:
    """Write `folder`/index.html."""
    page = folder / "index.html"
    head = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Any to any</title>'
    head += f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
    about = (
        "graphs/world/any_to_any.yaml takes words, pictures, sounds and videos of digits, and answers with any of "
        f"them. These {len(shown)} requests are about digits that no training has seen, in words that it has not "
        f"read. They were answered as one batch; with all that is around it that took {seconds:.0f} s."
    )
    groups = groupby(shown, lambda one: NAMES[one.given] if len(one.wanted) == 1 else "")
    body = "".join(_group(given, list(own), folder) for given, own in groups)
    text = f"{head}<h1>Any to any</h1><p>{escape(about)}</p>{body}</body></html>\n"
    page.write_text(text, encoding="utf-8")
    return page


def _group(given: str, own: Sequence[Shown], folder: Path) -> str:
    title = f"Given {given}" if given else "A picture and words, for words and a sound"
    return f"<h2>{escape(title)}</h2><main>{''.join(_card(one, folder) for one in own)}</main>"


def _card(one: Shown, folder: Path) -> str:
    asked = [] if one.file is None else [_medium(one.given, one.file, folder)]
    asked.append(f'<div class="said">{escape(one.prompt)}</div>')
    answered = [f'<div class="answered">{escape(one.text)}</div>'] if one.text else []
    answered += [_medium(kind, file, folder) for kind, file in one.answers]
    wanted = " and ".join(NAMES[medium] for medium in one.wanted)
    sides = _side("Request", asked) + _side(f"Answer: {wanted}", answered or ["<p>nothing</p>"])
    return f'<article><div class="sides">{sides}</div><code>{escape(_command(one))}</code></article>'


def _side(title: str, items: Sequence[str]) -> str:
    return f"<section><h3>{escape(title)}</h3>{''.join(items)}</section>"


def _command(one: Shown) -> str:
    """What asks the same again."""
    sets = [] if one.file is None else [f"{one.given}=@{os.path.relpath(one.file)}"]
    words = ["mmm", "run", "graphs/world/any_to_any.yaml"]
    return " ".join([*words, *(f"--set {quote(item)}" for item in (*sets, f"prompt={one.prompt}"))])


def _medium(kind: str, file: Path, folder: Path) -> str:
    where = escape(file.relative_to(folder).as_posix())
    if kind == "audio":
        line, said = _spectrum(file)
        player = f'<audio controls src="{where}"></audio>'
        return f"<figure>{line}{player}<figcaption>{said}</figcaption></figure>"
    return f'<figure><img src="{where}" alt="{escape(NAMES[kind])}"></figure>'


def _spectrum(file: Path) -> tuple[str, str]:
    """A sound's spectrum where the tones of a telephone are, as a line; and the two frequencies that stand out."""
    samples, rate = read_wav(file)
    sound = samples.mean(0) * np.hanning(samples.shape[1])
    power = np.abs(np.fft.rfft(sound, max(rate, len(sound))))  # a value for each Hz
    hertz = np.fft.rfftfreq(max(rate, len(sound)), 1 / rate)
    keep = (hertz >= BAND[0]) & (hertz <= BAND[1])
    power, hertz = power[keep], hertz[keep]
    parts = [np.where(side, power, 0) for side in (hertz < BETWEEN, hertz >= BETWEEN)]
    said = " + ".join(f"{hertz[part.argmax()]:.0f} Hz" for part in parts)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in _points(power / max(power.max(), 1e-9)))
    return f'<svg viewBox="0 0 200 46"><polyline points="{points}"/></svg>', said


def _points(heights: Any) -> Iterator[tuple[float, float]]:
    for i, height in enumerate(heights):
        yield 200 * i / max(1, len(heights) - 1), 44 - 42 * float(height)
