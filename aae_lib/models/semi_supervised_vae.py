"""The semi-supervised variational autoencoder, M2 (Kingma et al. 2014), which Table 2 compares with."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from aae_lib.data import CLASSES, Images
from aae_lib.losses import binary_cross_entropy, gaussian_kl
from aae_lib.models.model import Model
from aae_lib.networks import PIXELS, disturbed, gaussian_sample, multilayer_perceptron
from aae_lib.priors import Categorical, Gaussian, LabelAndStyle


class SemiSupervisedVariationalAutoencoder(Model):
    """A classifier q(y|x), an encoder q(z|x, y), a decoder p(x|y, z), and the evidence lower bound as their only loss.

    For a labeled image L(x, y) = reconstruction + KL(q(z|x, y) || p(z)) + log(classes) bounds -log p(x, y) from above.
    For an unlabeled one the label is summed out: U(x) = sum_y q(y|x) L(x, y) - H(q(y|x)) (Kingma et al. 2014, equations
    6 and 7). No label reaches q(y|x) that way, so a cross-entropy on the labeled images is added (equation 9).

    A code is the label's probabilities, then a sample of the style given the most probable label.

    Args:
        classification_weight: of the cross-entropy beside L and U, each an average over its minibatch.
        classes, style_dimensions, hidden, input_noise, input_motion: as for
            :class:`~aae_lib.models.semi_supervised.SemiSupervisedAutoencoder`; only the classifier sees noise and
            motion.
    """

    moves = {"evidence_lower_bound": ("classifier", "encoder", "decoder")}

    def __init__(
        self,
        classification_weight: float,
        classes: int = CLASSES,
        style_dimensions: int = 10,
        hidden: tuple[int, ...] = (1000, 1000),
        input_noise: float = 0.3,
        input_motion: tuple[float, ...] = (),
    ):
        super().__init__()
        self.classification_weight, self.input_noise = classification_weight, input_noise
        self.input_motion = input_motion
        self.prior = LabelAndStyle(Categorical(classes), Gaussian(style_dimensions))
        classifier = multilayer_perceptron(PIXELS, classes, hidden)
        self.classifier = disturbed(classifier, input_noise, input_motion)
        self.encoder = multilayer_perceptron(PIXELS + classes, 2 * style_dimensions, hidden)
        self.decoder = multilayer_perceptron(classes + style_dimensions, PIXELS, hidden)

    def posterior(self, images: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x, y), each ``[n, style_dimensions]``, for one-hot labels ``[n, classes]``."""
        mean, log_variance = self.encoder(torch.cat([images, label], dim=1)).float().chunk(2, dim=1)
        return mean, log_variance

    def bound(self, images: Tensor, label: Tensor) -> Tensor:
        """L(x, y) in nats, estimated at one style: images ``[n, 784]``, one-hot labels -> ``[n]``."""
        mean, log_variance = self.posterior(images, label)
        style = gaussian_sample(mean, log_variance)
        logits = self.decoder(torch.cat([label, style], dim=1))
        reconstruction = binary_cross_entropy(logits, images, reduce=False)
        return reconstruction + gaussian_kl(mean, log_variance, reduce=False) + math.log(self.prior.classes)

    def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
        classes, count = self.prior.classes, len(unlabeled)
        known = self.bound(labeled.images, F.one_hot(labeled.labels, classes).float())

        every_label = torch.eye(classes, device=unlabeled.images.device).repeat_interleave(count, dim=0)
        of_each = self.bound(unlabeled.images.repeat(classes, 1), every_label).unflatten(0, (classes, count))
        log_q = self.classify(unlabeled.images).log_softmax(1).T
        unknown = (log_q.exp() * (of_each + log_q)).sum(0)

        classification = F.cross_entropy(self.classify(labeled.images), labeled.labels)
        yield "evidence_lower_bound", known.mean() + unknown.mean() + self.classification_weight * classification

    def classify(self, images: Tensor) -> Tensor:
        """Logits of q(y|x): ``[n, 784] -> [n, classes]``."""
        return self.classifier(images).float()

    def encode(self, images: Tensor) -> Tensor:
        probabilities = self.classify(images).softmax(1)
        label = F.one_hot(probabilities.argmax(1), self.prior.classes).float()
        mean, log_variance = self.posterior(images, label)
        return torch.cat([probabilities, gaussian_sample(mean, log_variance)], dim=1)
