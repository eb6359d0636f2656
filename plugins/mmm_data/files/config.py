"""Configs of the file datasets; torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmm_graph.config import Config

Side = Annotated[int, Field(ge=1, le=8192)]


class PictureConfig(Config):
    """How a picture becomes an image of one size.

    Attributes:
        size: height and width [px], one number for both; null: its own size, and the column is a list of images.
        channels: 1 grey, 3 colour, 4 with transparency.
        fit: `crop` the middle after scaling the shorter side, `stretch`, or scale the longer side and `pad` with black.
    """

    size: Side | tuple[Side, Side] | None = 224
    channels: Literal[1, 3, 4] = 3
    fit: Literal["crop", "stretch", "pad"] = "crop"

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width [px]."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def port(self) -> str:
        """Type of the column."""
        if self.shape is None:
            return f"Image*[m,{self.channels},h,w]"
        return f"Image[b,{self.channels},{self.shape[0]},{self.shape[1]}]"


class FolderConfig(Config):
    """Files in a folder and the folders in it, in the order of their names.

    Attributes:
        path: the folder, such as "file:train".
        batch: samples a batch.
    """

    path: str
    batch: int = Field(32, ge=1)


class StillConfig(FolderConfig, PictureConfig):
    """Pictures that may be mirrored.

    Attributes:
        mirror: each picture is there twice, the second time with left and right exchanged; an epoch is twice as long.
    """

    mirror: bool = False


class ImageTextConfig(StillConfig):
    """Pictures with captions.

    Attributes:
        captions: a table in the folder, .csv .tsv .jsonl or .json; null: captions.* or metadata.* if there is one, else
            the .txt beside each picture.
        image_key, text_key: columns of the table.
        missing: a picture without a text, or a text without a picture, is a sample too; the columns then have a batch
            axis of their own.
    """

    captions: str | None = None
    image_key: str = "image"
    text_key: str = "text"
    missing: bool = False


class ImageFolderConfig(StillConfig):
    """Folders of pictures, one for each class.

    Attributes:
        template: the text of a picture, with {} for the name of its folder; _ and - in it become spaces.
    """

    template: str = "{}"


class TripletsConfig(FolderConfig, PictureConfig):
    """Anchor, positive (another picture of its class) and negative (one of another class).

    Attributes:
        table: a table in the folder whose pictures with one id belong together; null: each folder is a class.
        image_key, id_key: columns of the table.
        seed: of the choice, which is keyed by (seed, index, epoch).
    """

    table: str | None = None
    image_key: str = "image"
    id_key: str = "id"
    seed: int = 0


class SoundConfig(Config):
    """How a WAV file becomes a sound.

    Attributes:
        rate: samples a second that all files must have; nothing is resampled.
        channels: 1 mixes the channels of a file; 2: as they are.
        seconds: length that sounds are cut or filled up to; null: their own, padded in a batch, with a mask.
    """

    rate: int = Field(16000, ge=1)
    channels: Literal[1, 2] = 1
    seconds: float | None = Field(None, gt=0)

    def port(self, batch: str) -> str:
        """Type of the column."""
        length = "n" if self.seconds is None else str(round(self.seconds * self.rate))
        channels = self.channels if self.channels == 1 else "c"
        return f"Audio[{batch},{channels},{length}]{{{self.rate}}}"


class FilmConfig(PictureConfig):
    """How an animated picture or a folder of frames becomes a video.

    Attributes:
        frames: taken at equal distances; a shorter video shows some of them twice.
    """

    size: Side | tuple[Side, Side] = 224
    channels: Literal[3] = 3
    frames: int = Field(8, ge=1, le=4096)


class StillTarget(PictureConfig):
    """A picture that an answer has."""

    size: Side | tuple[Side, Side] = 512


class SoundTarget(SoundConfig):
    """A sound that an answer has."""

    seconds: float = Field(5.0, gt=0)


class TargetsConfig(Config):
    """Which media of answers become columns; a conversation has at most one of each.

    Attributes:
        image, audio, video: how its file becomes one of the column; null: there is no such column.
        captions: each has a text, under `image_captions` and so on, which is a column too.
    """

    image: StillTarget | None = None
    audio: SoundTarget | None = None
    video: FilmConfig | None = None
    captions: bool = True


class ConversationsConfig(FolderConfig):
    """Conversations in the format of LLaVA and NExT-GPT, or with messages as `role` and `content`.

    Attributes:
        path: the .json or .jsonl file.
        images: folder that its pictures and other media are relative to; null: that of the file.
        image_size: longest side of a picture of the text [px]; larger ones are scaled down. Null: as they are.
        targets: media that answers have, `output_image` and so on, as columns.
    """

    images: str | None = None
    image_size: Side | None = None
    targets: TargetsConfig = Field(default_factory=TargetsConfig)


class AudioFolderConfig(FolderConfig, SoundConfig):
    """WAV files.

    Attributes:
        labels: the folder of a file is its class; its name is the text if there is no .txt beside the file.
    """

    labels: bool = False


class VideoFolderConfig(FolderConfig, FilmConfig):
    """Animated pictures, and folders of frames.

    Attributes:
        labels: the folder of a video is its class; its name is the text if there is no .txt beside the video.
    """

    labels: bool = False


class ShardsConfig(FolderConfig, PictureConfig):
    """Tar files in which the files of a sample stand together under one name (WebDataset).

    Attributes:
        path: a .tar file, or a pattern such as "file:shards/*.tar".
        columns: column -> endings of its files, the first that is there: `jpg;png` a picture, `txt` a text, `cls` a
            number, `json:key` a text in a JSON file.
    """

    columns: dict[str, str] = Field(
        default_factory=lambda: {"image": "jpg;jpeg;png;webp", "text": "txt"}, min_length=1
    )


class TableColumn(Config):
    """A column of a table: its key there, and its type here.

    Attributes:
        key: in the table; null: the same.
        type: as of a port, such as "Text[b]" or "Image[b,3,64,64]".
    """

    key: str | None = None
    type: str = "Text[b]"


class TableConfig(Config):
    """A dataset of the `datasets` library on this machine; nothing is downloaded.

    Attributes:
        path: a folder that save_to_disk wrote, or .parquet .csv .jsonl .json .arrow files, as a pattern.
        split: of a folder with several.
        columns: those that nodes read.
        batch: samples a batch.
    """

    path: str
    split: str | None = None
    columns: dict[str, TableColumn]
    batch: int = Field(32, ge=1)
