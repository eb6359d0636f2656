"""What the ops on videos take and return; torch-free."""

from __future__ import annotations

from mmm_graph.registry import NodeType, op_type
from mmm_vision.video.config import ClipsConfig, FramesConfig, PoolFramesConfig, StackConfig


def video_nodes() -> list[NodeType]:
    """video.frames, video.clips, video.stack, embeds.pool_frames, embeds.mean_frames."""
    return [
        op_type(
            "video.frames", "mmm_vision.video.frames:frames", config=FramesConfig,
            video="Video[m,f,3,h,w]", returns={"frames": "Image[r,3,h,w]", "rows": "Ids[r]"},
            doc="Evenly spaced frames of videos (or of a list of videos of differing lengths), as images. `rows`: the "
            "video of each frame.",
            source="transformers 5, video_utils, default_sample_indices_fn",
        ),
        op_type(
            "video.clips", "mmm_vision.video.clips:clips", config=ClipsConfig,
            video="Video[m,f,3,h,w]", returns={"frames": "Image[r,3,h,w]", "rows": "Ids[c]"},
            doc="Frames of short clips of videos, clip after clip, as images. `rows`: the video of each clip.",
            source="Girdhar et al. 2023 (arXiv:2305.05665), appendix B; its published code",
        ),
        op_type(
            "video.stack", "mmm_vision.video.clips:stack", config=StackConfig,
            frames="Image[r,3,h,w]", returns={"video": "Video[c,$num_frames,3,h,w]"},
            doc="Images as clips of so many frames each, one after the other.",
            source="Girdhar et al. 2023 (arXiv:2305.05665), appendix B",
        ),
        op_type(
            "embeds.pool_frames", "mmm_vision.video.frames:pool_frames", config=PoolFramesConfig,
            embeds="Embeds[r,l,d]", rows="Ids[r]", returns={"embeds": "Embeds[m,$times*l,d]"},
            doc="Tokens of frames to tokens of videos: their mean over time, or one frame after the other.",
            source="Maaz et al. 2023 (arXiv:2306.05424), section 3.1",
        ),
        op_type(
            "embeds.mean_frames", "mmm_vision.video.frames:mean_frames",
            embeds="Embeds[r,d]", rows="Ids[r]", returns={"embeds": "Embeds[m,d]"},
            doc="Vectors of frames to vectors of videos: their mean over time.",
            source="Luo et al. 2021 (arXiv:2104.08860), section 3.3",
        ),
    ]  # fmt: skip
