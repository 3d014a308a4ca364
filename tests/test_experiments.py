"""The registry: experiments as data, the papers' numbers and settings, and the images that runs take."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from aae_lib.data import DataSet, Images, load_sample
from aae_lib.errors import ShapeError, UnknownNameError
from aae_lib.experiments import (
    AUGMENTED,
    CHAPTERS,
    DIGIT_CLASSIFIER,
    EXPERIMENTS,
    GENERATORS,
    VAE_CURVE,
    VAE_MIXTURE_CURVE,
    find,
)
from aae_lib.losses import half_squared_error
from aae_lib.networks import Dropout, GaussianNoise, RandomAffine
from aae_lib.paper import PAPER, TABLE_2, TABLE_3, Reported
from aae_lib.priors import Gaussian, UniformSphere
from aae_lib.training import Adam, Cosine, Drops, Recipe, WarmUp

SEMI = {"semi-100": 100, "semi-1000": 1000, "semi-all": None}
ALONE = {"labels-100": 100, "labels-1000": 1000}
PLAIN = {**SEMI, **ALONE, "m2-100": 100, "m2-1000": 1000, "m2-all": None}
STACKED = {"m1-m2-100": 100, "m1-m2-1000": 1000, "m1-m2-all": None}
LABELED = PLAIN | {name + AUGMENTED: count for name, count in PLAIN.items()} | STACKED | {"semi-100-paper": 100}
PLAIN_MAPS = {"reduce-2d-1000": 1000, "reduce-2d-100": 100, "reduce-10d-100": 100, "reduce-3d-100": 100}
MAPS = PLAIN_MAPS | {
    name: 100 for name in ("reduce-10d-100-fixed-heads", "reduce-2d-100-augmented", "reduce-10d-100-augmented")
}
CLUSTERS = ["cluster-16", "cluster-30", "cluster-16-augmented", "cluster-30-augmented"]
BUT_VALIDATION = [*CLUSTERS, "reduce-2d-unsupervised", "likelihood"]
GUIDED = ["cluster-10-augmented", "reduce-2d-unsupervised-augmented"]
OF_LABELS = ["aae-mixture-labels", "aae-swissroll-labels"]
Numbered = Callable[[int], Images]


def names_of(chapter: object) -> list[str]:
    return [name for name, experiment in EXPERIMENTS.items() if experiment.chapter is chapter]


def widths_of(network: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(parameter.shape) for parameter in network.parameters() if parameter.ndim == 2]


def rates_of(recipe: Recipe) -> dict[str, tuple[float, float]]:
    return {name: (sgd.learning_rate, sgd.momentum) for name, sgd in recipe.optimizers.items()}


# The registry


def test_experiments_have_names_chapters_and_sources() -> None:
    for name, experiment in EXPERIMENTS.items():
        assert experiment.name == name and find(name) is experiment and experiment.chapter in CHAPTERS
        assert experiment.title and experiment.figure and experiment.source
    assert len({experiment.title for experiment in EXPERIMENTS.values()}) == len(EXPERIMENTS)


def test_chapters_show_measures_that_they_have() -> None:
    notebooks = {path.stem for path in (Path(__file__).parent.parent / "notebooks").rglob("*.ipynb")}
    for chapter in CHAPTERS:
        assert set(chapter.columns) <= {measure.name for measure in chapter.measures}
        assert chapter.notebook in notebooks and names_of(chapter)
    titles = {(measure.name, measure.title) for chapter in CHAPTERS for measure in chapter.measures}
    assert len(dict(titles)) == len({title for _, title in titles}) == len(titles)
    for experiment in EXPERIMENTS.values():
        assert set(experiment.paper) <= {measure.name for measure in experiment.chapter.measures}


def test_an_unknown_name_is_answered_with_those_that_exist() -> None:
    with pytest.raises(UnknownNameError) as error:
        find("aae-gausian")
    assert all(name in str(error.value) for name in ["'aae-gausian'", *EXPERIMENTS])


OWN = """
from dataclasses import dataclass, replace
from aae_lib.experiments import find
@dataclass
class Size:
    hidden: "int" = 8
