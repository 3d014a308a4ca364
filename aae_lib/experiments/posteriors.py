"""Three encoders: deterministic, Gaussian posterior, universal approximator (AAE, section 2)."""

from functools import partial

from aae_lib.experiments import builders
from aae_lib.experiments.experiment import Chapter, Experiment
from aae_lib.experiments.plane import AAE_RECIPE, PLANE
from aae_lib.priors import Gaussian

POSTERIORS = Chapter(
    title="Three posteriors q(z|x)", notebook="04_choosing_the_prior",
    measures=PLANE.measures,
    columns=("reconstruction_error", "prior_coverage", "sliced_wasserstein", "neighbor_accuracy", "image_change"),
    keeps=PLANE.keeps,
)

_experiment = partial(Experiment, chapter=POSTERIORS, figure="AAE section 2", recipe=AAE_RECIPE, prior=Gaussian(2))
EXPERIMENTS = (
    _experiment(
        name="aae-gaussian-posterior", title="AAE, 2-D Gaussian, Gaussian posterior", build=builders.gaussian_posterior,
        source="As aae-gaussian.",
    ),
    _experiment(
        name="aae-universal-posterior", title="AAE, 2-D Gaussian, universal posterior",
        build=builders.universal_posterior, settings={"noise_dimensions": 10},
        source="As aae-gaussian. The paper does not give the dimensions of the noise.",
    ),
)
