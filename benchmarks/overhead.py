"""What the interpreter costs: the LDM graph run by the engine against a hand-written loop over the same modules.

    python benchmarks/overhead.py [--json] [--rounds 15] [--batch 1]

Both do the same arithmetic (the outputs must be equal bit for bit) on one thread; rounds alternate. Times are CPU
seconds of the process, so that what else the machine does counts less. The figure per node is the median difference
of a round divided by the number of nodes run.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import mmm_graph
from mmm_graph.api.inputs import make_request
from mmm_graph.nn.noise import Noise
from mmm_graph.nn.parts import run_parts
from mmm_graph.plan.describe import program
from mmm_graph.plan.ops import Run
from mmm_graph.runtime import Engine, build_models

ROOT = Path(__file__).parents[1]
PROMPTS = ["zero", "the digit 1", "a handwritten two", "the number three", "seven"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--graph", type=Path, default=ROOT / "graphs" / "digits" / "ldm.yaml")
    parser.add_argument("--weights", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    session = mmm_graph.load(args.graph, params={"steps": args.steps})
    graph = session.graph
    models = build_models(graph.models, session.registry, base=session.base, overlay=args.weights)
    engine = Engine(session.registry, models, cache_bytes=0)
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(args.batch)]
    request = make_request(graph, {"prompt": prompts}, 0)

    def ours() -> Tensor:
        return engine.run(graph, [request], outputs=["image"])["0"].values["image"]

    by_hand = hand_written({k: b.object for k, b in models.items()}, session, prompts)
    assert torch.equal(ours(), by_hand()), "the two do not compute the same"
    nodes = sum(isinstance(i, Run) for i in program(graph, session.registry, session.plan()))
    report(measure(ours, by_hand, args.rounds), nodes, args)


def hand_written(models: dict[str, Any], session: Any, prompts: list[str]) -> Callable[[], Tensor]:
    """The loop that somebody would write for this one model: no engine, no graph."""
    graph, path = session.graph, "draw/denoise/steps/step"
    times_of, noise_of = graph.node("draw/times"), graph.node("draw/noise")
    kind = session.registry.models[graph.models["text"].kind]
    words = kind.methods["forward"].path(graph.models["text"].config, graph.node("draw/cond/enc").config)
    codec = session.registry.models[graph.models["vae"].kind]
    decoding = codec.methods["decode"].path(graph.models["vae"].config, graph.node("draw/image").config)
    text, unet, vae = models["text"].parts, models["unet"].parts, models["vae"]
    sampler, guide, tokenizer = models["sampler"], models["guide"], models["tok"]
    size, seeds = len(prompts), (0,) * len(prompts)
    elements = tuple(range(size))

    def embed(texts: list[str]) -> tuple[Tensor, Tensor]:
        ids = tokenizer.encode(texts)
        state = {"ids": ids["ids"], "mask": ids["mask"]}
        return run_parts(text, words, state)["embeds"], ids["mask"]

    def draw() -> Tensor:
        with torch.no_grad():
            (cond, mask), (none, empty) = embed(prompts), embed([""] * size)
            times = models["scheduler"].times(config=times_of.config)
            noise = Noise(seeds, noise_of.path, elements, ())
            x = vae.noise(like=prompts, config=noise_of.config, noise=noise)
            state = sampler.init(x, times)
            query, t = sampler.query(state, times, 0)
            both, masks = torch.cat([cond, none]), torch.cat([mask, empty])
            for i in range(sampler.evaluations(times)):
                asked = {
                    "x": torch.cat([query, query]),
                    "t": torch.cat([t, t]),
                    "cond.embeds": both,
                    "cond.mask": masks,
                }
                pred = guide.combine(list(run_parts(unet, unet, asked)["pred"].chunk(2)), i=i)
                made = STEP(state, pred, times, i, sampler, Noise(seeds, path, elements, (i,)))
                state, query, t = made["state"], made["x"], made["t"]
            return run_parts(vae.parts, decoding, {"latents": made["latents"]})["image"]

    return draw


def _step() -> Any:
    from mmm_diffusion.ops import step

    return step


STEP = _step()


def measure(a: Callable[[], object], b: Callable[[], object], rounds: int) -> list[tuple[float, float]]:
    """CPU seconds of both, round by round; the order alternates."""
    for _ in range(3):
        a(), b()
    pairs = []
    for number in range(rounds):
        first, second = (a, b) if number % 2 else (b, a)
        times = {}
        for function in (first, second):
            start = time.process_time()
            function()
            times[function] = time.process_time() - start
        pairs.append((times[a], times[b]))
    return pairs


def report(pairs: list[tuple[float, float]], nodes: int, args: argparse.Namespace) -> None:
    """Print the table, or one JSON object."""
    engine, loop = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(a / b for a, b in pairs)
    ratio = statistics.median(ratios)
    spread = [ratios[len(ratios) // 4], ratios[(3 * len(ratios)) // 4]]
    per_node = statistics.median(a - b for a, b in pairs) / nodes * 1e6
    fastest = min(a for a, _ in pairs) / min(b for _, b in pairs)
    if args.json:
        row = {
            "name": f"ldm batch {args.batch}",
            "ours_s": engine,
            "peer_s": loop,
            "ratio": ratio,
            "spread": spread,
        }
        print(
            json.dumps(
                {
                    "rows": [{**row, "nodes": nodes, "us_per_node": per_node, "ratio_fastest": fastest}],
                    "machine": platform.platform(),
                }
            )
        )
        return
    print(f"digits LDM, batch {args.batch}, {args.steps} steps, {nodes} nodes, 1 thread, {len(pairs)} rounds")
    print(f"engine {engine * 1e3:8.2f} ms   loop {loop * 1e3:8.2f} ms")
    print(f"ratio  {ratio:8.4f}      quartiles {spread[0]:.4f} .. {spread[1]:.4f}   {per_node:.1f} us a node")
    print(f"ratio of the fastest rounds {fastest:.4f}")


if __name__ == "__main__":
    main()
