"""What ships, and what training runs leave: trained models and their evidence, from files."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from aae_lib.errors import StorageError
from aae_lib.experiments.evidence import Evidence, read_evidence
from aae_lib.experiments.experiment import EVIDENCE, PRETRAINED, Experiment, check_header, evidence_path, weights_path
from aae_lib.experiments.registry import find
from aae_lib.models import Model
from aae_lib.storage import load_weights, read_file


@dataclass(frozen=True)
class Trained:
    """A trained model."""

    experiment: Experiment  # with the settings that the model was trained with
    model: Model  # in evaluation mode, on the CPU
    header: dict[str, Any]  # of the file of its weights: recipe, seed, data, wall time, history


def load_trained(what: str | Path | Experiment, path: str | Path | None = None) -> Trained:
    """A trained model from the file of its weights.

    Args:
        what: an experiment or its name: its shipped weights are loaded, or those at ``path``. Or the path alone, of
            weights of a registered experiment.

    Raises:
        StorageError: there are no such weights, or they are of another experiment.
        UnknownNameError: there is no such experiment.
    """
    if path is None and (isinstance(what, Path) or str(what).endswith((".safetensors", ".safetensors.gz"))):
        what, path = None, what
    experiment = find(what) if isinstance(what, str) else what
    path = Path(path or weights_path(experiment, PRETRAINED))
    if path.parent == PRETRAINED and not path.exists():
        raise StorageError(
            f"no weights of {experiment.name!r} are shipped; train them: python -m aae_lib train {experiment.name}"
        )
    _, header = read_file(path)
    check_header(header, path)
    experiment = experiment or find(header["experiment"])
    if header["experiment"] != experiment.name:
        raise StorageError(f"{path} holds weights of {header['experiment']!r:.80}, not of {experiment.name!r}")
    try:
        experiment = _as_trained(experiment, header)
        size = 0, tuple(header["shape"]), header["classes"]
        with torch.device("meta"):  # a damaged header may ask for more memory than there is
            model = experiment.model(*size)
            networks = {name for name, _ in model.named_children()}
            may_lack = networks - set(experiment.ships or networks)
            load_weights(path, model, may_lack)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{path} has settings that {experiment.name!r} has not: {str(error):.200}") from error
    model = experiment.model(*size)
    load_weights(path, model, may_lack)
    return Trained(experiment, model.eval(), header)


def load_evidence(name: str, seed: int = 0) -> Evidence:
    """The shipped evidence of one seed of an experiment; raises a StorageError if there is none."""
    return read_evidence(evidence_path(find(name), seed, EVIDENCE))


def shipped_seeds(name: str) -> list[int]:
    """The seeds of an experiment that ship evidence; none of one that is only planned, or your own."""
    prefix, suffix = f"{name}-seed-", ".safetensors.gz"
    texts = [path.name.removeprefix(prefix).removesuffix(suffix) for path in EVIDENCE.glob(f"{prefix}*{suffix}")]
    return sorted(map(int, texts))


def _as_trained(experiment: Experiment, header: dict[str, Any]) -> Experiment:
    """The experiment with the settings, and the numbers of the prior, that a header says it was trained with."""
    prior = copy.copy(experiment.prior)
    ours, theirs = experiment.as_data()["prior"] or {}, header.get("prior") or {}
    if theirs.keys() != ours.keys() or theirs.get("kind") != ours.get("kind"):
        raise ValueError(f"the prior {theirs}")
    for name, value in theirs.items():
        if value != ours[name]:
            if isinstance(value, str):  # of a tensor or a prior, of which a header has no more than a text
                raise ValueError(f"the prior's {name}, {value}")
            setattr(prior, name, value)
    return replace(experiment, settings=header["settings"], prior=prior)
