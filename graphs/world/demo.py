"""Asks graphs/world/any_to_any.yaml once for each direction and writes a page that shows it: `make demo`.

What is shown to it are digits that no training has seen, in words that no training has read.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from demo_page import Shown, write_page

import mmm_graph as mmm
from mmm_audio.savers.files import save_wav
from mmm_data.digits.captions import WORDS
from mmm_data.world.config import RATE, SINGLE, WorldConfig
from mmm_data.world.dataset import World
from mmm_graph.api.save import save_outputs
from mmm_graph.errors import MmmError
from mmm_graph.nn.output_files import numbered
from mmm_vision.savers.files import save_png
from mmm_vision.savers.videos import save_webp

HERE = Path(__file__).resolve().parent
TASKS = (*SINGLE, "image->text+audio")
ITEMS = 400
"""Of which for each task one is taken."""
SAVERS: dict[str, tuple[Any, str]] = {
    "image": (save_png, ".png"),
    "audio": (save_wav, ".wav"),
    "video": (save_webp, ".webp"),
}


def main() -> None:
    """Write index.html and the files that it shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("out"), help="folder of index.html")
    parser.add_argument("--weights", type=Path, help="folder of <model>.safetensors that replace the file's")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        show(args.out, args.weights, args.seed)
    except (MmmError, OSError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def show(out: Path, weights: Path | None, seed: int) -> None:
    """Ask, and write the page."""
    began = time.perf_counter()
    shown = list(requests(out / "demo"))
    answer(shown, out / "demo", weights, seed)
    page = write_page(out, shown, time.perf_counter() - began)
    exact = sum(one.is_exact for one in shown)
    print(f"{page}: {len(shown)} requests; {exact} answers hold exactly what was asked for")


def requests(folder: Path) -> Iterator[Shown]:
    """One for each task, of another digit each, with the files that go with it."""
    config = WorldConfig(split="test", phrasing="test", tasks=TASKS, length=ITEMS, seed=7)
    world = World(config)
    for number, task in enumerate(TASKS):
        own = [i for i in range(ITEMS) if config.tasks[int(world.units[i][0] * len(TASKS))] == task]
        index = next((i for i in own if world.plans[i].digit == number % 10), own[0])
        (message,) = world[index]["prompt"]
        given, wanted = world.task(index)
        name = f"{number:02}_{WORDS[world.plans[index].digit]}"
        files = [write(s, folder / name) for s in message["content"] if s["type"] != "text"]
        yield Shown(given, wanted, world.plans[index].request, *files)


def write(segment: dict[str, Any], path: Path) -> Path:
    """The medium of a segment as a file."""
    kind = segment["type"]
    save, ending = SAVERS[kind]
    save(segment[kind][None], path, {"rate": RATE} if kind == "audio" else {}, {})
    return numbered(path, ending, 1)[0]


def answer(shown: Sequence[Shown], folder: Path, weights: Path | None, seed: int) -> None:
    """All requests as one batch; each gets its text and its files."""
    session = mmm.load(HERE / "any_to_any.yaml", weights=weights)
    given = {"chat": [one.chat() for one in shown]}
    result = session.result(given=given, seed=seed)
    origin = session.origin(given, seed, None, result.absent)
    for saved in save_outputs(session.graph, session.registry, result, folder, origin=origin):
        owners = result.owners.get(saved.name, ())
        for owner, file in zip(owners, saved.files, strict=False):
            shown[owner].answers.append((saved.name, file))
    for one, text in zip(shown, result.values["text"], strict=True):
        one.text = text


if __name__ == "__main__":
    main()
