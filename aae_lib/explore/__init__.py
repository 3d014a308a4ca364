"""The explorer of latent spaces: in a notebook, and as one HTML page without a kernel (``front`` is both)."""

from aae_lib.explore.page import explore, write_page
from aae_lib.explore.turning import TurningMap
from aae_lib.explore.widget import LatentExplorer, StyleExplorer

__all__ = ["LatentExplorer", "StyleExplorer", "TurningMap", "explore", "write_page"]
