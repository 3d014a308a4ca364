"""Networks: the papers' sizes and initial weights, encoders that sample, heads, and convolutions written out."""

import copy
import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.errors import ShapeError
from aae_lib.losses import real_fake_loss
from aae_lib.networks import (
    Attenuated,
    ClusterHeads,
    Dropout,
    GaussianEncoder,
    JointDiscriminator,
    OntoSphere,
    RandomAffine,
    UniversalEncoder,
    attenuated,
    convolutional_decoder,
    convolutional_encoder,
    has_batch_norm,
    multilayer_perceptron,
)
from aae_lib.networks.convolutional import FromPictures, ToPictures

GRAY = (1, 28, 28)
SHAPES = [GRAY, (3, 32, 32), (2, 31, 20), (3, 40, 64)]


# Perceptrons


def linears(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("hidden", [None, (), (5,), (5, 6, 7)])
def test_hidden_layers_are_the_papers_or_those_asked_for(hidden: tuple[int, ...] | None) -> None:
    network = multilayer_perceptron(30, 4) if hidden is None else multilayer_perceptron(30, 4, hidden)
    assert [layer.out_features for layer in linears(network)] == [*((1000, 1000) if hidden is None else hidden), 4]
    kinds = [type(layer) for layer in network]
    assert kinds == [nn.Linear, nn.ReLU] * (len(linears(network)) - 1) + [nn.Linear]
    assert network(torch.randn(10, 30)).shape == (10, 4)


@pytest.mark.parametrize("deviation", [None, 0.01, 0.2])
def test_weights_are_gaussian_and_biases_zero_or_as_pytorch_makes_them(deviation: float | None) -> None:
    torch.manual_seed(0)
    network = multilayer_perceptron(784, 500, (600,), deviation)
    torch.manual_seed(0)
    for layer, plain in zip(linears(network), [nn.Linear(784, 600), nn.Linear(600, 500)], strict=True):
        if deviation is None:
            assert torch.equal(layer.weight, plain.weight) and torch.equal(layer.bias, plain.bias)
        else:
            assert layer.weight.std().item() == pytest.approx(deviation, rel=0.02) and not layer.bias.any()
            assert (layer.weight / deviation).pow(4).mean().item() == pytest.approx(3, rel=0.05)


def test_batch_norm_follows_every_linear_layer_and_comes_before_the_activation() -> None:
    network = multilayer_perceptron(3, 4, (5, 6), dropout=0.5, batch_norm=True)
    between = [nn.Linear, nn.BatchNorm1d, nn.ReLU, Dropout]
    assert [type(layer) for layer in network] == [*between, *between, nn.Linear, nn.BatchNorm1d]
    assert has_batch_norm(nn.Sequential(nn.ReLU(), network)) and has_batch_norm(nn.SyncBatchNorm(3))
    assert not has_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))


# Encoders that sample


def test_the_gaussian_encoder_samples_its_posterior() -> None:
    torch.manual_seed(0)
    encoder, image = GaussianEncoder(multilayer_perceptron(784, 6, (8,), 0.1)), torch.rand(1, 784)
    mean, log_variance = encoder.posterior(image)
    assert torch.equal(torch.cat([mean, log_variance], dim=1), encoder.network(image))
    codes = encoder.eval()(image.expand(20_000, 784))
    assert codes.shape == (20_000, 3) and codes.dtype == torch.float32
    standard = (codes - mean) / (0.5 * log_variance).exp()
    assert standard.mean(0).abs().max() < 0.04 and (torch.cov(standard.T) - torch.eye(3)).abs().max() < 0.05
    gradients = torch.autograd.grad(codes.square().sum(), list(encoder.parameters()))
    assert (gradients[-1] != 0).all()  # of the mean's biases and of the log-variance's


def test_the_universal_encoder_gives_its_network_new_noise_beside_each_image() -> None:
    torch.manual_seed(0)
    encoder, images = UniversalEncoder(multilayer_perceptron(784 + 5, 3, (8,), 0.1), 5).eval(), torch.rand(7, 784)
    torch.manual_seed(1)
    codes = encoder(images)
    torch.manual_seed(1)
    assert torch.equal(codes, encoder.network(torch.cat([images, torch.randn(7, 5)], dim=1)))
    assert (encoder(images) != codes).any(1).all()
    with pytest.raises(ShapeError, match="noise_dimensions >= 1.*0"):
        UniversalEncoder(nn.Identity(), 0)


# Layers


