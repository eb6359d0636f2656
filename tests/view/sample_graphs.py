"""Compiled graphs made by hand: latent diffusion as in graphs/digits, and a nested one of sixty nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    "control": "control.net",
}


class Steps(Config):
    """Config of a node."""

    steps: int = 50


def ref(text: str) -> Ref:
    source, _, port = text.rpartition(".")
    return Ref(source, port)


def link(text: str | Sequence[str]) -> Link:
    return ref(text) if isinstance(text, str) else tuple(map(ref, text))


def models(*names: str) -> dict[str, ModelNode]:
    return {n: ModelNode(n, KINDS[n], Empty(), weights=f"file:weights/ldm/{n}.safetensors") for n in names}


def call(path: str, target: str, out: Mapping[str, str], **inputs: str | Sequence[str]) -> Call:
    model, _, method = target.partition(".")
    ports = {k: parse_port(v) for k, v in out.items()}
    return Call(path, _links(inputs), ports, model=model, method=method, config=Steps(steps=20))


def op(path: str, kind: str, out: Mapping[str, str], **inputs: str | Sequence[str]) -> Op:
    return Op(path, _links(inputs), {k: parse_port(v) for k, v in out.items()}, kind=kind)


def _links(inputs: Mapping[str, str | Sequence[str]]) -> dict[str, Link]:
    return {k.replace("__", "."): link(v) for k, v in inputs.items()}


def embed(path: str, text: str) -> list[Node]:
    return [
        call(f"{path}/ids", "tok.encode", {"ids": "Ids[b,8]", "mask": "Mask[b,8]"}, text=text),
        call(
            f"{path}/enc",
            "text.forward",
            {"embeds": "Embeds[b,8,64]"},
            ids=f"{path}/ids.ids",
            mask=f"{path}/ids.mask",
        ),
    ]


def denoise(path: str, x: str, times: str, conds: Mapping[str, str], count: int = 20) -> list[Node]:
    """The nodes that `diffusion.denoise` expands to; `conds` maps a branch to the path of its embedding."""
    state = {"state": "State", "x": "Latents[b,4,8,8]", "t": "Scalar[b]"}
    turn = f"{path}/loop"
    branches = [
        call(
            f"{turn}/p{name}",
            "unet.predict",
            {"pred": "Latents[b,4,8,8]"},
            x="$carry.x",
            t="$carry.t",
            cond__embeds=f"{cond}/enc.embeds",
            cond__mask=f"{cond}/ids.mask",
        )
        for name, cond in conds.items()
    ]
    body = (
        *branches,
        call(
            f"{turn}/pred",
            "guide.combine",
            {"pred": "Latents[b,4,8,8]"},
            branches=[f"{b.path}.pred" for b in branches],
        ),
        op(
            f"{turn}/step",
            "sampler.step",
            state | {"x0": "Latents[b,4,8,8]", "latents": "Latents[b,4,8,8]"},
            state="$carry.state",
            pred=f"{turn}/pred.pred",
            times=times,
            i="$each.i",
        ),
    )
    start = op(f"{path}/start", "sampler.init", state | {"evaluations": "Scalar"}, x=x, times=times)
    return [
        start,
        Loop(
            turn,
            {},
            {"latents": parse_port("Latents[b,4,8,8]")},
            count=count,
            each=("i",),
            carry={k: ref(f"{path}/start.{k}") for k in state},
            next={k: ref(f"{turn}/step.{k}") for k in state},
            body=body,
            out={"latents": ref(f"{turn}/step.latents")},
            preview=(ref(f"{turn}/step.x0"), 5),
        ),
    ]


def draw(prefix: str, prompt: str, negative: str) -> list[Node]:
    """Text to image under a path prefix ("" or "draw/")."""
    p = prefix
    return [
        *embed(f"{p}cond", prompt),
        *embed(f"{p}uncond", negative),
        call(f"{p}times", "scheduler.times", {"times": "Times"}),
        call(f"{p}noise", "vae.noise", {"latents": "Latents[b,4,8,8]"}, like=prompt),
        *denoise(f"{p}denoise", f"{p}noise.latents", f"{p}times.times", {"c": f"{p}cond", "u": f"{p}uncond"}),
        call(f"{p}image", "vae.decode", {"image": "Image[b,1,32,32]"}, latents=f"{p}denoise/loop.latents"),
    ]


def text_to_image() -> Graph:
    nodes = draw("", "$in.prompt", "$in.negative_prompt")
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
        tuple(nodes),
        {"image": Output(ref("image.image"), parse_port("Image[b,1,32,32]"), {"format": "png"})},
    )


def sixty_nodes() -> Graph:
    """A conversation with pictures that is answered by text and by two drawings: sixty nodes, nested three deep."""
    nodes: list[Node] = [
        call("read/ids", "tok.encode", {"ids": "Ids[b,t]", "mask": "Mask[b,t]"}, text="$in.chat"),
        call("read/words", "llm.embed", {"embeds": "Embeds[b,t,4096]"}, ids="read/ids.ids"),
    ]
    for i, source in enumerate(("$in.photo", "$in.sketch")):
        nodes += [
            op(f"look{i}/fit", "image.resize", {"image": "Image[b,3,336,336]"}, image=source),
            call(
                f"look{i}/tiles/cut",
                "vision.patches",
                {"embeds": "Embeds[b,576,1024]"},
                image=f"look{i}/fit.image",
            ),
            call(
                f"look{i}/tiles/encode",
                "vision.forward",
                {"embeds": "Embeds[b,576,1024]"},
                embeds=f"look{i}/tiles/cut.embeds",
            ),
            op(
                f"look{i}/pool",
                "embeds.pool",
                {"embeds": "Embeds[b,144,1024]"},
                embeds=f"look{i}/tiles/encode.embeds",
            ),
            call(
                f"look{i}/soft",
                "bridge.forward",
                {"embeds": "Embeds[b,144,4096]"},
                features=f"look{i}/pool.embeds",
            ),
        ]
    nodes += [
        op(
            "context",
            "embeds.splice",
            {"embeds": "Embeds[b,t,4096]", "mask": "Mask[b,t]"},
            text="read/words.embeds",
            insert=["look0/soft.embeds", "look1/soft.embeds"],
            index="read/ids.ids",
        ),
        call(
            "answer/prefill",
            "llm.prefill",
            {"state": "State", "logits": "Logits[b,v]"},
            embeds="context.embeds",
            mask="context.mask",
        ),
        op("answer/first", "llm.pick", {"id": "Ids[b,1]"}, logits="answer/prefill.logits"),
        Loop(
            "answer/generate",
            {},
            {"ids": parse_port("Ids[b,t]")},
            limit=256,
            until=ref("answer/generate/stop.done"),
            carry={"state": ref("answer/prefill.state"), "id": ref("answer/first.id")},
            next={"state": ref("answer/generate/decode.state"), "id": ref("answer/generate/pick.id")},
            body=(
                call(
                    "answer/generate/decode",
                    "llm.step",
                    {"logits": "Logits[b,v]", "state": "State"},
                    id="$carry.id",
                    state="$carry.state",
                ),
                op(
                    "answer/generate/pick",
                    "llm.pick",
                    {"id": "Ids[b,1]"},
                    logits="answer/generate/decode.logits",
                ),
                op("answer/generate/stop", "llm.is_end", {"done": "Bool[b]"}, id="answer/generate/pick.id"),
            ),
            collect={"ids": (ref("answer/generate/pick.id"), 1)},
        ),
        call("answer/words", "tok.decode", {"text": "Text[b]"}, ids="answer/generate.ids"),
        op(
            "route",
            "llm.route",
            {"prompt": "Text[r]", "style": "Text[r]", "rows": "Ids[r]"},
            ids="answer/generate.ids",
        ),
    ]
    for name in ("paint", "refine"):
        nodes += draw(f"{name}/", "route.prompt", "$in.negative_prompt")
        nodes += [
            op(
                f"{name}/sharpen",
                "image.sharpen",
                {"image": "Image[r,3,512,512]"},
                image=f"{name}/image.image",
            ),
            op(
                f"{name}/check",
                "image.filter",
                {"image": "Image[r,3,512,512]", "ok": "Bool[r]"},
                image=f"{name}/sharpen.image",
            ),
            op(
                f"{name}/caption",
                "image.caption",
                {"image": "Image[r,3,512,512]"},
                image=f"{name}/check.image",
                text="route.style",
            ),
        ]
    nodes += [
        op("sheet/left", "image.border", {"image": "Image[r,3,512,512]"}, image="paint/caption.image"),
        op("sheet/right", "image.border", {"image": "Image[r,3,512,512]"}, image="refine/caption.image"),
        op(
            "sheet/pair",
            "image.grid",
            {"image": "Image[1,3,h,w]"},
            image=["sheet/left.image", "sheet/right.image"],
            labels="route.prompt",
        ),
        op(
            "score/photo",
            "metric.clip_score",
            {"value": "Scalar"},
            image="paint/caption.image",
            text="route.prompt",
        ),
        op(
            "score/sketch",
            "metric.clip_score",
            {"value": "Scalar"},
            image="refine/caption.image",
            text="route.prompt",
        ),
        op(
            "score/mean",
            "metric.mean",
            {"value": "Scalar"},
            values=["score/photo.value", "score/sketch.value"],
        ),
        op("log", "text.join", {"text": "Text[b]"}, parts=["answer/words.text", "route.style"]),
    ]
    image, text = parse_port("Image[r,3,h,w]"), parse_port("Text[b]")
    return Graph(
        "any-to-any",
        "main",
        "$in",
        {
            "steps": 30,
            "guidance_scale": 7.5,
            "height": 512,
            "width": 512,
            "temperature": 0.7,
            "max_tokens": 256,
        },
        {
            "chat": Input(parse_port("Chat[b]")),
            "photo": Input(parse_port("Image[b,3,h,w]")),
            "sketch": Input(parse_port("Image[b,3,h,w]?"), None, required=False),
            "negative_prompt": Input(parse_port("Text[r]"), "", required=False),
        },
        models("tok", "text", "vision", "bridge", "llm", "vae", "unet", "scheduler", "sampler", "guide"),
        tuple(nodes),
        {
            "answer": Output(ref("answer/words.text"), text),
            "sheet": Output(ref("sheet/pair.image"), image),
            "score": Output(ref("score/mean.value"), parse_port("Scalar")),
            "log": Output(ref("log.text"), text),
        },
    )
