"""The clustering adversarial autoencoder (Makhzani et al., section 6; Figure 9, Table 3)."""

from collections.abc import Callable

from torch import Tensor

from aae_lib.losses import half_squared_error
from aae_lib.models.label_and_style import LabelAndStyleAutoencoder
from aae_lib.priors import Categorical, Gaussian, LabelAndStyle


class ClusteringAutoencoder(LabelAndStyleAutoencoder):
    """The semi-supervised autoencoder without the classification: nobody says what a label means.

    The adversary wants each label definite and all of them used alike; that the clusters it makes of the features are
    kinds of digits is a hope. Batch-norm on the code itself spreads the labels from the start: without it they remain
    the same for all images, and most clusters are never in use. A label adversary of less weight lets labels stay soft
    for longer, so that images can still move to a better cluster.

    Args:
        clusters: number of labels, at least 2 (the paper: 16 and 30).
        style_dimensions: length of z (the paper: 5, A.3).
        input_dropout: the share of pixels that the encoder does not see while training (A.3: 0.2).
        label_weight: of the label's adversary beside the style's, in both its updates (the paper: 1).
        hidden, reconstruction_loss, input_noise, batch_norm: as for
            :class:`~aae_lib.models.label_and_style.LabelAndStyleAutoencoder`.
    """

    def __init__(
        self,
        clusters: int = 16,
        style_dimensions: int = 5,
        hidden: tuple[int, ...] = (1000, 1000),
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] = half_squared_error,
        input_noise: float = 0.0,
        input_dropout: float = 0.2,
        batch_norm: bool = True,
        label_weight: float = 1.0,
    ):
        prior = LabelAndStyle(Categorical(clusters), Gaussian(style_dimensions))
        super().__init__(prior, hidden, reconstruction_loss, input_noise, input_dropout, batch_norm, label_weight)
