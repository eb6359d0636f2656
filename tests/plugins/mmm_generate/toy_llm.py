"""A toy language model of parts with a cache: each block adds the mean of what it has seen so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmm_generate.node import node_types
from mmm_graph.config import Config
from mmm_graph.registry import ModelType, Part, Registry, method, model_type, registry_of

WIDTH, VOCAB, BLOCKS = 6, 11, 3
HERE = "tests.plugins.mmm_generate.toy_llm"
State = Mapping[str, Any]


class Embed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCAB, WIDTH)

    def forward(self, state: State) -> dict[str, Any]:
        return {"embeds": self.table(state["ids"])}


class Enter(nn.Module):
    def forward(self, state: State) -> dict[str, Any]:
        embeds = state["embeds"]
        mask = state.get("mask")
        mask = torch.ones(embeds.shape[:2], dtype=torch.bool) if mask is None else mask
        return {"h": embeds, "seen": mask, "at": embeds.shape[1], "cache.rows": mask.sum(1)}


class Advance(nn.Module):
    def forward(self, state: State) -> dict[str, Any]:
        rows, at, embeds = state["cache.rows"], state["at"], state["embeds"]
        if state.get("order") is not None:
            rows.copy_(rows[state["order"]])
        rows += 1
        seen = torch.arange(at + 1) >= at + 1 - rows[:, None]
        return {"h": embeds, "seen": seen, "at": at + 1}


class Block(nn.Module):
    def __init__(self, index: int) -> None:
        super().__init__()
        self.key, self.lin = f"cache.block{index}", nn.Linear(WIDTH, WIDTH)

    def forward(self, state: State) -> dict[str, Any]:
        h, seen = state["h"], state["seen"][..., None]
        cache = state.get(self.key)
        if state.get("room") is not None:
            cache = torch.zeros(h.shape[0], h.shape[1] + state["room"], WIDTH)
            cache[:, : h.shape[1]] = h
        elif cache is not None:
            if state.get("order") is not None:
                cache.copy_(cache[state["order"]])
            cache[:, state["at"] - 1] = h[:, 0]
        past = h if cache is None else cache[:, : seen.shape[1]]
        mean = (past * seen).cumsum(1) / seen.cumsum(1).clamp(min=1)
        return {"h": h + torch.tanh(self.lin(mean[:, -h.shape[1] :])), self.key: cache}


class Last(nn.Module):
    def forward(self, state: State) -> dict[str, Any]:
        return {"h": state["h"][:, -1:]}


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(WIDTH, VOCAB)

    def forward(self, state: State) -> dict[str, Any]:
        return {"logits": self.lin(state["h"])[:, -1] * 3, "hidden": state["h"]}


class ToyLlm(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        blocks = {f"block{i}": Block(i) for i in range(BLOCKS)}
        parts = {"embed": Embed(), "enter": Enter(), "advance": Advance(), **blocks}
        self.parts = nn.ModuleDict({**parts, "last": Last(), "head": Head()})


def parts(config: Config) -> list[Part]:
    blocks = [
        Part(
            f"block{i}",
            ("h", "seen", "at", "room", "order", f"cache.block{i}"),
            ("h", f"cache.block{i}"),
            42,
            1e6,
        )
        for i in range(BLOCKS)
    ]
    return [
        Part("embed", ("ids",), ("embeds",), 66, 1e5),
        Part("enter", ("embeds", "mask"), ("h", "seen", "at", "cache.rows")),
        Part("advance", ("embeds", "at", "order", "cache.rows"), ("h", "seen", "at")),
        *blocks,
        Part("last", ("h",), ("h",)),
        Part("head", ("h",), ("logits", "hidden"), 77, 1e5),
    ]


def through(*names: str) -> Any:
    blocks = [f"block{i}" for i in range(BLOCKS)]
    return lambda config, call: [n for name in names for n in (blocks if name == "blocks" else [name])]


def toy_llm() -> ModelType:
    embeds, logits = f"Embeds[b,t,{WIDTH}]", f"Logits[b,{VOCAB}]"
    answer = {"logits": logits, "hidden": f"Embeds[b,1,{WIDTH}]", "at": "Scalar"}
    return model_type(
        "llm.toy",
        Config,
        f"{HERE}:ToyLlm",
        parts=parts,
        methods={
            "embed": method(ids="Ids[b,t]", returns={"embeds": embeds}, path=through("embed")),
            "prefill": method(
                embeds=embeds,
                mask="Mask[b,t]?",
                room="Scalar",
                returns={**answer, "cache": "State"},
                path=through("enter", "blocks", "last", "head"),
            ),
            "step": method(
                ids="Ids[b,1]",
                at="Scalar",
                cache="State",
                order="Ids[b]?",
                returns=answer,
                path=through("embed", "advance", "blocks", "head"),
            ),
        },
    )


class Letters:
    """A tokenizer: one letter, one token; z ends a text."""

    end_ids, pad_id = (10,), 0

    def __init__(self, config: Config) -> None:
        pass

    def chat(self, chat: Any) -> dict[str, Tensor]:
        """All that was said in words, one letter after the other, padded on the left."""
        said = ["".join(s.get("text", "") for m in c for s in m["content"]) for c in chat]
        rows = [["abcdefghij".find(letter) % 10 for letter in text] for text in said]
        longest = max(map(len, rows))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[False] * (longest - len(row)) + [True] * len(row) for row in rows])
        return {"ids": ids, "mask": mask}

    def decode(self, ids: Tensor, mask: Tensor | None = None) -> list[str]:
        rows = (
            ids.tolist() if mask is None else [r[m].tolist() for r, m in zip(ids, mask.bool(), strict=True)]
        )
        return ["".join("abcdefghij"[i] for i in row if i != 10) for row in rows]


def letters() -> ModelType:
    decode = method(ids="Ids[b,t]", mask="Mask[b,t]?", returns={"text": "Text[b]"})
    chat = method(chat="Chat[b]", returns={"ids": "Ids[b,t]", "mask": "Mask[b,t]"})
    methods = {"decode": decode, "chat": chat}
    return model_type("tokenizer.letters", Config, f"{HERE}:Letters", methods=methods, weights=False)


def registry() -> Registry:
    return registry_of(toy_llm(), letters(), *node_types())


@torch.no_grad()
def answer_of(net: ToyLlm, ids: list[int], count: int, change: Any = None) -> tuple[list[int], list[float]]:
    """What the model says after `ids`, greedily, without a cache: everything again for each token."""
    ids, made, said = list(ids), [], []
    for _ in range(count):
        state: dict[str, Any] = {"ids": torch.tensor([ids])}
        for name in through("embed", "enter", "blocks", "last", "head")(None, None):
            state.update(net.parts[name](state))
        logits = state["logits"][0]
        logits = logits if change is None else change(logits, torch.tensor([ids]))
        token = int(logits.argmax())
        said.append(float(logits.log_softmax(-1)[token]))
        ids.append(token)
        made.append(token)
    return made, said
