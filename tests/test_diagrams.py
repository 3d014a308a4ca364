"""Diagrams of the systems: all can be read, and they say which updates train what."""

import base64
import io

import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from aae_lib.errors import UnknownNameError
from aae_lib.report.diagrams import DIAGRAMS, diagram, draw_diagram


@pytest.mark.parametrize("name", DIAGRAMS)
def test_a_diagram_can_be_read_and_its_texts_lie_apart(name):
    figure = draw_diagram(name)
    figure.canvas.draw()
    places = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts if text.get_text()}
    texts = list(places)
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in places.values())
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in places.values())
    for number, text in enumerate(texts):
        assert not [other for other in texts[:number] if places[other].padded(-0.5).overlaps(places[text])], text
    assert figure.get_figwidth() <= 8.5, "wider than a notebook's page"


@pytest.mark.parametrize("name", DIAGRAMS)
def test_every_network_that_is_drawn_is_trained_and_every_one_that_is_trained_is_drawn(name):
    shown = DIAGRAMS[name]
    drawn = {box.network for box in shown.boxes.values() if box.network}
    assert drawn == {network for moved in shown.model.moves.values() for network in moved}


def test_a_notebook_stores_a_small_picture_with_an_alternative_text():
    data, metadata = DisplayFormatter().format(diagram("aae"))
    content = data["image/png"]
    picture = Image.open(io.BytesIO(base64.b64decode(content) if isinstance(content, str) else content))
    assert picture.width // 2 == metadata["image/png"]["width"] and len(content) < 60_000
    assert "discriminator" in metadata["image/png"]["alt"]
    with pytest.raises(UnknownNameError, match="supervised"):
        diagram("nothing")
