"""Data that is made up and lies in memory, as a plugin and for a plain loop: what training is measured on."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_graph.config import Config
from mmm_graph.registry import NodeType, data_type, hookimpl


class PairsConfig(Config):
    """Images of noise with ids of noise; the last id of a text is the largest."""

    batch: int = 32
    count: int = 256
    size: int = 112
    length: int = 32
    vocab: int = 4096


class Pairs:
    """image [3,h,w], ids [t]."""

    def __init__(self, config: PairsConfig) -> None:
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(config.count, 3, config.size, config.size, generator=generator)
        self.ids = torch.randint(2, config.vocab - 1, (config.count, config.length), generator=generator)
        self.ids[:, -1] = config.vocab - 1

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": self.images[index], "ids": self.ids[index]}


class AnswersConfig(PairsConfig):
    """An image and a text each, of which all but the first few tokens are learnt."""

    asked: int = 8


class Answers(Pairs):
    """Pairs with labels [t]."""

    def __init__(self, config: AnswersConfig) -> None:
        super().__init__(config)
        self.labels = self.ids.clone()
        self.labels[:, : config.asked] = -100

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {**super().__getitem__(index), "labels": self.labels[index]}


@hookimpl
def mmm_register_nodes() -> list[NodeType]:
    """data.bench_pairs and data.bench_answers."""
    return [
        data_type("data.bench_pairs", PairsConfig, "tools.corpora:Pairs", columns=_pairs),
        data_type("data.bench_answers", AnswersConfig, "tools.corpora:Answers", columns=_answers),
    ]


def _pairs(config: PairsConfig) -> dict[str, str]:
    return {"image": f"Image[b,3,{config.size},{config.size}]", "ids": f"Ids[b,{config.length}]"}


def _answers(config: AnswersConfig) -> dict[str, str]:
    return {**_pairs(config), "labels": f"Ids[b,{config.length}]"}
