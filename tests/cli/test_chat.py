"""`mmm chat`: a line, an answer; commands; a question that fails does not end the talk."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mmm_graph.cli.app import App
from mmm_graph.cli.chat import chat
from tests.api.test_talk import GRAPH
from tests.plugins.mmm_generate.toy_llm import registry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "talk.yaml"
    path.write_text(GRAPH, encoding="utf-8")
    return path


def talk(file: Path, *lines: str, options: tuple[str, ...] = ()) -> Result:
    app = App(_registry=[registry()])
    return CliRunner().invoke(
        chat, [str(file), *options], obj=app, input="\n".join(lines), standalone_mode=False
    )


def test_a_line_is_a_question(file: Path) -> None:
    both, one = talk(file, "abc", "", "de"), talk(file, "abc")
    first, second = both.stdout.splitlines()
    assert both.return_value == 0 and one.stdout.splitlines() == [first] and second


def test_new_forgets_and_exit_ends(file: Path) -> None:
    seeds = ("--seed", "1")
    alone = talk(file, "de", options=seeds).stdout.splitlines()
    again = talk(file, "abc", "/new", "de", "/exit", "never asked").stdout.splitlines()
    assert len(again) == 2 and again[1:] == alone


def test_a_picture_that_is_not_there(file: Path) -> None:
    found = talk(file, "/image nothing.png", "abc")
    assert "there is no file nothing.png" in found.stderr and len(found.stdout.splitlines()) == 1


def test_a_question_that_fails(file: Path) -> None:
    file.write_text(
        GRAPH.replace("temperature: 1.0", "processors: [{op: logits.suppress, config: {ids: [99]}}]")
    )
    found = talk(file, "abc", "de")
    assert found.return_value == 1 and found.stderr.count("error[E701]") == 2


def test_the_last_answer_counts(file: Path) -> None:
    found = talk(file, "/image", "abc")
    assert found.return_value == 0 and "/image FILE" in found.stderr
