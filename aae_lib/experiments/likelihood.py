"""Likelihood of the test images by a Parzen window of samples (AAE, section 3; Table 1, Figure 5)."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from aae_lib.experiments import builders, measures
from aae_lib.experiments.clustering import but_validation
from aae_lib.experiments.evidence import Examination
from aae_lib.experiments.experiment import Chapter, Experiment, Measure
from aae_lib.experiments.measures import decoded_samples, mean, of
from aae_lib.experiments.plane import AAE_RECIPE
from aae_lib.metrics import choose_bandwidth, parzen_log_likelihood
from aae_lib.paper import PAPER
from aae_lib.priors import Gaussian
from aae_lib.training import Cosine

JUDGED = 10_000  # samples of the prior that make a Parzen window, or that a classifier of digits judges


def in_window(examination: Examination) -> dict[str, Tensor]:
    """``log_likelihoods``, ``[n]``, and ``bandwidth``, ``[1]``, float32: of each image under 10,000 samples.

    The bandwidth is chosen on the last sixth of the training images, which the model has not seen.
    """
    if examination.training is None:
        return {}
    samples = decoded_samples(examination.model, JUDGED)
    bandwidth = torch.tensor([choose_bandwidth(samples, examination.training.hold_out()[1].images)])
    likelihoods = parzen_log_likelihood(samples, examination.images.images, bandwidth)[0]
    return {"bandwidth": bandwidth, "log_likelihoods": likelihoods}


LOG_LIKELIHOOD = "parzen_log_likelihood_10k", "log-likelihood, 10,000 samples, nats"
LIKELIHOOD = Chapter(
    title="Likelihood of the test images", notebook="09_likelihood",
    measures=(
        Measure(*LOG_LIKELIHOOD, partial(of, mean, ["log_likelihoods"]), (in_window,)),
        Measure("bandwidth", "bandwidth", partial(of, float, ["bandwidth"]), (in_window,)),
        measures.RECONSTRUCTION_ERROR, measures.NEIGHBOR_ACCURACY, *measures.MATCH, measures.SAMPLE_SHARPNESS,
    ),
    columns=("parzen_log_likelihood_10k", "bandwidth", "reconstruction_error", "prior_coverage", "sliced_wasserstein"),
)  # fmt: skip

# The encoder learns its codes at full rates. Then the reconstruction slows down before the adversaries do, so these
# decide in the end where the codes lie.
STEPS = 100_000
FALLING = dict.fromkeys(("discriminator", "generator"), Cosine(60_000, STEPS))
RECIPE = replace(AAE_RECIPE, steps=STEPS, schedule={"reconstruction": Cosine(18_000, STEPS)} | FALLING)

# A Parzen window asks how far the nearest sample is. With noise on its codes the decoder draws the mean of what lies
# around a code, which is nearer to held-out images than sharper samples are; dropout in the decoder averages over
# networks, too. With less of the reconstruction's gradient for the encoder the adversary fills the prior: samples from
# where no image has its code are near to none.
EXPERIMENTS = (
    Experiment(
        name="likelihood", title="AAE, 8-D Gaussian of deviation 5", chapter=LIKELIHOOD, figure="AAE Table 1, Fig. 5",
        build=builders.adversarial, recipe=RECIPE, prior=Gaussian(8, standard_deviation=5.0),
        settings={"input_noise": 0.3, "output_noise": 1.0, "decoder_dropout": 0.2, "encoder_share": 0.3},
        select=but_validation, paper=PAPER["likelihood"], ships=("decoder",),
        source="AAE, appendix A.1 (sizes, prior) and A.2.1 (learning rates, momenta, input noise); the rest is ours, "
        "chosen on validation images.",
    ),
)
