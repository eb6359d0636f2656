"""What learns beside the weights of a model: factors of a LoRA, rows of tables; put there before the first step."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mmm_graph.checkpoint.load import PARTS
from mmm_graph.nn.chosen_rows import choose_rows
from mmm_graph.nn.lora_factors import LoraFactors, add_factors, part_projections
from mmm_graph.train.learns import Learns


def grow(module: nn.Module, learns: Learns, *, model: str, seed: int) -> None:
    """Put all that learns beside weights next to them; their own tensors keep their names and values.

    Args:
        model: its name, which keys what is random, with the layer's.
        seed: of the run.
    """
    plan = learns.lora
    for layer in plan.layers if plan is not None else ():
        assert plan is not None
        numbers = {"rank": plan.rank, "alpha": plan.alpha, "dropout": plan.dropout}
        add_factors(module, full_name(module, layer), **numbers, seed=seed, label=f"{model}.{layer}")  # type: ignore[arg-type]
    for table in learns.tables:
        choose_rows(module, [full_name(module, layer) for layer in table.layers], table.rows)
    part_projections(module)


def part_modules(module: nn.Module) -> Sequence[tuple[str, nn.Module]]:
    """Names and modules of the parts of a model."""
    return list(module.get_submodule("parts").named_children())


def factors_of(module: nn.Module, layers: Sequence[str]) -> dict[str, LoraFactors]:
    """Factors by the name of their layer in a file of the model."""
    found = {}
    for layer in layers:
        factors = module.get_submodule(f"{full_name(module, layer)}.beside")
        assert isinstance(factors, LoraFactors)
        found[layer] = factors
    return found


def full_name(module: nn.Module, layer: str) -> str:
    """The name of a layer in its module, from that in a file."""
    try:
        module.get_submodule(f"{PARTS}{layer}")
    except AttributeError:
        return layer
    return f"{PARTS}{layer}"
