"""`mmm schema`."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import yaml

from tests.cli.conftest import Mmm


def test_the_schema_is_of_this_graph_and_accepts_it(mmm: Mmm, tiny: Path, tiny_text: str) -> None:
    done = mmm("schema", tiny)
    assert "# yaml-language-server: $schema=.mmm/tiny.schema.json" in done.out
    schema = json.loads(Path(".mmm/tiny.schema.json").read_text())
    assert json.loads(mmm("schema", tiny, "-o", "-").out) == schema
    jsonschema.validate(yaml.safe_load(tiny_text), schema)
    assert mmm("schema", tiny, "-o", "sub/x.json").status == 0
    assert json.loads(Path("sub/x.json").read_text()) == schema


def test_what_is_no_graph_or_cannot_be_written(mmm: Mmm, tiny: Path) -> None:
    assert mmm("schema", "none.yaml").status == 2
    done = mmm("schema", tiny, "-o", "tiny.yaml/x")
    assert done.status == 2
    assert "cannot be written" in done.err
