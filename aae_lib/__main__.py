"""The command line: ``python -m aae_lib --help``."""

import dataclasses
import json as json_format
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors import SafetensorError
from tqdm.auto import tqdm
from tyro.conf import Positional, arg
from tyro.constructors import PrimitiveConstructorSpec
from tyro.extras import SubcommandApp

from aae_lib.data import DataError, Digits, load_images, load_mnist
from aae_lib.experiments import (
    EXPERIMENTS,
    PRETRAINED,
    UnknownNameError,
    by_paper,
    check_request,
    evidence_path,
    examine,
    examined_topic,
    find,
    load_evidence,
    load_trained,
    measure,
    origin,
    read_evidence,
    seed_folder,
    train_seeds,
    weights_path,
)
from aae_lib.priors import PriorError
from aae_lib.storage import StorageError
from aae_lib.training import UPDATES_PER_EPOCH, TrainingError, chosen_device, multiplies_bfloat16

app = SubcommandApp()
Seeds = Annotated[
    tuple[int, ...],
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT[,INT...]",
        instance_from_str=lambda texts: tuple(int(seed) for seed in texts[0].split(",")),
        is_instance=lambda seeds: isinstance(seeds, tuple),
        str_from_instance=lambda seeds: [",".join(map(str, seeds))],
    ),
]
ROOT = Path(__file__).parent.parent


@app.command
def reproduce(figures: Positional[tuple[str, ...]] = ()) -> None:
    """Draw every figure, or those named, and write the results table, from the shipped weights and evidence.

    With all of MNIST at hand they go to figures/, and each shipped model is run on the test set again; without, they
    go to reproduced/, and each model is run on the digits that there are.

    Args:
        figures: names of figures; default: all.
    """
    import matplotlib  # it costs a second that other commands need not pay
    import matplotlib.pyplot as plt

    from aae_lib.drawing import save_picture
    from aae_lib.figures import FIGURES, find_figure
    from aae_lib.results import all_results, table

    matplotlib.use("Agg")  # files, no windows
    started = time.perf_counter()
    chosen = {name: find_figure(name) for name in figures or FIGURES}
    digits = load_mnist()
    print(f"data: {digits.source}")
    folder = (ROOT if (ROOT / "pyproject.toml").exists() else Path()) / ("figures" if digits.is_full else "reproduced")
    folder.mkdir(exist_ok=True)

    for name, figure in tqdm(chosen.items(), desc="figures", leave=False):
        drawing, integers = figure.draw()
        save_picture(drawing, folder / f"{name}.png")
        plt.close(drawing)
        tqdm.write(f"{folder.name}/{name}.png   {figure.paper}: {figure.title}", sys.stdout)
        for label, value in integers.items():
            tqdm.write(f"    {label}: {value:,}", sys.stdout)
    if figures:
        return

    print(f"\nshipped models on the {len(digits.test):,} {'test' if digits.is_full else 'sample'} digits at hand:")
    for name in EXPERIMENTS:
        if find(name).data == "MNIST" and weights_path(find(name), PRETRAINED).exists():
            evidence = examine(load_trained(name).model, digits.test, {}, topic=examined_topic(find(name), digits))
            _print_metrics(name, measure(find(name), evidence))

    as_json = [dataclasses.asdict(row) for row in all_results()]
    (folder / "results.json").write_text(json_format.dumps(as_json, indent=1) + "\n", encoding="utf-8")
    results = table()
    (folder / "results.md").write_text(results + "\n", encoding="utf-8")
    print(f"\n{results}\n\n{folder.name}/results.json and {folder.name}/results.md hold these results; "
          f"{time.perf_counter() - started:.0f} s in all")


@app.command
def experiments() -> None:
    """List all experiments: the paper's figure and value, ours, seeds, minutes."""
    from aae_lib.results import all_results, table

    all_results()
    print(table())


