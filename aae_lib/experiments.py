"""The registry of experiments: every training run behind a figure or table, by name.

An experiment is data: a model and its sizes, a recipe, and where each constant comes from.

    trained = load_trained("aae-gaussian")      # the shipped weights, seed 0
    trained.model.decode(torch.zeros(1, 2))

**Evidence** is what was measured on the 10,000 test images after training, one file per seed, so that every number
and every scatter plot can be had again on a machine without MNIST.
"""

import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import aae_lib
from aae_lib.data import CLASSES, Digits, Images, balanced_subset
from aae_lib.metrics import (
    class_shares,
    image_change,
    match,
    neighbor_accuracy,
    own_class,
    prior_samples,
    sharpness,
    squared_errors,
    steepest_tenth,
)
from aae_lib.models import (
    AdversarialAutoencoder,
    Autoencoder,
    GaussianPosteriorAutoencoder,
    LabelInformedAutoencoder,
    Model,
    UniversalPosteriorAutoencoder,
    VariationalAutoencoder,
)
from aae_lib.priors import ClassConditionalPrior, Gaussian, GaussianMixture, Prior, SwissRoll, seeded
from aae_lib.storage import StorageError, load_weights, read_file, save_weights, write_file
from aae_lib.training import (
    SGD,
    UPDATES_PER_EPOCH,
    Cosine,
    Recipe,
    Report,
    TrainingError,
    WarmUp,
    default_device,
    multiplies_bfloat16,
    train,
)

PRETRAINED = Path(__file__).parent / "pretrained"
EVIDENCE = PRETRAINED / "evidence"
REPEATS = 200  # codes of one image
SAMPLES = 2000  # of the prior, decoded for the evidence

# AAE, appendix A.2.1: SGD, momentum 0.9 for the reconstruction and 0.1 for the adversarial updates, rates 0.01 and 0.1.
# The appendix gives them for the semi-supervised network of the same sizes; for Figure 2 the paper states none.
RECONSTRUCTION = SGD(learning_rate=0.01, momentum=0.9)
ADVERSARIAL = SGD(learning_rate=0.1, momentum=0.1)
EPOCHS = 30
# The paper drops its rates by steps over thousands of epochs; a cosine over the second half does the same in thirty.
SCHEDULE = Cosine(start=EPOCHS / 2 * UPDATES_PER_EPOCH, end=EPOCHS * UPDATES_PER_EPOCH)
# Topics: one table each
PLANE = "A plane of codes: the adversarial autoencoder against the variational one"
LABELS = "Labels in the discriminator"
POSTERIORS = "Three posteriors"
LABELED = 0.2  # share of the images that keep their labels: 10,000 of 50,000 (AAE, Figure 4)
# The VAE experiments that differ in the weight of the KL term alone, from the largest down.
VAE_CURVE = {
    "vae-gaussian": 1.0,
    "vae-gaussian-0.5": 0.5,
    "vae-gaussian-0.25": 0.25,
    "vae-gaussian-0.125": 0.125,
    "vae-gaussian-0.0625": 0.0625,
}
VAE_MIXTURE_CURVE = {"vae-mixture": 1.0, "vae-mixture-0.25": 0.25}


@dataclass(frozen=True)
class Experiment:
    """One training run by name.

    Attributes:
        name: as in the command line and in file names.
        title: one line for tables.
        topic: the table that it stands in.
        figure: the figure or table of the paper that it belongs to.
        build: makes the untrained model; its random weights come from torch's global generator.
        recipe: how it is trained.
        source: where the model's and the recipe's constants come from.
        select: from all training images and the seed, the sets of images that the model's updates take.
        paper: the paper's values by metric; empty where it shows a picture only.
    """

    name: str
    title: str
    topic: str
    figure: str
    build: Callable[[], Model]
    recipe: Recipe
    source: str
    select: Callable[[Images, int], tuple[Images, ...]] = lambda images, seed: (images,)
    paper: Mapping[str, float] = field(default_factory=dict)


