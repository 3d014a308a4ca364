"""The registry, and a training run from its name to its files, on the sample digits and a tiny budget."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

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
    VAE_CURVE,
    VAE_MIXTURE_CURVE,
    Evidence,
    Experiment,
    Reported,
    UnknownNameError,
    build,
    continuous_prior,
    evidence_path,
    examine,
    examined_topic,
    find,
    finds_clusters,
    has_labels,
    label_probabilities,
    load_trained,
    measure,
    read_evidence,
    save_evidence,
    shipped_seeds,
    train_experiment,
    weights_path,
)
from aae_lib.losses import half_squared_error
from aae_lib.metrics import (
    BANDWIDTHS,
    class_shares,
    frechet_distance,
    image_change,
    labels_from_codes,
    match,
    neighbor_accuracy,
    own_class,
    prior_samples,
    sharpness,
    steepest_tenth,
)
from aae_lib.models import (
    AdversarialAutoencoder,
    AdversarialGeneratorEncoder,
    AdversariallyLearnedInference,
    Autoencoder,
    Classifier,
    ClusteringAutoencoder,
    GaussianPosteriorAutoencoder,
    GenerativeAdversarialNetwork,
    LabelInformedAutoencoder,
    Model,
    ReducingAutoencoder,
    SemiSupervisedAutoencoder,
    SemiSupervisedReducingAutoencoder,
    SemiSupervisedVariationalAutoencoder,
    SupervisedAutoencoder,
    UniversalPosteriorAutoencoder,
    VariationalAutoencoder,
)
from aae_lib.networks import (
    GaussianNoise,
    JointDiscriminator,
    OntoSphere,
    convolutional_decoder,
    convolutional_encoder,
)
from aae_lib.priors import ClassConditionalPrior, Gaussian, GaussianMixture, SwissRoll, UniformSphere, seeded
from aae_lib.storage import StorageError, read_file, write_file
from aae_lib.training import Adam, Cosine, Drops, TrainingError, train

STEPS = 20
TINY = {
    "autoencoder": lambda: Autoencoder(2, (32,)),
    "aae-gaussian": lambda: AdversarialAutoencoder(Gaussian(2), (32,)),
    "vae-gaussian": lambda: VariationalAutoencoder(Gaussian(2), 1.0, (32,)),
    "vae-gaussian-0.5": lambda: VariationalAutoencoder(Gaussian(2), 0.5, (32,)),
    "aae-mixture": lambda: AdversarialAutoencoder(GaussianMixture(), (32,)),
    "vae-mixture": lambda: VariationalAutoencoder(GaussianMixture(), 1.0, (32,)),
    "aae-mixture-labels": lambda: LabelInformedAutoencoder(GaussianMixture(), (32,)),
    "aae-swissroll-labels": lambda: LabelInformedAutoencoder(SwissRoll(), (32,)),
    "aae-gaussian-posterior": lambda: GaussianPosteriorAutoencoder(Gaussian(2), (32,)),
    "aae-universal-posterior": lambda: UniversalPosteriorAutoencoder(Gaussian(2), hidden=(32,)),
}
TINY_WITH_LABELS = {  # beside the codes
    "supervised": lambda: SupervisedAutoencoder(15, hidden=(32,)),
    "supervised-2d": lambda: SupervisedAutoencoder(2, hidden=(32,)),
    "semi-100": lambda: SemiSupervisedAutoencoder(hidden=(32,)),
    "labels-100": lambda: Classifier(hidden=(32,)),
    "m2-100": lambda: SemiSupervisedVariationalAutoencoder(100.0, hidden=(32,)),
}
TINY_CLUSTERS = {
    "cluster-16": lambda: ClusteringAutoencoder(16, hidden=(32,)),
    "reduce-2d-unsupervised": lambda: ReducingAutoencoder(12, hidden=(32,)),
}
TINY_MAPS = {
    "reduce-2d-unsupervised": TINY_CLUSTERS["reduce-2d-unsupervised"],
    "reduce-10d-100": lambda: SemiSupervisedReducingAutoencoder(10, 10, hidden=(32,), batch_norm=False),
}
STOCHASTIC = VariationalAutoencoder | GaussianPosteriorAutoencoder | UniversalPosteriorAutoencoder


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, Experiment]:
    """Some experiments with networks of 32 units in the place of those of 1000."""
    for name, make in (TINY | TINY_WITH_LABELS | TINY_CLUSTERS | TINY_MAPS).items():
        monkeypatch.setitem(EXPERIMENTS, name, replace(EXPERIMENTS[name], build=make))
    return EXPERIMENTS


def go(experiment: Experiment, digits: Digits, out: Path, **arguments: Any) -> list:
    arguments = {"steps": STEPS, "device": "cpu", "progress": False, **arguments}
    return list(train_experiment(experiment, digits, out, **arguments))


def equal(one: Evidence, other: Evidence) -> bool:
    """Whether all that the files hold is the same, bit by bit."""
    return one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items()
    )


def same(one: Model, other: Model) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


# The registry


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
    for name in ("semi-100", "semi-1000", "semi-all"):
        recipe, model = find(name).recipe, build(find(name), 0)
        rates = {update: (sgd.learning_rate, sgd.momentum) for update, sgd in recipe.optimizers.items()}
        adversarial = {"discriminator": (0.1, 0.1), "generator": (0.1, 0.1)}
        assert rates == {"reconstruction": (0.01, 0.9), "classification": (0.1, 0.9)} | adversarial
        assert recipe.batch_size == 100 and model.reconstruction_loss is half_squared_error
        assert model.input_noise == 0.3 and model.prior.style.dimensions == 10
        shapes = [tuple(parameter.shape) for parameter in model.encoder.parameters() if parameter.ndim == 2]
        assert shapes == [(1000, 784), (1000, 1000), (20, 1000)]


@pytest.mark.parametrize("name, like", [("labels-100", "semi-100"), ("labels-1000", "semi-1000")])
def test_the_classifier_alone_is_the_encoder_of_the_semi_supervised_model_and_its_classification(
    name: str, like: str
) -> None:
    alone, model = build(find(name), 0), build(find(like), 0)
    assert alone.input_noise == model.input_noise
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
    experiment, model, like = find(name), build(find(name), 0), find(f"semi-{count}")
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
    assert experiment.recipe.batch_size == 100 and experiment.recipe.steps == 240 * 500, "240 epochs of 50,000 images"
    assert model.reconstruction_loss is half_squared_error and "0.3 of" in experiment.source
    shapes = [tuple(parameter.shape) for parameter in model.encoder.parameters() if parameter.ndim == 2]
    assert shapes == [(1000, 784), (1000, 1000), (8, 1000)]
    first, last = model.encoder[0], model.encoder[-1]
    assert isinstance(first, GaussianNoise) and first.standard_deviation == 0.3, "that of A.2.1"
    assert isinstance(last, GaussianNoise) and last.standard_deviation == 1, "a fifth of the prior's deviation"
    images = torch.rand(4, 784)
    assert not torch.equal(model.train().encode(images), model.encode(images))
    assert torch.equal(model.eval().encode(images), model.encode(images))


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


def test_which_models_have_labels_and_which_find_clusters() -> None:
    for name, experiment in EXPERIMENTS.items():
        model = build(experiment, 0)
        of_labels = {STYLE, SEMI_SUPERVISED, CLUSTERS, MAPS}
        assert has_labels(model) == (experiment.topic in of_labels and hasattr(model, "decoder")) or name in LABELED
        assert finds_clusters(model) == (name in OF_CLUSTERS)
        if experiment.topic in (LIKELIHOOD, GENERATORS):
            assert continuous_prior(model) is model.prior and (model.prior is None) == (name == JUDGE)
    for name in (*OF_MAPS, "reduce-2d-unsupervised"):
        assert continuous_prior(build(find(name), 0)) is None
    assert continuous_prior(build(find("cluster-16"), 0)).dimensions == 10


def test_the_continuous_prior_is_the_part_that_is_no_label() -> None:
    for make in TINY.values():
        model = make()
        assert continuous_prior(model) is model.prior
    for name, make in TINY_WITH_LABELS.items():
        model = make()
        prior = continuous_prior(model)
        if name == "labels-100":
            assert prior is None
        else:
            assert isinstance(prior, Gaussian) and prior.dimensions == model.prior.dimensions - 10


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


OF_LABELS = ["aae-mixture-labels", "aae-swissroll-labels"]
LABELED = {"semi-100": 100, "semi-1000": 1000, "semi-all": None, "labels-100": 100, "labels-1000": 1000, "m2-100": 100}
OF_MAPS = {"reduce-2d-1000": 1000, "reduce-2d-100": 100, "reduce-10d-100": 100, "reduce-3d-100": 100}
OF_CLUSTERS = ["cluster-16", "cluster-30", "reduce-2d-unsupervised"]
BUT_VALIDATION = [*OF_CLUSTERS, "likelihood"]  # the images that name clusters choose its bandwidth
WITHOUT_LABELS = [name for name in EXPERIMENTS if name not in {*OF_LABELS, *LABELED, *OF_MAPS, *BUT_VALIDATION}]
OF_TWO_SETS = [name for name in LABELED if not name.startswith("labels-")]
OF_FEW = [name for name, count in LABELED.items() if count]


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


@pytest.mark.parametrize("name", [name for name in OF_FEW if name in TINY_WITH_LABELS])
def test_a_run_on_few_labels_reads_no_other_label(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    """The same bits where all others are missing from the start; other bits where those that were drawn are wrong."""
    experiment, labels = find(name), digits.train.labels
    drawn = experiment.select(Images(torch.arange(4000)[:, None], labels), 2)[-1].images[:, 0]
    known = torch.full((4000,), -1)
    known[drawn] = labels[drawn]

    def spoil(images: Images, seed: int) -> tuple[Images, ...]:
        *others, labeled = experiment.select(images, seed)
        return *others, replace(labeled, labels=9 - labeled.labels)

    few, spoiled = replace(digits, train=replace(digits.train, labels=known)), replace(experiment, select=spoil)
    runs = {"all": (experiment, digits), "few": (experiment, few), "wrong": (spoiled, digits)}
    found = {}
    for run, (variant, images) in runs.items():
        go(variant, images, tmp_path / run, seed=2, steps=5)
        found[run] = load_trained(name, weights_path(experiment, tmp_path / run))
        assert found[run].header["trained_on"] == (100 if name == "labels-100" else 4100)
    assert same(found["all"].model, found["few"].model) and not same(found["all"].model, found["wrong"].model)


@pytest.mark.parametrize("name", OF_LABELS)
def test_a_run_reads_the_labels_that_were_drawn_and_no_others(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment = find(name)

    def spoil(which: int) -> Experiment:
        def select(images: Images, seed: int) -> tuple[Images, ...]:
            parts = list(experiment.select(images, seed))
            parts[which] = replace(parts[which], labels=9 - parts[which].labels)
            return tuple(parts)

        return replace(experiment, select=select)

    found = []
    for run, variant in enumerate((experiment, spoil(0), spoil(1))):
        go(variant, digits, tmp_path / str(run))
        found.append(load_trained(name, weights_path(experiment, tmp_path / str(run))))
        assert found[-1].header["trained_on"] == 4000
    assert same(found[0].model, found[1].model) and not same(found[0].model, found[2].model)


def test_images_are_selected_with_the_seed_of_the_run(
    digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment, asked = find("aae-mixture-labels"), []

    def select(images: Images, seed: int) -> tuple[Images, ...]:
        asked.append((len(images), seed))
        return experiment.select(images, seed)

    go(replace(experiment, select=select), digits, tmp_path / "final", seed=5)
    go(replace(experiment, select=select), digits, tmp_path / "validation", seed=6, validation=True)
    assert asked == [(4000, 5), (3334, 6)]


# From the name to the files


def test_a_real_run_leaves_weights_evidence_and_state(digits: Digits, tmp_path: Path) -> None:
    """With the real networks: what is measured on the file's weights is what the evidence holds, bit by bit."""
    out = tmp_path / "new" / "folder"
    experiment = find("aae-gaussian")
    (report,) = go(experiment, digits, out)
    assert report.step == STEPS
    names = ["aae-gaussian-seed-0.safetensors", "aae-gaussian.safetensors", "state.safetensors"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert weights_path(experiment, out).name == names[1] and evidence_path(experiment, 0, out).name == names[0]

    trained = load_trained("aae-gaussian", weights_path(experiment, out))
    assert trained.experiment is experiment and not trained.model.training
    stored = read_evidence(evidence_path(experiment, 0, out), digits.test.labels)
    again = examine(trained.model, digits.test, trained.header)
    assert stored.codes.dtype == torch.float16 and stored.codes.shape == (1000, 2)
    assert stored.squared_errors.dtype == torch.float32 and stored.squared_errors.shape == (1000,)
    assert stored.sharpness.shape == stored.changes.shape == (2000,) and stored.repeated.shape == (10, 200, 2)
    assert {stored.sharpness.dtype, stored.changes.dtype, stored.repeated.dtype} == {torch.float16}
    assert equal(again, stored) and stored.header == trained.header

    header = trained.header
    assert json.loads(json.dumps(header)) == header
    assert (header["experiment"], header["seed"], header["steps"]) == ("aae-gaussian", 0, STEPS)
    assert header["data"] == digits.source and header["data_sha256"] == digits.sha256
    assert (header["trained_on"], header["evaluated_on"]) == (4000, "test")
    assert header["recipe"] == repr(experiment.recipe) and header["source"] == experiment.source
    assert header["versions"]["torch"] == torch.__version__ and header["precision"] in ("float32", "bfloat16")
    (entry,) = header["history"]
    assert entry["step"] == STEPS and entry.keys() == {"step", "reconstruction", "discriminator", "generator"}
    assert entry["reconstruction"] == pytest.approx(report.losses["reconstruction"], abs=1e-4)

    shipped, whole = trained.model.state_dict(), read_file(out / "state.safetensors")[0]
    for name, tensor in shipped.items():  # eight bits per row of the trained float32 weights
        step = whole[f"weights/{name}"].abs().amax() / 127
        assert (tensor - whole[f"weights/{name}"]).abs().max() <= 0.51 * step


OF_ALL = {"reconstruction_error", "neighbor_accuracy"}
OF_A_PRIOR = {"prior_coverage", "sliced_wasserstein", "sample_sharpness", "image_change", "steepest_tenth"}
OF_A_DENSITY = OF_ALL | OF_A_PRIOR | {"inside_prior"}
OF_CLASSES = {"smallest_class", "largest_class"}
MEASURES = {
    "autoencoder": OF_ALL,
    "aae-gaussian": OF_A_DENSITY,
    "vae-gaussian": OF_A_DENSITY,
    "aae-mixture": OF_A_DENSITY | OF_CLASSES,
    "vae-mixture": OF_A_DENSITY | OF_CLASSES,
    "aae-mixture-labels": OF_A_DENSITY | OF_CLASSES | {"own_class"},
    "aae-swissroll-labels": OF_ALL | OF_A_PRIOR | OF_CLASSES | {"own_class"},
    "aae-gaussian-posterior": OF_A_DENSITY,
    "aae-universal-posterior": OF_A_DENSITY,
}


@pytest.mark.parametrize("name", MEASURES)
def test_measures_have_their_names_and_are_had_again(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment = find(name)
    go(experiment, digits, tmp_path)
    trained = load_trained(name, weights_path(experiment, tmp_path))
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), digits.test.labels)
    metrics = measure(experiment, stored)
    assert metrics == measure(experiment, examine(trained.model, digits.test, trained.header))
    assert metrics.keys() == MEASURES[name]
    # Each against its definition, on the model.
    prior, labels = trained.model.prior, digits.test.labels
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)  # a stochastic encoder's codes in the evidence are those of seed 0
        codes = trained.model.encode(digits.test.images)
        errors = 0.5 * (trained.model.decode(codes) - digits.test.images).square().sum(1)
    codes = codes.half()
    expected = {"reconstruction_error": errors.mean().item(), "neighbor_accuracy": neighbor_accuracy(codes, labels)}
    if prior is not None:
        samples = prior_samples(prior, 2000)
        changes = image_change(trained.model.decode, samples)
        expected |= match(codes, prior) | {
            "sample_sharpness": sharpness(trained.model.decode(samples)).mean().item(),
            "image_change": changes.mean().item(),
            "steepest_tenth": steepest_tenth(changes),
        }
    if isinstance(prior, ClassConditionalPrior):
        shares = class_shares(codes, prior).tolist()
        expected |= {"smallest_class": min(shares), "largest_class": max(shares)}
    if "own_class" in MEASURES[name]:
        expected["own_class"] = own_class(codes, labels, prior)
    assert metrics == pytest.approx(expected, rel=1e-3)


