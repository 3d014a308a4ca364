"""Labels in the discriminator: what it is shown, what no update reads, and where the labeled codes go."""

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from support import (
    check_that_no_label_of_an_unlabeled_image_is_read,
    equal,
    labeled_as,
    run,
    weights,
    with_large_weights,
)
from torch import Tensor, nn

from aae_lib.data import Digits, Images, balanced_subset
from aae_lib.losses import fool_loss, half_squared_error, real_fake_loss
from aae_lib.models import LabelInformedAutoencoder
from aae_lib.networks import RandomAffine
from aae_lib.priors import Categorical, ClassConditionalPrior, Gaussian, GaussianMixture, PriorError, SwissRoll
from aae_lib.training import SGD, Adam, Recipe, TrainingError

Sets = tuple[Images, Images]


def apart(images: Images, count: int) -> Sets:
    """The images of which nobody shall know the label, and ``count`` labeled ones, of which each digit has as many."""
    labeled = balanced_subset(images.labels, count, seed=0)
    is_labeled = torch.zeros(len(images), dtype=torch.bool).index_fill(0, labeled, True)
    return images[~is_labeled][: len(images) // 2], images[labeled]


def tiny(
    prior: ClassConditionalPrior, hidden: tuple[int, ...] = (32,), input_noise: float = 0.3, **settings: float
) -> LabelInformedAutoencoder:
    torch.manual_seed(0)
    settings = {"input_shift": 0.0, "dropout": 0.0, "encoder_share": 1.0, **settings}
    model = LabelInformedAutoencoder(prior, hidden, input_noise=input_noise, **settings)
    return with_large_weights(model)


# What the discriminator is shown


def test_the_switch_has_an_entry_for_each_label_and_one_for_none(images: Images) -> None:
    model = LabelInformedAutoencoder(GaussianMixture(), (8,))
    labeled = Images(images.images[:3], torch.tensor([0, 9, 3]))
    switch = model.switch(images[:2], labeled)
    assert torch.equal(switch, torch.eye(11)[[10, 10, 0, 9, 3]]) and switch.dtype == torch.float32
    model = LabelInformedAutoencoder(Categorical(3), (8,))
    assert model.switch(images[:1], labeled_as(images[:1], 2)).tolist() == [[0, 0, 0, 1], [0, 0, 1, 0]]


def seen_by_the_discriminator(unlabeled: Images, labeled: Images) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Real and fake codes with their switches, the generator's, and the two codes of one step on one-hot codes."""
    model = tiny(Categorical(10)).train()
    inputs, codes = [], []
    model.discriminator.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0].detach()))
    model.encoder.register_forward_hook(lambda module, arguments, output: codes.append(output.detach()))
    torch.manual_seed(1)
    for name, loss in model.updates(unlabeled, labeled):
        if name == "reconstruction":
            gradients = torch.autograd.grad(loss, list(model.encoder.parameters()))
            for parameter, gradient in zip(model.encoder.parameters(), gradients, strict=True):
                parameter.data -= 0.01 * gradient
    of_discriminator, of_generator = inputs
    real, fake = of_discriminator.split(len(unlabeled) + len(labeled))
    return real, fake, of_generator, codes


def test_labeled_samples_are_of_their_class_and_the_others_of_any(sets: Sets) -> None:
    unlabeled, labeled = sets
    real, _, _, _ = seen_by_the_discriminator(unlabeled, labeled)
    classes = real[:, :10].argmax(1)
    assert torch.equal(classes[300:], labeled.labels)
    assert torch.bincount(classes[:300], minlength=10).min() > 10
    assert (classes[:300] == unlabeled.labels).double().mean() < 0.2  # 0.1 by chance


def test_codes_come_with_the_same_switches_from_the_encoder_that_has_moved(sets: Sets) -> None:
    unlabeled, labeled = sets
    real, fake, of_generator, (before, after) = seen_by_the_discriminator(unlabeled, labeled)
    expected = torch.eye(11)[torch.cat([torch.full((300,), 10), labeled.labels])]
    assert torch.equal(real[:, 10:], expected) and torch.equal(fake[:, 10:], expected)
    assert torch.equal(fake[:, :10], after) and torch.equal(of_generator, fake)
    assert not torch.equal(before, after)


