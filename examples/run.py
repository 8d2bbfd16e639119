"""Run examples, and write their pictures to a folder.

python examples/run.py FOLDER quickstart missing_values anomalies
"""

import runpy
import sys
import warnings
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def run(name: str, folder: Path) -> None:
    """Run an example; its pictures are NAME_1.png, NAME_2.png, …"""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
        runpy.run_path(str(Path(__file__).parent / f"{name}.py"), run_name="__main__")
    for i, number in enumerate(plt.get_fignums(), start=1):
        path = folder / f"{name}_{i}.png"
        plt.figure(number).savefig(path, dpi=110)
        print(f"Picture: {path}")
    plt.close("all")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:]:
        print(f"\n{name}\n{'=' * len(name)}")
        run(name, folder)
