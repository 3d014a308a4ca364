"""The Python side of the explorer: what it says of a model, the calls and traits, the still pictures, the colors."""

import base64
import gzip
import io
import json
import re

import numpy as np
import pytest
import torch
import traitlets
from PIL import Image
from torch import nn

from aae_lib.data import Images, load_sample
from aae_lib.data.pictures import centered, image_of
from aae_lib.errors import DataError, ModelError, PriorError, ShapeError, UnknownNameError
from aae_lib.experiments import PRETRAINED, load_trained
from aae_lib.explore.description import describe
from aae_lib.explore.front import FRONT, MODULE, STYLE
from aae_lib.explore.networks import Pack, UnsupportedLayer, layers_of
from aae_lib.explore.space import Space
from aae_lib.explore.widget import LatentExplorer, ModelsExplorer, TurningMap
from aae_lib.models import (
    AdversarialAutoencoder,
    AdversarialGeneratorEncoder,
    Autoencoder,
    Classifier,
    GenerativeAdversarialNetwork,
    SupervisedAutoencoder,
)
from aae_lib.networks import OntoSphere, multilayer_perceptron
from aae_lib.priors import Categorical, Gaussian, GaussianMixture, LabelAndStyle, UniformSphere
from aae_lib.report.drawing import PALETTE
from aae_lib.storage import read_file

PIXELS = 784


def perceptron(inputs, outputs, hidden=(20,)):
    return multilayer_perceptron(inputs, outputs, hidden, deviation=0.3)


def latent(prior, dimensions=2):
    torch.manual_seed(0)
    networks = perceptron(PIXELS, dimensions), perceptron(dimensions, PIXELS)
    if prior is None:
        return Autoencoder(*networks)
    if isinstance(prior, UniformSphere):
        return AdversarialGeneratorEncoder(prior, nn.Sequential(networks[0], OntoSphere()), networks[1])
    return AdversarialAutoencoder(prior, *networks, perceptron(dimensions, 1))


def styled(dimensions=3):
    torch.manual_seed(0)
    prior = LabelAndStyle(Categorical(10), Gaussian(dimensions))
    networks = perceptron(PIXELS, dimensions), perceptron(10 + dimensions, PIXELS), perceptron(dimensions, 1)
    return SupervisedAutoencoder(prior, *networks)


@pytest.fixture(scope="module")
def digits():
    return load_sample().test[:200]


@pytest.fixture
def explorer(digits):
    return LatentExplorer(latent(Gaussian(2)), digits)


def arrays_of(model, images):
    """The description of a model, and a function that reads its arrays."""
    description, (arrays, pictures) = describe(Space(model, images), "a model")
    blocks = {"arrays": gzip.decompress(arrays), "pictures": gzip.decompress(pictures)}

    def read(place, block="arrays"):
        kind, offset, *shape = place
        return np.frombuffer(blocks[block], kind, int(np.prod(shape)), offset).reshape(shape)

    return description, read


# ------------------------------------------------------------------------------------------------ networks


@pytest.mark.parametrize("name", ["aae-gaussian", "age", "cluster-16"])
def test_shipped_rows_keep_their_integers(name):
    stored, _ = read_file(PRETRAINED / f"{name}.safetensors.gz")
    model, pack = load_trained(name).model, Pack()
    for network in ("encoder", "decoder"):
        layers = [layer for layer in layers_of(getattr(model, network), pack) if "weight" in layer]
        rows = [key for key in model.state_dict() if key.startswith(network) and key + ".scale" in stored]
        assert len(layers) == len(rows)
        for layer, key in zip(layers, rows, strict=True):
            _, offset, *shape = layer["weight"]
            integers = np.frombuffer(bytes(pack.content), np.int8, int(np.prod(shape)), offset).reshape(shape)
            integers = np.moveaxis(integers, (-2, -1), (1, 0))
            if layer["kind"] == "transposed":
                integers = integers.swapaxes(0, 1)
            assert np.array_equal(integers, stored[key].numpy()), key