def test_the_losses_are_those_of_both_sets_together(sets: Sets) -> None:
    """Written out without noise: unlabeled images first, in codes, samples, switches and in what is reconstructed."""
    unlabeled, labeled = (part[:100] for part in sets)
    model = tiny(GaussianMixture()).eval()
    torch.manual_seed(7)
    losses = dict(model.updates(unlabeled, labeled))
    torch.manual_seed(7)
    everything = torch.cat([unlabeled.images, labeled.images])
    real = torch.cat([GaussianMixture().sample(100), GaussianMixture().sample_of_class(labeled.labels)])
    switch = torch.zeros(200, 11)
    switch[:100, 10] = 1
    switch[torch.arange(100, 200), labeled.labels] = 1
    code = model.encode(everything)
    true, false = torch.cat([real, switch], 1), torch.cat([code, switch], 1)
    expected = {
        "reconstruction": half_squared_error(model.decoder(code), everything),
        "discriminator": real_fake_loss(model.discriminator, real=true, fake=false),
        "generator": fool_loss(model.discriminator, false),
    }
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], rtol=1e-6, atol=0)


def test_labeled_codes_count_by_their_weight_for_the_generator_alone(sets: Sets) -> None:
    def losses_of(weight: float, *parts: Images) -> dict[str, Tensor]:
        torch.manual_seed(7)
        return dict(tiny(GaussianMixture(), labeled_weight=weight).eval().updates(*parts))

    unlabeled, labeled = (part[:100] for part in sets)
    without, once, thrice = (losses_of(weight, unlabeled, labeled) for weight in (0.0, 1.0, 3.0))
    for name in ("reconstruction", "discriminator"):
        assert torch.equal(once[name], thrice[name])
    of_labeled = once["generator"] - without["generator"]
    torch.testing.assert_close(thrice["generator"], once["generator"] + 2 * of_labeled)
    only_unlabeled = fool_loss(tiny(GaussianMixture()).discriminator, with_unknown(unlabeled)) / 2
    torch.testing.assert_close(without["generator"], only_unlabeled, rtol=1e-5, atol=0)


def with_unknown(unlabeled: Images) -> Tensor:
    """Codes of unlabeled images with their switch, as the discriminator of ``tiny`` sees them without noise."""
    codes = tiny(GaussianMixture()).eval().encode(unlabeled.images)
    return torch.cat([codes, torch.eye(11)[10].expand(len(codes), 11)], dim=1)


def test_labels_are_shown_to_the_discriminator_alone(sets: Sets) -> None:
    unlabeled, labeled = sets
    first = seen_by_the_discriminator(unlabeled, labeled)
    other = seen_by_the_discriminator(unlabeled, Images(labeled.images, labeled.labels.flip(0)))
    assert all(torch.equal(one, two) for one, two in zip(first[3], other[3], strict=True))
    assert not torch.equal(first[1], other[1])


@pytest.mark.parametrize("label", [10, -1])
def test_labels_that_the_prior_does_not_have_are_refused(label: int, images: Images) -> None:
    with pytest.raises(PriorError, match=f"GaussianMixture needs integer labels .* not labels from {label} to {label}"):
        list(tiny(GaussianMixture()).updates(images[10:], labeled_as(images[:10], label)))


def test_a_prior_without_classes_is_refused() -> None:
    with pytest.raises(PriorError, match="labels need a ClassConditionalPrior, and Gaussian is none"):
        LabelInformedAutoencoder(Gaussian(2), (8,))


def test_one_set_of_images_is_refused(images: Images, make_recipe) -> None:
    model = tiny(GaussianMixture())
    with pytest.raises(TrainingError, match=r"takes 2 minibatches \(unlabeled, labeled\), but there are 1 sets"):
        run(model, images, make_recipe(model, 1))


# What an update moves


