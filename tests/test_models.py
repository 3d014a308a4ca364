"""All systems: what each update moves and sees, which labels it reads, and how its networks go through a file."""

import copy
import functools
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from short_runs import run, same, weights
from support import SYSTEMS, labeled_as, sets_of, small, tiny
from torch import Tensor, nn

from aae_lib.data import Images
from aae_lib.errors import AaeError, PriorError, TrainingError
from aae_lib.losses import binary_cross_entropy, half_squared_error, unbounded_squared_error
from aae_lib.models import AdversarialAutoencoder, Model, VariationalAutoencoder
from aae_lib.networks import multilayer_perceptron
from aae_lib.priors import Gaussian, SwissRoll
from aae_lib.seeding import seeded
from aae_lib.storage import load_weights, save_weights
from aae_lib.training import SGD, Adam, Recipe

Sets = tuple[Images, Images]
# The updates of each system whose losses depend on labels.
READ_LABELS = {
    "label-informed": {"discriminator", "generator"},
    "supervised": {"reconstruction"},
    "M2": {"evidence_lower_bound"},
    "M1 + M2": {"second_layer"},
} | {
    name: {"classification"}
    for name in SYSTEMS
    if name.startswith(("semi", "reducing, labels")) or name.endswith("guided") or "classifier" in name
}
WITHOUT_ENCODER = {"GAN", "classifier", "convolutional classifier", "color classifier"}


def losses_of(model: Model, sets: tuple[Images, ...]) -> list[tuple[str, float]]:
    """Of one step in training mode, in which nothing moves."""
    with seeded(1):
        return [(name, loss.item()) for name, loss in model.train().updates(*sets)]


# Codes and images


@pytest.mark.parametrize("name", SYSTEMS)
def test_codes_and_images_have_their_shapes_and_ranges(name: str, sets: Sets) -> None:
    model, images = tiny(name).eval(), sets[1]
    if name in WITHOUT_ENCODER:
        for ask in (lambda: model.encode(images.images), lambda: model.code_of(images)):
            with pytest.raises(NotImplementedError, match=f"{type(model).__name__} has no encoder"):
                ask()
    else:
        codes = model.code_of(images)
        assert codes.dtype == torch.float32 and codes.min() < 0  # there is no ReLU on a code
        assert codes.shape == (200, 2 if name == "autoencoder" else model.prior.dimensions)
        assert model.decode(codes).shape == (200, 784)
    if "classifier" in name:
        with pytest.raises(NotImplementedError, match="Classifier has no decoder"):
            model.decode(torch.rand(3, 10))
    elif model.prior:
        decoded = model.decode(10 * model.prior.sample(50))
        assert decoded.dtype == torch.float32 and 0 <= decoded.min() < decoded.max() <= 1
    if hasattr(model, "classify"):
        logits = model.classify(images.images)
        assert logits.shape == (200, 10) and logits.dtype == torch.float32 and logits.min() < 0


def test_a_label_is_probabilities_and_where_images_have_none_the_style_is_that_of_the_likeliest(sets: Sets) -> None:
    for name, classes in (("semi-supervised", 10), ("clustering", 6), ("M2", 10), ("M1 + M2", 10)):
        label = tiny(name).eval().encode(sets[0].images)[:, :classes]
        torch.testing.assert_close(label.sum(1), torch.ones(300))
        assert label.min() >= 0
    model = tiny("supervised").eval()
    codes = model.code_of(sets[1])
    assert torch.equal(codes[:, :10], torch.eye(10)[sets[1].labels])
    assert torch.equal(codes[:, 10:], model.encode(sets[1].images))


def test_only_stochastic_encoders_draw_anything_in_evaluation(sets: Sets) -> None:
    stochastic = {name for name in SYSTEMS if "posterior" in name or "ariational" in name or "VAE" in name}
    for name in set(SYSTEMS) - WITHOUT_ENCODER:
        model = tiny(name).eval()
        first, second = (model.encode(sets[0].images) for _ in range(2))
        assert torch.equal(first, second) != (name in stochastic | {"M2", "M1 + M2", "ALI"}), name