OF_A_STYLE = {"reconstruction_error", "prior_coverage", "sliced_wasserstein", "inside_prior"}
MEASURES_WITH_LABELS = {
    "supervised": OF_A_STYLE | {"label_from_style_percent"},
    "supervised-2d": OF_A_STYLE | {"label_from_style_percent"},
    "semi-100": OF_A_STYLE | {"test_error_percent"},
    "labels-100": {"test_error_percent"},
    "m2-100": OF_A_STYLE | {"test_error_percent"},
}


@pytest.mark.parametrize("name", TINY_WITH_LABELS)
def test_measures_of_models_with_labels_have_their_names_and_are_had_again(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment, digits = find(name), replace(digits, train=digits.train[:800])
    go(experiment, digits, tmp_path)
    trained = load_trained(name, weights_path(experiment, tmp_path))
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), digits.test.labels)
    metrics = measure(experiment, stored)
    assert metrics.keys() == MEASURES_WITH_LABELS[name]
    again = examine(trained.model, digits.test, trained.header, training=digits.train)
    assert equal(again, stored) and metrics == measure(experiment, again)
    # Each against its definition, on the model.
    model, labels, expected = trained.model, digits.test.labels, {}
    with torch.no_grad(), seeded(0):
        codes = model.code_of(digits.test)
        if name != "labels-100":
            errors = 0.5 * (model.decode(codes) - digits.test.images).square().sum(1)
            expected["reconstruction_error"] = errors.mean().item()
            expected |= match(codes[:, 10:].half(), Gaussian(codes.shape[1] - 10))
        if "test_error_percent" in metrics:
            read = [int(logits.argmax()) for logits in model.classify(digits.test.images)]
            expected["test_error_percent"] = 100 * sum(map(int.__ne__, read, labels.tolist())) / 1000
        else:
            styles = model.encode(digits.train.images)
            found = labels_from_codes(styles, digits.train.labels, model.encode(digits.test.images))
            assert torch.equal(stored.from_style.long(), found)
            expected["label_from_style_percent"] = 100 * sum(map(int.__eq__, found.tolist(), labels.tolist())) / 1000
    assert metrics == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["semi-100", "labels-100", "m2-100"])
