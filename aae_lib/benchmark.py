"""How fast a training step is: against a plain float32 loop, and against the machine's own matrix products.

A step's arithmetic is nearly all matrix products. So the rate at which this machine multiplies matrices of the same
shapes is the ceiling, and a step's share of it says what the rest costs (optimizers, losses, casts, Python).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from aae_lib.data import MNIST_CLASSES, MNIST_SHAPE, Images
from aae_lib.devices import multiplies_bfloat16
from aae_lib.experiments import find
from aae_lib.losses import half_squared_error
from aae_lib.models import Model
from aae_lib.networks import multilayer_perceptron
from aae_lib.shapes import pixels_of
from aae_lib.training import SGD, Recipe, train

BATCH = 100
STEPS = 60  # per measurement
ROUNDS = 7  # the best one counts: whatever else the machine does can only add time
# The speed of a step does not depend on its rate, and with small rates no run diverges.
RECONSTRUCTION, ADVERSARIAL = SGD(1e-4, momentum=0.9), SGD(1e-4, momentum=0.1)
PIXELS, CLASSES, STYLE = pixels_of(MNIST_SHAPE), MNIST_CLASSES, 10

Step = Callable[[Images], None]


@dataclass(frozen=True)
class Timing:
    """One step, timed.

    Attributes:
        name: which step.
        milliseconds: of a step of this library's loop; the best of the rounds.
        plain_milliseconds: of the plain float32 loop.
        gigaflops: arithmetic of one step, 10^9 floating-point operations.
        matrix_rate: what this machine reaches on matrix products of these shapes, 10^9 operations per second.
    """

    name: str
    milliseconds: float
    plain_milliseconds: float
    gigaflops: float
    matrix_rate: float

    @property
    def times_faster(self) -> float:
        """How many steps of ours fit into one of the plain loop."""
        return self.plain_milliseconds / self.milliseconds

    @property
    def share_of_matrix_rate(self) -> float:
        """Arithmetic per second of a step, as a share of ``matrix_rate``."""
        return self.gigaflops / (self.milliseconds / 1000) / self.matrix_rate


def benchmark() -> list[Timing]:
    """Time the basic step (three updates, 2-D codes) and the semi-supervised one, on the CPU."""
    images = Images(torch.rand(BATCH * STEPS, PIXELS), torch.arange(BATCH * STEPS) % CLASSES)
    steps = {
        "basic": (plain_basic, "aae-gaussian", (images,)),
        "semi-supervised": (plain_semi_supervised, "semi-100", (images, images)),
    }
    rate = matrix_rate()
    # All plain loops first: `train` makes the process keep the memory that it frees, which a plain loop does not.
    theirs = {name: _time_plain(plain()[1], images) for name, (plain, *_) in steps.items()}
    timings = []
    for name, (_, experiment, sets) in steps.items():
        model = find(experiment).model(0)
        rates = {update: RECONSTRUCTION if "decoder" in moved else ADVERSARIAL for update, moved in model.moves.items()}
        recipe = Recipe(rates, (ROUNDS + 1) * STEPS)
        with FlopCounterMode(display=False) as counter:
            list(train(model, sets, replace(recipe, steps=1), device="cpu"))
        ours = _time_train(model, sets, recipe)
        timings.append(Timing(name, ours, theirs[name], counter.get_total_flops() / 1e9, rate))
    return timings


def _time_plain(step: Step, images: Images) -> float:
    """Milliseconds of a step of a plain loop, the best of ``ROUNDS`` after one to warm up."""
    rounds = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        for start in range(0, len(images), BATCH):
            step(images[start : start + BATCH])
        rounds.append(1000 * (time.perf_counter() - started) / STEPS)
    return min(rounds[1:])


def _time_train(model: Model, sets: tuple[Images, ...], recipe: Recipe) -> float:
    """Milliseconds of a step of :func:`aae_lib.training.train`, the best of ``ROUNDS`` after one to warm up."""
    ends = [report.seconds for report in train(model, sets, recipe, report_every=STEPS, device="cpu")]
    return min(1000 * (end - start) / STEPS for start, end in pairwise(ends))


def matrix_rate() -> float:
    """How fast this machine multiplies matrices of the shapes of a step, in 10^9 floating-point operations per second.

    For each layer of an encoder and a decoder with 2 x 1000 hidden units the three products of training (output,
    gradient of the input, gradient of the weights), in the precision that training uses.
    """
    dtype = torch.bfloat16 if multiplies_bfloat16(torch.device("cpu")) else torch.float32
    layers = (PIXELS, 1000), (1000, 1000), (1000, PIXELS)
    products = []
    for inputs, outputs in layers:
        x, gradient = torch.randn(BATCH, inputs, dtype=dtype), torch.randn(BATCH, outputs, dtype=dtype)
        weight = torch.randn(outputs, inputs, dtype=dtype)
        products += [(x, weight.t()), (gradient, weight), (gradient.t(), x)]
    operations = 3 * sum(2 * BATCH * inputs * outputs for inputs, outputs in layers)
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(STEPS):
            for left, right in products:
                torch.mm(left, right)
        seconds.append((time.perf_counter() - started) / STEPS)
    return operations / min(seconds) / 1e9


# The plain loops: the same mathematics as most people write it, with resident data and fused optimizers


def _networks(*sizes: tuple[int, int]) -> nn.ModuleList:
    return nn.ModuleList(multilayer_perceptron(*size) for size in sizes)


def _sgd(networks: list[nn.Module], settings: SGD) -> torch.optim.SGD:
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.SGD(parameters, lr=settings.learning_rate, momentum=settings.momentum, fused=True)


def _descend(optimizer: torch.optim.Optimizer, networks: nn.Module, loss: Tensor) -> None:
    networks.zero_grad()
    loss.backward()
    optimizer.step()


def _binary(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def plain_basic() -> tuple[nn.ModuleList, Step]:
    """The networks and the basic step as a plain float32 loop, one encoder pass per loss."""
    networks = _networks((PIXELS, 2), (2, PIXELS), (2, 1))
    encoder, decoder, discriminator = networks
    reconstruct = _sgd([encoder, decoder], RECONSTRUCTION)
    discriminate, generate = _sgd([discriminator], ADVERSARIAL), _sgd([encoder], ADVERSARIAL)

    def step(batch: Images) -> None:
        x = batch.images
        _descend(reconstruct, networks, half_squared_error(decoder(encoder(x)), x))
        real, fake = torch.randn(len(x), 2), encoder(x).detach()
        _descend(discriminate, networks, _binary(discriminator(real), True) + _binary(discriminator(fake), False))
        _descend(generate, networks, _binary(discriminator(encoder(x)), True))

    return networks, step


def plain_semi_supervised() -> tuple[nn.ModuleList, Step]:
    """The networks and the semi-supervised step as a plain float32 loop, one encoder pass per loss."""
    networks = _networks((PIXELS, CLASSES + STYLE), (CLASSES + STYLE, PIXELS), (CLASSES, 1), (STYLE, 1))
    encoder, decoder, of_label, of_style = networks
    reconstruct, classify = _sgd([encoder, decoder], RECONSTRUCTION), _sgd([encoder], RECONSTRUCTION)
    discriminate, generate = _sgd([of_label, of_style], ADVERSARIAL), _sgd([encoder], ADVERSARIAL)

    def logits_and_style(x: Tensor) -> tuple[Tensor, Tensor]:
        return encoder(x + 0.3 * torch.randn_like(x)).split([CLASSES, STYLE], 1)

    def codes(x: Tensor) -> tuple[Tensor, Tensor]:
        logits, style = logits_and_style(x)
        return logits.softmax(1), style

    def step(batch: Images) -> None:
        x = batch.images
        _descend(reconstruct, networks, half_squared_error(decoder(torch.cat(codes(x), 1)), x))
        label, style = (code.detach() for code in codes(x))
        real_label = F.one_hot(torch.randint(0, CLASSES, (len(x),)), CLASSES).float()
        of_real = _binary(of_label(real_label), True) + _binary(of_style(torch.randn(len(x), STYLE)), True)
        _descend(discriminate, networks, of_real + _binary(of_label(label), False) + _binary(of_style(style), False))
        label, style = codes(x)
        _descend(generate, networks, _binary(of_label(label), True) + _binary(of_style(style), True))
        _descend(classify, networks, F.cross_entropy(logits_and_style(x)[0], batch.labels))

    return networks, step
