"""An explorer: a few labelled controls over one picture. The controls choose the arguments of a plot, nothing more."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from minigemma.errors import MinigemmaError

DPI = 80  # drawn on every move of a slider, so no larger than a screen needs


class Explorer(widgets.VBox):
    """Controls by argument name, and the picture that ``draw(**values)`` returns for them.

    The picture is redrawn when a control changes. An error is shown in its place, in words; an unexpected one is also
    raised, so that tests see it. The first picture is kept as a still image for readers without a kernel.
    """

    def __init__(self, draw: Callable[..., Figure], controls: Mapping[str, widgets.Widget], note: str = ""):
        self.draw, self.controls = draw, dict(controls)
        self.picture = widgets.Image(format="png", layout=widgets.Layout(max_width="100%", object_fit="contain"))
        self.message = widgets.HTML()
        row = widgets.Layout(flex_flow="row wrap", align_items="center")
        self.redraw()
        parts = [widgets.Box(list(self.controls.values()), layout=row), self.message, self.picture]
        super().__init__([widgets.HTML(note), *parts] if note else parts)
        for control in self.controls.values():
            control.observe(self.redraw, "value")

    def values(self) -> dict[str, Any]:
        """What the controls stand at."""
        return {name: control.value for name, control in self.controls.items()}

    def redraw(self, *_: Any) -> None:
        """Draw for the present values; called by every control."""
        try:
            self.picture.value = png(self.draw(**self.values()))
            self.message.value = ""
        except MinigemmaError as error:  # what the reader asked for cannot be: say so where they look
            self.message.value = _alert(str(error))
        except Exception as error:
            self.message.value = _alert(f"{type(error).__name__}: {error}")
            raise

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        still = {"image/png": base64.b64encode(self.picture.value).decode()}
        return {**bundle, **still} if isinstance(bundle, dict) else ({**bundle[0], **still}, *bundle[1:])


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """A Figure as the bytes of a PNG, without pyplot, so that nothing stays open."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _alert(text: str) -> str:
    return f'<div role="alert" style="color:#b00020;padding:4px 0">{html.escape(text)}</div>'


def slider(name: str, low: int, high: int, value: int | None = None, step: int = 1) -> widgets.IntSlider:
    """A whole number between two ends; the picture follows while it is dragged."""
    return widgets.IntSlider(value=low if value is None else value, min=low, max=high, step=step, **_style(name))


def choice(name: str, options: Any, value: Any = None) -> widgets.Dropdown:
    """One of several: a list, or {what is shown: what is meant}."""
    entries = list(options.items()) if isinstance(options, Mapping) else list(options)
    chosen = value if value is not None else (entries[0][1] if isinstance(entries[0], tuple) else entries[0])
    return widgets.Dropdown(options=entries, value=chosen, **_style(name))


def text(name: str, value: str, rows: int = 1) -> widgets.Text | widgets.Textarea:
    """Words the reader types; the picture follows on Enter or when the field is left."""
    kind = widgets.Text if rows == 1 else widgets.Textarea
    options = {} if rows == 1 else {"rows": rows}
    style = _style(name) | {"layout": widgets.Layout(width="95%")}
    return kind(value=value, continuous_update=False, **options, **style)


def toggle(name: str, value: bool = False) -> widgets.Checkbox:
    """Yes or no."""
    return widgets.Checkbox(value=value, description=name, indent=False, layout=widgets.Layout(width="auto"))


def _style(name: str) -> dict[str, Any]:
    return {"description": name, "style": {"description_width": "initial"}}
