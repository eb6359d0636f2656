"""Sizes are chosen for inputs and found for outputs; values have the declared kind, shape and range."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmm_graph.config import Config
from mmm_graph.nn.sampler import Times
from mmm_graph.registry import cond
from mmm_graph.spec.ports import parse_port
from mmm_graph.testing.values import Sizes, check_value, cosine_times, draw_inputs


class Factor(Config):
    factor: int = 12
    width: int | None = None


class Share(Config):
    """Of a node: a length that the model's config decides, too."""

    def share(self, model: Factor) -> int | None:
        return model.width and model.width // model.factor


def chosen(config: tuple[Config, ...] = (), dims: Any = None, given: Any = None, **ports: str) -> Sizes:
    sizes = Sizes(config)
    sizes.choose({k: parse_port(v) for k, v in ports.items()}, dims or {}, given or {})
    return sizes


def test_sizes_are_multiples_of_what_they_are_divided_by() -> None:
    sizes = chosen(x="Latents[b,4,h/8,w/32]", y="Image[b,3,h,w]")
    assert (sizes.known["h"], sizes.known["w"]) == (16, 32)
    assert sizes.shape(parse_port("Latents[b,4,h/8,w/32]")) == (2, 4, 2, 1)
    assert chosen((Factor(),), x="Latents[b,c,h/$factor,w/$factor]").known["h"] == 24


def test_a_length_may_depend_on_the_configs_of_node_and_model() -> None:
    port = parse_port("Embeds[2,$share]")
    assert chosen((Share(), Factor(width=36))).shape(port) == (2, 3)
    assert chosen((Share(), Factor())).match(port, (2, 5)) == ""


def test_wanted_and_given_sizes_come_first() -> None:
    sizes = chosen(dims={"b": 5}, given={"x": torch.zeros(5, 9)}, x="Embeds[b,d]", y="Embeds[b,d]")
    assert sizes.known == {"b": 5, "d": 9}


def test_a_width_that_the_config_leaves_open_cannot_be_sized() -> None:
    with pytest.raises(ValueError, match="pass dims="):
        chosen((Factor(),)).shape(parse_port("Embeds[2,$width]"))


def test_shapes_are_matched_and_new_symbols_found() -> None:
    sizes = chosen(x="Image[b,3,h,w]")
    assert sizes.match(parse_port("Embeds[b,2*t,d]"), (2, 10, 5)) == ""
    assert (sizes.known["t"], sizes.known["d"]) == (5, 5)
    assert "says 10 where it has 11" in sizes.match(parse_port("Embeds[b,2*t,d]"), (2, 11, 5))
    assert "not of the form" in sizes.match(parse_port("Embeds[b,d]"), (2, 10, 5))
    assert sizes.match(parse_port("Embeds[b,_,_]"), (2, 3, 4)) == ""
    assert sizes.match(parse_port("Any"), (1, 2, 3)) == ""


def test_inputs_have_the_range_of_their_kind() -> None:
    ports = {
        "image": parse_port("Image[b,3,h,w]"),
        "sound": parse_port("Audio[b,1,n]"),
        "text": parse_port("Text[b]"),
        "ids": parse_port("Ids[b,t]"),
        "mask": parse_port("Mask[b,t]"),
        "times": parse_port("Times"),
        "list": parse_port("Latents*[b,c,h,w]"),
        "cond": cond(embeds="Embeds[b,t,d]", mask="Mask[b,t]?"),
    }
    sizes = Sizes(())
    sizes.choose(ports, {}, {})
    values = draw_inputs(ports, sizes, {}, seed=0)
    assert 0 <= float(values["image"].min()) <= float(values["image"].max()) <= 1
    assert float(values["sound"].min()) < 0
    assert len(values["text"]) == 2
    assert values["ids"].dtype == torch.int64
    assert int(values["ids"].max()) < 8
    assert values["mask"].dtype == torch.bool
    assert isinstance(values["times"], Times)
    assert [v.ndim for v in values["list"]] == [4, 4]
    assert values["cond"].keys() == {"embeds", "mask"}
    assert draw_inputs(ports, sizes, {"text": ["a", "b"]}, seed=0)["text"] == ["a", "b"]


def test_what_cannot_be_made_up_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"cannot make up a Chat.*pass values"):
        draw_inputs({"chat": parse_port("Chat[b]")}, Sizes((), {"b": 2}), {}, seed=0)


def test_an_optional_input_of_open_width_is_left_out() -> None:
    ports = {"x": parse_port("Embeds[b,4]"), "c": parse_port("Embeds[b,$width]?")}
    assert draw_inputs(ports, Sizes((Factor(),), {"b": 2}), {}, seed=0).keys() == {"x"}


def test_a_first_axis_m_counts_the_items_of_a_list() -> None:
    ports = {"x": parse_port("Embeds*[m,l,3]")}
    sizes = Sizes(())
    sizes.choose(ports, {}, {"x": [torch.zeros(n, 3) for n in (2, 5, 4)]})
    assert sizes.known["m"] == 3
    assert [v.ndim for v in draw_inputs(ports, sizes, {}, seed=0)["x"]] == [2, 2, 2]


def test_what_is_given_is_fed_whatever_its_dims() -> None:
    given = [torch.zeros(2, 3)]
    port = {"x": parse_port("Embeds*[_,_,d]?")}
    assert draw_inputs(port, Sizes((), {"b": 2}), {"x": given}, seed=0)["x"] is given


@pytest.mark.parametrize(
    ("port", "value", "wrong"),
    [
        ("Embeds[b,d]", None, "is None, but Embeds[b,d] is not optional"),
        ("Embeds[b,d]?", None, ""),
        ("Text[b]", ("a",), "Text is a list of strings"),
        ("Ids[b]", torch.zeros(2), "Ids are whole numbers"),
        ("Mask[b]", torch.zeros(2, dtype=torch.int64), "a Mask is bool"),
        ("Image[b]", torch.zeros(2, dtype=torch.int64), "Image is floating point"),
        ("Embeds[b]", torch.tensor([0.0, float("nan")]), "not finite"),
        ("Scalar", 3, ""),
        ("Scalar[b]", 3, "is int, not a tensor"),
        ("Times", 3, "not nn.sampler.Times"),
        ("Latents*[b]", torch.zeros(2), "is a list of tensors"),
        ("Latents*[b]", [torch.zeros(2), torch.zeros(2, 2)], "not of the form"),
        ("Embeds*[m,l,3]", [torch.zeros(2, 3), torch.zeros(5, 3)], ""),
        ("Embeds*[m,l,3]", [torch.zeros(1, 2, 3)], "not of the form"),
        ("Any", object(), ""),
    ],
)
def test_outputs_are_judged(port: str, value: Any, wrong: str) -> None:
    found = check_value("y", parse_port(port), value, Sizes((), {"b": 2}))
    assert found == "" if not wrong else wrong in found


def test_a_cond_is_judged_field_by_field() -> None:
    port, sizes = cond(embeds="Embeds[b,d]", label="Ids[b]?"), Sizes((), {"b": 2})
    assert check_value("c", port, {"embeds": torch.zeros(2, 3)}, sizes) == ""
    assert "c.embeds is None" in check_value("c", port, {"label": torch.zeros(2)}, sizes)
    assert "a Cond is a dict" in check_value("c", port, torch.zeros(2), sizes)


def test_made_up_times_end_clean() -> None:
    times = cosine_times(5)
    assert times.count == 5
    assert times.level(5) == (1.0, 0.0)
    torch.testing.assert_close(
        times.alpha.square() + times.sigma.square(), torch.ones(6, dtype=torch.float64)
    )
