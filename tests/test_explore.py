"""The explorers: their calls, their controls, and what they must leave alone."""

import base64
import io
import time

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

import aae_lib.explore
from aae_lib.data import MNIST_SHAPE, DataSet, Images, load_sample
from aae_lib.experiments import builders, find
from aae_lib.explore import DENSITY, MARKER, SIDE, STRIP, TILE, TILE_GAP, LatentExplorer, StyleExplorer
from aae_lib.models import AdversarialGeneratorEncoder, GenerativeAdversarialNetwork
from aae_lib.networks import OntoSphere, multilayer_perceptron
from aae_lib.priors import Gaussian, GaussianMixture, Ring, SwissRoll, UniformSphere, UniformSquare
from aae_lib.report.drawing import DIGIT_COLORS, contour_levels, draw_prior


class SmallModel(nn.Module):
    """Linear networks with random weights and codes of about unit size; it counts its decodings."""

    def __init__(self, prior, dimensions=2):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.prior = prior
        self.to_code = nn.Parameter(torch.randn(784, dimensions, generator=generator) / 10)
        self.to_image = nn.Parameter(torch.randn(dimensions, 784, generator=generator))
        self.dropout = nn.Dropout(0.5)
        self.decoded = 0

    def encode(self, images):
        return self.dropout(images - 0.5) @ self.to_code

    def decode(self, codes):
        self.decoded += 1
        return torch.sigmoid(self.dropout(codes) @ self.to_image)


class Disk:
    """A prior that can only be sampled."""

    dimensions = 2

    def sample(self, n, device="cpu"):
        angle, radius = 2 * torch.pi * torch.rand(n), torch.rand(n).sqrt()
        return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


class FlatDisk(Disk):
    """A prior whose density has no slope to draw contours on."""

    def log_prob(self, codes):
        return torch.where(codes.norm(dim=1) <= 1, 0.0, -torch.inf)


@pytest.fixture
def digits():
    generator = torch.Generator().manual_seed(1)
    return Images(torch.rand(60, 784, generator=generator), torch.arange(60) % 10)


@pytest.fixture
def model():
    return SmallModel(Gaussian())


@pytest.fixture
def explorer(model, digits):
    return LatentExplorer(model, digits)


def every(widget, kind):
    """All widgets of this kind below (and including) `widget`, in the order of the page."""
    found = [widget] if isinstance(widget, kind) else []
    return found + [inner for child in getattr(widget, "children", ()) for inner in every(child, kind)]


def sliders(explorer):
    return every(explorer, widgets.FloatSlider)


def walk_controls(explorer):
    """The slider and the play button of the walk."""
    return sliders(explorer)[2], every(explorer, widgets.Play)[0]


def button(explorer, description):
    return next(found for found in every(explorer, widgets.Button) if found.description == description)


def titles(explorer):
    return [label.value for label in every(explorer, widgets.Label)]


def pictures(explorer):
    """What the page shows: the plane, the marker, the decoded image, the original."""
    return [picture.value for picture in every(explorer, widgets.Image)]


def original_is_shown(explorer):
    panels = explorer.children[0].children
    return panels[2].layout.display != "none"


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


# ----------------------------------------------------------------------------------- moving z


