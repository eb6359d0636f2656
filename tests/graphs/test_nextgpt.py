"""graphs/models/nextgpt.yaml: sizes of the published models, what learns in each stage, and the stages with tiny ones.

That it compiles and that its plans are legal is tested with all other graphs in tests/test_graphs.py.
"""

import csv
import json
import wave

import pytest
import torch
from PIL import Image
from torch import nn

import mmm_graph as mmm
from mmm_graph.checkpoint.save import save_module
from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import load_registry, resolve
from mmm_graph.spec import load_spec
from mmm_graph.train.layers import lora_layers
from mmm_graph.train.trainer import train
from mmm_llm.config import DecoderConfig
from mmm_llm.model import Decoder
from tests.graphs.by_heart import row, stage

WEIGHTS = {
    "eye": 632_829_440,
    "ear": 86_235_649,
    "see": 53_275_984,
    "watch": 53_275_984,
    "listen": 53_013_840,
    "llm": 6_738_735_104,  # Llama 2 7B's and 39 rows on both sides
    "to_image": 31_958_784,
    "to_audio": 31_788_544,
    "to_video": 32_090_112,
    "image_text": 123_060_480,
    "image_unet": 859_520_964,
    "image_vae": 83_653_863,
    "video_text": 340_387_840,
    "video_unet": 1_411_233_860,
    "video_vae": 83_653_863,
    "audio_text": 125_302_016,
    "audio_unet": 739_139_080,
    "audio_vae": 55_376_873,
    "vocoder": 55_264_897,
}
PUBLISHED = {"audio": 975e6, "video": 1.8e9}
"""Wu et al. 2024, table 1: AudioLDM-l-full and Zeroscope, whole; Stable Diffusion's 1.3 B has a safety checker, too."""

LOGGED = {"align_image", "align_audio", "align_video", "gen_image", "gen_video"}


@pytest.fixture(scope="module")
def spec(root):
    return load_spec(root / "graphs/models/nextgpt.yaml")


@pytest.fixture(scope="module")
def registry():
    return load_registry(allow=["mmm-graph"])


def test_full_size_parameter_counts_on_the_meta_device(spec, registry):
    found = {}
    for name, node in compile_graph(spec, registry).models.items():
        kind = registry.models[node.kind]
        if not kind.weights:
            continue
        with torch.device("meta"):
            module: nn.Module = resolve(kind.builder)(node.config)
        found[name] = sum(p.numel() for p in module.parameters())
        assert sum(part.params for part in kind.parts(node.config)) == found[name], name
    assert found == WEIGHTS
    for medium, published in PUBLISHED.items():
        whole = sum(
            n
            for name, n in found.items()
            if name.startswith(medium) or (name, medium) == ("vocoder", "audio")
        )
        assert whole == pytest.approx(published, rel=0.02)


def test_what_learns_in_each_stage(spec):
    stages = {name: spec.train.stage(name) for name in spec.train.stages}
    sides = {"see", "watch", "listen"}, {"to_image", "to_audio", "to_video"}
    assert {name: set(stage.trained) for name, stage in stages.items()} == {
        "encode": sides[0],
        "decode": {*sides[1], "llm"},
        "instruct": {*sides[0], *sides[1], "llm"},
    }
    assert set(stages["decode"].loss) == set(stages["instruct"].loss) == {"next", *LOGGED}, "each by itself"
    lora = next(entry.lora for entry in stages["instruct"].train["llm"] if entry.lora)
    with torch.device("meta"):
        llm = Decoder(DecoderConfig(vocab_size=32039, new_tokens=39))
    layers = lora_layers(llm, lora.targets).names
    assert len(layers) == 4 * 32 and 2 * 4096 * lora.rank * len(layers) == 33_554_432  # the paper's 33 M
    assert sum(WEIGHTS[name] for name in sides[0]) == 159_565_808
    assert sum(WEIGHTS[name] for name in sides[1]) == 95_837_440