@pytest.mark.parametrize("name", ["autoencoder", "adversarial", "supervised", "clustering", "variational"])
def test_models_take_another_reconstruction_loss(name: str, sets: Sets) -> None:
    half, entropy = tiny(name), tiny(name)
    entropy.reconstruction_loss = binary_cross_entropy
    assert half.reconstruction_loss is half_squared_error
    assert losses_of(entropy, sets[1:])[0][1] - losses_of(half, sets[1:])[0][1] > 200


@pytest.mark.parametrize("kind", ["autoencoder", "adversarial", "supervised", "semi-supervised", "variational"])
def test_the_output_of_a_decoder_is_that_of_its_loss(kind: str) -> None:
    model, codes = tiny(kind).eval(), torch.randn(5, 2 if kind == "autoencoder" else tiny(kind).prior.dimensions)
    numbers = model.decoder(codes)
    for loss in (half_squared_error, binary_cross_entropy, lambda logits, images: half_squared_error(logits, images)):
        model.reconstruction_loss = loss
        assert torch.equal(model.decode(codes), numbers.sigmoid())
    model.reconstruction_loss = unbounded_squared_error
    assert torch.equal(model.decode(codes), numbers)


def test_tables_are_reconstructed_with_an_unbounded_error(make_recipe) -> None:
    """30 standardized columns of 3 dimensions, of which a sigmoid would lose most."""
    with seeded(0):
        columns = torch.randn(600, 3) @ torch.randn(3, 30)
        table = Images((columns - columns.mean(0)) / columns.std(0), torch.full((600,), -1))
        networks = [multilayer_perceptron(*ends, (64,), None) for ends in ((30, 3), (3, 30), (3, 1))]
        model = AdversarialAutoencoder(Gaussian(3), *networks, unbounded_squared_error)
    run(model, table, make_recipe(model, 400, Adam(0.002)))
    lost = (model.decode(model.encode(table.images)) - table.images).square().mean()
    assert lost < 0.15 and model.decode(model.encode(table.images)).min() < -1


# What an update moves, and where to


def watched(model: Model) -> list[tuple[str, dict[str, dict[str, Tensor]]]]:
    """Let `model` record its networks' weights in a run: before the first update of each step, and after each."""
    record = []
    kind = type(model)

    def look(name: str) -> None:
        record.append((name, {child: weights(network) for child, network in model.named_children()}))

    class Watched(kind):
        @functools.wraps(kind.updates)
        def updates(self, *sets: Images) -> Iterator[tuple[str, Tensor]]:
            look("")
            for name, loss in kind.updates(self, *sets):
                yield name, loss
                look(name)

    model.__class__ = Watched
    return record


@pytest.mark.parametrize(("name", "bfloat16"), [*((name, False) for name in SYSTEMS), ("adversarial", True)])
def test_each_update_moves_its_networks_and_no_other(name: str, bfloat16: bool, sets: Sets, make_recipe) -> None:
    model = tiny(name, **({"generator_updates": 1} if name == "AGE" else {}))
    used, record = sets_of(model, *sets), watched(model)
    run(model, used, make_recipe(model, 1, SGD(0.01)), bfloat16=bfloat16)
    assert [update for update, _ in record] == ["", *model.moves]
    for (_, before), (update, after) in zip(record[:-1], record[1:], strict=True):
        moved = {network for network in before if not same(before[network], after[network])}
        assert moved == set(model.moves[update]), update


@pytest.mark.parametrize("name", {type(tiny(name)): name for name in reversed(SYSTEMS)}.values())  # one of each class
def test_each_update_alone_lowers_its_own_loss(name: str, sets: Sets) -> None:
    """The losses are formulas elsewhere; here each goes down where nothing else moves, on the same images."""
    unlabeled, labeled = (part[:40] for part in sets)
    for update in tiny(name).moves:
        model = tiny(name)
        optimizers = {**dict.fromkeys(model.moves, SGD(0.0)), update: Adam(0.005)}
        recipe = Recipe(optimizers, steps=16, batch_size=40)
        reports = run(model, sets_of(model, unlabeled, labeled), recipe, report_every=8)
        assert reports[-1].losses[update] < reports[0].losses[update], update


