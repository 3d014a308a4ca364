"""The explorer of latent spaces: in a notebook, and as one HTML page without a kernel (``front`` is both)."""

from aae_lib.explore.game import GameExplorer, recorded_games
from aae_lib.explore.page import explore, write_games, write_page
from aae_lib.explore.widget import LatentExplorer, ModelsExplorer, TurningMap
