"""What the ranks of test_ranks do, each in a process: ranks.py OUT NAME=KEY:VALUE;KEY:VALUE ...

Cases called `name.1`, `name.2` ... share a folder.
"""

from __future__ import annotations

import itertools
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

import torch

from mmm_graph.errors import Cancelled, MmmError
from mmm_graph.runtime.process_world import ProcessWorld
from mmm_graph.runtime.supervised import follow_launcher, report_problems
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.ranks import ALONE, Ranks
from mmm_graph.train.trainer import train
from tests.train.toys import GRAPH, REGISTRY, toy_spec

PAIRS = GRAPH.replace(
    "size: {op: loss.size, in: {pred: p}}",
    "pairs: {op: loss.pairs, in: {a: f, b: $data.x, scale: scale}}\n        scale: {call: scale}",
)
PAIRS = PAIRS.replace("size: {from: size, weight: 0.01}", "pairs: {from: pairs, weight: 0.5}")
PAIRS = PAIRS.replace(
    "batch: 4}}\n      nodes:\n        x:", "batch: $params.batch}}\n      nodes:\n        x:"
)
PAIRS = PAIRS.replace("params: {", "params: {batch: {type: int, default: 8}, ")
MORE = """
        mask: {op: toy.mask, in: {x: $data.x}}
        counted: {op: loss.tokens, in: {pred: p, mask: mask}}
      loss: {counted: counted, """
TOKENS = PAIRS.replace("\n      loss:  {", MORE).replace("head: full", "head: full, scale: full")
TOKENS = TOKENS.replace("models:\n", "models:\n  scale: {kind: projector.scale, init: default}\n")
SOMETIMES = TOKENS.replace(
    "      nodes:\n        x:", "      nodes:\n        on: {op: toy.positive, in: {x: $data.x}}\n        x:"
)
SOMETIMES = SOMETIMES.replace("op: loss.pairs, in", "op: loss.pairs, when: on, in")
SOMETIMES = SOMETIMES.replace(
    "op: loss.mse, in: {pred: p, target: $data.y}}\n        pairs",
    "op: loss.mse, when: on, in: {pred: p, target: $data.y}}\n        pairs",
)


def run(out: Path, sets: dict[str, str], ranks: Ranks = ALONE) -> None:
    """Train the toy with some settings changed; `resume` goes on in `out`, `stop` ends before that step."""
    torch.set_num_threads(1)
    sets = dict(sets)
    resume, stop = sets.pop("resume", "") == "true", int(sets.pop("stop", "0"))
    asked = itertools.count(1)
    keys = {k if "." in k or k == "batch" else f"train.stages.fit.{k}": v for k, v in sets.items()}
    text = SOMETIMES if sets.pop("when", "") == "some" else TOKENS
    keys.pop("train.stages.fit.when", None)
    spec = toy_spec(Path(), text=text, sets=keys)
    with suppress(Cancelled) if stop else nullcontext():
        options = TrainOptions(log_every=1, resume=resume)
        train(spec, REGISTRY, out, options=options, ranks=ranks, cancel=lambda: next(asked) == stop)


def main() -> None:
    """As one rank."""
    follow_launcher()
    out = Path(sys.argv[1])
    try:
        with ProcessWorld.from_env(60.0) as world:
            for word in sys.argv[2:]:
                name, _, text = word.partition("=")
                sets = dict(pair.split(":", 1) for pair in text.split(";") if pair)
                run(out / name.partition(".")[0], sets, Ranks(world.rank, world.size))
    except MmmError as error:
        if not report_problems(error):
            raise
        sys.exit(error.status)


if __name__ == "__main__":
    main()
