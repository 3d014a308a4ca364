"""What the training loop refuses, instead of hoping that somebody notices: the classic defects of adversarial code."""

import inspect
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from aae_lib.data import Images, check_images
from aae_lib.errors import TrainingError
from aae_lib.models import Model, classes_told
from aae_lib.networks import TrainingNoise, has_batch_norm
from aae_lib.seeding import seeded
from aae_lib.training.recipe import Recipe

if TYPE_CHECKING:
    from aae_lib.training.run import Run

COLLAPSED = 1e-3  # variance of the codes, as a share of the prior's
FAR = 5.0  # root mean square of the codes, in that of the prior
LOST_STEPS = 600  # so long the codes may be collapsed or far, and at the beginning for so long again
CHECK_CODES_EVERY = 100  # steps

# At the call: model, images and recipe must fit together


def check_count(name: str, value: int) -> int:
    """Refuse what is no whole number of at least 1; returns it."""
    if type(value) is not int or value < 1:
        raise TrainingError(f"{name} must be an integer of at least 1, not {value!r}")
    return value


def check_sets(model: Model, sets: Sequence[Images], recipe: Recipe) -> None:
    """Refuse what is no set of images, or none that the model can be trained on."""
    for images, name in zip(sets, _minibatches(model), strict=True):
        needs_label = name == "labeled" or type(model).code_of is not Model.code_of  # whose codes hold the label
        classes = classes_told(model) if needs_label else None
        check_images(images, model, classes=classes, least=recipe.batch_size, labeled=needs_label)


def check_model(model: Model, recipe: Recipe, sets: int) -> None:
    """Refuse a model whose networks, updates, minibatches and recipe do not fit together."""
    kind = type(model).__name__
    if not isinstance(model, Model):
        raise TrainingError(f"train takes a model of a subclass of aae_lib.Model, not a {kind}")
    if not isinstance(recipe, Recipe):
        raise TrainingError(f"train takes an aae_lib.Recipe, not a {type(recipe).__name__}")
    if (dtype := torch.get_default_dtype()) != torch.float32:
        raise TrainingError(f"torch's default type is {dtype}: call torch.set_default_dtype(torch.float32)")
    _check_networks(model)
    _check_recipe(model, recipe)
    if recipe.batch_size == 1 and has_batch_norm(model):
        raise TrainingError(f"{kind} has batch-norm, which needs minibatches of at least 2 images, not 1")
    minibatches = _minibatches(model)
    if len(minibatches) != sets:
        named = f"{len(minibatches)} minibatches ({', '.join(minibatches)})"
        remedy = ": images.unlabeled_and_labeled() makes two of one" if "labeled" in minibatches else ""
        raise TrainingError(f"{kind}.updates takes {named}, but there are {sets} sets of images to train on{remedy}")


def _minibatches(model: Model) -> list[str]:
    """The names of the minibatches that the model's updates take."""
    parameters = inspect.signature(model.updates).parameters
    return [name for name, parameter in parameters.items() if parameter.default is parameter.empty]


def _check_networks(model: Model) -> None:
    kind, networks = type(model).__name__, dict(model.named_children())
    named = {name for names in model.moves.values() for name in names}
    if missing := named - set(networks):
        if missing <= set(model.adversaries):
            raise TrainingError(
                f"this {kind} has no {', '.join(sorted(missing))}: shipped weights leave out networks that only judge. "
                f"Give it a new one, such as model.{min(missing)} = multilayer_perceptron(dimensions, 1)"
            )
        raise TrainingError(f"{kind}.moves names {sorted(missing)}, but its networks are {sorted(networks)}")
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise TrainingError(f"this {kind} was made inside torch.inference_mode(): make it outside")
    moved = {parameter for name in named for parameter in networks[name].parameters()}
    unmoved = [name for name, p in model.named_parameters() if p.requires_grad and p not in moved]
    if unmoved:
        raise TrainingError(f"no update of {kind} moves {', '.join(unmoved)}: name its network in {kind}.moves")
    homes: dict[Tensor, set[str]] = {}
    for name in named:
        for parameter in networks[name].parameters():
            homes.setdefault(parameter, set()).add(name)
    for update, names in model.moves.items():
        for parameter, home in homes.items():
            if parameter.requires_grad and home & set(names) and not home <= set(names):
                shared = " and ".join(sorted(home))
                raise TrainingError(f"{shared} share a weight, but update '{update}' moves only one: part them")
        if not any(parameter.requires_grad for name in names for parameter in networks[name].parameters()):
            raise TrainingError(f"update '{update}' of {kind} moves nothing: all of {', '.join(names)} is frozen")


def _check_recipe(model: Model, recipe: Recipe) -> None:
    kind = type(model).__name__
    for what, named in (("optimizers", recipe.optimizers), ("schedules", recipe.schedule)):
        if isinstance(named, Mapping) and set(named) != set(model.moves):
            raise TrainingError(
                f"the recipe has {what} for {sorted(named)}, but {kind} has updates {sorted(model.moves)}"
            )
    noises = {type(layer).__name__ for layer in model.modules() if isinstance(layer, TrainingNoise)}
    if recipe.noise and not noises:
        raise TrainingError(
            f"the recipe has a schedule for training noise, but {kind} has none: build it with GaussianNoise, "
            "RandomAffine or Dropout of aae_lib.networks"
        )
    # Other numbers may be copies of what layers were built with: to change them would change nothing.
    weights = {name for name, value in vars(model).items() if name.endswith("_weight") and type(value) in (int, float)}
    named_noises = recipe.noise if isinstance(recipe.noise, Mapping) else ()
    for what, named, known in (("noise", named_noises, noises), ("weights", recipe.weights, weights)):
        if unknown := set(named) - known:
            raise TrainingError(f"the recipe has schedules for {what} {sorted(unknown)}, {kind} has {sorted(known)}")


