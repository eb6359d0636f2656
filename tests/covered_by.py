"""Source files without a test file of their own name, and the test file that covers them instead."""

from __future__ import annotations

VIEW = "tests/view/test_layout.py"

COVERED_BY = {
    "mmm_graph/view/metrics.py": VIEW,
    "mmm_graph/view/picture.py": VIEW,
    "mmm_graph/view/routes.py": VIEW,
    "mmm_graph/view/tiles.py": VIEW,
    "mmm_graph/view/header.py": "tests/view/test_svg.py",
    "mmm_graph/view/palette.py": "tests/view/test_svg.py",
}