def test_the_history_has_the_error_of_the_model_of_each_report(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment = find(name)
    (report,) = go(experiment, digits, tmp_path)
    (entry,) = load_trained(name, weights_path(experiment, tmp_path)).header["history"]
    model = build(experiment, 0).eval()
    assert entry.keys() == {"step", *model.moves, "error_percent"}
    state = read_file(tmp_path / "state.safetensors")[0]
    model.load_state_dict({key: state[f"weights/{key}"] for key in model.state_dict()})
    with torch.no_grad():
        wrong = (model.classify(digits.test.images).argmax(1) != digits.test.labels).sum().item()
    assert entry["error_percent"] == pytest.approx(wrong / 10)
    assert report.measures == {"error_percent": pytest.approx(wrong / 10)}


def test_the_error_is_that_of_the_stored_predictions() -> None:
    labels = torch.arange(200) % 10
    predictions = torch.where(torch.arange(200) < 13, (labels + 1) % 10, labels).byte()
    for name in LABELED:
        metrics = measure(find(name), Evidence({}, labels, predictions=predictions))
        assert metrics == {"test_error_percent": pytest.approx(100 * 13 / 200)}
    told = measure(find("supervised"), Evidence({}, labels, from_style=predictions))
    assert told == {"label_from_style_percent": pytest.approx(100 * 187 / 200)}


# What is found in a model with labels


def enlarge(model: Model) -> Model:
    """The same model with weights so large that images differ in their labels."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_a_classifier_without_a_decoder_gives_probabilities_and_predictions(digits: Digits) -> None:
    model, some = enlarge(TINY_WITH_LABELS["labels-100"]()), digits.test[::4]
    evidence = examine(model, some, {})
    assert evidence.tensors.keys() == {"codes", "predictions"}
    assert evidence.predictions.dtype == torch.uint8 and len(evidence.predictions.unique()) > 2
    assert evidence.codes.shape == (250, 10) and evidence.codes.dtype == torch.float16
    assert torch.allclose(evidence.codes.float().sum(1), torch.ones(250), atol=5e-3)
    highest = evidence.codes.float().gather(1, evidence.predictions.long()[:, None])[:, 0]
    assert torch.equal(highest, evidence.codes.float().amax(1))


@pytest.mark.parametrize("name", ["semi-100", "m2-100"])
def test_a_semi_supervised_model_gives_labels_styles_and_errors(name: str, digits: Digits) -> None:
    model, some = enlarge(TINY_WITH_LABELS[name]()), digits.test[::4]
    evidence = examine(model, some, {}, training=digits.train[:100])
    assert evidence.tensors.keys() == {"codes", "squared_errors", "predictions"}
    assert evidence.codes.shape == (250, 20) and evidence.squared_errors.shape == (250,)
    highest = evidence.codes.float().gather(1, evidence.predictions.long()[:, None])[:, 0]
    assert torch.equal(highest, evidence.codes[:, :10].float().amax(1)) and len(evidence.predictions.unique()) > 2
    other = examine(model, replace(some, labels=9 - some.labels), {})
    assert equal(other, evidence), "it is told no labels"


def test_a_supervised_model_gives_true_labels_and_styles_and_what_these_tell_after_training(digits: Digits) -> None:
    model, some, training = enlarge(TINY_WITH_LABELS["supervised"]()), digits.test[::4], digits.train[:1500]
    without = examine(model, some, {})
    assert without.tensors.keys() == {"codes", "squared_errors"}
    assert torch.equal(without.codes[:, :10].argmax(1), some.labels) and (without.codes[:, :10].sum(1) == 1).all()
    evidence = examine(model, some, {}, training)
    assert evidence.tensors.keys() == {"codes", "squared_errors", "from_style"}
    assert torch.equal(evidence.codes, without.codes) and evidence.from_style.dtype == torch.uint8
    right = (evidence.from_style == some.labels).double().mean()
    assert right > 0.4, "a style of random weights is a projection of the image, which tells the label"
    # Whoever reads the style sees no label of the images in question; the decoder does.
    other = examine(model, replace(some, labels=9 - some.labels), {}, training)
    assert torch.equal(other.from_style, evidence.from_style)
    assert not torch.equal(other.squared_errors, evidence.squared_errors)
    told = measure(find("supervised"), other)["label_from_style_percent"]
    assert told == pytest.approx(100 * (evidence.from_style == 9 - some.labels).double().mean().item())


@pytest.mark.parametrize("name", ["semi-100", "m2-100"])
def test_without_codes_all_is_measured_but_their_match(name: str, digits: Digits, tmp_path: Path) -> None:
    evidence = examine(TINY_WITH_LABELS[name](), digits.test[:300], {"seed": 1})
    save_evidence(tmp_path / "all", evidence)
    save_evidence(tmp_path / "less", replace(evidence, codes=Evidence({}, evidence.labels).codes))
    every, less = (measure(find(name), read_evidence(tmp_path / f, evidence.labels)) for f in ("all", "less"))
    assert less.keys() == {"test_error_percent", "reconstruction_error"} < every.keys()
    assert less.items() <= every.items()


# What is found in a model that finds clusters, or maps


def certain(model: Model) -> Model:
    """The same model with weights so large that images fall into different clusters, some of them into none."""
    torch.manual_seed(3)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=0.2)
    return model.eval()


def probabilities_by_hand(model: Model, images: Images) -> np.ndarray:
    with torch.no_grad():
        logits = model.encoder(images.images)[:, : model.prior.classes].double().numpy()
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def names_by_hand(model: Model, naming: Images) -> list[list[int]]:
    """Both rules, one cluster after the other."""
    probabilities, labels = probabilities_by_hand(model, naming), naming.labels.numpy()
    majority = []
    for cluster in range(model.prior.classes):
        own = labels[probabilities.argmax(1) == cluster]
        majority.append(int(np.bincount(own).argmax()) if len(own) else -1)
    return [majority, labels[probabilities.argmax(0)].tolist()]


@pytest.mark.parametrize("name", TINY_CLUSTERS)
def test_clusters_are_the_most_probable_labels_and_named_by_both_rules_on_the_last_sixth(
    name: str, digits: Digits
) -> None:
    model, some, training = certain(TINY_CLUSTERS[name]()), digits.test[::2], digits.train[:1200]
    evidence = examine(model, some, {}, training)
    of_map = {"heads", "trustworthiness"} if name != "cluster-16" else set()
    assert evidence.tensors.keys() == {"codes", "squared_errors", "clusters", "names"} | of_map
    expected = probabilities_by_hand(model, some)
    assert evidence.clusters.dtype == torch.uint8 and evidence.clusters.tolist() == expected.argmax(1).tolist()
    assert len(evidence.clusters.unique()) > 3
    np.testing.assert_allclose(label_probabilities(model, some).detach(), expected, atol=1e-5)

    (trained_on,) = find(name).select(training, 0)
    naming = training[len(trained_on) :]
    assert len(naming) == 200 and (trained_on.labels == -1).all()
    assert evidence.names.dtype == torch.int8 and evidence.names.tolist() == names_by_hand(model, naming)
    assert evidence.names[0].min() == -1 <= evidence.names[1].min(), "one cluster is empty at least"
    renamed = examine(model, some, {}, replace(training, labels=torch.cat([9 - trained_on.labels, naming.labels])))
    assert equal(renamed, evidence), "of the images that it is trained on no label is read"
    other = examine(model, replace(some, labels=9 - some.labels), {}, training)
    assert equal(other, evidence), "of the test images no label is read"
    assert examine(model, some, {}).tensors.keys() == evidence.tensors.keys() - {"names"}


@pytest.mark.parametrize("name", TINY_MAPS)
def test_a_map_has_heads_and_the_trustworthiness_of_its_first_images(
    name: str, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "TRUSTED", 150)
    model, some = certain(TINY_MAPS[name]()), digits.test[::2]
    evidence = examine(model, some, {}, digits.train[:300])
    assert torch.equal(evidence.heads, model.heads.positions) and evidence.heads.dtype == torch.float32
    expected = trustworthiness(some.images[:150], evidence.codes[:150].float(), n_neighbors=10)
    assert evidence.trustworthiness.shape == (1,) and evidence.trustworthiness.dtype == torch.float32
    assert evidence.trustworthiness.item() == pytest.approx(expected, abs=1e-6)
    with torch.no_grad():
        output = model.encoder(some.images)
    label, style = output[:, : model.prior.classes].softmax(1), output[:, model.prior.classes :]
    torch.testing.assert_close(evidence.codes.float(), label @ evidence.heads + style, rtol=2e-3, atol=2e-3)
    if name == "reduce-10d-100":
        assert not len(evidence.clusters) and not len(evidence.names)
        assert evidence.predictions.tolist() == label.argmax(1).tolist()


def test_digits_of_clusters_are_their_names_by_the_majority() -> None:
    names = torch.tensor([[3, -1, 7], [5, 6, 8]], dtype=torch.int8)
    clusters = torch.tensor([2, 0, 1, 1, 2], dtype=torch.uint8)
    evidence = Evidence({}, torch.tensor([7, 3, 9, 9, 1]), clusters=clusters, names=names)
    assert evidence.digits_of_clusters.tolist() == [7, 3, -1, -1, 7]


def test_clusters_are_measured_by_scikit_learn_and_by_their_names() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (500,), generator=generator)
    clusters = (labels + 5 * (torch.rand(500, generator=generator) < 0.4)) % 16
    clusters[clusters == 3] = 0
    names = torch.arange(32).reshape(2, 16) % 10
    names[0, 11:], names[0, 5] = -1, -1
    evidence = Evidence({}, labels, clusters=clusters.byte(), names=names.to(torch.int8))
    majority, surest = (
        sum(int(names[rule, cluster]) != int(label) for cluster, label in zip(clusters, labels, strict=True))
        for rule in (0, 1)
    )
    sizes = [int((clusters == cluster).sum()) for cluster in range(16)]
    assert measure(find("cluster-16"), evidence) == pytest.approx(
        {
            "adjusted_rand_index": adjusted_rand_score(labels, clusters),
            "normalized_mutual_information": normalized_mutual_info_score(labels, clusters),
            "empty_clusters": sum(size < 500 / 16 / 10 for size in sizes),
            "test_error_percent": 100 * majority / 500,
            "test_error_percent_most_confident": 100 * surest / 500,
        }
    )
    assert 0 < majority < 500 and majority != surest


def test_clusters_without_names_have_no_error() -> None:
    evidence = Evidence({}, torch.arange(10).repeat(4), clusters=torch.arange(10).repeat(4).byte())
    expected = {"adjusted_rand_index": 1, "normalized_mutual_information": 1, "empty_clusters": 6}
    assert measure(find("cluster-16"), evidence) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["cluster-16", "reduce-2d-unsupervised", "reduce-10d-100"])
def test_measures_of_clusters_and_maps_have_their_names_and_are_had_again(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "TRUSTED", 200)
    experiment, digits = find(name), replace(digits, train=digits.train[:900], test=digits.test[::2])
    go(experiment, digits, tmp_path)
    trained = load_trained(name, weights_path(experiment, tmp_path))
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), digits.test.labels)
    again = examine(trained.model, digits.test, trained.header, training=digits.train)
    metrics = measure(experiment, stored)
    assert equal(again, stored) and metrics == measure(experiment, again)
    assert trained.header["trained_on"] == (1000 if name == "reduce-10d-100" else 750)
    model, labels = trained.model, digits.test.labels
    with torch.no_grad():
        codes = model.encode(digits.test.images)
        errors = 0.5 * (model.decode(codes) - digits.test.images).square().sum(1)
    expected = {"reconstruction_error": errors.mean().item()}
    best = probabilities_by_hand(model, digits.test).argmax(1)
    if name == "reduce-10d-100":
        expected["test_error_percent"] = 100 * (best != labels.numpy()).mean()
    else:
        by_majority, by_the_surest = (np.array(names)[best] for names in names_by_hand(model, digits.train[750:]))
        sizes = np.bincount(best, minlength=model.prior.classes)
        expected |= {
            "test_error_percent": 100 * (by_majority != labels.numpy()).mean(),
            "test_error_percent_most_confident": 100 * (by_the_surest != labels.numpy()).mean(),
            "adjusted_rand_index": adjusted_rand_score(labels, best),
            "normalized_mutual_information": normalized_mutual_info_score(labels, best),
            # of the real experiment's number of clusters, which is that of the tiny one
            "empty_clusters": (sizes < 500 / model.prior.classes / 10).sum(),
        }
    if name == "cluster-16":
        expected |= match(codes[:, 16:].half(), Gaussian(5))
    else:
        kept = trustworthiness(digits.test.images[:200], codes[:200].half().float(), n_neighbors=10)
        expected |= {"neighbor_accuracy": neighbor_accuracy(codes.half(), labels), "trustworthiness": kept}
    assert metrics == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", TINY_CLUSTERS)
def test_the_history_of_clusters_has_the_error_by_the_majority_of_the_images_that_name_them(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment, digits = find(name), replace(digits, train=digits.train[:1200])
    for validation in (False, True):
        out = tmp_path / str(validation)
        go(experiment, digits, out, validation=validation)
        (entry,) = load_trained(name, weights_path(experiment, out)).header["history"]
        assert entry.keys() == {"step", *experiment.build().moves, "error_percent"}
    # Without validation the last 200 of 1,200 name the clusters, of which the test images make the error.
    model = build(experiment, 0)
    go_on = {"images": experiment.select(digits.train, 0), "steps": STEPS, "device": "cpu"}
    list(train(model, recipe=experiment.recipe, **go_on))
    clusters = probabilities_by_hand(model, digits.test).argmax(1)
    majority, _ = names_by_hand(model, digits.train[1000:])
    wrong = (np.array(majority)[clusters] != digits.test.labels.numpy()).mean()
    entry = load_trained(name, weights_path(experiment, tmp_path / "False")).header["history"][-1]
    assert entry["error_percent"] == pytest.approx(100 * wrong, abs=1e-3)


@pytest.mark.parametrize("name", TINY_CLUSTERS)
def test_a_run_that_finds_clusters_reads_no_label_but_those_that_name_them(
    name: str, digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    experiment, train_set = find(name), digits.train[:600]
    hidden = train_set.labels.clone()
    hidden[:500] = -1
    renamed = hidden.clone()
    renamed[500:] = 9 - hidden[500:]
    found = []
    for run, labels in enumerate((train_set.labels, hidden, renamed)):
        go(experiment, replace(digits, train=replace(train_set, labels=labels)), tmp_path / str(run), steps=5)
        model = load_trained(name, weights_path(experiment, tmp_path / str(run))).model
        path = evidence_path(experiment, 0, tmp_path / str(run))
        found.append((model, read_evidence(path, digits.test.labels)))
    (model, evidence), (other, same_evidence), (third, renamed_evidence) = found
    assert same(model, other) and same(model, third) and equal(evidence, same_evidence)
    assert torch.equal(renamed_evidence.names[1], 9 - evidence.names[1])
    assert torch.equal(renamed_evidence.clusters, evidence.clusters)


def test_what_evidence_does_not_have_is_empty_and_not_written(tmp_path: Path) -> None:
    labels = torch.arange(10)
    assert Evidence({}, labels).tensors == {} and measure(find("semi-100"), Evidence({}, labels)) == {}
    evidence = Evidence({"seed": 2}, labels, predictions=labels.byte())
    save_evidence(tmp_path / "file", evidence)
    tensors, header = read_file(tmp_path / "file")
    assert tensors.keys() == {"predictions"} and header == {"seed": 2}
    found = read_evidence(tmp_path / "file", labels)
    assert equal(found, evidence) and found.header == {"seed": 2} and torch.equal(found.labels, labels)
    assert len(found.codes) == len(found.squared_errors) == len(found.from_style) == 0


def test_read_evidence_takes_the_labels_of_the_test_set_if_it_is_told_none(
    tmp_path: Path, folder_of_evidence: Path, digits: Digits
) -> None:
    save_evidence(tmp_path / "file", Evidence({}, torch.zeros(1000), predictions=digits.test.labels.byte()))
    assert torch.equal(read_evidence(tmp_path / "file").labels, digits.test.labels)
    with pytest.raises(StorageError, match="there is no file"):
        read_evidence(tmp_path / "nothing")
    (tmp_path / "damaged").write_bytes((tmp_path / "file").read_bytes()[:-1])
    with pytest.raises(StorageError, match="damaged"):
        read_evidence(tmp_path / "damaged")


def test_examining_leaves_random_numbers_alone(digits: Digits) -> None:
    for model in (TINY["vae-gaussian"](), TINY_WITH_LABELS["m2-100"](), TINY_WITH_LABELS["supervised-2d"]()):
        state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
        one, other = (examine(model, digits.test[:50], {}, digits.train[:500]) for _ in range(2))
        assert torch.equal(torch.get_rng_state(), state) and (np.random.get_state()[1] == numpy_state).all()
        assert equal(one, other) and not one.codes.requires_grad


@pytest.mark.parametrize("name", TINY)
def test_repeated_codes_of_an_image_vary_where_the_encoder_is_stochastic(name: str, digits: Digits) -> None:
    torch.manual_seed(0)
    model = TINY[name]()
    for parameter in model.encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # so that images differ in their codes
    evidence = examine(model, digits.test[:50], {})
    assert evidence.codes.shape == (50, 2) and evidence.repeated.shape == (10, 200, 2)
    repeated = evidence.repeated.float()
    if isinstance(model, STOCHASTIC):
        assert (repeated.std(1) > 0.01).all()
        assert all(len(codes.unique(dim=0)) > 150 for codes in repeated)
    else:
        assert (repeated == repeated[:, :1]).all()
        assert torch.allclose(repeated[:, 0], evidence.codes[:10].float(), atol=2e-3)
        assert len(repeated[:, 0].unique(dim=0)) == 10


@pytest.mark.parametrize("name", ["vae-gaussian", "aae-gaussian-posterior"])
def test_repeated_codes_are_a_cloud_of_the_posterior(name: str, digits: Digits) -> None:
    torch.manual_seed(0)
    model = TINY[name]()
    for parameter in model.encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    clouds = examine(model, digits.test[:50], {}).repeated.float()
    posterior = model.posterior if name == "vae-gaussian" else model.encoder.posterior
    with torch.no_grad():
        mean, log_variance = posterior(digits.test.images[:10])
    deviation = (0.5 * log_variance).exp()
    assert ((clouds.mean(1) - mean).abs() < 4 * deviation / 200**0.5).all()
    assert torch.allclose(clouds.std(1), deviation, rtol=0.25)


def test_what_is_decoded_from_the_prior_is_looked_at_where_there_is_one(digits: Digits) -> None:
    without = examine(TINY["autoencoder"](), digits.test[:50], {})
    assert without.sharpness.shape == without.changes.shape == (0,)
    assert without.tensors.keys() == {"codes", "squared_errors", "repeated"}
    within = examine(TINY["aae-mixture"](), digits.test[:50], {})
    assert within.tensors.keys() == {"codes", "squared_errors", "sharpness", "changes", "repeated"}
    assert len(within.sharpness) == len(within.changes) == 2000 and (within.changes > 0).all()


@pytest.fixture
def folder_of_evidence(tmp_path: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In the place of what ships: a folder with nothing but what is kept of the test images."""
    monkeypatch.setattr(experiments, "EVIDENCE", tmp_path)
    tensors = {"labels": digits.test.labels.to(torch.uint8), "sharpness": sharpness(digits.test.images).half()}
    write_file(tmp_path / "test-set.safetensors", tensors, {})
    experiments.test_set.cache_clear()
    yield tmp_path
    experiments.test_set.cache_clear()


@pytest.mark.parametrize(
    "name",
    ["autoencoder", "aae-gaussian", "vae-mixture", "aae-swissroll-labels", *TINY_WITH_LABELS, *TINY_CLUSTERS],
)
def test_evidence_goes_around(name: str, digits: Digits, folder_of_evidence: Path) -> None:
    model = (TINY | TINY_WITH_LABELS | TINY_CLUSTERS)[name]()
    evidence = examine(model, digits.test, {"experiment": name, "seed": 3}, digits.train[:500])
    path = evidence_path(find(name), 3, folder_of_evidence)
    save_evidence(path, evidence)
    found = experiments.load_evidence(name, 3)
    assert equal(found, evidence) and found.header == evidence.header
    assert found.labels.dtype == torch.int64 and torch.equal(found.labels, digits.test.labels)
    assert found.sharpness.dtype == found.changes.dtype == found.repeated.dtype == torch.float16
    without = name == "autoencoder" or name in TINY_WITH_LABELS | TINY_CLUSTERS
    assert len(found.sharpness) == len(found.changes) == (0 if without else 2000)
    assert found.predictions.dtype == found.from_style.dtype == found.clusters.dtype == torch.uint8
    assert found.names.dtype == torch.int8 and found.heads.dtype == found.trustworthiness.dtype == torch.float32
    assert len(found.clusters) == (1000 if name in TINY_CLUSTERS else 0)
    assert "labels" not in read_file(path)[0]


def test_equal_seeds_give_equal_bits_and_others_do_not(
    digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    contents = []
    for run, seed in enumerate((3, 3, 4)):
        out = tmp_path / str(run)
        torch.manual_seed(run)
        go(find("aae-gaussian"), digits, out, seed=seed)
        weights, _ = read_file(weights_path(find("aae-gaussian"), out))
        evidence, header = read_file(evidence_path(find("aae-gaussian"), seed, out))
        assert header["seed"] == seed
        contents.append(weights | evidence)
    first, second, other = contents
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert not any(torch.equal(tensor, other[name]) for name, tensor in first.items() if name.endswith("weight"))
    for name in ("codes", "sharpness", "changes", "repeated"):
        assert not torch.equal(first[name], other[name])


def test_validation_holds_out_the_last_sixth(digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    experiment = find("autoencoder")
    go(experiment, digits, tmp_path, validation=True)
    kept, held_out = digits.train.hold_out()
    header = load_trained("autoencoder", weights_path(experiment, tmp_path)).header
    assert (header["trained_on"], header["evaluated_on"]) == (len(kept), "validation") == (3334, "validation")
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), held_out.labels)
    model = load_trained("autoencoder", weights_path(experiment, tmp_path)).model
    assert torch.equal(stored.codes, examine(model, held_out, {}).codes)

    # The held-out images were not trained on: without them, and with others in their place, the bits are the same.
    images = digits.train.images.clone()
    images[len(kept) :] = 0.5
    spoiled = replace(digits, train=replace(digits.train, images=images))
    go(experiment, spoiled, tmp_path / "spoiled", validation=True)
    assert same(load_trained("autoencoder", weights_path(experiment, tmp_path / "spoiled")).model, model)


def test_test_images_are_not_trained_on(digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    experiment = find("autoencoder")
    go(experiment, digits, tmp_path / "one")
    spoiled = replace(digits, test=replace(digits.test, images=torch.zeros_like(digits.test.images)))
    go(experiment, spoiled, tmp_path / "other")
    one, other = (load_trained("autoencoder", weights_path(experiment, tmp_path / run)) for run in ("one", "other"))
    assert same(one.model, other.model)


def test_a_run_goes_on_where_it_stopped(digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    experiment = find("aae-gaussian")
    go(experiment, digits, tmp_path / "unbroken", steps=24)
    go(experiment, digits, tmp_path / "resumed", steps=8)
    reports = go(experiment, digits, tmp_path / "resumed", steps=24)
    assert reports[-1].step == 24
    one, other = (load_trained("aae-gaussian", weights_path(experiment, tmp_path / r)) for r in ("unbroken", "resumed"))
    assert same(one.model, other.model) and other.header["steps"] == 24


def test_no_steps_are_refused(digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    with pytest.raises(TrainingError, match="nothing to do: 0 steps"):
        go(find("autoencoder"), digits, tmp_path, steps=0)
    assert not list(tmp_path.iterdir())


def test_a_state_of_another_seed_or_experiment_is_refused(
    digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    go(find("vae-gaussian"), digits, tmp_path)
    for name, arguments in {"vae-gaussian": {"seed": 1}, "aae-gaussian": {}}.items():
        with pytest.raises(TrainingError, match="state of another run"):
            go(find(name), digits, tmp_path, **arguments)


def test_a_state_of_another_kl_weight_is_refused(digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]) -> None:
    go(find("vae-gaussian"), digits, tmp_path)
    with pytest.raises(TrainingError, match="state of another run"):
        go(find("vae-gaussian-0.5"), digits, tmp_path)


# Weights that do not fit


def test_weights_of_another_experiment_are_refused(
    digits: Digits, tmp_path: Path, tiny: dict[str, Experiment]
) -> None:
    go(find("vae-gaussian"), digits, tmp_path)
    path = weights_path(find("vae-gaussian"), tmp_path)
    assert load_trained("vae-gaussian", path).header["experiment"] == "vae-gaussian"
    with pytest.raises(StorageError, match=f"{path} holds weights of 'vae-gaussian', not of 'vae-gaussian-0.5'"):
        load_trained("vae-gaussian-0.5", path)  # the networks would fit
    with pytest.raises(StorageError, match=f"{path} does not fit AdversarialAutoencoder"):
        load_trained("aae-gaussian", path)
    with pytest.raises(StorageError, match="does not fit VariationalAutoencoder"):
        load_trained("vae-gaussian", evidence_path(find("vae-gaussian"), 0, tmp_path))


def test_what_is_not_shipped_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "PRETRAINED", tmp_path)
    monkeypatch.setattr(experiments, "EVIDENCE", tmp_path / "evidence")
    with pytest.raises(StorageError, match="no weights of 'aae-gaussian' are shipped; .*aae_lib train aae-gaussian"):
        load_trained("aae-gaussian")
    with pytest.raises(StorageError, match="there is no file .*aae-gaussian-seed-7"):
        experiments.load_evidence("aae-gaussian", 7)
    with pytest.raises(StorageError, match="there is no file"):
        load_trained("aae-gaussian", tmp_path / "nothing")
    assert experiments.shipped_seeds("aae-gaussian") == []


def test_shipped_seeds_are_listed_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "EVIDENCE", tmp_path)
    for name in ("vae-gaussian-seed-10", "vae-gaussian-seed-2", "vae-gaussian-0.5-seed-3", "aae-gaussian-seed-4"):
        (tmp_path / f"{name}.safetensors").touch()
    assert experiments.shipped_seeds("vae-gaussian") == [2, 10]
    assert experiments.shipped_seeds("vae-gaussian-0.5") == [3]


# Generators, judged by a classifier of digits, and the window of likelihood

JUDGED, KEPT = 300, 40


def of_24_numbers(kind: type[Model]) -> Model:
    """The models of 64-D codes with 24-D ones and networks of four base channels."""
    if kind is AdversarialGeneratorEncoder:
        encoder = torch.nn.Sequential(*convolutional_encoder(24, 4), OntoSphere())
        return kind(UniformSphere(24), encoder, convolutional_decoder(24, 4))
    if kind is GenerativeAdversarialNetwork:
        return kind(Gaussian(24), convolutional_decoder(24, 4), convolutional_encoder(1, 4))
    return kind(Gaussian(24), convolutional_encoder(48, 4), convolutional_decoder(24, 4), JointDiscriminator(24, 4))


def of_10_numbers(kind: type[Model]) -> Model:
    outputs = 20 if kind is VariationalAutoencoder else 10
    return kind(Gaussian(10), networks=(convolutional_encoder(outputs, 4), convolutional_decoder(10, 4)))


TINY_GENERATORS = {
    "age": lambda: of_24_numbers(AdversarialGeneratorEncoder),
    "dcgan": lambda: of_24_numbers(GenerativeAdversarialNetwork),
    "ali": lambda: of_24_numbers(AdversariallyLearnedInference),
    "vae-conv": lambda: of_10_numbers(VariationalAutoencoder),
    "aae-conv": lambda: of_10_numbers(AdversarialAutoencoder),
}
OF_SAMPLES = {"fid", "rarest_digit", "sample_sharpness"}
OF_CODES = {"reconstruction_error", "neighbor_accuracy", "sliced_wasserstein"}
MEASURES_OF_GENERATORS = {
    "age": OF_SAMPLES | OF_CODES,  # no coverage in many dimensions, and no density of the sphere
    "dcgan": OF_SAMPLES,
    "ali": OF_SAMPLES | OF_CODES | {"inside_prior"},
    "vae-conv": OF_SAMPLES | OF_CODES | {"inside_prior", "prior_coverage"},
    "aae-conv": OF_SAMPLES | OF_CODES | {"inside_prior", "prior_coverage"},
}


@pytest.fixture
def tiny_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny networks, of which 300 samples are judged; 40 codes of 24 numbers are kept."""
    monkeypatch.setattr(experiments, "JUDGED", JUDGED)
    monkeypatch.setattr(experiments, "KEPT", KEPT)
    for name, make in TINY_GENERATORS.items():
        monkeypatch.setitem(EXPERIMENTS, name, replace(EXPERIMENTS[name], build=make))


@torch.no_grad()
def judged_by_hand(model: Model, real: torch.Tensor) -> tuple[list[int], float]:
    """The digits of samples, and their FID, each by its definition."""
    samples = model.eval().decode(prior_samples(model.prior, JUDGED))
    judge = load_trained(JUDGE).model
    digits = [int(logits.argmax()) for logits in judge.classify(samples)]
    one, other = (judge.encoder[:-1](images).double().numpy() for images in (samples, real))
    covariances = [np.cov(features, rowvar=False) for features in (one, other)]
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0)).sum()
    distance = ((one.mean(0) - other.mean(0)) ** 2).sum() + sum(map(np.trace, covariances)) - 2 * root
    return digits, float(distance)


@pytest.mark.parametrize("name", TINY_GENERATORS)
def test_measures_of_generators_have_their_names_and_are_had_again(
    name: str, digits: Digits, tmp_path: Path, tiny_generators: None
) -> None:
    """And the history has FID, of the model of each report before its weights are rounded for the file."""
    experiment = find(name)
    digits = replace(digits, train=digits.train[:256], test=digits.test[::5])
    (report,) = go(experiment, digits, tmp_path, steps=2)
    trained = load_trained(name, weights_path(experiment, tmp_path))
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), digits.test.labels)
    metrics = measure(experiment, stored)
    again = examine(trained.model, digits.test, trained.header, training=digits.train, topic=experiment.topic)
    assert equal(again, stored) and metrics == measure(experiment, again)
    assert metrics.keys() == MEASURES_OF_GENERATORS[name]
    without = examine(trained.model, digits.test, {}, training=digits.train)
    assert without.tensors.keys() == stored.tensors.keys() - {"fid", "sample_digits"}, "of no other topic"

    # Each against its definition, on the model.
    model, labels = trained.model, digits.test.labels
    of_samples, distance = judged_by_hand(model, digits.test.images)
    assert stored.sample_digits.dtype == torch.uint8 and stored.sample_digits.tolist() == of_samples
    assert stored.fid.dtype == torch.float32 and stored.fid.shape == (1,)
    shares = np.bincount(of_samples, minlength=10) / JUDGED
    expected = {"fid": distance, "rarest_digit": shares.min()}
    with torch.no_grad(), seeded(0):
        drawn = model.decode(prior_samples(model.prior, 2000))
        expected["sample_sharpness"] = sharpness(drawn).mean().item()
        if name != "dcgan":
            codes = model.encode(digits.test.images)
            errors = 0.5 * (model.decode(codes) - digits.test.images).square().sum(1)
            kept = codes.half()[:KEPT] if codes.shape[1] > 20 else codes.half()
            assert torch.equal(stored.codes, kept) and stored.squared_errors.shape == (200,)
            expected["reconstruction_error"] = errors.mean().item()
            compared = kept[:KEPT]  # as many of every generator
            expected["neighbor_accuracy"] = neighbor_accuracy(compared, labels[:KEPT])
            expected |= match(compared, model.prior)
    assert metrics == pytest.approx(expected, rel=2e-3, abs=1e-6)

    (entry,) = trained.header["history"]
    assert entry.keys() == {"step", *model.moves, "fid"} and report.measures.keys() == {"fid"}
    whole = build(experiment, 0)
    list(train(whole, experiment.select(digits.train, 0), experiment.recipe, steps=2, device="cpu"))
    assert entry["fid"] == pytest.approx(judged_by_hand(whole, digits.test.images)[1], rel=1e-3)
    assert entry["fid"] == pytest.approx(report.measures["fid"], abs=1e-4)


def test_the_judge_judges_images_that_it_was_trained_on_beside_the_test_images(digits: Digits) -> None:
    """The last sixth of them; of the test images themselves only the features are taken, not the labels."""
    some, training, judge = digits.test[::5], digits.train[:1200], load_trained(JUDGE).model
    evidence = examine(judge, some, {}, training=training, topic=GENERATORS)
    assert evidence.tensors.keys() == {"codes", "predictions", "sample_digits", "fid"}
    with torch.no_grad():
        seen, unseen = (judge.features(part) for part in (training.images[1000:], some.images))
        read = judge.classify(training.images[1000:]).argmax(1)
    assert evidence.sample_digits.tolist() == read.tolist()
    assert evidence.fid.item() == pytest.approx(frechet_distance(seen, unseen), rel=1e-4)
    metrics = measure(find(JUDGE), evidence)
    assert metrics.keys() == {"test_error_percent", "fid", "rarest_digit"}
    others = Images(some.images, 9 - some.labels)
    assert equal(examine(judge, others, {}, training=training, topic=GENERATORS), evidence)
    assert examine(judge, some, {}, topic=GENERATORS).tensors.keys() == {"codes", "predictions"}


def test_a_generator_of_a_plane_has_no_codes_and_is_examined(digits: Digits) -> None:
    torch.manual_seed(0)
    model = GenerativeAdversarialNetwork(Gaussian(2), convolutional_decoder(2, 4), convolutional_encoder(1, 4))
    evidence = examine(model, digits.test[::50], {})
    assert evidence.tensors.keys() == {"sharpness", "changes"}


def test_images_of_other_things_are_not_judged_as_digits(tiny_generators: None, digits: Digits, tmp_path: Path) -> None:
    experiment = find("dcgan")
    garments = replace(digits, train=digits.train[:256], test=digits.test[::20], name="FashionMNIST")
    assert (examined_topic(experiment, digits), examined_topic(experiment, garments)) == (GENERATORS, None)
    assert examined_topic(find("semi-100"), garments) == SEMI_SUPERVISED
    (report,) = go(experiment, garments, tmp_path, steps=2)
    assert report.measures == {}
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), garments.test.labels)
    assert stored.tensors.keys() == {"sharpness"}


def test_the_rarest_digit_may_be_missing() -> None:
    drawn = torch.tensor([0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).byte()
    evidence = Evidence({}, torch.arange(10), sample_digits=drawn, fid=torch.tensor([2.5]))
    assert measure(find("dcgan"), evidence) == {"fid": 2.5, "rarest_digit": 0}
    evidence = replace(evidence, sample_digits=torch.arange(10).repeat(3).byte())
    assert measure(find("dcgan"), evidence)["rarest_digit"] == pytest.approx(0.1)


def of_eight() -> Model:
    """The model of likelihood with 32 hidden units, and weights by which samples differ."""
    torch.manual_seed(0)
    model = AdversarialAutoencoder(Gaussian(8, standard_deviation=5.0), (32,))
    for parameter in model.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


def test_the_window_of_likelihood_is_chosen_on_the_last_sixth_of_the_training_images(
    digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never on test images, nor on those that the model is trained on, which would have other bandwidths."""
    monkeypatch.setattr(experiments, "JUDGED", JUDGED)
    model, some = of_eight(), digits.test[:40]
    with torch.no_grad():
        samples = model.decode(prior_samples(model.prior, JUDGED))
    noise = torch.randn(50, 784, generator=torch.Generator().manual_seed(0))

    def found_with(validation: torch.Tensor, fitted: torch.Tensor, test: Images = some) -> Evidence:
        training = Images(torch.cat([fitted, validation]), digits.train.labels[:300])
        return examine(model, test, {}, training=training, topic=LIKELIHOOD)

    def by_hand(images: torch.Tensor, bandwidth: float) -> np.ndarray:
        squares = torch.cdist(images.double(), samples.double()).square().numpy()
        of_each = np.logaddexp.reduce(-squares / (2 * bandwidth**2), axis=1) - np.log(JUDGED)
        return of_each - 784 * np.log(bandwidth * np.sqrt(2 * np.pi))

    near, fitted = samples[:50] + 0.15 * noise, digits.train.images[:250]
    evidence = found_with(near, fitted)
    means = [by_hand(near, bandwidth).mean() for bandwidth in BANDWIDTHS.tolist()]
    best = float(BANDWIDTHS[int(np.argmax(means))])
    assert BANDWIDTHS[0] < best < BANDWIDTHS[-1]
    assert evidence.bandwidth.shape == (1,) and evidence.bandwidth.item() == pytest.approx(best, rel=1e-6)
    assert evidence.log_likelihoods.dtype == torch.float32
    np.testing.assert_allclose(evidence.log_likelihoods, by_hand(some.images, best), rtol=1e-4, atol=0.05)
    metrics = measure(find("likelihood"), evidence)
    assert metrics["bandwidth"] == pytest.approx(best)
    assert metrics["parzen_log_likelihood_10k"] == pytest.approx(by_hand(some.images, best).mean(), rel=1e-4)

    others = found_with(near, fitted, Images(samples[:40], some.labels))
    assert torch.equal(others.bandwidth, evidence.bandwidth), "test images choose nothing"
    assert others.log_likelihoods.mean() > evidence.log_likelihoods.mean() + 100
    assert equal(found_with(near, samples[:250]), evidence), "images that are trained on choose nothing"
    nearer = found_with(samples[:50] + 0.1 * noise, fitted)
    assert BANDWIDTHS[0] < nearer.bandwidth < evidence.bandwidth

    training = Images(torch.cat([fitted, near]), digits.train.labels[:300])
    without = evidence.tensors.keys() - {"bandwidth", "log_likelihoods"}
    assert examine(model, some, {}, topic=LIKELIHOOD).tensors.keys() == without
    assert examine(model, some, {}, training=training).tensors.keys() == without


# Images of another shape than MNIST's


@pytest.fixture
def colored() -> Digits:
    """Random images of CIFAR-10's shape, of each class as many."""
    generator = torch.Generator().manual_seed(0)
    train_set, test_set = (
        Images(torch.rand(count, 3 * 32 * 32, generator=generator), torch.arange(count) % 10) for count in (200, 60)
    )
    return Digits(train_set, test_set, "random colors", "0" * 64, is_full=False)


def tiny_colored() -> Model:
    """The model of age-cifar10, with networks of four base channels and codes of eight numbers."""
    encoder = torch.nn.Sequential(*convolutional_encoder(8, 4, (3, 32, 32)), OntoSphere())
    return AdversarialGeneratorEncoder(UniformSphere(8), encoder, convolutional_decoder(8, 4, (3, 32, 32)))


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


def test_a_run_on_colored_images_leaves_weights_and_evidence_without_what_is_of_digits(
    colored: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither FID, for which a classifier of digits gives the features, nor sharpness; in no report either."""
    experiment = replace(find("age-cifar10"), build=tiny_colored)
    monkeypatch.setitem(EXPERIMENTS, "age-cifar10", experiment)
    (report,) = go(experiment, colored, tmp_path, steps=2)
    assert report.measures == {} and report.losses.keys() == {"encoder", "generator"}
    names = ["age-cifar10-seed-0.safetensors", "age-cifar10.safetensors", "state.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    trained = load_trained("age-cifar10", weights_path(experiment, tmp_path))
    assert trained.header["data"] == "random colors" and trained.header["steps"] == 2
    stored = read_evidence(evidence_path(experiment, 0, tmp_path), colored.test.labels)
    assert stored.tensors.keys() == {"codes", "squared_errors"}
    assert stored.codes.shape == (60, 8) and stored.squared_errors.shape == (60,)
    topic = examined_topic(experiment, colored)
    again = examine(trained.model, colored.test, trained.header, training=colored.train, topic=topic)
    metrics = measure(experiment, stored)
    assert equal(again, stored) and metrics == measure(experiment, again)
    assert metrics.keys() == {"reconstruction_error", "neighbor_accuracy", "prior_coverage", "sliced_wasserstein"}
    assert all(np.isfinite(value) for value in metrics.values())