@pytest.mark.parametrize("name", [name for name in SYSTEMS if len(type(tiny(name)).moves) > 1])
def test_each_update_sees_what_the_updates_before_it_have_moved(name: str, sets: Sets) -> None:
    """Its loss is the same as if the networks had moved before the step began."""
    late = tiny(name)
    used = sets_of(late, *sets)

    @torch.no_grad()
    def move(model: Model, update: str) -> None:
        for parameter in [p for network in model.moves[update] for p in getattr(model, network).parameters()]:
            parameter.mul_(1.2)

    moved: list[str] = []
    with seeded(1):
        for index, (update, loss) in enumerate(late.train().updates(*used)):
            early = tiny(name)
            for earlier in moved:
                move(early, earlier)
            assert losses_of(early, used)[index] == (update, loss.item())
            if moved:
                assert losses_of(tiny(name), used)[index] != (update, loss.item()) or update == "heads"
            move(late, update)
            moved.append(update)


# Labels


@pytest.mark.parametrize("name", SYSTEMS)
def test_labels_are_read_by_the_updates_that_should_and_of_no_unlabeled_image(name: str, sets: Sets) -> None:
    unlabeled, labeled = (sets[1], sets[1]) if name == "supervised" else sets

    def losses(unlabeled: Images, labeled: Images) -> list[tuple[str, float]]:
        model = tiny(name)
        return losses_of(model, sets_of(model, unlabeled, labeled))

    reference = losses(unlabeled, labeled)
    flipped = losses(*(labeled_as(part, part.labels.flip(0)) for part in (unlabeled, labeled)))
    assert {update for update, loss in reference if (update, loss) not in flipped} == READ_LABELS.get(name, set())
    if name != "supervised":
        for labels in (-1, 7, 1 << 40):
            assert losses(labeled_as(unlabeled, labels), labeled) == reference


@pytest.mark.parametrize("label", [10, -1, -100])
@pytest.mark.parametrize("name", READ_LABELS)
def test_labels_that_there_are_not_are_refused(name: str, label: int, sets: Sets) -> None:
    wrong = labeled_as(sets[1], sets[1].labels.index_fill(0, torch.tensor([3]), label))
    with pytest.raises(AaeError, match=rf"from 0 to 9, .*{label}"):
        list(tiny(name).updates(*sets_of(tiny(name), wrong, wrong)))


# The same as an independent plain loop

RATES = {"reconstruction": SGD(0.002, 0.9), "discriminator": SGD(0.1, 0.1), "generator": SGD(0.1, 0.3)}


@pytest.mark.parametrize("flaw", [None, "stale code", "no generator", "gradients left over", "generator first", "mean"])
def test_the_adversarial_autoencoder_trains_as_a_plain_loop(flaw: str | None, sets: Sets) -> None:
    """And the comparison is sharp enough to see each of the field's defects, put into the plain loop on purpose."""
    model, images = tiny("adversarial"), sets[0]
    encoder, decoder, discriminator = (copy.deepcopy(network) for network in model.children())
    batches: list[Tensor] = []

    class Recorded(AdversarialAutoencoder):
        def updates(self, batch: Images) -> Iterator[tuple[str, Tensor]]:
            batches.append(batch.images.clone())
            yield from super().updates(batch)

    model.__class__ = Recorded
    run(model, images, Recipe(RATES, 20), seed=5)

    reconstruction = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.002, momentum=0.9)
    discrimination = torch.optim.SGD(discriminator.parameters(), lr=0.1, momentum=0.1)
    generation = torch.optim.SGD(encoder.parameters(), lr=0.1, momentum=0.3)
    cross_entropy, ones, zeros = nn.BCEWithLogitsLoss(), torch.ones(100, 1), torch.zeros(100, 1)

    def generate(batch: Tensor) -> None:
        if flaw != "gradients left over":
            generation.zero_grad()
        cross_entropy(discriminator(encoder(batch)), ones).backward()
        generation.step()

    torch.manual_seed(5)
    for batch in batches:
        stale = encoder(batch).detach()
        reconstruction.zero_grad()
        error = 0.5 * ((torch.sigmoid(decoder(encoder(batch))) - batch) ** 2).sum(dim=1).mean()
        (error / (784 if flaw == "mean" else 1)).backward()
        reconstruction.step()
        if flaw == "generator first":
            generate(batch)
        fake = stale if flaw == "stale code" else encoder(batch).detach()
        discrimination.zero_grad()
        (cross_entropy(discriminator(torch.randn(100, 2)), ones) + cross_entropy(discriminator(fake), zeros)).backward()
        discrimination.step()
        if flaw not in ("generator first", "no generator"):
            generate(batch)

    plain = nn.ModuleList([encoder, decoder, discriminator])
    apart = [(ours - theirs).abs().max() for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True)]
    assert max(apart) < 1e-6 if flaw is None else max(apart) > 1e-4


