"""The semi-supervised adversarial autoencoder (Makhzani et al., section 5; Figure 8, Table 2)."""

from collections.abc import Iterator

from torch import Tensor

from aae_lib.data import Images
from aae_lib.models.clustering import ClusteringAutoencoder
from aae_lib.models.model import classification_loss


class SemiSupervisedAutoencoder(ClusteringAutoencoder):
    """An autoencoder whose code is a label y and a style z; a few labeled images say which label is which.

    Arguments as for :class:`~aae_lib.models.clustering.ClusteringAutoencoder`; an augmentation augments the labeled
    images, too. The paper has a 10-D style and noise of 0.3 on the encoder's input (A.2.1).
    """

    moves = ClusteringAutoencoder.moves | {"classification": ("encoder",)}

    def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
        yield from super().updates(unlabeled)
        # The same layer that makes y, or labels would never shape it.
        yield "classification", classification_loss(self.classify(labeled.images), labeled.labels)

    def classify(self, images: Tensor) -> Tensor:
        """Logits of q(y|x): ``[n, pixels] -> [n, classes]``, while training those of augmented images."""
        if self.augmentation is not None and self.training:
            images = self.augmentation(images)
        return self._split(self.encoder(images))[0]
