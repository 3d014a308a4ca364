"""The AAE paper's settings for SVHN (Figure 7b, Table 2's last column), to be trained where there is time.

torchvision downloads SVHN. What the paper states of it (appendix A.2.2) is recalled, not checked: some 530,000 images
to train on, those called "extra" among them. torchvision's training part, which is taken here, has 73,257.
"""

from functools import partial

from aae_lib.experiments import builders
from aae_lib.experiments.experiment import Chapter, Experiment
from aae_lib.experiments.measures import RECONSTRUCTION_ERROR, TEST_ERROR
from aae_lib.experiments.semi_supervised import labeled, unlabeled_and_labeled
from aae_lib.paper import PAPER
from aae_lib.priors import Gaussian
from aae_lib.training import SGD, Drops, Recipe

SVHN = Chapter(
    title="SVHN, the AAE paper's settings", notebook="13_age_in_color", measures=(TEST_ERROR, RECONSTRUCTION_ERROR),
    columns=("test_error_percent", "reconstruction_error"),
)  # fmt: skip
EPOCH = 73_257 // 100  # steps
FALLING = Drops(at=(250 * EPOCH,))
RECONSTRUCTION, ADVERSARIAL, CLASSIFICATION = SGD(1e-4, 0.9), SGD(0.01, 0.1), SGD(0.1, 0.9)
OPTIMIZERS = {"reconstruction": RECONSTRUCTION, "discriminator": ADVERSARIAL, "generator": ADVERSARIAL}
SOURCE = (
    "AAE, appendix A.2.2, recalled: learning rates, momenta, epochs, input dropout, batch-norm of the encoder. The "
    "decoder has neither the paper's batch-norm nor its linear output, and pixels are not standardized."
)


def _recipe(**optimizers: SGD) -> Recipe:
    return Recipe(optimizers, steps=1_000 * EPOCH, schedule=FALLING)


_svhn = partial(Experiment, chapter=SVHN, data="SVHN")
EXPERIMENTS = (
    _svhn(
        name="svhn-semi-1000", title="AAE, 1000 labels, SVHN", figure="AAE Table 2", build=builders.semi_supervised,
        recipe=_recipe(**OPTIMIZERS, classification=CLASSIFICATION), prior=Gaussian(20),
        settings={"input_noise": 0.0, "input_dropout": 0.2, "batch_norm": True},
        select=partial(unlabeled_and_labeled, 1000), paper=PAPER["svhn-semi-1000"], source=SOURCE,
    ),
    _svhn(
        name="svhn-labels-1000", title="classifier alone, 1000 labels, SVHN", figure="AAE Table 2 (NN)",
        build=builders.classifier, recipe=_recipe(classification=CLASSIFICATION), settings={"input_noise": 0.0},
        select=partial(labeled, 1000), paper=PAPER["svhn-labels-1000"],
        source="The classification of the AAE with as many labels, without batch-norm and dropout.",
    ),
    _svhn(
        name="svhn-supervised", title="supervised AAE, 15-D style, SVHN", figure="AAE Fig. 7b",
        build=builders.supervised, recipe=_recipe(**OPTIMIZERS), prior=Gaussian(15),
        source="Size of the style: AAE, section 4. Learning rates, momenta and epochs: appendix A.2.2, recalled.",
    ),
)  # fmt: skip