# Files


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_ships_without_adversaries_makes_the_same_codes_and_images(
    name: str, sets: Sets, tmp_path: Path, make_recipe
) -> None:
    trained, whole, shipped = (tiny(name, seed=seed) for seed in range(3))
    used = sets_of(trained, *(part[:100] for part in sets))
    run(trained, used, make_recipe(trained, 2, SGD(0.001)))  # it has batch-norm statistics
    for path, model, left_out in (("whole", whole, ()), ("shipped", shipped, trained.adversaries)):
        save_weights(tmp_path / path, trained, {"experiment": name}, left_out)
        assert load_weights(tmp_path / path, model.eval()) == {"experiment": name}
    for (key, before), after in zip(trained.state_dict().items(), whole.state_dict().values(), strict=True):
        assert before.dtype == after.dtype
        torch.testing.assert_close(
            after, before, rtol=0, atol=0 if before.ndim < 2 else before.abs().max().item() / 200
        )
        assert key.partition(".")[0] in trained.adversaries or torch.equal(after, shipped.state_dict()[key])
    children = [child for child, _ in trained.named_children()]
    assert [child for child, _ in shipped.named_children()] == [c for c in children if c not in trained.adversaries]
    if trained.adversaries:
        with pytest.raises(TrainingError, match=f"no .*{trained.adversaries[0]}.*shipped"):
            run(shipped, used, make_recipe(shipped, 1))
    else:
        run(shipped, used, make_recipe(shipped, 1, SGD(0.001)))


@pytest.mark.parametrize("name", SYSTEMS)
def test_models_are_copied_pickled_and_built_from_json(name: str) -> None:
    model, system = tiny(name), SYSTEMS[name]
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert same(weights(other), weights(model))
        if hasattr(model, "heads"):
            assert other.prior.heads is other.heads.positions
    settings = {**small(system.build), **system.settings}
    with seeded(3):
        one = system.build((1, 28, 28), 10, system.prior, **settings)
    with seeded(3):
        other = system.build((1, 28, 28), 10, system.prior, **json.loads(json.dumps(settings)))
    assert same(weights(one), weights(other)) and str(one) == str(other)


# Priors that cannot serve


def test_priors_without_what_a_model_needs_are_refused() -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(PriorError, match="SwissRoll has no log_prob"):
        VariationalAutoencoder(SwissRoll(), network, network)
    with pytest.raises(PriorError, match="ClassConditionalPrior.*Gaussian"):
        SYSTEMS["label-informed"].build((1, 4, 4), 10, GaussianWithClasses(2))
    for build in ("reducing", "reducing, labels"):
        with pytest.raises(PriorError, match="at least 2 dimensions, found 1"):
            SYSTEMS[build].build((1, 4, 4), 10, Gaussian(1))
    with pytest.raises(PriorError, match="10 fixed heads need 10 dimensions or more, found 9"):
        SYSTEMS["reducing, labels, fixed heads"].build((1, 4, 4), 10, Gaussian(9))
    with pytest.raises(PriorError, match="classes >= 2"):
        SYSTEMS["clustering"].build((1, 4, 4), 10, Gaussian(3), clusters=1)


class GaussianWithClasses(Gaussian):
    """Has a number of classes, but no samples of one."""

    classes = 10