MINE = replace(find("aae-gaussian"), name="mine", settings={"hidden": (Size().hidden,)})
number = 3
"""


def test_an_experiment_of_ones_own_is_found_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN)
    assert find(f"{file}:MINE").settings == {"hidden": (8,)} and "mine" not in EXPERIMENTS
    for name, text in {"syntax": "def", "raises": "1 / 0", "exits": "exit()"}.items():
        (tmp_path / f"{name}.py").write_text(text)
    for name, named in {
        "none.py:MINE": "none.py", "own.py": "MINE", "own.py:number": "MINE", "own.py:YOURS": "YOURS.*MINE",
        "syntax.py:A": "syntax.py.*SyntaxError", "raises.py:A": "ZeroDivisionError", "exits.py:A": "SystemExit",
    }.items():  # fmt: skip
        with pytest.raises(UnknownNameError, match=named):
            find(str(tmp_path / name))


def test_an_experiment_is_plain_data_and_can_be_pickled() -> None:
    for name, experiment in pickle.loads(pickle.dumps(EXPERIMENTS)).items():
        data = EXPERIMENTS[name].as_data()
        assert experiment.as_data() == data == json.loads(json.dumps(data))
        assert Recipe.from_data(data["recipe"]) == EXPERIMENTS[name].recipe
    assert find("likelihood").as_data()["prior"] == {"kind": "Gaussian", "dimensions": 8, "standard_deviation": 5}
    assert find("aae-mixture").as_data()["settings"]["motion"] == [1.0]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_recipes_fit_their_models(name: str) -> None:
    experiment, model = find(name), find(name).model(0)
    recipe = experiment.recipe
    assert set(recipe.optimizers) == set(model.moves)
    assert all(hasattr(model, weight) for weight in recipe.weights)
    drops = isinstance(recipe.schedule, Drops)
    lowest = recipe.schedule.factor ** len(recipe.schedule.at) if drops else 0.05
    for update, optimizer in recipe.optimizers.items():
        clocks = np.linspace(0, recipe.steps * recipe.batch_size / 100, 301)
        rates = [recipe.learning_rate(update, clock) for clock in clocks]
        assert max(rates) == optimizer.learning_rate and rates[-1] == min(rates[150:]), "the rates fall to the end"
        assert 0 <= rates[-1] <= lowest * optimizer.learning_rate and lowest <= 0.125
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Dropout)]
    assert all(isinstance(layer, Dropout) for layer in layers), "all dropout is noise of training"


def test_initial_weights_are_those_of_the_seed() -> None:
    state = torch.get_rng_state()
    one, again, other = (find("aae-gaussian").model(seed).encoder[0].weight for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(one, again) and not torch.equal(one, other)


INITIAL_WEIGHTS = json.loads(Path(__file__).with_name("initial_weights.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", INITIAL_WEIGHTS)
def test_a_run_begins_with_the_weights_with_which_the_shipped_one_began(name: str) -> None:
    """Of each network, the root mean square of some weights of its last matrix."""
    found = {}
    for network, part in find(name).model(0).named_children():
        matrices = [parameter for parameter in part.parameters() if parameter.ndim > 1]
        found[network] = matrices[-1].detach().flatten()[:10].square().mean().sqrt().item()
    assert found == pytest.approx(INITIAL_WEIGHTS[name], rel=1e-4)


# Settings and recipes


def test_the_curves_of_the_vae_differ_in_their_kl_weights_alone() -> None:
    for curve in (VAE_CURVE, VAE_MIXTURE_CURVE):
        assert list(curve.values()) == sorted(set(curve.values()), reverse=True) and next(iter(curve.values())) == 1
        for name, weight in curve.items():
            assert find(name).model(0).kl_weight == weight and f"KL weight {weight:g}" in find(name).title
            assert weight == 1 or float(name.rpartition("-")[2]) == weight
            assert find(name).recipe == find("vae-gaussian").recipe
    of_plane = {name for name in names_of(find("vae-gaussian").chapter) if name.startswith("vae-")}
    assert of_plane == VAE_CURVE.keys() | VAE_MIXTURE_CURVE.keys()


@pytest.mark.parametrize("name", ["aae-gaussian", *SEMI, "semi-100-paper", "likelihood"])
def test_settings_are_those_of_the_appendix(name: str) -> None:
    """AAE, appendix A.1 and A.2.1: half squared error, 2 x 1000 units, batch 100, rates, momenta, style and noise."""
    experiment, model = find(name), find(name).model(0)
    expected = {"reconstruction": (0.01, 0.9), "discriminator": (0.1, 0.1), "generator": (0.1, 0.1)}
    noise = [layer.standard_deviation for layer in model.encoder if isinstance(layer, GaussianNoise)]
    if name.startswith("semi"):
        expected["classification"] = (0.1, 0.9)
        assert experiment.prior.dimensions == 10 and noise == [0.3] and model.label_weight == 1
        assert widths_of(model.encoder) == [(1000, 784), (1000, 1000), (20, 1000)]
    if name == "likelihood":
        assert (experiment.prior.dimensions, experiment.prior.standard_deviation) == (8, 5)
        assert noise == [0.3, 1], "on the image that of A.2.1, on the code a fifth of the prior's deviation"
    assert rates_of(experiment.recipe) == expected and experiment.recipe.batch_size == 100
    assert model.reconstruction_loss is half_squared_error


def test_the_paper_s_recipe_differs_in_the_schedule_alone() -> None:
    """AAE, appendix A.2.1: 5,000 epochs; all rates fall to a tenth after 50 and again after 1,000."""
    ours, theirs = find("semi-100"), find("semi-100-paper")
    assert theirs.settings == ours.settings and theirs.select == ours.select and theirs.paper == ours.paper
    assert theirs.recipe.optimizers == ours.recipe.optimizers and not theirs.recipe.weights and not theirs.recipe.noise
    assert theirs.recipe.steps == 5_000 * 600
    factors = [theirs.recipe.learning_rate("generator", 600 * epoch) / 0.1 for epoch in (0, 49.9, 50, 999, 1_000)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_augmented_experiments_are_the_plain_ones_with_augmentation() -> None:
    for name in PLAIN:
        plain, augmented = find(name), find(name + AUGMENTED)
        assert augmented.settings == {**plain.settings, "motion": (1.5, 15.0, 0.1, 0.25)} and not augmented.paper
        assert plain.title in augmented.title and plain.build is augmented.build
        models = [experiment.model(0) for experiment in (plain, augmented)]
        kinds = [{type(layer) for layer in model.modules()} for model in models]
        assert kinds[1] - kinds[0] == {RandomAffine}
        for one, other in zip(*(model.parameters() for model in models), strict=True):
            assert torch.equal(one, other)
        assert name in SEMI or plain.recipe == augmented.recipe


@pytest.mark.parametrize("name", [name + AUGMENTED for name in SEMI])
def test_labels_harden_late_and_half_of_the_augmentation_stays(name: str) -> None:
    recipe = find(name).recipe
    at = {epoch: (recipe.weights["label_weight"](600 * epoch), recipe.noise_strength("RandomAffine", 600 * epoch),
                  recipe.learning_rate("generator", 600 * epoch)) for epoch in (0, 20, 24, 27, 28, 32, 45)}  # fmt: skip
    assert at[0] == at[20] == pytest.approx((0.3, 1, 0.1)) and at[24] == at[27] == pytest.approx((0.3, 0.5, 0.1))
    assert at[28][0] == 0.3 and at[32][0] == 1 and 0.06 < at[32][2] < at[28][2] < 0.1
    assert at[45] == pytest.approx((1, 0.5, 0.001)) and recipe.steps == 45 * 600
    assert recipe.noise_strength("GaussianNoise", 27_000) == 1


def test_clusters_and_maps_are_those_of_the_paper_but_for_width_and_rates() -> None:
    """AAE, section 6, 7 and appendix A.3: input dropout 0.2, batch-norm on all layers of the encoder."""
    for name, clusters, figure in (("cluster-16", 16, "Fig. 9"), ("cluster-30", 30, "Table 3"),
                                   ("reduce-2d-unsupervised", 20, "Fig. 11c")):  # fmt: skip
        experiment, model = find(name), find(name).model(0)
        dropped = [layer.p for layer in model.encoder if isinstance(layer, nn.Dropout)]
        norms = [layer for layer in model.encoder if isinstance(layer, nn.BatchNorm1d)]
        assert model.prior.classes == clusters and figure in experiment.figure and model.label_weight == 0.4
        assert dropped == [0.2] and len(norms) == 3 and widths_of(model.encoder)[1] == (400, 400)
        rates = {"reconstruction": (0.005, 0.9), "discriminator": (0.05, 0.1), "generator": (0.05, 0.1)}
        assert rates.items() <= rates_of(experiment.recipe).items() and experiment.recipe.steps == 90 * 600
    for name, count in PLAIN_MAPS.items():
        experiment, model, like = find(name), find(name).model(0), find(f"semi-{count}")
        assert model.heads.positions.shape == (10, experiment.prior.dimensions) and model.distance == 6
        optimizers = dict(experiment.recipe.optimizers)
        assert optimizers.pop("heads") == like.recipe.optimizers["reconstruction"]
        assert optimizers == like.recipe.optimizers and experiment.recipe.steps == 60 * 600


def test_noise_comes_slowly_and_fades_before_the_rates_have_fallen() -> None:
    mixture, roll = find("aae-mixture").recipe, find("aae-swissroll-labels").recipe
    assert mixture.noise == WarmUp(3_000, Cosine(14_000, 21_000, final=0.0))
    assert roll.noise == Cosine(8_000, 13_500, final=0.0) and find("aae-mixture-labels").recipe.noise is None
    for recipe, end in ((mixture, 21_000), (roll, 13_500)):
        for update, optimizer in recipe.optimizers.items():
            assert recipe.learning_rate(update, end) > 0.05 * optimizer.learning_rate, "it learns without noise, too"
    for name, shift in (("aae-mixture", 1.0), *((name, 2.0) for name in OF_LABELS)):
        encoder = find(name).model(0).encoder
        assert encoder[0].shift == shift and encoder[1].standard_deviation == 0.3
        assert [layer.p for layer in encoder if isinstance(layer, nn.Dropout)] == [0.1, 0.1]


def test_generators_differ_in_nothing_but_the_game_and_the_length_of_their_codes() -> None:
    for name in names_of(GENERATORS):
        if name == DIGIT_CLASSIFIER.name:
            continue
        experiment, compact = find(name), "ae-conv" in name
        assert (experiment.recipe.steps, experiment.recipe.batch_size) == (5_000, 64)
        assert experiment.recipe.schedule == Cosine(1_600, 3_200), "of a clock of 100 images"
        assert set(experiment.recipe.optimizers.values()) == {Adam(5e-4 if compact else 2e-4, (0.5, 0.999))}
        assert experiment.prior.dimensions == (10 if compact else 64)
        assert isinstance(experiment.prior, UniformSphere if name.startswith("age") else Gaussian)
        assert "channels" not in experiment.settings
    games = {name: find(name).model(0) for name in ("age", "age-no-reconstruction", "age-generator-reconstruction")}
    weights = [(m.image_weight, m.code_weight, m.generator_image_weight, m.generator_updates) for m in games.values()]
    assert weights == [(10, 320, 0, 2), (0, 0, 0, 2), (10, 320, 10, 2)]
    assert DIGIT_CLASSIFIER.model(0).eval().features(torch.rand(3, 784)).shape == (3, 64)


def test_the_official_age_on_cifar10_is_the_official_command() -> None:
    """Its lambda is twice our weight of the code; its epochs have 781 minibatches, as 16 of 50,000 images are left."""
    experiment = find("age-cifar10-official")
    model = experiment.model(0, (3, 32, 32))
    assert (model.image_weight, model.code_weight, model.generator_updates) == (10, 500, 2)
    # Kernels of 4 x 4, a bias of the last layer, and two numbers a channel of batch-norm.
    encoder, decoder = (sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder))
    assert encoder == 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 128) + 128 + 2 * (128 + 256)
    assert decoder == 16 * (128 * 512 + 512 * 256 + 256 * 128 + 128 * 128) + 128 * 3 + 3 + 2 * (512 + 256 + 128 + 128)
    recipe = experiment.recipe
    assert recipe.batch_size == 64 and recipe.steps == 150 * 781
    for epoch in (1, 39, 40, 41, 79, 80, 119, 120, 150):  # the official code halves as the 40th, 80th and 120th begin
        for step in ((epoch - 1) * 781, epoch * 781 - 1):
            rate = recipe.learning_rate("generator", step * 64 / 100)
            assert rate == pytest.approx(2e-4 / 2 ** (epoch // 40), rel=1e-12)


# The paper's numbers


def test_a_reported_number_is_read_without_its_spread_and_dagger() -> None:
    assert [float(Reported(text)) for text in ("1.90 ± 0.10", "25.80†", "340 ± 2†", "0.85")] == [1.9, 25.8, 340, 0.85]


def test_the_papers_numbers_stand_with_the_experiments() -> None:
    found = {name: str(value) for name, experiment in EXPERIMENTS.items() for value in experiment.paper.values()}
    assert found == {
        "semi-100": "1.90 ± 0.10", "semi-100-paper": "1.90 ± 0.10", "semi-1000": "1.60 ± 0.08†",
        "semi-all": "0.85 ± 0.02†", "labels-100": "25.80†", "labels-1000": "8.73†",
        "labels-all": "1.25†", "m2-100": "11.97 ± 1.71", "m2-1000": "3.60 ± 0.56†",
        "m1-m2-100": "3.33 ± 0.14†", "m1-m2-1000": "2.40 ± 0.02†", "m1-m2-all": "0.96†",
        "cluster-16": "9.55 ± 2.05", "cluster-30": "4.10 ± 1.13", "reduce-2d-1000": "4.20†", "reduce-2d-100": "6.08†",
        "reduce-2d-unsupervised": "13.61†", "reduce-10d-100": "3.90†", "reduce-10d-100-fixed-heads": "3.90†",
        "likelihood": "340 ± 2",
        "svhn-semi-1000": "17.70 ± 0.30†", "svhn-labels-1000": "47.50†",
    }  # fmt: skip
    assert PAPER.keys() == found.keys() - {"semi-100-paper", "reduce-10d-100-fixed-heads"}
    assert len(TABLE_2) == 9 and TABLE_3["CatGAN"][0] == 20


# Which images a run takes


@pytest.fixture
def numbered(digits: DataSet) -> Numbered:
    """Makes as many images as wanted, each of a single pixel that holds its number, with the labels of real digits."""

    def make(count: int) -> Images:
        labels = digits.train.labels.repeat(count // len(digits.train) + 1)[:count]
        return Images(torch.arange(count).float()[:, None], labels)

    return make


def numbers(part: Images) -> set[int]:
    return {int(number) for number in part.images[:, 0]}


SELECTED = {*OF_LABELS, *LABELED, *MAPS, *BUT_VALIDATION, *GUIDED}
ALL_IMAGES = [
    name for name in EXPERIMENTS if name.removeprefix("fashion-").removeprefix("svhn-") not in SELECTED
]


@pytest.mark.parametrize("name", ALL_IMAGES)
def test_where_no_labels_are_drawn_all_images_make_one_set(name: str, numbered: Numbered) -> None:
    images = numbered(60_000)
    (part,) = find(name).select(images, 0)
    assert part is images


@pytest.mark.parametrize("count, kept, each", [(60_000, 50_000, 1_000), (4_000, 4_000, 80), (3_334, 3_334, 66)])
def test_a_fifth_of_the_images_keep_their_labels(count: int, kept: int, each: int, numbered: Numbered) -> None:
    """Of each digit as many; the last 10,000 of all 60,000 are never used."""
    images = numbered(count)
    for name in OF_LABELS:
        unlabeled, labeled = find(name).select(images, 0)
        assert labeled.labels.bincount(minlength=10).tolist() == 10 * [each]
        assert numbers(unlabeled) | numbers(labeled) == set(range(kept)) and len(unlabeled) + len(labeled) == kept
        assert torch.equal(labeled.labels, images.labels[labeled.images[:, 0].long()])
        assert (unlabeled.labels == -1).all()
    letters = Images(images.images, images.labels % 7)
    assert len(find("aae-mixture-labels").select(letters, 0)[1].labels.unique()) == 7, "as many classes as there are"


@pytest.mark.parametrize("name, count", (LABELED | MAPS).items())
def test_labeled_images_are_balanced_and_all_are_unlabeled_too(name: str, count: int, numbered: Numbered) -> None:
    images = numbered(60_000)
    before = images.labels.clone()
    *others, labeled = find(name).select(images, 0)
    assert torch.equal(labeled.labels, images.labels[labeled.images[:, 0].long()])
    assert len(labeled) == len(numbers(labeled)) == (count or 60_000)
    assert not count or labeled.labels.bincount(minlength=10).tolist() == 10 * [count // 10]
    assert bool(others) != (name.removesuffix(AUGMENTED) in ALONE)
    for unlabeled in others:
        assert torch.equal(unlabeled.images, images.images) and (unlabeled.labels == -1).all()
    assert torch.equal(images.labels, before), "hidden in a copy"


def test_each_seed_labels_other_images_and_those_of_a_seed_are_the_same_for_all(numbered: Numbered) -> None:
    images = numbered(60_000)
    of_few = [name for name, count in (LABELED | MAPS).items() if count]
    draws = [numbers(find("semi-1000").select(images, seed)[-1]) for seed in range(3)]
    assert all(len(draws[seed] & draws[other]) < 100 for seed in range(3) for other in range(seed))
    for name in of_few:  # so they are compared on the same labels; fewer are a part of more
        torch.manual_seed(len(name))
        assert numbers(find(name).select(images, 0)[-1]) <= draws[0]
    first, other = (numbers(find("aae-mixture-labels").select(images, seed)[1]) for seed in (0, 1))
    assert 0.15 < len(first & other) / 10_000 < 0.25, "by chance a fifth"


@pytest.mark.parametrize("name", BUT_VALIDATION)
def test_what_chooses_names_or_a_bandwidth_is_not_trained_on(name: str, numbered: Numbered) -> None:
    for count, kept in ((60_000, 50_000), (3_334, 3_334 - 555)):
        (part,) = find(name).select(numbered(count), 3)
        assert torch.equal(part.images[:, 0], torch.arange(kept).float()) and (part.labels == -1).all()


@pytest.mark.parametrize("name", GUIDED)
def test_a_guide_s_certain_images_say_what_ten_clusters_are_and_no_label_does(name: str) -> None:
    digits = load_sample().train
    unlabeled, guiding = find(name).select(digits, 0)
    assert torch.equal(unlabeled.images, digits.hold_out()[0].images) and (unlabeled.labels == -1).all()
    again = find(name).select(digits.without_labels(), 0)[1]
    assert torch.equal(guiding.labels, again.labels) and 0.3 < len(guiding) / len(unlabeled) < 0.5
    place = {image.numpy().tobytes(): number for number, image in enumerate(unlabeled.images)}
    digit = torch.stack([digits.labels[place[image.numpy().tobytes()]] for image in guiding.images])
    named = [digit[guiding.labels == cluster].mode().values for cluster in range(10)]
    assert sorted(map(int, named)) == list(range(10)), "each digit has a cluster"
    assert (torch.stack(named)[guiding.labels] == digit).double().mean() > 0.93
    with pytest.raises(ShapeError):
        find(name).select(Images(torch.rand(600, 64), digits.labels[:600]), 0)
