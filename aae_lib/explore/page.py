"""One HTML file that holds the explorer and its models. It opens without a kernel, a server or a network."""

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from aae_lib.data import Images, load_mnist
from aae_lib.experiments import load_trained
from aae_lib.explore.description import describe
from aae_lib.explore.front import FRONT, STYLE, module
from aae_lib.explore.space import Space
from aae_lib.explore.widget import Curve, points_of

GALLERY = ("aae-gaussian", "aae-mixture-labels", "semi-100-augmented", "reduce-2d-100", "cluster-16", "age")


def explore(names: Sequence[str], path: str | Path, images: Images | None = None) -> Path:
    """Write a page of shipped models: of one, of two under one pointer, or of more with a slider; none: the gallery.

    The dots are ``images``, by default MNIST's test images. Errors: :func:`~aae_lib.experiments.load_trained`.
    """
    trained = [load_trained(name) for name in names or GALLERY]
    images = load_mnist().test if images is None else images
    spaces = [(each.experiment.name, each.experiment.title, Space(each.model, images)) for each in trained]
    return write_page(path, spaces, beside=len(names) == 2)


def write_page(
    path: str | Path, spaces: Sequence[tuple[str, str, Space]], *, beside: bool = False, encoders: bool = True,
    curve: Curve | None = None,
) -> Path:  # fmt: skip
    """Write a page of models: each one's name, a line about it, and its space of codes.

    ``beside`` shows the first two under one pointer. Without ``encoders`` the page is half as large. For ``curve`` see
    :class:`~aae_lib.explore.widget.ModelsExplorer`.
    """
    models, contents = [], {}
    for name, about, space in spaces:
        description, blocks = describe(space, name, about, encoders)
        for block in blocks:  # images that several models share lie in the page once
            contents.setdefault(block, f"content-{len(contents)}")
        models.append({"description": description, "contents": [contents[block] for block in blocks]})
    titles, points = [name for name, _, _ in spaces], points_of(curve, len(spaces))
    return _write(path, titles, contents, "explorer = openPage", models, beside, points)


def write_games(path: str | Path, games: Mapping[str, dict[str, Any]]) -> Path:
    """Write a page of recorded games (:func:`~aae_lib.explore.game.record_game`) by their titles."""
    contents = {game["content"]: f"content-{number}" for number, game in enumerate(games.values())}
    played = [game | {"title": title, "content": contents[game["content"]]} for title, game in games.items()]
    return _write(path, games, contents, "game = await openGames", played)


def _write(path: str | Path, titles: Iterable[str], contents: Mapping[bytes, str], function: str, *values: Any) -> Path:
    """A page with blocks of bytes, by their ids, that begins with a call of the front end's function."""
    tag = '<script type="text/plain" id="{}">{}</script>'
    arguments = ['document.getElementById("page")', *(json.dumps(value).replace("</", "<\\/") for value in values)]
    page = Template((FRONT / "page.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(", ".join(titles)),
        style=STYLE,
        contents="\n".join(tag.format(name, base64.b64encode(block).decode()) for block, name in contents.items()),
        module=module(),
        start=f"{function}({', '.join(arguments)})",
    )
    path = Path(path)
    path.write_text(page, encoding="utf-8")
    return path
