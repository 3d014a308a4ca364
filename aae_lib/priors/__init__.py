"""Priors p(z): the distributions that the codes of an adversarial autoencoder are pushed toward.

An adversarial autoencoder only ever *samples* its prior (AAE, sections 2 and 2.1), so a prior is any object with

* ``dimensions``: the length d of a code, and
* ``sample(count, device)``: a float32 tensor ``[count, d]`` drawn with torch's global random-number generator.

Two methods are optional. ``log_prob(codes)``, ``[n, d] -> [n]`` in nats: a variational autoencoder needs it, and
pictures draw contours with it. ``walk(shares)``, ``[n]`` in [0, 1] -> ``[n, d]``: codes on a continuous path through
the prior, from its start, 0, to its end, 1; the explorer moves along it.

A prior made of classes is a :class:`ClassConditionalPrior`.

Samples and densities are written without matrix products, which autocast would compute in bfloat16.
"""

from aae_lib.priors.class_conditional import (
    AroundHeads,
    Categorical,
    ClassConditionalPrior,
    GaussianMixture,
    LabelAndStyle,
    SwissRoll,
)
from aae_lib.priors.continuous import DrawnPrior, Gaussian, Ring, UniformSphere, UniformSquare
from aae_lib.priors.paths import great_circle, straight_line
from aae_lib.priors.prior import Prior, check_prior
