"""Numbers of a registered experiment changed by name, typed and checked: ``model.label_weight=0.2``.

Four things can be set: ``model.KEY``, an argument of the experiment's builder; ``prior.KEY``, an argument of its
prior; ``recipe.PATH``, a number anywhere in its recipe, such as ``recipe.optimizers.generator.learning_rate``; and
``starts.KEY`` of an experiment that starts several times.
"""

import ast
import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aae_lib.errors import SettingError
from aae_lib.experiments.experiment import Experiment
from aae_lib.priors import Prior
from aae_lib.training import Recipe

Value = bool | int | float | str | tuple | None


def with_settings(experiment: Experiment, changes: Mapping[str, Value]) -> Experiment:
    """The experiment with some of its numbers changed; ``changes``: values by name, ``{"model.label_weight": 0.2}``.

    Raises:
        SettingError: if the experiment has no number of that name, or the value has not its type.
        PriorError, TrainingError: if the prior, the recipe or the starts cannot have that value.
    """
    model, recipe, prior = dict(experiment.settings), experiment.recipe.to_data(), experiment.prior
    starts = experiment.starts
    for name, value in changes.items():
        part, _, path = name.partition(".")
        if part == "model":
            model[path] = _checked(name, _defaults(experiment) | model, path, value)
        elif part == "prior" and prior is not None:
            arguments = _arguments(prior)
            prior = type(prior)(**arguments | {path: _checked(name, arguments, path, value)})
        elif part == "starts" and starts is not None:
            starts = replace(starts, **{path: _checked(name, vars(starts), path, value)})
        elif part == "recipe":
            *parents, key = path.split(".")
            place = recipe
            for parent in parents:
                found = place.get(parent)
                place = found if isinstance(found, dict) else {}
            numbers = {key: old for key, old in place.items() if key != "kind" and not isinstance(old, dict)}
            place[key] = _checked(name, numbers, key, value)
        else:
            parts = "model., prior. or recipe." if starts is None else "model., prior., recipe. or starts."
            raise SettingError(f"'{name}' is no setting of '{experiment.name}': begin with {parts}")
    return replace(experiment, settings=model, recipe=Recipe.from_data(recipe), prior=prior, starts=starts)


def parse_settings(texts: Sequence[str]) -> Iterator[dict[str, Value]]:
    """All combinations of the values in texts such as ``"model.label_weight=0.1,0.2"``, one dictionary each.

    Commas inside brackets belong to a value: ``"model.hidden=(400,400),(1000,1000)"`` has two.

    Raises:
        SettingError: if a text is not of the form NAME=VALUE[,VALUE...], or a name comes twice.
    """
    choices: dict[str, list[Value]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not (name and equals and values):
            raise SettingError(f"expected NAME=VALUE[,VALUE...], such as model.label_weight=0.1,0.2; found '{text}'")
        if name in choices:
            raise SettingError(f"'{name}' is set twice: give all of its values at once, with commas between them")
        try:
            choices[name] = ast.literal_eval(f"[{values}]")
        except (ValueError, SyntaxError):  # words
            choices[name] = values.split(",")
    for values in itertools.product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def settings_text(changes: Mapping[str, Value]) -> str:
    """The changes as a part of a folder's name: ``model.label_weight=0.2``; nothing for none."""
    return "-".join(f"{name}={str(value).replace(' ', '')}" for name, value in sorted(changes.items()))


def run_name(name: str, changes: Mapping[str, Value], seed: int, validation: bool = False, data: str = "") -> str:
    """The name of the folder of a run of the experiment ``name``; ``data``: other images than its own."""
    return "-".join(filter(None, (name, data, settings_text(changes), f"seed-{seed}", "validation" * validation)))


def numbers_of(experiment: Experiment, data: Mapping[str, Any]) -> dict[str, Any]:
    """All that can be set of a run and its images, by name, as an experiment's ``as_data`` or a run's header has it."""
    model = _defaults(experiment) | data["settings"]
    others = {part: data.get(part) or {} for part in ("prior", "starts", "init")}
    images = {"name": data.get("data_name", experiment.data), "inverted": data.get("inverted", False)}
    return _flat({"model": model, "recipe": data["recipe"], "data": images, **others})


def changes_of(experiment: Experiment, header: Mapping[str, Any]) -> dict[str, Any]:
    """What a run, by its header, had set otherwise than the registered experiment."""
    registered = numbers_of(experiment, experiment.as_data())
    return {name: value for name, value in numbers_of(experiment, header).items() if value != registered.get(name)}


def _flat(data: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with paths for names."""
    flat = {}
    for name, value in data.items():
        plain = tuple(value) if isinstance(value, list) else value
        flat |= _flat(value, f"{path}{name}.") if isinstance(value, dict) else {f"{path}{name}": plain}
    return flat


def _defaults(experiment: Experiment) -> dict[str, Any]:
    """The keyword arguments of the experiment's builder with their default values."""
    parameters = inspect.signature(experiment.build).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def _arguments(prior: Prior) -> dict[str, Any]:
    """What a prior was made with; nothing of one that does not keep all of it under the names of its arguments."""
    names, kept = inspect.signature(type(prior)).parameters, vars(prior)
    return {name: kept[name] for name in names} if names.keys() <= kept.keys() else {}


def _checked(name: str, present: Mapping[str, Any], key: str, value: Value) -> Value:
    """The value in the type of the one that it replaces."""
    if key not in present:
        known = ", ".join(sorted(present)) or "nothing of that kind"
        raise SettingError(f"there is no '{name}' to set; here are: {known}")
    old = present[key]
    if isinstance(old, float) and type(value) is int:
        return float(value)
    if isinstance(old, tuple | list) and type(value) in (int, float, tuple):
        return type(old)(value if isinstance(value, tuple) else [value])
    if old is not None and value is not None and type(value) is not type(old):
        kinds = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
        wanted, found = (kinds.get(type(each), "several numbers") for each in (old, value))
        raise SettingError(f"'{name}' is {old!r}, {wanted}; {value!r} is {found}")
    return value
