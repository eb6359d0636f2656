"""Templates: the built-in ones write what was published, content is given as they take it, wrong ones are refused."""

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.spec.chat import read_chats
from mmm_text.chat_formats import FORMATS, VICUNA_SYSTEM
from mmm_text.chat_template import ChatTemplate
from tests.plugins.mmm_text.chat_cases import (
    CHATS,
    LLAMA2,
    LLAVA,
    MARKED,
    MISTRAL,
    OF_SEGMENTS,
    TEMPLATES,
    image,
    say,
    segments,
)

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "start": "<s>"}
MEDIA = {"image": "<image>", "audio": "<audio>"}
SPECIAL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")


def template(text):
    return ChatTemplate(FORMATS.get(text, text), "the template", TOKENS, MEDIA, SPECIAL)


def render(text, chat, *, generate=False):
    return template(text).render(read_chats(chat)[0], "conversation 0", generate=generate)


def answers(rendered):
    return [rendered.text[a:b] for a, b in rendered.spans]


@pytest.mark.parametrize(
    ("name", "published", "chats"),
    [("llama2", LLAMA2, CHATS), ("chatml", MARKED, CHATS)],
)
def test_built_in_templates_write_what_was_published(name, published, chats):
    for chat in chats:
        for generate in (False, True):
            given = chat[:-1] if generate else chat
            ours, theirs = (render(text, given, generate=generate) for text in (name, published))
            assert ours == theirs


def test_mistral_puts_the_system_message_into_the_first_question():
    got = render("mistral_instruct", say("q", "a", "r", system="s"), generate=False)
    assert got.text == "<s>[INST] s\n\nq [/INST] a</s> [INST] r [/INST]"
    assert answers(got) == [" a</s>"]
    assert (
        render("mistral_instruct", say("q"), generate=True).text
        == render(MISTRAL, say("q"), generate=True).text
    )


def test_vicuna_is_as_llava_was_trained():
    chat = [
        {"role": "user", "content": [image(), {"type": "text", "text": "What?"}]},
        *say("", "A cat.", "Where?", "There.")[1:],
    ]
    got = render("vicuna_v1", chat)
    assert got.text == "<s>USER: <image>\nWhat? ASSISTANT: A cat.</s>USER: Where? ASSISTANT: There.</s>"
    assert answers(got) == [" A cat.</s>", " There.</s>"]
    assert render("vicuna_v1", chat[:1], generate=True).text == "<s>USER: <image>\nWhat? ASSISTANT:"
    assert template("vicuna_v1").system == VICUNA_SYSTEM
    assert render("vicuna_v1", say("q", system="s"), generate=True).text == "<s>s USER: q ASSISTANT:"


