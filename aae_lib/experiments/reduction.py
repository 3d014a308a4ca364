"""Dimensionality reduction (AAE, section 7; Figures 10 and 11)."""

from dataclasses import replace
from functools import partial

from aae_lib.experiments import builders, measures
from aae_lib.experiments.clustering import (
    AUGMENTED_SOURCE,
    GUIDE,
    GUIDED,
    GUIDED_RECIPE,
    HIDDEN,
    but_validation,
    but_validation_and_guiding,
)
from aae_lib.experiments.clustering import RECIPE as CLUSTERING_RECIPE
from aae_lib.experiments.experiment import Chapter, Experiment, augmented
from aae_lib.experiments.plane import RECONSTRUCTION
from aae_lib.experiments.semi_supervised import MOTION, OPTIMIZERS, unlabeled_and_labeled
from aae_lib.paper import PAPER
from aae_lib.priors import Gaussian
from aae_lib.training import UPDATES_PER_EPOCH, Cosine, Recipe

REDUCTION = Chapter(
    title="Dimensionality reduction", notebook="08_dimensionality_reduction",
    measures=(*measures.OF_CLUSTERS, measures.TRUSTWORTHINESS, measures.RECONSTRUCTION_ERROR,
              measures.NEIGHBOR_ACCURACY),
    columns=("test_error_percent", "neighbor_accuracy", "trustworthiness", "reconstruction_error"),
    keeps=(measures.heads,),
)  # fmt: skip
STEPS = 60 * UPDATES_PER_EPOCH
RECIPE = Recipe({**OPTIMIZERS, "heads": RECONSTRUCTION}, STEPS, Cosine(start=STEPS / 2, end=STEPS))
AUGMENTED_RECIPE = replace(GUIDED_RECIPE, optimizers=RECIPE.optimizers)


def _labeled(dimensions: int, count: int, figure: str) -> Experiment:
    name = f"reduce-{dimensions}d-{count}"
    return Experiment(
        name=name, title=f"AAE, {dimensions}-D, {count} labels", chapter=REDUCTION, figure=figure,
        build=builders.semi_supervised_reducing, recipe=RECIPE, prior=Gaussian(dimensions), settings={"hidden": HIDDEN},
        select=partial(unlabeled_and_labeled, count), paper=PAPER.get(name, {}),
        source=f"As semi-{count}; size of the networks, schedule and cluster heads are ours, chosen on validation "
        "images.",
    )


def _augmented(plain: Experiment) -> Experiment:
    """The experiment with labels that are read from an augmented copy of each image, and styles from the image."""
    return augmented(plain, {"label_motion": MOTION}, recipe=AUGMENTED_RECIPE, source=AUGMENTED_SOURCE)


REDUCE_2D_100 = _labeled(2, 100, "AAE Fig. 11b")
REDUCE_10D_100 = _labeled(10, 100, "AAE Fig. 11d")
EXPERIMENTS = (
    _labeled(2, 1000, "AAE Fig. 11a"),
    REDUCE_2D_100,
    _augmented(REDUCE_2D_100),
    Experiment(
        name="reduce-2d-unsupervised", title="AAE, 2-D, no labels, 20 clusters", chapter=REDUCTION,
        figure="AAE Fig. 11c", build=builders.reducing,
        recipe=replace(CLUSTERING_RECIPE, optimizers={**CLUSTERING_RECIPE.optimizers, "heads": RECONSTRUCTION}),
        prior=Gaussian(2), settings={"clusters": 20, "hidden": HIDDEN, "label_weight": 0.4}, select=but_validation,
        paper=PAPER["reduce-2d-unsupervised"],
        source="As cluster-16; the cluster heads are ours, chosen on validation images.",
    ),
    Experiment(
        name="reduce-2d-unsupervised-augmented", title="AAE, 2-D, no labels, 10 clusters, augmentation",
        chapter=REDUCTION, figure="AAE Fig. 11c", build=builders.guided_reducing, recipe=AUGMENTED_RECIPE,
        prior=Gaussian(2), settings={"clusters": GUIDED, "hidden": HIDDEN, "label_motion": MOTION},
        select=but_validation_and_guiding,
        source=f"As reduce-2d-100-augmented; ten clusters of {GUIDE.name}, as it ships, take the place of the labels.",
    ),
    REDUCE_10D_100,
    _augmented(REDUCE_10D_100),
    replace(
        REDUCE_10D_100, name="reduce-10d-100-fixed-heads", title="AAE, 10-D, 100 labels, heads fixed at 10 I",
        build=builders.fixed_heads, recipe=replace(RECIPE, optimizers=OPTIMIZERS),
        source="As reduce-10d-100, with the heads of the paper (recalled).",
    ),
    _labeled(3, 100, "(ours)"),
)
