"""The semi-supervised adversarial autoencoder (Makhzani et al., section 5; Figure 8, Table 2)."""

from collections.abc import Callable, Iterator

import torch.nn.functional as F
from torch import Tensor

from aae_lib.data import CLASSES, Images
from aae_lib.losses import half_squared_error
from aae_lib.models.label_and_style import LabelAndStyleAutoencoder
from aae_lib.priors import Categorical, Gaussian, LabelAndStyle


class SemiSupervisedAutoencoder(LabelAndStyleAutoencoder):
    """An autoencoder whose code is a label y and a style z; a few labeled images say which label is which.

    Args:
        classes: number of labels.
        style_dimensions: length of z (the paper: 10, A.2.1).
        hidden, reconstruction_loss: as for :class:`~aae_lib.models.label_and_style.LabelAndStyleAutoencoder`.
        input_noise: standard deviation of the noise on the images that the encoder sees while training; the paper's
            only regularizer (A.2.1).
        label_weight, input_motion: as for :class:`~aae_lib.models.label_and_style.LabelAndStyleAutoencoder` (the paper:
            1, and no motion). What is moved is labeled and unlabeled images alike.
    """

    moves = LabelAndStyleAutoencoder.moves | {"classification": ("encoder",)}

    def __init__(
        self,
        classes: int = CLASSES,
        style_dimensions: int = 10,
        hidden: tuple[int, ...] = (1000, 1000),
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] = half_squared_error,
        input_noise: float = 0.3,
        label_weight: float = 1.0,
        input_motion: tuple[float, ...] = (),
    ):
        prior = LabelAndStyle(Categorical(classes), Gaussian(style_dimensions))
        super().__init__(
            prior, hidden, reconstruction_loss, input_noise, label_weight=label_weight, input_motion=input_motion
        )

    def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
        yield from super().updates(unlabeled)
        # On logits, of the same layer that makes y: cross_entropy has a softmax of its own.
        yield "classification", F.cross_entropy(self.classify(labeled.images), labeled.labels)

    def classify(self, images: Tensor) -> Tensor:
        """Logits of q(y|x): ``[n, 784] -> [n, classes]``."""
        return self.logits_and_style(images)[0]
