"""Batch-norm statistics: computed anew at each report, of clean images, and without any effect on training."""

import copy

import pytest
import torch
from short_runs import reports_of, run, same, weights
from torch import Tensor, nn

from aae_lib.errors import TrainingError
from aae_lib.models import Autoencoder, Model
from aae_lib.networks import GaussianNoise
from aae_lib.training import batch_norm, recompute_batch_norm


@pytest.fixture
def normalized(make_model) -> Model:
    """An adversarial autoencoder with noise and dropout around its batch-norm."""
    model = make_model()
    layers = nn.Linear(784, 16), nn.BatchNorm1d(16, momentum=0.3), nn.ReLU()
    model.encoder = nn.Sequential(GaussianNoise(5.0), *layers, nn.Dropout(0.9), nn.Linear(16, 2))
    model.decoder = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 784))
    model.discriminator.insert(1, nn.BatchNorm1d(32))
    return model


def statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def test_statistics_are_those_of_one_pass_without_noise_and_dropout(normalized: Model, digits) -> None:
    model, images = normalized.train(), digits.train.images[:2000]
    model.encode(images[:50] * 3)  # what was gathered before does not count
    model.encoder[2].eval(), model.decoder.eval(), model.decoder[1].train()
    modes, state, before = [module.training for module in model.modules()], torch.get_rng_state(), weights(model)
    recompute_batch_norm(model, images)
    assert torch.equal(torch.get_rng_state(), state) and same(weights(model), before)
    assert [module.training for module in model.modules()] == modes and model.encoder[2].momentum == 0.3
    with torch.no_grad():
        of_encoder = model.encoder[1](images)
        torch.manual_seed(0)
        of_decoder = model.decoder[0](model.prior.sample(batch_norm.SAMPLES))
    for layer, inputs in ((model.encoder[2], of_encoder), (model.decoder[1], of_decoder)):
        torch.testing.assert_close(layer.running_mean, inputs.mean(0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(layer.running_var, inputs.var(0), rtol=5e-3, atol=1e-5)
    assert not model.discriminator[1].running_mean.any() and (model.discriminator[1].running_var == 1).all()
    first = statistics(model)
    recompute_batch_norm(model, images)
    assert same(statistics(model), first)


def test_a_network_that_neither_encodes_nor_decodes_nor_judges_is_refused(images, make_model) -> None:
    model = make_model(Autoencoder)
    model.reader = nn.Sequential(nn.Linear(784, 16), nn.BatchNorm1d(16))
    with pytest.raises(TrainingError, match=r"no batch-norm statistics for reader\.1.*`adversaries`"):
        recompute_batch_norm(model, images.images)
    model.adversaries = ("reader",)
    recompute_batch_norm(model, images.images)


def test_minibatches_of_one_image_are_refused(normalized: Model, images, make_recipe) -> None:
    with pytest.raises(TrainingError, match="batch-norm.*at least 2 images"):
        run(normalized, images, make_recipe(normalized, batch_size=1))


@pytest.mark.parametrize("bfloat16", [False, True])
def test_statistics_come_with_each_report_and_no_bit_depends_on_them(
    bfloat16: bool, normalized: Model, images, make_recipe
) -> None:
    model, disturbed, inputs = normalized, copy.deepcopy(normalized), []
    run(model, images, make_recipe(model, 6), bfloat16=bfloat16)
    disturbed.encoder[1].register_forward_pre_hook(lambda layer, arguments: inputs.append(arguments[0]))
    for report in reports_of(disturbed, images, make_recipe(model, 6), report_every=3, bfloat16=bfloat16):
        assert all(batch.std() > 4 for batch in inputs[:6]), "the noise is on in two passes of each step"
        assert torch.equal(torch.cat(inputs[6:]), images.images), "and off in the statistics"
        inputs.clear()
        if report.step < 6:
            for buffer in disturbed.buffers():
                buffer.fill_(100)
    assert same(weights(disturbed), weights(model)) and same(statistics(disturbed), statistics(model))


def test_a_run_resumed_between_reports_has_the_statistics_of_its_weights(
    normalized: Model, images, make_recipe, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_lib.training.run.PAUSE_EVERY", 1)
    monkeypatch.setattr("aae_lib.training.checkpoint.SAVE_EVERY_SECONDS", 0.0)
    resumed, arguments = copy.deepcopy(normalized), {"report_every": 3, "state": tmp_path / "state"}
    monkeypatch.setattr("aae_lib.training.run.Run.set_schedules", lambda run: run.step == 4 and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(normalized, images, make_recipe(normalized, 6), **arguments)
    next(reports_of(resumed, images, make_recipe(resumed, 6), **arguments))
    found = statistics(resumed)
    recompute_batch_norm(resumed, images.images)
    assert same(statistics(resumed), found)
