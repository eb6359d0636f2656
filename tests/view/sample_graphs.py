"""Compiled graphs made by hand: latent diffusion as in graphs/digits, and a nested one of sixty nodes."""

from __future__ import annotations

import re

from mmm_graph.config import Config, Empty
from mmm_graph.graph.graph import Call, Graph, Input, Link, Loop, ModelNode, Node, Op, Output, Ref
from mmm_graph.spec.ports import parse_port

KINDS = {
    "tok": "tokenizer.hf",
    "text": "encoder.text",
    "vision": "encoder.clip_vit",
    "bridge": "adaptor.linear",
    "llm": "llm.llama",
    "vae": "vae.kl",
    "unet": "denoiser.unet",
    "scheduler": "scheduler.cosine",
    "sampler": "sampler.ddim",
    "guide": "guidance.cfg",
}

LATENTS = "Latents[b,4,8,8]"
STATE = f"state State; x {LATENTS}; t Scalar[b]"
DRAW = f"""
{{p}}cond/ids: tok.encode(text={{prompt}}) -> ids Ids[b,8]; mask Mask[b,8]
{{p}}cond/enc: text.forward(ids={{p}}cond/ids.ids mask={{p}}cond/ids.mask) -> embeds Embeds[b,8,64]
{{p}}uncond/ids: tok.encode(text={{negative}}) -> ids Ids[b,8]; mask Mask[b,8]
{{p}}uncond/enc: text.forward(ids={{p}}uncond/ids.ids mask={{p}}uncond/ids.mask) -> embeds Embeds[b,8,64]
{{p}}times: scheduler.times() -> times Times
{{p}}noise: vae.noise(like={{prompt}}) -> latents {LATENTS}
{{p}}denoise/start: op sampler.init(x={{p}}noise.latents times={{p}}times.times) -> {STATE}; evaluations Scalar
"""
TURN = f"""
{{p}}pc: unet.predict(x=$carry.x t=$carry.t cond.embeds={{q}}cond/enc.embeds cond.mask={{q}}cond/ids.mask) -> pred {LATENTS}
{{p}}pu: unet.predict(x=$carry.x t=$carry.t cond.embeds={{q}}uncond/enc.embeds cond.mask={{q}}uncond/ids.mask) -> pred {LATENTS}
{{p}}pred: guide.combine(branches={{p}}pc.pred+{{p}}pu.pred) -> pred {LATENTS}
{{p}}step: op sampler.step(state=$carry.state pred={{p}}pred.pred times={{q}}times.times i=$each.i) -> {STATE}; x0 {LATENTS}; latents {LATENTS}
"""
READ = """
read/ids: tok.encode(text=$in.chat) -> ids Ids[b,t]; mask Mask[b,t]
read/words: llm.embed(ids=read/ids.ids) -> embeds Embeds[b,t,4096]
"""
LOOK = """
{p}fit: op image.resize(image={image}) -> image Image[b,3,336,336]
{p}tiles/cut: vision.patches(image={p}fit.image) -> embeds Embeds[b,576,1024]
{p}tiles/encode: vision.forward(embeds={p}tiles/cut.embeds) -> embeds Embeds[b,576,1024]
{p}pool: op embeds.pool(embeds={p}tiles/encode.embeds) -> embeds Embeds[b,144,1024]
{p}soft: bridge.forward(features={p}pool.embeds) -> embeds Embeds[b,144,4096]
"""
ANSWER = """
context: op embeds.splice(text=read/words.embeds insert=look0/soft.embeds+look1/soft.embeds index=read/ids.ids) -> embeds Embeds[b,t,4096]; mask Mask[b,t]
answer/prefill: llm.prefill(embeds=context.embeds mask=context.mask) -> state State; logits Logits[b,v]
answer/first: op llm.pick(logits=answer/prefill.logits) -> id Ids[b,1]
"""
DECODE = """
answer/generate/decode: llm.step(id=$carry.id state=$carry.state) -> logits Logits[b,v]; state State
answer/generate/pick: op llm.pick(logits=answer/generate/decode.logits) -> id Ids[b,1]
answer/generate/stop: op llm.is_end(id=answer/generate/pick.id) -> done Bool[b]
"""
ROUTE = """
answer/words: tok.decode(ids=answer/generate.ids) -> text Text[b]
route: op llm.route(ids=answer/generate.ids) -> prompt Text[r]; style Text[r]; rows Ids[r]
"""
FINISH = """
{p}sharpen: op image.sharpen(image={p}image.image) -> image Image[r,3,512,512]
{p}check: op image.filter(image={p}sharpen.image) -> image Image[r,3,512,512]; ok Bool[r]
{p}caption: op image.caption(image={p}check.image text=route.style) -> image Image[r,3,512,512]
"""
SHEET = """
sheet/left: op image.border(image=paint/caption.image) -> image Image[r,3,512,512]
sheet/right: op image.border(image=refine/caption.image) -> image Image[r,3,512,512]
sheet/pair: op image.grid(image=sheet/left.image+sheet/right.image labels=route.prompt) -> image Image[1,3,h,w]
score/photo: op metric.clip_score(image=paint/caption.image text=route.prompt) -> value Scalar
score/sketch: op metric.clip_score(image=refine/caption.image text=route.prompt) -> value Scalar
score/mean: op metric.mean(values=score/photo.value+score/sketch.value) -> value Scalar
log: op text.join(parts=answer/words.text+route.style) -> text Text[b]
"""
# ruff: noqa: E501