@pytest.mark.parametrize(
    "make", [lambda: multilayer_perceptron(3, 2, (8,), 0.5), lambda: nn.Linear(3, 2), lambda: nn.Bilinear(3, 3, 2)]
)
def test_an_attenuated_network_learns_in_full_and_passes_on_a_share_in_training_alone(make: Callable) -> None:
    class Squared(nn.Module):
        """Any module that is no ``nn.Sequential``."""

        def __init__(self, layer: nn.Bilinear):
            super().__init__()
            self.layer = layer

        def forward(self, codes: Tensor) -> Tensor:
            return self.layer(codes, codes)

    made, codes = make(), torch.randn(5, 3, requires_grad=True)
    plain = Squared(made) if isinstance(made, nn.Bilinear) else made
    weights = [*plain.parameters()]
    of_codes, *of_weights = torch.autograd.grad(plain(codes).square().sum(), [codes, *weights])
    network = Attenuated(plain, 0.1)
    if isinstance(plain, nn.Sequential):
        assert [*network.state_dict()] == [*plain.state_dict()]
    for training, share in ((True, 0.1), (False, 1.0)):
        output = network.train(training)(codes)
        assert torch.equal(output, plain(codes))
        found, *others = torch.autograd.grad(output.square().sum(), [codes, *weights])
        assert torch.allclose(found, share * of_codes)
        assert all(torch.equal(one, other) for one, other in zip(others, of_weights, strict=True))


def test_attenuated_values_are_the_same_bits_and_pass_on_a_share_of_the_gradient() -> None:
    values, weights = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3)
    passed = attenuated(values, 0.1)
    (gradient,) = torch.autograd.grad((passed * weights).sum(), [values])
    assert torch.equal(passed, values) and torch.allclose(gradient, 0.1 * weights)


def test_codes_on_the_sphere_have_unit_length_in_float32_and_keep_their_direction() -> None:
    torch.manual_seed(0)
    codes = torch.randn(200, 10) * torch.logspace(-3, 3, 200)[:, None]
    for given in (codes, codes.bfloat16()):
        points, exact = OntoSphere()(given), given.double().numpy()
        assert points.dtype == torch.float32
        np.testing.assert_allclose(points, exact / np.linalg.norm(exact, axis=1, keepdims=True), rtol=0, atol=1e-6)


def test_heads_start_as_gaussian_samples_and_labels_mix_them() -> None:
    torch.manual_seed(0)
    heads = ClusterHeads(2000, 3)
    assert [name for name, _ in heads.named_parameters()] == ["positions"]
    assert (torch.cov(heads.positions.T) - torch.eye(3)).abs().max() < 0.12
    heads, label = ClusterHeads(6, 3), torch.rand(50, 6).softmax(1)
    assert torch.equal(heads(torch.eye(6)[[4, 0, 4]]), heads.positions[[4, 0, 4]])
    expected = label.double().numpy() @ heads.positions.detach().double().numpy()
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_allclose(heads(label).detach(), expected, rtol=0, atol=1e-6)


def test_crowding_is_what_pairs_lack_of_the_distance_and_pushes_them_straight_apart() -> None:
    heads = ClusterHeads(3, 2)
    heads.positions.data = torch.tensor([[0.0, 0.0], [3.0, 4.0], [100.0, 0.0]])
    for distance, crowding, push in ((6.0, 1.0, [0.6, 0.8]), (4.9, 0.0, [0.0, 0.0])):
        loss = heads.crowding(distance)
        (gradient,) = torch.autograd.grad(loss, [heads.positions])
        assert loss.item() == pytest.approx(crowding)
        torch.testing.assert_close(-gradient, torch.tensor([[-push[0], -push[1]], push, [0.0, 0.0]]))
    heads.positions.data[1] = 0.0  # in the same place
    (gradient,) = torch.autograd.grad(heads.crowding(6.0), [heads.positions])
    assert gradient.isfinite().all()


# Convolutional networks