@app.command
def train(
    name: Positional[str],
    seed: Seeds = (0,),
    steps: int | None = None,
    device: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    validation: bool = False,
    data: str | None = None,
    paper: bool = False,
) -> None:
    """Train an experiment from scratch and write its weights and evidence.

    Args:
        name: the experiment; `python -m aae_lib experiments` lists them.
        seed: of the initial weights, the data order and all noise; from 0 to 4293. Several, such as --seed 0,1,2, train
            side by side as one stacked model: meant for a GPU; on a CPU they take as long as one after the other.
        steps: stop after this many minibatches; the schedule stays where it is.
        device: cpu or cuda; default: the GPU if there is one.
        out: folder for state, weights and evidence; default: runs/NAME-seed-SEED, with --data runs/NAME-DATA-seed-SEED,
            with --paper runs/NAME-paper-seed-SEED. Of several seeds each has a folder in it for weights and evidence.
        resume: continue from the state in that folder.
        validation: hold the last sixth of the training images out and measure on those instead of the test set.
        data: another set of images in ten classes, by its name in torchvision.datasets, such as FashionMNIST; default:
            the experiment's own, which is MNIST for all but those that name another.
        paper: by the paper's own recipe, where it is known and ours is shorter: a day or two on a CPU.
    """
    experiment = by_paper(find(name)) if paper else find(name)
    # What cannot work is better found out before a download than after it.
    chosen_device(device)
    check_request(seed, steps)
    data = data or experiment.data
    run = (name if data == experiment.data else f"{name}-{data}") + "-paper" * paper
    out = out or Path("runs") / f"{run}-seed-{'-'.join(map(str, seed))}{'-validation' if validation else ''}"
    state = out / "state.safetensors"
    if state.exists() and not resume:
        raise TrainingError(f"{out} holds an earlier run: continue it with --resume, or choose another --out")
    if resume and not state.exists():
        print(f"{out} holds no state to continue: starting anew")
    out.mkdir(parents=True, exist_ok=True)
    digits = load_images(data, shape=experiment.shape)
    held_out = digits.train.hold_out()[1] if validation else digits.test
    trained_on = len(digits.train) - validation * len(held_out)
    epoch = UPDATES_PER_EPOCH if data == "MNIST" else trained_on / 100  # MNIST's, also on the sample of it
    print(f"{experiment.title} on {digits.source}", flush=True)
    try:
        for reports in train_seeds(
            experiment, digits, out, seeds=seed, steps=steps, device=device, validation=validation
        ):
            for each, report in zip(seed, reports, strict=True):
                numbers = "  ".join(f"{name} {value:.3f}" for name, value in (report.losses | report.measures).items())
                epochs, whose = report.clock / epoch, f"seed {each}  " if len(seed) > 1 else ""
                tqdm.write(
                    f"{whose}epoch {epochs:5.1f}  step {report.step:6d}  {report.seconds:5.0f} s  {numbers}", sys.stdout
                )
    except (KeyboardInterrupt, BrokenPipeError):
        saved = "the same command with --resume goes on from the state that it saved last"
        sys.exit(f"\ninterrupted; {saved if state.exists() else 'nothing was saved yet'}")
    held_out_images = f"{len(held_out):,} held-out {'digits' if data == 'MNIST' else 'images'}"
    print(f"on the {held_out_images}, {'validation' if validation else 'test'}:")
    for each in seed:
        folder = seed_folder(out, seed, each)
        evidence = read_evidence(evidence_path(experiment, each, folder), held_out.labels)
        _print_metrics(name, measure(experiment, evidence))
        print(f"wrote {weights_path(experiment, folder)} and {evidence_path(experiment, each, folder)}")


@app.command
def evaluate(
    name: Positional[str],
    weights: Path | None = None,
    data: str | None = None,
    json: Annotated[bool, arg(help="print one JSON object")] = False,
) -> None:
    """Measure a trained model: on its test set; without MNIST, from the shipped evidence or on the sample digits.

    Args:
        name: the experiment.
        weights: a file that `train` wrote; default: the shipped weights (seed 0).
        data: as for `train`; default: what the weights were trained on.
    """
    experiment = find(name)
    # Of MNIST there is evidence, but not of all experiments do weights ship, too.
    ships = weights_path(experiment, PRETRAINED).exists()
    has_evidence = weights is None and data in (None, "MNIST") and experiment.data == "MNIST"
    if has_evidence and not ships:
        digits = None
    else:
        trained = load_trained(name, weights)  # missing ones are better found out before a download than after it
        data = data or trained.header.get("data_name", experiment.data)
        digits = load_images(data, shape=experiment.shape)
    if digits is not None and (digits.is_full or not has_evidence):
        topic = examined_topic(experiment, digits)
        evidence = examine(trained.model, digits.test, trained.header, training=digits.train, topic=topic)
        metrics = measure(experiment, evidence)
        described, source = digits.source, str(weights or "shipped")
    else:
        metrics = measure(experiment, load_evidence(name))
        described = "MNIST's 10,000 test digits (from the shipped evidence)"
        source = "shipped" if ships else "not shipped, their evidence is"
    if json:
        paper = {metric: float(reported) for metric, reported in experiment.paper.items()}
        result = {
            "experiment": name, "metrics": metrics, "paper": paper, "data": described, "weights": source
        }  # fmt: skip
        print(json_format.dumps(result))
        return
    print(f"{experiment.title}, weights: {source}\ndata: {described}")
    _print_metrics(name, metrics)


