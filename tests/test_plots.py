"""Displays draw what they say, on given axes or their own."""

from __future__ import annotations

import builtins

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from frames import pandas_frame

from skvae import VAETransformer
from skvae.plots import (
    ComponentDisplay,
    ExplanationDisplay,
    LatentPlaneDisplay,
    PathDisplay,
    TrainingDisplay,
)
from skvae.plots._style import short

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.path import Path

TABLE = pandas_frame(80)[["float64", "object", "int64"]]


@pytest.fixture(scope="module")
def vae():
    return VAETransformer(2, max_iter=3, random_state=0, hidden_layer_sizes=(8,)).fit(TABLE)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_training(vae):
    display = TrainingDisplay.from_estimator(vae)
    line = display.ax_.get_lines()[0]
    np.testing.assert_array_equal(line.get_xdata(), vae.history_["step"])
    np.testing.assert_array_equal(line.get_ydata(), vae.history_["bound"])
    _, ax = plt.subplots()
    assert TrainingDisplay(vae.history_).plot(ax=ax).ax_ is ax


def test_latent_plane_by_groups(vae):
    display = LatentPlaneDisplay.from_estimator(vae, TABLE, color=TABLE["object"])
    assert display.label == "object"
    groups = {text.get_text() for text in display.ax_.get_legend().get_texts()}
    assert groups == set(TABLE["object"])
    assert sum(len(c.get_offsets()) for c in display.ax_.collections) == len(TABLE)


def test_latent_plane_by_number_and_plain(vae):
    colored = LatentPlaneDisplay.from_estimator(vae, TABLE, color=TABLE["float64"])
    assert len(colored.figure_.axes) == 2
    plain = LatentPlaneDisplay.from_estimator(vae, TABLE, components=(1, 0))
    np.testing.assert_array_equal(plain.Z, vae.transform(TABLE)[:, ::-1])
    assert plain.ax_.get_xlabel() == vae.get_feature_names_out()[1]


def test_contours_hold_half_and_nine_tenths_of_the_draws(vae):
    display = LatentPlaneDisplay.from_estimator(vae, TABLE, components=(0, 1), density=True)
    (contours,) = [c for c in display.ax_.collections if hasattr(c, "levels")]
    assert len(contours.levels) == 2
    shares = []
    for path in contours.get_paths():
        inside = np.zeros(len(display.drawn), dtype=int)
        for ring in path.to_polygons():
            inside += Path(ring).contains_points(display.drawn)
        shares.append((inside % 2).mean())
    np.testing.assert_allclose(shares, [0.9, 0.5], atol=0.06)
    plain = LatentPlaneDisplay.from_estimator(vae, TABLE, components=(0, 0), density=True)
    assert plain.drawn is None


def test_many_groups_are_pooled(vae):
    color = pd.Series([f"g{i % 20}" for i in range(len(TABLE))])
    display = LatentPlaneDisplay.from_estimator(vae, TABLE, color=color)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert len(labels) == 10
    assert labels[-1] == "11 others"


def test_ten_groups_have_ten_colors(vae):
    color = pd.Series([f"g{i % 10}" for i in range(len(TABLE))])
    display = LatentPlaneDisplay.from_estimator(vae, TABLE, color=color)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == sorted(set(color))
    drawn = {tuple(c.get_facecolor()[0][:3]) for c in display.ax_.collections}
    assert len(drawn) == 10


def test_a_level_named_as_the_pool_is_a_group_of_its_own(vae):
    names = ["other", "missing", "_hidden", "$x_y$ is no formula", *"abcdefgh"]
    color = pd.Series([names[i % 12] for i in range(len(TABLE))], dtype=object)
    color[60:] = "other"
    color[:5] = None
    display = LatentPlaneDisplay.from_estimator(vae, TABLE, color=color)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert len(labels) == len(set(labels)) or labels.count("missing") == 2
    assert labels.count("other") == 1
    assert "4 others" in labels
    assert len(labels) == 10  # eight groups, the pool, missing cells
    drawn = {tuple(c.get_facecolor()[0][:3]) for c in display.ax_.collections}
    assert len(drawn) == len(labels)
    assert sum(len(c.get_offsets()) for c in display.ax_.collections) == len(TABLE)
    display.figure_.canvas.draw()


def test_the_earlier_unit_is_on_the_x_axis(vae):
    display = LatentPlaneDisplay.from_estimator(vae, TABLE)
    assert display.names == tuple(vae.get_feature_names_out()[:2])


def test_legend_covers_no_points(vae):
    display = LatentPlaneDisplay.from_estimator(vae, TABLE, color=TABLE["object"])
    display.figure_.canvas.draw()
    legend, axes = display.ax_.get_legend().get_window_extent(), display.ax_.get_window_extent()
    assert legend.x0 >= axes.x1
    assert legend.x1 <= display.figure_.bbox.x1


