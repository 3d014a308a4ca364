"""M2: its bound is the formula, a sum over labels where there is none, and a bound."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import (
    check_that_no_label_of_an_unlabeled_image_is_read,
    labeled_as,
    perceptron,
    run,
    weights,
    with_large_weights,
)
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from aae_lib.data import Digits, Images, balanced_subset
from aae_lib.models import SemiSupervisedVariationalAutoencoder
from aae_lib.networks import RandomAffine, multilayer_perceptron
from aae_lib.training import SGD, Adam, Recipe, TrainingError

Sets = tuple[Images, Images]
STYLE = 3


def tiny(
    classification_weight: float = 5.0, input_noise: float = 0.3, **settings: Any
) -> SemiSupervisedVariationalAutoencoder:
    torch.manual_seed(0)
    settings = {"style_dimensions": STYLE, "hidden": (16,), **settings}
    model = SemiSupervisedVariationalAutoencoder(classification_weight, input_noise=input_noise, **settings)
    return with_large_weights(model)


def of_four_pixels() -> SemiSupervisedVariationalAutoencoder:
    """A model of images of four pixels with a one-dimensional style, small enough to integrate over."""
    model = tiny(classification_weight=0.0, classes=3, style_dimensions=1)
    torch.manual_seed(0)
    model.classifier = multilayer_perceptron(4, 3, (5,), deviation=0.6)
    model.encoder = multilayer_perceptron(4 + 3, 2, (5,), deviation=0.6)
    model.decoder = multilayer_perceptron(3 + 1, 4, (5,), deviation=0.6)
    return model


def written_out(
    model: SemiSupervisedVariationalAutoencoder, images: Tensor, labels: Tensor, noise: Tensor
) -> Tensor:
    """L(x, y) in float64 by the distributions of another library, at the style that the noise makes: ``[n]``."""
    images, one_hot = images.double(), torch.eye(model.prior.classes).double()[labels]
    output = perceptron(model.encoder, torch.cat([images, one_hot], 1))
    dimensions = output.shape[1] // 2
    posterior = Normal(output[:, :dimensions], (output[:, dimensions:] / 2).exp())
    style = posterior.mean + posterior.stddev * noise.double()
    logits = perceptron(model.decoder, torch.cat([one_hot, style], 1))
    log_likelihood = Bernoulli(logits=logits, validate_args=False).log_prob(images).sum(1)
    kl = kl_divergence(posterior, Normal(torch.tensor(0.0).double(), torch.tensor(1.0).double())).sum(1)
    return -log_likelihood + kl - math.log(1 / model.prior.classes)


# The bound


@pytest.mark.parametrize("classes", [2, 10])
def test_the_labeled_bound_is_the_formula(classes: int, images: Images) -> None:
    model, labels = tiny(classes=classes), torch.arange(600) % classes
    torch.manual_seed(5)
    bound = model.bound(images.images, F.one_hot(labels, classes).float())
    torch.manual_seed(5)
    expected = written_out(model, images.images, labels, torch.randn(600, STYLE))
    assert bound.shape == (600,) and bound.dtype == torch.float32
    torch.testing.assert_close(bound.double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weight", [0.0, 50.0])
@torch.no_grad()
def test_the_loss_sums_over_all_labels_of_an_image_that_has_none(classes: int, weight: float, images: Images) -> None:
    """One image and one label after another, without noise on the images."""
    unlabeled, labeled = images[:20], Images(images.images[20:50], images.labels[20:50] % classes)
    model = tiny(weight, classes=classes).eval()
    torch.manual_seed(7)
    ((name, loss),) = model.updates(unlabeled, labeled)
    torch.manual_seed(7)
    of_labeled, of_unlabeled = torch.randn(30, STYLE), torch.randn(classes * 20, STYLE).reshape(classes, 20, STYLE)

    known = written_out(model, labeled.images, labeled.labels, of_labeled).mean()
    unknown = 0.0
    for index, image in enumerate(unlabeled.images):
        exponentials = perceptron(model.classifier, image[None].double())[0].exp()
        for label in range(classes):
            q = (exponentials[label] / exponentials.sum()).item()
            noise = of_unlabeled[label, index][None]
            bound = written_out(model, image[None], torch.tensor([label]), noise).item()
            unknown += (q * bound + q * math.log(q)) / 20
    logits = perceptron(model.classifier, labeled.images.double())
    of_truth = (logits.softmax(1))[torch.arange(30), labeled.labels]
    expected = known.item() + unknown - weight * of_truth.log().mean().item()
    assert name == "evidence_lower_bound" and loss.item() == pytest.approx(expected, rel=1e-6)


def exact(model: SemiSupervisedVariationalAutoencoder, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """By a fine sum over the style: log p(x, y) of each label, KL(q(z|x, y) || p(z|x, y)) of each, and q(y|x)."""
    style = torch.linspace(-12, 12, 24001).double()
    width = style[1] - style[0]
    log_joint, kl = [], []
    for label in torch.eye(model.prior.classes).double():
        logits = perceptron(model.decoder, torch.cat([label.expand(len(style), -1), style[:, None]], 1))
        log_p = Bernoulli(logits=logits, validate_args=False).log_prob(image.double()).sum(1)
        log_p = log_p - style.square() / 2 - math.log(2 * math.pi) / 2 - math.log(model.prior.classes)
        mean, log_variance = perceptron(model.encoder, torch.cat([image.double(), label])[None])[0]
        log_q = Normal(mean, (log_variance / 2).exp()).log_prob(style)
        log_joint.append((log_p.exp() * width).sum().log())
        kl.append((log_q.exp() * (log_q - log_p + log_joint[-1]) * width).sum())
    return torch.stack(log_joint), torch.stack(kl), perceptron(model.classifier, image[None].double()).softmax(1)[0]


@torch.no_grad()
def test_the_bounds_are_bounds_and_their_gaps_are_the_divergences_from_the_true_posterior() -> None:
    """L = -log p(x, y) + KL(q(z|x, y) || p(z|x, y)), and U = -log p(x) + KL(q(y, z|x) || p(y, z|x))."""
    model, count = of_four_pixels(), 100_000
    for image in torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]]):
        log_joint, kl, q = exact(model, image)
        gap = (q * (q.log() - log_joint + log_joint.logsumexp(0) + kl)).sum()
        assert kl.min() > 0.01 and gap > 0.05
        images = image.repeat(count, 1)
        for label in range(3):
            bound = model.bound(images, torch.eye(3)[label].repeat(count, 1)).double()
            assert bound.mean().item() == pytest.approx((kl[label] - log_joint[label]).item(), abs=0.04)
        labeled = Images(images[:1], torch.tensor([0]))
        torch.manual_seed(3)
        of_labeled = model.bound(labeled.images, torch.eye(3)[:1]).mean()  # the first that the loss computes
        torch.manual_seed(3)
        ((_, loss),) = model.updates(Images(images, torch.full((count,), -1)), labeled)
        assert (loss - of_labeled).item() == pytest.approx((gap - log_joint.logsumexp(0)).item(), abs=0.04)


@torch.no_grad()
def test_training_on_all_there_is_tightens_the_bound() -> None:
    """Of sixteen possible images three occur: their -log p(x), which is below the bound, falls with it."""

    def log_likelihood() -> float:
        return torch.stack([exact(model, image)[0].logsumexp(0) for image in patterns]).mean().item()

    patterns = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0]])
    everything = Images(patterns.repeat(100, 1), torch.arange(300) % 3)
    model = of_four_pixels()
    before = log_likelihood()
    reports = run(model, (everything, everything), Recipe({"evidence_lower_bound": Adam(0.02)}, 200), report_every=50)
    first, *_, last = [report.losses["evidence_lower_bound"] for report in reports]
    assert before < -2.5 and -1.3 < log_likelihood() <= -math.log(3) and last < first - 1
    assert last > -log_likelihood() + math.log(3)  # U is above -log p(x), and L above -log p(x, y)


def test_what_each_term_reaches(sets: Sets) -> None:
    def reached(loss: Tensor, model: SemiSupervisedVariationalAutoencoder) -> set[str]:
        found = set()
        for name, network in model.named_children():
            parameters = list(network.parameters())
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            if any(gradient is not None and gradient.any() for gradient in gradients):
                found.add(name)
        return found

    unlabeled, labeled = sets
    model = tiny(classification_weight=0.0)
    bound = model.bound(labeled.images, F.one_hot(labeled.labels, 10).float())
    assert reached(bound.mean(), model) == {"encoder", "decoder"}
    ((_, loss),) = model.updates(unlabeled, labeled)  # the classifier learns from unlabeled images as well
    assert reached(loss, model) == {"classifier", "encoder", "decoder"}


# Codes


def test_a_code_is_the_labels_probabilities_and_a_sample_of_the_style_of_the_likeliest(images: Images) -> None:
    model = tiny().eval()
    torch.manual_seed(5)
    codes = model.encode(images.images)
    torch.manual_seed(5)
    noise = torch.randn(600, STYLE)
    probabilities = perceptron(model.classifier, images.images.double()).softmax(1)
    one_hot = torch.eye(10)[probabilities.argmax(1)]
    output = perceptron(model.encoder, torch.cat([images.images, one_hot], 1).double())
    expected = torch.cat([probabilities, output[:, :STYLE] + (output[:, STYLE:] / 2).exp() * noise], 1)
    assert codes.shape == (600, 10 + STYLE) and codes.dtype == torch.float32
    torch.testing.assert_close(codes.double(), expected, rtol=0, atol=1e-5)
    torch.manual_seed(5)
    assert torch.equal(model.code_of(images), codes)
    assert not torch.equal(model.encode(images.images)[:, 10:], codes[:, 10:])


def test_images_are_made_of_label_and_style() -> None:
    model = tiny()
    codes = torch.cat([torch.eye(10), torch.zeros(10, STYLE)], 1)
    decoded = model.decode(codes)
    assert decoded.shape == (10, 784) and 0 < decoded.min() < decoded.max() < 1
    expected = perceptron(model.decoder, codes.double()).sigmoid()
    torch.testing.assert_close(decoded.double(), expected, rtol=0, atol=1e-6)
    restyled = model.decode(codes + torch.tensor([0.0] * 10 + [1.0] * STYLE))
    for one, other in [(decoded[0], decoded[1]), (decoded[8], decoded[9]), (decoded[4], restyled[4])]:
        assert (one - other).abs().max() > 0.01


def test_sizes_are_those_asked_for() -> None:
    model = SemiSupervisedVariationalAutoencoder(1.0, classes=4, style_dimensions=2, hidden=(8, 5))
    expected = [[(784, 8), (8, 5), (5, 4)], [(788, 8), (8, 5), (5, 4)], [(6, 8), (8, 5), (5, 784)]]
    for network, sizes in zip(model.children(), expected, strict=True):
        assert [(one.in_features, one.out_features) for one in network if isinstance(one, nn.Linear)] == sizes
    assert model.encode(torch.rand(7, 784)).shape == (7, 6) and model.classify(torch.rand(7, 784)).shape == (7, 4)


# Training


def test_only_the_classifier_sees_noise_and_only_while_training(sets: Sets) -> None:
    unlabeled, labeled = (part[:100] for part in sets)
    model = tiny(input_noise=0.25)
    shown: dict[str, list[Tensor]] = {}
    for name, network in {"classifier": model.classifier[1], "encoder": model.encoder}.items():
        shown[name] = inputs = []
        network.register_forward_pre_hook(lambda _, arguments, inputs=inputs: inputs.append(arguments[0].detach()))
    list(model.updates(unlabeled, labeled))
    list(model.eval().updates(unlabeled, labeled))
    of_unlabeled, of_labeled, clean_unlabeled, clean_labeled = shown["classifier"]
    assert torch.equal(clean_unlabeled, unlabeled.images) and torch.equal(clean_labeled, labeled.images)
    for seen, clean in ((of_unlabeled, unlabeled), (of_labeled, labeled)):
        assert (seen - clean.images).std().item() == pytest.approx(0.25, rel=0.01)
    for known, every in (shown["encoder"][:2], shown["encoder"][2:]):
        assert torch.equal(known, torch.cat([labeled.images, torch.eye(10)[labeled.labels]], 1))
        assert torch.equal(every[:, :784], unlabeled.images.repeat(10, 1))
        assert torch.equal(every[:, 784:].argmax(1), torch.arange(10).repeat_interleave(100))


@torch.no_grad()
def test_only_the_classifier_sees_images_moved_and_only_while_training(sets: Sets) -> None:
    """All else in the loss, written out, is as of images that stay where they are."""
    unlabeled, labeled = (part[:100] for part in sets)
    motion = (2.0, 15.0, 0.1, 0.2)
    model, seen, given = tiny(input_noise=0.0, input_motion=motion).train(), [], []
    model.classifier[2].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    model.encoder.register_forward_pre_hook(lambda _, arguments: given.append(arguments[0][:, :784]))
    torch.manual_seed(5)
    ((_, loss),) = model.updates(unlabeled, labeled)
    torch.manual_seed(5)
    of_labeled, of_unlabeled = torch.randn(100, STYLE), torch.randn(1000, STYLE)
    moved = []
    for part in (unlabeled, labeled):
        moved.append(RandomAffine(*motion).train()(part.images))
        torch.randn(100, 784)  # noise of no size
    for found, expected, part in zip(seen, moved, (unlabeled, labeled), strict=True):
        assert torch.equal(found, expected) and (found != part.images).any(1).all()
    assert torch.equal(given[0], labeled.images) and torch.equal(given[1], unlabeled.images.repeat(10, 1))

    every_label = torch.arange(10).repeat_interleave(100)
    known = written_out(model, labeled.images, labeled.labels, of_labeled).mean()
    bound = written_out(model, unlabeled.images.repeat(10, 1), every_label, of_unlabeled).view(10, 100)
    q, of_truth = (perceptron(model.classifier, images.double()).softmax(1) for images in moved)
    unknown = (q.T * (bound + q.T.log())).sum(0).mean()
    expected = known + unknown - 5.0 * of_truth[torch.arange(100), labeled.labels].log().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)

    list(model.eval().updates(unlabeled, labeled))
    assert torch.equal(seen[2], unlabeled.images) and torch.equal(seen[3], labeled.images)
    assert tiny().input_motion == () and tiny().classifier[1].weight.shape == (16, 784)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_its_update_moves_all_networks(bfloat16: bool, sets: Sets, make_recipe) -> None:
    model = tiny()
    before = {name: weights(network) for name, network in model.named_children()}
    (report,) = run(model, sets, make_recipe(model, 1), bfloat16=bfloat16)
    assert list(report.losses) == ["evidence_lower_bound"]
    assert list(before) == ["classifier", "encoder", "decoder"]
    for name, network in model.named_children():
        assert not any(torch.equal(*pair) for pair in zip(before[name], network.parameters(), strict=True))


def test_no_label_of_an_unlabeled_image_is_read(sets: Sets, make_recipe) -> None:
    check_that_no_label_of_an_unlabeled_image_is_read(
        tiny, sets, lambda model, steps: make_recipe(model, steps, SGD(0.002))
    )


def test_another_number_of_sets_is_refused(sets: Sets, make_recipe) -> None:
    model = tiny()
    with pytest.raises(TrainingError, match=r"takes 2 minibatches \(unlabeled, labeled\), but there are 1 sets"):
        run(model, sets[0], make_recipe(model, 1))


@pytest.mark.parametrize("label", [10, -1])
def test_labels_that_there_are_not_are_refused(label: int, sets: Sets) -> None:
    with pytest.raises(RuntimeError, match="Class values must be"):
        list(tiny().updates(sets[0], labeled_as(sets[1], label)))


def test_a_hundred_labels_name_held_out_digits(digits: Digits) -> None:
    torch.manual_seed(0)
    model = SemiSupervisedVariationalAutoencoder(100.0, style_dimensions=5, hidden=(64,))
    labeled = digits.train[balanced_subset(digits.train.labels, 100, seed=0)]
    recipe = Recipe({"evidence_lower_bound": Adam(0.003)}, steps=60)
    reports = run(model, (labeled_as(digits.train, -1), labeled), recipe, report_every=20)
    with torch.no_grad():
        wrong = model.classify(digits.test.images).argmax(1) != digits.test.labels
    assert wrong.double().mean() < 0.35  # 0.9 by chance
    losses = [report.losses["evidence_lower_bound"] for report in reports]
    assert losses[0] > losses[1] > losses[2]
