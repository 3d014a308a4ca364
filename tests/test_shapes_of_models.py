"""Every system trains on images of other sizes, in gray and in color."""

import math
from pathlib import Path

import pytest
import torch
from short_runs import run
from support import SYSTEMS, sets_of, tiny

from aae_lib.data import Images
from aae_lib.seeding import seeded
from aae_lib.shapes import Shape
from aae_lib.training import Adam, Recipe


def blobs(shape: Shape, count: int) -> Images:
    """Images of three kinds, labeled 0 to 2: a bright disk, small to large, at a random place."""
    channels, height, width = shape
    with seeded(0):
        labels = torch.arange(count) % 3
        down, across = (side * (0.3 + 0.4 * torch.rand(count, 1, 1)) for side in (height, width))
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    distance = ((rows - down) ** 2 + (columns - across) ** 2).sqrt() / height
    pixels = torch.sigmoid(30 * (0.1 * (1 + labels[:, None, None]) - distance))
    return Images(pixels[:, None].expand(count, *shape).flatten(1), labels, shape)


OF_EACH_CLASS = {type(tiny(name)): name for name in reversed(SYSTEMS)}.values()
CASES = [(name, (3, 32, 32), 50) for name in SYSTEMS] + [(name, (1, 16, 16), 50) for name in OF_EACH_CLASS]
CASES.append(("convolutional AAE", (3, 64, 48), 10))


@pytest.mark.parametrize(("name", "shape", "steps"), CASES, ids=str)
def test_each_system_trains_on_images_of_another_shape(name: str, shape: Shape, steps: int, tmp_path: Path) -> None:
    images = blobs(shape, 120)
    settings = {} if "label-informed" in name else {"classes": 3}
    model = tiny(name, shape, **settings)
    recipe = Recipe(dict.fromkeys(model.moves, Adam(0.003)), steps, batch_size=20)
    sets, state = sets_of(model, images, images), tmp_path / "state.safetensors"
    run(tiny(name, shape, **settings), sets, recipe, steps=1, report_every=steps // 2, state=state)
    reports = run(model, sets, recipe, report_every=steps // 2, state=state)  # goes on from step 1
    for update in model.moves:
        assert reports[0].losses[update] != reports[-1].losses[update] or update == "heads"
    first, *_ = model.moves
    if name not in ("AGE", "GAN", "ALI"):
        assert reports[-1].losses[first] < reports[0].losses[first]
    if hasattr(model, "decoder"):
        codes = model.prior.sample(5) if name == "GAN" else model.code_of(images)
        decoded = model.decode(codes)
        assert decoded.shape[1] == math.prod(shape) and decoded.isfinite().all()
    if hasattr(model, "classify"):
        assert model.classify(images.images).shape == (120, 10 if "label-informed" in name else 3)
