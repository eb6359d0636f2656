"""Recipes of published models of understanding: sizes of the full ones, and tiny ones that train two steps a stage."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor

from mmm_graph.checkpoint.save import save_module
from mmm_graph.cli.dry_run import dry_run_lines
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import load_registry
from mmm_graph.runtime import build_models
from mmm_graph.spec import GraphSpec, load_spec
from mmm_graph.train.dry_run import StageCost, dry_run
from mmm_graph.train.trainer import train
from tests.train.graph_ranks import Case, run, run_ranks

RECIPES = Path(__file__).resolve().parents[2] / "graphs" / "recipes"


def make_qformer(bert: Path, out: Path, spec: GraphSpec) -> list[str]:
    """What graphs/recipes/qformer_from_bert.py does."""
    module = importlib.util.spec_from_file_location("qformer_from_bert", RECIPES / "qformer_from_bert.py")
    assert module is not None and module.loader is not None
    script = importlib.util.module_from_spec(module)
    module.loader.exec_module(script)
    found: list[str] = script.main(bert, out, spec)
    return found


REGISTRY = load_registry()
SPECIAL = ("<unk>", "<s>", "</s>", "<pad>")
ALPHABET = (*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()))
WORDS = ("cat", "dog", "mat", "hat")
Sets = Mapping[str, str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and texts in every layout that the recipes read, and a tokenizer."""
    folder = tmp_path_factory.mktemp("data")
    write_words(folder / "words")
    (folder / "pictures").mkdir()
    for i in range(4):
        Image.new("RGB", (40 + i, 30), (60 * i, 10, 200)).save(folder / "pictures" / f"{i}.png")
    with (folder / "pictures" / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "text"], *[[f"{i}.png", f"A {WORDS[i]}."] for i in range(4)]])
    with tarfile.open(folder / "0.tar", "w") as shard:
        for i in range(4):
            add(shard, f"{i}.png", (folder / "pictures" / f"{i}.png").read_bytes())
            add(shard, f"{i}.txt", f"a {WORDS[i]}".encode())
    asked = {"from": "human", "value": "<image>\nwhat is this ?"}
    seen = [{"image": f"{i}.png", "conversations": [asked, said(f"a {WORDS[i]}")]} for i in range(3)]
    told = {"conversations": [{"from": "human", "value": "what is a dog ?"}, said("a dog")]}
    (folder / "chats.json").write_text(json.dumps([*seen, told]), encoding="utf-8")
    pairs = [{"image": f"{i}.png", "conversations": [said(f"<image>a {WORDS[i]}")]} for i in range(4)]
    write_lines(folder / "pairs.jsonl", pairs)
    turns = [{"from": "human", "value": "the mat "}, said("<image>a cat sits"), said("<image>a dog")]
    write_lines(
        folder / "documents.jsonl",
        [{"images": [f"{i}.png", "3.png"], "conversations": turns} for i in range(3)],
    )
    return folder


def said(text: str) -> dict[str, str]:
    return {"from": "gpt", "value": text}


def add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    shard.addfile(info, io.BytesIO(content))


