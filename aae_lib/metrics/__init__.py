"""Measures: how well codes match the prior, and what the match costs.

    prior      the match of codes and prior, and the same measures of the prior against itself
    codes      what codes say about images and labels, and how images change with their codes
    errors     errors of reconstructions and of labels, and the names of clusters
    parzen     the likelihood of images under a Parzen window of samples
    images     sharpness of images, and the distance between two sets of them

The papers show the match between codes and prior only as pictures. Three numbers measure it here (``prior_coverage``,
``sliced_wasserstein`` and ``inside_prior``), each beside its *null band*: the same number for independent draws of the
prior itself. An encoder that ignores the image and returns random numbers matches the prior as well. So read these
numbers together with ``reconstruction_error`` and ``neighbor_accuracy``.
"""

from aae_lib.metrics.codes import (
    NEIGHBORS_OF_LABEL,
    derivatives,
    farthest_line,
    image_change,
    labels_from_codes,
    neighbor_accuracy,
    neighborhoods_kept,
    steepest_tenth,
)
from aae_lib.metrics.errors import empty_clusters, error_percent, majority_names, most_confident_names, squared_errors
from aae_lib.metrics.images import frechet_distance, sharpness
from aae_lib.metrics.parzen import BANDWIDTHS, PARZEN_BLOCK, choose_bandwidth, parzen_log_likelihood
from aae_lib.metrics.prior import (
    COVERED_DIMENSIONS,
    class_shares,
    covered,
    inside_prior,
    match,
    null_band,
    own_class,
    prior_coverage,
    prior_samples,
    sliced_wasserstein,
)
