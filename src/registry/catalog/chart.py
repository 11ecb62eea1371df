"""Bar charts of measurements: what to draw, and how. Values in, text out; nothing is read or written.

>>> chart = Chart(
...     title="Answer speed",
...     unit="tokens/s",
...     better="higher",
...     groups=(Group("", (Bar("small", 80.0), Bar("large", 25.0))),),
... )
>>> print(bars_text(chart, width=44, ascii_only=True), end="")
Answer speed, higher is better
  small  ######################  80 tokens/s
  large  #######                 25 tokens/s
"""

from registry.catalog.bars import Bar, Chart, Group
from registry.catalog.chart_svg import CHART_CSS, bars_svg
from registry.catalog.chart_text import bars_text
from registry.catalog.comparison import charts_of

__all__ = ["CHART_CSS", "Bar", "Chart", "Group", "bars_svg", "bars_text", "charts_of"]
