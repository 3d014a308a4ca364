"""What every system is made of: networks, and an ordered list of updates per minibatch."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.errors import DataError
from aae_lib.priors import Prior


class Model(nn.Module, ABC):
    """Networks, and the updates that train them.

    Whatever encodes, decodes or measures looks for networks of these names, which models get as arguments:

    * ``encoder``: images ``[n, pixels]`` -> codes ``[n, d]``;
    * ``decoder``: codes -> ``[n, pixels]``, from which :meth:`output` makes images: logits unless a model says more;
    * discriminators: what they judge, ``[n, d]`` -> logits ``[n, 1]``.

    Attributes:
        moves: the networks that each update moves, by the name of the update, in the order of the updates.
        adversaries: networks that only judge the others while training. Shipped weights leave them out unless a
            notebook draws them.
        prior: what the codes should be distributed like; None where nothing shapes them.
    """

    moves: ClassVar[dict[str, tuple[str, ...]]]
    adversaries: ClassVar[tuple[str, ...]] = ()
    prior: Prior | None = None

    @abstractmethod
    def updates(self, *minibatches: Images) -> Iterator[tuple[str, Tensor]]:
        """Yield ``(name of the update, loss)`` for each update of one step, in order.

        After a ``yield`` the trainer has moved the networks of that update, so what is computed next uses the new
        weights. There must be no ``with`` around a ``yield``. Subclasses name the minibatches that they need:
        ``batch``, or ``unlabeled`` and ``labeled``. Under autocast, networks return bfloat16: sums, logarithms and
        variances need ``.float()``.
        """

    def encode(self, images: Tensor) -> Tensor:
        """Codes of images, ``[n, pixels] -> [n, d]``. A stochastic encoder returns one sample of q(z|x) per image."""
        return self._network("encoder")(images)

    def code_of(self, images: Images) -> Tensor:
        """What :meth:`decode` takes for these images, ``[n, d]``: their codes, with labels where it needs them."""
        return self.encode(images.images)

    def decode(self, codes: Tensor) -> Tensor:
        """Images of codes, ``[n, d] -> [n, pixels]``."""
        return self.output(self._network("decoder")(codes).float())

    def output(self, numbers: Tensor) -> Tensor:
        """Images of what the decoder computes: its logits' sigmoid, in (0, 1)."""
        return numbers.sigmoid()

    def _network(self, name: str) -> nn.Module:
        if not hasattr(self, name):
            raise NotImplementedError(f"{type(self).__name__} has no {name}")
        return getattr(self, name)


def classes_told(model: Model) -> int | None:
    """How many classes the labels are of that a model is told; None: it is told none."""
    told = type(model).code_of is not Model.code_of or "labeled" in inspect.signature(model.updates).parameters
    return getattr(model.prior, "classes", getattr(model, "classes", None)) if told else None


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of labels ``[n]`` under logits ``[n, classes]``, in nats, averaged over images.

    Raises:
        DataError: the labels are not int64 from 0 to ``classes`` - 1. PyTorch would leave out a label of -100 in
            silence. On a GPU the values are not looked at, because each step would have to wait for them.
    """
    last = logits.shape[1] - 1
    if labels.is_floating_point():
        raise DataError(f"labels must be int64 from 0 to {last}, found {labels.dtype}")
    if len(labels) and not labels.is_cuda and not 0 <= labels.min() <= labels.max() <= last:
        raise DataError(f"labels must be from 0 to {last}, found labels from {labels.min()} to {labels.max()}")
    return F.cross_entropy(logits.float(), labels)
