from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from parslflow.report import page
from parslflow.report.comparison import HEADER
from parslflow.rundir import RunDir

SVG = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><text>train × 48</text></svg>'
SUMMARY = {
    "experiment": "demo",
    "run": "/runs/demo-1",
    "outcome": "EKE-ResNet-0 has test loss 0.5 <&, which is good enough.",
    "iterations": [
        {
            "iteration": 0,
            "samples_seen": 9000,
            "samples_kept": 1234,
            "batch": "batch-0.h5",
            "losses": {
                "EKE-ResNet": {"train": 0.25, "validation": 0.375, "test": 0.5},
                "EKE-Bottleneck": {"train": 0.125, "validation": None, "test": 0.75},
            },
            "baselines": {"linear": {"train": 0.5, "validation": 0.5, "test": 0.25}},
            "diverged": {"EKE-Other": 'lower "rate" <&'},
        }
    ],
    "chosen": "EKE-ResNet-0",
    "threshold": 0.6,
    "controls": [
        {
            "network": "EKE-ResNet",
            "rows": "random",
            "seeds": 1,
            "validation": 0.5,
            "validation_spread": 0.125,
            "test": 0.75,
            "test_spread": None,
        }
    ],
    "zonal": [
        {
            "case": case,
            "windows": 3,
            "days": 90,
            "rms": rms,
            "window_rms": 5.0,
            "window_rms_lowest": 4.0,
            "window_rms_highest": 6.0,
            "log_rms": rms,
            "mean": 20.0,
            "greatest": 60.0,
            "greatest_y": 790e3,
        }
        for case, rms in {"high": None, "low_meke": 2.0, "low_network": 3.0}.items()
    ],
    "stage_seconds": {},
    "total_seconds": 83.2,
}

ZONAL = {
    "Phillips-High": ["-", "5.00 (4.00 to 6.00)", "-", "20.00", "60.00", "790 km"],
    "Phillips-Low-MEKE": ["2.00", "5.00 (4.00 to 6.00)", "2.000", "20.00", "60.00", "790 km"],
    "Phillips-Low-ML-EKE": ["3.00", "5.00 (4.00 to 6.00)", "3.000", "20.00", "60.00", "790 km"],
}


def parsed(run: RunDir) -> ElementTree.Element:
    """The page, which is well-formed, and whose pictures are there."""
    path = page.write(run)
    assert path == run.report / "index.html"
    root = ElementTree.parse(path).getroot()  # noqa: S314 - our own
    for image in root.iter("img"):
        assert (run.report / image.attrib["src"]).is_file()
        assert image.attrib["alt"]
    return root


def test_the_page_shows_all_that_the_report_has(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "demo-1")
    run.report.mkdir(parents=True)
    (run.report / "summary.json").write_text(json.dumps(SUMMARY))
    (run.report / "lineage.svg").write_text(SVG, encoding="utf-8")
    for name in ("vorticity", "losses"):
        (run.report / f"{name}.png").write_bytes(b"")
    root = parsed(run)
    text = " ".join(" ".join(root.itertext()).split())
    assert "EKE-ResNet-0 has test loss 0.5 <&, which is good enough." in text
    assert "1 min 23 s" in text
    rows = [[cell.text for cell in row] for row in root.iter("tr")]
    assert rows[1:] == [
        ["0", "EKE-ResNet", "1,234", "0.250", "0.375", "0.500"],
        ["0", "EKE-Bottleneck", "1,234", "0.125", "-", "0.750"],
        ["0", "EKE-Other", "1,234", "diverged"],
        # Never deployed, so never marked, however small its loss.
        ["0", "linear", "1,234", "0.500", "0.500", "0.250"],
        ["network", "rows", "seeds", "validation", "test"],
        ["EKE-ResNet", "random", "1", "0.500 ± 0.125", "0.750 ± -"],
        list(HEADER),
        *([name, "3", "90", *cells] for name, cells in ZONAL.items()),
    ]
    assert [row.get("title") for row in root.iter("tr") if row.get("title")] == ['lower "rate" <&']
    assert "Phillips-Low-MEKE is closer to Phillips-High than Phillips-Low-ML-EKE" in text
    assert [row.get("class") for row in root.iter("tr")] == [None, "enough", *[None] * 9]
    assert [image.attrib["src"] for image in root.iter("img")] == ["vorticity.png", "losses.png"]
    (graph,) = root.iter("{http://www.w3.org/2000/svg}svg")
    assert "train × 48" in "".join(graph.itertext())


def test_the_page_of_a_run_that_goes_on_says_so(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    text = "".join(parsed(run).itertext())
    assert "The run has not ended." in text
    assert "no lineage" in text
