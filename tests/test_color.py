"""In color: what judges samples, and that a generator of one blank image cannot go unseen."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import tiny, write_cifar10
from torch import Tensor, nn

from aae_lib.data import Images, load_images
from aae_lib.experiments import (
    PRETRAINED,
    color,
    evidence_path,
    examine,
    find,
    load_evidence,
    load_trained,
    measure,
    read_evidence,
    train_experiment,
    weights_path,
)
from aae_lib.models import Classifier
from aae_lib.networks import FlipAndShift, convolutional_decoder, plain_convolutions
from aae_lib.picture_metrics import class_score, spectrum
from aae_lib.priors import UniformSphere
from aae_lib.training import Adam, Recipe, train

NAMES = [each.name for each in color.EXPERIMENTS]


def test_all_generators_see_as_many_images_and_have_one_decoder() -> None:
    compared = [find(name) for name in NAMES if name not in ("cifar10-classifier", "age-cifar10-official")]
    assert {(each.recipe.steps, each.recipe.batch_size, each.data) for each in compared} == {
        (color.EPOCHS * 781, 64, "CIFAR10")
    }
    decoders = [each.model(0, color.SHAPE).decoder for each in compared]
    assert len({str(decoder) for decoder in decoders}) == 1
    games = [find(f"age-cifar10{ending}").model(0, color.SHAPE)
             for ending in ("", "-no-reconstruction", "-generator-reconstruction", "-semantic")]  # fmt: skip
    weights = [(m.image_weight, m.code_weight, m.generator_image_weight, m.generator_updates) for m in games]
    assert weights == [(10, 500, 0, 2), (0, 0, 0, 2), (10, 500, 10, 2), (10, 500, 0, 2)]


def test_the_class_score_is_one_for_copies_and_the_number_of_classes_at_best() -> None:
    sure = 50 * torch.eye(10).repeat(7, 1)
    assert class_score(sure) == pytest.approx(10, rel=1e-4)
    assert class_score(sure[:1].expand(20, 10)) == class_score(torch.zeros(20, 10)) == pytest.approx(1)
    half = torch.cat([sure[:2], torch.zeros(2, 10)])
    assert 1 < class_score(half) < class_score(sure[:4])


def test_a_spectrum_has_its_power_where_the_waves_are() -> None:
    places = torch.arange(32) / 32
    for waves in (3, 9):
        wave = 0.5 + 0.4 * torch.sin(2 * torch.pi * waves * places)
        for picture in (wave.expand(3, 32, 32), wave[:, None].expand(3, 32, 32)):
            found = spectrum(picture.flatten()[None], (3, 32, 32))
            assert found.shape == (17,) and int(found.argmax()) == waves
            assert found[waves] > 1e4 * found[waves + 3]
    assert spectrum(torch.full((2, 3072), 0.7)).max() < 1e-12, "a blank image has no frequencies"


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 20, 24)])
def test_images_are_mirrored_and_shifted_by_whole_pixels(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    layer, image = FlipAndShift(2, shape), torch.rand(shape)
    flat = image.flatten()[None].expand(400, -1)
    assert layer.eval()(flat) is flat
    padded = nn.functional.pad(image[None], (2, 2, 2, 2), mode="replicate")[0]
    height, width = shape[1:]
    known = {
        (down, across, mirrored): (part.flip(2) if mirrored else part).flatten()
        for down in range(5) for across in range(5) for mirrored in (False, True)
        for part in [padded[:, down : down + height, across : across + width]]
    }  # fmt: skip
    found = layer.train()(flat)
    seen = {key for each in found for key, one in known.items() if torch.equal(each, one)}
    assert seen == set(known) and len(found.unique(dim=0)) == 50


class Corner(nn.Module):
    """Features: the first five pixels of each color."""

    def forward(self, images: Tensor) -> Tensor:
        return images.unflatten(1, (3, -1))[:, :, :5].flatten(1)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Classifier:
    """A classifier that tells ten brightnesses of the first pixel from each other, in place of the shipped one."""
    judge = Classifier(nn.Sequential(Corner(), nn.Linear(15, 10))).eval().requires_grad_(False)
    brightness = torch.linspace(0.05, 0.95, 10)
    judge.classifier[1].weight.zero_()[:, 0] = 1000 * brightness
    judge.classifier[1].bias.copy_(-500 * brightness.square())
    monkeypatch.setattr(color, "cifar10_classifier", lambda device="cpu": judge)
    monkeypatch.setattr(color, "_classifier_ships", lambda: True)
    monkeypatch.setattr(color, "JUDGED", 500)
    return judge


class Blank(nn.Module):
    """A decoder of one gray image, whatever the code."""

    def forward(self, codes: Tensor) -> Tensor:
        return torch.zeros(len(codes), 3072)


class Noise(nn.Module):
    """A decoder of all colors: what the images here are like."""

    def forward(self, codes: Tensor) -> Tensor:
        return torch.rand(len(codes), 3072, generator=torch.Generator().manual_seed(0)).logit()


@torch.no_grad()
def test_a_generator_of_one_blank_image_cannot_go_unseen(judge: Classifier) -> None:
    generator = torch.Generator().manual_seed(1)
    training, held_out = (
        Images(torch.rand(600, 3072, generator=generator), torch.arange(600) % 10) for _ in range(2)
    )
    experiment, found = find("age-cifar10"), {}
    for decoder in (Noise(), Blank()):
        model = tiny("AGE", color.SHAPE).eval()
        model.decoder = decoder
        evidence = examine(experiment, model, held_out, {"data_name": "CIFAR10"}, training)
        found[type(decoder).__name__] = measure(experiment, evidence)
    fine, blank = found["Noise"], found["Blank"]
    assert blank.keys() == fine.keys() >= {*color.COLOR.columns} - {"test_error_percent"}
    assert blank["cifar10_fid"] > 20 * fine["cifar10_fid"]
    assert blank["class_score"] == pytest.approx(1) and fine["class_score"] > 5
    assert blank["feature_coverage"] < 0.1 and fine["feature_coverage"] > 0.8
    assert blank["rarest_class"] == 0 and fine["rarest_class"] > 0.03
    assert blank["fine_detail_percent"] < 1e-6 and fine["fine_detail_percent"] == pytest.approx(100, rel=0.02)
    assert blank["same_class_percent"] == pytest.approx(10)
    assert (evidence.reconstructions == 128).all() and evidence.reconstructions.shape == (8, 3072)
    other = examine(experiment, model, held_out, {"data_name": "other colors"}, training)
    assert not {"fid", "class_score"} & other.tensors.keys(), "its classifier knows no other images"
    half = Images(held_out.images[:, :768], held_out.labels, shape=(3, 16, 16))
    other = examine(experiment, tiny("AGE", half.shape).eval(), half, {"data_name": "CIFAR10"}, half)
    assert not {"fid", "class_score"} & other.tensors.keys(), "and no other sizes"


def test_the_encoder_compares_features_and_the_generator_does_not(judge: Classifier) -> None:
    images = Images(torch.rand(20, 3072), torch.full((20,), -1))
    model = find("age-cifar10-semantic").build(color.SHAPE, 10, UniformSphere(3), channels=4, decoder_channels=4)
    code = model.encode(images.images)
    with_features = model.image_error(code, images.images)
    model.feature_weight = 0.0
    without = model.image_error(code, images.images)
    back, wanted = (judge.features(part) for part in (model.decode(code), images.images))
    assert (with_features - without).item() == pytest.approx(
        1 - nn.functional.cosine_similarity(back, wanted).mean().item(), rel=1e-3
    )
    assert set(dict(model.named_children())) == {"encoder", "decoder"}, "the classifier is no part of the model"
    (report,) = train(model, images, Recipe(dict.fromkeys(model.moves, Adam(1e-3)), 2, batch_size=10), bfloat16=False)
    assert report.step == 2


def test_the_classifier_is_trained_and_judges_training_against_test_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar10(tmp_path, monkeypatch)
    experiment = replace(color.CIFAR10_CLASSIFIER, settings={"channels": 4})
    *_, report = train_experiment(experiment, load_images("CIFAR10", tmp_path), tmp_path / "run", steps=1)
    evidence = read_evidence(evidence_path(experiment, 0, tmp_path / "run"))
    found = measure(experiment, evidence)
    assert report.measures["test_error_percent"] <= 100 and found["cifar10_fid"] > 0
    assert "samples" not in evidence.tensors and found["nearest_distance"] > 0


def test_the_official_decoder_makes_each_pixel_of_the_channels_at_its_place() -> None:
    decoder, codes = convolutional_decoder(5, (3, 30, 32), 4, pointwise=True).eval(), torch.randn(2, 5)
    *layers, last, frame = decoder
    channels = nn.Sequential(*layers)(codes)
    assert channels.shape == (2, 4, 32, 32) and last.weight.shape == (3, 4, 1, 1)
    colors = torch.einsum("nchw,dc->ndhw", channels, last.weight[:, :, 0, 0]) + last.bias[:, None, None]
    torch.testing.assert_close(decoder(codes), colors[:, :, 1:31].flatten(1))


def test_the_classifier_is_small_and_its_last_layer_sees_means() -> None:
    network = plain_convolutions(10, (3, 32, 32))
    assert sum(parameter.numel() for parameter in network.parameters()) < 1.2e6, "a byte each, as it ships"
    assert network(torch.rand(2, 3072)).shape == (2, 10) and network[-1].in_features == 256


@pytest.mark.parametrize("name", [name for name in NAMES if weights_path(find(name), PRETRAINED).exists()])
def test_with_cifar10_at_hand_the_evidence_follows_from_the_shipped_weights(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first test images, and of as many samples; numbers of all together are left out."""
    data, trained = color.cifar10_at_hand(), load_trained(name)
    if data is None:
        pytest.skip("needs CIFAR-10 (AAE_DATA)")
    monkeypatch.setattr(color, "JUDGED", 300)
    stored = load_evidence(name, trained.header["seed"]).tensors
    found = examine(find(name), trained.model, data.test[:300], trained.header).tensors
    compared = found.keys() & {"predictions", "sample_classes", "reconstructed_classes", "squared_errors"}
    assert compared
    for entry in compared - {"squared_errors"}:
        assert (found[entry] != stored[entry][:300]).sum() <= 1, entry
    if "squared_errors" in compared:
        assert torch.allclose(found["squared_errors"], stored["squared_errors"][:300], atol=0.05, rtol=0.01)
