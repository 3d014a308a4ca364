"""The registry: experiments as data, with the papers' numbers and the images that their runs take."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import LABELED, OF_CLUSTERS, OF_FEW, OF_LABELS, OF_MAPS, same, with_tiny_networks

from aae_lib import experiments, results
from aae_lib.data import Digits, Images
from aae_lib.experiments import (
    CLUSTERS,
    EXPERIMENTS,
    GENERATORS,
    JUDGE,
    LABELS,
    LIKELIHOOD,
    MAPS,
    SEMI_SUPERVISED,
    STYLE,
    UNMOVED,
    VAE_CURVE,
    VAE_MIXTURE_CURVE,
    Experiment,
    Reported,
    UnknownNameError,
    build,
    by_paper,
    find,
    load_trained,
    shipped_seeds,
    weights_path,
)
from aae_lib.losses import half_squared_error
from aae_lib.models import (
    AdversarialAutoencoder,
    AdversarialGeneratorEncoder,
    Classifier,
    ClusteringAutoencoder,
    ReducingAutoencoder,
    SemiSupervisedReducingAutoencoder,
    SupervisedAutoencoder,
    VariationalAutoencoder,
)
from aae_lib.networks import (
    Dropout,
    GaussianNoise,
    OntoSphere,
    RandomAffine,
    convolutional_decoder,
    convolutional_encoder,
)
from aae_lib.priors import Gaussian, GaussianMixture, UniformSphere
from aae_lib.storage import StorageError
from aae_lib.training import Adam, Cosine, Drops, Schedule, WarmUp

SEMI_SUPERVISED_NAMES = [name + ending for ending in ("", UNMOVED) for name in ("semi-100", "semi-1000", "semi-all")]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, Experiment]:
    return with_tiny_networks(monkeypatch)


def test_names_are_those_of_the_registry() -> None:
    assert {"autoencoder", "aae-gaussian", "vae-gaussian"} <= EXPERIMENTS.keys()
    for name, experiment in EXPERIMENTS.items():
        assert experiment.name == name and find(name) is experiment
        assert experiment.title and experiment.figure and experiment.source
        assert experiment.topic in results.COLUMNS


def test_an_unknown_name_is_answered_with_those_that_exist() -> None:
    with pytest.raises(UnknownNameError) as error:
        find("aae-gausian")
    assert "'aae-gausian'" in str(error.value) and all(name in str(error.value) for name in EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_recipes_fit_their_models(name: str) -> None:
    experiment = EXPERIMENTS[name]
    model = build(experiment, 0)
    assert set(experiment.recipe.optimizers) == set(model.moves)
    recipe, drops = experiment.recipe, isinstance(experiment.recipe.schedule, Drops)
    end = recipe.steps * recipe.batch_size / 100
    for update, optimizer in recipe.optimizers.items():
        rates = [recipe.learning_rate(update, clock) for clock in np.linspace(0, end, 301)]
        assert max(rates) == optimizer.learning_rate
        lowest = recipe.schedule.factor ** len(recipe.schedule.at) if drops else 0.05  # after all drops
        assert 0 <= rates[-1] <= lowest * optimizer.learning_rate and lowest <= 0.125
        assert rates[-1] == min(rates[len(rates) // 2 :]), "the rates fall to the end"


def test_the_curves_of_the_vae_differ_in_their_kl_weights_alone() -> None:
    for curve, prior in ((VAE_CURVE, Gaussian), (VAE_MIXTURE_CURVE, GaussianMixture)):
        assert len(curve) >= 2 and list(curve.values()) == sorted(set(curve.values()), reverse=True)
        assert next(iter(curve.values())) == 1
        for name, weight in curve.items():
            model = build(find(name), 0)
            assert isinstance(model, VariationalAutoencoder) and type(model.prior) is prior
            assert model.kl_weight == weight and find(name).recipe == find("vae-gaussian").recipe
            assert weight == 1 or float(name.rpartition("-")[2]) == weight
            assert f"KL weight {weight:g}" in find(name).title
    variational = {name for name in EXPERIMENTS if name.startswith("vae-")}
    assert variational == VAE_CURVE.keys() | VAE_MIXTURE_CURVE.keys() | {"vae-conv"}


def test_gaussian_experiments_are_the_papers() -> None:
    """AAE, appendix A.2.1: half squared error, rates 0.01 and 0.1, momenta 0.9 and 0.1, 2 x 1000 units, batch 100."""
    experiment = find("aae-gaussian")
    model = build(experiment, 0)
    rates = {name: (sgd.learning_rate, sgd.momentum) for name, sgd in experiment.recipe.optimizers.items()}
    assert rates == {"reconstruction": (0.01, 0.9), "discriminator": (0.1, 0.1), "generator": (0.1, 0.1)}
    assert experiment.recipe.batch_size == 100 and model.reconstruction_loss is half_squared_error
    assert model.prior.dimensions == 2 and model.prior.standard_deviation == 1
    shapes = [tuple(parameter.shape) for parameter in model.encoder.parameters() if parameter.ndim == 2]
    assert shapes == [(1000, 784), (1000, 1000), (2, 1000)]


def test_semi_supervised_experiments_are_the_papers() -> None:
    """AAE, appendix A.2.1: rates 0.01, 0.1, 0.1, 0.1, momenta 0.9, 0.1, 0.1, 0.9, noise 0.3, 10-D style, batch 100."""
    for name in SEMI_SUPERVISED_NAMES:
        recipe, model = find(name).recipe, build(find(name), 0)
        rates = {update: (sgd.learning_rate, sgd.momentum) for update, sgd in recipe.optimizers.items()}
        adversarial = {"discriminator": (0.1, 0.1), "generator": (0.1, 0.1)}
        assert rates == {"reconstruction": (0.01, 0.9), "classification": (0.1, 0.9)} | adversarial
        assert recipe.batch_size == 100 and model.reconstruction_loss is half_squared_error
        assert model.input_noise == 0.3 and model.prior.style.dimensions == 10
        shapes = [tuple(parameter.shape) for parameter in model.encoder.parameters() if parameter.ndim == 2]
        assert shapes == [(1000, 784), (1000, 1000), (20, 1000)]
        assert model.label_weight == 1 and bool(model.input_motion) != name.endswith(UNMOVED)


@pytest.mark.parametrize("name", ["semi-100", "semi-1000", "semi-all"])
def test_labels_harden_late_and_half_of_the_motion_stays(name: str) -> None:
    experiment = find(name)
    recipe, source = experiment.recipe, experiment.source
    layer = build(experiment, 0).encoder[0]
    assert isinstance(layer, RandomAffine)
    assert (layer.shift, layer.rotation, layer.scale, layer.shear) == (1.5, 15, 0.1, 0.25)
    assert "by up to 1.5 pixels, rotated by up to 15 degrees, scaled by up to 0.1, sheared by up to 0.25" in source
    assert list(recipe.weights) == ["label_weight"] and list(recipe.noise) == ["RandomAffine"]
    at = {epoch: (recipe.weights["label_weight"](600 * epoch), recipe.noise_strength("RandomAffine", 600 * epoch),
                  recipe.learning_rate("generator", 600 * epoch)) for epoch in (0, 20, 24, 27, 28, 32, 45)}  # fmt: skip
    assert at[0] == at[20] == pytest.approx((0.3, 1, 0.1)) and at[24] == at[27] == pytest.approx((0.3, 0.5, 0.1))
    assert at[28][0] == 0.3 and at[32][0] == 1 and 0.06 < at[32][2] < at[28][2] < 0.1, "while the rates begin to fall"
    assert at[45] == pytest.approx((1, 0.5, 0.001)) and recipe.steps == 45 * 600
    assert recipe.noise_strength("GaussianNoise", 27_000) == 1, "noise stays"
    for told in ("45 epochs", "cosine from epoch 27", "0.3 of its weight until epoch 28", "from epoch 32 on",
                 "half of that from epoch 20 to 24"):  # fmt: skip
        assert told in source


def test_unmoved_experiments_have_the_models_of_the_same_name_without_motion() -> None:
    twins = {name for name in EXPERIMENTS if name.endswith(UNMOVED)}
    assert twins == {name + UNMOVED for name in (*SEMI_SUPERVISED_NAMES[:3], "labels-100", "labels-1000", "m2-100")}
    for name in twins:
        moved, unmoved = find(name.removesuffix(UNMOVED)), find(name)
        one, other = build(moved, 0), build(unmoved, 0)
        assert "inputs shifted" in moved.source and "inputs shifted" not in unmoved.source
        assert moved.title == f"{unmoved.title}, images moved" and moved.paper == unmoved.paper
        kinds = [{type(layer).__name__ for layer in model.modules()} for model in (one, other)]
        assert kinds[0] - kinds[1] == {"RandomAffine"} and not kinds[1] - kinds[0]
        for parameter, twin in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(parameter, twin)
        if not name.startswith("semi"):
            assert moved.recipe == unmoved.recipe


@pytest.mark.parametrize(
    "name, like", [(f"labels-{count}{end}", f"semi-{count}{end}") for count in (100, 1000) for end in ("", "-unmoved")]
)
def test_the_classifier_alone_is_the_encoder_of_the_semi_supervised_model_and_its_classification(
    name: str, like: str
) -> None:
    alone, model = build(find(name), 0), build(find(like), 0)
    assert alone.input_noise == model.input_noise and alone.input_motion == model.input_motion
    for one, other in zip(alone.encoder.parameters(), model.encoder.parameters(), strict=True):
        assert one.shape == (10, *other.shape[1:]) if other.shape[0] == 20 else one.shape == other.shape
    classification = find(like).recipe.optimizers["classification"]
    assert find(name).recipe.optimizers == {"classification": classification}


@pytest.mark.parametrize("name, dimensions", [("supervised", 15), ("supervised-8d", 8), ("supervised-2d", 2)])
def test_supervised_experiments_differ_in_the_length_of_the_style_alone(name: str, dimensions: int) -> None:
    experiment = find(name)
    model = build(experiment, 0)
    assert isinstance(model, SupervisedAutoencoder) and model.prior.style.dimensions == dimensions
    assert model.prior.style.standard_deviation == 1 and f"{dimensions}-D" in experiment.title
    assert experiment.recipe == find("aae-gaussian").recipe and experiment.topic == STYLE


@pytest.mark.parametrize("name, clusters", [("cluster-16", 16), ("cluster-30", 30)])
def test_clustering_experiments_are_the_papers_but_for_width_and_rates(name: str, clusters: int) -> None:
    """AAE, section 6 and appendix A.3: input dropout 0.2, batch-norm on all layers of the encoder."""
    experiment, model = find(name), build(find(name), 0)
    assert isinstance(model, ClusteringAutoencoder) and experiment.topic == CLUSTERS
    assert model.prior.classes == clusters and f"{clusters} clusters" in experiment.title
    assert model.prior.style.dimensions == 10 and model.prior.style.standard_deviation == 1
    assert model.label_weight == 0.4 and "0.4 of its weight" in experiment.source and "90 epochs" in experiment.source
    assert model.input_dropout == 0.2 and model.input_noise == 0 and model.batch_norm
    shapes = [tuple(parameter.shape) for parameter in model.encoder.parameters() if parameter.ndim == 2]
    assert shapes == [(400, 784), (400, 400), (clusters + 10, 400)]
    rates = {update: (sgd.learning_rate, sgd.momentum) for update, sgd in experiment.recipe.optimizers.items()}
    assert rates == {"reconstruction": (0.005, 0.9), "discriminator": (0.05, 0.1), "generator": (0.05, 0.1)}
    assert "half the rates" in experiment.source and "3000" in experiment.source
    assert ("Fig. 9" in experiment.figure) == (clusters == 16)


@pytest.mark.parametrize(
    "name, dimensions, count, panel",
    [
        ("reduce-2d-1000", 2, 1000, "AAE Fig. 11a"),
        ("reduce-2d-100", 2, 100, "AAE Fig. 11b"),
        ("reduce-10d-100", 10, 100, "AAE Fig. 11d"),
        ("reduce-3d-100", 3, 100, "(ours)"),
    ],
)
def test_maps_with_labels_are_semi_supervised_with_heads(name: str, dimensions: int, count: int, panel: str) -> None:
    experiment, model, like = find(name), build(find(name), 0), find(f"semi-{count}{UNMOVED}")
    assert isinstance(model, SemiSupervisedReducingAutoencoder) and experiment.topic == MAPS
    assert experiment.figure == panel and f"{dimensions}-D, {count} labels" in experiment.title
    assert model.heads.positions.shape == (10, dimensions) and model.distance == 6
    assert model.input_noise == 0.3 and model.input_dropout == 0 and not model.batch_norm
    optimizers = dict(experiment.recipe.optimizers)
    heads = optimizers.pop("heads")
    assert heads == like.recipe.optimizers["reconstruction"] and optimizers == like.recipe.optimizers
    assert experiment.recipe.steps == 60 * 600 and "60 epochs" in experiment.source


def test_the_map_without_labels_is_the_clustering_with_twenty_heads() -> None:
    experiment, model, like = find("reduce-2d-unsupervised"), build(find("reduce-2d-unsupervised"), 0), "cluster-16"
    assert type(model) is ReducingAutoencoder and experiment.figure == "AAE Fig. 11c"
    assert model.heads.positions.shape == (20, 2) and model.distance == 6
    clustering = build(find(like), 0)
    for setting in ("input_noise", "input_dropout", "batch_norm", "label_weight"):
        assert getattr(model, setting) == getattr(clustering, setting)
    assert experiment.recipe.optimizers.items() > find(like).recipe.optimizers.items()
    assert experiment.recipe.schedule == find(like).recipe.schedule


def test_the_model_for_likelihood_is_that_of_the_appendix_with_noise_on_both_ends_of_its_encoder() -> None:
    """AAE, appendix A.1: codes of eight numbers, a prior of deviation 5; rates and momenta of A.2.1."""
    experiment, model = find("likelihood"), build(find("likelihood"), 0)
    assert type(model) is AdversarialAutoencoder and experiment.topic == LIKELIHOOD
    assert type(model.prior) is Gaussian and (model.prior.dimensions, model.prior.standard_deviation) == (8, 5)
    assert experiment.recipe.optimizers == find("aae-gaussian").recipe.optimizers
    assert experiment.recipe.batch_size == 100 and experiment.recipe.steps == 200 * 500, "200 epochs of 50,000 images"
    assert model.reconstruction_loss is half_squared_error and model.encoder_share == 0.3
    dropped = [layer.p for layer in model.decoder.modules() if isinstance(layer, torch.nn.Dropout)]
    assert dropped == [0.2, 0.2] and "dropout 0.2 in the decoder" in experiment.source
    shapes = [tuple(parameter.shape) for parameter in model.encoder.parameters() if parameter.ndim == 2]
    assert shapes == [(1000, 784), (1000, 1000), (8, 1000)]
    first, last = model.encoder[0], model.encoder[-1]
    assert isinstance(first, GaussianNoise) and first.standard_deviation == 0.3, "that of A.2.1"
    assert isinstance(last, GaussianNoise) and last.standard_deviation == 1, "a fifth of the prior's deviation"
    images = torch.rand(4, 784)
    assert not torch.equal(model.train().encode(images), model.encode(images))
    assert torch.equal(model.eval().encode(images), model.encode(images))


@pytest.mark.parametrize("name", SEMI_SUPERVISED_NAMES[3:])
def test_by_the_paper_s_recipe_only_the_schedule_is_another(name: str) -> None:
    """AAE, appendix A.2.1: 5,000 epochs; all rates fall to a tenth after 50 and again after 1,000."""
    ours, theirs = find(name), by_paper(find(name))
    assert replace(theirs, recipe=ours.recipe, source=ours.source) == ours and "5,000 epochs" in theirs.source
    assert not theirs.recipe.weights and theirs.recipe.noise is None
    assert theirs.recipe.optimizers == ours.recipe.optimizers and theirs.recipe.batch_size == 100
    assert theirs.recipe.steps == 5_000 * 600 > 10 * ours.recipe.steps
    for epoch, rates in ((0, (0.01, 0.1)), (49.9, (0.01, 0.1)), (50, (1e-3, 0.01)), (1_000, (1e-4, 1e-3))):
        found = {update: theirs.recipe.learning_rate(update, 600 * epoch) for update in theirs.recipe.optimizers}
        assert found.pop("reconstruction") == pytest.approx(rates[0])
        assert list(found.values()) == pytest.approx(3 * [rates[1]])


def test_without_a_recipe_of_the_paper_it_says_which_have_one() -> None:
    having = ", ".join(SEMI_SUPERVISED_NAMES[3:])
    for name in ("autoencoder", "semi-100"):  # no paper moves images
        with pytest.raises(UnknownNameError, match=f"'{name}' has no recipe of the paper .*: {having}"):
            by_paper(find(name))


def test_all_dropout_of_all_models_is_noise_of_training() -> None:
    for name in EXPERIMENTS:
        layers = [layer for layer in build(find(name), 0).modules() if isinstance(layer, torch.nn.Dropout)]
        assert all(isinstance(layer, Dropout) for layer in layers), name


def noises_of(encoder: torch.nn.Sequential) -> tuple[list[float], list[float], list[float]]:
    """Shifts, deviations and dropouts of an encoder."""
    kinds = {RandomAffine: "shift", GaussianNoise: "standard_deviation", torch.nn.Dropout: "p"}
    return tuple([getattr(layer, what) for layer in encoder if isinstance(layer, kind)] for kind, what in kinds.items())


@pytest.mark.parametrize(
    "name, noises, noise",
    [
        ("aae-mixture", ([1.0], [0.3], [0.1, 0.1]), WarmUp(3_000, Cosine(14_000, 21_000, final=0.0))),
        ("aae-swissroll-labels", ([2.0], [0.3], [0.1, 0.1]), Cosine(8_000, 13_500, final=0.0)),
    ],
)
def test_noise_fades_before_the_rates_have_fallen(name: str, noises: tuple, noise: Schedule) -> None:
    experiment = find(name)
    recipe, fading = experiment.recipe, noise.schedule if isinstance(noise, WarmUp) else noise
    assert noises_of(build(experiment, 0).encoder) == noises and recipe.noise == noise
    for update, optimizer in recipe.optimizers.items():
        assert recipe.learning_rate(update, fading.end) > 0.05 * optimizer.learning_rate, "it learns without noise, too"
    assert all(f"{step:,}" in experiment.source for step in (fading.start, fading.end, recipe.steps))
    discriminator, generator = (recipe.optimizers[name].learning_rate for name in ("discriminator", "generator"))
    assert discriminator < generator


def test_the_mixture_with_labels_keeps_its_noise_to_the_end() -> None:
    experiment = find("aae-mixture-labels")
    assert noises_of(build(experiment, 0).encoder) == ([2.0], [0.3], [0.1, 0.1]) and experiment.recipe.noise is None


def test_on_the_mixture_noise_and_adversaries_come_slowly() -> None:
    """With all noise from the first step on the discriminator can win before the petals are filled."""
    experiment = find("aae-mixture")
    recipe = experiment.recipe
    assert [recipe.noise(step) for step in (0, 1_500, 3_000)] == [0, 0.5, 1]
    for update in ("discriminator", "generator"):
        assert recipe.schedule[update] == WarmUp(1_500, Cosine(start=5_000, end=28_000))
    assert recipe.schedule["reconstruction"] == Cosine(start=10_000, end=28_000)
    assert all(f"{step:,}" in experiment.source for step in (1_500, 3_000, 5_000, 10_000))


GENERATING = ["age", "age-no-reconstruction", "age-generator-reconstruction", "dcgan", "ali", "vae-conv", "aae-conv"]


def test_generators_are_those_of_their_topic() -> None:
    of_topic = {name for name, experiment in EXPERIMENTS.items() if experiment.topic == GENERATORS}
    assert of_topic == {*GENERATING, JUDGE, "age-cifar10"}


def shapes_of(network: torch.nn.Module) -> list[tuple[int, ...]]:
    return [tuple(parameter.shape) for parameter in network.parameters()]


@pytest.mark.parametrize("name", GENERATING)
def test_generators_differ_in_nothing_but_the_game_and_the_length_of_their_codes(name: str) -> None:
    """As many steps by the same schedule, the same decoder and, where there is one, the same encoder."""
    experiment, model = find(name), build(find(name), 0)
    recipe, reference = experiment.recipe, find("age").recipe
    assert (recipe.steps, recipe.batch_size) == (5_000, 64) == (reference.steps, reference.batch_size)
    assert recipe.schedule == reference.schedule == Cosine(1_600, 3_200), "of a clock of 100 images"
    autoencodes = name in ("vae-conv", "aae-conv")
    assert set(recipe.optimizers.values()) == {Adam(5e-4 if autoencodes else 2e-4, (0.5, 0.999))}
    dimensions = 10 if autoencodes else 64
    assert model.prior.dimensions == dimensions and f"{dimensions}-D codes" in experiment.source
    assert isinstance(model.prior, UniformSphere if name.startswith("age") else Gaussian)
    assert getattr(model.prior, "standard_deviation", 1) == 1
    assert shapes_of(model.decoder) == shapes_of(convolutional_decoder(dimensions))
    if name == "dcgan":
        assert not hasattr(model, "encoder") and shapes_of(model.discriminator) == shapes_of(convolutional_encoder(1))
    else:
        outputs = (2 if name in ("ali", "vae-conv") else 1) * dimensions
        assert shapes_of(model.encoder) == shapes_of(convolutional_encoder(outputs))


@pytest.mark.parametrize(
    "name, image_weight, code_weight, of_generator",
    [("age", 10, 320, 0), ("age-no-reconstruction", 0, 0, 0), ("age-generator-reconstruction", 10, 320, 10)],
)
def test_the_three_games_of_age_differ_in_their_weights(
    name: str, image_weight: float, code_weight: float, of_generator: float
) -> None:
    """Lambda is ten per dimension in the official code's convention, which is twice ours."""
    model = build(find(name), 0)
    assert isinstance(model, AdversarialGeneratorEncoder) and isinstance(model.encoder[-1], OntoSphere)
    weights = (model.image_weight, model.code_weight, model.generator_image_weight, model.generator_updates)
    assert weights == (image_weight, code_weight, of_generator, 2)
    assert same(model, build(find("age"), 0)) and find(name).recipe == find("age").recipe
    assert "lambda 640" in find("age").source and 10 * model.prior.dimensions == 2 * 320


