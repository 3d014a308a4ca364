"""The semi-supervised variational autoencoders M2 and M1 + M2 (Kingma et al. 2014), which Table 2 compares with."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import binary_cross_entropy, gaussian_kl
from aae_lib.models.model import Model, classification_loss
from aae_lib.models.vae import VariationalAutoencoder
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
        classification_weight, labeled_weight: of the cross-entropy and of L beside U, each an average over its
            minibatch. All images count alike if ``labeled_weight`` is the share of labeled images.
    """

    moves = {"evidence_lower_bound": ("classifier", "encoder", "decoder")}
    prior: LabelAndStyle

    def __init__(
        self, prior: LabelAndStyle, classifier: nn.Module, encoder: nn.Module, decoder: nn.Module,
        classification_weight: float, labeled_weight: float = 1.0,
    ):  # fmt: skip
        super().__init__()
        self.prior, self.classification_weight, self.labeled_weight = prior, classification_weight, labeled_weight
        self.classifier, self.encoder, self.decoder = classifier, encoder, decoder

    def posterior(self, images: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        """Mean and log-variance of q(z|x, y), each ``[n, d]``, for one-hot labels ``[n, classes]``."""
        return self.encoder(torch.cat([images, label], dim=1)).float().chunk(2, dim=1)

    def bound(self, images: Tensor, label: Tensor) -> Tensor:
        """L(x, y) in nats, estimated at one style: images ``[n, pixels]``, one-hot labels -> ``[n]``."""
        mean, log_variance = self.posterior(images, label)
        style = gaussian_sample(mean, log_variance)
        reconstruction = self.reconstruction(self.decoder(torch.cat([label, style], dim=1)), images)
        log_p = (label * self.prior.log_probabilities(label.device)).sum(1)
        return reconstruction + gaussian_kl(mean, log_variance, reduce=False) - log_p

    def reconstruction(self, numbers: Tensor, images: Tensor) -> Tensor:
        """-log p(x|y, z) in nats, ``[n]``, of what the decoder computes."""
        return binary_cross_entropy(numbers, images, reduce=False)

    def evidence_lower_bound(self, unlabeled: Tensor, labeled: Tensor, labels: Tensor) -> Tensor:
        """The negative bound in nats of images ``[n, pixels]`` without labels and of others with labels ``[n]``."""
        classes, count = self.prior.classes, len(unlabeled)
        known = self.bound(labeled, self.prior.label.sample_of_class(labels))

        every_label = torch.eye(classes, device=unlabeled.device).repeat_interleave(count, dim=0)
        of_each = self.bound(unlabeled.repeat(classes, 1), every_label).unflatten(0, (classes, count))
        log_q = self.classifier(unlabeled).float().log_softmax(1).T
        unknown = (log_q.exp() * (of_each + log_q)).sum(0)

        classification = classification_loss(self.classifier(labeled), labels)
        known, unknown = self.labeled_weight * known.mean(), unknown.mean()
        return known + unknown + self.classification_weight * classification

    def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
        yield "evidence_lower_bound", self.evidence_lower_bound(unlabeled.images, labeled.images, labeled.labels)

    def classify(self, images: Tensor) -> Tensor:
        """Logits of q(y|x): ``[n, pixels] -> [n, classes]``, in float32."""
        return self.classifier(images).float()

    def encode(self, images: Tensor) -> Tensor:
        probabilities = self.classifier(images).float().softmax(1)
        label = F.one_hot(probabilities.argmax(1), self.prior.classes).float()
        return torch.cat([probabilities, gaussian_sample(*self.posterior(images, label))], dim=1)


class StackedVariationalAutoencoder(SemiSupervisedVariationalAutoencoder):
    """M1 + M2: a variational autoencoder of images (M1), and above it M2, whose images are samples of M1's codes.

    Each layer has its own loss, and no gradient of the second reaches the first. Kingma et al. train one after the
    other; here both learn at the same time, and the second follows the first until the learning rates fall. A code is
    as M2's, of the mean of M1's posterior.

    Args:
        prior, classification_weight, labeled_weight: as M2's.
        vae: M1, with codes of ``f`` numbers.
        classifier: ``[n, f] -> [n, classes]``, logits.
        encoder: ``[n, f + classes] -> [n, 2 d]``, mean and log-variance.
        decoder: ``[n, classes + d] -> [n, 2 f]``, mean and log-variance of p(code of M1 | y, z).
    """

    moves = {"first_layer": ("vae",), "second_layer": ("classifier", "encoder", "decoder")}

    def __init__(
        self, prior: LabelAndStyle, vae: VariationalAutoencoder, classifier: nn.Module, encoder: nn.Module,
        decoder: nn.Module, classification_weight: float, labeled_weight: float = 1.0,
    ):  # fmt: skip
        super().__init__(prior, classifier, encoder, decoder, classification_weight, labeled_weight)
        self.vae = vae

    def reconstruction(self, numbers: Tensor, images: Tensor) -> Tensor:
        mean, log_variance = numbers.float().chunk(2, dim=1)
        return F.gaussian_nll_loss(mean, images, log_variance.exp(), full=True, reduction="none").sum(1)

    def updates(self, unlabeled: Images, labeled: Images) -> Iterator[tuple[str, Tensor]]:
        (loss,) = (loss for _, loss in self.vae.updates(unlabeled))
        yield "first_layer", loss
        codes, known = (self.vae.encode(batch.images).detach() for batch in (unlabeled, labeled))
        yield "second_layer", self.evidence_lower_bound(codes, known, labeled.labels)

    def classify(self, images: Tensor) -> Tensor:
        return super().classify(self.vae.posterior(images)[0])

    def encode(self, images: Tensor) -> Tensor:
        return super().encode(self.vae.posterior(images)[0])

    def decode(self, codes: Tensor) -> Tensor:
        return self.vae.decode(self.decoder(codes).float().chunk(2, dim=1)[0])
