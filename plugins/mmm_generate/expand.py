"""The composite `llm.generate`: prefill, then a loop that picks a token and asks the model again; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmm_generate.config import GenerateConfig
from mmm_graph.registry import Used

Nodes = dict[str, dict[str, Any]]

OWN = frozenset(("ids",))
"""Inputs that are not handed to the model's prefill."""
NEXT = {"op": "llm.next", "in": {"at": "$carry.at"}}
"""The place after this one. The model's step says it too, but at its end, for which the first stage need not wait."""


def expand(config: GenerateConfig, uses: Mapping[str, Used], inputs: frozenset[str]) -> Mapping[str, Any]:
    """Prefill once; each turn changes the logits, picks a token, and asks the model for the next ones.

    The model is not asked after the last token, unless its hidden state is wanted: its call has `when: stop.more`.

    Raises:
        ValueError: there is no prompt; a stop text needs a tokenizer; the model keeps no prefixes of prompts.
    """
    if "embeds" not in inputs and "ids" not in inputs:
        raise ValueError("link a prompt: `embeds`, or `ids` of tokens")
    if config.stop and "tokenizer" not in uses:
        raise ValueError("`stop:` compares texts: add `use: {tokenizer: ...}`, or name tokens by `stop_ids:`")
    tokenizer = {"tokenizer": uses["tokenizer"].name} if "tokenizer" in uses else {}
    if config.num_beams > 1:
        nodes = {**_start(config, uses, inputs), "turns": {"loop": _beam_loop(config, uses, tokenizer)}}
        pad = {"pad_id": config.pad_id}
        nodes["best"] = {"op": "beams.best", "use": tokenizer, "in": {"state": "turns.state"}, "config": pad}
        out = {"ids": "best.ids", "mask": "best.mask", "score": "best.score"}
    else:
        nodes = {**_start(config, uses, inputs), "turns": {"loop": _loop(config, uses, tokenizer)}}
        out = {"ids": "turns.ids", "mask": "turns.mask", "logprobs": "turns.logprobs"}
    if config.hidden:
        out["hidden"] = "turns.hidden"
    if tokenizer:
        answer = {"ids": out["ids"], "mask": out["mask"]}
        nodes["text"] = {"call": f"{tokenizer['tokenizer']}.decode", "in": answer}
        out["text"] = "text"
    return {"nodes": nodes, "out": out}


def _start(config: GenerateConfig, uses: Mapping[str, Used], inputs: frozenset[str]) -> Nodes:
    """The prompt through the model, and what the loop begins with."""
    llm = uses["llm"].name
    nodes: Nodes = {"room": {"op": "llm.room", "config": {"tokens": config.max_new_tokens}}}
    given = {name: f"$in.{name}" for name in sorted(inputs)}
    if "embeds" not in inputs:
        nodes["words"] = {"call": f"{llm}.embed", "in": {"ids": "$in.ids"}}
        given["embeds"] = "words"
    prefill = "prefill"
    if config.num_beams > 1:
        if "encode" in uses["llm"].methods:
            nodes["encoded"], given = _encoded(llm, given)
            prefill = "prefill_encoded"
        given = _spread(nodes, given, config.num_beams)
    begin = {"logits": "prefill.logits", **({"ids": given["ids"]} if "ids" in given else {})}
    links = {name: link for name, link in given.items() if name not in OWN}
    if config.prefix_cache:
        _check_prefixes(uses["llm"])
        nodes["prefixes"] = {"op": "llm.prefix_cache", "config": {"mib": config.prefix_cache}}
        links["prefix_cache"] = "prefixes"
    nodes["prefill"] = {"call": f"{llm}.{prefill}", "in": {**links, "room": "room"}}
    nodes["begin"] = {"op": "llm.begin", "in": begin}
    if config.num_beams > 1:
        settings = {"num_beams": config.num_beams}
        nodes["beams"] = {"op": "beams.begin", "in": {"logits": "prefill.logits"}, "config": settings}
    return nodes


