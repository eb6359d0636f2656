"""`--set`, `--params FILE` and Python values: what wins, and where it came from."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.spec import load_spec

TEXT = """\
mmm: 1
params:
  steps: {type: int, default: 30, min: 1}
  style: {type: float}
  token: {type: secret}
inputs: {prompt: "Text[b]", count: {type: "Scalar[]", default: 1}}
models:
  unet: {kind: denoiser.unet, attach: [{lora: "file:x", scale: 1.0}]}
nodes:
  a: {op: x.y}
  b: {loop: {max: 3, nodes: {c: {op: x.y, config: {k: 1}}}}}
outputs: {o: a}
"""


def test_precedence_and_origin(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("steps: 10\nstyle: 1\nprompt: [a, b]\n")
    spec = load_spec(TEXT)
    assert (spec.values, spec.given, spec.origins) == ({"steps": 30}, {}, {"steps": "default"})
    spec = load_spec(TEXT, params_file=file)
    assert spec.values == {"steps": 10, "style": 1.0}
    assert spec.given == {"prompt": ["a", "b"]}
    assert spec.origins == {"steps": str(file), "style": str(file), "prompt": str(file)}
    spec = load_spec(TEXT, params_file=file, params={"steps": 11, "prompt": "c"})
    assert (spec.values["steps"], spec.given["prompt"], spec.origins["steps"]) == (11, "c", "python")
    spec = load_spec(
        TEXT, params_file=file, params={"steps": 11}, sets={"steps": "12", "prompt": "30", "count": "2"}
    )
    assert (spec.values["steps"], spec.given) == (12, {"prompt": "30", "count": 2})
    assert spec.origins == {"steps": "--set", "style": str(file), "prompt": "--set", "count": "--set"}


def test_keys_of_the_file_can_be_set():
    sets = {
        "models.unet.dtype": "bf16",
        "models.unet.attach.0.scale": "0.5",
        "nodes.a.config.k": "[1, 2]",
        "nodes.b.loop.nodes.c.config.k": "3",
        "outputs.o": "b",
    }
    spec = load_spec(TEXT, sets=sets)
    assert (spec.models["unet"].dtype, spec.models["unet"].attach[0].scale) == ("bf16", 0.5)
    assert (spec.nodes["a"].config, spec.nodes["b"].loop.nodes["c"].config) == ({"k": [1, 2]}, {"k": 3})
    assert spec.outputs["o"].from_ == "b"
    assert {key for key, origin in spec.origins.items() if origin == "--set"} == set(sets)
    assert str(spec.place("models", "unet", "dtype")) == "--set models.unet.dtype"
    assert load_spec(TEXT).models["unet"].dtype is None


def test_a_secret_is_given_and_never_shown():
    spec = load_spec(TEXT, params={"token": "hunter2"})
    assert spec.values["token"].get_secret_value() == "hunter2"
    assert "hunter2" not in repr(spec) + repr(spec.values)


WRONG = [
    ({"stpes": "3"},
     "--set stpes error[E305] there is no param or input 'stpes'\n    hint: did you mean steps or style?"),
    ({"steps": "many"}, "--set steps error[E302] steps: expects an integer, got 'many'"),
    ({"steps": "0"}, "--set steps error[E302] steps: expects at least 1, got 0"),
    ({"count": "[1"}, "--set count error[E302] count: cannot be read"),
    ({"models.unett.dtype": "f16"},
     "--set models.unett.dtype error[E306] there is no models.unett; did you mean unet?"),
    ({"models.unet.dtpye": "f16"},
     "--set models.unet.dtpye error[E110] unknown key 'dtpye' in models.unet\n    hint: did you mean dtype?"),
    ({"models.unet.dtype": "16"}, "--set models.unet.dtype error[E112] models.unet.dtype: expects text, got 16"),
    ({"models.unet.kind.x": "1"},
     "--set models.unet.kind.x error[E306] models.unet.kind is 'denoiser.unet', not a mapping"),
    ({"models.unet.attach.1.scale": "1"},
     "--set models.unet.attach.1.scale error[E306] models.unet.attach is a list of 1; '1' is not an index of it"),
    ({"models.unet.attach.x": "1"},
     "--set models.unet.attach.x error[E306] models.unet.attach is a list of 1; 'x' is not an index of it"),
    ({"nodes.a.config.k": "{a"}, "--set nodes.a.config.k error[E306] cannot be read"),
    ({"nodes.a.config.k": "$params.no"}, "--set nodes.a.config.k error[E301] there is no param 'no'"),
    ({"train.stages.s.steps": "3"}, "--set train.stages.s.steps error[E306] there is no train"),
    ({"models": "3"}, "--set models error[E305] there is no param or input 'models'"),
    ({"": "3"}, "--set  error[E305] there is no param or input ''"),
    ({"models.": "3"}, "--set models. error[E113] models.: '' is not a name"),
]  # fmt: skip


@pytest.mark.parametrize(("sets", "expected"), WRONG, ids=[next(iter(sets)) for sets, _ in WRONG])
def test_wrong_sets(sets, expected):
    with pytest.raises(InputError) as found:
        load_spec(TEXT, sets=sets)
    assert str(found.value).startswith(expected)


def test_wrong_values_from_python_and_files(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("steps: x\nstlye: 1\n")
    with pytest.raises(InputError) as found:
        load_spec(TEXT, params={"steps": 0, "nope": 1}, params_file=file)
    assert [str(p).splitlines()[0] for p in found.value.problems] == [
        f"{file}:1:8 error[E302] steps: expects an integer, got 'x'",
        f"{file}:2:8 error[E305] there is no param or input 'stlye'",
        "param steps error[E302] steps: expects at least 1, got 0",
        "param nope error[E305] there is no param or input 'nope'",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [("- a\n", "error[E302] expects a mapping of params to values, got a list"), ("steps: [\n", "error[E102]"),
    ("", "error[E108] is empty")],
)  # fmt: skip
def test_wrong_params_files(tmp_path, content, message):
    file = tmp_path / "p.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=r"p\.yaml") as found:
        load_spec(TEXT, params_file=file)
    assert message in str(found.value)
    with pytest.raises(InputError, match="there is no such file"):
        load_spec(TEXT, params_file=tmp_path / "none.yaml")


def test_a_param_may_be_called_like_a_section():
    text = "mmm: 1\nparams: {models.x: {type: int, default: 1}}\n"
    assert load_spec(text, sets={"models.x": "2"}).values == {"models.x": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a cat", "a cat"),
        ("", ""),
        ("3", "3"),
        ("[a cat", "[a cat"),
        ("[a, 3, no, 1.50]", ["a", "3", "no", "1.50"]),
        ('["[x]", "a, b"]', ["[x]", "a, b"]),
    ],
)
def test_a_text_input_is_text_or_a_list_of_texts(text: str, expected: object) -> None:
    spec = load_spec('mmm: 1\ninputs: {prompt: "Text[b]"}\n', sets={"prompt": text})
    assert spec.given == {"prompt": expected}


@pytest.mark.parametrize("text", ["[]", "[a, [b]]", "[a]]", "[{a: b}]"])
def test_a_list_that_is_not_of_texts(text: str) -> None:
    with pytest.raises(InputError, match="list of texts"):
        load_spec('mmm: 1\ninputs: {prompt: "Text[b]"}\n', sets={"prompt": text})


@pytest.mark.parametrize("kind", ["Image[b,3,h,w]", "Audio[b,1,n]{8000}", "Video[b,f,3,h,w]?"])
def test_a_medium_is_a_file_with_or_without_its_sign(kind: str) -> None:
    for text in ("@four.png", "four.png"):
        spec = load_spec(f'mmm: 1\ninputs: {{x: "{kind}"}}\n', sets={"x": text})
        assert spec.given == {"x": "four.png"}
