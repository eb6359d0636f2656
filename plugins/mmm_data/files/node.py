"""What the file datasets offer; torch-free."""

from __future__ import annotations

from collections.abc import Mapping

from mmm_data.files import config as c
from mmm_graph.registry import NodeType, data_type

PICTURES = frozenset(("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"))


def file_nodes() -> list[NodeType]:
    """Eight kinds of data."""
    here = "mmm_data.files"
    return [
        data_type(
            "data.image_text", c.ImageTextConfig, f"{here}.folders:ImageText", columns=image_text_columns,
            doc="Pictures with captions, beside them or in a table. Captions of one picture share its id.",
        ),
        data_type(
            "data.image_folder", c.ImageFolderConfig, f"{here}.folders:ImageFolder", columns=image_folder_columns,
            doc="A folder of pictures for each class; label is its number in the order of names.",
        ),
        data_type(
            "data.triplets", c.TripletsConfig, f"{here}.triplets:Triplets", columns=triplet_columns,
            doc="Anchor, positive and negative, other ones in each epoch.",
            source="Schroff et al. 2015 (arXiv:1503.03832)",
        ),
        data_type(
            "data.conversations", c.ConversationsConfig, f"{here}.conversations:Conversations",
            columns=conversation_columns,
            doc="Conversations with pictures, for the method `chat` of a tokenizer; media is how many there are. What "
            "answers are to show is asked for by signals, and read into columns of its own.",
            source="Liu et al. 2023 (arXiv:2304.08485); Wu et al. 2024 (arXiv:2309.05519), its published data",
        ),
        data_type(
            "data.audio_folder", c.AudioFolderConfig, f"{here}.folders:AudioFolder", columns=audio_columns,
            doc="WAV files with the text beside them, or the name of their folder.",
        ),
        data_type(
            "data.video_folder", c.VideoFolderConfig, f"{here}.folders:VideoFolder", columns=video_columns,
            doc="Animated pictures and folders of frames, with the text beside them, or the name of their folder.",
        ),
        data_type(
            "data.webdataset", c.ShardsConfig, f"{here}.shards:Shards", columns=shard_columns,
            doc="Samples in tar files, found by an index that is made when they are opened.",
        ),
        data_type(
            "data.huggingface", c.TableConfig, f"{here}.tables:Table", columns=table_columns,
            doc="A dataset of the `datasets` library on this machine.",
        ),
    ]  # fmt: skip


def image_text_columns(config: c.ImageTextConfig) -> Mapping[str, str]:
    """image, text, id."""
    if not config.missing:
        return {"image": config.port, "text": "Text[b]", "id": "Ids[b]"}
    return {"image": config.port.replace("[b,", "[r_image,"), "text": "Text[r_text]", "id": "Ids[b]"}


def image_folder_columns(config: c.ImageFolderConfig) -> Mapping[str, str]:
    """image, text, label, id."""
    return {"image": config.port, "text": "Text[b]", "label": "Ids[b]", "id": "Ids[b]"}


def triplet_columns(config: c.TripletsConfig) -> Mapping[str, str]:
    """anchor, positive, negative and the classes of the first and the last."""
    images = dict.fromkeys(("anchor", "positive", "negative"), config.port)
    return {**images, "label": "Ids[b]", "negative_label": "Ids[b]"}


def conversation_columns(config: c.ConversationsConfig) -> Mapping[str, str]:
    """chat, media, id, and what answers have: image, audio, video with the captions image_text ..."""
    targets, found = config.targets, {"chat": "Chat[b]", "media": "Ids[b]", "id": "Text[b]"}
    if targets.image is not None:
        found["image"] = targets.image.port.replace("[b,", "[r_image,")
    if targets.audio is not None:
        found["audio"] = targets.audio.port("r_audio")
    if targets.video is not None:
        height, width = targets.video.shape or (0, 0)
        found["video"] = f"Video[r_video,{targets.video.frames},3,{height},{width}]"
    media = [name for name in ("image", "audio", "video") if name in found and targets.captions]
    return {**found, **{f"{name}_text": f"Text[r_{name}]" for name in media}}


def audio_columns(config: c.AudioFolderConfig) -> Mapping[str, str]:
    """audio, mask where lengths differ, text, id, and label if folders are classes."""
    found = {"audio": config.port("b"), "text": "Text[b]", "id": "Ids[b]"}
    masked = {"mask": "Mask[b,n]"} if config.seconds is None else {}
    return {**found, **masked, **({"label": "Ids[b]"} if config.labels else {})}


def video_columns(config: c.VideoFolderConfig) -> Mapping[str, str]:
    """video, text, id, and label if folders are classes."""
    height, width = config.shape or (0, 0)
    found = {"video": f"Video[b,{config.frames},3,{height},{width}]", "text": "Text[b]", "id": "Ids[b]"}
    return {**found, **({"label": "Ids[b]"} if config.labels else {})}


def shard_columns(config: c.ShardsConfig) -> Mapping[str, str]:
    """Types by the endings of the files."""
    return {name: _type_of(endings.split(";")[0], config) for name, endings in config.columns.items()}


def table_columns(config: c.TableConfig) -> Mapping[str, str]:
    """As the config says them."""
    return {name: column.type for name, column in config.columns.items()}


def _type_of(ending: str, config: c.ShardsConfig) -> str:
    if ending in PICTURES:
        return config.port
    return "Ids[b]" if ending == "cls" else "Text[b]"
