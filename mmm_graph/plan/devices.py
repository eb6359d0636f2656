"""What devices can do at best: figures of data sheets, and of a user's own file; no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import Field, PositiveFloat, ValidationError, field_validator

from mmm_graph.config import Config
from mmm_graph.errors import InputError, Problem, did_you_mean, problem
from mmm_graph.spec.explain import explain, in_order
from mmm_graph.spec.files import load_tree, mark_key

HERE = re.compile(r"cpu|cuda(:\d+)?")
"""Devices of this machine: their figures are measured."""
PRODUCTS = ("f64", "f32", "tf32", "bf16", "f16", "int8")


class Device(Config):
    """One device.

    Attributes:
        flops: FLOP/s (int8: operations/s) of matrix products by dtype, without sparsity; tf32: of float32 numbers with
            10 bits of mantissa.
        bandwidth: of its memory, bytes/s.
        memory: bytes.
        link: to another device of its kind, bytes/s in one direction.
        efficiency: share of `flops` that products reach.
        source: where the figures are from.
    """

    flops: Mapping[str, PositiveFloat]
    bandwidth: PositiveFloat
    memory: PositiveFloat | None = None
    link: PositiveFloat | None = None
    efficiency: float = Field(default=1.0, gt=0, le=1)
    source: str = ""

    @field_validator("flops")
    @classmethod
    def _check(cls, flops: Mapping[str, float]) -> Mapping[str, float]:
        for name in flops:
            if name not in PRODUCTS:
                raise ValueError(f"{name} is none of {', '.join(PRODUCTS)}")
        return flops

    def rate(self, dtype: str, *, tf32: bool = False) -> float | None:
        """FLOP/s that products of such numbers reach; None where nobody says."""
        found = self.flops.get("tf32" if tf32 and dtype == "f32" and "tf32" in self.flops else dtype)
        return None if found is None else found * self.efficiency


def _sheet(flops: tuple[float, ...], bandwidth: float, memory: float, link: float, source: str) -> Device:
    """Figures in T (flops of f32, tf32, bf16 and f16, int8) and G bytes."""
    f32, tf32, half, int8 = (n * 1e12 for n in flops)
    rates = {"f32": f32, "tf32": tf32, "bf16": half, "f16": half, "int8": int8}
    return Device(flops=rates, bandwidth=bandwidth * 1e9, memory=memory * 1e9, link=link * 1e9, source=source)


SHEETS: Mapping[str, Device] = {
    "h100": _sheet((67, 494.7, 989.4, 1979), 3350, 80, 450, "NVIDIA H100 Tensor Core GPU data sheet, SXM5"),
    "h200": _sheet((67, 494.7, 989.4, 1979), 4800, 141, 450, "NVIDIA H200 Tensor Core GPU data sheet, SXM5"),
    "a100": _sheet((19.5, 156, 312, 624), 2039, 80, 300, "NVIDIA A100 Tensor Core GPU data sheet, 80 GB SXM"),
    "l40s": _sheet((91.6, 183, 362, 733), 864, 48, 32, "NVIDIA L40S data sheet; PCIe 4.0 x16"),
    "rtx4090": _sheet(
        (82.6, 82.6, 165.2, 660.6), 1008, 24, 32, "NVIDIA Ada GPU Architecture, appendix A; PCIe 4.0 x16"
    ),
}
"""Products that add up in float32; links in one direction (NVLink where there is one)."""


class DeviceFile(Config):
    """A file of devices."""

    devices: Mapping[str, Device]


def read_devices(path: Path) -> Mapping[str, Device]:
    """Devices that a user describes under `devices:`.

    Raises:
        InputError: what is wrong with the file; E528, it names a device that is measured.
    """
    tree = load_tree(path)
    try:
        found = DeviceFile.model_validate(tree.value).devices
    except ValidationError as error:
        raise InputError(in_order(explain(error, DeviceFile, tree.value, tree.places))) from error
    for name in found:
        if HERE.fullmatch(name):
            place, hint = tree.places.get(mark_key(("devices", name))), "call it otherwise"
            raise InputError(
                problem("E528", f"{name} is a device of this machine, which is measured", place, hint)
            )
    return found


def choose_devices(names: Iterable[str], own: Mapping[str, Device]) -> dict[str, Device | None]:
    """Devices by name; None for those of this machine, of which nobody has said anything.

    Raises:
        InputError: E527, there is no such device.
    """
    known = {**SHEETS, **own}
    found: dict[str, Device | None] = {}
    problems: list[Problem] = []
    for name in names:
        if name in known or HERE.fullmatch(name):
            found[name] = known.get(name)
            continue
        hint = did_you_mean(name, (*known, "cpu", "cuda"))
        problems.append(problem("E527", f"nothing is known of a device {name!r}", hint=hint))
    if problems:
        raise InputError(problems)
    return found