@pytest.mark.parametrize("layer", [nn.GELU(), nn.Conv2d(1, 1, 3, dilation=2), nn.Conv2d(2, 2, 3, groups=2)])
def test_a_network_that_the_browser_does_not_know_stays_in_the_kernel(layer, digits):
    odd = nn.Sequential(layer, nn.Linear(PIXELS, 2)) if isinstance(layer, nn.GELU) else None
    if odd:
        description, _ = arrays_of(Autoencoder(odd, perceptron(2, PIXELS)), digits)
        assert description["encoder"] == "kernel" and description["decoder"] != "kernel"
    else:
        with pytest.raises(UnsupportedLayer, match="Conv2d"):
            layers_of(nn.Sequential(layer), Pack())


def test_a_users_own_decode_stays_in_the_kernel(digits):
    class Own(Autoencoder):
        def decode(self, codes):
            return super().decode(codes).square()

    description, _ = arrays_of(Own(perceptron(PIXELS, 2), perceptron(2, PIXELS)), digits)
    assert description["decoder"] == "kernel" and description["encoder"]["form"] == "code"


def test_many_classes_and_their_names_are_described():
    names = tuple(f"kind {number}" for number in range(300))
    images = Images(torch.rand(300, 16), torch.arange(300), class_names=names)
    model = Autoencoder(perceptron(16, 2), perceptron(2, 16))
    description, read = arrays_of(model, images)
    assert description["names"] == names and read(description["digits"], "pictures").tolist() == list(range(300))


# ------------------------------------------------------------------------------------------------ the space of codes


def test_a_description_is_small_and_the_arrays_are_the_models(digits):
    model = latent(GaussianMixture())
    description, read = arrays_of(model, digits)
    assert len(json.dumps(description, allow_nan=False)) < 4000
    codes = model.eval().encode(digits.images).detach().numpy()
    assert np.allclose(read(description["codes"]), codes, atol=1e-5)
    assert np.array_equal(read(description["images"], "pictures"), (digits.images * 255).round().byte().numpy())
    assert len(description["contours"]) == 3 and read(description["walk"]).shape == (401, 2)
    judged = read(description["judge"]["values"])
    half = description["judge"]["half"]
    corner = model.discriminator(torch.full((1, 2), -half)).sigmoid().item()
    assert abs(judged[0, 0] / 255 - corner) <= 0.5 / 255 + 1e-6


def test_the_view_holds_99_percent_of_the_codes(digits):
    for model in (latent(None), latent(Gaussian(2)), latent(Gaussian(6), 6), latent(UniformSphere(6), 6)):
        space = Space(model, digits)
        x, y, half = space.view()
        inside = (space.codes[:, :2] - torch.tensor([x, y])).abs() <= half
        assert (inside.double().mean(0) >= 0.99).all()


def test_directions_are_orthonormal_and_the_first_changes_the_image_most(digits):
    model = latent(Gaussian(5), 5)
    space = Space(model, digits)
    assert torch.allclose(space.directions @ space.directions.T, torch.eye(5).double(), atol=1e-9)
    samples = space.samples[:50]
    changes = [np.abs(space.decode(samples + step) - space.decode(samples)).sum() for step in 0.01 * torch.eye(5)]
    assert changes[0] == max(changes) and changes[0] > 1.2 * changes[-1]
    code = torch.randn(3, 5)
    assert torch.allclose(space.codes_at(space.coordinates_of(code)), code, atol=1e-5)


def test_the_model_is_given_back_as_it_was(digits):
    model = latent(Gaussian(3), 3).train()
    model.decoder.eval()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    LatentExplorer(model, digits).encode_digit(0)
    assert torch.equal(torch.rand(1), expected)
    assert model.training and model.encoder.training and not model.decoder.training