def test_many_rows_are_drawn_as_a_density():
    Z = np.random.default_rng(0).normal(size=(30_000, 2))
    names = ("z0", "z1")
    counts = LatentPlaneDisplay(Z, None, names, None).plot()
    (hexagons,) = counts.ax_.collections
    assert hexagons.get_array().sum() == len(Z)
    means = LatentPlaneDisplay(Z, Z[:, 0], names, "first").plot()
    assert means.figure_.axes[1].get_ylabel() == "mean of first"
    groups = LatentPlaneDisplay(Z, Z[:, 0] > 0, names, None).plot()
    assert sum(len(c.get_offsets()) for c in groups.ax_.collections) == 20_000
    assert groups.ax_.get_title() == "Latent plane, 20,000 of 30,000 rows"


def test_bars_of_a_component_are_labelled_with_what_they_show():
    effects = pd.DataFrame(
        {
            "effect": [-3.4, 0.5, 0.2],
            "unit": ["deviations", "probability", "probability"],
            "low": [0.0, "red", "a"],
            "high": [0.0, "blue", "a"],
        },
        index=["amount " * 9, "color", "same"],
    )
    ax = ComponentDisplay(effects, "unit").plot().ax_
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["amount amount amou…nt amount", "color\nred → blue", "same"]
    assert [text.get_text() for text in ax.texts] == ["−3.40 SD", "+50 %", "+20 %"]


def test_paths_on_given_axes(vae):
    figure, axes = plt.subplots(1, 2)
    display = PathDisplay.from_traversal(vae, TABLE[:2], 1, columns=["float64", "int64"], ax=axes)
    assert list(display.axes_) == list(axes)
    figure, ax = plt.subplots()
    display = PathDisplay.from_interpolation(vae, TABLE[:1], TABLE[1:2], ax=ax)
    assert display.figure_ is figure
    assert not ax.axison
    single = PathDisplay(display.paths, "one", ["a"], ["float64"]).plot(ax=plt.subplots()[1])
    assert len(single.axes_) == 1
    with pytest.raises(ValueError, match="ax has 2 axes, but 3 columns are drawn"):
        PathDisplay.from_traversal(vae, TABLE[:2], 1, ax=axes)
    with pytest.raises(ValueError, match="no place in a grid"):
        display.plot(ax=figure.add_axes((0, 0, 1, 1)))


def test_one_component(vae):
    narrow = VAETransformer(1, max_iter=1, random_state=0).fit(TABLE)
    assert LatentPlaneDisplay.from_estimator(narrow, TABLE).Z.shape == (80, 2)


def test_without_matplotlib(vae, monkeypatch):
    true_import = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(ImportError, match=r"pip install 'skvae\[plot\]'"):
        TrainingDisplay.from_estimator(vae)


def test_paths(vae):
    display = PathDisplay.from_traversal(vae, TABLE[:2], 1, n_steps=5)
    assert display.columns == ["float64", "object", "int64"]
    moved = vae.traverse(TABLE[:2], 1, n_steps=5)
    lines = display.axes_[0].get_lines()
    assert len(lines) == 2
    np.testing.assert_array_equal(lines[1].get_ydata(), moved["float64"][5:])
    levels = [label.get_text() for label in display.axes_[1].get_yticklabels()]
    assert levels == sorted(moved["object"].unique())
    with pytest.raises(ValueError, match=r"columns names \['foo'\]"):
        PathDisplay.from_traversal(vae, TABLE[:2], 1, columns=["foo"])
    line = PathDisplay.from_interpolation(vae, TABLE[:1], TABLE[1:2], columns=["int64"])
    assert line.axes_.size == 1
    expected = vae.interpolate(TABLE[:1], TABLE[1:2], n_steps=20)["int64"]
    np.testing.assert_array_equal(line.axes_[0].get_lines()[0].get_ydata(), expected)


def test_paths_of_arrays_and_polars():
    pl = pytest.importorskip("polars")
    X = np.random.default_rng(0).normal(size=(60, 12))
    vae = VAETransformer(2, max_iter=2, random_state=0, hidden_layer_sizes=(8,)).fit(X)
    assert PathDisplay.from_traversal(vae, X[:9], 0).axes_.size == 9
    frame = pl.DataFrame({"a": np.arange(50.0), "b": list("xy") * 25})
    vae = VAETransformer(1, max_iter=2, random_state=0).fit(frame)
    assert "a" in PathDisplay.from_interpolation(vae, frame[:1], frame[-1:]).columns


def test_numbers_in_labels_have_no_exponent_where_they_are_read():
    assert [short(v) for v in (18034, 18034.5, 9999.4, 0.12345, 2_000_000.0, True, "a")] == [
        "18,034", "18,034", "9999", "0.1235", "2,000,000", "True", "a",
    ]  # fmt: skip


def test_explanation_draws_a_bar_a_column(vae):
    row = TABLE.iloc[:2].copy()
    row.loc[row.index[1], "float64"] = 60.0
    display = ExplanationDisplay.from_estimator(vae, row, row=1)
    bars = display.ax_.patches
    assert len(bars) == TABLE.shape[1]
    widths = [bar.get_width() for bar in bars]
    np.testing.assert_allclose(widths, display.cells["surprise"].astype(float))
    assert widths == sorted(widths, reverse=True)
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert any("float64 = 60" in label and "expected" in label for label in labels)
    _, ax = plt.subplots()
    few = ExplanationDisplay(display.cells, "few", max_columns=2).plot(ax=ax)
    assert few.ax_ is ax
    assert len(ax.patches) == 2