@pytest.mark.parametrize("bfloat16", [False, True])
def test_each_update_moves_its_networks_and_no_other(bfloat16: bool, sets: Sets, make_recipe) -> None:
    states: list[tuple[str, dict[str, list[Tensor]]]] = []

    class Watched(LabelInformedAutoencoder):
        def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
            states.append(("", {name: weights(network) for name, network in self.named_children()}))
            for name, loss in super().updates(unlabeled, labeled):
                yield name, loss
                states.append((name, {name: weights(network) for name, network in self.named_children()}))

    model = tiny(SwissRoll())
    model.__class__ = Watched
    run(model, sets, make_recipe(model, 1, SGD(0.1)), bfloat16=bfloat16)
    assert [name for name, _ in states] == ["", "reconstruction", "discriminator", "generator"]
    for (_, before), (name, after) in zip(states[:-1], states[1:], strict=True):
        moved = {network for network in before if not equal(before[network], after[network])}
        assert moved == set(LabelInformedAutoencoder.moves[name])


# Labels that nobody knows


def test_no_label_of_an_unlabeled_image_is_read(sets: Sets, make_recipe) -> None:
    check_that_no_label_of_an_unlabeled_image_is_read(lambda: tiny(GaussianMixture()), sets, make_recipe)


def test_an_unlabeled_image_needs_no_labels_at_all(sets: Sets) -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> None:
            raise AssertionError(f"labels.{name} is read")

    unlabeled, labeled = sets
    assert len(list(tiny(SwissRoll()).updates(Images(unlabeled.images, Untouchable()), labeled))) == 3


def test_codes_and_images_need_no_label(images: Images) -> None:
    model = tiny(SwissRoll())
    codes = model.encode(images.images[:5])
    assert codes.shape == (5, 2) and model.decode(codes).shape == (5, 784)


# Noise on the images that the encoder sees


def test_the_encoder_sees_noise_in_training_and_none_in_evaluation(images: Images) -> None:
    batch = images.images[:100]
    model = tiny(SwissRoll(), input_noise=0.5)
    clean = copy.deepcopy(model.encoder)
    clean[1] = nn.Identity()
    model.eval()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(model.encode(batch), clean(batch)) and torch.equal(torch.get_rng_state(), state)
    model.train()
    code = model.encode(batch)
    torch.manual_seed(2)
    assert torch.equal(code, clean(batch + 0.5 * torch.randn(100, 784)))
    assert (model.encode(batch) != code).all()  # new noise at each call


def test_the_encoder_sees_shifted_images_in_training_and_reconstructs_them_where_they_are(sets: Sets) -> None:
    model, seen = tiny(SwissRoll(), input_noise=0.0, input_shift=2.0).train(), []
    everything = torch.cat([part.images for part in sets])
    model.encoder[1].register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    torch.manual_seed(3)
    _, loss = next(model.updates(*sets))
    (moved,) = seen
    torch.manual_seed(3)
    assert torch.equal(moved, RandomAffine(2.0).train()(everything)) and not torch.equal(moved, everything)
    expected = half_squared_error(model.decoder(model.encoder[2:](moved)), everything)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    assert torch.equal(model.eval().encode(everything), model.encoder[2:](everything))


def test_noise_may_be_none(images: Images) -> None:
    model = tiny(SwissRoll(), input_noise=0.0).train()
    assert torch.equal(model.encode(images.images), model.eval().encode(images.images))


def test_the_same_noise_blurs_codes_and_samples_for_the_discriminator_and_no_switch(sets: Sets) -> None:
    unlabeled, labeled = sets
    count = len(unlabeled) + len(labeled)
    model, seen, codes = tiny(Categorical(10), code_noise=0.2).train(), [], []
    model.discriminator.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    model.encoder.register_forward_hook(lambda module, arguments, output: codes.append(output.detach()))
    names = [name for name, _ in model.updates(unlabeled, labeled)]
    assert names == ["reconstruction", "discriminator", "generator"]
    real, fake = seen[0].split(count)
    assert torch.equal(seen[1], fake), "the generator is judged on what the discriminator saw"
    assert torch.equal(real[:, 10:], model.switch(unlabeled, labeled)) and torch.equal(fake[:, 10:], real[:, 10:])
    of_samples = real[len(unlabeled) :, :10] - F.one_hot(labeled.labels, 10)
    for noise in (of_samples, fake[:, :10] - codes[1]):
        assert noise.std().item() == pytest.approx(0.2, rel=0.05) and abs(noise.mean().item()) < 0.02
    assert torch.equal(model.eval().encode(unlabeled.images), model.encoder(unlabeled.images))