class Steps(Config):
    """Config of a node."""

    steps: int = 50


def ref(text: str) -> Ref:
    source, _, port = text.rpartition(".")
    return Ref(source, port)


def link(text: str) -> Link:
    refs = tuple(map(ref, text.split("+")))
    return refs if len(refs) > 1 else refs[0]


def parse(text: str, **words: str) -> list[Node]:
    """Lines `path: model.method(port=link ...) -> port Type; ...` as nodes; `op` marks an op, `+` joins a list."""
    return [_node(line) for line in text.format(**words).strip().splitlines()]


def _node(line: str) -> Node:
    match = re.fullmatch(r"(\S+): (op )?([\w.]+)\((.*?)\) -> (.*)", line)
    assert match, line
    path, is_op, target, given, out = match.groups()
    # `cond.embeds=a/b.c`: the first `=` ends the port's name.
    inputs = {k: link(v) for k, _, v in (item.partition("=") for item in given.split())}
    outputs = {k: parse_port(v) for k, v in (item.strip().split(" ") for item in out.split(";"))}
    if is_op:
        uses = {"sampler": "sampler"} if target.startswith("sampler.") else {}
        return Op(path, inputs, outputs, kind=target, uses=uses)
    model, _, method = target.partition(".")
    return Call(path, inputs, outputs, model=model, method=method, config=Steps(steps=20))


def models(*names: str) -> dict[str, ModelNode]:
    return {n: ModelNode(n, KINDS[n], Empty(), weights=f"file:weights/ldm/{n}.safetensors") for n in names}


def op(path: str, kind: str, out: dict[str, str], **inputs: str) -> Op:
    ports = {k: parse_port(v) for k, v in out.items()}
    return Op(path, {k: link(v) for k, v in inputs.items()}, ports, kind=kind)


def draw(prefix: str, prompt: str, negative: str) -> list[Node]:
    """Text to image under a path prefix ("" or "draw/")."""
    turn = f"{prefix}denoise/loop"
    names = ("state", "x", "t")
    loop = Loop(
        turn,
        {},
        {"latents": parse_port(LATENTS)},
        count=20,
        each=("i",),
        carry={k: ref(f"{prefix}denoise/start.{k}") for k in names},
        next={k: ref(f"{turn}/step.{k}") for k in names},
        body=tuple(parse(TURN, p=f"{turn}/", q=prefix)),
        out={"latents": ref(f"{turn}/step.latents")},
        preview=(ref(f"{turn}/step.x0"), 5),
    )
    image = parse("{p}image: vae.decode(latents={p}denoise/loop.latents) -> image Image[b,1,32,32]", p=prefix)
    return [*parse(DRAW, p=prefix, prompt=prompt, negative=negative), loop, *image]


def text_to_image() -> Graph:
    return Graph(
        "digits-ldm",
        "main",
        "$in",
        {"steps": 20, "guidance_scale": 2.0, "sampler": "sampler.ddim"},
        {
            "prompt": Input(parse_port("Text[b]")),
            "negative_prompt": Input(parse_port("Text[b]"), "", required=False),
        },
        models("tok", "text", "vae", "unet", "scheduler", "sampler", "guide"),
        tuple(draw("", "$in.prompt", "$in.negative_prompt")),
        {"image": Output(ref("image.image"), parse_port("Image[b,1,32,32]"), {"format": "png"})},
    )


def sixty_nodes() -> Graph:
    """A conversation with pictures that is answered by text and by two drawings: sixty nodes, nested three deep."""
    nodes = parse(READ)
    for i, image in enumerate(("$in.photo", "$in.sketch")):
        nodes += parse(LOOK, p=f"look{i}/", image=image)
    nodes += [*parse(ANSWER), _generate(), *parse(ROUTE)]
    for name in ("paint", "refine"):
        nodes += draw(f"{name}/", "route.prompt", "$in.negative_prompt") + parse(FINISH, p=f"{name}/")
    nodes += parse(SHEET)
    inputs = {
        "chat": Input(parse_port("Chat[b]")),
        "photo": Input(parse_port("Image[b,3,h,w]")),
        "sketch": Input(parse_port("Image[b,3,h,w]?"), None, required=False),
        "negative_prompt": Input(parse_port("Text[r]"), "", required=False),
    }
    outputs = {
        "answer": Output(ref("answer/words.text"), parse_port("Text[b]")),
        "sheet": Output(ref("sheet/pair.image"), parse_port("Image[1,3,h,w]")),
        "score": Output(ref("score/mean.value"), parse_port("Scalar")),
        "log": Output(ref("log.text"), parse_port("Text[b]")),
    }
    params = {"steps": 30, "guidance_scale": 7.5, "height": 512, "width": 512, "temperature": 0.7}
    return Graph("any-to-any", "main", "$in", params, inputs, models(*KINDS), tuple(nodes), outputs)


def _generate() -> Loop:
    return Loop(
        "answer/generate",
        {},
        {"ids": parse_port("Ids[b,t]")},
        limit=256,
        until=ref("answer/generate/stop.done"),
        carry={"state": ref("answer/prefill.state"), "id": ref("answer/first.id")},
        next={"state": ref("answer/generate/decode.state"), "id": ref("answer/generate/pick.id")},
        body=tuple(parse(DECODE)),
        collect={"ids": (ref("answer/generate/pick.id"), 1)},
    )