BLOCKS = "depth: 1, num_heads: 2, hidden: 16"
GROUPING = "{groups: [8], depths: [1], width: 16, num_heads: 2, hidden: 16}"
PROJECTOR = "width: 16, num_heads: 2, hidden: 16, encoder_depth: 1, decoder_depth: 1"
UNET = "sample_size: 8, channels: [8, 16], layers_per_block: 1, groups: 4"
TARGETS = "{image: {size: 16}, audio: {rate: 16000, seconds: 1}, video: {frames: 2, size: [16, 16]}}"
TINY = {
    "tok": "{pad_side: left, signals: default}",
    "eye": f"{{size: 8, patch: 2, width: 16, out_dim: 4, {BLOCKS}}}",
    "ear": f"{{width: 16, out_dim: 4, {BLOCKS}}}",
    **dict.fromkeys(("see", "watch", "listen"), GROUPING),
    "llm": f"{{vocab_size: 124, new_tokens: 36, max_length: 128, width: 16, {BLOCKS}}}",
    **dict.fromkeys(("to_image", "to_video"), f"{{num_queries: 8, out_dim: 16, {PROJECTOR}}}"),
    "to_audio": f"{{num_queries: 1, out_dim: 8, {PROJECTOR}}}",
    **dict.fromkeys(
        ("image_tok", "video_tok", "audio_tok"), "{max_length: 8, pad: max_length, truncate: true}"
    ),
    **dict.fromkeys(
        ("image_text", "video_text"), f"{{vocab_size: 32, max_length: 8, width: 16, pool: argmax, {BLOCKS}}}"
    ),
    "audio_text": f"{{vocab_size: 32, positions: 16, width: 16, pooled_dim: 8, {BLOCKS}}}",
    "image_unet": f"{{{UNET}, attention: [cross, none], num_heads: 2, cond_dim: 16}}",
    "video_unet": f"{{{UNET}, attention: [cross, none], head_dim: 4, cond_dim: 16, num_frames: 2}}",
    "audio_unet": f"{{{UNET}, attention: [none, twice], mid_attention: twice, num_heads: 2, pooled_beside: true}}",
    **dict.fromkeys(
        ("image_vae", "video_vae"), "{channels: [8, 16], layers_per_block: 1, groups: 4, sample_size: 16}"
    ),
    "audio_vae": "{image_channels: 1, channels: [8, 16], layers_per_block: 1, groups: 4, sample_size: 16}",
    "vocoder": "{bins: 16, width: 32, rates: [4, 2], kernels: [8, 4], block_kernels: [3], dilations: [[1]]}",
}
SMALL = {
    **{f"models.{name}.config": value for name, value in TINY.items()},
    **{f"graphs.{name}.nodes.pixels.config": "{shortest: 8, crop: 8}" for name in ("look", "view")},
    **{"graphs.learn.nodes.enc.config": "{generate: false}", "graphs.answer.nodes.enc.config": "{generate: true}"},
    "graphs.caption.nodes.ended.config.templates": '["{}"]',
    "graphs.paint.nodes.noise.config": "{height: 16, width: 16}",
    "graphs.shoot.nodes.noise.config": "{frames: 2, height: 16, width: 16}",
    "graphs.play.nodes.noise.config": "{height: 16, width: 16}",
    "train.stages.encode.data.pairs.config.size": "16",
    "train.stages.encode.data.sounds.config.seconds": "1",
    "train.stages.encode.data.films.config": '{path: "file:films", frames: 10, size: 16, batch: 2}',
    **{f"train.stages.{name}.data.config.targets": TARGETS for name in ("decode", "instruct")},
    **{f"train.stages.{name}.{key}": value for name in ("encode", "decode", "instruct") for key, value in
       (("steps", "2"), ("epochs", "null"), ("save_every", "null"), ("precision", "f32"))},
    **{"dtype": "f32", "steps": "2", "batch": "2", "max_new_tokens": "3"},
}  # fmt: skip