def _encoded(llm: str, given: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """A node that reads prompts once, whatever the number of beams; what is left to link to beams."""
    read = {name: given[name] for name in ("embeds", "mask", "positions") if name in given}
    rest = {name: link for name, link in given.items() if name not in ("embeds", "positions")}
    return {"call": f"{llm}.encode", "in": read}, {**rest, "memory": "encoded"}


def _spread(nodes: Nodes, given: Mapping[str, str], num_beams: int) -> dict[str, str]:
    """Each row once for each beam; media are told apart by number: their rows are not those of the batch."""
    spread = dict(given)
    for name in sorted(given.keys() - {"media"}):
        links, settings = {"x": given[name]}, {"num_beams": num_beams}
        nodes[f"beams_{name}"] = {"op": "beams.spread", "in": links, "config": settings}
        spread[name] = f"beams_{name}"
    return spread


def _check_prefixes(llm: Used) -> None:
    """Refuse a model in which the beginning of a prompt depends on its end, or on more than its embeds."""
    if "prefill" in llm.methods and "prefix_cache" not in llm.methods["prefill"].inputs:
        why = "what it computes of the beginning of a prompt may depend on more than that"
        raise ValueError(
            f"prefix_cache: {llm.name} ({llm.kind}), with what is attached to it, keeps no prefixes of prompts: {why}"
        )


def _loop(config: GenerateConfig, uses: Mapping[str, Used], tokenizer: Mapping[str, str]) -> dict[str, Any]:
    changes = _changes(config, tokenizer)
    nodes: Nodes = dict(changes)
    last = [*changes][-1] if changes else "$carry.logits"
    nodes["pick"] = {
        "op": "logits.pick",
        "in": {"logits": last},
        "config": {"sample": config.temperature > 0},
    }
    nodes["stop"] = {
        "op": "llm.stop",
        "use": tokenizer,
        "in": {"id": "pick", "done": "$carry.done", "left": "$carry.left", "ids": "$carry.ids"},
        "config": {"ids": config.stop_ids, "pad_id": config.pad_id},
    }
    ends = "stop"
    if config.stop:
        links = {"ids": "stop.ids", "done": "stop.done", "left": "stop.left", "prompt": "begin.length"}
        nodes["ends"] = {
            "op": "llm.stop_text",
            "use": tokenizer,
            "in": links,
            "config": {"stop": config.stop},
        }
        ends = "ends"
    nodes["next"] = NEXT
    nodes["step"] = {
        "call": f"{uses['llm'].name}.step",
        "in": {"ids": "stop.id", "at": "$carry.at", "cache": "prefill.cache"},
        **({} if config.hidden else {"when": f"{ends}.more"}),
    }
    collect = {"ids": "stop.id", "mask": "stop.mask", "logprobs": "pick.logprob"}
    if config.hidden:
        collect["hidden"] = "step.hidden"
    return {
        "max": config.max_new_tokens,
        "until": f"{ends}.over",
        "carry": {
            "logits": "prefill.logits",
            "at": "prefill.at",
            "done": "begin.done",
            "left": "room",
            "ids": "begin.ids",
        },
        "nodes": nodes,
        "next": {
            "logits": "step.logits",
            "at": "next",
            "done": f"{ends}.done",
            "left": "stop.left",
            "ids": "stop.ids",
        },
        "collect": {name: {"from": link, "axis": 1} for name, link in collect.items()},
        "stream": ["ids"],
    }


def _beam_loop(
    config: GenerateConfig, uses: Mapping[str, Used], tokenizer: Mapping[str, str]
) -> dict[str, Any]:
    """The loop of a beam search; its state holds the answers."""
    changes = _changes(config, tokenizer)
    names = ("num_beams", "length_penalty", "early_stopping", "stop_ids")
    links = {"logits": [*changes][-1], "state": "$carry.state", "left": "$carry.left", "ids": "$carry.ids"}
    advance = {
        "op": "beams.advance",
        "use": tokenizer,
        "in": links,
        "config": {name: getattr(config, name) for name in names},
    }
    asked = {"ids": "advance.id", "order": "advance.order", "at": "$carry.at", "cache": "prefill.cache"}
    step = {"call": f"{uses['llm'].name}.step", "in": asked, "when": "advance.more"}
    carry = {
        "logits": "prefill.logits",
        "at": "prefill.at",
        "state": "beams",
        "left": "room",
        "ids": "begin.ids",
    }
    following = {"logits": "step.logits", "at": "next"}
    return {
        "max": config.max_new_tokens,
        "until": "advance.over",
        "carry": carry,
        "nodes": {**changes, "advance": advance, "next": NEXT, "step": step},
        "next": {**following, **{name: f"advance.{name}" for name in ("state", "left", "ids")}},
        "out": {"state": "advance.state"},
    }


def _changes(config: GenerateConfig, tokenizer: Mapping[str, str]) -> Nodes:
    """What happens to the logits, in the order that transformers has: rules first, then what shapes the draw."""
    chain: list[tuple[str, str, dict[str, Any], Mapping[str, str]]] = []
    if config.num_beams > 1:
        chain.append(("shares", "beams.log_softmax", {}, {}))
    if config.repetition_penalty != 1:
        chain.append(("penalty", "logits.repetition_penalty", {"penalty": config.repetition_penalty}, {}))
    if config.no_repeat_ngram:
        chain.append(("ngrams", "logits.no_repeat_ngram", {"size": config.no_repeat_ngram}, {}))
    if config.min_new_tokens:
        settings = {"tokens": config.min_new_tokens, "ids": config.stop_ids}
        chain.append(("least", "logits.min_tokens", settings, tokenizer))
    for i, each in enumerate(config.processors):
        chain.append((f"change{i}", each.op, dict(each.config), {}))
    if config.temperature not in (0, 1):
        chain.append(("temper", "logits.temperature", {"temperature": config.temperature}, {}))
    chain += [
        (name, f"logits.{name}", {key: getattr(config, name)}, {})
        for name, key in (("top_k", "k"), ("top_p", "p"), ("min_p", "p"))
        if getattr(config, name) is not None and (name != "top_p" or _cuts(config))
    ]
    nodes: Nodes = {}
    last = "$carry.logits"
    for name, op, settings, use in chain:
        links = {"logits": last, "ids": "$carry.ids"}
        if name == "least":
            links["prompt"] = "begin.length"
        nodes[name] = {"op": op, "in": links, "config": settings, **({"use": use} if use else {})}
        last = name
    return nodes


def _cuts(config: GenerateConfig) -> bool:
    """Whether top_p leaves tokens out; graphs have it as a param beside the temperature."""
    return config.top_p != 1 and config.temperature > 0
