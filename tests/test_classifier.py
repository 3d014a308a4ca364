"""The classifier alone: the semi-supervised model's classification, and nothing that its images teach beside it."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aae_lib.data import Digits, Images, balanced_subset
from aae_lib.models import Classifier, SemiSupervisedAutoencoder
from aae_lib.networks import RandomAffine
from aae_lib.training import SGD, Recipe, TrainingError, train


def tiny(input_noise: float = 0.3, hidden: tuple[int, ...] = (16,), **settings: Any) -> Classifier:
    """With weights larger than the paper's, so that every update shows within a few steps."""
    torch.manual_seed(0)
    model = Classifier(hidden=hidden, input_noise=input_noise, **settings)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model


def run(model: Classifier, images: Images | tuple[Images, ...], rate: float, steps: int, **arguments: Any) -> list:
    recipe = Recipe({"classification": SGD(rate, 0.9)}, steps)
    return list(train(model, images, recipe, device="cpu", **{"bfloat16": False, **arguments}))


def of_truth(model: Classifier, images: Images) -> Tensor:
    """Mean probability of the true label."""
    with torch.no_grad():
        return model.encode(images.images).gather(1, images.labels[:, None]).mean()


def test_its_code_is_the_labels_probabilities(images: Images) -> None:
    model = tiny().eval()
    logits, codes = model.classify(images.images), model.encode(images.images)
    assert logits.shape == codes.shape == (600, 10) and codes.dtype == torch.float32
    torch.testing.assert_close(codes, logits.exp() / logits.exp().sum(1, keepdim=True))
    assert torch.equal(model.code_of(images), codes)
    other = Classifier(classes=3, hidden=(8, 5))
    assert other.encode(torch.rand(7, 784)).shape == (7, 3)
    assert [tuple(parameter.shape) for parameter in other.parameters() if parameter.ndim > 1] == [
        (8, 784), (5, 8), (3, 5)
    ]  # fmt: skip


def test_it_has_no_decoder_and_no_prior() -> None:
    with pytest.raises(NotImplementedError, match="Classifier has no decoder"):
        tiny().decode(torch.rand(3, 10))
    assert tiny().prior is None and [name for name, _ in tiny().named_children()] == ["encoder"]


def test_its_loss_is_the_cross_entropy_of_the_labels(images: Images) -> None:
    model = tiny().eval()
    ((name, loss),) = model.updates(images)
    hidden = (images.images @ model.encoder[1].weight.T + model.encoder[1].bias).clamp_min(0)
    logits = (hidden @ model.encoder[3].weight.T + model.encoder[3].bias).double()
    expected = (logits.exp().sum(1).log() - logits[torch.arange(600), images.labels]).mean()
    assert name == "classification" and loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_it_is_the_classification_of_the_semi_supervised_model(images: Images) -> None:
    """With the weights that make the label, noise included."""
    both = SemiSupervisedAutoencoder(style_dimensions=3, hidden=(16,)).train()
    model = tiny().train()
    state = both.encoder.state_dict()
    model.encoder.load_state_dict({name: rows[:10] if name.startswith("3") else rows for name, rows in state.items()})
    *_, noise_of_the_last = _random_states(both, images)
    torch.set_rng_state(noise_of_the_last)
    ((name, loss),) = model.updates(images)
    assert loss.item() == pytest.approx(_classification(both, images), rel=1e-6)
    assert SemiSupervisedAutoencoder.moves[name] == Classifier.moves[name] == ("encoder",)


def _random_states(model: SemiSupervisedAutoencoder, images: Images) -> list[Tensor]:
    """torch's random numbers before each pass through the encoder, in a step that begins with seed 5."""
    states: list[Tensor] = []
    hook = model.encoder.register_forward_pre_hook(lambda *_: states.append(torch.get_rng_state()))
    _classification(model, images)
    hook.remove()
    return states


def _classification(model: SemiSupervisedAutoencoder, images: Images) -> float:
    torch.manual_seed(5)
    return dict(model.updates(images, images))["classification"].item()


def test_noise_is_on_the_images_while_training_alone(images: Images) -> None:
    model = tiny(0.5)
    seen: list[Tensor] = []
    model.encoder[1].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    for mode in (True, False):
        list(model.train(mode).updates(images))
    noisy, clean = seen
    assert torch.equal(clean, images.images)
    assert (noisy - clean).std().item() == pytest.approx(0.5, rel=0.01)


def test_images_are_moved_while_training_alone_and_keep_their_labels(images: Images) -> None:
    motion = (2.0, 15.0, 0.1, 0.2)
    model = tiny(0.5, input_motion=motion)
    seen: list[Tensor] = []
    model.encoder[2].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    torch.manual_seed(3)
    ((_, loss),) = model.train().updates(images)
    list(model.eval().updates(images))
    moved, still = seen
    torch.manual_seed(3)
    expected = RandomAffine(*motion).train()(images.images) + 0.5 * torch.randn(600, 784)
    assert torch.equal(moved, expected) and torch.equal(still, images.images)
    hidden = (moved @ model.encoder[2].weight.T + model.encoder[2].bias).clamp_min(0)
    logits = (hidden @ model.encoder[4].weight.T + model.encoder[4].bias).double()
    of_truth = logits.softmax(1)[torch.arange(600), images.labels]
    assert loss.item() == pytest.approx(-of_truth.log().mean().item(), rel=1e-5)
    without = tiny(0.5)
    assert without.input_motion == () and without.encoder[1].weight.shape == (16, 784)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_each_step_raises_the_probability_of_the_true_label(bfloat16: bool, images: Images) -> None:
    model = tiny(input_noise=0.0)
    few = images[:100]
    before = of_truth(model, few)
    for steps in range(1, 6):
        run(model, few, 0.02 / steps, 1, bfloat16=bfloat16)
        after = of_truth(model, few)
        assert after > before
        before = after


def test_it_names_held_out_digits_after_a_hundred_labels(digits: Digits) -> None:
    torch.manual_seed(0)
    model = Classifier(hidden=(100,))
    labeled = digits.train[balanced_subset(digits.train.labels, 100, seed=0)]
    (report,) = run(model, labeled, 0.1, 150)
    with torch.no_grad():
        wrong = model.classify(digits.test.images).argmax(1) != digits.test.labels
    assert wrong.double().mean() < 0.32  # 0.9 by chance
    assert report.losses["classification"] < 0.5 * math.log(10)


def test_another_number_of_sets_is_refused(images: Images) -> None:
    with pytest.raises(TrainingError, match=r"takes 1 minibatches \(labeled\), but there are 2 sets"):
        run(tiny(), (images, images), 0.1, 1)
