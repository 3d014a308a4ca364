"""Stochastic encoders: what they sample, what reaches them, and the bound of a prior that is no Gaussian."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import gaussian_kl, half_squared_error
from aae_lib.models import (
    AdversarialAutoencoder,
    GaussianPosteriorAutoencoder,
    UniversalPosteriorAutoencoder,
    VariationalAutoencoder,
)
from aae_lib.models.vae import sampled_kl
from aae_lib.priors import Gaussian, GaussianMixture, Prior, PriorError, Ring, SwissRoll
from aae_lib.training import SGD, Recipe, train

KINDS = [GaussianPosteriorAutoencoder, UniversalPosteriorAutoencoder]


@pytest.fixture
def tiny() -> Callable[..., AdversarialAutoencoder]:
    """Makes a model with weights larger than the paper's, so that every update shows within a few steps."""

    def make(kind: type[AdversarialAutoencoder], prior: Prior | None = None) -> AdversarialAutoencoder:
        torch.manual_seed(0)
        model = kind(prior or GaussianMixture(), hidden=(32,))
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.1)
        return model

    return make


def run(model: nn.Module, images: Images, recipe: Recipe, **arguments) -> list:
    return list(train(model, images, recipe, device="cpu", **{"bfloat16": False, **arguments}))


# Both


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_training", [False, True])
def test_codes_are_new_at_each_call_and_as_long_as_the_prior_is_wide(
    kind: type, is_training: bool, images: Images, tiny
) -> None:
    """In evaluation too: the noise is the model's, and no regularizer."""
    for dimensions in (2, 5):
        model = tiny(kind, Gaussian(dimensions)).train(is_training)
        first, second = model.encode(images.images[:7]), model.encode(images.images[:7])
        assert first.shape == (7, dimensions) and first.dtype == torch.float32
        assert (first != second).all()
        assert model.decode(first).shape == (7, 784)
        torch.manual_seed(3)
        first = model.encode(images.images[:7])
        torch.manual_seed(3)
        assert torch.equal(model.encode(images.images[:7]), first)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bfloat16", [False, True])
def test_each_update_moves_its_networks_and_no_other(
    kind: type, bfloat16: bool, images: Images, tiny, make_recipe
) -> None:
    states: list[tuple[str, dict[str, Tensor]]] = []

    class Watched(kind):
        def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
            states.append(("", self.parameters_now()))
            for name, loss in super().updates(batch):
                yield name, loss
                states.append((name, self.parameters_now()))

        def parameters_now(self) -> dict[str, Tensor]:
            return {name: parameter.detach().clone() for name, parameter in self.named_parameters()}

    model = tiny(kind)
    model.__class__ = Watched
    run(model, images, make_recipe(model, 1, SGD(0.1)), bfloat16=bfloat16)
    assert [name for name, _ in states] == ["", "reconstruction", "discriminator", "generator"]
    for (_, before), (name, after) in zip(states[:-1], states[1:], strict=True):
        moved = {entry for entry in before if not torch.equal(before[entry], after[entry])}
        assert moved == {entry for entry in before if entry.split(".")[0] in kind.moves[name]}


@pytest.mark.parametrize("kind", KINDS)
def test_the_adversary_meets_a_new_sample(kind: type, images: Images, tiny, make_recipe) -> None:
    """With rates of zero nothing but the noise tells the two samples of a step apart."""
    model = tiny(kind)
    codes, judged = [], []
    model.encoder.register_forward_hook(lambda module, arguments, output: codes.append(output.detach()))
    model.discriminator.register_forward_pre_hook(lambda module, arguments: judged.append(arguments[0].detach()))
    run(model, images, make_recipe(model, 1, SGD(0.0)))
    assert len(codes) == 2 and (codes[0] != codes[1]).all()
    of_discriminator, of_generator = judged
    assert torch.equal(of_discriminator[100:], codes[1]) and torch.equal(of_generator, codes[1])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_both_losses_reach_every_unit(kind: type, images: Images, tiny) -> None:
    model = tiny(kind)
    for name, loss in model.updates(images[:100]):
        if name != "discriminator":
            first, last = model.encoder.network[0].weight, model.encoder.network[-1].weight
            of_first, of_last = torch.autograd.grad(loss, [first, last])
            assert (of_last.abs().sum(1) > 0).all()  # the mean's rows and the log-variance's
            if kind is UniversalPosteriorAutoencoder:
                assert (of_first[:, 784:] != 0).any(0).all()  # the columns of eta


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_run_reconstructs_better_than_it_began(kind: type, images: Images, tiny, make_recipe) -> None:
    model = tiny(kind)
    reports = run(model, images, make_recipe(model, 60, SGD(0.002, 0.9)), report_every=20)
    losses = [report.losses["reconstruction"] for report in reports]
    assert losses[0] > losses[1] > losses[2]


# One by one


def test_the_gaussian_posterior_has_its_mean_and_variance(images: Images, tiny) -> None:
    model, batch = tiny(GaussianPosteriorAutoencoder), images.images[:20]
    mean, log_variance = model.encoder.posterior(batch)
    both = model.encoder.network(batch)
    assert torch.equal(mean, both[:, :2]) and torch.equal(log_variance, both[:, 2:])
    with torch.no_grad():
        standard = (torch.stack([model.encode(batch) for _ in range(4000)]) - mean) / (0.5 * log_variance).exp()
    assert standard.mean(0).abs().max() < 0.08 and (standard.std(0) - 1).abs().max() < 0.06
    assert (standard.pow(4).mean(0) - 3).abs().max() < 0.8