def test_the_judge_is_a_classifier_without_noise_whose_features_are_64() -> None:
    experiment, model = find(JUDGE), build(find(JUDGE), 0)
    assert isinstance(model, Classifier) and model.prior is None and model.input_noise == 0
    assert experiment.recipe.batch_size == 100 and experiment.recipe.steps == 5 * 600, "5 epochs"
    assert model.eval().features(torch.rand(3, 784)).shape == (3, 64)


@pytest.mark.parametrize("name", [name for name, e in EXPERIMENTS.items() if e.source.startswith("2 x 1000 ReLU")])
def test_networks_have_the_width_that_their_source_gives(name: str) -> None:
    width = next(layer.out_features for layer in build(find(name), 0).modules() if isinstance(layer, torch.nn.Linear))
    assert width == 1000


def test_initial_weights_are_those_of_the_seed(tiny: dict[str, Experiment]) -> None:
    state = torch.get_rng_state()
    one, again, other = (build(find("aae-gaussian"), seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert same(one, again) and not same(one, other)


# The paper's numbers


@pytest.mark.parametrize(
    "reported, text",
    [
        (Reported("1.90", "0.10", recalled=False), "1.90 ± 0.10"),
        (Reported("8.73", recalled=False), "8.73"),
        (Reported("0.85", "0.02"), "0.85 ± 0.02†"),
        (Reported("340", "2"), "340 ± 2†"),
        (Reported("25.80"), "25.80†"),
    ],
)
def test_a_number_that_was_recalled_ends_in_a_dagger(reported: Reported, text: str) -> None:
    assert str(reported) == f"{reported}" == text


def test_the_papers_errors_stand_with_the_experiments_and_what_was_checked_has_no_dagger() -> None:
    reported = {
        "semi-100": "1.90 ± 0.10",
        "semi-1000": "1.60 ± 0.08†",
        "semi-all": "0.85 ± 0.02†",
        "labels-100": "25.80†",
        "labels-1000": "8.73†",
        "m2-100": "11.97 ± 1.71†",
        "reduce-2d-1000": "4.20†",
        "reduce-2d-100": "6.08†",
        "reduce-2d-unsupervised": "13.61†",
        "reduce-10d-100": "3.90†",
    }
    reported |= {name + UNMOVED: error for name, error in reported.items() if "reduce" not in name}
    by_the_surest_image = {"cluster-16": "9.55 ± 2.05", "cluster-30": "4.10 ± 1.13"}
    of_all = {name: {metric: str(value) for metric, value in e.paper.items()} for name, e in EXPERIMENTS.items()}
    of_the_window = of_all.pop("likelihood")
    assert of_the_window.keys() == {"parzen_log_likelihood_10k"}
    likelihood = find("likelihood").paper["parzen_log_likelihood_10k"]
    assert (float(likelihood), str(likelihood)) == (340, "340 ± 2")
    assert {name: paper for name, paper in of_all.items() if paper} == {
        name: {"test_error_percent": text} for name, text in reported.items()
    } | {name: {"test_error_percent_most_confident": text} for name, text in by_the_surest_image.items()}


# Which images a run takes


@pytest.fixture
def numbered(digits: Digits) -> Callable[[int], Images]:
    """Makes as many images as wanted, each of a single pixel that holds its number, with the labels of real digits."""

    def make(count: int) -> Images:
        labels = digits.train.labels.repeat(count // len(digits.train) + 1)[:count]
        return Images(torch.arange(count).float()[:, None], labels)

    return make


def numbers(part: Images) -> set[int]:
    return {int(number) for number in part.images[:, 0]}


BUT_VALIDATION = [*OF_CLUSTERS, "likelihood"]  # the images that name clusters choose its bandwidth
WITHOUT_LABELS = [name for name in EXPERIMENTS if name not in {*OF_LABELS, *LABELED, *OF_MAPS, *BUT_VALIDATION}]
OF_TWO_SETS = [name for name in LABELED if not name.startswith("labels-")]


def test_the_experiments_with_labels_are_those_of_their_topic() -> None:
    assert [name for name, experiment in EXPERIMENTS.items() if experiment.topic == LABELS] == OF_LABELS
    of_few = [name for name, experiment in EXPERIMENTS.items() if experiment.topic == SEMI_SUPERVISED]
    assert sorted(of_few) == sorted(LABELED)


@pytest.mark.parametrize("name", WITHOUT_LABELS)
def test_where_no_labels_are_drawn_all_images_make_one_set(name: str, numbered: Callable[[int], Images]) -> None:
    images = numbered(60_000)
    (part,) = find(name).select(images, 0)
    assert torch.equal(part.images[:, 0], torch.arange(60_000).float()) and torch.equal(part.labels, images.labels)


@pytest.mark.parametrize("name", OF_LABELS)
@pytest.mark.parametrize(
    "count, kept, labeled_count",
    [(60_000, 50_000, 10_000), (50_000, 50_000, 10_000), (4_000, 4_000, 800), (3_334, 3_334, 660)],
)
def test_a_fifth_of_the_images_keep_their_labels(
    name: str, count: int, kept: int, labeled_count: int, numbered: Callable[[int], Images]
) -> None:
    """Of each digit as many; the last 10,000 of all 60,000 are never used."""
    images = numbered(count)
    unlabeled, labeled = find(name).select(images, 0)
    assert len(labeled) == len(numbers(labeled)) == labeled_count
    assert labeled.labels.bincount(minlength=10).tolist() == 10 * [labeled_count // 10]
    assert numbers(unlabeled).isdisjoint(numbers(labeled))
    assert numbers(unlabeled) | numbers(labeled) == set(range(kept)) and len(unlabeled) + len(labeled) == kept
    assert torch.equal(labeled.labels, images.labels[labeled.images[:, 0].long()])
    assert (unlabeled.labels == -1).all()


def first_weights(name: str) -> dict[str, float]:
    """Of each network of seed 0, before training, the root mean square of some weights of its last matrix."""
    found = {}
    for network, part in build(find(name), 0).named_children():
        matrices = [parameter for parameter in part.parameters() if parameter.ndim > 1]
        found[network] = matrices[-1].detach().flatten()[:10].square().mean().sqrt().item()
    return found


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if shipped_seeds(name)])
def test_a_run_begins_with_the_weights_with_which_the_shipped_one_began(name: str) -> None:
    """Else its numbers could not be had again, however alike the models."""
    stored = json.loads(Path(__file__).with_name("initial_weights.json").read_text(encoding="utf-8"))
    assert first_weights(name) == pytest.approx(stored[name], rel=1e-4)


def test_each_seed_draws_its_own_labels(numbered: Callable[[int], Images]) -> None:
    images = numbered(60_000)
    first, other = (numbers(find("aae-mixture-labels").select(images, seed)[1]) for seed in (0, 1))
    assert 0.15 < len(first & other) / 10_000 < 0.25  # by chance a fifth
    for name in OF_LABELS:
        torch.manual_seed(len(name))
        assert numbers(find(name).select(images, 0)[1]) == first


@pytest.mark.parametrize("name, count", LABELED.items())
def test_the_labeled_images_are_as_many_of_each_digit(
    name: str, count: int | None, numbered: Callable[[int], Images]
) -> None:
    images = numbered(60_000)
    labeled = find(name).select(images, 0)[-1]
    assert torch.equal(labeled.labels, images.labels[labeled.images[:, 0].long()])
    assert len(labeled) == len(numbers(labeled)) == (count or 60_000)
    if count:
        assert labeled.labels.bincount(minlength=10).tolist() == 10 * [count // 10]


@pytest.mark.parametrize("name", OF_TWO_SETS)
def test_all_images_are_unlabeled_too_and_their_labels_hidden(name: str, numbered: Callable[[int], Images]) -> None:
    images = numbered(60_000)
    before = images.labels.clone()
    unlabeled, _ = find(name).select(images, 0)
    assert torch.equal(unlabeled.images, images.images)
    assert unlabeled.labels.dtype == torch.int64 and unlabeled.labels.tolist() == 60_000 * [-1]
    assert torch.equal(images.labels, before), "hidden in a copy"


@pytest.mark.parametrize("name", OF_FEW)
def test_each_seed_labels_other_images_and_those_of_a_seed_are_the_same_for_all(
    name: str, numbered: Callable[[int], Images]
) -> None:
    images = numbered(60_000)
    draws = [numbers(find(name).select(images, seed)[-1]) for seed in range(4)]
    for seed, drawn in enumerate(draws):
        assert all(len(drawn & other) < 0.1 * len(drawn) for other in draws[:seed])
    torch.manual_seed(len(name))
    assert numbers(find(name).select(images, 0)[-1]) == draws[0]
    for other in OF_FEW:  # so they are compared on the same labels; fewer are a part of more
        theirs = numbers(find(other).select(images, 0)[-1])
        assert theirs <= draws[0] or draws[0] <= theirs


@pytest.mark.parametrize("name", BUT_VALIDATION)
def test_what_chooses_names_or_a_bandwidth_is_not_trained_on_and_the_labels_of_the_others_are_hidden(
    name: str, numbered: Callable[[int], Images]
) -> None:
    images = numbered(60_000)
    before = images.labels.clone()
    for seed in (0, 3):
        (part,) = find(name).select(images, seed)
        assert torch.equal(part.images[:, 0], torch.arange(50_000).float())
        assert part.labels.dtype == torch.int64 and part.labels.tolist() == 50_000 * [-1]
    assert torch.equal(images.labels, before), "hidden in a copy"
    (part,) = find(name).select(numbered(3_334), 0)
    assert numbers(part) == set(range(3_334 - 555))


@pytest.mark.parametrize("name, count", OF_MAPS.items())
def test_a_map_with_labels_takes_the_same_sets_as_the_semi_supervised_model(
    name: str, count: int, numbered: Callable[[int], Images]
) -> None:
    images = numbered(60_000)
    for one, other in zip(find(name).select(images, 1), find(f"semi-{count}").select(images, 1), strict=True):
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


# Images of another shape than MNIST's


def test_all_experiments_but_that_of_cifar10_take_mnist_as_it_is() -> None:
    taken = {name: (experiment.data, experiment.shape) for name, experiment in EXPERIMENTS.items()}
    assert taken.pop("age-cifar10") == ("CIFAR10", (3, 32, 32))
    assert set(taken.values()) == {("MNIST", (1, 28, 28))}
    assert shipped_seeds("age-cifar10") == [] and not weights_path(find("age-cifar10"), experiments.PRETRAINED).exists()
    with pytest.raises(StorageError, match="no weights of 'age-cifar10' are shipped; .*aae_lib train age-cifar10"):
        load_trained("age-cifar10")


def test_age_on_cifar10_is_the_official_command() -> None:
    """Its lambda is twice our weight of the code; its epochs have 781 minibatches, as 16 of 50,000 images are left."""
    experiment, model = find("age-cifar10"), build(find("age-cifar10"), 0)
    assert isinstance(model, AdversarialGeneratorEncoder) and experiment.topic == GENERATORS
    assert isinstance(model.prior, UniformSphere) and model.prior.dimensions == 128
    assert (model.image_weight, model.code_weight, model.generator_updates) == (10, 500, 2)
    assert model.generator_image_weight == 0
    # Kernels of 4 x 4, a bias of the last layer, and two numbers a channel of batch-norm.
    encoder, decoder = (sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder))
    assert encoder == 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 128) + 128 + 2 * (128 + 256)
    assert decoder == 16 * (128 * 512 + 512 * 256 + 256 * 128 + 128 * 3) + 3 + 2 * (512 + 256 + 128)
    # Theirs has 128 channels of 32 x 32 pixels before the last layer, whose kernels are of 1 x 1 then: 3.93 M in all.
    assert decoder + 16 * 128 * 128 + 2 * 128 - 15 * 128 * 3 == 3_934_595
    recipe = experiment.recipe
    assert recipe.batch_size == 64 and recipe.steps == 150 * 781
    assert set(recipe.optimizers.values()) == {Adam(2e-4, (0.5, 0.999))}
    for epoch in (1, 39, 40, 41, 79, 80, 119, 120, 150):  # the official code halves as the 40th, 80th and 120th begin
        first, last = ((epoch - 1) * 781, epoch * 781 - 1)
        expected = 2e-4 / 2 ** (epoch // 40)
        for step in (first, last):
            assert recipe.learning_rate("generator", step * 64 / 100) == pytest.approx(expected, rel=1e-12)
    with torch.no_grad():
        codes = model.eval().encode(torch.rand(2, 3 * 32 * 32))
        assert codes.shape == (2, 128) and model.decode(codes).shape == (2, 3 * 32 * 32)
