"""From a finished run to what ships: its evidence, and its weights if a notebook or the explorer needs them."""

from pathlib import Path
from typing import Any

from aae_lib.errors import StorageError
from aae_lib.experiments.evidence import read_evidence
from aae_lib.experiments.experiment import EVIDENCE, PRETRAINED, Experiment, evidence_path, weights_path
from aae_lib.experiments.registry import find
from aae_lib.seeding import check_seed
from aae_lib.storage import read_file, write_file

# Numbers. More codes, a quarter of a megabyte in the file, ship only beside the weights that they can be decoded with.
MANY_CODES = 200_000


def ship(name: str, seed: int, source: str | Path | None = None, weights: bool = False) -> list[Path]:
    """Copy the evidence of a finished run to what ships with the package; returns the files written.

    Args:
        source: the run's folder; default: ``runs/NAME-seed-SEED``.
        weights: ship the weights, too, in the place of those of another seed. Those of the seed that ships are
            replaced in any case.

    Raises:
        StorageError: there is no such run, it is not finished, or it is not the registered one.
    """
    check_seed(seed)
    experiment, folder = find(name), Path(source or Path("runs") / f"{name}-seed-{seed}")
    found = evidence_path(experiment, seed, folder)
    if not found.exists():
        raise StorageError(
            f"there is no finished run in {folder}: train it to the end: python -m aae_lib train {name} --seed {seed}"
        )
    header = read_evidence(found).header
    check_run(experiment, seed, header, found)
    tensors, _ = read_file(found)
    files = {}
    shipped = weights_path(experiment, PRETRAINED)
    if weights or (shipped.exists() and read_file(shipped)[1].get("seed") == seed):
        trained, of_weights = read_file(weights_path(experiment, folder))
        if of_weights != header:
            raise StorageError(f"{weights_path(experiment, folder)} and {found} are of different runs: train again")
        networks = experiment.ships or {name.partition(".")[0] for name in trained}
        files[shipped] = {name: tensor for name, tensor in trained.items() if name.partition(".")[0] in networks}
    elif "codes" in tensors and tensors["codes"].numel() >= MANY_CODES:
        del tensors["codes"]
    files[evidence_path(experiment, seed, EVIDENCE)] = tensors
    for path, content in files.items():
        write_file(path, content, header)
    return list(files)


def check_run(experiment: Experiment, seed: int, header: dict[str, Any], path: Path) -> None:
    """Refuse, by a StorageError, evidence that is not of the finished run of the registered experiment."""
    registered, last = experiment.as_data(), experiment.recipe.steps
    parts = ("recipe", "settings", "prior", "starts")
    differing = [part for part in parts if header.get(part) != registered.get(part)]
    for is_wrong, found, expected in (
        (header["experiment"] != experiment.name, f"of {header['experiment']!r:.80}", f"of {experiment.name!r}"),
        (header["seed"] != seed, f"of seed {header['seed']}", f"of seed {seed}"),
        (differing, f"of a run with another {' and '.join(differing)}", "of the registered one"),
        (header.get("init"), "of a run that started from other weights", "of one that started anew"),
        (header["steps"] != last, f"of {header['steps']:,} steps", f"of a finished run of {last:,}"),
        (header["data_name"] != experiment.data, f"measured on {header['data_name']:.80}", f"on {experiment.data}"),
        (header.get("inverted") or "; here as" in header.get("data", ""), "of changed images", "of those of the set"),
        (header["evaluated_on"] != "test", f"measured on {header['evaluated_on']:.80} images", "on the test images"),
    ):
        if is_wrong:
            raise StorageError(f"{path} is {found}, not {expected}: it does not ship")
