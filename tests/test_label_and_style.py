"""Models of a label and a style: gradients of each half, the split, batch-norm on the code, and heads of clusters."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from short_runs import run
from support import MOTION, sets_of, tiny
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import half_squared_error
from aae_lib.models import Model
from aae_lib.networks import GaussianNoise, RandomAffine
from aae_lib.priors import AroundHeads
from aae_lib.seeding import seeded
from aae_lib.storage import load_weights, save_weights
from aae_lib.training import SGD, Recipe, Rise, train

Sets = tuple[Images, Images]
GUIDED = ["clustering, guided", "reducing, guided"]
SPLIT = ["clustering, split", *GUIDED, "semi-supervised, split", "reducing, labels, split"]


def gradients(loss: Tensor, network: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters()), retain_graph=True, allow_unused=True))


# Each half of the code


@pytest.mark.parametrize("name", ["semi-supervised", "semi-supervised, split", "reducing, labels", *GUIDED])
def test_the_classification_moves_the_layer_that_makes_the_label_and_no_style(name: str, sets: Sets) -> None:
    model = tiny(name)
    *hidden, weight, bias = gradients(dict(model.updates(*sets))["classification"], model.encoder)
    assert all(gradient.any() for gradient in hidden)
    assert (weight[:10].abs().amax(1) > 0).all() and (bias[:10] != 0).all()
    assert not weight[10:].any() and not bias[10:].any()


@pytest.mark.parametrize(("name", "codes"), [("semi-supervised", 13), ("supervised", 13)])
def test_the_reconstruction_reaches_label_and_style_and_the_decoder_uses_them(
    name: str, codes: int, sets: Sets
) -> None:
    model = tiny(name)
    used = (sets[1],) if name == "supervised" else sets_of(model, *sets)
    _, loss = next(model.updates(*used))
    *_, of_encoder, _ = gradients(loss, model.encoder)
    of_decoder, *_ = gradients(loss, model.decoder)
    assert of_decoder.shape[1] == codes and (of_decoder.abs().amax(0) > 0).all()
    assert (of_encoder.abs().amax(1) > 0).all()


@pytest.mark.parametrize("name", ["semi-supervised", "reducing, labels"])
def test_each_adversary_reaches_its_own_half_of_the_code(name: str, sets: Sets) -> None:
    for silent, half in (("label_discriminator", slice(10)), ("style_discriminator", slice(10, None))):
        model = tiny(name)
        nn.init.zeros_(getattr(model, silent)[-1].weight)  # it says the same of all codes
        *_, gradient, _ = gradients(dict(model.updates(*sets))["generator"], model.encoder)
        still = gradient.abs().amax(1) == 0
        assert still[half].all() and still.sum() == len(still[half])


# The split: labels from augmented copies, styles from the images themselves


@pytest.mark.parametrize("name", SPLIT)
def test_labels_are_read_from_augmented_copies_and_styles_from_the_images_in_one_pass(name: str, sets: Sets) -> None:
    model, images = tiny(name).train(), sets[0].images
    model.augmentation.register_forward_hook(lambda *_: augmented.append(_[-1]))
    model.encoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    model.encoder.register_forward_hook(lambda *_: outputs.append(_[-1]))
    seen, augmented, outputs = [], [], []
    logits, style = model.logits_and_style(images)
    assert torch.equal(seen[0], torch.cat([augmented[0], images])) and len(outputs) == 1
    assert (augmented[0] != images).any(1).all()
    classes = model.prior.classes
    assert torch.equal(logits, outputs[0][:300, :classes]) and torch.equal(style, outputs[0][300:, classes:])


@pytest.mark.parametrize("name", SPLIT)
def test_all_losses_of_the_split_are_those_of_its_labels_and_styles(name: str, sets: Sets) -> None:
    """With an encoder in place of the split one that reads label and style of images that stand side by side."""
    model = tiny(name).train()
    plain = copy.deepcopy(model)
    plain.augmentation = None
    if isinstance(plain.encoder[0], GaussianNoise):
        plain.encoder[0] = model.encoder[0] = nn.Identity()
    classes, moved = model.prior.classes, RandomAffine(*MOTION).train()

    class Beside(nn.Module):
        """Augments for the label, without the second half of the batch at hand."""

        def forward(self, images: Tensor) -> Tensor:
            both = model.encoder(torch.cat([moved(images), images]))
            return torch.cat([both[: len(images), :classes], both[len(images) :, classes:]], dim=1)

    plain.encoder = Beside()
    expected, found = [], []
    for losses, system in ((expected, plain), (found, model)):
        with seeded(5):
            for update, loss in system.updates(*sets_of(system, *sets)):
                if update != "classification":
                    losses.append((update, loss.item()))
    assert found == expected


@pytest.mark.parametrize("name", SPLIT[3:])
def test_labeled_images_are_augmented_too_and_alone(name: str, sets: Sets) -> None:
    model = tiny(name).train()
    model.encoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    seen: list[Tensor] = []
    model.classify(sets[1].images)
    with seeded(4):
        expected = RandomAffine(*MOTION).train()(sets[1].images)
    with seeded(4):
        model.classify(sets[1].images)
    assert seen[0].shape == (200, 784) and torch.equal(seen[1], expected)


@pytest.mark.parametrize("name", SPLIT)
def test_in_evaluation_the_split_is_the_model_without_it(name: str, sets: Sets) -> None:
    split, plain = tiny(name).eval(), tiny(name, label_motion=()).eval()
    state = torch.get_rng_state()
    assert torch.equal(split.encode(sets[0].images), plain.encode(sets[0].images))
    if hasattr(split, "classify"):
        assert torch.equal(split.classify(sets[0].images), plain.classify(sets[0].images))
    assert torch.equal(torch.get_rng_state(), state) and plain.augmentation is None


# Batch-norm


def test_batch_norm_gives_each_number_of_the_code_mean_0_and_deviation_1_over_the_minibatch(sets: Sets) -> None:
    output = torch.cat(tiny("clustering").train().logits_and_style(sets[0].images[:100]), 1)
    torch.testing.assert_close(output.mean(0), torch.zeros(9), rtol=0, atol=1e-5)
    torch.testing.assert_close(output.var(0, correction=0), torch.ones(9), rtol=0, atol=1e-3)


# Heads of clusters


@torch.no_grad()
def test_the_prior_moves_along_with_the_heads(sets: Sets, make_recipe, tmp_path) -> None:
    model, loaded = tiny("reducing"), tiny("reducing", seed=1)
    assert isinstance(model.prior, AroundHeads)
    before = model.prior.positions
    run(model, sets[0], make_recipe(model, 3, SGD(0.01)))
    assert torch.equal(model.prior.positions, model.heads.positions) and not torch.equal(model.prior.positions, before)
    copied = copy.deepcopy(model)
    copied.heads.positions += 100
    assert copied.prior.positions.min() > 50 > model.prior.positions.max()
    save_weights(tmp_path / "weights", model, {})
    load_weights(tmp_path / "weights", loaded)
    step = model.heads.positions.abs().amax(1, keepdim=True) / 127
    assert ((loaded.heads.positions - model.heads.positions).abs() <= 0.501 * step).all()
    assert torch.equal(loaded.prior.positions, loaded.heads.positions)


def test_the_reconstruction_reaches_each_head_by_its_share_of_the_codes(sets: Sets) -> None:
    model, images = tiny("reducing").eval(), sets[0].images
    (of_heads,) = gradients(next(model.updates(sets[0]))[1], model.heads)
    codes = model.encode(images).detach().requires_grad_()
    (of_codes,) = torch.autograd.grad(half_squared_error(model.decoder(codes), images), [codes])
    label = model.logits_and_style(images)[0].softmax(1)
    torch.testing.assert_close(of_heads, label.T @ of_codes, rtol=1e-3, atol=1e-5)


def test_a_share_of_the_reconstruction_s_gradient_reaches_the_label_and_all_of_it_style_heads_and_decoder(
    sets: Sets,
) -> None:
    found = []
    for share in (1.0, 0.1):
        model = tiny("reducing, labels", label_share=share, input_noise=0.0).train()
        _, loss = next(model.updates(*sets))
        weights = [model.encoder[-1].weight, model.encoder[-1].bias, model.heads.positions, *model.decoder.parameters()]
        found.append([loss.detach(), *torch.autograd.grad(loss, weights)])
    for index, (whole, part) in enumerate(zip(*found, strict=True)):
        expected = whole.clone()
        if index in (1, 2):
            expected[: model.prior.classes] *= 0.1
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-6)
    assert (found[0][1].abs().amax(1) > 0).all()


def test_heads_that_crowd_are_pushed_apart_until_they_keep_their_distance(sets: Sets) -> None:
    model = tiny("reducing", distance=1.5)
    model.heads.positions.data.mul_(0.3)[5] = torch.tensor([40.0, -30.0])
    before = model.heads.crowding(1.5).item()
    run(model, sets[0], Recipe({**dict.fromkeys(model.moves, SGD(0.0)), "heads": SGD(0.05)}, 100))
    positions = model.heads.positions.detach()
    assert before > 2 and model.heads.crowding(1.5).item() < 0.05 * before
    assert torch.pdist(positions).min() > 1.3
    assert positions[5].tolist() == [40, -30]  # it kept its distance from the start


# A weight by the clock


def test_the_label_s_adversary_gets_its_weight_by_the_clock(sets: Sets) -> None:
    model = tiny("semi-supervised", label_weight=0.5)
    seen: list[float] = []
    kind = type(model)

    class Watched(kind):
        def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
            seen.append(self.label_weight)
            yield from super().updates(unlabeled, labeled)

    model.__class__ = Watched
    recipe = Recipe(dict.fromkeys(model.moves, SGD(0.001)), 6, weights={"label_weight": Rise(0.0, 2, 4)})
    list(train(model, sets, recipe, device="cpu", bfloat16=False))
    np.testing.assert_allclose(seen, [0, 0, 0, 0.25, 0.5, 0.5])
    assert model.label_weight == 0.5


def test_a_model_of_one_set_knows_no_classes() -> None:
    model: Model = tiny("clustering")
    assert not hasattr(model, "classify")
