"""The figures: every one can be drawn, and shows what its integers count."""

import re
from dataclasses import replace
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy import stats

from aae_lib.data import Images, load_sample
from aae_lib.experiments import load_evidence
from aae_lib.priors import Categorical, Gaussian, GaussianMixture, LabelAndStyle, SwissRoll
from aae_lib.report import drawing
from aae_lib.report.figures import FIGURES, figure, generators, plane, priors

matplotlib.use("Agg")
ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_stands_in_figures_and_in_its_notebook_which_draws_it(name):
    found = FIGURES[name]
    assert 5 < len(found.title) < 80 and re.match("AAE|AGE|ours", found.paper)
    notebook = (ROOT / "notebooks" / f"{found.notebook}.ipynb").read_text(encoding="utf-8")
    assert f'FIGURES[\\"{name}\\"]' in notebook
    assert (ROOT / "figures" / f"{name}.png").stat().st_size > 10_000


def test_figures_are_registered_with_the_first_line_of_their_docstring(monkeypatch):
    monkeypatch.setattr("aae_lib.report.figures.registry.FIGURES", known := {})

    @figure("mine", paper="ours", notebook="none")
    def mine():
        """What it shows.

        More of it.
        """
        return None, {"gradients": int(torch.is_grad_enabled())}

    assert known["mine"].title == "What it shows" and known["mine"].draw() == (None, {"gradients": 0})


@pytest.mark.parametrize("name, places", [("figure-2", "abcde"), ("figure-4", "abcd")])
def test_panels_stand_where_their_letters_say(name, places):
    """a and b above c and d; the images of Figure 2e at the right of all, as high as two panels."""
    drawn, integers = FIGURES[name].draw()
    assert integers and all(isinstance(value, int) for value in integers.values())
    drawn.canvas.draw()
    assert np.asarray(drawn.canvas.buffer_rgba())[..., :3].std() > 10, "an empty picture"
    boxes = {axes.get_title(loc="left")[0]: axes.get_subplotspec().get_position(drawn) for axes in drawn.axes}
    assert "".join(sorted(boxes)) == places
    a, b, c, d = (boxes[letter] for letter in "abcd")
    assert a.x1 <= b.x0 and c.x1 <= d.x0 and a.y0 >= c.y1 and b.y0 >= d.y1 and a.x0 == c.x0 and b.x0 == d.x0
    if "e" in boxes:
        assert boxes["e"].x0 >= b.x1 and boxes["e"].y0 == pytest.approx(d.y0)
    plt.close(drawn)


def tiles(axes, columns):
    """The images of a mosaic, ``[rows, columns, 784]``."""
    picture = np.asarray(axes.images[0].get_array(), dtype=np.float32)
    return picture.reshape(-1, 28, columns, 28).transpose(0, 2, 1, 3).reshape(-1, columns, 784)


@pytest.mark.parametrize("name", ["figure-5", "generators", "reconstructions"])
def test_digits_at_hand_are_drawn_and_counted_nowhere(name, monkeypatch):
    """Without MNIST those of the sample; whatever they are, the integers are the same."""
    sample, counted = load_sample(), []
    mirrored = replace(sample, train=Images(sample.train.images.flip(1), sample.train.labels),
                       test=Images(sample.test.images.flip(1), sample.test.labels))  # fmt: skip
    for digits in (sample, mirrored):
        monkeypatch.setattr(generators, "load_mnist", lambda digits=digits: digits)
        drawn, integers = FIGURES[name].draw()
        counted.append(integers)
        shown, test = [axes for axes in drawn.axes if axes.images], digits.test.images.numpy()
        if name == "figure-5":
            fitted = digits.train.hold_out()[0].images.numpy()
            for row in tiles(shown[0], 11):
                np.testing.assert_allclose(row[-1], fitted[((fitted - row[-2]) ** 2).sum(1).argmin()], atol=1e-6)
        elif name == "generators":
            assert len(shown) == len(generators.shipped_generators()) + 1
            np.testing.assert_allclose(tiles(shown[-1], 8).reshape(64, 784), test[:64], atol=1e-6)
        else:
            assert len(tiles(shown[0], 16)) == 1 + len(generators.RECONSTRUCTING)
            np.testing.assert_allclose(tiles(shown[0], 16)[0], test[:16], atol=1e-6)
        plt.close(drawn)
    assert counted[0] == counted[1]


# What the integers count