def test_dropout_leaves_units_out_in_training_alone(images: Images) -> None:
    model = tiny(SwissRoll(), (400,), input_noise=0.0, dropout=0.3)
    hidden: list[Tensor] = []
    model.encoder[-1].register_forward_pre_hook(lambda module, arguments: hidden.append(arguments[0].detach()))
    model.eval().encode(images.images)
    model.train().encode(images.images)
    whole, thinned = hidden
    left_out = (thinned == 0) & (whole > 0)
    assert left_out[whole > 0].double().mean() == pytest.approx(0.3, abs=0.01)
    assert torch.allclose(thinned[~left_out], whole[~left_out] / 0.7)


def test_a_share_of_the_reconstruction_s_gradient_reaches_the_encoder_and_all_of_it_the_decoder(sets: Sets) -> None:
    gradients = []
    for share in (1.0, 0.05):
        model = tiny(SwissRoll(), input_noise=0.0, encoder_share=share)
        name, loss = next(model.updates(*sets))
        networks = [*model.encoder.parameters()], [*model.decoder.parameters()]
        gradients.append([torch.autograd.grad(loss, network, retain_graph=True) for network in networks])
        assert name == "reconstruction"
    (whole_encoder, whole_decoder), (encoder, decoder) = gradients
    assert equal(decoder, whole_decoder)
    for part, whole in zip(encoder, whole_encoder, strict=True):
        assert torch.allclose(part, 0.05 * whole, rtol=1e-4, atol=1e-6) and part.abs().max() > 0


def test_both_passes_of_a_step_see_noise_and_the_clean_images_are_reconstructed(sets: Sets, make_recipe) -> None:
    seen: list[Tensor] = []
    targets: list[Tensor] = []

    def loss(logits: Tensor, images: Tensor) -> Tensor:
        targets.append(images)
        return half_squared_error(logits, images)

    model = tiny(SwissRoll(), input_noise=0.25)
    model.reconstruction_loss = loss
    model.encoder[2].register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    run(model, sets, make_recipe(model, 1))
    (clean,) = targets
    rows = {tuple(image) for part in sets for image in part.images.tolist()}
    assert {tuple(image) for image in clean.tolist()} <= rows
    noises = [noisy - clean for noisy in seen]
    assert len(noises) == 2 and all(noise.shape == (200, 784) for noise in noises)
    for noise in noises:
        assert noise.mean().abs() < 0.003 and noise.std().item() == pytest.approx(0.25, rel=0.01)
    correlation = F.cosine_similarity(noises[0].flatten(), noises[1].flatten(), dim=0)
    assert correlation.abs() < 0.01


@pytest.mark.parametrize(("prior", "share"), [(GaussianMixture(), 0.5), (SwissRoll(), 0.35)])
def test_codes_of_held_out_images_go_to_the_part_of_their_label(
    prior: ClassConditionalPrior, share: float, digits: Digits
) -> None:
    model = tiny(prior, hidden=(64,))
    unlabeled, labeled = apart(digits.train, 2000)
    discriminator, generator = Adam(0.01, (0.5, 0.9)), Adam(0.002, (0.5, 0.9))
    optimizers = {"reconstruction": SGD(1e-4, 0.9), "discriminator": discriminator, "generator": generator}

    def own() -> float:
        with torch.no_grad():
            return (prior.nearest_class(model.encode(digits.test.images)) == digits.test.labels).double().mean().item()

    assert own() < 0.2  # 0.1 by chance
    run(model, (labeled_as(unlabeled, -1), labeled), Recipe(optimizers, steps=400))
    assert own() > share