def write_lines(file: Path, rows: list[dict[str, object]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_words(folder: Path) -> None:
    """A tokenizer of bytes that puts <s> before a text; like that of Llama it never says <unk>."""
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(ALPHABET)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens(list(SPECIAL))
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def sets_of(recipe: str, data: Path) -> dict[str, str]:
    """Where the data is, and the tokenizers."""
    found = {
        "clip": {"shards": f"{data}/*.tar", "models.tok.weights": f"file:{data}/words"},
        "llava15": {
            **dict.fromkeys(("pretrain_chats", "instruct_chats"), f"{data}/chats.json"),
            **dict.fromkeys(("pretrain_images", "instruct_images"), f"{data}/pictures"),
            "models.tok.weights": f"file:{data}/words",
        },
        "blip2": {
            "pairs": f"{data}/pictures",
            **{f"models.{n}.weights": f"file:{data}/words" for n in ("bert", "tok")},
        },
        "flamingo": {
            "pairs": f"{data}/pairs.jsonl",
            "documents": f"{data}/documents.jsonl",
            "images": f"{data}/pictures",
            **{f"models.{n}.weights": f"file:{data}/words" for n in ("tok", "tok_pairs")},
        },
    }
    return found[recipe]


FILES = {
    "clip": (),
    "llava15": ("vision", "llm"),
    "blip2": ("vision", "bridge", "llm"),
    "flamingo": ("vision", "llm"),
}
"""Models whose weights are files."""


def full(recipe: str, data: Path, tmp_path: Path) -> dict[str, StageCost]:
    """The costs of the stages as they stand in the file; weights are found, and not read."""
    empty = tmp_path / "there.safetensors"
    empty.touch()
    there = {f"models.{name}.weights": f"file:{empty}" for name in FILES[recipe]}
    spec = load_spec(RECIPES / f"{recipe}.yaml", sets={**sets_of(recipe, data), **there})
    costs = dry_run(spec, REGISTRY, tmp_path / "out")
    check_page(costs)
    return {cost.name: cost for cost in costs}


def check_page(costs: list[StageCost]) -> None:
    """docs/recipes.md shows these numbers; how many samples there are is another matter."""
    page = (RECIPES.parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8").splitlines()
    lines = [line.rstrip() for line in dry_run_lines(costs)]
    assert [
        line for line in lines if line.startswith("  ") and "in all" not in line and line not in page
    ] == []


def test_clip_is_of_the_published_size(data: Path, tmp_path: Path) -> None:
    cost = full("clip", data, tmp_path)["contrast"]
    assert sum(model.trained for model in cost.models) == 151_277_313  # of open_clip and transformers
    assert (cost.steps, cost.samples) == (390_625, 32 * 400_000_000)


def test_llava_trains_as_many_weights_as_published(data: Path, tmp_path: Path) -> None:
    costs = full("llava15", data, tmp_path)
    bridge, llm = 20_979_712, 6_738_415_616  # two linear layers; Vicuna
    lora = 32 * 128 * (4 * (4096 + 4096) + 3 * (4096 + 11008))
    assert learnt(costs["pretrain"]) == {"bridge": bridge}
    assert learnt(costs["instruct"]) == {"bridge": bridge, "llm": llm}
    assert learnt(costs["lora"]) == {"bridge": bridge, "llm": lora}
    assert [cost.batch for cost in costs.values()] == [256, 128, 128]


def test_blip2_trains_as_many_weights_as_published(data: Path, tmp_path: Path) -> None:
    costs = full("blip2", data, tmp_path)
    first = learnt(costs["represent"])
    assert first["bridge"] == 186_307_387  # BertLMHeadModel of LAVIS with [DEC], and its queries
    assert set(first) == {"bridge", "see", "read", "judge", "scale"}
    second = learnt(costs["speak"])
    read_texts = 12 * (
        2 * 768 * 3072 + 3072 + 768 + 2 * 768
    )  # they are in the blocks, get no gradient and do not move
    assert second.keys() == {"bridge"} and second["bridge"] - read_texts == 107_130_880  # "107M", table 1


def test_flamingo_trains_as_many_weights_as_published(data: Path, tmp_path: Path) -> None:
    cost = full("flamingo", data, tmp_path)["align"]
    layer = 2 * 2048 + 2048 * 512 + 1024 * 1024 + 512 * 2048 + 2 * 2048 + 2 * 2048 * 8192 + 2
    latents = 64 * 1024 + 6 * (6 * 1024 + 2 * 1024 * 512 + 1024 * 1024 + 2 * 1024 * 4096) + 2 * 1024
    assert learnt(cost) == {
        "pool": latents,
        "xattn": 24 * layer,
        "llm": 2 * 2048,
    }  # helpers.py of open_flamingo
    assert (cost.steps, cost.samples) == (234_375, 60_000_000)


def learnt(cost: StageCost) -> dict[str, int]:
    """Numbers that are trained, by model."""
    return {model.name: model.trained for model in cost.models if model.trained}


TEXTS = "width: 16, depth: 1, num_heads: 2, hidden: 16"
TINY: Mapping[str, Mapping[str, str]] = {
    "clip": {
        "vision": f"{{patch: 112, {TEXTS}, out_dim: 8}}",
        "words": f"{{{TEXTS}, vocab_size: 264, pool: argmax, projection: true, pooled_dim: 8}}",
    },
    "llava15": {
        "vision": "{size: 336, patch: 112, width: 16, depth: 2, num_heads: 2, hidden: 16}",
        "llm": f"{{{TEXTS}, vocab_size: 264}}",
    },
    "blip2": {
        "vision": f"{{patch: 112, {TEXTS}, pre_norm: false, pool: class_normed_twice}}",
        "bridge": "{in_dim: 16, out_dim: 12, num_queries: 4, width: 16, depth: 2, num_heads: 2, hidden: 24, "
        "text: true, head: true, vocab_size: 264, max_length: 32}",
        **dict.fromkeys(("see", "read"), "{in_dim: 16, out_dim: 8}"),
        "judge": "{in_dim: 16, out_dim: 2}",
        "llm": "{width: 12, depth: 1, num_heads: 2, hidden: 16, vocab_size: 264, tied: true}",
    },
    "flamingo": {
        "vision": f"{{patch: 112, {TEXTS}}}",
        "pool": "{in_dim: 16, out_dim: 16, num_latents: 4, depth: 1, num_heads: 2, head_dim: 8}",
        "llm": f"{{{TEXTS}, vocab_size: 264, tied: true}}",
    },
}
"""Configs of the same kinds."""


def tiny(recipe: str, data: Path, **sets: str) -> GraphSpec:
    """The recipe with small models and batches, whose stages have two steps."""
    return load_spec(RECIPES / f"{recipe}.yaml", sets={**tiny_sets(recipe, data), **sets})


def tiny_sets(recipe: str, data: Path) -> dict[str, str]:
    """What makes it so."""
    path = RECIPES / f"{recipe}.yaml"
    spec = load_spec(path)
    assert spec.train is not None
    small = {f"models.{name}.config": config for name, config in TINY[recipe].items()}
    small |= {name: "4" for name in spec.params if name.endswith("batch")}
    for stage, written in spec.train.stages.items():
        small |= {f"train.stages.{stage}.{key}": "0" for key in ("workers",) if getattr(written, key)}
        if written.steps is not None:
            small |= {f"train.stages.{stage}.steps": "2", f"train.stages.{stage}.optim.warmup": "0"}
        elif written.epochs is not None:
            small[f"train.stages.{stage}.epochs"] = "2"
    return {**sets_of(recipe, data), **small}


def at_random(*models: str) -> dict[str, str]:
    """Frozen models without files."""
    return {
        k: v for m in models for k, v in ((f"models.{m}.weights", "null"), (f"models.{m}.init", "default"))
    }


def outputs(out: Path) -> set[str]:
    return {path.name.removesuffix(".safetensors") for path in out.glob("*.safetensors")}


def test_clip_trains_both_towers_and_the_temperature(data: Path, tmp_path: Path) -> None:
    record = train(tiny("clip", data), REGISTRY, tmp_path)["contrast"]
    assert record.steps == 2 and outputs(tmp_path) == {"vision", "words", "scale"}


def test_llava_tunes_what_the_projector_was_aligned_with(data: Path, tmp_path: Path) -> None:
    """Batches of like lengths: one has no picture, and the projector nothing to do."""
    vicuna = tmp_path / "vicuna.safetensors"
    save_model(tiny("llava15", data, **at_random("vision", "llm")), "llm", vicuna)
    sets = {
        **at_random("vision"),
        "models.llm.weights": f"file:{vicuna}",
        "train.stages.instruct.group": "chat",
    }
    spec, out = tiny("llava15", data, **sets), tmp_path / "out"
    train(spec, REGISTRY, out, stages=["pretrain"])
    assert outputs(out) == {"bridge"}
    aligned = load_file(out / "bridge.safetensors")
    records = train(spec, REGISTRY, out, stages=["instruct"])
    assert outputs(out) == {"bridge", "llm"}
    start = records["instruct"].start
    assert start["bridge"] == "stage pretrain" and start["llm"] == f"weights file:{vicuna}"
    assert moved(aligned, load_file(out / "bridge.safetensors")) == set(aligned)
    old = load_file(vicuna)
    assert moved(old, load_file(out / "llm.safetensors")) == set(old)


@pytest.mark.dist
def test_a_rank_without_pictures_stays_with_the_others(data: Path, tmp_path: Path) -> None:
    """One conversation a rank: one without a picture does not call the projector, whose gradient all average."""
    stages, vicuna = ("pretrain", "instruct"), tmp_path / "vicuna.safetensors"
    save_model(tiny("llava15", data, **at_random("vision", "llm")), "llm", vicuna)
    sets = {
        **tiny_sets("llava15", data),
        **at_random("vision"),
        **dict.fromkeys(("pretrain_batch", "instruct_batch"), "2"),
        "models.llm.weights": f"file:{vicuna}",
    }
    for stage in stages:
        keys = {"precision": "f32", "save_every": "null", "optim.config.eps": "1.0e-5", "shard": "false"}
        sets |= {f"train.stages.{stage}.{key}": value for key, value in keys.items()}
    whole = Case("ddp", "../recipes/llava15.yaml", stages, sets)
    cut = replace(
        whole, folder="fsdp", sets={**sets, **{f"train.stages.{stage}.shard": "true" for stage in stages}}
    )
    assert run_ranks(tmp_path, 2, [whole, cut]) is None
    run(tmp_path, replace(whole, folder="one"))
    for name in ("bridge", "llm"):
        want = load_file(tmp_path / "one" / f"{name}.safetensors")
        for folder in ("ddp", "fsdp"):
            torch.testing.assert_close(
                load_file(tmp_path / folder / f"{name}.safetensors"), want, atol=1e-5, rtol=0
            )


def test_llava_with_lora_leaves_vicuna_as_it_is(data: Path, tmp_path: Path) -> None:
    vicuna = tmp_path / "vicuna.safetensors"
    save_model(tiny("llava15", data, **at_random("vision", "llm")), "llm", vicuna)
    before = vicuna.read_bytes()
    spec = tiny("llava15", data, **{**at_random("vision"), "models.llm.weights": f"file:{vicuna}"})
    record = train(spec, REGISTRY, tmp_path / "out", stages=["pretrain", "lora"])["lora"]
    assert record.start["bridge"] == "stage pretrain" and record.models == ("bridge", "llm")
    assert outputs(tmp_path / "out") == {"bridge", "llm.lora"} and vicuna.read_bytes() == before


def test_blip2_speaks_with_the_queries_that_it_made_of_bert(data: Path, tmp_path: Path) -> None:
    begin, bert = tmp_path / "begin.safetensors", tmp_path / "bert.safetensors"
    dec = len(ALPHABET)
    sets = {**at_random("vision", "llm"), "models.bridge.weights": f"file:{begin}"}
    spec = tiny("blip2", data, **sets, **{"train.stages.represent.nodes.itg.config.first": str(dec)})
    save_file(tiny_bert(16, 24, 263, 32, depth=2), bert)
    new = make_qformer(bert, begin, spec)
    assert {re.sub(r"\d", "0", name.rpartition(".")[0]) for name in new} == {
        *(f"block0.{name}" for name in ("cross.q", "cross.k", "cross.v", "cross.out", "norm_cross")),
        *("queries", "project.proj"),
    }
    out = tmp_path / "out"
    train(spec, REGISTRY, out, stages=["represent"])
    assert outputs(out) == {"bridge", "see", "read", "judge", "scale"}
    first, start = load_file(out / "bridge.safetensors"), load_file(begin)
    assert moved(start, first) == {name for name in start if not name.startswith("project.")}
    record = train(spec, REGISTRY, out, stages=["speak"])["speak"]
    assert record.start["bridge"] == "stage represent" and record.models == ("bridge",)
    second = load_file(out / "bridge.safetensors")
    texts = {name for name in first if re.search(r"text|words|head", name)}
    assert moved(first, second) == set(first) - texts  # what only texts need has no gradient


def tiny_bert(width: int, hidden: int, words: int, length: int, *, depth: int) -> dict[str, Tensor]:
    """Names of google-bert/bert-base-uncased, old ones of norms too."""
    shapes: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (words, width),
        "bert.embeddings.position_embeddings.weight": (length, width),
        "bert.embeddings.token_type_embeddings.weight": (2, width),
        "bert.pooler.dense.weight": (width, width),
        "cls.predictions.bias": (words,),
    }
    linear = {"cls.predictions.transform.dense": (width, width)}
    norms = ["bert.embeddings.LayerNorm", "cls.predictions.transform.LayerNorm"]
    for i in range(depth):
        layer = f"bert.encoder.layer.{i}"
        linear |= {f"{layer}.attention.self.{x}": (width, width) for x in ("query", "key", "value")}
        linear |= {f"{layer}.attention.output.dense": (width, width)}
        linear |= {f"{layer}.intermediate.dense": (hidden, width), f"{layer}.output.dense": (width, hidden)}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    shapes |= {f"{name}.{end}": (width,) for name in norms for end in ("gamma", "beta")}
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_flamingo_trains_layers_between_blocks_and_two_rows(data: Path, tmp_path: Path) -> None:
    spec = tiny("flamingo", data, **at_random("vision", "llm"), **{"models.llm.dtype": "f32"})
    record = train(spec, REGISTRY, tmp_path)["align"]
    assert record.models == ("pool", "xattn", "llm") and set(record.loss) >= {"loss.pairs", "loss.documents"}
    assert outputs(tmp_path) == {"pool", "xattn", "llm"}
    before = tmp_path / "before.safetensors"
    save_model(spec, "llm", before)
    old, new = load_file(before), load_file(tmp_path / "llm.safetensors")
    assert moved(old, new) == {"embed.token.weight"}
    rows = (old["embed.token.weight"] != new["embed.token.weight"]).any(1).nonzero()[:, 0].tolist()
    assert rows == [len(ALPHABET), len(ALPHABET) + 1]


def moved(old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> set[str]:
    """Names of the tensors that differ."""
    assert old.keys() == new.keys()
    return {name for name in old if not torch.equal(old[name].float(), new[name].float())}


def save_model(spec: GraphSpec, name: str, file: Path) -> None:
    """A model as it starts at random."""
    nodes = compile_graph(spec, REGISTRY).models
    save_module(build_models(nodes, REGISTRY, base=spec.base, fresh=frozenset(nodes))[name].object, file)
