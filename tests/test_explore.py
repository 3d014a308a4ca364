"""The explorer: its calls, its controls, and what it must leave alone."""

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
from aae_lib.data import Digits, Images
from aae_lib.drawing import DIGIT_COLORS, contour_levels, draw_prior
from aae_lib.explore import MARKER, SIDE, LatentExplorer
from aae_lib.priors import Gaussian, GaussianMixture, Ring, SwissRoll, UniformSquare


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

    def sample(self, n):
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
    digits = Digits(train=test, test=test, source="", sha256="", is_full=False)
    monkeypatch.setattr(aae_lib.explore, "load_mnist", lambda: digits)
    explorer = LatentExplorer(model)
    explorer.encode_digit(1_999)
    with pytest.raises(IndexError, match="0 to 1999"):
        explorer.encode_digit(2_000)


@pytest.mark.parametrize("prior", [Gaussian(dimensions=8), None])
def test_codes_that_are_not_2d_are_refused(prior, digits):
    with pytest.raises(ValueError, match=r"8 dimensions.*2-D"):
        LatentExplorer(SmallModel(prior, dimensions=8), digits)


def test_damaged_models_and_empty_digits_are_refused(model, digits):
    with pytest.raises(ValueError, match="no digits"):
        LatentExplorer(model, digits[:0])
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


def test_a_move_takes_at_most_5_milliseconds(digits):
    model = SmallModel(Gaussian())
    decoder = nn.Sequential(
        nn.Linear(2, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 784), nn.Sigmoid()
    )
    model.decoder, model.decode = decoder, decoder
    explorer = LatentExplorer(model, digits)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        durations = []
        for position in np.linspace(-2, 2, 60):
            start = time.thread_time()  # the processor's time: other programs do not count
            sliders(explorer)[0].value = position
            durations.append(time.thread_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert np.median(durations) <= 0.005