@pytest.fixture
def media(tmp_path):
    """Two pictures, sounds and films with captions, and conversations of them."""
    for folder in ("pairs", "sounds", "films"):
        (tmp_path / folder).mkdir()
        for i, name in enumerate(("zero", "one")):
            (tmp_path / folder / f"{i}.txt").write_text(f"the digit {name}", encoding="utf-8")
    for i in range(2):
        still = [Image.new("RGB", (16, 16), (200 * i, 20 * k, 0)) for k in range(10)]
        still[0].save(tmp_path / "pairs" / f"{i}.png")
        still[0].save(tmp_path / "films" / f"{i}.gif", save_all=True, append_images=still[1:])
        with wave.open(str(tmp_path / "sounds" / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(
                (torch.sin(torch.arange(16000) * 0.1 * (i + 1)) * 9000).short().numpy().tobytes()
            )
    rows = [
        {f"output_{kind}": file, f"{kind}_captions": "the digit zero", "conversations": [
            {"from": "human", "value": f"show {word} zero"}, {"from": "gpt", "value": f"zero <{kind}>"}]}
        for kind, file, word in (("image", "pairs/0.png", "digit"), ("video", "films/0.gif", "video"),
                                 ("audio", "sounds/0.wav", "sound"))
    ]  # fmt: skip
    seen = {**rows[0], "input_image": "pairs/1.png"}
    for name, lines in (("asks", rows), ("dialogues", [*rows[1:], seen])):
        (tmp_path / f"{name}.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8"
        )
    return tmp_path


@pytest.fixture
def tiny(root, media):
    """What is set so that models are tiny, drawn at random, and read the media."""
    files = {"tok": root / "graphs/world/weights/words"}
    files |= dict.fromkeys(
        ("image_tok", "video_tok", "audio_tok"), root / "graphs/digits/weights/tokenizer.json"
    )
    sets = {f"models.{name}.weights": f"file:{path}" for name, path in files.items()}
    models = load_spec(root / "graphs/models/nextgpt.yaml").models
    for name in (n for n, m in models.items() if m.weights and n not in {*files, "llm"}):
        sets |= {f"models.{name}.weights": "null", f"models.{name}.init": "default"}
    sets |= {name: str(media / name) for name in ("pairs", "sounds")}
    sets |= {name: str(media / f"{name}.jsonl") for name in ("asks", "dialogues")}
    sets |= SMALL | {"train.stages.encode.data.films.config.path": str(media / "films")}
    full = DecoderConfig(vocab_size=88, max_length=128, width=16, depth=1, num_heads=2, hidden=16)
    save_module(Decoder(full), media / "llm.safetensors")  # without rows for the 36 signals
    return sets | {"models.llm.weights": f"file:{media / 'llm.safetensors'}"}


@pytest.mark.slow
def test_tiny_ones_learn_in_three_stages(root, media, tiny):
    spec = load_spec(root / "graphs/models/nextgpt.yaml", sets=tiny)
    train(spec, load_registry(allow=["mmm-graph"]), media / "out")
    with (media / "out" / "metrics.csv").open(encoding="utf-8") as file:
        logged = list(csv.DictReader(file))
    terms = {
        key.removeprefix("loss.")
        for row in logged
        for key, value in row.items()
        if key[:5] == "loss." and value
    }
    assert terms == {"image", "audio", "video", "next", *LOGGED}
    kept = list((media / "out" / "cache").iterdir())
    assert len(kept) == 8, "patches of three encoders, vectors of three texts, two latents"


@pytest.mark.slow
def test_tiny_ones_say_draw_play_and_film(root, media, tiny):
    said = {"show and play it": ("zero", "image", "audio", "video"), "say it": ("zero",)}
    chats, taught = media / "chats.jsonl", media / "taught"
    chats.write_text("".join(f"{json.dumps(row(*pair))}\n" for pair in said.items()), encoding="utf-8")
    tiny |= {"train.stages": json.dumps({"heart": stage(chats, len(said))}), "max_new_tokens": "48"}
    tiny |= {"models.llm.config": tiny["models.llm.config"].replace("width: 16", "width: 64")}
    tiny |= {"models.llm.weights": "null", "models.llm.init": "default"}
    registry = load_registry(allow=["mmm-graph"])
    train(load_spec(root / "graphs/models/nextgpt.yaml", sets=tiny), registry, taught, stages=("heart",))
    session = mmm.load(taught / "graph.yaml", registry=registry)
    found = session.result(given={"prompt": list(said)}, seed=1)
    assert found.values["text"] == ["zero", "zero"]
    assert {name: found.owners[name] for name in ("image", "audio", "video")} == dict.fromkeys(
        ("image", "audio", "video"), (0,)
    )
    assert found.values["image"].shape == (1, 3, 16, 16)
    assert found.values["video"].shape == (1, 2, 3, 16, 16)
    assert found.values["audio"].shape[:2] == (1, 1)
    given = {"image": str(media / "pairs" / "1.png"), "audio": str(media / "sounds" / "0.wav")}
    heard = session.run(prompt="say it", **given)
    assert isinstance(heard["text"][0], str) and heard["image"] is heard["audio"] is heard["video"] is None
