"""The losses of all systems against formulas that are written out in float64."""

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from short_runs import run
from support import SYSTEMS, sets_of, tiny, with_any_statistics
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from aae_lib.data import Images
from aae_lib.losses import gaussian_kl
from aae_lib.models import Model, SemiSupervisedVariationalAutoencoder
from aae_lib.models.vae import sampled_kl
from aae_lib.networks import multilayer_perceptron
from aae_lib.priors import Categorical, Gaussian, GaussianMixture, LabelAndStyle
from aae_lib.seeding import seeded
from aae_lib.training import Adam, Recipe

Sets = tuple[Images, Images]
Losses = list[tuple[str, Tensor]]


class Drawn:
    """What a step has drawn, in float64: samples of priors, and Gaussian noise beside them, in their order."""

    def __init__(self, model: Model, monkeypatch: pytest.MonkeyPatch):
        self.samples: list[Tensor] = []
        self.noise: list[Tensor] = []
        self.sampling = False
        prior = model.prior
        for part in (prior, getattr(prior, "label", None), getattr(prior, "style", None)):
            for method in ("sample", "sample_of_class"):
                if hasattr(part, method):
                    monkeypatch.setattr(part, method, self.keeping(getattr(part, method)))
        for function in ("randn", "randn_like"):
            monkeypatch.setattr(torch, function, self.keeping(getattr(torch, function), self.noise))

    def keeping(self, draw: Callable[..., Tensor], diary: list[Tensor] | None = None) -> Callable[..., Tensor]:
        def drawing(*arguments: Any, **keywords: Any) -> Tensor:
            inside, self.sampling = self.sampling, self.sampling or diary is None
            drawn = draw(*arguments, **keywords)
            self.sampling = inside
            if not inside:
                (self.samples if diary is None else diary).append(drawn.double())
            return drawn

        return drawing


# The terms


def half_error(net: Model, codes: Tensor, x: Tensor) -> Tensor:
    return 0.5 * ((1 / (1 + torch.exp(-net.decoder(codes))) - x) ** 2).sum(1).mean()


def probability(discriminator: nn.Module, codes: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-discriminator(codes)))


