"""Dims are solved, conflicts are found, types match."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_graph.graph.unify import Unifier, apart, scoped, shown
from mmm_graph.spec.ports import Dim, parse_dim, parse_port


@pytest.mark.parametrize(
    ("a", "b", "asked", "found"),
    [
        ("h", "64", "h", "64"),
        ("h/8", "64", "h", "512"),
        ("64", "h/8", "h", "512"),
        ("2*t", "10", "t", "5"),
        ("h/8", "y", "2*y", "h/4"),
        ("h*w", "12", "h*w", "12"),
    ],
)
def test_solved(a, b, asked, found):
    unifier = Unifier()
    assert unifier.unify(parse_dim(a), parse_dim(b))
    assert unifier.equal(parse_dim(asked), parse_dim(found))


@pytest.mark.parametrize(("a", "b"), [("3", "4"), ("8*z", "12"), ("q/8", "q"), ("t", "0*t")])
def test_conflicts(a, b):
    assert not Unifier().unify(parse_dim(a), parse_dim(b))


def test_a_chain_of_equations_meets_a_number():
    unifier = Unifier()
    for a, b in (("a/8", "b"), ("b", "2*c"), ("c", "d")):
        assert unifier.unify(parse_dim(a), parse_dim(b))
    assert unifier.unify(parse_dim("d"), parse_dim("4"))
    assert unifier.dim(parse_dim("a")).size == 64
    assert not unifier.unify(parse_dim("a"), parse_dim("65"))


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 6), st.sampled_from("abcdef")), max_size=8)
)
def test_every_accepted_equation_holds(equations):
    """Whatever order equations come in, those that were accepted stay true in the canonical form."""
    unifier = Unifier()
    accepted = []
    for left, factor, right in equations:
        pair = (Dim(over=(left,)), Dim(Fraction(factor), over=(right,)))
        if unifier.unify(*pair):
            accepted.append(pair)
    assert all(unifier.equal(*pair) for pair in accepted)


@pytest.mark.parametrize(
    ("offered", "wanted", "fits"),
    [
        ("Image[b,3,h,w]", "Image[b,c,h,w]", True),
        ("Image[b,3,h,w]", "Image[b,4,h,w]", False),
        ("Image[b,3,h,w]", "Latents[b,3,h,w]", False),
        ("Image[b,3,h,w]", "Image[b,3,h]", False),
        ("Latents[b,4,h,w]{sd}", "Latents[b,4,h,w]{flux}", False),
        ("Latents[b,4,h,w]{sd}", "Latents[b,4,h,w]", True),
        ("Any", "Text[b]", True),
        ("Embeds", "Embeds[b,t,d]", True),
    ],
)
def test_types(offered, wanted, fits):
    a, b = scoped(parse_port(offered), "one", {}), scoped(parse_port(wanted), "two", {})
    assert Unifier().match(a, b) is fits


def test_wildcards_and_config_names():
    port = scoped(parse_port("Embeds[b,_,$width]"), "node", {"width": Dim(Fraction(48))})
    assert shown(port) == "Embeds[b,_1,48]"
    with pytest.raises(KeyError):
        scoped(parse_port("Embeds[$nothing]"), "node", {})
    sound = scoped(parse_port("Audio[b,1,n]{$rate}"), "node", {"rate": Dim(Fraction(16000))})
    assert shown(sound) == "Audio[b,1,n]{16000}"
    with pytest.raises(KeyError):
        scoped(parse_port("Audio{$nothing}"), "node", {})


def test_wildcards_of_each_link_in_a_list_are_its_own():
    port = scoped(parse_port("Embeds[_,_,d]"), "node", {})
    unifier = Unifier()
    for i, offered in enumerate(("Embeds[a,576,8]", "Embeds[c,32,8]")):
        assert unifier.match(scoped(parse_port(offered), "other", {}), apart(port, i))
    assert not unifier.match(scoped(parse_port("Embeds[e,1,9]"), "other", {}), apart(port, 2))
