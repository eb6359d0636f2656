"""A stream of mixed requests to graphs/world/any_to_any.yaml: plans of two ranks against one rank, one thread each.

    python benchmarks/world_stream.py [--rounds 3] [--requests 42] [--plans halves,say_make] [--weights DIR] [--json]

A seventh of the requests each wants a text, an image, a sound, a video, and two of the last three: all that the digit
world asks for in words. The order is drawn; the decoder's own tokens say what is made. A round runs all of them on
rank 0 while the other one sleeps, then every plan on both ranks; ratios are of a round, and the table gives their
median and spread. What comes out must be the same to the bit. --weights: a folder of <model>.safetensors in place of
the file's own; models that have none are initialised, as how long they take does not depend on it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from parallel import timed

import mmm_graph
from mmm_data.world.config import MIXED, SINGLE, WorldConfig, task
from mmm_data.world.dataset import UNITS, make_plan
from mmm_data.world.phrases import Medium
from mmm_graph.api.session import Session
from mmm_graph.runtime.events import Result
from mmm_graph.runtime.launch import launch
from mmm_graph.runtime.process_world import ProcessWorld
from mmm_graph.runtime.supervised import follow_launcher
from mmm_graph.spec import load_spec

FILE = Path(__file__).resolve().parents[1] / "graphs" / "world" / "any_to_any.yaml"
WANTED = tuple(wanted for given, wanted in map(task, (*SINGLE, *MIXED)) if given == "text")
CONFIG = WorldConfig(phrasing="test")
WARM = len(WANTED)


def main() -> None:
    """Start the ranks, or be one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=42)
    parser.add_argument("--plans", default="halves,say_make", help="of two ranks, with commas")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if "RANK" not in os.environ:
        sys.exit(launch([sys.executable, __file__, *sys.argv[1:]], 2, 600.0, env={"OMP_NUM_THREADS": "1"}))
    follow_launcher()
    torch.set_num_threads(1)
    with ProcessWorld.from_env(600.0) as world:
        rows = measure(args.plans.split(","), world, args)
    if world.rank == 0:
        report(rows, args)


def load(weights: Path | None, **options: Any) -> Session:
    """The file, with initialised models where there are no weights yet."""
    spec, folder = load_spec(FILE), weights if weights is not None else FILE.parent / "none"
    files = {name: model.weights for name, model in spec.models.items() if model.weights is not None}
    missing = [
        name
        for name, file in files.items()
        if not (folder / f"{name}.safetensors").exists()
        and not (FILE.parent / str(file).removeprefix("file:")).exists()
    ]
    sets = {f"models.{name}.weights": "null" for name in missing}
    return mmm_graph.load(FILE, sets=sets, weights=weights, **options)


def requests(number: int, count: int) -> list[dict[str, Any]]:
    """Those of a round: as many of each kind, in another order and of other digits each time."""
    drawn = random.Random(number)
    kinds = [WANTED[i % len(WANTED)] for i in range(count)]
    drawn.shuffle(kinds)
    return [
        {"id": str(i), "chat": request(kind, drawn), "seed": 1000 * (number + 1) + i}
        for i, kind in enumerate(kinds)
    ]


def request(wanted: Sequence[Medium], drawn: random.Random) -> str:
    """In a phrasing that no training has seen."""
    return make_plan("text", wanted, CONFIG, [drawn.random() for _ in range(UNITS)]).request


def measure(plans: Sequence[str], world: ProcessWorld, args: Any) -> list[dict[str, Any]]:
    """Rounds of one rank and every plan."""
    alone = load(args.weights) if world.rank == 0 else None
    sessions = {plan: load(args.weights, plan=plan, world=world) for plan in plans}
    times: dict[str, list[Times]] = {plan: [] for plan in plans}
    for number in range(-1, args.rounds):  # the first one loads and warms up
        asked = requests(number, args.requests if number >= 0 else WARM)
        one_s, one_cpu, expected = spent(world, partial(alone.map, asked) if alone is not None else None)
        for plan, session in sessions.items():
            plan_s, cpu, found = spent(world, partial(session.map, asked))
            if world.rank == 0:
                compare(found, expected)
                print(f"{plan}: round {number}, {one_s / plan_s:.2f}", file=sys.stderr, flush=True)
                if number >= 0:
                    times[plan].append(Times(one_s, plan_s, one_cpu[0], cpu))
    return [row(plan, times[plan], args.requests) for plan in plans if times[plan]]


class Times(NamedTuple):
    """Of a round: seconds, and CPU seconds of rank 0 alone and of the ranks of the plan."""

    one_s: float
    plan_s: float
    one_cpu_s: float
    cpu_s: Sequence[float]


def spent(world: ProcessWorld, work: Callable[[], Any] | None) -> tuple[float, list[float], Any]:
    """Seconds, CPU seconds of each rank, and what was found."""
    before = time.process_time()
    seconds, found = timed(world, work)
    return seconds, world.gather(time.process_time() - before), found


def compare(found: Mapping[str, Result], expected: Mapping[str, Result]) -> None:
    """Raises what a request raised, and ValueError where an answer differs, or if nothing is ever made."""
    made = set[str]()
    for name, result in expected.items():
        for other in (result, found[name]):
            if other.error is not None:
                raise other.error
        if found[name].values.keys() != result.values.keys():
            raise ValueError(f"request {name}: {found[name].values.keys()} instead of {result.values.keys()}")
        for port, value in result.values.items():
            same = torch.equal(found[name].values[port], value) if isinstance(value, torch.Tensor) else (
                found[name].values[port] == value)  # fmt: skip
            if not same:
                raise ValueError(f"request {name}: another {port}")
        made |= result.values.keys()
    if not {"image", "audio", "video"} <= made:
        raise ValueError(
            "the decoder does not ask for every medium: give --weights of one that has been trained"
        )


def row(plan: str, times: Sequence[Times], count: int) -> dict[str, Any]:
    """One line of the table."""
    ratios = sorted(t.one_s / t.plan_s for t in times)
    return {
        "name": plan,
        "one_s": statistics.median(t.one_s for t in times) / count,
        "plan_s": statistics.median(t.plan_s for t in times) / count,
        "speed_up": statistics.median(ratios),
        "spread": [ratios[0], ratios[-1]],
        "one_cpu_s": statistics.median(t.one_cpu_s for t in times) / count,
        "cpu_s": [statistics.median(each) / count for each in zip(*(t.cpu_s for t in times), strict=True)],
    }


def report(rows: Sequence[Mapping[str, Any]], args: Any) -> None:
    """The table, or JSON."""
    if args.json:
        machine = {"cpu": platform.processor() or platform.machine(), "torch": torch.__version__}
        print(json.dumps({"rows": rows, "machine": machine}))
        return
    print(
        f"{'':12} {'one (s)':>8} {'plan (s)':>8} {'speed-up':>9} {'spread':>13} {'CPU: one':>9} {'ranks (s)':>14}"
    )
    for r in rows:
        low, high = r["spread"]
        ranks = " ".join(f"{seconds:.3f}" for seconds in r["cpu_s"])
        print(f"{r['name']:12} {r['one_s']:8.3f} {r['plan_s']:8.3f} {r['speed_up']:8.2f}x {low:5.2f} to {high:4.2f} "
              f"{r['one_cpu_s']:9.3f} {ranks:>14}")  # fmt: skip
    print("seconds, and CPU seconds of one rank and of each of the plan's, are of a request")


if __name__ == "__main__":
    main()
