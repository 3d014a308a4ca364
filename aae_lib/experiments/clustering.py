"""Clustering without labels (AAE, section 6; Figure 9, Table 3)."""

from dataclasses import replace

from aae_lib.data import Images
from aae_lib.experiments import builders
from aae_lib.experiments.experiment import Chapter, Experiment
from aae_lib.experiments.measures import MATCH, OF_CLUSTERS, RECONSTRUCTION_ERROR
from aae_lib.experiments.semi_supervised import AUGMENTED, MOTION
from aae_lib.paper import PAPER
from aae_lib.priors import Gaussian
from aae_lib.training import SGD, UPDATES_PER_EPOCH, Cosine, Recipe

CLUSTERING = Chapter(
    title="Clustering without labels", notebook="07_clustering",
    measures=(*OF_CLUSTERS, RECONSTRUCTION_ERROR, *MATCH),
    columns=("test_error_percent", "test_error_percent_most_confident", "adjusted_rand_index",
             "normalized_mutual_information", "empty_clusters", "reconstruction_error"),
)  # fmt: skip
HIDDEN = (400, 400)  # 1,000 units were no better on validation images; the paper has 3,000
EPOCHS = 90  # the paper: 1,500
RECIPE = Recipe(  # half the rates of A.3
    {"reconstruction": SGD(0.005, 0.9), "discriminator": SGD(0.05, 0.1), "generator": SGD(0.05, 0.1)},
    steps=EPOCHS * UPDATES_PER_EPOCH,
    schedule=Cosine(start=60 * UPDATES_PER_EPOCH, end=EPOCHS * UPDATES_PER_EPOCH),
)
AUGMENTED_RECIPE = replace(
    RECIPE, steps=60 * UPDATES_PER_EPOCH, schedule=Cosine(start=36 * UPDATES_PER_EPOCH, end=60 * UPDATES_PER_EPOCH)
)


def but_validation(images: Images, seed: int) -> tuple[Images]:
    """All images but the last sixth, which names clusters or chooses a bandwidth, without labels."""
    return (images.hold_out()[0].without_labels(),)


def _augmented(plain: Experiment) -> Experiment:
    """The experiment with labels that are read from an augmented copy of each image, and styles from the image."""
    return replace(
        plain, name=plain.name + AUGMENTED, title=f"{plain.title}, augmentation", recipe=AUGMENTED_RECIPE, paper={},
        settings={**plain.settings, "label_motion": MOTION, "label_weight": 0.15},
        source="The augmentation, the weight of the label's adversary and the schedule are ours, chosen on validation "
        "images.",
    )  # fmt: skip


PLAIN = tuple(
    Experiment(
        name=f"cluster-{clusters}",
        title=f"AAE, {clusters} clusters",
        chapter=CLUSTERING,
        figure=figure,
        build=builders.clustering,
        recipe=RECIPE,
        prior=Gaussian(10),  # the paper: five dimensions
        settings={"clusters": clusters, "hidden": HIDDEN, "label_weight": 0.4},
        select=but_validation,
        paper=PAPER[f"cluster-{clusters}"],
        source="Input dropout and batch-norm: AAE, appendix A.3; sizes, rates, schedule and the weight of the label's "
        "adversary are ours, chosen on validation images.",
    )
    for clusters, figure in ((16, "AAE Table 3, Fig. 9"), (30, "AAE Table 3"))
)
EXPERIMENTS = (*PLAIN, *map(_augmented, PLAIN))