def tell(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return -probability(discriminator, real).log().mean() - (1 - probability(discriminator, fake)).log().mean()


def fool(discriminator: nn.Module, fake: Tensor) -> Tensor:
    return -probability(discriminator, fake).log().mean()


def softmax(logits: Tensor) -> Tensor:
    return logits.exp() / logits.exp().sum(1, keepdim=True)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return -softmax(logits)[torch.arange(len(labels)), labels].log().mean()


def one_hot(labels: Tensor, classes: int = 10) -> Tensor:
    return torch.eye(classes).double()[labels]


def game(net: Model, code: Tensor, real: Tensor) -> Losses:
    return [("discriminator", tell(net.discriminator, real, code)), ("generator", fool(net.discriminator, code))]


# The systems


def autoencoder(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    return [("reconstruction", half_error(net, net.encoder(x), x))]


def adversarial(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    return autoencoder(net, drawn, x, y) + game(net, net.encoder(x), drawn.samples[0])


def gaussian_posterior(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    output = net.encoder.network(x)
    first, second = (output[:, :2] + torch.exp(output[:, 2:] / 2) * noise for noise in drawn.noise)
    return [("reconstruction", half_error(net, first, x)), *game(net, second, drawn.samples[0])]


def universal_posterior(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    first, second = (net.encoder.network(torch.cat([x, noise], 1)) for noise in drawn.noise)
    return [("reconstruction", half_error(net, first, x)), *game(net, second, drawn.samples[0])]


def label_informed(net: Model, drawn: Drawn, x: Tensor, known: Tensor, y: Tensor) -> Losses:
    """The discriminator is told 10, "unknown", of the 300 unlabeled images; labeled ones count twice, all blurred."""
    everything = torch.cat([x, known])
    told = one_hot(torch.cat([torch.full((len(x),), 10), y]), 11)
    code, real = net.encoder(everything), torch.cat(drawn.samples)
    real, fake = (
        torch.cat([codes + 0.1 * noise, told], 1) for codes, noise in zip((real, code), drawn.noise, strict=True)
    )
    missed = -probability(net.discriminator, fake).log()
    return [
        ("reconstruction", half_error(net, code, everything)),
        ("discriminator", tell(net.discriminator, real, fake)),
        ("generator", (missed[: len(x)].sum() + 2 * missed[len(x) :].sum()) / len(everything)),
    ]


def supervised(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    style = net.encoder(x)
    told, real = drawn.samples
    assert torch.equal(told, one_hot(y))
    return [("reconstruction", half_error(net, torch.cat([told, style], 1), x)), *game(net, style, real)]


def label_and_style(net: Model, drawn: Drawn, x: Tensor, classes: int, heads: bool, label_weight: float) -> Losses:
    output = net.encoder(x)
    label, style = softmax(output[:, :classes]), output[:, classes:]
    codes = label @ net.heads.positions + style if heads else torch.cat([label, style], 1)
    of_label, of_style = net.label_discriminator, net.style_discriminator
    real_label, real_style = drawn.samples
    told = label_weight * tell(of_label, real_label, label) + tell(of_style, real_style, style)
    fooled = label_weight * fool(of_label, label) + fool(of_style, style)
    return [("reconstruction", half_error(net, codes, x)), ("discriminator", told), ("generator", fooled)]


def clustering(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    return label_and_style(net, drawn, x, 6, False, 0.3)


def semi_supervised(net: Model, drawn: Drawn, x: Tensor, known: Tensor, y: Tensor) -> Losses:
    return [
        *label_and_style(net, drawn, x, 10, False, 0.3),
        ("classification", cross_entropy(net.encoder(known)[:, :10], y)),
    ]


def crowding(net: Model) -> Tensor:
    pairs = itertools.combinations(net.heads.positions, 2)
    return sum((2 - (one - other).square().sum().sqrt()).clamp_min(0) for one, other in pairs)


def reducing(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    return [*label_and_style(net, drawn, x, 6, True, 0.3), ("heads", crowding(net))]


def reducing_with_labels(net: Model, drawn: Drawn, x: Tensor, known: Tensor, y: Tensor) -> Losses:
    losses = [*label_and_style(net, drawn, x, 10, True, 0.3), ("heads", crowding(net))]
    return [*losses, ("classification", cross_entropy(net.encoder(known)[:, :10], y))]


def fixed_heads(net: Model, drawn: Drawn, x: Tensor, known: Tensor, y: Tensor) -> Losses:
    known_label = "classification", cross_entropy(net.encoder(known)[:, :10], y)
    return [*label_and_style(net, drawn, x, 10, True, 0.3), known_label]


def classifier(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    return [("classification", cross_entropy(net.classifier(x), y))]


def variational(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    mean, log_variance = net.encoder(x).chunk(2, dim=1)
    kl = 0.5 * ((log_variance.exp() + mean**2) - 1 - log_variance).sum(1).mean()
    code = mean + torch.exp(log_variance / 2) * drawn.noise[0]
    return [("evidence_lower_bound", half_error(net, code, x) + 0.25 * kl)]


def variational_mixture(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    mean, log_variance = net.encoder(x).chunk(2, dim=1)
    code = mean + torch.exp(log_variance / 2) * drawn.noise[0]
    kl = Normal(mean, torch.exp(log_variance / 2)).log_prob(code).sum(1) - GaussianMixture().log_prob(code)
    return [("evidence_lower_bound", half_error(net, code, x) + 0.25 * kl.mean())]


def of_pixels(logits: Tensor, x: Tensor) -> Tensor:
    return Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(1)


def of_features(numbers: Tensor, x: Tensor) -> Tensor:
    mean, log_variance = numbers.chunk(2, dim=1)
    return Normal(mean, log_variance.exp().sqrt()).log_prob(x).sum(1)


Likelihood = Callable[[Tensor, Tensor], Tensor]


def posterior(encoder: nn.Module, x: Tensor) -> Normal:
    mean, log_variance = encoder(x).chunk(2, dim=1)
    return Normal(mean, log_variance.exp().sqrt())


def bound(net: Model, x: Tensor, labels: Tensor, noise: Tensor, log_likelihood: Likelihood) -> Tensor:
    """L(x, y) of M2 in nats, ``[n]``, at the styles that the noise makes."""
    y = one_hot(labels, net.prior.classes)
    q = posterior(net.encoder, torch.cat([x, y], 1))
    numbers = net.decoder(torch.cat([y, q.mean + q.stddev * noise], 1))
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    return kl - log_likelihood(numbers, x) - math.log(1 / net.prior.classes)


def of_m2(net: Model, x: Tensor, known: Tensor, y: Tensor, noise: list[Tensor], log_likelihood: Likelihood) -> Tensor:
    known_bound = bound(net, known, y, noise[0], log_likelihood).mean()
    loss = net.labeled_weight * known_bound + 5 * cross_entropy(net.classifier(known), y)
    q = softmax(net.classifier(x))
    for label, part in enumerate(noise[1].chunk(10)):
        of_label = bound(net, x, torch.full((len(x),), label), part, log_likelihood)
        loss = loss + (q[:, label] * (of_label + q[:, label].log())).mean()
    return loss


def m2(net: Model, drawn: Drawn, x: Tensor, known: Tensor, y: Tensor) -> Losses:
    return [("evidence_lower_bound", of_m2(net, x, known, y, drawn.noise, of_pixels))]


def m1_m2(net: Model, drawn: Drawn, x: Tensor, known: Tensor, y: Tensor) -> Losses:
    below, labeled = posterior(net.vae.encoder, x), posterior(net.vae.encoder, known)
    of_images, of_code, of_labeled, *noise = drawn.noise
    log_likelihood = of_pixels(net.vae.decoder(below.mean + below.stddev * of_images), x)
    first = (0.25 * kl_divergence(below, Normal(0.0, 1.0)).sum(1) - log_likelihood).mean()
    codes = below.mean + below.stddev * of_code, labeled.mean + labeled.stddev * of_labeled
    return [("first_layer", first), ("second_layer", of_m2(net, *codes, y, noise, of_features))]


def divergence(codes: Tensor) -> Tensor:
    """AGE, equation 7, with the mean m and the standard deviation s of each dimension over the minibatch."""
    m, s = codes.mean(0), ((codes - codes.mean(0)) ** 2).mean(0).sqrt()
    return -0.5 + ((s**2 + m**2) / 2 - s.log()).mean()


def age(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    """Equations 2 to 4; images from -1 to 1, as the official code has them."""

    def encode(images: Tensor) -> Tensor:
        codes = net.encoder[:-1](images)
        return codes / codes.square().sum(1, keepdim=True).sqrt()

    def decode(codes: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-net.decoder(codes)))

    z, *others = drawn.samples
    image_error = ((2 * decode(encode(x)) - 1) - (2 * x - 1)).abs().mean()
    losses = [("encoder", divergence(encode(x)) - divergence(encode(decode(z))) + 3 * image_error)]
    for z in others:
        back = encode(decode(z))
        losses.append(("generator", divergence(back) + 20 * ((z - back) ** 2).mean() + 4 * image_error))
    assert len(losses) == 4
    return losses


def gan(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    fake = 1 / (1 + torch.exp(-net.decoder(drawn.samples[0])))
    return [("discriminator", tell(net.discriminator, x, fake)), ("generator", fool(net.discriminator, fake))]


def ali(net: Model, drawn: Drawn, x: Tensor, y: Tensor) -> Losses:
    """Both networks want their pairs to be taken for the other kind."""
    mean, log_variance = net.encoder(x).chunk(2, dim=1)
    (z,) = drawn.samples
    real = torch.cat([x, mean + torch.exp(log_variance / 2) * drawn.noise[0]], 1)
    fake = torch.cat([1 / (1 + torch.exp(-net.decoder(z))), z], 1)
    return [("discriminator", tell(net.discriminator, real, fake)), ("generator", tell(net.discriminator, fake, real))]


CLUSTERED = {"label_weight": 0.3, "distance": 2.0}
FORMULAS = {
    "autoencoder": (autoencoder, {}),
    "adversarial": (adversarial, {}),
    "adversarial, augmented": (adversarial, {}),
    "gaussian posterior": (gaussian_posterior, {}),
    "universal posterior": (universal_posterior, {}),
    "label-informed": (label_informed, {}),
    "supervised": (supervised, {}),
    "semi-supervised": (semi_supervised, {"label_weight": 0.3}),
    "semi-supervised, augmented": (semi_supervised, {"label_weight": 0.3}),
    "semi-supervised, split": (semi_supervised, {"label_weight": 0.3}),
    "classifier": (classifier, {}),
    "M2": (m2, {"classification_weight": 5.0}),
    "M1 + M2": (m1_m2, {"kl_weight": 0.25, "classification_weight": 5.0, "labeled_weight": 0.5}),
    "clustering": (clustering, {"label_weight": 0.3}),
    "clustering, split": (clustering, {"label_weight": 0.3}),
    "clustering, guided": (semi_supervised, {"label_weight": 0.3}),
    "reducing": (reducing, CLUSTERED),
    "reducing, guided": (reducing_with_labels, CLUSTERED),
    "reducing, labels": (reducing_with_labels, CLUSTERED),
    "reducing, labels, fixed heads": (fixed_heads, {"label_weight": 0.3}),
    "reducing, labels, split": (reducing_with_labels, CLUSTERED),
    "variational": (variational, {"kl_weight": 0.25}),
    "variational, mixture": (variational_mixture, {"kl_weight": 0.25}),
    "convolutional VAE": (variational, {"kl_weight": 0.25}),
    "convolutional AAE": (adversarial, {}),
    "convolutional classifier": (classifier, {}),
    "AGE": (age, {"image_weight": 3.0, "code_weight": 20.0, "generator_image_weight": 4.0, "generator_updates": 3}),
    "color classifier": (classifier, {}),
    "GAN": (gan, {}),
    "ALI": (ali, {}),
}
# In training mode, where nothing but batch-norm differs: real and generated images must be normalized apart.
NORMALIZED = {
    "clustering": {"input_dropout": 0.0},
    "convolutional VAE": {},
    "convolutional AAE": {},
    "AGE": {},
    "GAN": {},
}


@pytest.mark.parametrize(
    ("name", "training"), [*((name, False) for name in SYSTEMS), *((name, True) for name in NORMALIZED)]
)
def test_the_losses_are_the_formulas(name: str, training: bool, sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    formula, settings = FORMULAS[name]
    model = with_any_statistics(tiny(name, **settings, **(NORMALIZED[name] if training else {}))).train(training)
    net = copy.deepcopy(model).double()
    unlabeled, labeled = (part[:150] for part in sets)
    parts = sets_of(model, labeled if name == "supervised" else unlabeled, labeled)
    with monkeypatch.context() as patch, seeded(7):
        drawn = Drawn(model, patch)
        found = list(model.updates(*parts))
    expected = formula(net, drawn, *(part.images.double() for part in parts), parts[-1].labels)
    assert [update for update, _ in found] == [update for update, _ in expected]
    for (update, loss), (_, value) in zip(found, expected, strict=True):
        assert loss.item() == pytest.approx(value.item(), rel=1e-4, abs=1e-5), update


# The estimate of the KL term


def a_posterior(mean: list[float], deviation: list[float], count: int) -> tuple[Tensor, Tensor, Tensor]:
    """One code, the mean and the log-variance of each of ``count`` equal posteriors."""
    center, log_variance = torch.tensor(mean).expand(count, 2), 2 * torch.tensor(deviation).log().expand(count, 2)
    center, log_variance = center.clone().requires_grad_(), log_variance.clone().requires_grad_()
    with seeded(0):
        return center + (0.5 * log_variance).exp() * torch.randn(count, 2), center, log_variance


def test_the_estimate_of_the_kl_agrees_with_the_closed_form_and_so_do_its_gradients() -> None:
    code, mean, log_variance = a_posterior([1.0, -0.5], [0.55, 1.2], 200_000)
    kinds = sampled_kl(code, mean, log_variance, Gaussian(2, 2.0)), gaussian_kl(mean, log_variance, 2.0)
    assert kinds[0].item() == pytest.approx(kinds[1].item(), abs=0.015)
    estimated, exact = (torch.stack(torch.autograd.grad(kl, [mean, log_variance])).sum(1) for kl in kinds)
    torch.testing.assert_close(estimated, exact, rtol=0, atol=0.01)


def test_a_posterior_that_is_one_of_ten_components_is_log_10_from_their_mixture() -> None:
    """But for the little that the components overlap."""
    code, mean, log_variance = a_posterior([1.4, 0.0], [0.5, 0.05], 50_000)
    assert sampled_kl(code, mean, log_variance, GaussianMixture()).item() == pytest.approx(math.log(10), abs=0.03)


# M2's bounds are bounds


def of_four_pixels() -> SemiSupervisedVariationalAutoencoder:
    """A model of images of four pixels with a one-dimensional style, small enough to integrate over."""
    with seeded(0):
        sizes = [(4, 3), (4 + 3, 2), (3 + 1, 4)]
        networks = [multilayer_perceptron(*size, (5,), deviation=0.6) for size in sizes]
    return SemiSupervisedVariationalAutoencoder(LabelAndStyle(Categorical(3), Gaussian(1)), *networks, 0.0)


def exact(model: SemiSupervisedVariationalAutoencoder, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """By a fine sum over the style: log p(x, y) of each label, KL(q(z|x, y) || p(z|x, y)) of each, and q(y|x)."""
    net, image = copy.deepcopy(model).double(), image.double()
    style = torch.linspace(-12, 12, 24001).double()
    width = style[1] - style[0]
    log_joint, kl = [], []
    for label in torch.eye(3).double():
        logits = net.decoder(torch.cat([label.expand(len(style), -1), style[:, None]], 1))
        log_p = Bernoulli(logits=logits, validate_args=False).log_prob(image).sum(1)
        log_p = log_p - style.square() / 2 - math.log(2 * math.pi) / 2 - math.log(3)
        mean, log_variance = net.encoder(torch.cat([image, label])[None])[0]
        log_q = Normal(mean, (log_variance / 2).exp()).log_prob(style)
        log_joint.append((log_p.exp() * width).sum().log())
        kl.append((log_q.exp() * (log_q - log_p + log_joint[-1]) * width).sum())
    return torch.stack(log_joint), torch.stack(kl), net.classifier(image[None]).softmax(1)[0]


@torch.no_grad()
def test_the_gaps_of_the_bounds_are_the_divergences_from_the_true_posterior() -> None:
    """L = -log p(x, y) + KL(q(z|x, y) || p(z|x, y)), and U = -log p(x) + KL(q(y, z|x) || p(y, z|x))."""
    model, count = of_four_pixels(), 50_000
    for image in torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]]):
        log_joint, kl, q = exact(model, image)
        gap = (q * (q.log() - log_joint + log_joint.logsumexp(0) + kl)).sum()
        assert kl.min() > 0.01 and gap > 0.05
        images = image.repeat(count, 1)
        for label in range(3):
            found = model.bound(images, torch.eye(3)[label].repeat(count, 1)).double().mean()
            assert found.item() == pytest.approx((kl[label] - log_joint[label]).item(), abs=0.05)
        labeled = Images(images[:1], torch.tensor([0]))
        with seeded(3):
            of_labeled = model.bound(labeled.images, torch.eye(3)[:1]).mean()  # the first that the loss computes
        with seeded(3):
            ((_, loss),) = model.updates(Images(images, torch.full((count,), -1)), labeled)
        assert (loss - of_labeled).item() == pytest.approx((gap - log_joint.logsumexp(0)).item(), abs=0.05)


@torch.no_grad()
def test_training_tightens_the_bound() -> None:
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
