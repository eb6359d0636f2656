"""Conversations become the ids of transformers' apply_chat_template, and labels are where the assistant speaks."""

import pytest
import torch
from tokenizers import processors

from mmm_graph.errors import InputError, RunError
from mmm_text.chat_config import ChatConfig, DecodeConfig, PromptConfig
from mmm_text.config import TokenizerConfig
from mmm_text.tokenizer import HfTokenizer
from tests.plugins.mmm_text.chat_cases import (
    CHATS,
    LLAVA,
    MARKED,
    OF_SEGMENTS,
    QWEN2_5,
    SMOLLM2,
    TEMPLATES,
    WITHOUT_SYSTEM,
    image,
    save,
    say,
    segments,
)

LEARN, RAW = ChatConfig(generate=False), DecodeConfig(skip_special=False)


def open_(folder, **config):
    return HfTokenizer(TokenizerConfig(**config), folder)


def chats(name):
    found = CHATS[:2] if name in WITHOUT_SYSTEM else CHATS
    return [segments(chat) for chat in found] if name in OF_SEGMENTS else found


def learnt(tokenizer, labels):
    """The text of each answer that is learnt."""
    found, run = [], []
    for label in [*labels.tolist(), -100]:
        if label >= 0:
            run.append(label)
        elif run:
            found.append(tokenizer.decode(torch.tensor([run]), config=RAW)[0])
            run = []
    return found


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["bytes", "pieces"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_ids_are_those_of_transformers(tmp_path, kind, name):
    theirs = save(tmp_path, kind, TEMPLATES[name], padding_side="left")
    ours = open_(tmp_path)
    for generate in (True, False):
        given = [chat[:-1] if generate else chat for chat in chats(name)]
        more = {
            "add_generation_prompt": generate,
            "return_tensors": "pt",
            "padding": True,
            "return_dict": True,
        }
        want = theirs.apply_chat_template(given, **more)
        got = ours.chat(given, ChatConfig(generate=generate))
        assert torch.equal(got["ids"], want["input_ids"])
        assert torch.equal(got["mask"], want["attention_mask"].bool())


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["bytes", "pieces"])
def test_labels_are_the_assistant_masks_of_transformers_where_the_template_marks_answers(tmp_path, kind):
    theirs = save(tmp_path, kind, MARKED)
    if kind == "bytes":  # else transformers finds no answer that begins with a token of spaces
        theirs.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    ours = open_(tmp_path)
    for chat in CHATS:
        want = theirs.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
        got = ours.chat([chat], LEARN)
        assert got["ids"][0].tolist() == want["input_ids"]
        assert (got["labels"][0] >= 0).tolist() == [bool(m) for m in want["assistant_masks"]]
        assert got["supervised"] == sum(want["assistant_masks"]) / len(want["input_ids"])


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
def test_a_token_across_a_border_is_of_the_side_that_has_its_letters(tmp_path, kind):
    """LLaVA's mark holds the space after an answer, which is in the token of " USER", and not the one before."""
    save(tmp_path, kind, LLAVA)
    ours = open_(tmp_path)
    chat = say("What is", " Hello, ", "the capital", "the quick")
    got = [text.strip(" ") for text in learnt(ours, ours.chat([segments(chat)], LEARN)["labels"][0])]
    assert got == ["Hello,", "the quick"]


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_labels_begin_where_the_prompt_ends(tmp_path, kind, name):
    """The tokens of an answer follow the prompt that stands before it when the model is asked."""
    save(tmp_path, kind, TEMPLATES[name])
    ours = open_(tmp_path)
    for chat in chats(name):
        got = ours.chat([chat], LEARN)
        ids, labels = got["ids"][0].tolist(), got["labels"][0].tolist()
        answers = [i for i, message in enumerate(chat) if message["role"] == "assistant"]
        starts = [i for i, x in enumerate(labels) if x >= 0 and (i == 0 or labels[i - 1] < 0)]
        assert len(starts) == len(answers)
        for start, i in zip(starts, answers, strict=True):
            prompt = ours.chat([chat[:i]], ChatConfig())["ids"][0].tolist()
            assert ids[: len(prompt)] == prompt
            between = ours.decode(torch.tensor([ids[len(prompt) : start]]), config=RAW)[0]
            assert not between.strip() and (
                not between or name == "llava"
            )  # the mark there leaves out a space
        assert all(a in (-100, b) for a, b in zip(labels, ids, strict=True))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("smollm2", ["It is Paris.<|im_end|>"]),
        ("qwen2.5", ["It is Paris.<|im_end|>"]),
        ("llama2", [" It is Paris. </s>"]),
        ("mistral", ["It is Paris.</s>"]),
        ("zephyr", ["It is Paris.</s>"]),
    ],
)
def test_an_answer_and_what_ends_it_are_learnt(tmp_path, name, wanted):
    save(tmp_path, "bytes", TEMPLATES[name])
    ours = open_(tmp_path)
    got = ours.chat(CHATS[0], LEARN)
    assert learnt(ours, got["labels"][0]) == wanted
    twice = [[*CHATS[0], *CHATS[0][-2:]]]
    last = ours.chat(twice, ChatConfig(generate=False, learn="last"))
    assert learnt(ours, last["labels"][0]) == wanted
    assert learnt(ours, ours.chat(twice, LEARN)["labels"][0]) == 2 * wanted
    assert ours.chat(CHATS[0][:1], ChatConfig())["labels"].unique().tolist() == [-100]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_is_its_conversations_one_by_one(tmp_path, side):
    save(tmp_path, "bytes", LLAVA, extra_special_tokens={"image_token": "<image>"})
    ours = open_(tmp_path, pad_side=side)
    batch = [
        [
            {"role": "user", "content": [image(2), {"type": "text", "text": "What?"}, image(3)]},
            *segments(CHATS[1])[1:],
        ],
        segments(CHATS[0]),
        [{"role": "user", "content": [{"type": "text", "text": "Look:"}, image(4)]}, *segments(CHATS[0])[1:]],
    ]
    got = ours.chat(batch, LEARN)
    assert [x.shape[-1] for x in got["images"]] == [2, 3, 4]
    count = 0
    for i, chat in enumerate(batch):
        alone = ours.chat([chat], LEARN)
        keep = got["mask"][i]
        assert bool(keep[0]) or side == "left"
        for key in ("ids", "labels"):
            assert torch.equal(got[key][i][keep], alone[key][0])
        index = got["media_index"][i][keep]
        places = index[index >= 0].tolist()
        assert places == list(range(count, count + len(alone["images"])))
        assert all(ours.tokenizer.id_to_token(int(x)) == "<image>" for x in got["ids"][i][keep][index >= 0])
        count += len(alone["images"])
    assert (got["labels"][~got["mask"]] == -100).all() and (got["media_index"][~got["mask"]] == -1).all()


