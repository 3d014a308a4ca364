"""One HTML file that holds the explorer and its models. It opens without a kernel, a server or a network."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from aae_lib.data import Images, draw_icons, load_mnist
from aae_lib.errors import writing
from aae_lib.experiments import load_trained
from aae_lib.explore.description import Curve, describe, describe_curve
from aae_lib.explore.front import FRONT, MODULE, STYLE
from aae_lib.explore.space import Space

GALLERY = ("aae-gaussian", "aae-mixture-labels", "semi-100-augmented", "reduce-2d-100", "cluster-16-augmented", "age")


def explore(names: Sequence[str], path: str | Path, images: Images | None = None) -> Path:
    """Write a page of shipped models: of one, of two under one pointer, or of more with a slider; none: the gallery.

    The dots are ``images``, by default MNIST's test images, or icons for a model of color. Errors:
    :func:`~aae_lib.experiments.load_trained`; a StorageError if the page cannot be written.
    """
    models, dots = [], cache(_dots)  # each set is loaded once
    for trained in map(load_trained, names or GALLERY):
        shown = dots(trained.header["shape"][0]) if images is None else images
        models.append((trained.experiment.name, trained.experiment.title, Space(trained.model, shown)))
    return write_page(path, models)


def _dots(channels: int) -> Images:
    return load_mnist().test if channels == 1 else draw_icons(300).without_labels()


def write_page(path: str | Path, models: Sequence[tuple[str, str, Space]], curve: Curve | None = None) -> Path:
    """Write a page of models: each one's name, a line about it, and its space of codes.

    For ``curve`` see :class:`~aae_lib.explore.widget.ModelsExplorer`.
    """
    entries = []
    for name, about, space in models:
        description, blocks = describe(space, name, about)
        entries.append((name, {"description": description}, blocks))
    return _write(path, "explorer = openPage", entries, describe_curve(curve, len(models)))


def write_games(path: str | Path, games: Mapping[str, tuple[dict[str, Any], bytes]]) -> Path:
    """Write a page of recorded games (:meth:`~aae_lib.explore.game.GameExplorer.record`) by their titles."""
    entries = [(title, played | {"title": title}, [content]) for title, (played, content) in games.items()]
    return _write(path, "game = await openGames", entries)


def _write(
    path: str | Path, function: str, entries: Sequence[tuple[str, dict[str, Any], list[bytes]]], *more: Any
) -> Path:
    """A page that begins with a call of the front end's function; blocks that are equal lie in it once."""
    ids: dict[bytes, str] = {}
    values = [
        entry | {"contents": [ids.setdefault(block, f"content-{len(ids)}") for block in blocks]}
        for _, entry, blocks in entries
    ]
    tag = '<script type="text/plain" id="{}">{}</script>'
    page = Template((FRONT / "page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(", ".join(title for title, _, _ in entries)),
        style=STYLE,
        contents="\n".join(tag.format(name, base64.b64encode(block).decode()) for block, name in ids.items()),
        module=MODULE,
        start=f'{function}(document.getElementById("page"), ...{json.dumps([values, *more])})'.replace("</", "<\\/"),
    )
    with writing(Path(path), "Choose another file"):
        Path(path).write_text(page, encoding="utf-8")
    return Path(path)
