"""What ranks bring: plans on several processes, each with one thread, against one rank with one thread.

    python benchmarks/parallel.py [--rounds 3] [--steps 10] [--only dit,unet,stream] [--plans patch2,pipe2] [--json]

All weights are random and the same everywhere. A round runs one device on rank 0 while the others sleep, then every
plan on all ranks, so that what else the machine does falls on all alike; ratios are of a round, and the table gives
their median and spread. `dit` is DiT-B/2 on 512 x 512 pixels (1024 tokens), `unet` is Stable Diffusion's U-Net at half
its width on the same, both with two guidance branches; `stream` is 16 requests through denoiser | VAE.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from tools.meter import Meter
from torch import Tensor

import mmm_graph
from mmm_graph.api.session import Session
from mmm_graph.plan.ops import At
from mmm_graph.plan.simulate import Costs, Measured, simulate
from mmm_graph.plan.whole import whole_blocks
from mmm_graph.runtime import work as work_module
from mmm_graph.runtime.executor import Executor
from mmm_graph.runtime.launch import launch
from mmm_graph.runtime.process_world import ProcessWorld
from mmm_graph.runtime.supervised import follow_launcher

DIT = {"in_channels": 4, "sample_size": 64, "patch_size": 2, "width": 768, "depth": 12, "num_heads": 12,
       "num_classes": 1001}  # fmt: skip
UNET = {"channels": [160, 320, 640, 640], "num_heads": 8, "cond_dim": 768}
VAE = {"channels": [128, 224, 224], "layers_per_block": 1}
PLANS: Mapping[str, Mapping[str, Any]] = {
    "dit": {
        "patch2": {"ranks": 2, "axes": {"net": {"patch": 2}}},
        "displaced2": {"ranks": 2, "axes": {"net": {"patch": {"size": 2, "mode": "displaced"}}}},
        "ulysses2": {"ranks": 2, "axes": {"net": {"ulysses": 2}}},
        "ring2": {"ranks": 2, "axes": {"net": {"ring": 2}}},
        "tensor2": {"ranks": 2, "axes": {"net": {"tensor": 2}}},
        "cfg2": {"ranks": 2, "axes": {"net": {"cfg": 2}}},
        "pipe2": {"ranks": 2, "pipe": {"net": 2}, "loops": {"denoise": {"patches": 2, "warmup": 1}}},
    },
    "unet": {
        "patch2": {"ranks": 2, "axes": {"net": {"patch": 2}}},
        "displaced2": {"ranks": 2, "axes": {"net": {"patch": {"size": 2, "mode": "displaced"}}}},
        "cfg2": {"ranks": 2, "axes": {"net": {"cfg": 2}}},
    },
    "stream": {
        "stages2": {
            "ranks": 2,
            "stages": [{"ranks": [0], "place": ["net"]}, {"ranks": [1], "place": ["vae"]}],
            "in_flight": 4,
        },
    },
}
REQUESTS, STREAM_STEPS = 16, 4


def main() -> None:
    """Start the ranks, or be one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--only", default="dit,unet,stream")
    parser.add_argument("--plans", default="", help="with commas; default: all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if "RANK" not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            for name in args.only.split(","):
                write_weights(name, Path(folder) / name)
            command = [sys.executable, __file__, *sys.argv[1:], "--weights", folder]
            sys.exit(launch(command, 2, 600.0, env={"OMP_NUM_THREADS": "1"}))
    follow_launcher()
    torch.set_num_threads(1)
    work_module.Executor = Recorder  # type: ignore[misc]
    rows: list[dict[str, Any]] = []
    with ProcessWorld.from_env(600.0) as world:
        for name in args.only.split(","):
            wanted = [p for p in args.plans.split(",") if p] or list(PLANS[name])
            chosen = {p: plan for p, plan in PLANS[name].items() if p in wanted}
            rows += measure(name, chosen, world, args)
    if world.rank == 0:
        report(rows, args)


def graph(name: str, steps: int, plans: Mapping[str, Any]) -> dict[str, Any]:
    """The denoiser in its loop, from noise that is given; the stream has an autoencoder behind it."""
    kind, config, cond = ("denoiser.unet", UNET, {"embeds": "$in.embeds"}) if name == "unet" else (
        "denoiser.dit", DIT, {"label": "$in.label"})  # fmt: skip
    found: dict[str, Any] = {
        "mmm": 1,
        "params": {"steps": {"type": "int", "default": steps}},
        "inputs": {"x": "Latents[b,4,64,64]"},
        "models": {
            "net": {"kind": kind, "init": "default", "config": config},
            "law": {"kind": "scheduler.scaled_linear"},
            "sampler": {"kind": "sampler.euler"},
            "guide": {"kind": "guidance.cfg", "config": {"scale": 4.0}},
        },
        "nodes": {
            "times": {"call": "law.times", "config": {"steps": "$params.steps"}},
            "denoise": {
                "op": "diffusion.denoise",
                "use": {"denoiser": "net", "sampler": "sampler", "guidance": "guide"},
                "in": {"x": "$in.x", "times": "times", "cond": cond, "uncond": cond},
            },
        },
        "outputs": {"latents": "denoise"},
        "parallel": {"plans": dict(plans)},
    }
    found["inputs"]["embeds" if name == "unet" else "label"] = (
        "Embeds[b,77,768]" if name == "unet" else "Ids[b]"
    )
    if name == "stream":
        found["inputs"]["x"] = "Latents[b,4,32,32]"
        found["models"]["net"]["config"] = {
            **DIT,
            "sample_size": 32,
            "width": 384,
            "depth": 6,
            "num_heads": 6,
        }
        found["models"]["vae"] = {"kind": "vae.kl", "init": "default", "config": {**VAE, "sample_size": 256}}
        found["nodes"]["image"] = {"call": "vae.decode", "in": {"latents": "denoise"}}
        found["outputs"] = {"image": "image"}
    return found


def write_weights(name: str, folder: Path) -> None:
    """Random ones, with nothing left at zero as initialisations leave it, so that results can be compared."""
    session = mmm_graph.load(graph(name, 1, {}))
    drawn = torch.Generator().manual_seed(0)
    for model in [
        m for m, node in session.graph.models.items() if session.registry.models[node.kind].weights
    ]:
        for weight in session.module(model).parameters():
            weight.data.add_(torch.randn(weight.shape, generator=drawn) * 0.02)
    session.save(folder)


def given(name: str, number: int) -> dict[str, Any]:
    """Inputs of one request."""
    seed = number + 1
    drawn = torch.Generator().manual_seed(seed)
    side = 32 if name == "stream" else 64
    found: dict[str, Any] = {"x": torch.randn(1, 4, side, side, generator=drawn)}
    if name == "unet":
        return {**found, "embeds": torch.randn(1, 77, 768, generator=drawn)}
    return {**found, "label": torch.tensor([seed % 1000])}


def measure(name: str, plans: Mapping[str, Any], world: ProcessWorld, args: Any) -> list[dict[str, Any]]:
    """Rows of one graph: rounds of one device and every plan."""
    steps = STREAM_STEPS if name == "stream" else args.steps
    text = graph(name, steps, plans)
    work = stream if name == "stream" else single
    folder = args.weights / name
    alone = mmm_graph.load(text, weights=folder) if world.rank == 0 else None
    meters = {plan: Meter(world) for plan in plans}
    sessions = {plan: mmm_graph.load(text, plan=plan, world=meters[plan], weights=folder) for plan in plans}
    times: dict[str, list[dict[str, float]]] = {plan: [] for plan in plans}
    exact: dict[str, float] = {}
    efficiency: dict[str, tuple[float, float]] = {}
    for number in range(-1, args.rounds):  # the first one loads and warms up
        one_s, expected = timed(world, partial(work, alone, name, number) if alone is not None else None)
        for plan, session in sessions.items():
            meters[plan].reset()
            Recorder.runs.clear()
            plan_s, found = timed(world, partial(work, session, name, number))
            ranks = world.gather([meters[plan].sent_bytes, meters[plan].waited_s])
            if number >= 0:  # the warm-up has another number of steps
                efficiency[plan] = efficiencies(session, world, REQUESTS if name == "stream" else 1)
            if world.rank == 0 and number >= 0:
                times[plan].append({"one_s": one_s, "plan_s": plan_s, "sent": [r[0] for r in ranks],
                                    "waited": [r[1] for r in ranks]})  # fmt: skip
                exact[plan] = float((found - expected).abs().max() / expected.abs().max())
            elif world.rank == 0:
                print(f"{name} {plan}: warm", file=sys.stderr, flush=True)
    held = {plan: world.gather(weight_bytes(s)) for plan, s in sessions.items()}
    peaks = world.gather(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    whole = weight_bytes(alone) if alone is not None else 0
    return [
        row(name, plan, times[plan], exact[plan], held[plan], whole, steps)
        | {"efficiency": efficiency[plan], "peak_mib": peaks}
        for plan in plans
        if times[plan]
    ]


class Recorder(Executor):
    """Notes how long each Run takes, without the time that it waits for messages."""

    runs: ClassVar[list[tuple[Any, Any, float]]] = []
    waited_s = 0.0

    def _arrive(self, wanted: Any) -> None:
        start = time.perf_counter()
        super()._arrive(wanted)
        self.waited_s += time.perf_counter() - start

    def _run(self, item: Any, turns: tuple[int, ...]) -> None:
        self.waited_s, start = 0.0, time.perf_counter()
        super()._run(item, turns)
        self.runs.append((item.fn, item.at, time.perf_counter() - start - self.waited_s))

    def execute(self, program: Any, turns: tuple[int, ...] = ()) -> None:
        start = time.perf_counter()
        super().execute(program, turns)
        if not turns:
            self.runs.append((("all",), None, time.perf_counter() - start))


def efficiencies(session: Session, world: ProcessWorld, requests: int) -> tuple[float, float]:
    """Share of the ranks' time in which they run something: as measured, and as simulated from the measured tasks."""
    told = world.gather([[fn, None if at is None else list(at), s] for fn, at, s in Recorder.runs])
    if world.rank:
        return 0.0, 0.0
    tasks = [(_tuples(fn), At(*_tuples(at)), s) for rank in told for fn, at, s in rank if at is not None]
    span_s = max(s for rank in told for _, at, s in rank if at is None)
    plan = session.plan()
    blocks = whole_blocks(session.graph, session.registry, plan)
    simulated = simulate(blocks, Costs(Measured.of(tasks)), requests=requests)
    busy_s = sum(simulated.busy_s(rank) for rank in range(plan.ranks))
    return sum(s for *_, s in tasks) / (plan.ranks * span_s), busy_s / (plan.ranks * simulated.span_s)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def single(session: Session, name: str, number: int) -> Tensor | None:
    """One image, another one each round, since results are kept; of one step to warm up."""
    more = {"steps": 1} if number < 0 else {}
    return next(iter(session.run(**given(name, number), **more).values()), None)


def stream(session: Session, name: str, number: int) -> Tensor | None:
    """Many requests through one pipeline."""
    first, count = (number + 1) * REQUESTS, REQUESTS if number >= 0 else 2
    results = session.map([{"id": str(i), **given(name, i)} for i in range(first, first + count)])
    for result in results.values():
        if result.error is not None:
            raise result.error
    images = [v for r in results.values() for v in r.values.values()]
    return torch.cat(images) if images else None


def timed(world: ProcessWorld, work: Callable[[], Any] | None) -> tuple[float, Any]:
    """Wall time until all ranks have done their part, which may be nothing."""
    world.gather(0)
    start = time.perf_counter()
    found = work() if work is not None else None
    world.gather(0)
    return time.perf_counter() - start, found


def weight_bytes(session: Session) -> int:
    """Bytes of weights that this process holds for a session, each tensor once."""
    engine = session._models._engine
    shards = [b for b in engine._shards._kept.values() if "object" in b.__dict__]
    built = [*shards, *(b for b in engine.models.values() if "object" in b.__dict__)]
    modules = [b.object for b in built if isinstance(b.object, torch.nn.Module)]
    found = {id(p): p.numel() * p.element_size() for m in modules for p in m.parameters()}
    return sum(found.values())


def row(
    name: str,
    plan: str,
    times: Sequence[Mapping[str, Any]],
    error: float,
    held: Sequence[int],
    whole: int,
    steps: int,
) -> dict[str, Any]:
    """One line of the table."""
    ratios = sorted(t["plan_s"] / t["one_s"] for t in times)
    units = steps if name != "stream" else REQUESTS
    return {
        "name": f"{name} {plan}",
        "ours_s": statistics.median(t["plan_s"] for t in times) / units,
        "peer_s": statistics.median(t["one_s"] for t in times) / units,
        "ratio": statistics.median(ratios),
        "spread": [ratios[0], ratios[-1]],
        "speed_up": 1 / statistics.median(ratios),
        "sent_mib": [round(b / units / 2**20, 2) for b in times[-1]["sent"]],
        "waited": [round(w / times[-1]["plan_s"], 3) for w in times[-1]["waited"]],
        "weights": [round(h / whole, 3) for h in held] if whole else [],
        "max_error": error,
    }


def report(rows: Sequence[Mapping[str, Any]], args: Any) -> None:
    """The table, or JSON."""
    machine = {"cpu": platform.processor() or platform.machine(), "torch": torch.__version__}
    if args.json:
        print(json.dumps({"rows": rows, "machine": machine}))
        return
    print(f"{'':16} {'one (s)':>8} {'plan (s)':>8} {'speed-up':>9} {'spread':>13} {'sent (MiB)':>18} "
          f"{'waiting':>15} {'weights':>15} {'efficiency':>12} {'error':>8}")  # fmt: skip
    for r in rows:
        low, high = (1 / x for x in reversed(r["spread"]))
        measured, simulated = r["efficiency"]
        lists = " ".join(
            f"{r[key]!s:>{width}}" for key, width in (("sent_mib", 18), ("waited", 15), ("weights", 15))
        )
        print(f"{r['name']:16} {r['peer_s']:8.3f} {r['ours_s']:8.3f} {r['speed_up']:8.2f}x {low:5.2f} to {high:4.2f} "
              f"{lists} {measured:5.2f} {simulated:6.2f} {r['max_error']:8.1e}")  # fmt: skip
    print(f"peak memory of the processes: {rows[-1]['peak_mib']} MiB; of one plan alone with --plans, on rank 1, "
          "since rank 0 holds the single device too")  # fmt: skip
    print("seconds and bytes sent by each rank are of a step (stream: of a request); waiting is a share of the time;\n"
          "efficiency: share of the ranks' time in which they run something, measured, and simulated from those "
          "tasks")  # fmt: skip


if __name__ == "__main__":
    main()
