"""The adversarial autoencoder whose discriminator is told labels (Makhzani et al., section 2.3; Figures 3 and 4)."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.data import Images
from aae_lib.losses import fool_loss, half_squared_error, real_fake_loss
from aae_lib.models.autoencoder import Autoencoder
from aae_lib.networks import multilayer_perceptron
from aae_lib.priors import ClassConditionalPrior, PriorError

UNLABELED = -1


def hide_labels(images: Images, labeled: Tensor) -> Images:
    """The same images with the labels of ``labeled`` only; all other labels are ``UNLABELED`` and are not looked at.

    Args:
        labeled: indices of the images that keep their labels, as from :func:`~aae_lib.data.balanced_subset`.
    """
    labels = torch.full_like(images.labels, UNLABELED)
    labels[labeled] = images.labels[labeled]
    return Images(images.images, labels)


class LabelInformedAutoencoder(Autoencoder):
    """An adversarial autoencoder that sends the images of each label to that label's part of the prior.

    The discriminator sees, beside a code, a one-hot *switch*: the label, or one extra class where there is none. So it
    judges a labeled code against the part of the prior that belongs to the label, and an unlabeled one against the
    whole. The encoder sees images only. Few labels are enough; those of the other images are ``UNLABELED``.

    Args:
        prior: what the codes should be distributed like, in parts; label k belongs to its part k.
        hidden, reconstruction_loss: as for :class:`~aae_lib.models.aae.AdversarialAutoencoder`.

    Raises:
        PriorError: if the prior is not made of classes.
    """

    moves = {"reconstruction": ("encoder", "decoder"), "discriminator": ("discriminator",), "generator": ("encoder",)}

    def __init__(
        self,
        prior: ClassConditionalPrior,
        hidden: tuple[int, ...] = (1000, 1000),
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] = half_squared_error,
    ):
        if not isinstance(prior, ClassConditionalPrior):
            raise PriorError(f"labels need a ClassConditionalPrior, and {type(prior).__name__} is none")
        super().__init__(prior.dimensions, hidden, reconstruction_loss)
        self.prior = prior
        self.discriminator = multilayer_perceptron(prior.dimensions + prior.classes + 1, 1, hidden)

    def switch(self, labels: Tensor) -> Tensor:
        """One-hot vectors of labels ``[n] -> [n, classes + 1]``; the last entry stands for ``UNLABELED``."""
        classes = self.prior.classes
        return F.one_hot(labels.where(labels != UNLABELED, classes), classes + 1).float()

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        code = self.encoder(batch.images)
        yield "reconstruction", self.reconstruction_loss(self.decoder(code), batch.images)

        real = self.prior.sample(len(batch), batch.images.device)
        labeled = batch.labels != UNLABELED
        real[labeled] = self.prior.sample_of_class(batch.labels[labeled])

        code = self.encoder(batch.images)  # the encoder has just moved
        switch = self.switch(batch.labels)
        real, fake = torch.cat([real, switch], dim=1), torch.cat([code, switch], dim=1)
        yield "discriminator", real_fake_loss(self.discriminator, real=real, fake=fake.detach())
        yield "generator", fool_loss(self.discriminator, fake)
