"""Training: read ``loop.py`` first, then ``recipe.py``."""

from aae_lib.training.batch_norm import recompute_batch_norm
from aae_lib.training.loop import train
from aae_lib.training.recipe import (
    SGD,
    UPDATES_PER_EPOCH,
    Adam,
    Constant,
    Cosine,
    Drops,
    Recipe,
    Rise,
    Schedule,
    WarmUp,
)
from aae_lib.training.run import Report
