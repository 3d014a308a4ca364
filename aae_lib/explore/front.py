"""The front end, one ES module and one style sheet, and what every widget of it does."""

import base64
import io
import json
import re
from abc import abstractmethod
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from PIL import Image

from aae_lib.report.drawing import PALETTE

FRONT = Path(__file__).parent / "front"
FILES = (  # in the order in which they need each other
    "network", "latent", "paths", "digit", "dom", "layers", "plane", "panel", "controls", "pad", "strip", "curve",
    "view", "explorer", "map", "arena", "game", "page", "widget",
)  # fmt: skip
DENSITY = 2  # pixels of a still picture for each of the page's, so that screens of high resolution show sharp edges
STYLE = (FRONT / "style.css").read_text(encoding="utf-8")


@cache
def module() -> str:
    """All files as one module without imports. Its default export is what anywidget looks for."""
    parts = [f"const COLORS = {json.dumps(PALETTE)};"]
    for name in FILES:
        source = (FRONT / f"{name}.js").read_text(encoding="utf-8")
        source = re.sub(r"^import \{[^}]*\} from \"[^\"]*\";\n", "", source, flags=re.MULTILINE)
        parts.append(re.sub(r"^export (?=async |function|class|const)", "", source, flags=re.MULTILINE))
    return "\n".join([*parts, "export default widget;"])


class FrontEnd(anywidget.AnyWidget):
    """A widget that sends its arrays when it is asked for them, so that a notebook stores a still picture alone."""

    _esm = module()
    _css = STYLE
    kind = traitlets.Unicode().tag(sync=True)

    def __init__(self, **chosen: Any) -> None:
        super().__init__(**chosen)
        self.on_msg(self._reply)

    @abstractmethod
    def answer(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """What the front end gets for a message: JSON, and blocks of bytes."""

    @abstractmethod
    def picture(self) -> Image.Image:
        """What is seen now, without controls, as one still picture."""

    def _reply(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        try:
            answer, blocks = self.answer(message)
        except Exception as error:
            self.send({"error": str(error), "number": message["number"]})
            raise
        self.send(answer | {"number": message["number"]}, blocks)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live widget, and a still picture for viewers that have no kernel."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        picture, content = self.picture(), io.BytesIO()
        picture.quantize(256, Image.Quantize.FASTOCTREE).save(content, "png", optimize=True)
        data["image/png"] = base64.b64encode(content.getvalue()).decode()
        size = {"width": picture.width // DENSITY, "height": picture.height // DENSITY}
        return data, (metadata or {}) | {"image/png": size}