@pytest.mark.parametrize(
    ("name", "text", "learnt"),
    [
        ("plain", "<s><image>a cat\n", ["a cat\n"]),
        ("blip2_opt", "<image><s>Question: What? Answer: a cat\n", [" a cat\n"]),
        ("flamingo", "<s><image>What?a cat<|endofchunk|>", ["a cat<|endofchunk|>"]),
    ],
)
def test_templates_of_stages_and_captions(name, text, learnt):
    chat = [
        {"role": "user", "content": [image(), {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": "a cat"},
    ]
    got = render(name, chat)
    assert (got.text, answers(got)) == (text, learnt)
    prompt = render(name, chat[:1], generate=True)
    assert text.startswith(prompt.text) and prompt.spans == []


@pytest.mark.parametrize("name", ["plain", "blip2_opt", "flamingo"])
def test_templates_without_a_system_message_say_so(name):
    with pytest.raises(RunError, match=r"E753.*this template has no system message"):
        render(name, say("q", system="s"))


def test_several_turns_of_blip2_and_of_flamingo():
    chat = say("a?", "b", "c?")
    assert render("blip2_opt", chat, generate=True).text == "<s>Question: a? Answer: b\nQuestion: c? Answer:"
    pairs = [{"role": "user", "content": [image()]}, {"role": "assistant", "content": "cat"}] * 2
    assert render("flamingo", pairs).text == "<s>" + 2 * "<image>cat<|endofchunk|>"


@pytest.mark.parametrize("name", TEMPLATES)
def test_content_is_given_as_the_template_takes_it(name):
    assert template(TEMPLATES[name]).takes_segments == (name in OF_SEGMENTS)


def test_media_have_a_line_of_their_own_in_templates_of_texts():
    content = [{"type": "text", "text": "a"}, image(), {"type": "text", "text": "\nb"}, image(), image()]
    text = render("chatml", [{"role": "user", "content": content}]).text
    assert text == "<|im_start|>user\na<image>\nb<image>\n<image><|im_end|>\n"


def test_a_template_of_segments_sees_nothing_of_the_media():
    text = "{% for m in messages %}{% for s in m.content %}{{ s }}{{ s.text }}{% endfor %}{% endfor %}"
    given = [{"role": "user", "content": [{"type": "image", "image": torch.ones(3, 1, 1)}]}]
    form = template("{# #}" + text.replace("{{ s }}", "{{ s.image }}"))
    assert form.takes_segments
    assert form.render(given, "conversation 0", generate=False).text == ""


def test_an_answer_that_is_written_otherwise_later_cannot_be_found():
    """As Qwen 3 does: what the assistant thought is left out of all answers but the last."""
    text = (
        "{% for m in messages %}[{{ m.role }}]{% if loop.last or m.role == 'user' %}{{ m.content }}"
        "{% else %}{{ m.content.split('</think>')[-1] }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    assert answers(render(text, say("q", "<think>x</think>a"))) == ["<think>x</think>a"]
    with pytest.raises(
        RunError, match=r"E754.*conversation 0: the answer in message 1 cannot be found(.|\n)*generation"
    ):
        render(text, say("q", "<think>x</think>a", "r", "b"))
    assert (
        render(text, say("q", "<think>x</think>a", "r"), generate=True).text
        == "[user]q[assistant]a[user]r[assistant]"
    )


def test_an_answer_before_any_question():
    with pytest.raises(RunError, match=r"E753.*conversation 0: the template fails"):
        render("{{ messages[0].content }}{{ messages[0].x.y }}", say("q")[::-1])
    greeting = [{"role": "assistant", "content": "hi"}]
    assert answers(render(MARKED, greeting)) == ["hi<|im_end|>"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{% for m in messages %}", r"cannot be used: line 1: Unexpected end of template"),
        ("{{ messages | pprint }}", r"No filter named 'pprint'"),
        ("x" * 300_000 + "{{ 1 }}", r"it is 300007 characters long"),
    ],
)
def test_what_is_no_template_is_refused_when_it_is_read(text, message):
    with pytest.raises(RunError, match=message) as caught:
        template(text)
    assert caught.value.problems[0].code == "E753"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ raise_exception('roles must alternate') }}", "the template fails: roles must alternate"),
        ("{{ messages.__class__ }}", "it reads '__class__' of a list, which it may not"),
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "it takes too long",
        ),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("{{ 1 // 0 }}", "zero"),
        ("{{ messages[0].content + 1 }}", "str"),
        ("{{ messages[0].nothing.at_all }}", "has no attribute"),
    ],
)
def test_a_template_that_fails_is_an_error_that_names_the_conversation(text, message):
    with pytest.raises(RunError, match=message) as caught:
        render(text, say("q"))
    assert str(caught.value).startswith("error[E753] conversation 0: the template fails")
    assert caught.value.problems[0].hint


def test_templates_of_segments_get_them():
    got = render(LLAVA, segments(say("q", "a")))
    assert (got.text, answers(got)) == ("USER: q ASSISTANT: a ", ["a "])


def test_idefics_puts_one_token_between_images_and_ends_what_is_said():
    chat = [
        {"role": "user", "content": [{"type": "text", "text": "Two:"}, image(), image()]},
        *say("", "Cats.")[1:],
    ]
    fake = "<fake_token_around_image>"
    two = f"Two:{fake}<image>{fake}<image>{fake}"
    assert render("idefics", chat[:1], generate=True).text == f"<s>{two}"
    got = render("idefics_instruct", chat)
    end = "<end_of_utterance>"
    assert got.text == f"<s>User: {two}{end}\nAssistant: Cats.{end}\n"
    assert answers(got) == [f" Cats.{end}"]
    assert render("idefics_instruct", chat[:1], generate=True).text == f"<s>User: {two}{end}\nAssistant:"