def test_the_universal_approximator_is_a_function_of_image_and_noise(images: Images) -> None:
    torch.manual_seed(0)
    model = UniversalPosteriorAutoencoder(Gaussian(2), noise_dimensions=6, hidden=(16,))
    inputs: list[Tensor] = []
    model.encoder.network.register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    for _ in range(20):
        model.encode(images.images)
    assert all(seen.shape == (600, 790) and torch.equal(seen[:, :784], images.images) for seen in inputs)
    noise = torch.cat(inputs)[:, 784:]
    assert noise.mean(0).abs().max() < 0.04
    assert (torch.cov(noise.T) - torch.eye(6)).abs().max() < 0.06
    assert (noise.pow(4).mean(0) - 3).abs().max() < 0.4
    codes = [model.encoder.network(seen) for seen in inputs[:2]]
    assert (codes[0] != codes[1]).all()  # different eta, different code
    assert len(codes[0].unique(dim=0)) == 600


@pytest.mark.parametrize("dimensions", [0, -1])
def test_an_approximator_without_noise_is_refused(dimensions: int) -> None:
    with pytest.raises(ValueError, match=f"noise_dimensions >= 1, not {dimensions}"):
        UniversalPosteriorAutoencoder(Gaussian(2), dimensions)


# The variational autoencoder with any density


def a_posterior(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, log-variance and one code of each of ``count`` equal posteriors N((1, -0.5), diag(0.3, 1.5))."""
    torch.manual_seed(0)
    mean = torch.tensor([1.0, -0.5]).expand(count, 2)
    log_variance = torch.tensor([0.3, 1.5]).log().expand(count, 2)
    return mean, log_variance, mean + (0.5 * log_variance).exp() * torch.randn(count, 2)


@pytest.mark.parametrize("deviation", [1.0, 3.0])
def test_the_estimate_of_the_kl_agrees_with_the_closed_form(deviation: float) -> None:
    mean, log_variance, code = a_posterior(200_000)
    prior = Gaussian(2, deviation)
    exact = gaussian_kl(mean, log_variance, deviation).item()
    assert sampled_kl(code, mean, log_variance, prior).item() == pytest.approx(exact, abs=0.015)
    single = torch.stack([sampled_kl(*(t[i : i + 1] for t in (code, mean, log_variance)), prior) for i in range(500)])
    assert single.std() > 0.1  # an estimate from one code, whose mean over codes is the KL


def test_the_estimate_of_the_kl_has_the_gradient_of_the_closed_form() -> None:
    mean, log_variance, _ = a_posterior(200_000)
    mean, log_variance = mean.clone().requires_grad_(), log_variance.clone().requires_grad_()
    code = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    kinds = sampled_kl(code, mean, log_variance, Gaussian(2, 2.0)), gaussian_kl(mean, log_variance, 2.0)
    estimated, exact = (torch.stack(torch.autograd.grad(kl, [mean, log_variance])).sum(1) for kl in kinds)
    torch.testing.assert_close(estimated, exact, rtol=0, atol=0.01)


def test_a_posterior_that_is_a_component_is_as_far_from_the_mixture_as_the_weight_of_the_component() -> None:
    """KL(N_0 || 1/10 sum N_k) is log 10 but for the little that the components overlap."""
    torch.manual_seed(0)
    mean = torch.tensor([1.4, 0.0]).expand(50_000, 2)
    log_variance = 2 * torch.tensor([0.5, 0.05]).log().expand(50_000, 2)
    code = mean + (0.5 * log_variance).exp() * torch.randn(50_000, 2)
    assert sampled_kl(code, mean, log_variance, GaussianMixture()).item() == pytest.approx(2.3026, abs=0.03)


@pytest.mark.parametrize("prior", [Gaussian(2, 2.0), GaussianMixture(), Ring(2.0, 0.5)])
def test_the_loss_is_that_of_the_prior(prior: Prior, images: Images) -> None:
    """To the bit: of a Gaussian the closed form, with the random numbers of one sample."""
    torch.manual_seed(0)
    model = VariationalAutoencoder(prior, 0.25, hidden=(16,))
    batch = images[:50]
    torch.manual_seed(5)
    ((_, loss),) = model.updates(batch)
    after = torch.rand(1)
    torch.manual_seed(5)
    mean, log_variance = model.posterior(batch.images)
    code = mean + (0.5 * log_variance).exp() * torch.randn(50, 2)
    assert torch.equal(torch.rand(1), after)
    if isinstance(prior, Gaussian):
        kl = gaussian_kl(mean, log_variance, 2.0)
    else:
        posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        kl = (posterior.log_prob(code).sum(1) - prior.log_prob(code)).mean()
    expected = half_squared_error(model.decoder(code), batch.images) + 0.25 * kl
    if isinstance(prior, Gaussian):
        assert torch.equal(loss, expected)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)


def test_a_variational_autoencoder_trains_toward_the_mixture(images: Images, make_recipe) -> None:
    torch.manual_seed(0)
    model = VariationalAutoencoder(GaussianMixture(), hidden=(32,))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    reports = run(model, images, make_recipe(model, 90, SGD(0.001, 0.5)), report_every=30)
    losses = [report.losses["evidence_lower_bound"] for report in reports]
    assert losses[0] > losses[1] > losses[2]


def test_a_variational_autoencoder_needs_a_density() -> None:
    with pytest.raises(PriorError, match="needs the density of its prior, and SwissRoll has no log_prob"):
        VariationalAutoencoder(SwissRoll())
