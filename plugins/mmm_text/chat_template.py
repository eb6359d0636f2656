"""Conversations -> texts, by a Jinja template; with them the places of what the assistant says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from mmm_graph.errors import RunError, problem
from mmm_graph.spec.chat import Conversation, Message
from mmm_text.chat_formats import Format
from mmm_text.chat_sandbox import BEGIN, BUDGET, END, Budget, Sandbox

PROBE = "probe of the template"
FAILURES = (TemplateError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What an expression of a template may raise; too deep a recursion is a RuntimeError."""

Spans = list[tuple[int, int]]


@dataclass(frozen=True)
class Rendered:
    """A conversation as text.

    Attributes:
        spans: first and last character (exclusive) of each answer.
    """

    text: str
    spans: Spans


class ChatTemplate:
    """A template, compiled.

    Args:
        name: for errors.
        variables: special tokens by name, such as `bos_token`, and what else the template may read.
        media_tokens: placeholders by type of segment, for templates whose content is a text.
        special: texts of all special tokens, with one of which an answer may end.

    Raises:
        RunError: E753, it is not Jinja, too long, or uses what the sandbox lacks.
    """

    def __init__(
        self,
        form: Format | str,
        name: str,
        variables: Mapping[str, Any],
        media_tokens: Mapping[str, str],
        special: Sequence[str] = (),
    ) -> None:
        self.name, self.variables, self.media_tokens = name, variables, media_tokens
        self.special = tuple(special)
        source = form if isinstance(form, str) else form.text
        self.is_marked = re.search(r"\{%[-+]?\s*generation\b", source) is not None
        self.system = None if isinstance(form, str) else form.system
        try:
            sandbox = Sandbox()
            self.template = sandbox.from_string(sandbox.counted(source))
        except TemplateSyntaxError as error:
            raise self._refused(f"line {error.lineno}: {error.message}") from error
        except FAILURES as error:
            raise self._refused(str(error)) from error
        self.takes_segments = self._probe() if isinstance(form, str) else form.segments

    def render(self, chat: Conversation, place: str, *, generate: bool) -> Rendered:
        """The text of a conversation, and where the assistant speaks.

        Args:
            place: for errors, such as "conversation 0".
            generate: end with what stands before an answer; nothing is then marked.

        Raises:
            RunError: E753, the template fails, refuses the conversation or does too much; E754, it does not say where
                answers are, and they cannot be found either.
        """
        marked = self._run(chat, place, generate)
        text, spans = _unmarked(marked)
        if generate:
            return Rendered(text, [])
        return Rendered(text, spans if self.is_marked else self._compared(chat, text, place))

    def _compared(self, chat: Conversation, text: str, place: str) -> Spans:
        """Answers begin where the prompt of the messages before ends, and end where the messages up to it do."""
        found: Spans = []
        for i, message in enumerate(chat):
            if message["role"] != "assistant":
                continue
            before = self._run(chat[:i], place, True)
            through = self._run(chat[: i + 1], place, False)
            if not (text.startswith(through) and through.startswith(before)):
                what = (
                    f"{place}: the answer in message {i} cannot be found: {self.name} writes the messages before it "
                    "otherwise where they stand alone"
                )
                hint = "put {% generation %} ... {% endgeneration %} around what the assistant says in the template"
                raise RunError(problem("E754", what, hint=hint))
            found.append((len(before), len(before) + self._end(through[len(before) :])))
        return found

    def _end(self, answer: str) -> int:
        """Where an answer ends: after the token that ends it, without the white space that comes then."""
        bare = answer.rstrip()
        return len(bare) if bare.endswith(self.special) else len(answer)

    def _run(self, chat: Sequence[Message], place: str, generate: bool) -> str:
        messages = [{"role": m["role"], "content": self._content(m["content"])} for m in chat]
        try:
            return self._rendered(messages, generate)
        except FAILURES as error:
            raise self._refused(str(error) or type(error).__name__, place) from error

    def _rendered(self, messages: list[dict[str, Any]], generate: bool) -> str:
        asked = {"messages": messages, "add_generation_prompt": generate, "tools": None, "documents": None}
        named = {**self.variables, "media_tokens": dict(self.media_tokens), BUDGET: Budget()}
        return self.template.render({**named, **asked})

    def _content(self, segments: Sequence[Mapping[str, Any]]) -> Any:
        """Content as the template takes it; nothing of the media themselves."""
        if self.takes_segments:
            return [dict(s) if s["type"] == "text" else {"type": s["type"], s["type"]: ""} for s in segments]
        return "".join(self._written(segments))

    def _written(self, segments: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """Each segment as text: a placeholder has its line, as LLaVA was trained, unless it ends the message."""
        for i, segment in enumerate(segments):
            if segment["type"] == "text":
                yield segment["text"]
                continue
            after = segments[i + 1] if i + 1 < len(segments) else {"text": "\n"}
            yield self.media_tokens.get(segment["type"], "")
            yield "" if after.get("text", "").startswith("\n") else "\n"

    def _probe(self) -> bool:
        """Whether content is a list of segments for this template; if not it would drop or print them."""
        messages = [{"role": "user", "content": [{"type": "text", "text": PROBE}]}]
        try:
            text = self._rendered(messages, False)
        except FAILURES:
            return False  # of a text it may make more; if not, the conversation says so
        return PROBE in text and "'type'" not in text

    def _refused(self, why: str, place: str = "") -> RunError:
        what = f"{place}: {self.name} fails: {why}" if place else f"{self.name} cannot be used: {why}"
        return RunError(problem("E753", what, hint="change the conversation, or give another `template:`"))


def _unmarked(text: str) -> tuple[str, Spans]:
    """The text without marks, and what was between them."""
    found: Spans = []
    pieces: list[str] = []
    length = start = depth = 0
    for piece in re.split(f"([{BEGIN}{END}])", text):
        if piece == BEGIN:
            start, depth = (length if not depth else start), depth + 1
        elif piece == END:
            depth -= 1
            if not depth:
                found.append((start, length))
        else:
            pieces.append(piece)
            length += len(piece)
    return "".join(pieces), found
