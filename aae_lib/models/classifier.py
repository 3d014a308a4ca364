"""A classifier alone: what the labeled images are worth without the rest of the model."""

from collections.abc import Iterator

from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.models.model import Model, classification_loss


class Classifier(Model):
    """The semi-supervised model's classification update and nothing else (AAE, Table 2: the NN baseline).

    It has neither encoder nor decoder.

    Args:
        classifier: ``[n, pixels] -> [n, classes]``, logits.
    """

    moves = {"classification": ("classifier",)}

    def __init__(self, classifier: nn.Sequential):
        super().__init__()
        self.classifier = classifier

    @property
    def classes(self) -> int:
        return self.classifier[-1].out_features

    def updates(self, labeled: Images) -> Iterator[tuple[str, Tensor]]:
        yield "classification", classification_loss(self.classify(labeled.images), labeled.labels)

    def classify(self, images: Tensor) -> Tensor:
        """Logits of q(y|x): ``[n, pixels] -> [n, classes]``, in float32."""
        return self.classifier(images).float()

    def features(self, images: Tensor) -> Tensor:
        """What the last layer decides by: ``[n, pixels] -> [n, k]``, in float32."""
        return self.classifier[:-1](images).float()