def check_measures(measures: Any) -> dict[str, float]:
    """Refuse what is no dictionary of numbers by name; returns it with plain numbers."""
    try:
        return {str(name): float(value) for name, value in measures.items()}
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        found = f"{measures!r:.80}" if isinstance(measures, Mapping) else f"a {type(measures).__name__}"
        raise TrainingError(f"measure must return a dictionary of numbers by name, found {found}: {error}") from error


# In each step


def check_generator(model: Model, updates: Any) -> Iterator[Any]:
    """Refuse ``updates`` that return what they should yield; returns them."""
    if not isinstance(updates, Generator):
        found = type(updates).__name__
        raise TrainingError(f"{type(model).__name__}.updates must yield its updates one by one, not return a {found}")
    return updates


def check_update(model: Model, update: Any) -> tuple[str, Tensor]:
    """Refuse what is no pair (name of a declared update, loss); returns it."""
    name, loss = update if isinstance(update, tuple) and len(update) == 2 else (None, update)
    if name not in model.moves or not isinstance(loss, Tensor) or loss.ndim:
        found = f"tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TrainingError(
            f"{type(model).__name__}.updates must yield pairs (name of an update in `moves`, loss as one number in a "
            f"tensor), found {'no pair' if name is None else repr(name)} and a {found}"
        )
    if not torch.is_grad_enabled():
        raise TrainingError(f"update '{name}' was yielded inside torch.no_grad(): close it before the yield")
    return name, loss


def check_loss(run: "Run", name: str, loss: Tensor) -> float:
    """Refuse a loss that is not finite, or that no network has made; returns its value."""
    value = float(loss.detach().double())
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss of update '{name}' is {value} at step {run.step}. The weights are those before this update; a "
            "smaller learning rate or smaller initial weights usually help"
        )
    if not loss.requires_grad:
        raise TrainingError(f"the loss of update '{name}' depends on no network: was it detached?")
    return value


def check_graph(run: "Run", name: str, loss: Tensor) -> None:
    """Refuse a loss that was computed with weights that have moved since: its gradients would be those of old weights.

    PyTorch itself does not see it under autocast, where a graph holds copies of weights in bfloat16.
    """
    pending, seen = [loss.grad_fn], {loss.grad_fn}
    while pending:
        node = pending.pop()
        for parent, _ in node.next_functions:
            weights = getattr(parent, "variable", None)
            if weights is not None and node._sequence_nr() < run.moved_at.get(weights, 0):
                raise TrainingError(
                    f"the loss of update '{name}' was computed with a stale graph, from before an update moved "
                    f"{_paths(run, [weights])}: compute anew, after the yield, what depends on it"
                )
            if parent is not None and parent not in seen:
                seen.add(parent)
                pending.append(parent)


def check_reached(run: "Run", name: str, gradients: Sequence[Tensor | None]) -> None:
    """Refuse a loss that does not reach all parameters that its update should move."""
    unreached = [p for p, gradient in zip(run.parameters[name], gradients, strict=True) if gradient is None]
    if unreached:
        raise TrainingError(
            f"update '{name}' should move {', '.join(run.model.moves[name])}, but its loss does not reach "
            f"{_paths(run, unreached)}: was a code detached, or a layer left out?"
        )


def check_weights(run: "Run") -> None:
    """Refuse weights that are not finite: no loss after the last update would tell."""
    broken = [parameter for parameter in run.model.parameters() if not parameter.isfinite().all()]
    if broken:
        raise TrainingError(
            f"{_paths(run, broken[:3])} hold NaN or infinite weights at step {run.step}: a smaller learning rate "
            "usually helps"
        )


def _paths(run: "Run", parameters: Sequence[Tensor]) -> str:
    """The names of parameters."""
    names = {parameter: path for path, parameter in run.model.named_parameters()}
    return ", ".join(names[parameter] for parameter in parameters)


@torch.no_grad()
def check_codes(run: "Run") -> None:
    """Stop a run whose codes have long been almost one point, or far outside of the prior.

    The second is what an adversary with batch-norm cannot see: it judges codes and samples of the prior in minibatches
    of their own, so it takes away what tells them apart, where they lie and how wide they are spread.
    """
    model = run.model
    if run.step % CHECK_CODES_EVERY or run.step <= LOST_STEPS or model.prior is None or not hasattr(model, "encoder"):
        return
    with torch.autocast(run.device.type, torch.bfloat16, enabled=run.bfloat16, cache_enabled=False):
        codes = model.encode(run.sets[0].images[:1000]).float()
    with seeded(0):
        samples = model.prior.sample(1000)
    spread = float(codes.var(0).mean() / samples.var(0).mean())
    size = float((codes.square().mean() / samples.square().mean()).sqrt())
    lost = spread < COLLAPSED or (size > FAR and model.adversaries)
    run.lost_for = run.lost_for + CHECK_CODES_EVERY if lost else 0
    if run.lost_for < LOST_STEPS:
        return
    since = f"for {LOST_STEPS} steps up to step {run.step}"
    if spread < COLLAPSED:
        raise TrainingError(
            f"the codes have collapsed: {since} their variance has been below {COLLAPSED:g} of the prior's (now "
            f"{spread:.2g}). A larger weight of the reconstruction or a slower generator usually helps"
        )
    raise TrainingError(
        f"the codes have run away: {since} they have been more than {FAR:g} times as far out as the prior (now "
        f"{size:.2g} times). An adversary of codes must not have batch-norm; a slower encoder may help, too"
    )