@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_is_the_image_from_minus_one_to_one_in_a_black_frame(shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    images = torch.rand(5, math.prod(shape))
    pictures = ToPictures(shape)(images)
    side = 32 if max(shape) <= 32 else 64
    top, left = (side - height) // 2, (side - width) // 2
    expected = -np.ones((5, channels, side, side))
    expected[:, :, top : top + height, left : left + width] = 2 * images.double().numpy().reshape(5, *shape) - 1
    np.testing.assert_allclose(pictures, expected, rtol=0, atol=1e-6)
    pictures[pictures == -1] = 7.0  # whatever is in the frame
    assert torch.equal(FromPictures(shape)(pictures), 2 * images - 1)
    with pytest.raises(ShapeError, match=f"found {math.prod(shape) - 1}"):
        ToPictures(shape)(images[:, 1:])


MAKERS = [
    lambda shape: convolutional_encoder(4, shape, 4),
    lambda shape: convolutional_decoder(4, shape, 4),
    lambda shape: JointDiscriminator(4, shape, 4),
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("shape", [(1, 65, 28), (3, 28, 65)])
def test_images_that_are_larger_than_the_networks_are_refused(make: Callable, shape: tuple[int, int, int]) -> None:
    with pytest.raises(ShapeError, match=f"at most 64 x 64.*{shape[1]} x {shape[2]}"):
        make(shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("make", "outputs"), zip(MAKERS, (4, None, 1), strict=True))
def test_flat_images_and_codes_go_in_and_every_weight_learns(
    make: Callable, outputs: int | None, shape: tuple[int, int, int]
) -> None:
    torch.manual_seed(0)
    network, pixels = make(shape), math.prod(shape)
    inputs = {4: pixels, None: 4, 1: pixels + 4}[outputs]
    output = network(torch.rand(8, inputs))
    assert output.shape == (8, outputs or pixels) and output.dtype == torch.float32
    for gradient in torch.autograd.grad(F.softplus(output).square().sum(), list(network.parameters())):
        assert gradient.isfinite().all() and gradient.any()


def test_sizes_are_those_of_the_official_code() -> None:
    def channels(network: nn.Module) -> list[int]:
        return [layer.out_channels for layer in network if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]

    assert channels(convolutional_encoder(10, GRAY)) == [32, 64, 128, 10]
    assert channels(convolutional_decoder(10, GRAY)) == [128, 64, 32, 1]
    assert channels(convolutional_encoder(10, (3, 33, 33))) == [32, 64, 128, 256, 10]
    assert channels(convolutional_decoder(10, (3, 33, 33))) == [256, 128, 64, 32, 3]
    network = convolutional_encoder(128, (3, 32, 32), 64)  # 1.18 million weights, as AGE's
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_183_616


def batch_normalized(pictures: np.ndarray, layer: nn.BatchNorm2d) -> np.ndarray:
    """By the minibatch's own mean and variance."""
    mean, variance = pictures.mean((0, 2, 3), keepdims=True), pictures.var((0, 2, 3), keepdims=True)
    factor, shift = (parameter.detach().double().numpy()[:, None, None] for parameter in layer.parameters())
    return (pictures - mean) / np.sqrt(variance + 1e-5) * factor + shift


def halved(pictures: np.ndarray, kernels: Tensor) -> np.ndarray:
    """A convolution of stride 2 with one pixel of zeros around: each pixel of the output sees 4 x 4 of the input."""
    padded = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), axis=(2, 3))[:, :, ::2, ::2]
    return np.einsum("ncijkl,ockl->noij", windows, kernels.detach().double().numpy())


def doubled(pictures: np.ndarray, kernels: Tensor, stride: int) -> np.ndarray:
    """Each pixel of the input paints its kernel of 4 x 4; at stride 2 the outermost pixels are cut off."""
    weights = kernels.detach().double().numpy()
    count, _, height, width = pictures.shape
    canvas = np.zeros((count, weights.shape[1], stride * (height - 1) + 4, stride * (width - 1) + 4))
    for row in range(height):
        for column in range(width):
            painted = np.einsum("nc,cokl->nokl", pictures[:, :, row, column], weights)
            canvas[:, :, stride * row : stride * row + 4, stride * column : stride * column + 4] += painted
    return canvas if stride == 1 else canvas[:, :, 1:-1, 1:-1]


def random_weights(network: nn.Sequential, kind: type) -> tuple[list[nn.Module], list[nn.BatchNorm2d]]:
    """The convolutions and batch-norms of a network; all parameters change so that each makes a difference."""
    with torch.no_grad():
        for parameter in network.train().parameters():
            parameter.mul_(5).add_(0.1 * torch.randn_like(parameter))
    return [layer for layer in network if isinstance(layer, kind)], [
        layer for layer in network if isinstance(layer, nn.BatchNorm2d)
    ]


