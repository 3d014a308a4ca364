"""Trained models from the files of their weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aae_lib.experiments.registry import Experiment, build, find
from aae_lib.models import Model
from aae_lib.storage import StorageError, load_weights

PRETRAINED = Path(__file__).parent.parent / "pretrained"


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
    if header.get("experiment") != name:
        raise StorageError(f"{path} holds weights of '{header.get('experiment')}', not of '{name}'")
    return Trained(experiment, model.eval(), header)


def weights_path(experiment: Experiment, folder: Path) -> Path:
    """Where a run in ``folder`` leaves its weights."""
    return folder / f"{experiment.name}.safetensors"
