"""The plain autoencoder: nothing shapes its codes. The other models are measured against it."""

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.losses import half_squared_error
from aae_lib.models.model import Model

ReconstructionLoss = Callable[[Tensor, Tensor], Tensor]  # (decoder's numbers, images), each [n, pixels] -> scalar


class Autoencoder(Model):
    """An encoder and a decoder trained to reconstruct.

    Args:
        reconstruction_loss: :func:`~aae_lib.losses.half_squared_error` (the paper's),
            :func:`~aae_lib.losses.binary_cross_entropy` or, for data outside [0, 1],
            :func:`~aae_lib.losses.unbounded_squared_error`. It takes what the decoder computes and the images. Its
            ``output`` makes images of the first; a function without one takes logits.
    """

    moves = {"reconstruction": ("encoder", "decoder")}

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, reconstruction_loss: ReconstructionLoss = half_squared_error
    ):
        super().__init__()
        self.encoder, self.decoder, self.reconstruction_loss = encoder, decoder, reconstruction_loss

    def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
        code = self.encoder(batch.images)
        yield "reconstruction", self.reconstruction_loss(self.decoder(code), batch.images)

    def output(self, numbers: Tensor) -> Tensor:
        """Images of what the decoder computes: by the reconstruction loss's output function."""
        return getattr(self.reconstruction_loss, "output", super().output)(numbers)
