"""What many runs give: a row for each, and mean, interval and count for each setting."""

from pathlib import Path
from typing import TYPE_CHECKING

from aae_lib.errors import StorageError
from aae_lib.experiments.evidence import measure, read_evidence
from aae_lib.experiments.registry import find
from aae_lib.experiments.settings import changes_of, settings_text

if TYPE_CHECKING:
    import pandas

ABOUT = ("experiment", "settings", "seed", "evaluated_on", "steps", "minutes", "device", "revision")


def collect(folder: str | Path) -> "pandas.DataFrame":
    """A row for each finished run below ``folder``: what it was, then every measure.

    Raises:
        StorageError: if there are no finished runs.
    """
    import pandas

    rows = []
    for path in sorted(Path(folder).rglob("*-seed-*.safetensors.gz")):
        evidence = read_evidence(path)
        header = evidence.header
        experiment = find(header["experiment"])
        about = {
            "experiment": experiment.name,
            "settings": settings_text(changes_of(experiment, header)),
            "minutes": round(header["seconds"] / 60, 2),
            **{name: header[name] for name in ("seed", "evaluated_on", "steps", "device", "revision")},
        }
        rows.append({name: about[name] for name in ABOUT} | measure(experiment, evidence))
    if not rows:
        raise StorageError(f"expected finished runs below {folder}, found none: they end in -seed-S.safetensors.gz")
    return pandas.DataFrame(rows)


def summarize(runs: "pandas.DataFrame") -> "pandas.DataFrame":
    """Mean, half the 95 % Student interval, and count of each measure, for each experiment and setting.

    Args:
        runs: as :func:`collect` returns them.

    Returns:
        A row for each (experiment, settings, evaluated_on, steps, measure).
    """
    import pandas
    from scipy.stats import t as student

    keys = ["experiment", "settings", "evaluated_on", "steps"]
    measures = [name for name in runs.columns if name not in ABOUT]
    long = runs.melt(id_vars=keys, value_vars=measures, var_name="measure").dropna()
    table = long.groupby([*keys, "measure"], sort=False)["value"].agg(["mean", "std", "count"]).reset_index()
    interval = student.ppf(0.975, table["count"] - 1) * table["std"] / table["count"] ** 0.5
    return pandas.DataFrame(table.drop(columns="std").assign(interval=interval))
