"""The plain autoencoder: nothing shapes its codes. It is what the other models are measured against."""

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import half_squared_error
from aae_lib.models.model import Model
from aae_lib.networks import PIXELS, multilayer_perceptron


class Autoencoder(Model):
    """An encoder and a decoder trained to reconstruct.

    Args:
        dimensions: length d of a code.
        hidden: units of the hidden layers.
        reconstruction_loss: :func:`~aae_lib.losses.half_squared_error` (the paper's) or
            :func:`~aae_lib.losses.binary_cross_entropy`.
        networks: encoder and decoder in place of the two perceptrons, such as convolutional ones, as ``nn.Sequential``.
    """

    moves = {"reconstruction": ("encoder", "decoder")}

    def __init__(
        self,
        dimensions: int = 2,
        hidden: tuple[int, ...] = (1000, 1000),
        reconstruction_loss: Callable[[Tensor, Tensor], Tensor] = half_squared_error,
        networks: tuple[nn.Sequential, nn.Sequential] | None = None,
    ):
        super().__init__()
        self.encoder, self.decoder = networks or (
            multilayer_perceptron(PIXELS, dimensions, hidden),
            multilayer_perceptron(dimensions, PIXELS, hidden),
        )
        self.reconstruction_loss = reconstruction_loss

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        code = self.encoder(batch.images)
        yield "reconstruction", self.reconstruction_loss(self.decoder(code), batch.images)
