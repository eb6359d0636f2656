"""Options that several verbs take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mmm_graph.errors import InputError, did_you_mean, problem

F = TypeVar("F", bound=Callable[..., Any])

GRAPH = click.argument("file", type=click.Path(path_type=Path))


def overrides(function: F) -> F:
    """--set and --params."""
    function = click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set a param, an input, or a key of the file.",
    )(function)
    return click.option(
        "--params",
        "params_file",
        type=click.Path(path_type=Path),
        help="YAML or JSON file of params and inputs.",
    )(function)


tf32 = click.option(
    "--tf32", is_flag=True, help="float32 products on CUDA with 10 bits of mantissa, several times as fast."
)


def device(function: F) -> F:
    """--device, --threads, --tf32, --weights."""
    function = click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 ...")(
        function
    )
    function = click.option(
        "--threads", type=click.IntRange(1), help="CPU threads; default: PyTorch's choice."
    )(function)
    function = tf32(function)
    return click.option(
        "--weights",
        type=click.Path(path_type=Path),
        help="Folder of <model>.safetensors that replace the file's weights.",
    )(function)


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON event a line.")


def parse_sets(items: tuple[str, ...]) -> dict[str, str]:
    """`name=value` pairs.

    Raises:
        InputError: an item without `=`.
    """
    found: dict[str, str] = {}
    for item in items:
        name, sign, value = item.partition("=")
        if not sign or not name:
            raise InputError(problem("E301", f"--set takes NAME=VALUE, found {item!r}"))
        found[name] = value
    return found


def parse_names(option: str, text: str | None) -> list[str] | None:
    """`a,b` as names; None = the option was not given.

    Raises:
        InputError: an empty name.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InputError(problem("E301", f"{option} takes names with commas between them, found {text!r}"))
    return list(dict.fromkeys(names))


def parse_seed(text: str) -> int | list[int]:
    """`7` or `1,2,3`.

    Raises:
        InputError: not integers of at least 0.
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            problem("E302", f"--seed takes an integer or several with commas, found {text!r}")
        ) from None
    if any(n < 0 for n in numbers):
        raise InputError(problem("E302", f"--seed takes integers of at least 0, found {text!r}"))
    return numbers if "," in text else numbers[0]


def use_device(name: str, threads: int | None, tf32: bool = False) -> str:
    """Check that the device exists; set the number of CPU threads, and how exact float32 products are.

    Raises:
        InputError: no such device here, or TF32 on one that is no GPU.
    """
    import torch

    if tf32 and not name.startswith("cuda"):
        raise InputError(
            problem("E302", f"--tf32 is for CUDA devices, found --device {name}", hint="leave it out")
        )
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        torch.zeros(1, device=name).item()  # the meta device has no values
    except (RuntimeError, AssertionError) as error:
        known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        cause = str(error).partition("\n")[0].partition(". ")[0][:200]
        raise InputError(
            problem("E302", f"the device {name!r} cannot be used: {cause}", hint=did_you_mean(name, known))
        ) from error
    if tf32:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    return name
