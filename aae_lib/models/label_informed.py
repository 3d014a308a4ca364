"""The adversarial autoencoder whose discriminator is told labels (Makhzani et al., section 2.3; Figures 3 and 4)."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.data import Images
from aae_lib.losses import fool_loss, half_squared_error, real_fake_loss
from aae_lib.models.autoencoder import Autoencoder
from aae_lib.networks import PIXELS, Attenuated, disturbed, multilayer_perceptron
from aae_lib.priors import ClassConditionalPrior, PriorError


class LabelInformedAutoencoder(Autoencoder):
    """An adversarial autoencoder that sends the images of each label to that label's part of the prior.

    The discriminator sees, beside a code, a one-hot *switch*: the label, or one extra class where there is none. So it
    judges a labeled code against the part of the prior that belongs to the label, and an unlabeled one against the
    whole. The encoder sees images only. A step takes a minibatch of unlabeled and one of labeled images.

    Args:
        prior: what the codes should be distributed like, in parts; label k belongs to its part k.
        hidden, reconstruction_loss: as for :class:`~aae_lib.models.aae.AdversarialAutoencoder`.
        input_shift, input_noise, dropout: how many pixels at most the images are moved that the encoder sees while
            training, standard deviation of the noise on them (the paper adds 0.3 to its semi-supervised networks,
            A.2.1), and the share of its hidden units that each step leaves out. They keep the encoder from learning the
            labeled images by heart; what it reconstructs are the images where they are, without noise.
        code_noise: standard deviation of instance noise (Sønderby et al. 2017) on all that the discriminator judges,
            codes and samples of the prior alike. A prior with sharp borders is easy to tell from codes that are not
            quite on their side; with the same noise on both the game stays even, and it still ends where they agree.
        labeled_weight: of a labeled code in the generator's loss, against 1 of an unlabeled one. The loss as a whole
            grows with it, as with a larger rate of the generator.
        encoder_share: as for the adversarial autoencoder. At full weight, codes stay where the reconstruction has put
            them, whatever the labels say.

    Raises:
        PriorError: if the prior is not made of classes.
    """

    moves = {"reconstruction": ("encoder", "decoder"), "discriminator": ("discriminator",), "generator": ("encoder",)}

    def __init__(
        self,
        prior: ClassConditionalPrior,
        hidden: tuple[int, ...] = (1000, 1000),
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] = half_squared_error,
        input_shift: float = 2.0,
        input_noise: float = 0.3,
        dropout: float = 0.1,
        code_noise: float = 0.0,
        labeled_weight: float = 1.0,
        encoder_share: float = 0.05,
    ):
        if not isinstance(prior, ClassConditionalPrior):
            raise PriorError(f"labels need a ClassConditionalPrior, and {type(prior).__name__} is none")
        super().__init__(prior.dimensions, hidden, reconstruction_loss)
        self.prior, self.encoder_share = prior, encoder_share
        self.code_noise, self.labeled_weight = code_noise, labeled_weight
        self.input_shift, self.input_noise, self.dropout = input_shift, input_noise, dropout
        # Drawn after the decoder, as the weights that ship were: one built first would begin elsewhere.
        encoder = multilayer_perceptron(PIXELS, prior.dimensions, hidden, dropout=dropout)
        self.encoder = disturbed(encoder, input_noise, motion=(input_shift,))
        self.decoder = Attenuated(self.decoder, encoder_share)
        self.discriminator = multilayer_perceptron(prior.dimensions + prior.classes + 1, 1, hidden)

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
        """Codes or samples of the prior with instance noise, as the discriminator sees them: ``[n, d] -> [n, d]``."""
        return codes + self.code_noise * torch.randn_like(codes) if self.code_noise else codes

    def switch(self, unlabeled: Images, labeled: Images) -> Tensor:
        """What the discriminator is told: one-hot labels ``[n, classes + 1]``, the last entry for the unlabeled."""
        unknown = torch.full((len(unlabeled),), self.prior.classes, device=labeled.labels.device)
        return F.one_hot(torch.cat([unknown, labeled.labels]), self.prior.classes + 1).float()
