"""What every system is made of: networks, and an ordered list of updates per minibatch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.priors import Prior


class Model(nn.Module, ABC):
    """Networks, and the updates that train them.

    The network that makes codes is called ``encoder``, and the one that makes images of them ``decoder``: what encodes,
    decodes and measures models looks for these names.

    ``moves`` says, once, which networks each update may move. :meth:`updates` is a generator that reads like the
    paper's algorithm: it yields ``(name of the update, loss)``, and when it goes on, the trainer has moved the
    networks of that update - so what it computes next uses the new weights.
    """

    moves: ClassVar[dict[str, tuple[str, ...]]]
    prior: Prior | None = None

    @abstractmethod
    def updates(self, *minibatches: Images) -> Iterator[tuple[str, Tensor]]:
        """Yield one step's updates in order. A ``with`` around a ``yield`` is refused by the trainer.

        Subclasses name the minibatches that they need: ``batch``, or for instance ``unlabeled`` and ``labeled``. Where
        matrices are multiplied in bfloat16, networks return that here: sums, logarithms, variances want ``.float()``.
        """

    def encode(self, images: Tensor) -> Tensor:
        """Codes of images, ``[n, pixels] -> [n, d]``. A stochastic encoder returns one sample of q(z|x) per image.

        Raises:
            NotImplementedError: from a model that has no encoder.
        """
        return self._network("encoder")(images)

    def code_of(self, images: Images) -> Tensor:
        """What :meth:`decode` takes for these images, ``[n, d]``: their codes, and their labels where it needs them."""
        return self.encode(images.images)

    def decode(self, codes: Tensor) -> Tensor:
        """Images of codes, ``[n, d] -> [n, pixels]``, in (0, 1): the sigmoid of the decoder's logits.

        Raises:
            NotImplementedError: from a model that has no decoder.
        """
        return self._network("decoder")(codes).float().sigmoid()

    def _network(self, name: str) -> nn.Module:
        if not hasattr(self, name):
            raise NotImplementedError(f"{type(self).__name__} has no {name}")
        return getattr(self, name)