def test_z_moves_the_sliders_and_decodes(explorer, model):
    explorer.z = (0.5, -1.0)

    assert explorer.z == (0.5, -1.0)
    assert [slider.value for slider in sliders(explorer)] == [0.5, -1.0]
    assert titles(explorer)[1] == "Decoded from z = (0.50, -1.00)"
    assert explorer.image.shape == (28, 28)
    assert explorer.image.dtype == np.float32
    expected = torch.sigmoid(torch.tensor([0.5, -1.0]) @ model.to_image).detach().numpy()
    assert np.allclose(explorer.image.ravel(), expected, atol=1e-6)
    shown = pixels(pictures(explorer)[2])
    block = shown.shape[0] // 28
    assert np.abs(shown[block // 2 :: block, block // 2 :: block] / 255 - explorer.image).max() <= 0.5 / 255 + 1e-6


def test_a_slider_moves_z_and_the_picture_as_the_call_does(explorer):
    before = pictures(explorer)
    sliders(explorer)[0].value = 0.75
    sliders(explorer)[1].value = 0.25
    assert explorer.z == (0.75, 0.25)
    by_sliders = pictures(explorer)
    explorer.z = (0, 0)
    assert pictures(explorer) == before
    explorer.z = (0.75, 0.25)
    assert pictures(explorer) == by_sliders
    assert by_sliders[2] != before[2]
    assert by_sliders[:2] == before[:2]  # the plane and the marker are sent once


def test_a_move_decodes_once(explorer, model):
    def decodings(act):
        before = model.decoded
        act()
        return model.decoded - before

    assert decodings(lambda: setattr(explorer, "z", (1.0, -1.0))) == 1
    assert decodings(lambda: setattr(sliders(explorer)[0], "value", 0.5)) == 1
    assert decodings(explorer.random) == 1
    assert decodings(lambda: explorer.encode_digit(3)) == 1
    assert decodings(explorer.picture) == 0


def test_a_browser_that_rounds_the_sliders_does_not_move_z(explorer, model):
    explorer.encode_digit(3)
    exact, decoded = explorer.z, model.decoded
    first, second = sliders(explorer)
    for slider in (first, second):
        slider.value = round(slider.value / slider.step) * slider.step
    assert explorer.z == exact != (first.value, second.value)
    assert original_is_shown(explorer)
    assert model.decoded == decoded
    second.value += second.step  # the other slider's coordinate stays exact
    assert explorer.z == (exact[0], second.value)
    assert not original_is_shown(explorer)


def test_the_marker_stands_at_z(explorer):
    marker = every(explorer, widgets.Image)[1]
    limit = sliders(explorer)[0].max
    half = MARKER // 2
    for z, (across, down) in {
        (0, 0): (SIDE // 2, SIDE // 2),
        (limit, limit): (SIDE, 0),
        (-limit, -limit / 2): (0, 3 * SIDE // 4),
    }.items():
        explorer.z = z
        assert marker.layout.margin == f"{down - half}px 0 0 {across - half}px"


@pytest.mark.parametrize("value", [(float("nan"), 0), (0, float("inf")), (0.5,), (1, 2, 3), 1.0, None, "xy", (99, 0)])
def test_a_wrong_z_is_refused_and_nothing_moves(explorer, value):
    explorer.z = (0.5, 0.5)
    with pytest.raises(ValueError, match=r"two numbers|range of the sliders") as error:
        explorer.z = value
    if value == (99, 0):
        assert f"from -{sliders(explorer)[0].max:g} to {sliders(explorer)[0].max:g}" in str(error.value)
    assert explorer.z == (0.5, 0.5)
    assert [slider.value for slider in sliders(explorer)] == [0.5, 0.5]


def test_an_error_of_the_model_is_not_swallowed(explorer, model, caplog):
    model.train()
    model.decode = lambda codes: 1 / 0
    with pytest.raises(ZeroDivisionError):
        explorer.z = (1, 1)
    with pytest.raises(ZeroDivisionError):
        sliders(explorer)[0].value = 1
    button(explorer, "Encode a digit").click()
    assert "ZeroDivisionError" in caplog.text  # what ipywidgets does with the errors of a button
    assert explorer.z == (0, 0)
    assert model.training and model.dropout.training


# ----------------------------------------------------------------------------------- the buttons


def test_encoding_a_digit_shows_it_beside_its_reconstruction(explorer, model, digits):
    assert not original_is_shown(explorer)
    explorer.encode_digit(13)
    model.eval()
    assert np.allclose(explorer.z, model.encode(digits.images[13:14]).detach().numpy()[0], atol=1e-6)
    assert original_is_shown(explorer)
    assert titles(explorer)[2] == "Original: a 3 (image 13)"
    of_three = explorer.picture().width
    explorer.random()  # it is an original of another image now
    assert not original_is_shown(explorer)
    assert explorer.picture().width < 0.7 * of_three


@pytest.mark.parametrize("index", [-1, 60])
def test_a_digit_that_is_not_there_is_refused(explorer, index):
    with pytest.raises(IndexError, match="0 to 59"):
        explorer.encode_digit(index)


def test_the_buttons_do_what_the_calls_do(model, digits):
    pressed, called = LatentExplorer(model, digits), LatentExplorer(model, digits)
    for _ in range(3):
        button(pressed, "Random from the prior").click()
        called.random()
        assert pressed.z == called.z != (0, 0)
    before = pressed.z
    button(pressed, "Encode a digit").click()
    assert original_is_shown(pressed)
    assert pressed.z != before


def test_random_samples_the_prior(explorer):
    moves = []
    for _ in range(300):
        explorer.random()
        moves.append(explorer.z)
    assert np.abs(np.mean(moves, axis=0)).max() < 0.25
    assert np.abs(np.std(moves, axis=0) - 1).max() < 0.15


# ----------------------------------------------------------------------------------- the walk


@pytest.fixture
def walker(digits):
    return LatentExplorer(SmallModel(GaussianMixture()), digits)


@pytest.mark.parametrize("prior", [GaussianMixture(), Ring(), SwissRoll()], ids=lambda prior: type(prior).__name__)
@pytest.mark.parametrize("share", [0, 0.123456, 0.25, 1])
def test_a_walk_moves_z_along_the_path_of_the_prior(prior, share, digits):
    explorer, other = (LatentExplorer(SmallModel(prior), digits) for _ in range(2))
    before = explorer.image
    explorer.walk(share)

    expected = prior.walk(torch.tensor([float(share)]))[0].tolist()
    assert explorer.z == pytest.approx(expected, abs=1e-6)
    assert [slider.value for slider in sliders(explorer)] == [*explorer.z, share]
    assert walk_controls(explorer)[1].value == round(100 * share)
    other.z = expected
    assert pictures(explorer) == pictures(other)
    margins = [every(each, widgets.Image)[1].layout.margin for each in (explorer, other)]
    assert margins[0] == margins[1]
    assert (explorer.image != before).any() or np.hypot(*expected) == 0  # where the roll starts, z was before


def test_the_walk_slider_and_the_play_button_do_what_the_call_does(walker, digits):
    slider, player = walk_controls(walker)
    called = LatentExplorer(SmallModel(GaussianMixture()), digits)
    for share, act in {
        0.3: lambda: setattr(slider, "value", 0.3),
        0.31: lambda: setattr(player, "value", 31),
        1.0: lambda: setattr(player, "value", 100),
        0.0: lambda: setattr(player, "value", 0),  # the button that stops it
    }.items():
        decoded = walker._model.decoded
        act()
        assert walker._model.decoded == decoded + 1
        called.walk(share)
        assert walker.z == called.z
        assert pictures(walker) == pictures(called)
        assert (slider.value, player.value) == (share, round(100 * share))


def test_a_walk_goes_on_where_it_was_left_and_does_not_move_z_back(walker):
    slider, player = walk_controls(walker)
    walker.walk(0.503)
    walker.z = (0.5, 0.5)
    slider.value = 0.5  # a browser that rounds it
    walker.encode_digit(3)
    encoded = walker.z
    assert slider.value == 0.5 and player.value == 50
    assert walker.z == encoded and original_is_shown(walker)
    player.value += 1
    assert not original_is_shown(walker)
    on_path = walker.z
    walker.walk(0.51)
    assert walker.z == on_path != encoded


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_share_outside_of_the_path_is_refused_and_nothing_moves(walker, share):
    walker.walk(0.2)
    z = walker.z
    with pytest.raises(ValueError, match=f"share {share}: .* from 0, its start, to 1"):
        walker.walk(share)
    assert walker.z == z
    assert walk_controls(walker)[0].value == 0.2


def test_an_error_of_the_model_stops_a_walk_where_it_is(walker):
    walker.walk(0.2)
    z = walker.z
    walker._model.decode = lambda codes: 1 / 0
    with pytest.raises(ZeroDivisionError):
        walker.walk(0.3)
    assert walker.z == z
    assert walk_controls(walker)[0].value == 0.2


@pytest.mark.parametrize("prior", [Gaussian(), UniformSquare(), Disk(), None])
def test_a_prior_without_a_path_has_no_row_for_it(prior, digits):
    explorer = LatentExplorer(SmallModel(prior), digits)
    assert not every(explorer, widgets.Play)
    assert len(sliders(explorer)) == len(explorer.children) == 2
    with pytest.raises(ValueError, match="no path"):
        explorer.walk(0.5)


def test_a_walk_of_a_users_prior_stays_in_the_plane(digits):
    class Line(Disk):
        def walk(self, shares):
            return torch.stack([20 * shares, -30 * shares], 1)

    explorer = LatentExplorer(SmallModel(Line()), digits)
    explorer.walk(1)
    assert explorer.z == (20, -30)


# ----------------------------------------------------------------------------------- the plane


def test_contours_hold_the_shares_of_the_prior_that_the_title_names(explorer):
    # A share m of a standard Gaussian in the plane lies where its density is above (1 - m) / (2 pi).
    expected = np.log(np.array([0.01, 0.1, 0.5]) / (2 * np.pi))
    assert np.abs(contour_levels(Gaussian()) - expected).max() < 0.15
    assert titles(explorer)[0] == "Latent plane; 50, 90, 99 % of the prior"


@pytest.mark.parametrize(("prior", "reach"), [(Disk(), 1), (FlatDisk(), 1), (SwissRoll(), 3), (UniformSquare(), 2)])
def test_a_prior_without_contours_is_shown_by_its_samples(prior, reach, digits):
    explorer = LatentExplorer(SmallModel(prior), digits)
    assert titles(explorer)[0] == "Latent plane"
    plane = pixels(pictures(explorer)[0])[..., :3]
    assert (plane == 0xD0).all(axis=2).any()  # gray dots
    for _ in range(20):
        explorer.random()
        assert np.abs(explorer.z).max() <= reach


@pytest.mark.parametrize("limit", [3, 6])
def test_the_contours_of_narrow_petals_are_alike_and_smooth(limit):
    axes = Figure().add_subplot()
    draw_prior(axes, GaussianMixture(), limit)
    inner = axes.collections[0].get_paths()[2].to_polygons()  # within it lies half of the prior
    assert len(inner) == 10
    lengths = [np.ptp(np.hypot(*polygon.T)) for polygon in inner]
    assert max(lengths) / min(lengths) < 1.05


def test_a_model_without_prior(digits):
    explorer = LatentExplorer(SmallModel(None), digits)
    explorer.z = (0.1, 0.1)
    explorer.encode_digit(0)
    assert button(explorer, "Random from the prior").disabled
    with pytest.raises(ValueError, match="no prior"):
        explorer.random()


def test_the_sliders_reach_every_code_and_sample(digits):
    for scale in (0.01, 1, 40):
        model = SmallModel(Gaussian(standard_deviation=scale))
        model.to_code.data *= scale
        explorer = LatentExplorer(model, digits)
        for index in range(len(digits)):
            explorer.encode_digit(index)
        for slider in sliders(explorer):
            assert slider.min == -slider.max
            assert 40 <= slider.max / slider.step <= 220  # keys reach the edge, and a step is small enough to see
            if scale == 1:
                assert slider.step == 0.05


def test_the_plane_shows_codes_in_their_digits_colors(explorer, model, digits):
    plane = pixels(pictures(explorer)[0])[..., :3].reshape(-1, 3)
    for color in DIGIT_COLORS:
        mixed = 0.8 * np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) + 0.2 * 255  # on white
        assert (np.abs(plane - mixed).max(axis=1) <= 2).any(), color


def test_the_first_2000_digits_are_used_and_mnist_by_default(model, monkeypatch):
    test = Images(torch.rand(2_100, 784), torch.arange(2_100) % 10)
    digits = DataSet(test, test, source="", sha256="", name="MNIST", shape=MNIST_SHAPE, classes=10)
    monkeypatch.setattr(aae_lib.explore, "load_mnist", lambda: digits)
    explorer = LatentExplorer(model)
    explorer.encode_digit(1_999)
    with pytest.raises(IndexError, match="0 to 1999"):
        explorer.encode_digit(2_000)


class Cube:
    """A prior of more dimensions that is not the same in all directions."""

    dimensions = 8

    def sample(self, n, device="cpu"):
        return torch.rand(n, 8)


@pytest.mark.parametrize("prior", [Cube(), None])
def test_long_codes_of_another_prior_are_refused(prior, digits):
    with pytest.raises(ValueError, match=r"8 dimensions.*2-D.*a Gaussian or a sphere"):
        LatentExplorer(SmallModel(prior, dimensions=8), digits)


@pytest.mark.parametrize("dimensions", [1, 2, 4])
def test_codes_that_do_not_fit_their_prior_are_refused(dimensions, digits):
    with pytest.raises(ValueError, match=f"codes have {dimensions} dimension"):
        LatentExplorer(SmallModel(Gaussian(3), dimensions=dimensions), digits)


def test_damaged_models_and_empty_digits_are_refused(model, digits):
    with pytest.raises(ValueError, match="no digits"):
        LatentExplorer(model, digits[:0])
    with pytest.raises(ValueError, match="gray images of 28 x 28, not 3072 numbers"):
        LatentExplorer(model, Images(torch.rand(5, 3072), torch.arange(5)))
    model.to_code.data[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        LatentExplorer(model, digits)


# ----------------------------------------------------------------------------------- what is left alone


def test_random_state_modes_and_pyplot_are_left_alone(model, digits):
    model.train()
    model.dropout.eval()  # the modules' modes may differ
    plt.style.use("dark_background")
    try:
        torch.manual_seed(7)
        np.random.seed(7)
        state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
        explorer = LatentExplorer(model, digits)
        explorer.random()
        explorer.encode_digit(5)
        explorer.picture()
        assert torch.equal(torch.get_rng_state(), state)
        assert (np.random.get_state()[1] == numpy_state).all()
        assert model.training and not model.dropout.training
        assert not plt.get_fignums()
        assert pictures(explorer)[0] == pictures(LatentExplorer(model, digits))[0]
    finally:
        plt.style.use("default")
    assert pictures(explorer)[0] == pictures(LatentExplorer(model, digits))[0]  # white in a dark style too
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_model_is_evaluated_without_noise(model, digits):
    model.train()
    explorer = LatentExplorer(model, digits)
    explorer.z = (1, 1)
    first = explorer.image
    explorer.z = (1, 1)
    assert (explorer.image == first).all()


# ----------------------------------------------------------------------------------- viewers


def test_a_viewer_without_kernel_gets_a_picture(explorer):
    explorer.z = (0.5, -0.001)
    data, metadata = DisplayFormatter().format(explorer)
    assert data["text/plain"] == "LatentExplorer(2-D, z = (0.50, 0.00))"
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.model_id
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert metadata["image/png"] == {"width": picture.width // 2, "height": picture.height // 2}
    assert picture.width > 2 * picture.height * 0.9
    assert repr(explorer) == data["text/plain"]


def test_pictures_are_pushed_to_traits_alone(explorer):
    """What is printed to an Output widget leaks into a notebook's cell when nbval runs it."""
    assert not every(explorer, widgets.Output)


def test_pictures_have_names_for_screen_readers(explorer):
    assert all(picture.tooltip for picture in every(explorer, widgets.Image))


# ----------------------------------------------------------------------------------- speed


SECONDS_OF_A_PRODUCT = 4e-4  # of ten rows of 1,000 numbers with 1,000 x 1,000 others, on one core of an AMD EPYC


def seconds_of_a_move(explorer):
    """The median of sixty moves; on a slower core proportionally less, down to a quarter."""
    slider, rows, matrix = sliders(explorer)[0], torch.randn(10, 1000), torch.randn(1000, 1000)
    positions = np.linspace(slider.min, slider.max, 60)
    assert positions[1] - positions[0] > slider.step, "each of them has to be a move"

    def seconds_of(action, *arguments):
        start = time.thread_time()  # the processor's time: other programs do not count, unless they share the core
        action(*arguments)
        return time.thread_time() - start

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        durations = [
            (seconds_of(setattr, slider, "value", position), seconds_of(torch.mm, rows, matrix))
            for position in positions
        ]
    finally:
        torch.set_num_threads(threads)
    move, product = np.median(durations, axis=0)
    return move / min(max(1, product / SECONDS_OF_A_PRODUCT), 4)


def test_a_move_takes_at_most_5_milliseconds(digits):
    model = SmallModel(Gaussian())
    decoder = nn.Sequential(
        nn.Linear(2, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 784), nn.Sigmoid()
    )
    model.decoder, model.decode = decoder, decoder
    explorer = LatentExplorer(model, digits)
    assert seconds_of_a_move(explorer) <= 0.005


# ----------------------------------------------------------------------------------- labels and styles


def with_large_weights(model):
    """The model with weights that make images differ from label to label and styles of about unit size."""
    generator = torch.Generator().manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator) / layer.in_features**0.5
    model.decodings = 0
    decode = model.decode

    def counted(codes):
        model.decodings += 1
        return decode(codes)

    model.decode = counted
    return model


def built(build, prior, classes=10, hidden=(20,)):
    return with_large_weights(build(MNIST_SHAPE, classes, prior, hidden=hidden))


def supervised(style_dimensions, hidden=(20,)):
    return built(builders.supervised, Gaussian(style_dimensions), hidden=hidden)


MODELS = {
    "2-D": lambda: supervised(2),
    "5-D": lambda: supervised(5),
    "semi-supervised": lambda: built(builders.semi_supervised, Gaussian(4)),
    "M2": lambda: built(builders.m2, Gaussian(4)),
}


@pytest.fixture(scope="module")
def real_digits():
    return load_sample().test[:60]


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def style_explorer(request, real_digits):
    return StyleExplorer(request.param(), real_digits)


@pytest.fixture
def of_five(real_digits):
    """An explorer of which three directions of the style do not lie in the plane."""
    return StyleExplorer(supervised(5), real_digits)


def dropdown(explorer):
    return every(explorer, widgets.Dropdown)[0]


def strip(explorer):
    """The picture of all labels: [height, width, 4]."""
    return pixels(pictures(explorer)[4])


@torch.no_grad()
def decoded_by(explorer, label, style):
    """What the decoder's layers make of one label, one-hot, and a style, without the model's own code for that."""
    code = torch.zeros(1, explorer._model.prior.classes)
    code[0, label] = 1
    hidden, _, to_image = explorer._model.decoder
    linear = hidden(torch.cat([code, torch.as_tensor(style)[None]], 1)).relu() @ to_image.weight.T + to_image.bias
    return (1 / (1 + (-linear).exp())).reshape(28, 28).numpy()


def test_a_label_and_a_style_decode_to_the_image(style_explorer):
    assert (style_explorer.label, style_explorer.z) == (0, (0, 0))
    assert (style_explorer.style == 0).all()
    style_explorer.label = 3
    style_explorer.z = (0.5, -1.0)
    assert (style_explorer.label, style_explorer.z, dropdown(style_explorer).value) == (3, (0.5, -1.0), 3)
    assert titles(style_explorer)[1] == "Decoded: label 3, z = (0.50, -1.00)"
    assert style_explorer.style.shape == (style_explorer._model.prior.style.dimensions,)
    assert np.linalg.norm(style_explorer.style) == pytest.approx(np.hypot(0.5, 1))
    assert style_explorer.image.shape == (28, 28) and style_explorer.image.dtype == np.float32
    assert np.allclose(style_explorer.image, decoded_by(style_explorer, 3, style_explorer.style), atol=1e-6)


def test_the_plane_of_a_2d_style_is_the_style_itself(real_digits):
    explorer = StyleExplorer(supervised(2), real_digits)
    explorer.z = (0.25, -0.75)
    assert explorer.style.tolist() == [0.25, -0.75]
    assert titles(explorer)[0] == "Styles; 50, 90, 99 % of the prior"


def test_the_strip_shows_every_label_in_the_style_and_frames_the_chosen_one(style_explorer):
    style_explorer.z = (-0.5, 0.25)
    style_explorer.label = 6
    shown, side = strip(style_explorer), DENSITY * TILE
    assert shown.shape == (side, DENSITY * STRIP, 4)
    for label in range(10):
        left = DENSITY * (TILE + TILE_GAP) * label
        tile = shown[:, left : left + side]
        block = side // 28
        middle = slice(3 * block + block // 2, -3 * block, block)  # inside of the frame
        expected = decoded_by(style_explorer, label, style_explorer.style)[3:-3, 3:-3]
        assert np.abs(tile[middle, middle, 0] / 255 - expected).max() <= 0.5 / 255 + 1e-6
        edge = np.concatenate([tile[0], tile[-1], tile[:, 0], tile[:, -1]])
        assert (edge == (0xFF, 0xA9, 0x0E, 255)).all() == (label == 6)
        assert (shown[:, left + side : left + DENSITY * (TILE + TILE_GAP), 3] == 0).all()


def test_the_strip_has_ten_labels_in_a_row(real_digits):
    explorer = StyleExplorer(built(builders.semi_supervised, Gaussian(3), classes=16), real_digits)
    explorer.label = 15
    assert dropdown(explorer).options == tuple(range(16))
    assert titles(explorer)[3] == "All 16 labels in this style"
    assert strip(explorer).shape == (DENSITY * (2 * TILE + TILE_GAP), DENSITY * STRIP, 4)
    below = slice(DENSITY * (TILE + TILE_GAP), None)
    assert (strip(explorer)[below, 5 * DENSITY * (TILE + TILE_GAP)] == (0xFF, 0xA9, 0x0E, 255)).all()
    assert (strip(explorer)[below, 6 * DENSITY * (TILE + TILE_GAP) :, 3] == 0).all()


def test_the_dropdown_and_the_sliders_do_what_the_calls_do(style_explorer):
    before = pictures(style_explorer)
    dropdown(style_explorer).value = 4
    by_dropdown = pictures(style_explorer)
    sliders(style_explorer)[0].value = 0.75
    by_slider = pictures(style_explorer)
    for shown, previous in ((by_dropdown, before), (by_slider, by_dropdown)):
        assert shown[:2] == previous[:2]  # the plane and the marker are sent once
        assert shown[2] != previous[2] and shown[4] != previous[4]
    assert (style_explorer.label, style_explorer.z) == (4, (0.75, 0))
    style_explorer.z = (0, 0)
    assert pictures(style_explorer) == by_dropdown
    style_explorer.label = 0
    assert pictures(style_explorer) == before


def test_a_move_of_style_or_label_decodes_once(of_five):
    def decodings(act):
        before = of_five._model.decodings
        act()
        return of_five._model.decodings - before

    assert decodings(lambda: setattr(of_five, "z", (1.0, -1.0))) == 1
    assert decodings(lambda: setattr(of_five, "label", 2)) == 1
    assert decodings(lambda: setattr(dropdown(of_five), "value", 3)) == 1
    assert decodings(lambda: setattr(sliders(of_five)[0], "value", 0.5)) == 1
    assert decodings(of_five.random) == 1
    assert decodings(lambda: of_five.encode_digit(3)) == 1
    assert decodings(of_five.picture) == 0


@pytest.mark.parametrize("name", MODELS)
def test_an_encoded_digit_brings_its_style_and_its_most_probable_label(name, real_digits):
    model = MODELS[name]().eval()
    explorer = StyleExplorer(model, real_digits)
    torch.manual_seed(0)
    codes = model.code_of(real_digits).detach()
    labels = []
    for index in range(len(real_digits)):  # the plane reaches to all of them
        explorer.encode_digit(index)
        assert explorer.style == pytest.approx(codes[index, 10:].numpy(), abs=1e-5)
        assert explorer.label == dropdown(explorer).value == codes[index, :10].argmax()
        assert np.allclose(explorer.image, decoded_by(explorer, explorer.label, codes[index, 10:]), atol=1e-5)
        labels.append(explorer.label)
    assert len(set(labels)) > 1
    assert original_is_shown(explorer)
    assert titles(explorer)[2] == f"Original: a {int(real_digits.labels[59])} (image 59)"


def test_the_handwriting_of_a_digit_stays_while_the_label_changes(of_five):
    of_five.encode_digit(7)
    style, z, image = of_five.style, of_five.z, of_five.image
    dropdown(of_five).value = (of_five.label + 1) % 10
    assert (of_five.style == style).all() and of_five.z == z
    assert (of_five.image != image).any()
    assert original_is_shown(of_five)

    # A slider moves along its own direction of the plane, and all else of the style stays.
    sliders(of_five)[0].value += 10 * sliders(of_five)[0].step
    first = of_five.style - style
    assert np.linalg.norm(first) == pytest.approx(of_five.z[0] - z[0], abs=1e-5)
    assert not original_is_shown(of_five)
    label = of_five.label
    of_five.z = (0, 0)
    assert (of_five.style @ first) == pytest.approx(0, abs=1e-5)
    assert np.linalg.norm(of_five.style) == pytest.approx(np.sqrt(np.sum(style**2) - np.hypot(*z) ** 2), abs=1e-5)
    assert np.linalg.norm(of_five.style) > 0.1
    assert of_five.label == label


def test_a_random_style_is_a_sample_of_the_prior_in_all_its_dimensions(real_digits):
    model = supervised(5)
    model.prior.style.standard_deviation = 2.0
    explorer = StyleExplorer(model, real_digits)
    explorer.label = 8
    styles, places = [], []
    for _ in range(200):
        button(explorer, "Random style").click()
        styles.append(explorer.style)
        places.append(np.hypot(*explorer.z))
    assert explorer.label == 8
    assert np.abs(np.mean(styles, axis=0)).max() < 0.5
    assert np.abs(np.std(styles, axis=0) - 2).max() < 0.3
    # A share m of the projections lies inside the radius 2 sqrt(-2 log(1 - m)).
    for share in (0.5, 0.9):
        assert np.mean(places < 2 * np.sqrt(-2 * np.log(1 - share))) == pytest.approx(share, abs=0.08)


def test_contours_of_a_long_style_are_circles_at_their_radii(real_digits):
    model = supervised(5)
    model.prior.style.standard_deviation = 2.0
    explorer = StyleExplorer(model, real_digits)
    assert titles(explorer)[0] == "2 of 5 directions; 50, 90, 99 % of the prior"
    plane = pixels(pictures(explorer)[0])[..., :3].astype(int)
    center, scale = len(plane) / 2, len(plane) / 2 / sliders(explorer)[0].max
    angles = np.linspace(0, 2 * np.pi, 720)

    def gray(radius):
        """The share of a circle's points where the line of a contour is within two pixels."""
        radii = radius * scale + np.arange(-2, 3)[:, None]
        colors = plane[(center - radii * np.sin(angles)).astype(int), (center + radii * np.cos(angles)).astype(int)]
        return ((np.ptp(colors, axis=2) < 4) & (colors.max(axis=2) < 0xC0)).any(axis=0).mean()

    for share in (0.5, 0.9, 0.99):
        radius = 2 * np.sqrt(-2 * np.log(1 - share))
        assert gray(radius) > 0.8
        assert gray(0.93 * radius) < 0.2


def test_the_plane_shows_the_directions_in_which_images_change_most(real_digits):
    model = supervised(5).eval()
    model.decoder[0].weight.data[:, 10:] *= torch.tensor([0.3, 2.0, 0.5, 1.5, 0.2])
    explorer, again = (StyleExplorer(model, real_digits) for _ in range(2))

    def direction(explorer, z):
        explorer.z = z
        return explorer.style.astype(float)

    plane = np.stack([direction(explorer, z) for z in ((1, 0), (0, 1))])
    assert plane @ plane.T == pytest.approx(np.eye(2), abs=1e-5)
    assert all(row[np.abs(row).argmax()] > 0 for row in plane)
    assert (np.stack([direction(again, z) for z in ((1, 0), (0, 1))]) == plane).all()

    # Differences of images at other samples of the prior, instead of derivatives at those that the explorer takes.
    generator = torch.Generator().manual_seed(7)
    labels = torch.eye(10)[torch.randint(10, (3000,), generator=generator)]
    styles, step = torch.randn(3000, 5, generator=generator), 0.01
    with torch.no_grad():
        after, before = (
            [model.decode(torch.cat([labels, styles + sign * step * axis], 1)) for axis in torch.eye(5)]
            for sign in (1, -1)
        )
    jacobian = torch.stack([(high - low) / (2 * step) for high, low in zip(after, before, strict=True)], 2).numpy()
    products = np.einsum("npk,npl->kl", jacobian, jacobian) / len(jacobian)
    most = np.linalg.eigvalsh(products)[::-1]
    assert most[0] > 1.2 * most[1] > 1.4 * most[2]  # there is something to find
    along = np.diag(plane @ products @ plane.T)
    assert along == pytest.approx(most[:2], rel=0.02)


def test_the_key_names_the_digits_in_their_colors(of_five):
    upper = pixels(pictures(of_five)[0])[: DENSITY * SIDE // 10, :, :3]
    for digit, color in enumerate(DIGIT_COLORS):
        column = upper[:, round(DENSITY * SIDE * digit / 10) : round(DENSITY * SIDE * (digit + 1) / 10)]
        assert (column.reshape(-1, 3) == [int(color[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=1).any(), digit


@pytest.mark.parametrize("value", [-1, 10, 3.5, None, "3"])
def test_a_label_that_is_not_there_is_refused_and_nothing_changes(of_five, value):
    of_five.label = 2
    with pytest.raises(ValueError, match="labels 0 to 9"):
        of_five.label = value
    assert of_five.label == dropdown(of_five).value == 2


@pytest.mark.parametrize("label", [np.int64(7), torch.tensor(7)])
def test_a_label_may_be_any_integer(of_five, label):
    of_five.label = label
    assert of_five.label == 7 and type(of_five.label) is int


def test_an_explorer_names_the_one_for_the_other_models(model, digits):
    with pytest.raises(ValueError, match="LatentExplorer"):
        StyleExplorer(model, digits)
    with pytest.raises(ValueError, match="LatentExplorer"):
        StyleExplorer(SmallModel(None), digits)
    with pytest.raises(ValueError, match="StyleExplorer"):
        LatentExplorer(supervised(2), digits)


@pytest.mark.parametrize("style", [Gaussian(1), UniformSphere(3)])
def test_a_style_without_a_plane_is_refused(style, digits):
    model = supervised(style.dimensions)
    model.prior.style = style
    with pytest.raises(ValueError, match=type(style).__name__):
        StyleExplorer(model, digits)


def test_styles_that_are_not_finite_are_refused(digits):
    model = supervised(2)
    model.encoder[0].weight.data[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        StyleExplorer(model, digits)


def test_an_error_of_the_decoder_leaves_style_and_label_as_they_were(of_five):
    of_five.random()
    z, style, shown = of_five.z, of_five.style, pictures(of_five)
    of_five._model.decode = lambda codes: 1 / 0
    for act in (lambda: setattr(of_five, "label", 4), lambda: of_five.encode_digit(1), of_five.random):
        with pytest.raises(ZeroDivisionError):
            act()
        assert (of_five.label, of_five.z, pictures(of_five)) == (0, z, shown)
        assert (of_five.style == style).all()


def test_a_browser_that_rounds_the_sliders_does_not_move_a_style(of_five):
    of_five.encode_digit(3)
    style, decodings = of_five.style, of_five._model.decodings
    for slider in sliders(of_five):
        slider.value = round(slider.value / slider.step) * slider.step
    assert (of_five.style == style).all()
    assert original_is_shown(of_five)
    assert of_five._model.decodings == decodings


def test_the_random_state_and_the_model_are_left_alone_by_styles_too(style_explorer, real_digits):
    model = style_explorer._model.train()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    again = StyleExplorer(model, real_digits)
    for explorer in (style_explorer, again):
        explorer.random()
        explorer.encode_digit(5)
        explorer.label = 1
        explorer.picture()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert pictures(again) == pictures(style_explorer)


def test_a_viewer_without_kernel_gets_the_strip_as_well(of_five):
    of_five.label = 3
    of_five.z = (0.5, -0.001)
    data, metadata = DisplayFormatter().format(of_five)
    assert data["text/plain"] == repr(of_five) == "StyleExplorer(5-D style, label 3, z = (0.50, 0.00))"
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert metadata["image/png"] == {"width": picture.width // DENSITY, "height": picture.height // DENSITY}
    assert picture.width == DENSITY * STRIP
    shown = np.asarray(Image.fromarray(strip(of_five)).convert("RGB"))
    assert (np.asarray(picture)[-DENSITY * TILE :] == shown).all()
    of_five.encode_digit(0)
    assert of_five.picture().width > 1.4 * picture.width
    assert all(found.tooltip for found in every(of_five, widgets.Image))
    assert not every(of_five, widgets.Output)


def test_a_move_of_all_labels_takes_at_most_10_milliseconds(real_digits):
    explorer = StyleExplorer(supervised(10, hidden=(1000, 1000)), real_digits)
    assert seconds_of_a_move(explorer) <= 0.010


# ----------------------------------------------------------------------------------- codes of more than two dimensions


def long_aae(dimensions=10, hidden=(20,)):
    """With the deviation 5 of the likelihood experiment."""
    return built(builders.adversarial, Gaussian(dimensions, 5.0), hidden=hidden)


def age(dimensions=6):
    encoder = nn.Sequential(multilayer_perceptron(784, dimensions, (20,)), OntoSphere())
    return with_large_weights(
        AdversarialGeneratorEncoder(
            UniformSphere(dimensions), encoder, multilayer_perceptron(dimensions, 784, (20, 20))
        )
    )


def gan(prior):
    decoder, discriminator = multilayer_perceptron(prior.dimensions, 784, (20,)), multilayer_perceptron(784, 1, (20,))
    return with_large_weights(GenerativeAdversarialNetwork(prior, decoder, discriminator))


@pytest.fixture
def of_ten(real_digits):
    return LatentExplorer(long_aae(), real_digits)


@pytest.fixture
def on_sphere(real_digits):
    return LatentExplorer(age(), real_digits)


@pytest.fixture(params=[long_aae, age], ids=["AAE", "AGE"])
def long_explorer(request, real_digits):
    return LatentExplorer(request.param(), real_digits)


def other_sliders(explorer):
    """The sliders of the directions outside of the plane, which have a block of their own."""
    return every(every(explorer, widgets.Accordion)[0], widgets.FloatSlider)


def long_walk(explorer):
    """The slider, the play button and the button that sets out."""
    return *walk_controls(explorer), next(b for b in every(explorer, widgets.Button) if "Walk to" in b.description)


@torch.no_grad()
def code_and_image(explorer, index):
    model = explorer._model.eval()
    code = model.encode(explorer._digits.images[index : index + 1])
    return code[0].numpy(), model.decode(code).reshape(28, 28).numpy()


def angle(a, b):
    a, b = (np.asarray(code, float) for code in (a, b))
    return np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b)) * 2


def test_the_code_of_an_encoded_digit_is_that_of_the_encoder(long_explorer):
    for index in (0, 13, 59):
        long_explorer.encode_digit(index)
        code, image = code_and_image(long_explorer, index)
        assert long_explorer.code == pytest.approx(code, abs=1e-5)
        assert long_explorer.code.dtype == np.float32
        assert np.allclose(long_explorer.image, image, atol=1e-5)
        assert original_is_shown(long_explorer)
        coordinates = [*long_explorer.z, *long_explorer.others]
        assert [slider.value for slider in [*sliders(long_explorer)[:2], *other_sliders(long_explorer)]] == coordinates
        assert np.linalg.norm(coordinates) == pytest.approx(np.linalg.norm(code), abs=1e-5)


def test_every_direction_outside_of_the_plane_has_a_slider_in_a_closed_block(of_ten, real_digits):
    (block,) = every(of_ten, widgets.Accordion)
    assert block.titles == ("8 more directions",) and block.selected_index is None
    assert [slider.description for slider in other_sliders(of_ten)] == ["z₃", "z₄", "z₅", "z₆", "z₇", "z₈", "z₉", "z₁₀"]
    assert every(LatentExplorer(age(3), real_digits), widgets.Accordion)[0].titles == ("1 more direction",)
    assert titles(of_ten)[0] == "2 of 10 directions; 50, 90, 99 % of the prior"
    assert repr(of_ten) == "LatentExplorer(10-D, z = (0.00, 0.00))"


def test_the_directions_are_orthonormal_and_ordered_by_how_much_they_change_the_image(of_ten):
    model = of_ten._model
    model.decoder[0].weight.data *= torch.linspace(0.2, 1, 10)[torch.randperm(10)]
    explorer = LatentExplorer(model, of_ten._digits)
    directions = []
    for number in range(10):
        explorer.z, explorer.others = np.eye(10)[number, :2], np.eye(10)[number, 2:]
        directions.append(explorer.code.astype(float))
    assert np.array(directions) @ np.array(directions).T == pytest.approx(np.eye(10), abs=1e-5)

    codes = 5 * torch.randn(2000, 10, generator=torch.Generator().manual_seed(7))  # not those that the explorer takes
    with torch.no_grad():
        changes = [
            float((model.decode(codes + 0.01 * step) - model.decode(codes - 0.01 * step)).square().mean())
            for step in torch.tensor(np.array(directions)).float()
        ]
    assert all(before > 0.9 * after for before, after in zip(changes[:-1], changes[1:], strict=True))
    assert changes[0] > 2 * changes[-1]


def test_another_slider_moves_its_coordinate_alone(of_ten):
    of_ten.encode_digit(7)
    code, z, others, shown = of_ten.code, of_ten.z, of_ten.others, pictures(of_ten)
    slider = other_sliders(of_ten)[4]
    slider.value = others[4] + 10 * slider.step
    assert of_ten.z == z
    assert of_ten.others == (*others[:4], slider.value, *others[5:])
    assert np.linalg.norm(of_ten.code - code) == pytest.approx(10 * slider.step, abs=1e-4)
    assert pictures(of_ten)[:2] == shown[:2] and pictures(of_ten)[2] != shown[2]
    assert not original_is_shown(of_ten)
    of_ten.others = others
    assert pictures(of_ten) == shown
    of_ten.z = (0, 0)
    assert of_ten.others == others


def test_a_long_code_can_be_set(long_explorer):
    long_explorer.encode_digit(7)
    code, z, others = long_explorer.code, long_explorer.z, long_explorer.others
    for kind in (list, torch.tensor, np.asarray):
        long_explorer.random()
        long_explorer.code = kind(code)
        assert long_explorer.code == pytest.approx(code, abs=1e-6)
        assert long_explorer.z == pytest.approx(z, abs=1e-5)
        assert long_explorer.others == pytest.approx(others, abs=1e-5)


def test_a_random_code_is_a_sample_of_the_prior_in_all_its_dimensions(of_ten):
    codes = []
    for _ in range(200):
        button(of_ten, "Random from the prior").click()
        codes.append(of_ten.code)
    assert np.abs(np.mean(codes, axis=0)).max() < 1.3
    assert np.abs(np.std(codes, axis=0) - 5).max() < 0.9


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("others", [0] * 7, "others must be 8 numbers"),
        ("others", 0.5, "others must be 8 numbers"),
        ("others", [0] * 7 + [1e3], r"z₁₀ = 1000.0, but it must be from -\d+ to \d+, the range of the sliders"),
        ("others", [float("nan")] + [0] * 7, "z₃ = nan, but it must be"),
        ("code", [0] * 8, "a code must be 10 numbers"),
        ("code", None, "a code must be 10 numbers"),
        ("code", [float("nan")] * 10, "must be from"),
        ("code", [1e3] * 10, "range of the sliders"),
        ("z", (1e3, 0), "z₁ = 1000.0, but it must be"),
    ],
)
def test_wrong_coordinates_are_refused_and_nothing_moves(of_ten, name, value, message):
    of_ten.random()
    code, shown = of_ten.code, pictures(of_ten)
    with pytest.raises(ValueError, match=message):
        setattr(of_ten, name, value)
    assert (of_ten.code == code).all() and pictures(of_ten) == shown


def test_a_move_of_a_long_code_decodes_once(long_explorer):
    def decodings(act):
        before = long_explorer._model.decodings
        act()
        return long_explorer._model.decodings - before

    assert decodings(lambda: setattr(sliders(long_explorer)[0], "value", 0.5)) == 1
    assert decodings(lambda: setattr(other_sliders(long_explorer)[1], "value", 0.5)) == 1
    assert decodings(lambda: setattr(long_explorer, "others", [0.1] * len(long_explorer.others))) == 1
    assert decodings(long_explorer.random) == 1
    assert decodings(lambda: long_explorer.encode_digit(3)) == 1
    assert decodings(lambda: long_explorer.walk_to(4)) == 0
    assert decodings(lambda: long_explorer.walk(0.5)) == 1


def test_a_browser_that_rounds_the_sliders_does_not_move_a_long_code(long_explorer):
    long_explorer.encode_digit(3)
    long_explorer.walk_to(4)
    code, decodings = long_explorer.code, long_explorer._model.decodings
    for slider in sliders(long_explorer):
        slider.value = round(slider.value / slider.step) * slider.step
    assert (long_explorer.code == code).all()
    assert original_is_shown(long_explorer)
    assert long_explorer._model.decodings == decodings


def test_a_walk_between_two_digits_shows_them_at_its_ends(long_explorer):
    long_explorer.encode_digit(7)
    start, before = long_explorer.code, pictures(long_explorer)
    long_explorer.walk_to(12)
    assert (long_explorer.code == start).all()
    assert pictures(long_explorer)[0] != before[0]  # the path is drawn
    assert pictures(long_explorer)[1:] == before[1:]
    end, image = code_and_image(long_explorer, 12)
    for share, original in ((0.3, None), (1, 12), (0.5, None), (0, 7)):
        long_explorer.walk(share)
        assert original_is_shown(long_explorer) == (original is not None)
        if original is not None:
            assert f"(image {original})" in titles(long_explorer)[2]
        if share == 1:
            assert long_explorer.code == pytest.approx(end, abs=1e-5)
            assert np.allclose(long_explorer.image, image, atol=1e-5)
    assert long_explorer.code == pytest.approx(start, abs=1e-6)


def test_a_walk_of_long_codes_goes_straight(of_ten):
    of_ten.encode_digit(7)
    of_ten.walk_to(12)
    start, end = (code_and_image(of_ten, index)[0] for index in (7, 12))
    for share in (0.25, 0.5, 0.9):
        of_ten.walk(share)
        assert of_ten.code == pytest.approx((1 - share) * start + share * end, abs=1e-5)


def test_a_walk_may_start_and_end_anywhere(long_explorer):
    long_explorer.random()
    start = long_explorer.code
    long_explorer.random()
    end = long_explorer.code
    long_explorer.walk_to(start)
    long_explorer.walk(1)
    assert long_explorer.code == pytest.approx(start, abs=1e-6)
    assert not original_is_shown(long_explorer)
    long_explorer.walk(0)
    assert long_explorer.code == pytest.approx(end, abs=1e-6)
    long_explorer.walk_to(long_explorer.code)  # a walk on the spot
    long_explorer.walk(0.5)
    assert long_explorer.code == pytest.approx(end, abs=1e-6)


def test_the_controls_of_a_long_walk_do_what_the_calls_do(long_explorer):
    slider, player, set_out = long_walk(long_explorer)
    assert slider.disabled and player.disabled
    with pytest.raises(ValueError, match="no path.*walk_to"):
        long_explorer.walk(0.5)
    long_explorer.encode_digit(3)
    assert set_out.description == "Walk to a digit"
    set_out.click()
    assert not slider.disabled and not player.disabled and player.playing
    codes = []
    for act in (
        lambda: setattr(slider, "value", 0.3),
        lambda: long_explorer.walk(0.3),
        lambda: setattr(player, "value", 31),
        lambda: long_explorer.walk(0.31),
    ):
        act()
        codes.append(long_explorer.code)
    assert (codes[0] == codes[1]).all() and (codes[2] == codes[3]).all() and (codes[1] != codes[2]).any()
    assert (slider.value, player.value) == (0.31, 31)
    set_out.click()  # on from here
    assert (slider.value, player.value) == (0, 0) and (long_explorer.code == codes[3]).all()


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [(60, IndexError, "0 to 59"), ([1.0], ValueError, "numbers"), (None, ValueError, "numbers")],
)
def test_a_target_that_is_not_there_is_refused(long_explorer, target, error, message):
    long_explorer.walk_to(5)
    shown = pictures(long_explorer)
    with pytest.raises(error, match=message):
        long_explorer.walk_to(target)
    assert pictures(long_explorer) == shown


def test_a_walk_to_a_digit_is_for_long_codes(walker):
    with pytest.raises(ValueError, match="walk of their prior"):
        walker.walk_to(5)


def test_long_codes_leave_the_random_state_and_the_model_alone(long_explorer):
    model, digits = long_explorer._model.train(), long_explorer._digits
    torch.manual_seed(7)
    state = torch.get_rng_state()
    again = LatentExplorer(model, digits)
    for explorer in (long_explorer, again):
        explorer.random()
        explorer.encode_digit(5)
        explorer.walk_to(6)
        explorer.walk(0.3)
        explorer.picture()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert pictures(again) == pictures(long_explorer)


def test_an_error_of_the_decoder_leaves_a_long_code_as_it_was(long_explorer):
    long_explorer.random()
    long_explorer.walk_to(5)
    code, shown = long_explorer.code, pictures(long_explorer)
    long_explorer._model.decode = lambda codes: 1 / 0
    for act in (
        lambda: long_explorer.walk(0.5),
        lambda: setattr(long_explorer, "z", (0.1, 0.1)),
        lambda: setattr(long_explorer, "others", long_explorer.others),
    ):
        with pytest.raises(ZeroDivisionError):
            act()
        assert (long_explorer.code == code).all() and pictures(long_explorer) == shown
        assert long_walk(long_explorer)[0].value == 0


def test_the_others_of_a_style_have_sliders_too(of_five):
    of_five.encode_digit(7)
    others, style, z, label = of_five.others, of_five.style, of_five.z, of_five.label
    slider = other_sliders(of_five)[2]
    slider.value += 20 * slider.step
    assert of_five.others == (*others[:2], slider.value)
    assert (of_five.z, of_five.label) == (z, label)
    assert np.linalg.norm(of_five.style - style) == pytest.approx(slider.value - others[2], abs=1e-5)
    of_five.others = (0, 0, 0)
    assert np.linalg.norm(of_five.style) == pytest.approx(np.hypot(*z), abs=1e-5)


def test_a_move_of_ten_sliders_takes_at_most_10_milliseconds(real_digits):
    assert seconds_of_a_move(LatentExplorer(long_aae(hidden=(1000, 1000)), real_digits)) <= 0.010


# ----------------------------------------------------------------------------------- codes on the sphere


def test_every_code_lies_on_the_sphere(on_sphere):
    def check():
        assert np.linalg.norm(on_sphere.code.astype(float)) == pytest.approx(1, abs=1e-6)
        assert np.linalg.norm([*on_sphere.z, *on_sphere.others]) == pytest.approx(1, abs=1e-6)

    check()
    for act in (on_sphere.random, lambda: on_sphere.encode_digit(7), lambda: on_sphere.walk_to(12)):
        act()
        check()
    for share in np.linspace(0, 1, 21):
        on_sphere.walk(share)
        check()
    for z in ((0.3, -0.4), (1, 0), (0, -1), (0.6, 0.8), (0, 0)):
        on_sphere.z = z
        assert on_sphere.z == z
        check()
    for slider in [*sliders(on_sphere)[:2], *other_sliders(on_sphere)]:
        assert (slider.min, slider.max) == (-1, 1)
        for value in (-1, -0.37, 0.5, 1):
            slider.value = value
            assert slider.value == value
            check()
    on_sphere.others = [0] * 4
    check()
    on_sphere.code = [3, 0, 0, 0, 0, -4]  # by its direction
    assert on_sphere.code == pytest.approx([0.6, 0, 0, 0, 0, -0.8], abs=1e-6)


def test_a_walk_follows_the_great_circle_at_constant_speed(on_sphere):
    start, end = (code_and_image(on_sphere, index)[0] for index in (7, 12))
    on_sphere.encode_digit(7)
    on_sphere.walk_to(12)
    codes = []
    for share in np.linspace(0, 1, 11):
        on_sphere.walk(share)
        codes.append(on_sphere.code)
    whole = angle(start, end)
    assert 0.1 < whole < np.pi
    steps = [angle(before, after) for before, after in zip(codes[:-1], codes[1:], strict=True)]
    assert steps == pytest.approx([whole / 10] * 10, abs=1e-5)
    # All lie in the plane of the two, on the shorter way.
    assert np.linalg.svd(np.stack([start, end, *codes]).astype(float))[1][2] < 1e-5
    middle = (start + end) / np.linalg.norm(start + end)
    assert codes[5] == pytest.approx(middle, abs=1e-5)


def test_there_is_no_shortest_way_to_the_opposite_point(on_sphere):
    on_sphere.random()
    with pytest.raises(ValueError, match="opposite point"):
        on_sphere.walk_to(-on_sphere.code)


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_a_slider_moves_along_the_great_circle_through_its_direction_and_back(on_sphere, number):
    on_sphere.encode_digit(7)
    before = np.array([*on_sphere.z, *on_sphere.others])
    slider = [*sliders(on_sphere)[:2], *other_sliders(on_sphere)][number]
    rest = np.arange(6) != number
    for value in (0.95, -0.25, 1.0, -1.0, 0.5):
        slider.value = value
        after = np.array([*on_sphere.z, *on_sphere.others])
        assert after[number] == value
        if abs(value) < 1:
            assert after[rest] / np.linalg.norm(after[rest]) == pytest.approx(
                before[rest] / np.linalg.norm(before[rest])
            )
    slider.value = before[number]
    assert [*on_sphere.z, *on_sphere.others] == pytest.approx(before)


def test_on_the_sphere_the_rest_of_a_code_gives_way(on_sphere):
    on_sphere.encode_digit(7)
    z, others = np.array(on_sphere.z), np.array(on_sphere.others)
    on_sphere.z = (0.6, 0)
    assert on_sphere.others == pytest.approx(0.8 * others / np.linalg.norm(others))
    on_sphere.z = z
    on_sphere.others = others / np.linalg.norm(others) / 2
    assert on_sphere.z == pytest.approx(0.75**0.5 * z / np.linalg.norm(z))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("z", (0.8, 0.8), r"z has length 1\.131"),
        ("z", (1.01, 0), "range of the sliders"),
        ("others", [0.9, 0.9, 0, 0], "others has length"),
        ("code", [0] * 6, "must not be 0"),
        ("code", [float("inf")] + [0] * 5, "must be from -1 to 1"),
    ],
)
def test_what_does_not_lie_on_the_sphere_is_refused_and_nothing_moves(on_sphere, name, value, message):
    on_sphere.random()
    code, shown = on_sphere.code, pictures(on_sphere)
    with pytest.raises(ValueError, match=message):
        setattr(on_sphere, name, value)
    assert (on_sphere.code == code).all() and pictures(on_sphere) == shown


def test_codes_that_an_encoder_puts_beside_the_sphere_are_moved_onto_it(real_digits):
    model = built(builders.adversarial, UniformSphere(4))
    explorer = LatentExplorer(model, real_digits)
    explorer.encode_digit(7)
    code = code_and_image(explorer, 7)[0]
    assert np.linalg.norm(code) != pytest.approx(1, abs=0.01)
    assert explorer.code == pytest.approx(code / np.linalg.norm(code), abs=1e-6)


@pytest.mark.parametrize("dimensions", [3, 5, 10])
def test_contours_of_a_sphere_hold_the_shares_of_the_prior_that_the_title_names(dimensions, real_digits):
    explorer = LatentExplorer(age(dimensions), real_digits)
    assert titles(explorer)[0] == f"2 of {dimensions} directions; 50, 90, 99 % of the prior"
    prior = explorer._plane_prior
    side = torch.linspace(-1, 1, 2001)
    grid = torch.cartesian_prod(side, side)
    assert float(prior.log_prob(grid).exp().mean() * 4) == pytest.approx(1, abs=0.03)  # near the rim the grid is coarse
    samples = UniformSphere(dimensions).sample(20_000)[:, :2]
    for mass, level in zip((0.99, 0.9, 0.5), contour_levels(prior), strict=True):
        assert float((prior.log_prob(samples) > level).float().mean()) == pytest.approx(mass, abs=0.02)


def test_a_sphere_of_four_dimensions_is_shown_by_its_samples(real_digits):
    explorer = LatentExplorer(age(4), real_digits)  # of which any disk of the plane holds as much as another
    assert titles(explorer)[0] == "2 of 4 directions"
    assert (pixels(pictures(explorer)[0])[..., :3] == 0xD0).all(axis=2).any()


def test_a_circle_is_a_plane_like_any_other(digits):
    explorer = LatentExplorer(SmallModel(UniformSphere(2)), digits)
    explorer.z = (0.25, 0.5)
    assert explorer.code.tolist() == [0.25, 0.5] and explorer.others == ()
    assert len(sliders(explorer)) == 2


# ----------------------------------------------------------------------------------- models without an encoder


@pytest.fixture(params=[2, 6])
def of_gan(request, real_digits):
    return LatentExplorer(gan(Gaussian(request.param)), real_digits)


def test_a_model_without_an_encoder_shows_its_prior(of_gan):
    of_gan.random()
    code = torch.from_numpy(of_gan.code)
    with torch.no_grad():
        assert np.allclose(of_gan.image, of_gan._model.decode(code[None]).reshape(28, 28).numpy(), atol=1e-6)
    plane = pixels(pictures(of_gan)[0])[..., :3].astype(int)
    assert np.ptp(plane, axis=2).max() == 0  # no digit's color
    assert every(of_gan, widgets.Image)[0].tooltip == "The latent plane: the prior"
    assert "50, 90, 99 % of the prior" in titles(of_gan)[0]


def test_a_model_without_an_encoder_encodes_no_digit(of_gan):
    encode = button(of_gan, "Encode a digit")
    assert encode.disabled and encode.tooltip == "This model has no encoder"
    for index in (0, 1_000):
        with pytest.raises(ValueError, match="no encoder"):
            of_gan.encode_digit(index)
    assert not original_is_shown(of_gan)
    assert not button(of_gan, "Random from the prior").disabled


def test_a_model_without_an_encoder_walks_between_samples(real_digits):
    explorer = LatentExplorer(gan(Gaussian(6)), real_digits)
    with pytest.raises(ValueError, match="no encoder"):
        explorer.walk_to(12)
    _, player, set_out = long_walk(explorer)
    assert set_out.description == "Walk to a sample"
    explorer.random()
    start = explorer.code
    set_out.click()
    explorer.walk(1)
    end = explorer.code
    explorer.walk(0.5)
    assert player.value == 50
    assert explorer.code == pytest.approx((start + end) / 2, abs=1e-5)
    assert not original_is_shown(explorer)


def test_a_model_with_neither_encoder_nor_prior_is_refused(real_digits):
    model = gan(Gaussian(2))
    model.prior = None
    with pytest.raises(ValueError, match="neither an encoder nor a prior"):
        LatentExplorer(model, real_digits)


@pytest.mark.parametrize("name", ["age", "dcgan", "ali", "vae-conv", "aae-conv", "likelihood"])
def test_the_models_of_the_registry_can_be_explored(name, real_digits):
    model = find(name).model(0)
    explorer, dimensions = LatentExplorer(model, real_digits[:20]), model.prior.dimensions
    assert explorer.code.shape == (dimensions,)
    assert len(other_sliders(explorer)) == dimensions - 2
    explorer.random()
    if name != "dcgan":
        explorer.encode_digit(7)
    explorer.walk_to(-explorer.code + np.eye(dimensions)[0])
    explorer.walk(0.5)
    assert explorer.image.shape == (28, 28) and np.isfinite(explorer.image).all()
    if name == "age":
        assert np.linalg.norm(explorer.code) == pytest.approx(1, abs=1e-6)
