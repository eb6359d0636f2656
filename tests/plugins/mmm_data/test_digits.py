"""The digit datasets: fixed split, images, captions, jitter, prompts."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from mmm_data.digits.captions import TEMPLATES, WORDS, all_captions, caption, hash_unit
from mmm_data.digits.config import DigitPromptsConfig, DigitsConfig
from mmm_data.digits.dataset import DigitPrompts, Digits, enlarge, load_split, load_table
from mmm_data.digits.node import digit_columns, prompt_columns
from mmm_graph.spec.ports import parse_port

pytest.importorskip("sklearn")


def test_split_is_fixed_stratified_and_disjoint() -> None:
    config = DigitsConfig()
    train, test = load_split(config, "train"), load_split(config, "test")
    assert (len(train.ids), len(test.ids)) == (1438, 359)
    assert sorted(torch.cat([train.ids, test.ids]).tolist()) == list(range(1797))
    assert test.ids[:8].tolist() == [1, 7, 8, 12, 22, 30, 34, 40]
    counts = torch.bincount(test.labels)
    assert counts.min() >= 35 and counts.max() <= 37
    assert load_split(DigitsConfig(split_seed=1), "test").ids.tolist() != test.ids.tolist()


def test_the_scans_are_those_that_scikit_learn_loads() -> None:
    from sklearn.datasets import load_digits

    table, theirs = load_table(), load_digits()
    assert torch.equal(table[:, :-1], torch.from_numpy(theirs.data).float())
    assert torch.equal(table[:, -1].long(), torch.from_numpy(theirs.target))


def test_item_has_the_declared_columns() -> None:
    data = Digits(DigitsConfig(split="test", size=24))
    item = data[5]
    columns = digit_columns(data.config)
    assert item.keys() == columns.keys()
    image = item["image"]
    assert isinstance(image, torch.Tensor) and image.dtype == torch.float32
    assert list(image.shape) == [d.size for d in (parse_port(columns["image"]).dims or ())[1:]]
    assert image.min() >= 0 and 0.8 < image.max() <= 1
    assert WORDS[int(item["label"])] in str(item["text"]) or str(int(item["label"])) in str(item["text"])  # type: ignore[call-overload]


def test_enlarging_keeps_what_is_there() -> None:
    scans = load_split(DigitsConfig(), "test").pixels
    images = enlarge(scans, DigitsConfig(size=30))  # 10 px of the scan with its margin -> 3 px each
    means = torch.nn.functional.avg_pool2d(images, 3)[..., 1:-1, 1:-1]
    assert (means - scans).abs().mean() < 0.05
    assert images[..., 0, :].max() < 0.2


def test_jitter_moves_in_the_stated_direction_and_amount() -> None:
    config = DigitsConfig(size=40)  # 4 px for each pixel of the scan
    scan = torch.zeros(1, 1, 8, 8)
    scan[..., 4, 4] = 1
    still = enlarge(scan, config)
    moved = enlarge(scan, config, torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    assert torch.allclose(still[..., 4:], moved[..., :-4], atol=1e-5)
    half = enlarge(scan, config, torch.tensor([[0.0, 0.0, torch.pi, 0.0]]))
    assert torch.allclose(half, still.flip(2, 3), atol=1e-5)


def test_variations_differ_and_repeat_exactly() -> None:
    config = DigitsConfig(split="test", repeat=3, shift=0.3, rotate=3, zoom=0.03)
    data, again = Digits(config), Digits(config)
    num = len(data) // 3
    assert torch.equal(data.images, again.images)
    assert not torch.equal(data.images[0], data.images[num])
    assert data[0]["id"] == data[num]["id"] == data[2 * num]["id"]
    assert not torch.equal(data.images, Digits(config.model_copy(update={"seed": 1})).images)


def test_captions_use_every_template() -> None:
    found = {caption(7, 0, i) for i in range(400)}
    assert found == {t.format(n) for t in TEMPLATES for n in ("seven", "7")}
    assert found <= set(all_captions())
    assert hash_unit(0, 0, "x") == pytest.approx(0.8864493289595495, abs=1e-15)


def test_prompts_ask_for_every_class_equally() -> None:
    data = DigitPrompts(DigitPromptsConfig(per_class=5))
    items = [data[i] for i in range(len(data))]
    assert len(items) == 50 and items[0].keys() == prompt_columns(data.config).keys()
    assert torch.bincount(torch.stack([i["label"] for i in items])).tolist() == [5] * 10  # type: ignore[misc]
    assert {i["negative_prompt"] for i in items} == {""}
    with pytest.raises(IndexError):
        data[50]


def test_config_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValidationError):
        DigitsConfig(shift=-1)
    with pytest.raises(ValidationError):
        DigitsConfig.model_validate({"spilt": "train"})