def test_what_cannot_be_explored_is_refused(digits):
    good = latent(Gaussian(2))
    nan = latent(Gaussian(2))
    nn.init.constant_(nan.decoder[0].weight, float("nan"))
    with pytest.raises(ModelError, match="found a Trained: give its `model`"):
        LatentExplorer(load_trained("aae-gaussian"), digits)
    with pytest.raises(ModelError, match="decoder"):
        LatentExplorer(Classifier(perceptron(PIXELS, 10)), digits)
    with pytest.raises(ModelError, match="by their titles"):
        ModelsExplorer([good], digits)
    with pytest.raises(DataError, match="not finite"):
        LatentExplorer(nan, digits)
    with pytest.raises(DataError, match="at least 1 images"):
        LatentExplorer(good, digits[:0])
    with pytest.raises(ShapeError, match="1 dimension"):
        LatentExplorer(latent(None, 1), digits)
    generator = GenerativeAdversarialNetwork(None, perceptron(2, PIXELS), perceptron(PIXELS, 1))
    with pytest.raises(PriorError, match="neither an encoder nor a prior"):
        LatentExplorer(generator, digits)


# ------------------------------------------------------------------------------------------------ calls and traits


def test_z_chooses_the_image(explorer):
    explorer.z = (0.5, -1.0)
    expected = explorer._space.model.decode(torch.tensor([[0.5, -1.0]])).detach().numpy().reshape(28, 28)
    assert explorer.z == (0.5, -1.0) and explorer.others == ()
    assert explorer.image.shape == (28, 28) and np.allclose(explorer.image, expected, atol=1e-6)
    assert repr(explorer) == "LatentExplorer(2-D, z = (0.50, -1.00))"


@pytest.mark.parametrize("value", [(float("nan"), 0.0), (0.0, float("inf"))])
def test_numbers_that_are_not_finite_are_refused(explorer, value):
    with pytest.raises(ShapeError, match="finite"):
        explorer.z = value
    assert explorer.z == (0.0, 0.0)


def test_an_encoded_digit_is_known_until_the_code_moves(explorer, digits):
    seen = []
    explorer.observe(lambda change: seen.append((change["name"], change["new"])), ["z", "digit"])
    explorer.encode_digit(7)
    codes = explorer._space.model.eval().encode(digits.images).detach()
    assert explorer.digit == 7 and np.allclose(explorer.z, codes[7], atol=1e-5)
    assert [name for name, _ in seen] == ["z", "digit"]
    explorer.z = (0.1, 0.1)
    assert explorer.digit == -1
    for number in (200, -1, "7", 1.5):
        with pytest.raises(UnknownNameError, match="0 to 199"):
            explorer.encode_digit(number)


def test_a_picture_is_encoded_and_shown(explorer, digits, tmp_path):
    explorer.add(digits.images[3].reshape(28, 28))
    expected = explorer.z
    explorer.encode_digit(3)
    assert explorer.drawing == b"" and np.allclose(explorer.z, expected, atol=1e-5)
    path = tmp_path / "three.png"
    paper = 255 - (255 * digits.images[3].reshape(28, 28)).round().byte().numpy()
    Image.fromarray(paper).save(path)  # dark on light
    explorer.add(str(path))
    assert np.allclose(explorer.z, expected, atol=0.05) and len(explorer.drawing) == PIXELS
    with pytest.raises(ShapeError, match="28 x 28"):
        explorer.add(np.zeros(10))


def test_samples_come_from_the_prior(explorer):
    places = []
    for _ in range(300):
        explorer.random()
        places.append(explorer.z)
    assert np.abs(np.mean(places, 0)).max() < 0.25 and np.abs(np.std(places, 0) - 1).max() < 0.15
    with pytest.raises(PriorError, match="no prior"):
        LatentExplorer(latent(None), load_sample().test[:10]).random()


def test_ways_from_pin_to_pin(digits):
    explorer = LatentExplorer(latent(GaussianMixture()), digits)
    with pytest.raises(ShapeError, match="two pins"):
        explorer.walk(0.5)
    start = explorer.z
    explorer.pins = [[*explorer.z], 4]
    end = explorer.pins[1]
    explorer.share = 0.25
    assert np.allclose(explorer.z, 0.75 * np.array(start) + 0.25 * np.array(end)) and explorer.share == 0.25
    explorer.pins = [None, None]
    explorer.way = "walk"
    explorer.walk(0.1)
    assert np.allclose(explorer.z, GaussianMixture().walk(torch.tensor([0.1]))[0], atol=1e-5)
    explorer.pins, explorer.way = [[2.0, 0.0], [0.0, 1.0]], "circle"
    explorer.walk(0.5)
    assert np.allclose(explorer.z, 1.5 * np.sqrt(0.5) * np.ones(2))
    with pytest.raises(ShapeError, match="from 0 to 1"):
        explorer.walk(1.5)