def test_media_are_numbered_one_type_after_the_other(tmp_path):
    save(tmp_path, "bytes", SMOLLM2)
    ours = open_(tmp_path, media_tokens={"image": "<image>", "audio": "<audio>"})
    sound = {"type": "audio", "audio": torch.zeros(1, 9)}
    chat = [{"role": "user", "content": [sound, image(1), {"type": "text", "text": "?"}, sound, image(2)]}]
    got = ours.chat([chat, chat], ChatConfig())
    index = got["media_index"]
    assert [row[row >= 0].tolist() for row in index] == [[4, 0, 5, 1], [6, 2, 7, 3]]
    assert (len(got["images"]), len(got["audios"]), got["videos"]) == (4, 4, [])
    text = ours.decode(got["ids"], got["mask"], RAW)[0]
    assert "user\n<audio>\n<image>\n?<audio>\n<image><|im_end|>" in text


def test_text_prompts_go_through_the_template(tmp_path):
    save(tmp_path, "bytes", QWEN2_5)
    ours = open_(tmp_path, pad_side="left")
    got = ours.prompt(["Hello", "What is the capital of France?"], PromptConfig(system="Be short."))
    want = ours.chat(
        [say("Hello", system="Be short."), say("What is the capital of France?", system="Be short.")],
        ChatConfig(),
    )
    assert torch.equal(got["ids"], want["ids"]) and not got["mask"][0, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([image()], "conversation 1 has 1 image, and its text 2 places"),
        ([], "conversation 1 has 0 images, and its text 1 place for them"),
        (
            [image(), {"type": "audio", "audio": torch.zeros(1, 1)}],
            "message 0, segment 1 is of the type audio, for",
        ),
        ([{"type": "image", "image": "cat.png"}], r"segment 0 holds its image as str, not as a tensor"),
        ([{"type": "text", "text": "\ufdd0"}], r"U\+FDD0"),
    ],
)
def test_media_without_a_place_and_places_without_media(tmp_path, content, message):
    save(tmp_path, "bytes", LLAVA, extra_special_tokens={"image_token": "<image>"})
    ours = open_(tmp_path)
    bad = [{"role": "user", "content": [*content, {"type": "text", "text": "what is <image>?"}]}]
    with pytest.raises(RunError, match=message) as caught:
        ours.chat([say("hi"), bad], ChatConfig())
    assert caught.value.problems[0].code == "E755"