def test_the_convolutional_encoder_is_what_it_says() -> None:
    """Written out in float64: batch-norm after the second and third convolution, leaks of 0.2, an average last."""
    torch.manual_seed(0)
    network = convolutional_encoder(5, (2, 32, 32), 3)
    (first, second, third, last), norms = random_weights(network, nn.Conv2d)
    images = torch.rand(4, 2 * 32 * 32)

    def leaky(pictures: np.ndarray) -> np.ndarray:
        return np.where(pictures > 0, pictures, 0.2 * pictures)

    pictures = leaky(halved(2 * images.double().numpy().reshape(4, 2, 32, 32) - 1, first.weight))
    for layer, norm in zip((second, third), norms, strict=True):
        pictures = leaky(batch_normalized(halved(pictures, layer.weight), norm))
    expected = halved(pictures, last.weight).mean((2, 3)) + last.bias.detach().double().numpy()
    np.testing.assert_allclose(network(images).detach(), expected, rtol=1e-3, atol=1e-4)


def test_the_convolutional_decoder_is_what_it_says() -> None:
    """Written out in float64: batch-norm and ReLU after all but the last, which has a bias and no activation."""
    torch.manual_seed(0)
    network, codes = convolutional_decoder(5, (2, 28, 30), 3), torch.randn(4, 5)
    (*layers, last), norms = random_weights(network, nn.ConvTranspose2d)
    pictures = codes.double().numpy()[:, :, None, None]
    for layer, norm, stride in zip(layers, norms, (1, 2, 2), strict=True):
        pictures = np.maximum(batch_normalized(doubled(pictures, layer.weight, stride), norm), 0)
    pictures = doubled(pictures, last.weight, 2) + last.bias.detach().double().numpy()[:, None, None]
    expected = pictures[:, :, 2:30, 1:31].reshape(4, -1)
    np.testing.assert_allclose(network(codes).detach(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("make", [convolutional_encoder, convolutional_decoder])
def test_convolutions_start_with_dcgans_weights(make: Callable[..., nn.Sequential]) -> None:
    torch.manual_seed(0)
    network = make(200, GRAY, 64)
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm2d)]
    for layer in convolutions:
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.06)
        assert (layer.weight / 0.02).pow(4).mean().item() == pytest.approx(3, rel=0.25)  # Gaussian, not uniform
    factors = torch.cat([layer.weight for layer in norms])
    assert factors.mean().item() == pytest.approx(1, abs=0.005) and factors.std().item() == pytest.approx(0.02, rel=0.2)
    assert [layer.bias is not None for layer in convolutions] == [False, False, False, True]


def test_the_joint_discriminator_judges_images_beside_their_codes() -> None:
    torch.manual_seed(0)
    network = JointDiscriminator(3, GRAY, 4)
    assert {layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)} == {0.2}
    assert has_batch_norm(network.image) and not has_batch_norm(network.code) and not has_batch_norm(network.pair)
    images, codes = torch.rand(10, 784), torch.randn(10, 3)
    pairs = torch.cat([images, codes], dim=1)
    assert not torch.equal(network.train()(pairs), network(pairs))  # dropout
    logits = network.eval()(pairs)
    assert torch.equal(logits, network.pair(torch.cat([network.image(images), network.code(codes)], dim=1)))
    for others in (torch.cat([images.flip(0), codes], dim=1), torch.cat([images, codes.flip(0)], dim=1)):
        assert (network(others) - logits).abs().min() > 0  # both halves count
    # From the start both halves tell pairs apart, neither hundreds of times as much as the other.
    spreads = [part.std(0).mean() for part in (network.train().image(images), network.eval().code(codes))]
    assert 0.02 < spreads[0] / spreads[1] < 50
    network = JointDiscriminator(3, GRAY, 4, dropout=0.0).train()
    loss = F.softplus(-network(pairs)).mean() + F.softplus(network(0.2 * pairs)).mean()
    torch.testing.assert_close(real_fake_loss(network, real=pairs, fake=0.2 * pairs), loss)  # real and fake apart


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_networks_can_be_copied_and_pickled(duplicate: Callable) -> None:
    perceptron = multilayer_perceptron(784, 4, (8,), batch_norm=True)
    networks = [make(GRAY) for make in MAKERS]
    networks += [GaussianEncoder(nn.Sequential(RandomAffine(2.0), *perceptron)), Attenuated(perceptron, 0.1)]
    for network in (*networks, nn.Sequential(OntoSphere(), ClusterHeads(4, 2))):
        state, other = network.state_dict(), duplicate(network)
        assert all(torch.equal(tensor, state[name]) for name, tensor in other.state_dict().items())
        assert type(other) is type(network)
