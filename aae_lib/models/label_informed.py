"""The adversarial autoencoder with labels in the discriminator (Makhzani et al., section 2.3; Figures 3 and 4)."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.errors import PriorError
from aae_lib.losses import fool_loss, real_fake_loss
from aae_lib.models.aae import AdversarialAutoencoder
from aae_lib.priors import ClassConditionalPrior


class LabelInformedAutoencoder(AdversarialAutoencoder):
    """An adversarial autoencoder that sends the images of each label to that label's part of the prior.

    The discriminator sees, beside a code, a one-hot *switch*: the label, or one extra class where there is none. So it
    judges a labeled code against its label's part of the prior, and an unlabeled one against the whole. The encoder
    sees images only. A step takes a minibatch of unlabeled and one of labeled images.

    Args:
        prior: made of classes, or a ``PriorError`` is raised; label k belongs to part k.
        discriminator: ``[n, d + classes + 1] -> [n, 1]``, logits: the code, then the switch.
        code_noise: standard deviation of instance noise (Sønderby et al. 2017) on all that the discriminator sees of
            codes, real and fake. Samples of a prior with sharp borders are easy to tell from codes; with the same noise
            on both the game stays even, and it still ends where they agree.
        labeled_weight: of a labeled code in the generator's loss; an unlabeled one has 1.
        encoder_share: as for the adversarial autoencoder. With all of the gradient, codes stay where the
            reconstruction has put them, whatever their labels.
        settings: the other arguments of :class:`~aae_lib.models.aae.AdversarialAutoencoder`.
    """

    def __init__(
        self, prior: ClassConditionalPrior, encoder: nn.Module, decoder: nn.Module, discriminator: nn.Module,
        code_noise: float = 0.0, labeled_weight: float = 1.0, encoder_share: float = 0.05, **settings: Any,
    ):  # fmt: skip
        if not isinstance(prior, ClassConditionalPrior):
            raise PriorError(f"labels need a ClassConditionalPrior, found {type(prior).__name__}")
        super().__init__(prior, encoder, decoder, discriminator, encoder_share=encoder_share, **settings)
        self.code_noise, self.labeled_weight = code_noise, labeled_weight

    def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
        images = torch.cat([unlabeled.images, labeled.images])
        code = self.encoder(images)
        yield "reconstruction", self.reconstruction_loss(self.decoder(code), images)

        real = [self.prior.sample(len(unlabeled), images.device), self.prior.sample_of_class(labeled.labels)]
        switch = self.switch(unlabeled, labeled)
        code = self.encoder(images)  # the encoder has just moved
        real, fake = (torch.cat([self.blurred(codes), switch], dim=1) for codes in (torch.cat(real), code))
        yield "discriminator", real_fake_loss(self.discriminator, real=real, fake=fake.detach())
        weights = torch.where(switch[:, -1] == 1, 1.0, self.labeled_weight)
        yield "generator", fool_loss(self.discriminator, fake, weights)

    def blurred(self, codes: Tensor) -> Tensor:
        """Codes or samples of the prior with instance noise, ``[n, d] -> [n, d]``."""
        return codes + self.code_noise * torch.randn_like(codes) if self.code_noise else codes

    def switch(self, unlabeled: Images, labeled: Images) -> Tensor:
        """What the discriminator is told: one-hot labels ``[n, classes + 1]``, the last entry for the unlabeled."""
        unknown = torch.full((len(unlabeled),), self.prior.classes, device=labeled.labels.device)
        return F.one_hot(torch.cat([unknown, labeled.labels]), self.prior.classes + 1).float()
