"""AGE, GAN and ALI: who plays for what, with new codes for each update, and which network a term reaches."""

import pytest
import torch
from short_runs import run, same, weights
from support import tiny
from torch import Tensor

from aae_lib.data import Images
from aae_lib.losses import fitted_gaussian_kl
from aae_lib.models import AdversarialGeneratorEncoder
from aae_lib.priors import UniformSphere
from aae_lib.training import SGD, Adam, Recipe

Sets = tuple[Images, Images]


def alone(update: str, optimizer: SGD | Adam, steps: int) -> Recipe:
    """A recipe of AGE in which only this update moves anything."""
    return Recipe({"encoder": SGD(0.0), "generator": SGD(0.0)} | {update: optimizer}, steps)


class Remembered(UniformSphere):
    """A prior that keeps what it has sampled."""

    def __init__(self, dimensions: int):
        super().__init__(dimensions)
        self.drawn: list[Tensor] = []

    def sample(self, count: int, device: torch.device | str = "cpu") -> Tensor:
        self.drawn.append(super().sample(count, device))
        return self.drawn[-1]


@pytest.mark.parametrize("updates", [1, 2, 3])
def test_age_updates_the_generator_as_often_as_asked_and_draws_new_codes_for_each_update(
    updates: int, images: Images
) -> None:
    model, decoded = tiny("AGE", generator_updates=updates), []
    model.prior = Remembered(3)
    model.decoder.register_forward_pre_hook(lambda _, inputs: decoded.append(inputs[0].detach()))
    names = [name for _ in range(4) for name, _ in model.updates(images[:50])]
    assert names == 4 * ["encoder", *updates * ["generator"]]
    assert {codes.shape for codes in model.prior.drawn} == {(50, 3)}
    assert len(torch.cat(model.prior.drawn).unique(dim=0)) == 200 * (1 + updates)
    of_prior = [any(codes is other or torch.equal(codes, other) for other in model.prior.drawn) for codes in decoded]
    assert sum(of_prior) == len(model.prior.drawn) and len(decoded) == len(of_prior)


def test_the_papers_weights_are_age_s_defaults() -> None:
    model = tiny("AGE")
    assert (model.image_weight, model.code_weight, model.generator_image_weight) == (10.0, 500.0, 0.0)
    assert model.generator_updates == 2


def test_codes_of_age_lie_on_the_sphere(images: Images) -> None:
    model = tiny("AGE").eval()
    torch.testing.assert_close(model.encode(images.images[:50]).norm(dim=1), torch.ones(50))


@torch.no_grad()
def spread(model: AdversarialGeneratorEncoder, images: Images) -> tuple[float, float]:
    """How far the codes of images, and of generated images, are from the prior, as a minibatch has it."""
    torch.manual_seed(0)
    model.train()
    generated = model.decode(model.prior.sample(len(images)))
    return fitted_gaussian_kl(model.encode(images.images)).item(), fitted_gaussian_kl(model.encode(generated)).item()


def test_encoder_and_generator_pull_generated_codes_to_opposite_sides(images: Images) -> None:
    images, model = images[:100], tiny("AGE", image_weight=0.0, code_weight=0.0)
    real, generated = spread(model, images)
    run(model, images, alone("encoder", Adam(0.002), 20))
    after_real, after_generated = spread(model, images)
    assert after_generated - after_real > generated - real + 0.05
    run(model, images, alone("generator", Adam(0.01), 20))
    last_real, last_generated = spread(model, images)
    assert last_real == after_real and last_generated < after_generated - 0.01


@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_the_generator_sees_images_only_where_their_error_has_a_weight_there(weight: float, images: Images) -> None:
    def trained(images: Images, image_weight: float = 10.0) -> dict[str, Tensor]:
        model = tiny("AGE", image_weight=image_weight, generator_image_weight=weight)
        run(model, images[:100], alone("generator", SGD(1e-3), 2))
        return weights(model.decoder)

    reference = trained(images)
    assert same(trained(images, 1000.0), reference)  # mu is the encoder's alone
    assert same(trained(Images(1 - images.images, images.labels)), reference) == (weight == 0)


def test_the_encoder_of_learned_inference_learns_from_pairs_of_images_and_codes_alone(images: Images) -> None:
    model = tiny("ALI")
    with torch.no_grad():
        model.discriminator.code[0].weight.zero_()  # blind for codes
    *_, (_, loss) = model.updates(images[:50])
    encoder, decoder = list(model.encoder.parameters()), list(model.decoder.parameters())
    gradients = torch.autograd.grad(loss, [*encoder, *decoder])
    assert not any(gradient.any() for gradient in gradients[: len(encoder)])
    assert any(gradient.any() for gradient in gradients[len(encoder) :])
