"""More toy graphs: loops until a flag, nested loops, routing."""

from __future__ import annotations

HEAD = 'mmm: 1\nname: toy\ninputs: {x: "Latents[b,l,3]", above: {type: Scalar, default: 0.0}}\n'


HALVING = (
    HEAD
    + """
nodes:
  halve:
    loop:
      max: 12
      carry: {x: $in.x}
      until: half.small
      nodes:
        half: {op: toy.halve, in: {x: $carry.x}}
      next: {x: half.x}
      out: {last: half.x}
      collect: {firsts: {from: half.first, axis: 1}}
      stream: [firsts]
  twice: {op: toy.double, in: {x: halve.last, extra: $in.x}}
outputs: {last: halve.last, final: halve.x, firsts: halve.firsts, twice: twice}
"""
)

NESTED = (
    HEAD
    + """
nodes:
  outer:
    loop:
      max: 3
      carry: {x: $in.x}
      nodes:
        inner:
          loop:
            max: 12
            carry: {y: $carry.x}
            until: half.small
            nodes: {half: {op: toy.halve, in: {x: $carry.y}}}
            next: {y: half.x}
        up: {op: toy.double, in: {x: inner.y, extra: $carry.x}}
      next: {x: up}
      collect: {all: {from: up, axis: 0}}
outputs: {x: outer.x, all: outer.all}
"""
)

INSIDE = (
    HEAD
    + """
nodes:
  outer:
    loop:
      max: 5
      carry: {x: $in.x}
      until: half.small
      nodes:
        inner:
          loop:
            max: 3
            carry: {y: $carry.x}
            nodes: {up: {op: toy.double, in: {x: $carry.y, extra: $in.x}}}
            next: {y: up}
        half: {op: toy.halve, in: {x: inner.y}}
      next: {x: half.x}
outputs: {x: outer.x}
"""
)

ROUTED = (
    HEAD
    + """
models: {vae: {kind: vae.toy, weights: "file:not_there.safetensors"}}
nodes:
  keep: {op: toy.keep, in: {x: $in.x, above: $in.above}}
  image: {call: vae.decode, in: {latents: keep.x}}
  twice: {op: toy.double, in: {x: $in.x}}
outputs: {image: image, rows: keep.rows, twice: twice}
"""
)
