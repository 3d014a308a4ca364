"""What many runs gave: a row for each, and mean, interval and count for each setting."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from scipy.special import stdtrit

from aae_lib.errors import SettingError, StorageError
from aae_lib.experiments.evidence import measure, read_evidence
from aae_lib.experiments.registry import EXPERIMENTS, find, look_up
from aae_lib.experiments.settings import changes_of, numbers_of, settings_text

if TYPE_CHECKING:
    import pandas
    from pandas.core.groupby import SeriesGroupBy

ABOUT = ("experiment", "settings", "seed", "evaluated_on", "steps", "minutes", "device", "revision")


def collect(folder: str | Path, own: Sequence[str] = ()) -> "pandas.DataFrame":
    """A row for each finished run below ``folder``: what it was, each number that any run has set, and every measure.

    Args:
        own: experiments of your own among them, as :func:`~aae_lib.experiments.find` takes them.

    Raises:
        StorageError: if there are no finished runs.
        UnknownNameError: if a run is of an experiment that is not known.
    """
    import pandas

    rows, changed, known = [], {}, EXPERIMENTS | {each.name: each for each in map(find, own)}
    for path in sorted(Path(folder).rglob("*-seed-*.safetensors.gz")):
        evidence = read_evidence(path)
        header, experiment = evidence.header, look_up(evidence.header["experiment"], known, "experiment")
        changes = changes_of(experiment, header)
        changed |= changes
        about = header | {"settings": settings_text(changes), "minutes": round(header["seconds"] / 60, 2)}
        numbers = numbers_of(experiment, header)
        rows.append(({name: about[name] for name in ABOUT}, numbers, measure(experiment, evidence)))
    if not rows:
        raise StorageError(f"expected finished runs below {folder}, found none: they end in -seed-S.safetensors.gz")
    return pandas.DataFrame([
        about | {name: numbers.get(name) for name in sorted(changed)} | measures for about, numbers, measures in rows
    ])  # fmt: skip


def summarize(runs: "pandas.DataFrame") -> "pandas.DataFrame":
    """Mean, half the 95 % Student interval, and count for each experiment, setting and measure of :func:`collect`."""
    keys = ["experiment", "settings", "evaluated_on", "steps"]
    long = runs.melt(id_vars=keys, value_vars=_measures(runs), var_name="measure").dropna()
    return _mean_and_interval(long.groupby([*keys, "measure"], sort=False)["value"]).reset_index()


def draw_measure(runs: "pandas.DataFrame", measure: str, setting: str) -> Figure:
    """A measure against a setting: a dot for each run of ``collect``, and a line through the means with 95 % intervals.

    Raises:
        SettingError: if no run has that measure or has set that setting.
    """
    settings = [name for name in runs.columns if "." in name]
    if measure not in _measures(runs) or setting not in settings:
        raise SettingError(
            f"no plot of '{measure}' against '{setting}': the measures are {', '.join(_measures(runs))}, and the runs "
            f"differ in {', '.join(settings) or 'no setting'}"
        )
    if runs[setting].dtype.kind not in "biuf":  # several numbers, or a name
        runs = runs.assign(**{setting: runs[setting].map(str)})
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, of_one in runs.groupby("experiment"):
        table, label = _mean_and_interval(of_one.groupby(setting)[measure]), f"{name}, mean and 95 % interval"
        bars = axes.errorbar(table.index, table["mean"], table["interval"], capsize=3, label=label)
        axes.scatter(of_one[setting], of_one[measure], s=12, color=bars.lines[0].get_color(), alpha=0.5)
    axes.set(xlabel=setting, ylabel=measure)
    axes.legend()
    return figure


def _measures(runs: "pandas.DataFrame") -> list[str]:
    return [name for name in runs.columns if name not in ABOUT and "." not in name]  # names of settings have dots


def _mean_and_interval(groups: "SeriesGroupBy") -> "pandas.DataFrame":
    """The mean, the count and half the 95 % Student interval of each group; the interval of one value is NaN."""
    table = groups.agg(["mean", "count"])
    return table.assign(interval=stdtrit(table["count"] - 1, 0.975) * groups.sem())
