"""Adversarial generator-encoder networks (Ulyanov, Vedaldi, Lempitsky 2017)."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import fitted_gaussian_kl
from aae_lib.models.model import Model
from aae_lib.priors import Prior


class AdversarialGeneratorEncoder(Model):
    """An encoder and a generator that play a game against each other; there is no discriminator.

    The encoder wants the codes of images to be spread like the prior, and those of generated images not to be; the
    generator wants those of its images to be (equation 2). How far codes are from the prior is told, for both, by the
    Gaussian fitted to a minibatch of them. The game alone matches distributions only. That an image comes back from
    its code is the encoder's second task (equation 3), and that a code comes back from its image the generator's
    (equation 4). The generator never sees an image of the data, nor the first of these errors: it would blur.

    Args:
        prior: of the codes, which the encoder puts there: :class:`~aae_lib.priors.UniformSphere`.
        image_weight: mu, of the mean absolute error of an image's reconstruction, in units of a scale of [-1, 1].
        code_weight: lambda, of the mean squared error of a code's components. The official code's lambda stands
            before the cosine of the angle divided by d, so it is twice this one. What counts is its ratio to d.
        generator_image_weight: of the image's reconstruction in the generator's updates; the paper's is 0.
        generator_updates: of the generator for each update of the encoder (the paper: 2).
    """

    moves = {"encoder": ("encoder",), "generator": ("decoder",)}

    def __init__(
        self, prior: Prior, encoder: nn.Module, decoder: nn.Module, image_weight: float = 10.0,
        code_weight: float = 500.0, generator_image_weight: float = 0.0, generator_updates: int = 2,
    ):  # fmt: skip
        super().__init__()
        self.prior, self.encoder, self.decoder = prior, encoder, decoder
        self.image_weight, self.code_weight = image_weight, code_weight
        self.generator_image_weight, self.generator_updates = generator_image_weight, generator_updates

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        images = batch.images
        code = self.encode(images)
        with torch.no_grad():
            generated = self.decode(self.prior.sample(len(images), images.device))
        # Real and generated images go through the encoder apart: batch-norm must not mix them.
        game = fitted_gaussian_kl(code) - fitted_gaussian_kl(self.encode(generated))
        error = self.image_weight * self.image_error(code, images) if self.image_weight else 0.0
        yield "encoder", game + error

        for _ in range(self.generator_updates):
            z = self.prior.sample(len(images), images.device)
            back = self.encode(self.decode(z))
            loss = fitted_gaussian_kl(back) + self.code_weight * (back - z).square().mean()
            if self.generator_image_weight:
                loss = loss + self.generator_image_weight * self.image_error(self.encode(images), images)
            yield "generator", loss

    def image_error(self, code: Tensor, images: Tensor) -> Tensor:
        """The mean absolute error of images ``[n, pixels]`` decoded from codes ``[n, d]``, of pixels in [-1, 1]."""
        return 2 * (self.decode(code) - images).abs().mean()


class SemanticGeneratorEncoder(AdversarialGeneratorEncoder):
    """AGE whose encoder also compares what a classifier sees in an image and in its reconstruction.

    A review of the paper suggests such a term: pixels alone say little about what is in an image. The classifier is
    trained beforehand and stays as it is; it belongs to no update and to no file of weights.

    Args:
        features: of a classifier, ``[n, pixels] -> [n, k]``.
        feature_weight: of 1 - cos of the angle between the features of an image and of its reconstruction, beside the
            mean absolute error of pixels in [-1, 1]; ``image_weight`` is a factor on both.
    """

    def __init__(
        self, *networks: Any, features: Callable[[Tensor], Tensor], feature_weight: float = 1.0, **weights: Any
    ):
        super().__init__(*networks, **weights)
        self.features, self.feature_weight = features, feature_weight

    def image_error(self, code: Tensor, images: Tensor) -> Tensor:
        decoded = self.decode(code)
        with torch.no_grad():
            wanted = self.features(images)
        different = 1 - F.cosine_similarity(self.features(decoded), wanted, dim=1).mean()
        return 2 * (decoded - images).abs().mean() + self.feature_weight * different
