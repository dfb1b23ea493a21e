"""The report as one page: what the run came to, its figures, and where its model came from."""

from __future__ import annotations

import math
from pathlib import Path

from jinja2 import Environment
from jinja2 import StrictUndefined
from markupsafe import Markup

from parslflow.report.comparison import ADJUSTMENT_DAYS
from parslflow.report.comparison import HEADER
from parslflow.report.comparison import WINDOW_DAYS
from parslflow.report.comparison import verdict
from parslflow.report.summary import Summary
from parslflow.report.summary import duration
from parslflow.report.summary import from_json
from parslflow.report.summary import mean_and_spread
from parslflow.report.tables import NONE
from parslflow.rundir import RunDir
from parslflow.rundir import atomic_path

_FIGURES = {
    "vorticity": "Relative vorticity",
    "zonal_mean_eke": "Zonal mean eddy kinetic energy",
    "losses": "Losses by epoch",
}
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{{ name }}</title>
<style>
body { font: 15px/1.5 sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: 0.2em 0.8em; border-bottom: 1px solid #ddd; text-align: right; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
img, .graph svg { max-width: 100%; height: auto; }
.enough { font-weight: bold; }
</style>
</head>
<body>
<h1>{{ name }}</h1>
{% if summary %}
<p>{{ summary.outcome }} The whole run took {{ duration(summary.total_seconds) }}.</p>
<h2>Training</h2>
<table>
<thead><tr><th>iteration</th><th>network</th><th>new samples</th><th>train</th>
<th>validation</th><th>test</th></tr></thead>
<tbody>
{% for row in summary.iterations %}
{% for network, losses in row.losses.items() %}
<tr{% if losses.test <= summary.threshold %} class="enough"{% endif %}><td>{{ row.iteration }}</td>
<td>{{ network }}</td><td>{{ "{:,}".format(row.samples_kept) if row.batch else none_ }}</td>
<td>{{ loss(losses.train) }}</td><td>{{ loss(losses.validation) }}</td>
<td>{{ loss(losses.test) }}</td></tr>
{% endfor %}
{% for network, reason in row.diverged.items() %}
<tr title="{{ reason }}"><td>{{ row.iteration }}</td>
<td>{{ network }}</td><td>{{ "{:,}".format(row.samples_kept) if row.batch else none_ }}</td>
<td colspan="3">diverged</td></tr>
{% endfor %}
{% for name, losses in row.baselines.items() %}
<tr><td>{{ row.iteration }}</td><td>{{ name }}</td>
<td>{{ "{:,}".format(row.samples_kept) if row.batch else none_ }}</td>
<td>{{ loss(losses.train) }}</td><td>{{ loss(losses.validation) }}</td>
<td>{{ loss(losses.test) }}</td></tr>
{% endfor %}
{% endfor %}
</tbody>
</table>
{% for row in summary.iterations %}
{% for problem in row.problems %}
<p>{{ problem }}</p>
{% endfor %}
{% endfor %}
<p>Loss on the withheld data that is good enough: {{ loss(summary.threshold) }} (bold).</p>
{% if summary.controls %}
<h2>New and random rows</h2>
<p>Each network trained again from its first weights, on the base data with the new samples or with
as many random rows of the same days: mean ± standard deviation of the loss over the seeds.</p>
<table>
<thead><tr><th>network</th><th>rows</th><th>seeds</th><th>validation</th><th>test</th></tr></thead>
<tbody>
{% for row in summary.controls %}
<tr><td>{{ row.network }}</td><td>{{ row.rows }}</td><td>{{ row.seeds }}</td>
<td>{{ spread(row.validation, row.validation_spread) }}</td>
<td>{{ spread(row.test, row.test_spread) }}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% if summary.zonal %}
<h2>Zonal mean eddy kinetic energy</h2>
<p>{{ verdict(summary.zonal) }}</p>
<table>
<thead><tr>{% for cell in header %}<th>{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in summary.zonal %}
<tr>{% for cell in row.cells() %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
<p>In m³/s². RMS: root mean square over y of the difference from Phillips-High, without the rows
next to the walls that the networks learned nothing of; of the mean of all days, and of each window
of {{ window_days }} days: its mean and its range. High's own windows are held against the mean of
the others, which is what chance alone gives. Of a Low that ran for more than
{{ 3 * adjustment_days }} days the first {{ adjustment_days }} are left out. ln RMS: the same of
ln(1 + EKE). Network on High: what the deployed network answers to the fields of Phillips-High
themselves, so its own error without the coarse flow's.</p>
{% endif %}
{% else %}
<p>The run has not ended.</p>
{% endif %}
{% for file, title in figures %}
<h2>{{ title }}</h2>
<p><img src="{{ file }}" alt="{{ title }}"/></p>
{% endfor %}
{% if graph %}
<h2>Where the deployed model came from</h2>
<div class="graph">
{{ graph }}
</div>
<p><a href="lineage.svg">The graph alone</a></p>
{% else %}
<p>No model was deployed, so there is no lineage to show.</p>
{% endif %}
</body>
</html>
"""


def write(run: RunDir) -> Path:
    """Write ``report/index.html`` of what the report's folder holds, and return its path.

    The page is well-formed XML too. The graph is in it, the figures are beside it.
    """
    summary: Summary | None = None
    if (run.report / "summary.json").is_file():
        summary = from_json((run.report / "summary.json").read_text(encoding="utf-8"))
    figures = [
        (f"{name}.png", title)
        for name, title in _FIGURES.items()
        if (run.report / f"{name}.png").is_file()
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    text = environment.from_string(_PAGE).render(
        name=run.root.name,
        summary=summary,
        figures=figures,
        graph=_graph(run.report / "lineage.svg"),
        duration=duration,
        loss=_loss,
        spread=mean_and_spread,
        verdict=verdict,
        header=HEADER,
        window_days=WINDOW_DAYS,
        adjustment_days=ADJUSTMENT_DAYS,
        none_=NONE,
    )
    path = run.report / "index.html"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _graph(path: Path) -> Markup | None:
    """A drawing as a part of a page, without its XML declaration; None if there is none."""
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    return Markup(text[text.index("<svg") :])  # noqa: S704 - graphviz escaped what is ours in it


def _loss(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else NONE
