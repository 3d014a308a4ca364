"""Shapes of flat images, and pictures and mosaics of them."""

import pytest
import torch

from aae_lib.errors import AaeError, ShapeError
from aae_lib.shapes import as_pictures, in_words, mosaic, pixels_of, shape_of, unflattened


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 1, 1), (3, 1, 1), (1, 1000, 1000), (3, 577, 577)])
def test_the_number_of_pixels_tells_a_square_shape(shape: tuple[int, int, int]) -> None:
    assert shape_of(pixels_of(shape)) == shape


@pytest.mark.parametrize("pixels", [0, -4, 2, 28 * 27, 3 * 28 * 27, 2 * 28 * 28])
def test_numbers_of_no_square_image_are_refused(pixels: int) -> None:
    with pytest.raises(ShapeError, match=rf"found {pixels}.*shape"):
        shape_of(pixels)
    assert issubclass(ShapeError, AaeError) and issubclass(ShapeError, ValueError)


def test_shapes_in_words() -> None:
    assert in_words((1, 28, 20)) == "28 x 20 gray pixels" and in_words((3, 32, 32)) == "32 x 32 color pixels"
    assert in_words((2, 5, 5)) == "5 x 5 2-channel pixels"


def test_flat_images_take_their_shape() -> None:
    images = torch.rand(4, 3 * 5 * 6)
    assert torch.equal(unflattened(images, (3, 5, 6)), images.reshape(4, 3, 5, 6))
    assert unflattened(torch.rand(4, 75)).shape == (4, 3, 5, 5)
    with pytest.raises(ShapeError, match="5 x 7 color.*105.*found 90"):
        unflattened(images, (3, 5, 7))
    with pytest.raises(ShapeError, match=r"flat.*\[4, 90, 1\]"):
        unflattened(images[..., None], (3, 5, 6))


def test_pictures_are_clipped_and_detached_and_color_comes_last() -> None:
    images = torch.tensor([[-1.0, 0.5] + [2.0] * 782], dtype=torch.float16, requires_grad=True)
    pictures = as_pictures(images)
    assert pictures.shape == (1, 28, 28) and pictures.dtype == torch.float32 and not pictures.requires_grad
    assert pictures[0, 0, :3].tolist() == [0.0, 0.5, 1.0]
    colored = torch.rand(2, 3 * 4 * 5)
    assert torch.equal(as_pictures(colored, (3, 4, 5)), colored.view(2, 3, 4, 5).permute(0, 2, 3, 1))
    with pytest.raises(ShapeError, match="2"):
        as_pictures(torch.rand(1, 50), (2, 5, 5))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 4, 5), (1, 3, 7)])
def test_a_mosaic_is_laid_out_row_by_row(shape: tuple[int, int, int]) -> None:
    images, (channels, height, width) = torch.rand(6, pixels_of(shape)), shape
    picture = mosaic(images, columns=3, shape=shape)
    assert picture.shape == (2 * height, 3 * width) + ((3,) if channels == 3 else ())
    for index, expected in enumerate(as_pictures(images, shape)):
        row, column = divmod(index, 3)
        tile = picture[height * row : height * (row + 1), width * column : width * (column + 1)]
        assert torch.equal(tile, expected)


def test_a_mosaic_refuses_a_broken_row() -> None:
    with pytest.raises(ShapeError, match="rows of 3.*5 images"):
        mosaic(torch.rand(5, 784), columns=3)
