"""The command line: ``python -m aae_lib --help``. Every command imports what it needs, so that help answers at once."""

from __future__ import annotations

import json as json_format
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

from aae_lib.apply import encode, sample
from aae_lib.course import course
from aae_lib.errors import (
    AaeError,
    DataError,
    SettingError,
    StorageError,
    TrainingError,
    UnknownNameError,
    check_ending,
    writing,
)
from aae_lib.sweeps import collect, sweep

if TYPE_CHECKING:
    from aae_lib.data import DataSet
    from aae_lib.experiments import Evidence, Experiment, Trained
    from aae_lib.training import Report

app = SubcommandApp()
ROOT = Path(__file__).parent.parent
MIN_COLUMNS = 40  # of a terminal; below six, tyro's help never ends


@app.command
def reproduce(figures: Positional[tuple[str, ...]] = ()) -> None:
    """Draw every figure, or those named, and write the results, from the shipped weights and evidence.

    With all of MNIST at hand they go to figures/ and README; without, they go to reproduced/. Each shipped model is
    measured again on the digits at hand.

    Args:
        figures: names of figures; default: all.
    """
    import matplotlib
    import matplotlib.pyplot as plt

    from aae_lib.data import load_mnist
    from aae_lib.experiments import look_up
    from aae_lib.report.drawing import picture_of
    from aae_lib.report.figures import FIGURES

    matplotlib.use("Agg")  # files, no windows
    started = time.perf_counter()
    chosen = {name: look_up(name, FIGURES, "figure") for name in figures or FIGURES}
    data = load_mnist()
    print(f"data: {data.source}", flush=True)
    is_mnist = data.name == "MNIST"
    folder = _checkout() / ("figures" if is_mnist else "reproduced")
    with writing(folder, "Run it in a folder that can be written to"):
        folder.mkdir(exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # what cannot be written is better found out before the work
        for name, figure in chosen.items():
            drawing, integers = figure.draw()
            picture_of(drawing).save(folder / f"{name}.png", optimize=True)
            plt.close(drawing)
            print(f"{folder.name}/{name}.png   {figure.paper}: {figure.title}")
            for label, value in integers.items():
                print(f"    {label}: {value:,}", flush=True)
        if not figures:
            _measure_shipped(data)
            _write_results(folder, with_readme=is_mnist)
    print(f"{time.perf_counter() - started:.0f} s in all")


def _measure_shipped(data: DataSet) -> None:
    from aae_lib.experiments import EXPERIMENTS, PRETRAINED, examine, load_trained, measure, weights_path

    print(f"\nshipped models on the {len(data.test):,} images at hand:")
    for name, experiment in EXPERIMENTS.items():
        if experiment.data == "MNIST" and weights_path(experiment, PRETRAINED).exists():
            evidence = examine(experiment, load_trained(name).model, data.test, {"data_name": data.name})
            print_metrics(name, measure(experiment, evidence))


def _write_results(folder: Path, with_readme: bool) -> None:
    from aae_lib.report.tables import headlines, write_results

    readme = folder.parent / "README.md"
    write_results(folder, readme if with_readme and readme.exists() else None)
    print(f"\n{headlines()}\n\n{folder.name}/results.json and {folder.name}/results.md hold all results")


@app.command
def experiments() -> None:
    """List all experiments: the paper's value, ours, number of seeds and minutes; or "planned"."""
    stored = ROOT / "figures" / "results.json"
    if stored.exists():
        results = json_format.loads(stored.read_text(encoding="utf-8"))
    else:  # an installed package has its evidence, but no folder of figures
        from aae_lib.report.results import results_as_data

        results = results_as_data()
    rows = [("name", "title", "measure", "paper", "ours", "seeds", "minutes")]
    for name, each in results["experiments"].items():
        metric = next(iter({**each["paper"], **each["ours"]}), None)
        cells = (results["metrics"].get(metric, ""), each["paper"].get(metric, "-"), each["ours"].get(metric, "-"))
        ran = (each["seeds"], each["minutes"]) if each["seeds"] else ("planned", "-")
        rows.append((name, each["title"], *cells, *map(str, ran)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print("\n† recalled, not checked against the paper")


@app.command
def explore(names: Positional[tuple[str, ...]] = (), out: Path = Path("explorer.html"), show: bool = True) -> None:
    """Write the explorer of shipped models as one page that needs no kernel and no network, and open it.

    Args:
        names: one experiment, two to move through side by side, or more with a slider; default: a gallery.
        out: the page.
        show: open it in a browser.
    """
    from aae_lib.explore import explore as write

    check_ending(out, ".html")
    write(names, out)
    _present(out, show)


@app.command
def game(out: Path = Path("game.html"), show: bool = True) -> None:
    """Play adversarial games in a plane, and write them as one page that needs no kernel and no network.

    Args:
        out: the page.
        show: open it in a browser.
    """
    from aae_lib.explore import recorded_games, write_games

    check_ending(out, ".html")
    write_games(out, recorded_games())
    _present(out, show)


def _present(page: Path, show: bool) -> None:
    import webbrowser

    print(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB)")
    if show:
        webbrowser.open(page.absolute().as_uri())


@app.command
def train(
    name: Positional[str],
    seed: int = 0,
    steps: int | None = None,
    device: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    validation: bool = False,
    data: str | None = None,
    size: int | None = None,
    gray: bool = False,
    invert: bool = False,
    init: str | None = None,
    settings: Annotated[tuple[str, ...], arg(name="set")] = (),
) -> None:
    """Train an experiment from scratch and write its weights and evidence.

    Args:
        name: the experiment; `python -m aae_lib experiments` lists them. One of your own: path/to/file.py:NAME.
        seed: of the initial weights, the order of the images and all noise; from 0 to 4293.
        steps: stop after this many minibatches; the schedule stays where it is.
        device: cpu or cuda; default: the GPU if there is one.
        out: folder for state, weights and evidence; default: runs/NAME-seed-SEED, with --data runs/NAME-DATA-seed-SEED.
        resume: continue from the state in that folder.
        validation: hold out the last sixth of the training images and measure on those instead of the test set.
        data: other images: a folder with a subfolder for each class, an .npz file, or a set of torchvision by its name.
        size: resize the images to squares of so many pixels a side.
        gray: make them gray.
        invert: turn dark into light, such as ink on paper.
        init: start from the weights in this file, or from those that ship with an experiment of this name.
        settings: numbers to change, such as model.label_weight=0.2 recipe.batch_size=50; see `sweep`.
    """
    from aae_lib.data import load_images
    from aae_lib.devices import chosen_device
    from aae_lib.experiments import evidence_path, find, measure, read_evidence, train_experiment, weights_path
    from aae_lib.experiments.settings import parse_settings, run_name, with_settings
    from aae_lib.seeding import check_seed
    from aae_lib.training import checks

    changes, *others = parse_settings(settings)
    if others:
        raise SettingError(f"one run takes one value of each setting, found several in {settings}: use `sweep`")
    experiment = with_settings(find(name), changes)
    # What cannot work is better found out before a download than after it.
    chosen_device(device)
    check_seed(seed)
    if steps is not None:
        checks.check_count("steps", steps)
    inputs = _names_of_inputs(None if data == experiment.data else data, init)
    out = out or Path("runs") / run_name(experiment.name, changes, seed, validation, inputs)
    state = _state_in(out, resume)
    images = load_images(experiment.data if data is None else data, size=size, gray=gray or None, invert=invert)
    with writing(out, "Make room, or choose another folder with --out"):
        print(f"{experiment.title} on {images.source}", *filter(None, [experiment.starts]), sep="\n", flush=True)
        options = {"seed": seed, "steps": steps, "device": device, "validation": validation, "init": init}
        _print_reports(train_experiment(experiment, images, out, **options), state)
    evidence = read_evidence(evidence_path(experiment, seed, out))
    print(f"on the {len(evidence.labels):,} held-out images, {'validation' if validation else 'test'}:")
    print_metrics(experiment.name, measure(experiment, evidence))
    print(f"wrote {weights_path(experiment, out)} and {evidence_path(experiment, seed, out)}")


def _state_in(out: Path, resume: bool) -> Path:
    """The checkpoint file in a run's folder: one that is there is to be resumed, or it is an error."""
    state = out / "state.safetensors"
    if os.path.exists(state) and not resume:  # False for what can be no path, too
        raise TrainingError(f"{out} holds an earlier run: continue it with --resume, or choose another --out")
    if resume and not os.path.exists(state):
        print(f"{out} holds no state to continue: starting anew")
    return state


def _names_of_inputs(data: str | None, init: str | None) -> str:
    """What stands for other images, and for weights to start from, in the name of a run's folder."""
    images = data and (Path(data).resolve().stem if os.path.exists(data) else data.replace("/", "-"))
    return "-".join(filter(None, (images, init and f"from-{Path(init).name.removesuffix('.safetensors.gz')}")))


def _print_reports(reports: Iterable[Report], state: Path) -> None:
    """Print each report of a run as it comes; after an interruption, how to go on."""
    from tqdm.auto import tqdm

    try:
        for report in reports:
            numbers = "  ".join(f"{name} {value:.3f}" for name, value in (report.losses | report.measures).items())
            where = f"epoch {report.epoch:5.1f}  step {report.step:6d}  {report.seconds:5.0f} s"
            tqdm.write(f"{where}  {numbers}", sys.stdout)
    except (KeyboardInterrupt, BrokenPipeError):
        saved = "the same command with --resume goes on from the state that it saved last"
        sys.exit(f"\ninterrupted; {saved if state.exists() else 'nothing was saved yet'}")


@app.command
def evaluate(
    name: Positional[str],
    weights: Path | None = None,
    data: str | None = None,
    json: Annotated[bool, arg(help="print one JSON object")] = False,
) -> None:
    """Measure a trained model: on its test set; without MNIST, from the shipped evidence or on the sample digits.

    Args:
        name: the experiment, as for `train`.
        weights: a file that `train` wrote; default: the shipped weights.
        data: as for `train`; default: what the weights were trained on.
    """
    from aae_lib.experiments import find, measure

    experiment = find(name)
    evidence, described, source = _evidence(experiment, weights, data)
    metrics = measure(experiment, evidence)
    if broken := [metric for metric, value in metrics.items() if not math.isfinite(value)]:
        raise StorageError(f"{', '.join(broken)}: expected finite numbers; the weights ({source}) are damaged")
    if json:
        paper = {metric: float(reported) for metric, reported in experiment.paper.items()}
        result = {"experiment": experiment.name, "metrics": metrics, "paper": paper, "data": described}
        print(json_format.dumps(result | {"weights": source}, allow_nan=False))
        return
    print(f"{experiment.title}, weights: {source}\ndata: {described}")
    print_metrics(experiment.name, metrics)


def _evidence(experiment: Experiment, weights: Path | None, data: str | None) -> tuple[Evidence, str, str]:
    """Evidence of trained weights, new or as it ships, and in words: on which images, and of which weights."""
    from aae_lib.experiments import PRETRAINED, examine, load_evidence, load_trained, shipped_seeds, weights_path

    ships = weights_path(experiment, PRETRAINED).exists()
    seeds = shipped_seeds(experiment.name) if weights is None and data in (None, experiment.data) else []
    if ships or not seeds:
        trained = load_trained(experiment, weights)  # what is missing is better found out before a download
        images = _images_of(trained, data)
        if images.name != "MNIST-sample" or not seeds:
            header = {"data_name": images.name}
            evidence = examine(trained.experiment, trained.model, images.test, header, images.train)
            return evidence, images.source, str(weights or "shipped")
    evidence = load_evidence(experiment.name, trained.header["seed"] if ships else seeds[0])
    described = f"the {len(evidence.labels):,} test images of {experiment.data} (from the shipped evidence)"
    return evidence, described, "shipped" if ships else "not shipped, their evidence is"


def _images_of(trained: Trained, data: str | None) -> DataSet:
    """The images of that name, by default those of the training, in the shape that the model takes."""
    from aae_lib.data import load_images

    header = trained.header
    shape = {"size": tuple(header["shape"][1:]), "gray": header["shape"][0] == 1} if header["shape"] else {}
    try:
        images = load_images(data or header["data_name"], **shape, invert=header.get("inverted", False))
    except UnknownNameError as error:
        if data:
            raise
        where = f"{header['data_name']!r:.200}, where there are none now"
        raise UnknownNameError(f"these weights were trained on images from {where}: say with --data where") from error
    names, found = header.get("class_names"), list(images.train.class_names)
    if names and not data and (names, header.get("data_sha256")) != (found, images.sha256):
        raise DataError(
            f"{images.name}: expected the images that these weights were trained on, of {', '.join(names):.200}, found "
            f"others, of {', '.join(found):.200}: say with --data which images to measure on"
        )
    return images


def print_metrics(name: str, metrics: dict[str, float]) -> None:
    print(f"  {name}: " + ", ".join(f"{metric} {value:.4f}" for metric, value in metrics.items()), flush=True)


for command in (encode, sample, sweep, collect, course):
    app.command(command)


@app.command
def ship(
    name: Positional[str],
    seed: int,
    source: Annotated[Path | None, arg(name="from")] = None,
    weights: bool = False,
) -> None:
    """Take a finished run into the package: its evidence, its weights if asked for, the results and README's table.

    Args:
        name: the experiment.
        seed: of the run.
        source: folder of the run; default: runs/NAME-seed-SEED.
        weights: ship the weights of this seed, too.
    """
    from aae_lib.experiments.shipping import ship as take

    folder = _checkout() / "figures"
    with writing(ROOT, "Ship from a checkout that can be written to"):
        for path in take(name, seed, source, weights):
            print(f"wrote {path}", flush=True)
        folder.mkdir(exist_ok=True)
        _write_results(folder, with_readme=True)


@app.command
def baselines(out: Path = Path("runs")) -> None:
    """Make clusters, maps and Parzen windows with other methods, for half an hour; the shipped ones are recorded.

    Args:
        out: folder that receives the two records.
    """
    from aae_lib.report.baselines import record_comparisons, record_likelihoods

    with writing(out, "Make room, or choose another folder with --out"):
        out.mkdir(parents=True, exist_ok=True)
        for record, name in ((record_comparisons, "comparisons"), (record_likelihoods, "likelihoods")):
            path = out / f"{name}.safetensors.gz"
            for line in record(path):
                print(f"  {line}", flush=True)
            print(f"wrote {path}", flush=True)


def _checkout() -> Path:
    """The folder of the repository; for an installed package the current one."""
    return ROOT if (ROOT / "pyproject.toml").exists() else Path()


def main() -> None:
    """Run the command line; expected errors become one line and exit status 1."""
    if sys.stderr is None:  # closed by the caller; progress bars would fail
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    if shutil.get_terminal_size().columns < MIN_COLUMNS:
        os.environ["COLUMNS"] = str(MIN_COLUMNS)
    try:
        app.cli(prog="python -m aae_lib")
    except AaeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
    except BrokenPipeError:  # whoever reads the output has enough of it
        sys.stderr.close()


if __name__ == "__main__":
    main()