def test_codes_stay_on_the_sphere(digits):
    explorer = LatentExplorer(latent(UniformSphere(5), 5), digits)
    assert explorer.way == "circle"
    explorer.z = (0.3, -0.4)
    assert np.isclose(np.linalg.norm(explorer.code), 1) and explorer.z == (0.3, -0.4)
    explorer.others = (0.1, 0.2, 0.2)
    assert np.isclose(np.linalg.norm(explorer.code), 1) and np.allclose(explorer.others, (0.1, 0.2, 0.2))
    explorer.code = [1, 2, 3, 4, 5]
    assert np.allclose(explorer.code, np.array([1, 2, 3, 4, 5]) / np.sqrt(55), atol=1e-6)
    explorer.pins = [[*explorer.z, *explorer.others], 2]
    explorer.walk(0.5)
    assert np.isclose(np.linalg.norm(explorer.code), 1)
    with pytest.raises(ShapeError, match="longer than 1"):
        explorer.z = (0.9, 0.9)


def test_a_label_keeps_the_style(digits):
    explorer = LatentExplorer(styled(), digits)
    explorer.encode_digit(5)
    style, image = explorer.code, explorer.image
    assert explorer.label == int(digits.labels[5])
    explorer.label = (explorer.label + 1) % 10
    assert np.array_equal(explorer.code, style) and not np.array_equal(explorer.image, image)
    assert explorer.digit == 5
    with pytest.raises(ShapeError, match="0 to 9"):
        explorer.label = 10


def test_explorers_can_be_linked(digits):
    first, second = (LatentExplorer(model, digits) for model in (latent(Gaussian(2)), latent(None)))
    link = traitlets.link((first, "z"), (second, "z"))
    first.encode_digit(3)
    assert second.z == first.z and second.digit == -1
    link.unlink()
    other = Autoencoder(perceptron(PIXELS, 2, (10,)), perceptron(2, PIXELS, (10,)))
    second = LatentExplorer(other, digits)
    traitlets.link((first, "digit"), (second, "digit"))
    first.encode_digit(9)
    assert second.digit == 9 and second.z != first.z


def test_what_the_front_end_sends_is_taken_as_it_is(explorer, digits):
    explorer.set_state({"z": [0.25, 0.5], "others": [], "digit": 4, "drawing": memoryview(b"")})
    assert explorer.z == (0.25, 0.5) and explorer.digit == 4
    drawing = (255 * digits.images[2]).byte().numpy()
    explorer.set_state({"z": [0.5, 0.5], "digit": -1, "drawing": memoryview(drawing)})
    assert explorer.drawing == drawing.tobytes() and explorer.z == (0.5, 0.5)


def test_the_kernel_answers_for_networks_of_its_own(digits):
    model = Autoencoder(nn.Sequential(nn.Linear(PIXELS, 2), nn.GELU()), nn.Sequential(nn.GELU(), nn.Linear(2, PIXELS)))
    explorer = LatentExplorer(model, digits)
    (title,) = explorer.answer({"what": "titles"})[0]["titles"]
    ask = lambda what, **message: explorer.answer({"what": what, "model": title, **message})  # noqa: E731
    description, _ = ask("model")
    assert description["description"]["decoder"] == description["description"]["encoder"] == "kernel"
    _, (image,) = ask("decode", numbers=[0.5, 1.0], label=0)
    explorer.z = (0.5, 1.0)
    assert np.array_equal(np.frombuffer(image, np.float32), explorer.image.ravel())
    answer, buffers = ask("encode", numbers=digits.images[1].tolist())
    assert np.allclose(answer["place"], explorer._space.codes[1]) and not buffers