def test_codes_are_counted_in_circles_in_parts_and_by_digit():
    torch.manual_seed(0)
    assert np.allclose(list(plane.count_inside(torch.randn(10_000, 2)).values()), [3935, 8647, 9889], atol=150)
    labels = torch.arange(10).repeat_interleave(torch.arange(10) * 100)  # none of component 0, 900 of component 9
    counts = plane.count_parts(GaussianMixture().sample_of_class(labels).half(), GaussianMixture())
    assert sum(counts.values()) == 4500 and np.allclose(list(counts.values()), 100 * np.arange(10), atol=10)
    evidence = load_evidence("aae-gaussian")
    misplaced = torch.where(evidence.labels == 3, 5, evidence.labels)  # threes among the fives
    codes = SwissRoll().sample_of_class(misplaced).half()
    counts = priors.count_own(replace(evidence, tensors={"codes": codes}), SwissRoll())
    expected = evidence.labels.bincount()
    expected[3] = 0
    assert np.allclose(list(counts.values()), expected, atol=10) and "images of a 1 in part 1, of 1,135" in counts


# Drawing


class Identity(torch.nn.Module):
    """Decodes a code to itself, so that one sees which codes are decoded."""

    def __init__(self, prior):
        super().__init__()
        self.prior, self.weight = prior, torch.nn.Parameter(torch.zeros(1))

    def decode(self, codes):
        return codes


def test_the_manifold_steps_evenly_through_the_percentiles():
    shares = stats.norm.cdf(plane.manifold(9).reshape(9, 9, 2))
    assert np.allclose(shares[0, :, 0], np.arange(1, 10) / 10, atol=1e-4), "z1 grows to the right"
    assert np.allclose(shares[:, 0, 1], np.arange(9, 0, -1) / 10, atol=1e-4), "z2 grows upward"


@pytest.mark.parametrize("component", [0, 3])
def test_a_component_is_decoded_outward_and_across(component):
    codes = priors.component_codes(GaussianMixture(), component, rows=4, columns=9)
    turn = np.exp(-2j * np.pi * component / 10)  # back to the first axis
    turned = turn * (codes[:, 0] + 1j * codes[:, 1]).numpy().reshape(4, 9)
    assert np.allclose(stats.norm.cdf(turned.real, 1.4, 0.5), np.arange(1, 10) / 10, atol=1e-4), "outward"
    assert np.allclose(stats.norm.cdf(turned.imag.T, 0, 0.05), np.arange(1, 5) / 5, atol=1e-4), "across"


def test_styles_are_decoded_a_row_each_with_one_label_a_column():
    styles = torch.randn(3, 4)
    codes = drawing.decoded_styles(Identity(LabelAndStyle(Categorical(10), Gaussian(4))), styles).reshape(3, 10, 14)
    assert torch.equal(codes[..., :10], torch.eye(10).expand(3, 10, 10))
    assert torch.equal(codes[..., 10:], styles[:, None].expand(3, 10, 4))


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 5, 5), (1, 4, 9)])
def test_images_of_any_shape_and_labels_of_any_number_are_drawn(shape):
    images = torch.rand(6, shape[0] * shape[1] * shape[2])
    drawn, axes = plt.subplots()
    drawing.draw_images(axes, images, 3, shape)
    found = np.asarray(axes.images[0].get_array())
    assert found.shape[:2] == (2 * shape[1], 3 * shape[2]) and (found.ndim == 3) == (shape[0] == 3)
    assert np.allclose(found[: shape[1], : shape[2]].T.ravel(), images[0].reshape(shape).transpose(1, 2).ravel())
    drawing.draw_codes(axes, torch.rand(40, 2), torch.arange(40) % 13 - 1)
    assert len({tuple(color) for color in axes.collections[0].get_facecolors()}) == 13, "twelve colors, and gray"
    assert sorted(text.get_text() for text in axes.texts) == sorted(map(str, range(12)))
    drawing.draw_codes(axes, torch.rand(40, 2), torch.arange(40) % 2, ("heart", "moon"))
    assert [text.get_text() for text in axes.texts[-2:]] == ["heart", "moon"]
    plt.close(drawn)


def test_epochs_of_a_history_follow_from_the_batch_size():
    history = [{"step": 600, "generator": 1.0}, {"step": 1200, "generator": 0.5}]
    assert drawing.epochs_of(history) == [1, 2] and drawing.epochs_of(history, 50) == [0.5, 1]
    drawn, axes = plt.subplots()
    drawing.draw_history(axes, history, ["generator"])
    assert axes.lines[0].get_xydata().tolist() == [[1, 1.0], [2, 0.5]]
    plt.close(drawn)
