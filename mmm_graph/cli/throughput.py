"""`mmm plan --throughput`: devices by name, measured where they are here; and the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mmm_graph.cli.options import parse_names, use_device
from mmm_graph.errors import InputError, problem
from mmm_graph.graph.graph import Graph, standing_models
from mmm_graph.plan.devices import Device, choose_devices, read_devices
from mmm_graph.plan.predict import Named

HEAD = ("model", "kind", "parameters", "dtype", "device", "what", "per second", "bound by")
RIGHT = (2, 6)
"""Columns of numbers."""


def chosen(names: str | None, file: Path | None) -> dict[str, Device | None]:
    """Devices of --device and --device-spec; None for those of this machine.

    Raises:
        InputError: see `mmm_graph.plan.devices`.
    """
    own = read_devices(file) if file is not None else {}
    listed = parse_names("--device", names)
    return choose_devices(listed if listed is not None else [*own] or ["cpu"], own)


def measured(devices: Mapping[str, Device | None], graph: Graph, *, tf32: bool) -> list[Named]:
    """All of them with figures: those of this machine are measured, in the dtypes of the graph's models.

    Raises:
        InputError: E302, there is no such device here.
    """
    dtypes = sorted({model.dtype or "f32" for _, model in standing_models(graph)}) or ["f32"]
    found: list[Named] = []
    for name, device in devices.items():
        if device is None:
            from mmm_graph.runtime.calibrate import calibrate

            use_device(name, None, tf32)
            device = calibrate(name, dtypes, tf32=tf32)
        found.append(Named(name, device, tf32))
    if tf32 and not any("tf32" in on.device.flops for on in found):
        raise InputError(
            problem("E302", "--tf32 is for devices that have such products", hint="leave it out")
        )
    return found


def throughput_lines(data: Mapping[str, Any]) -> Iterator[str]:
    """The table, for people."""
    yield f"\nthroughput at best: {_what(data)}"
    for name, device in data["devices"].items():
        yield f"  {name}: {_figures(device)}"
    rows = [HEAD]
    for row in data["models"]:
        numbers = f"{row['parameters']:,}", f"{row['per_second']:,.{_digits(row['per_second'])}f}"
        texts = row["model"], row["kind"], numbers[0], row["dtype"], row["device"], row["what"]
        rows.append((*texts, numbers[1], row["bound"]))
    yield from _aligned(rows)
    for (device, plan, ranks), group in groupby(
        data["graph"], key=lambda row: (row["device"], row["plan"], row["ranks"])
    ):
        yield from _graph_lines(device, plan, ranks, list(group))


def _what(data: Mapping[str, Any]) -> str:
    texts = ""
    if data["answer_tokens"]:
        texts = f", prompts of {data['prompt_tokens']} tokens, answers of {data['answer_tokens']}"
    return f"a batch of {data['batch']}{texts}"


def _figures(device: Mapping[str, Any]) -> str:
    flops = ", ".join(f"{n / 1e12:.4g} T {dtype}" for dtype, n in device["flops"].items())
    shares = f" x {device['efficiency']:g}" if device["efficiency"] != 1 else ""
    link = f", link {device['link'] / 1e9:.4g} GB/s" if device["link"] else ""
    source = f" ({device['source']})" if device["source"] else ""
    return f"FLOP/s {flops}{shares}; memory {device['bandwidth'] / 1e9:.4g} GB/s{link}{source}"


def _graph_lines(device: str, plan: str, ranks: int, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    where = f"{ranks} x {device}, plan {plan}" if ranks > 1 else device
    first = rows[0]
    numbers = ", ".join(f"{r['per_second']:,.{_digits(r['per_second'])}f} {r['what']}" for r in rows)
    count = f"{first['requests']} requests" if first["requests"] > 1 else "one request"
    missing = [f"{call} is not known" for call in first["unknown"]]
    missing += [f"{what} is not counted" for what in first["uncounted"]]
    note = f" ({'; '.join(missing)})" if missing else ""
    yield f"the graph on {where}: {numbers}; {first['seconds']:.3g} s for {count}{note}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (
            c.rjust(w) if i in RIGHT else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def _digits(number: float) -> int:
    """Decimals that leave three figures."""
    return 0 if number >= 100 else 1 if number >= 10 else 2 if number >= 1 else 4