def test_a_notebook_stores_a_still_picture_alone(digits):
    generator = GenerativeAdversarialNetwork(Gaussian(2), perceptron(2, PIXELS), perceptron(PIXELS, 1))
    models = latent(Gaussian(2)), styled()
    explorers = [*(LatentExplorer(model, digits) for model in models), LatentExplorer(generator, digits)]
    for explorer in explorers[:2]:
        explorer.encode_digit(3)
    named, curve = dict(zip("ab", models, strict=True)), {"x": (1, 2), "y": (3, 2)}
    for explorer in (*explorers, ModelsExplorer(named, digits, curve)):
        data, metadata = explorer._repr_mimebundle_()
        assert set(data) == {"text/plain", "image/png", "application/vnd.jupyter.widget-view+json"}
        picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
        assert "plane" in metadata["image/png"]["alt"]
        assert picture.width // 2 == metadata["image/png"]["width"] and len(data["image/png"]) < 150_000
        state = {name: value for name, value in explorer.get_state().items() if name not in ("_esm", "_css")}
        assert sum(len(str(value)) for value in state.values()) < 5000


def test_models_lie_on_a_curve(digits):
    models = {"one": latent(Gaussian(2)), "two": latent(None)}
    curve = {"error": [3.0, 1.0], "coverage": [0.9, 0.5]}
    explorer = ModelsExplorer(models, digits, curve)
    answer, _ = explorer.answer({"what": "titles"})
    assert answer["curve"] == {"names": ["error", "coverage"], "points": [(3.0, 0.9), (1.0, 0.5)]}
    assert explorer.still().get_figheight() > ModelsExplorer(models, digits).still().get_figheight()
    for wrong in ({"error": [3.0, 1.0]}, {**curve, "error": [3.0]}, {**curve, "error": [3.0, float("nan")]}):
        with pytest.raises(ShapeError, match="two quantities|error must be 2"):
            ModelsExplorer(models, digits, wrong)


def test_a_map_turns_and_has_a_still_picture():
    torch.manual_seed(0)
    turning = TurningMap(torch.randn(50, 3), torch.arange(50) % 10, torch.randn(10, 3))
    answer, (points,) = turning.answer({"what": "points"})
    assert len(answer["labels"]) == 50 and answer["heads"] == 10 and len(points) == 60 * 3 * 4
    assert "image/png" in turning._repr_mimebundle_()[0]
    with pytest.raises(ShapeError, match="3"):
        TurningMap(torch.randn(5, 2), torch.zeros(5), torch.randn(2, 3))


# ------------------------------------------------------------------------------------------------ pictures


def test_digits_are_centered_as_they_are(digits):
    for image in digits.images[:50].reshape(-1, 28, 28).numpy():
        assert np.allclose(centered(image, 28), image, atol=0.01)


def moved(picture):
    return np.pad(picture, ((9, 30), (4, 60)))


def enlarged(picture):
    return np.kron(picture, np.ones((5, 5)))


@pytest.mark.parametrize("change", [np.copy, moved, enlarged])
@pytest.mark.parametrize("inverted", [False, True])
def test_where_large_and_how_inked_a_picture_is_does_not_count(digits, change, inverted):
    image = digits.images[4].reshape(28, 28).numpy()
    picture = (255 * change(image)).astype(np.uint8)
    found = image_of(Image.fromarray(255 - picture if inverted else picture), (1, 28, 28))
    assert (found - digits.images[4]).abs().max() < 0.02
    with pytest.raises(ShapeError, match="no ink"):
        image_of(Image.new("L", (50, 40), "white"), (1, 28, 28))


# ------------------------------------------------------------------------------------------------ the front end


def test_a_photograph_is_turned_as_its_camera_was_held_and_16_bits_are_scaled(tmp_path):
    pixels = torch.zeros(30, 40).index_fill(0, torch.arange(10), 1)  # light above
    photograph, exif = Image.fromarray((255 * pixels).byte().numpy()), Image.Exif()
    exif[0x0112] = 3  # orientation: upside down
    photograph.save(tmp_path / "photograph.png", exif=exif)
    found = image_of(tmp_path / "photograph.png", (1, 30, 40)).unflatten(0, (30, 40))
    torch.testing.assert_close(found, pixels.flip(0), atol=1e-3, rtol=0)
    Image.fromarray(np.full((30, 40), 30_000, np.uint16)).save(tmp_path / "16-bit.png")
    assert (image_of(tmp_path / "16-bit.png", (1, 30, 40)) - 30_000 / 65_535).abs().max() < 1e-3