@app.command
def compare(out: Path = Path("runs/comparisons.safetensors")) -> None:
    """Make clusters and maps of the digits with other methods, for some minutes; what ships of them is recorded so.

    Args:
        out: the file to write.
    """
    from aae_lib.comparisons import Comparison, save_record
    from aae_lib.comparisons import compare as run

    def show(comparison: Comparison, digits: Digits) -> None:
        _print_metrics(f"{comparison.name} ({comparison.seconds:.0f} s)", comparison.measure(digits.test.labels))

    _record(run, show, save_record, out)


@app.command
def likelihoods(out: Path = Path("runs/likelihoods.safetensors")) -> None:
    """Measure Parzen windows of up to a million samples, for some minutes; what ships of them is recorded so.

    Args:
        out: the file to write.
    """
    from aae_lib.likelihoods import Likelihood, estimate, save_record

    def show(window: Likelihood, _: Digits) -> None:
        print(f"  {window.name}, {window.samples:,} samples, bandwidth {window.bandwidth:.3f}: "
              f"{window.log_likelihood:.1f} ± {window.standard_error:.1f} nats", flush=True)

    _record(estimate, show, save_record, out)


@app.command
def benchmark() -> None:
    """Time training steps against a plain float32 loop and against this machine's matrix products."""
    from aae_lib.benchmark import benchmark as run

    precision = "bfloat16" if multiplies_bfloat16(torch.device("cpu")) else "float32"
    print(f"{torch.get_num_threads()} threads, {precision}, batches of 100; about a minute")
    for timing in run():
        print(
            f"{timing.name:>16}: {timing.milliseconds:6.1f} ms a step; plain float32 loop "
            f"{timing.plain_milliseconds:6.1f} ms ({timing.times_faster:.1f} times as long); "
            f"{timing.gigaflops:.1f} GFLOP at {100 * timing.share_of_matrix_rate:.0f} % of the machine's "
            f"{timing.matrix_rate:.0f} GFLOP/s in products of these shapes"
        )


def _record(
    make: Callable[[Digits], Iterable[Any]],
    show: Callable[[Any, Digits], None],
    save: Callable[[Path, list[Any], dict[str, Any]], None],
    out: Path,
) -> None:
    """Make all entries of a record of the digits at hand, show each as it comes, and write them with their origin."""
    if out.is_dir():
        raise StorageError(f"{out} is a folder: name a file in it")
    out.parent.mkdir(parents=True, exist_ok=True)  # if it cannot be made, that is better found out now than at the end
    made_by = origin()  # the code that measures, whatever happens to the checkout meanwhile
    digits, entries = load_mnist(), []
    print(f"data: {digits.source}")
    for entry in make(digits):
        entries.append(entry)
        show(entry, digits)
    save(out, entries, {"data": digits.source, "data_sha256": digits.sha256, **made_by})
    print(f"wrote {out}")


def _print_metrics(name: str, metrics: dict[str, float]) -> None:
    print(f"  {name}: " + ", ".join(f"{metric} {value:.4f}" for metric, value in metrics.items()))


def main() -> None:
    """Run the command line; expected errors become one line and exit status 1."""
    try:
        app.cli(prog="python -m aae_lib")
    except (DataError, StorageError, TrainingError, PriorError, UnknownNameError) as error:
        sys.exit(f"error: {error.args[0]}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
    except BrokenPipeError:  # whoever reads the output has enough of it
        sys.stderr.close()
    except (OSError, SafetensorError) as error:  # of writing; what cannot be read is a StorageError
        sys.exit(f"error: {error}. Make room, or choose a folder (--out) that can be written to")


if __name__ == "__main__":
    main()
