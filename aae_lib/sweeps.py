"""Many runs at once: ``sweep``, and ``collect`` what they gave."""

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from aae_lib.errors import AaeError, check_ending, writing


def sweep(
    names: Positional[tuple[str, ...]],
    seeds: str = "0",
    steps: int | None = None,
    settings: Annotated[tuple[str, ...], arg(name="set")] = (),
    validation: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    out: Path = Path("runs"),
) -> None:
    """Train experiments from many seeds and with many settings, as independent runs side by side.

    Finished runs are skipped and broken ones go on, so the same command continues an interrupted sweep.

    Args:
        names: the experiments; those of your own as path/to/file.py:NAME.
        seeds: such as 0-49 or 0,3,5-7.
        steps: stop each run after this many minibatches; the schedule stays where it is.
        settings: numbers to change, such as model.label_weight=0.1,0.2; several values are several runs. Names begin
            with model. (arguments of the builder), prior., recipe. or starts.
        validation: hold out the last sixth of the training images and measure on those instead of the test set.
        workers: processes on this machine, with one thread each; default: as many as there are cores.
        scheduler: address (tcp://host:port) or scheduler file of a running dask cluster, instead of processes here.
        out: folder that receives a folder for each run.
    """
    from tqdm.auto import tqdm

    from aae_lib.experiments import sweep as engine
    from aae_lib.experiments.settings import parse_settings

    changes = list(parse_settings(settings))
    tasks = engine.plan(names, engine.parse_seeds(seeds), changes, out.absolute(), steps, validation)
    waiting = [task for task in tasks if not engine.is_finished(task)]
    print(f"{len(tasks)} runs, {len(tasks) - len(waiting)} of them finished", flush=True)
    if not waiting:
        return
    failed = 0
    with engine.cluster(scheduler, workers) as client:
        try:
            for task, error in tqdm(engine.sweep(client, waiting), total=len(waiting), unit="run", leave=False):
                failed += bool(error)
                tqdm.write(f"{Path(task.folder).name}: {error or 'done'}", sys.stdout)
        except KeyboardInterrupt:
            sys.exit(f"\ninterrupted; the same command goes on from the checkpoints in {out}")
    if failed:
        raise AaeError(f"{failed} of {len(tasks)} runs did not come to their end; the same command tries them again")


def collect(
    folder: Positional[Path] = Path("runs"),
    own: tuple[str, ...] = (),
    csv: Path | None = None,
    plot: tuple[str, str, Path] | None = None,
) -> None:
    """List all finished runs below a folder, and mean, interval and count of every measure for each setting.

    Args:
        own: experiments of your own among them: path/to/file.py:NAME.
        csv: write a row for each run to this file.
        plot: a measure, a setting and a file: draw the measure against the setting, with all runs and their means.
    """
    from aae_lib.experiments.collect import collect as collected
    from aae_lib.experiments.collect import draw_measure, summarize

    if csv:
        check_ending(csv, ".csv")
    if plot:
        check_ending(plot[2], ".png", ".pdf", ".svg")
    runs = collected(folder, own)
    print(runs.to_string(index=False), summarize(runs).to_string(index=False), sep="\n\n")
    if csv:
        with writing(csv, "Choose another file with --csv"):
            runs.to_csv(csv, index=False)
        print(f"wrote {csv}")
    if plot:
        measure, setting, path = plot
        with writing(path, "Choose another file"):
            draw_measure(runs, measure, setting).savefig(path)
        print(f"wrote {path}")