def test_a_template_that_writes_no_place_for_an_image(tmp_path):
    save(
        tmp_path, "bytes", "{% for m in messages %}{{ m.content | map(attribute='text') | join }}{% endfor %}"
    )
    ours = open_(tmp_path, media_tokens={"image": "<image>"})
    with pytest.raises(RunError, match="conversation 0 has 1 image, and its text 0 places"):
        ours.chat([{"role": "user", "content": [image(), {"type": "text", "text": "a"}]}], ChatConfig())


def test_an_answer_is_not_asked_for_after_an_answer(tmp_path):
    save(tmp_path, "bytes", SMOLLM2)
    with pytest.raises(RunError, match=r"E756.*conversation 1 ends with an answer(.|\n)*generate: false"):
        open_(tmp_path).chat([say("a"), say("a", "b")], ChatConfig())


def test_what_is_no_conversation(tmp_path):
    save(tmp_path, "bytes", SMOLLM2)
    with pytest.raises(RunError, match=r"E302.*conversation 0, message 0 has the role 'bot'"):
        open_(tmp_path).chat([[{"role": "bot", "content": ""}]], ChatConfig())


def test_conversations_that_are_too_long(tmp_path):
    save(tmp_path, "bytes", LLAVA, extra_special_tokens={"image_token": "<image>"}, model_max_length=40)
    long = segments(CHATS[1])
    with pytest.raises(RunError, match=r"E708.*conversation 0 has .* at most 40 fit"):
        open_(tmp_path).chat([long], LEARN)
    cut = open_(tmp_path, truncate=True)
    whole = open_(tmp_path, max_length=999).chat([long], LEARN)
    got = cut.chat([long], LEARN)
    for key in ("ids", "labels", "media_index"):
        assert torch.equal(got[key], whole[key][:, :40])
    with pytest.raises(RunError, match="at most 40 fit"):  # of a prompt its end would be lost
        cut.chat([[*long, *segments(CHATS[0])[:1]]], ChatConfig())
    late = [*long, {"role": "user", "content": [image()]}, long[1]]
    with pytest.raises(RunError, match="and a medium after the 40 that fit"):
        cut.chat([late], LEARN)


def test_a_checkpoint_without_a_template(tmp_path):
    save(tmp_path, "bytes")
    ours = open_(tmp_path)
    with pytest.raises(InputError, match=r"E752.*hold no chat template(.|\n)*vicuna_v1"):
        ours.chat(["hi"], ChatConfig())
    with pytest.raises(InputError, match=r"no chat template 'vicuna'(.|\n)*did you mean vicuna_v1"):
        ours.chat(["hi"], ChatConfig(template="vicuna"))
    assert ours.decode(ours.chat(["hi"], ChatConfig(template="vicuna_v1"))["ids"])[0].endswith(
        "USER: hi ASSISTANT:"
    )


@pytest.mark.parity
@pytest.mark.parametrize("begins", [True, False])
def test_a_text_may_begin_as_any_text_does(tmp_path, begins):
    """As processors of transformers do it, which add <s> where the template has not written it."""
    template = ("{{ bos_token }}" if begins else "") + MARKED
    save(tmp_path, "pieces", template)
    tokenizer = open_(tmp_path)
    plain = tokenizer.chat([say("q", "an answer")], LEARN)
    found = tokenizer.chat([say("q", "an answer")], ChatConfig(generate=False, start=True))
    first = tokenizer.encode([""])["ids"][0, :1]
    assert found["ids"][0, :1].tolist() == first.tolist()
    assert torch.equal(found["ids"][:, not begins :], plain["ids"])
    assert learnt(tokenizer, found["labels"][0]) == learnt(tokenizer, plain["labels"][0])
