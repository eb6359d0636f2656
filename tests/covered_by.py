"""Source files without a test file of their own name, and the test file that covers them instead."""

from __future__ import annotations

COMPILE = "tests/graph/test_compile.py"
RANKS = "tests/train/test_ranks.py"
TRAIN = "tests/train/test_trainer.py"
VIEW = "tests/view/test_layout.py"

COVERED_BY = {
    "mmm_graph/graph/context.py": COMPILE,
    "mmm_graph/graph/expand.py": COMPILE,
    "mmm_graph/graph/graph.py": COMPILE,
    "mmm_graph/graph/loops.py": COMPILE,
    "mmm_graph/graph/models.py": COMPILE,
    "mmm_graph/graph/nodes.py": COMPILE,
    "mmm_graph/graph/route.py": COMPILE,
    "mmm_graph/graph/scope.py": COMPILE,
    "mmm_graph/graph/section.py": COMPILE,
    "mmm_graph/graph/sections.py": COMPILE,
    "mmm_graph/graph/wire.py": COMPILE,
    "mmm_graph/api/needs.py": "tests/api/test_session.py",
    "mmm_graph/cli/export.py": "tests/cli/test_import_.py",
    "mmm_graph/registry/part.py": "tests/plan/test_chain.py",
    "mmm_graph/__main__.py": "tests/runtime/test_launch.py",
    "mmm_graph/runtime/bound.py": "tests/runtime/test_bind.py",
    "mmm_graph/runtime/construct.py": "tests/runtime/test_build.py",
    "mmm_graph/runtime/lanes.py": "tests/runtime/test_transport.py",
    "mmm_graph/runtime/lost.py": "tests/runtime/test_transport.py",
    "mmm_graph/runtime/process_world.py": "tests/runtime/test_world.py",
    "mmm_graph/runtime/supervised.py": "tests/runtime/test_launch.py",
    "mmm_graph/api/samples.py": "tests/train/test_sample_outputs.py",
    "mmm_graph/cli/dry_run.py": "tests/cli/test_train.py",
    "mmm_graph/train/balance.py": "tests/train/test_turn.py",
    "mmm_graph/train/player.py": "tests/train/test_turn.py",
    "mmm_graph/train/clip.py": RANKS,
    "mmm_graph/train/counts.py": RANKS,
    "mmm_graph/train/features.py": RANKS,
    "mmm_graph/train/micro.py": RANKS,
    "mmm_graph/train/replicas.py": RANKS,
    "mmm_graph/train/cut.py": RANKS,
    "mmm_graph/train/shards.py": RANKS,
    "mmm_graph/api/training.py": "tests/api/test_session.py",
    **{
        f"plugins/mmm_unet/frames/{name}.py": "tests/plugins/mmm_motion/test_motion.py"
        for name in ("config", "foreign", "model", "node", "parts")
    },
    "mmm_graph/nn/activation_names.py": "tests/plugins/mmm_audioldm/test_clap.py",
    "mmm_graph/nn/drawing.py": "tests/nn/test_lora_factors.py",
    "mmm_graph/checkpoint/grown.py": "tests/plugins/mmm_llm/test_new_tokens.py",
    "mmm_graph/nn/diffusers_names.py": "tests/plugins/mmm_unet/test_foreign.py",
    "mmm_graph/nn/pixel_transformer.py": "tests/plugins/mmm_unet/test_parity.py",
    "mmm_graph/nn/unet_layout.py": "tests/plugins/mmm_unet/test_parts.py",
    "mmm_graph/runtime/plumbing.py": "tests/runtime/test_bind.py",
    "mmm_graph/train/precision.py": TRAIN,
    "mmm_graph/train/configs.py": "tests/train/test_stage.py",
    "mmm_graph/train/grow.py": "tests/train/test_learns.py",
    "mmm_graph/train/layers.py": "tests/train/test_learns.py",
    "mmm_graph/train/terms.py": "tests/train/test_supervised.py",
    "mmm_graph/train/tokens.py": "tests/train/test_learns.py",
    "mmm_graph/train/events.py": TRAIN,
    "mmm_graph/train/options.py": TRAIN,
    "mmm_graph/train/session.py": TRAIN,
    "mmm_graph/train/snapshot.py": TRAIN,
    "mmm_graph/train/step.py": TRAIN,
    "mmm_graph/view/metrics.py": VIEW,
    "mmm_graph/view/picture.py": VIEW,
    "mmm_graph/view/routes.py": VIEW,
    "mmm_graph/view/tiles.py": VIEW,
    "mmm_graph/view/header.py": "tests/view/test_svg.py",
    "mmm_graph/view/palette.py": "tests/view/test_svg.py",
}
