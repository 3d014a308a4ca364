"""A trained model on the command line: ``encode`` pictures, and ``sample`` new ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from aae_lib.errors import SettingError, check_ending, writing

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from aae_lib.experiments.apply import Encoded
    from aae_lib.experiments.trained import Trained

SIDE = 84  # pixels of an image in what is written, about: small ones are enlarged
MILLISECONDS = 60  # of a picture of a walk


def encode(
    model: Positional[str],
    pictures: Positional[tuple[Path, ...]],
    weights: Path | None = None,
    out: Path = Path("encoded"),
) -> None:
    """Write codes and labels of pictures as codes.csv, and each picture beside its reconstruction as pictures.png.

    Args:
        model: an experiment, or a file of weights that `train` wrote.
        pictures: files; digits may be dark on light or light on dark, and are centered as MNIST's are.
        weights: a file of weights of that experiment; default: the shipped ones.
        out: folder that receives the two files.
    """
    import csv

    import torch

    from aae_lib.experiments.apply import encode_pictures
    from aae_lib.experiments.trained import load_trained

    trained = load_trained(model, weights)
    found = encode_pictures(trained, pictures)
    heading, *rows = _table(found, pictures, trained)
    with writing(out, "Choose another folder with --out"):
        out.mkdir(parents=True, exist_ok=True)
        with open(out / "codes.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([heading, *rows])
        for row in rows:
            print("  ".join(row[:3]).rstrip())
        print(f"wrote {out / 'codes.csv'}")
        if found.reconstructions is not None:
            grid = torch.stack([found.images.images, found.reconstructions], 1)
            _picture(grid, trained).save(out / "pictures.png")
            print(f"wrote {out / 'pictures.png'}")


def sample(
    model: Positional[str],
    count: int = 100,
    seed: int = 0,
    weights: Path | None = None,
    start: Annotated[Path | None, arg(name="from")] = None,
    to: Path | None = None,
    out: Path | None = None,
) -> None:
    """Write images decoded from samples of a model's prior as PNG, or the way from a picture to another as GIF.

    Args:
        model: an experiment, or a file of weights that `train` wrote.
        count: of the samples; a model with labels or clusters has a row for each.
        seed: of the samples.
        weights: a file of weights of that experiment; default: the shipped ones.
        start: a picture to walk from, with --to.
        to: a picture to walk to, with --from.
        out: the file; default: samples.png or walk.gif.
    """
    from aae_lib.experiments.apply import sample_images, walk_between
    from aae_lib.experiments.trained import load_trained

    if (start is None) != (to is None):
        raise SettingError("expected --from PICTURE and --to PICTURE, found one of them: give both, or none")
    out = out or Path("walk.gif" if start else "samples.png")
    check_ending(out, ".gif" if start else ".png")
    trained = load_trained(model, weights)
    if start:
        first, *others = [_picture(image[None, None], trained) for image in walk_between(trained, start, to)]
        there_and_back = {"save_all": True, "append_images": others + others[::-1], "loop": 0, "duration": MILLISECONDS}
    else:
        first, there_and_back = _picture(sample_images(trained, count, seed), trained), {}
    with writing(out, "Choose another file with --out"):
        out.parent.mkdir(parents=True, exist_ok=True)
        first.save(out, **there_and_back)
    print(f"wrote {out}")


def _table(found: "Encoded", files: tuple[Path, ...], trained: "Trained") -> list[list[str]]:
    """The rows of codes.csv; y are the numbers of a code that stand for a label, z the others."""
    from aae_lib.priors import LabelAndStyle

    prior, dimensions = trained.model.prior, found.codes.shape[1]
    classes = prior.classes if isinstance(prior, LabelAndStyle) and dimensions else 0
    numbers = [f"y_{k}" for k in range(classes)] + [f"z_{k + 1}" for k in range(dimensions - classes)]
    rows = [["file", "label", "probability", *numbers]]
    for index, (file, label) in enumerate(zip(files, found.images.labels.tolist(), strict=True)):
        name = found.images.name_of(label) if label >= 0 else ""
        probability = "" if found.probabilities is None else f"{found.probabilities[index]:.4f}"
        rows.append([str(file), name, probability, *(f"{number:.6g}" for number in found.codes[index].tolist())])
    return rows


def _picture(images: "Tensor", trained: "Trained") -> "Image.Image":
    """Images ``[rows, columns, pixels]`` of the model's shape as one picture, with whole factors enlarged."""
    from PIL import Image

    from aae_lib.shapes import mosaic

    shape = trained.header["shape"]
    pixels = (255 * mosaic(images.flatten(0, 1), images.shape[1], shape)).round().byte().numpy()
    factor = max(1, SIDE // max(shape[1:]))
    return Image.fromarray(pixels.repeat(factor, 0).repeat(factor, 1))