def _recipe(**optimizers: SGD) -> Recipe:
    return Recipe(optimizers, steps=EPOCHS * UPDATES_PER_EPOCH, schedule=SCHEDULE)


AAE_RECIPE = _recipe(reconstruction=RECONSTRUCTION, discriminator=ADVERSARIAL, generator=ADVERSARIAL)
SIZES = "2 x 1000 ReLU units per network, weights N(0, 0.01^2), batch 100 (AAE, appendix A)"
# After 6,000 steps of the Gaussian's recipe half of the codes lie in the gaps between the petals. A twentieth of the
# reconstruction's gradient for the encoder, and a discriminator that sees the petals from the start, move them out.
MIXTURE_RECIPE = Recipe(
    {"reconstruction": RECONSTRUCTION, "discriminator": ADVERSARIAL, "generator": ADVERSARIAL},
    steps=20_000,
    schedule=WarmUp(500, Cosine(start=3_000, end=20_000)),
)


def _labels_recipe(adversarial: SGD, start: int, steps: int) -> Recipe:
    # The game begins slowly: before the decoder has learned anything, an adversary at full rate collapses the codes.
    falling = Cosine(start, steps)
    schedule = {"reconstruction": falling} | dict.fromkeys(("discriminator", "generator"), WarmUp(1_000, falling))
    optimizers = {"reconstruction": RECONSTRUCTION, "discriminator": adversarial, "generator": adversarial}
    return Recipe(optimizers, steps, schedule)


LABELS_CHOICES = (
    "minibatches of 100 labeled and 100 unlabeled images; input noise 0.4, dropout 0.3, a twentieth of the "
    "reconstruction's gradient into the encoder, adversarial rates 0.2 (ours, chosen on validation images)"
)
PETALS = "the mixture's numbers are those of public implementations, the paper gives none"
RATES = "learning rates and momenta of appendix A.2.1, 30 epochs with a cosine over the second half (ours)"


def _vae(name: str, prior: Callable[[], Prior], kl_weight: float) -> Experiment:
    mixture = prior is GaussianMixture
    panel = "d" if mixture else "c"
    source = f"{SIZES}; {PETALS}; the KL term estimated at one code" if mixture else SIZES
    return Experiment(
        name=name,
        title=f"VAE, {'mixture of ten 2-D Gaussians' if mixture else '2-D Gaussian'}, KL weight {kl_weight:g}",
        topic=PLANE,
        figure=f"AAE Fig. 2{panel}" if kl_weight == 1 else f"AAE Fig. 2{panel} (curve)",
        build=lambda: VariationalAutoencoder(prior(), kl_weight),
        recipe=_recipe(evidence_lower_bound=RECONSTRUCTION),
        source=f"{source}; the same rate and schedule as the autoencoder",
    )


