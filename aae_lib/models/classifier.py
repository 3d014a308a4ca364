"""A classifier alone: what the labeled images are worth without the rest of the model."""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.data import CLASSES, Images
from aae_lib.models.model import Model
from aae_lib.networks import PIXELS, disturbed, multilayer_perceptron


class Classifier(Model):
    """The semi-supervised model's classification update and nothing else (AAE, Table 2: the NN baseline).

    Args:
        classes, hidden, input_noise, input_motion: as for
            :class:`~aae_lib.models.semi_supervised.SemiSupervisedAutoencoder`.
        network: ``[n, pixels] -> [n, classes]``, logits, in place of the perceptron.
    """

    moves = {"classification": ("encoder",)}

    def __init__(
        self,
        classes: int = CLASSES,
        hidden: tuple[int, ...] = (1000, 1000),
        input_noise: float = 0.3,
        network: nn.Sequential | None = None,
        input_motion: tuple[float, ...] = (),
    ):
        super().__init__()
        self.input_noise, self.input_motion = input_noise, input_motion
        layers = multilayer_perceptron(PIXELS, classes, hidden) if network is None else network
        self.encoder = disturbed(layers, input_noise, input_motion)

    def updates(self, labeled: Images) -> Iterator[tuple[str, Tensor]]:
        yield "classification", F.cross_entropy(self.classify(labeled.images), labeled.labels)

    def classify(self, images: Tensor) -> Tensor:
        """Logits of q(y|x): ``[n, 784] -> [n, classes]``."""
        return self.encoder(images).float()

    def features(self, images: Tensor) -> Tensor:
        """What the last layer decides by: ``[n, 784] -> [n, k]``, in float32."""
        return self.encoder[:-1](images).float()

    def encode(self, images: Tensor) -> Tensor:
        """The label's probabilities: ``[n, 784] -> [n, classes]``."""
        return self.classify(images).softmax(1)