def test_the_front_end_is_one_module_without_imports():
    source = MODULE
    assert not re.search(r"^import|https?://|\beval\(", source.replace("http://www.w3.org", ""), flags=re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:const|let|function\*?|class) (\w+)", source, flags=re.MULTILINE)
    assert len(names) == len(set(names)) and "widget" in names and "openPage" in names
    assert "@import" not in STYLE and "url(" not in STYLE


@pytest.mark.parametrize("path", sorted(FRONT.iterdir()), ids=lambda path: path.name)
def test_files_and_functions_of_the_front_end_have_bounds(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 400 and max(map(len, lines)) <= 120
    if path.suffix == ".js":
        begins = re.compile(r"(export )?(async )?function|  (async )?[\w#]+\([^)]*\) \{$")
        starts = [n for n, line in enumerate(lines) if begins.match(line)]
        for start in starts:
            indent = re.match(" *", lines[start]).group()
            assert next(n for n in range(start, len(lines)) if lines[n].startswith(indent + "}")) - start < 60


def linear(color):
    channels = np.array([int(color[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG 2: the ratio of relative luminances."""
    light = sorted(float(linear(color) @ [0.2126, 0.7152, 0.0722]) + 0.05 for color in (one, other))
    return light[1] / light[0]


# Machado, Oliveira, Fernandes 2009, severity 1.0, for linear RGB
SIGHTS = {
    "full": np.eye(3),
    "protanopia": np.reshape(
        [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998], (3, 3)
    ),
    "deuteranopia": np.reshape(
        [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881], (3, 3)
    ),
    "tritanopia": np.reshape(
        [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039], (3, 3)
    ),
}
XYZ = np.reshape(
    [0.4124564, 0.3575761, 0.1804375, 0.2126729, 0.7151522, 0.072175, 0.0193339, 0.119192, 0.9503041], (3, 3)
)


def lab(rgb):
    """CIELAB of linear RGB, D65."""
    f = [x ** (1 / 3) if x > 216 / 24389 else (24389 / 27 * x + 16) / 116 for x in XYZ @ rgb / [0.95047, 1, 1.08883]]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize(("theme", "ground"), [("light", "#ffffff"), ("dark", "#1a1d22")])
def test_more_than_ten_classes_have_colors_that_differ(theme, ground):
    palette = PALETTE[theme]
    assert len(palette) == 64 and min(contrast(color, ground) for color in palette) >= 3
    seen = [lab(linear(color)) for color in palette]
    for count, least in ((26, 20), (64, 11)):
        assert min(np.linalg.norm(one - other) for n, one in enumerate(seen[:count]) for other in seen[:n]) >= least


@pytest.mark.parametrize(("theme", "ground"), [("light", "#ffffff"), ("dark", "#1a1d22")])
def test_the_colors_of_classes_stand_out_and_can_be_told_apart(theme, ground):
    palette = PALETTE[theme][:10]
    assert len(set(palette)) == 10
    assert min(contrast(color, ground) for color in palette) >= 3
    for sight in SIGHTS.values():
        seen = [lab((sight @ linear(color)).clip(0, 1)) for color in palette]
        distances = [np.linalg.norm(one - other) for n, one in enumerate(seen) for other in seen[:n]]
        assert min(distances) >= 17


def test_words_and_controls_stand_out_on_their_ground():
    pages = re.findall(r"background: (#\w{6})", (FRONT / "page.html").read_text())
    for block, page in zip(re.findall(r"\{([^}]*--aae-ground:[^}]*)\}", STYLE), pages, strict=True):
        named = dict(re.findall(r"--aae-([\w-]+): (#\w{6})", block))
        for ground in (page, named["ground"]):
            for name, least in {"text": 7, "ink": 7, "muted": 4.5, "accent": 4.5}.items():
                assert contrast(named[name], ground) >= least, name
        assert contrast(named["on-accent"], named["accent"]) >= 4.5