def _label_some(images: Images, seed: int) -> tuple[Images, Images]:
    """Unlabeled and labeled images, of which each digit has equally many; the last images stay for validation."""
    kept = images[:50_000]
    labeled = balanced_subset(kept.labels, int(LABELED * len(kept)) // CLASSES * CLASSES, seed)
    unlabeled = torch.ones(len(kept), dtype=torch.bool)
    unlabeled[labeled] = False
    return kept[unlabeled], kept[labeled]


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            name="autoencoder",
            title="autoencoder, 2-D codes, no prior",
            topic=PLANE,
            figure="(baseline)",
            build=lambda: Autoencoder(2),
            recipe=_recipe(reconstruction=RECONSTRUCTION),
            source=f"{SIZES}; {RATES}",
        ),
        Experiment(
            name="aae-gaussian",
            title="AAE, 2-D Gaussian",
            topic=PLANE,
            figure="AAE Fig. 2a, 2e",
            build=lambda: AdversarialAutoencoder(Gaussian(2)),
            recipe=AAE_RECIPE,
            source=f"{SIZES}; prior N(0, I): the paper does not say its deviation, others use 1 or 5; {RATES}",
        ),
        *(_vae(name, lambda: Gaussian(2), weight) for name, weight in VAE_CURVE.items()),
        Experiment(
            name="aae-mixture",
            title="AAE, mixture of ten 2-D Gaussians",
            topic=PLANE,
            figure="AAE Fig. 2b",
            build=lambda: AdversarialAutoencoder(GaussianMixture(), discriminator_deviation=None, encoder_share=0.05),
            recipe=MIXTURE_RECIPE,
            source=f"{SIZES}, but the discriminator's weights are PyTorch's default; {PETALS}; learning rates and "
            "momenta of appendix A.2.1, a twentieth of the reconstruction's gradient into the encoder, 33 epochs, "
            "a cosine from epoch 5 (ours, chosen on validation images)",
        ),
        *(_vae(name, GaussianMixture, weight) for name, weight in VAE_MIXTURE_CURVE.items()),
        Experiment(
            name="aae-mixture-labels",
            title="AAE, mixture, 10,000 labels",
            topic=LABELS,
            figure="AAE Fig. 4a, 4b",
            build=lambda: LabelInformedAutoencoder(GaussianMixture()),
            recipe=_labels_recipe(SGD(0.2, 0.1), start=8_000, steps=20_000),
            source=f"{SIZES}; {PETALS}; {LABELS_CHOICES}",
            select=_label_some,
        ),
        Experiment(
            name="aae-swissroll-labels",
            title="AAE, swiss roll, 10,000 labels",
            topic=LABELS,
            figure="AAE Fig. 4c, 4d",
            build=lambda: LabelInformedAutoencoder(SwissRoll(width=0.1), encoder_share=0.03),
            recipe=_labels_recipe(ADVERSARIAL, start=2_000, steps=16_000),
            source=f"{SIZES}; the roll's numbers are those of public implementations, but for a width of 0.1; "
            f"{LABELS_CHOICES}; for the roll 0.03 of that gradient, and rates of 0.1",
            select=_label_some,
        ),
        Experiment(
            name="aae-gaussian-posterior",
            title="AAE, 2-D Gaussian, Gaussian posterior",
            topic=POSTERIORS,
            figure="AAE section 2",
            build=lambda: GaussianPosteriorAutoencoder(Gaussian(2)),
            recipe=AAE_RECIPE,
            source="as aae-gaussian, with twice as many outputs of the encoder",
        ),
        Experiment(
            name="aae-universal-posterior",
            title="AAE, 2-D Gaussian, universal posterior",
            topic=POSTERIORS,
            figure="AAE section 2",
            build=lambda: UniversalPosteriorAutoencoder(Gaussian(2)),
            recipe=AAE_RECIPE,
            source="as aae-gaussian, with ten Gaussian numbers beside the image (the paper does not say how many)",
        ),
    )
}


