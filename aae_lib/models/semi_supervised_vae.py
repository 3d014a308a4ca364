"""The semi-supervised variational autoencoder, M2 (Kingma et al. 2014), which Table 2 compares with."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import binary_cross_entropy, gaussian_kl
from aae_lib.models.model import Model, classification_loss
from aae_lib.networks import gaussian_sample
from aae_lib.priors import LabelAndStyle


class SemiSupervisedVariationalAutoencoder(Model):
    """A classifier q(y|x), an encoder q(z|x, y), a decoder p(x|y, z), and the evidence lower bound as their only loss.

    For a labeled image L(x, y) = reconstruction + KL(q(z|x, y) || p(z)) - log p(y) bounds -log p(x, y) from above.
    For an unlabeled one the label is summed out: U(x) = sum_y q(y|x) L(x, y) - H(q(y|x)) (Kingma et al. 2014, equations
    6 and 7). No label reaches q(y|x) that way, so a cross-entropy on the labeled images is added (equation 9).

    A code is the label's probabilities, then a sample of the style given the most probable label.

    Args:
        prior: of label and style; the style's is N(0, I).
        classifier: ``[n, pixels] -> [n, classes]``, logits of q(y|x).
        encoder: ``[n, pixels + classes] -> [n, 2 d]``, mean and log-variance of q(z|x, y).
        decoder: ``[n, classes + d] -> [n, pixels]``, logits.
        classification_weight: of the cross-entropy beside L and U, each an average over its minibatch.
    """

    moves = {"evidence_lower_bound": ("classifier", "encoder", "decoder")}
    prior: LabelAndStyle

    def __init__(
        self, prior: LabelAndStyle, classifier: nn.Module, encoder: nn.Module, decoder: nn.Module,
        classification_weight: float,
    ):  # fmt: skip
        super().__init__()
        self.prior, self.classification_weight = prior, classification_weight
        self.classifier, self.encoder, self.decoder = classifier, encoder, decoder

    def posterior(self, images: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        """Mean and log-variance of q(z|x, y), each ``[n, d]``, for one-hot labels ``[n, classes]``."""
        return self.encoder(torch.cat([images, label], dim=1)).float().chunk(2, dim=1)

    def bound(self, images: Tensor, label: Tensor) -> Tensor:
        """L(x, y) in nats, estimated at one style: images ``[n, pixels]``, one-hot labels -> ``[n]``."""
        mean, log_variance = self.posterior(images, label)
        style = gaussian_sample(mean, log_variance)
        logits = self.decoder(torch.cat([label, style], dim=1))
        reconstruction = binary_cross_entropy(logits, images, reduce=False)
        log_p = (label * self.prior.log_probabilities(label.device)).sum(1)
        return reconstruction + gaussian_kl(mean, log_variance, reduce=False) - log_p

    def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
        classes, count = self.prior.classes, len(unlabeled)
        known = self.bound(labeled.images, self.prior.label.sample_of_class(labeled.labels))

        every_label = torch.eye(classes, device=unlabeled.images.device).repeat_interleave(count, dim=0)
        of_each = self.bound(unlabeled.images.repeat(classes, 1), every_label).unflatten(0, (classes, count))
        log_q = self.classify(unlabeled.images).log_softmax(1).T
        unknown = (log_q.exp() * (of_each + log_q)).sum(0)

        classification = classification_loss(self.classify(labeled.images), labeled.labels)
        yield "evidence_lower_bound", known.mean() + unknown.mean() + self.classification_weight * classification

    def classify(self, images: Tensor) -> Tensor:
        """Logits of q(y|x): ``[n, pixels] -> [n, classes]``, in float32."""
        return self.classifier(images).float()

    def encode(self, images: Tensor) -> Tensor:
        probabilities = self.classify(images).softmax(1)
        label = F.one_hot(probabilities.argmax(1), self.prior.classes).float()
        return torch.cat([probabilities, gaussian_sample(*self.posterior(images, label))], dim=1)