def find(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        KeyError: listing the names that there are.
    """
    if name not in EXPERIMENTS:
        raise KeyError(f"there is no experiment '{name}'; there are: {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def build(experiment: Experiment, seed: int) -> Model:
    """The untrained model with the initial weights of ``seed``; torch's global random numbers stay as they were."""
    with seeded(seed):
        return experiment.build()


# --------------------------------------------------------------------------------------------------------------
# Evidence


@dataclass(frozen=True)
class Evidence:
    """What a trained model makes of held-out images.

    Attributes:
        codes: ``[n, d]``, float16: the code of each image (a sample of q(z|x) where the encoder is stochastic).
        squared_errors: ``[n]``, float32: half the squared error of each reconstruction, summed over pixels.
        labels: ``[n]``, int64: the true digits.
        header: provenance (experiment, seed, steps, data, versions, wall time, history).
        sharpness, changes: ``[2000]``, float16: :func:`~aae_lib.metrics.sharpness` of the images decoded from samples
            of the prior, and :func:`~aae_lib.metrics.image_change` there; empty for a model without a prior.
        repeated: ``[10, 200, d]``, float16: 200 codes of each of the first ten images: q(z|x) as a cloud.
    """

    codes: Tensor
    squared_errors: Tensor
    labels: Tensor
    header: dict[str, Any]
    sharpness: Tensor
    changes: Tensor
    repeated: Tensor

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What the file holds: all but the labels, which are those of the test set and are stored once for all."""
        names = ("codes", "squared_errors", "sharpness", "changes", "repeated")
        return {name: getattr(self, name) for name in names if len(getattr(self, name))}


@torch.no_grad()
def examine(model: Model, images: Images, header: dict[str, Any]) -> Evidence:
    """Encode and reconstruct ``images`` in float32 on the CPU, with random numbers of seed 0.

    Codes are rounded to float16, as they are stored, so that what is measured on them now and from the file agree.
    """
    model = model.cpu().eval()
    with seeded(0):
        codes, errors = [], []
        for batch in images.images.split(1000):
            code = model.encode(batch)
            codes.append(code.half())
            errors.append(squared_errors(batch, model.decode(code)))
        repeated = model.encode(images.images[:10].repeat_interleave(REPEATS, 0)).unflatten(0, (-1, REPEATS)).half()
    sharp = changes = torch.empty(0, dtype=torch.float16)
    if model.prior is not None:
        samples = prior_samples(model.prior, SAMPLES)
        sharp, changes = sharpness(model.decode(samples)).half(), image_change(model.decode, samples).half()
    return Evidence(torch.cat(codes), torch.cat(errors), images.labels, header, sharp, changes, repeated)


def measure(experiment: Experiment, evidence: Evidence) -> dict[str, float]:
    """All metrics of an experiment, by name, from its evidence."""
    metrics = {
        "reconstruction_error": float(evidence.squared_errors.double().mean()),
        "neighbor_accuracy": neighbor_accuracy(evidence.codes, evidence.labels),
    }
    model = build(experiment, 0)
    if model.prior is not None:
        metrics |= match(evidence.codes, model.prior)
        metrics["sample_sharpness"] = float(evidence.sharpness.double().mean())
        metrics["image_change"] = float(evidence.changes.double().mean())
        metrics["steepest_tenth"] = steepest_tenth(evidence.changes)
    if isinstance(model.prior, ClassConditionalPrior):
        shares = class_shares(evidence.codes, model.prior)
        metrics["smallest_class"], metrics["largest_class"] = float(shares.min()), float(shares.max())
    if isinstance(model, LabelInformedAutoencoder):
        metrics["own_class"] = own_class(evidence.codes, evidence.labels, model.prior)
    return metrics


def save_evidence(path: Path, evidence: Evidence) -> None:
    """Write all but the labels."""
    write_file(path, evidence.tensors, evidence.header)


@cache
def test_set() -> dict[str, Tensor]:
    """What is kept of MNIST's test images, in the order of the file: ``labels`` and ``sharpness``, ``[10000]`` each."""
    tensors, _ = read_file(EVIDENCE / "test-set.safetensors")
    return {"labels": tensors["labels"].long(), "sharpness": tensors["sharpness"]}


def load_evidence(name: str, seed: int = 0) -> Evidence:
    """The shipped evidence of one seed of an experiment.

    Raises:
        StorageError: if this experiment or seed ships none.
    """
    tensors, header = read_file(evidence_path(find(name), seed, EVIDENCE))
    empty = torch.empty(0, dtype=torch.float16)
    return Evidence(**{"sharpness": empty, "changes": empty} | tensors, labels=test_set()["labels"], header=header)


def shipped_seeds(name: str) -> list[int]:
    """The seeds of an experiment that ship evidence."""
    paths = EVIDENCE.glob(f"{find(name).name}-seed-*.safetensors")
    return sorted(int(path.stem.rpartition("-")[2]) for path in paths)


# --------------------------------------------------------------------------------------------------------------
# Trained models


@dataclass(frozen=True)
class Trained:
    """A trained model with its experiment and the header of its file (recipe, seed, data, wall time, history)."""

    experiment: Experiment
    model: Model
    header: dict[str, Any]


def load_trained(name: str, path: Path | None = None) -> Trained:
    """An experiment's trained model, in evaluation mode on the CPU: the shipped one (seed 0), or from ``path``.

    Raises:
        StorageError: if there are no such weights, or they are of another experiment.
    """
    experiment = find(name)
    shipped = weights_path(experiment, PRETRAINED)
    if path is None and not shipped.exists():
        raise StorageError(f"no weights of '{name}' are shipped; train them with: python -m aae_lib train {name}")
    model = build(experiment, 0)
    header = load_weights(path or shipped, model)
    if header["experiment"] != name:
        raise StorageError(f"{path} holds weights of '{header['experiment']}', not of '{name}'")
    return Trained(experiment, model.eval(), header)


def train_experiment(
    experiment: Experiment,
    digits: Digits,
    out: Path,
    *,
    seed: int = 0,
    steps: int | None = None,
    device: str | None = None,
    validation: bool = False,
    progress: bool = True,
) -> Iterator[Report]:
    """Train an experiment, yielding its reports; at the end write weights and evidence to the folder ``out``.

    Args:
        digits: MNIST. All of ``digits.train`` is used, and ``digits.test`` makes the evidence.
        validation: train without the last sixth of the training images and make the evidence on those: for every
            choice that is made before the final run.
        out: receives ``state.safetensors`` as training goes (an existing one is continued), ``NAME.safetensors`` and
            ``NAME-seed-SEED.safetensors`` (evidence).
        seed, steps, device, progress: as for :func:`aae_lib.training.train`.
    """
    images, held_out = digits.hold_out() if validation else (digits.train, digits.test)
    sets = experiment.select(images, seed)
    revision = _revision()  # of the code that trains, whatever happens to the checkout meanwhile
    model = build(experiment, seed)
    state = out / "state.safetensors"
    reports = []
    for report in train(
        model, sets, experiment.recipe, seed=seed, steps=steps, state=state, device=device, progress=progress
    ):
        reports.append(report)
        yield report
    if not reports:
        raise TrainingError(f"nothing to do: {steps} steps")
    header = {
        "experiment": experiment.name,
        "recipe": repr(experiment.recipe),
        "source": experiment.source,
        "seed": seed,
        "steps": reports[-1].step,
        "seconds": round(reports[-1].seconds, 1),
        "data": digits.source,
        "data_sha256": digits.sha256,
        "trained_on": sum(len(part) for part in sets),
        "evaluated_on": "validation" if validation else "test",
        "device": _processor(device),
        "precision": "bfloat16" if multiplies_bfloat16(torch.device(device or default_device())) else "float32",
        "versions": {"aae_lib": aae_lib.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "revision": revision,
        "history": [
            {"step": r.step, **{name: round(loss, 4) for name, loss in r.losses.items()}} for r in reports
        ],
    }
    weights = weights_path(experiment, out)
    save_weights(weights, model.cpu(), header)
    # The evidence comes from the weights as they ship, so that it can be had again from the file.
    evidence = examine(load_trained(experiment.name, weights).model, held_out, header)
    save_evidence(evidence_path(experiment, seed, out), evidence)


def weights_path(experiment: Experiment, folder: Path) -> Path:
    """Where a run in ``folder`` leaves its weights."""
    return folder / f"{experiment.name}.safetensors"


def evidence_path(experiment: Experiment, seed: int, folder: Path) -> Path:
    """Where a run in ``folder`` leaves its evidence."""
    return folder / f"{experiment.name}-seed-{seed}.safetensors"


def _processor(device: str | None) -> str:
    if device == "cuda" or (device is None and default_device().type == "cuda"):
        return torch.cuda.get_device_name()
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor()
    return f"{name}, {torch.get_num_threads()} threads"


def _revision() -> str:
    """The git revision of the source tree, with a + where it has changes, or 'unknown' outside of a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
