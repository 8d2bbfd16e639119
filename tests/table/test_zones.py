"""Naive times for a column in a time zone are local times; one rule for scores and conditions."""

import datetime
import zoneinfo

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skvae import VAETransformer

QUICK = {"max_iter": 3, "hidden_layer_sizes": (8,), "random_state": 0}
ZONE = "America/New_York"


def local_times(n=200):
    hours = np.random.default_rng(0).integers(0, 24 * 300, n)
    return pd.Series(pd.Timestamp("2021-01-05", tz=ZONE) + pd.to_timedelta(hours, unit="h"))


def containers(times):
    """The times with and without their zone, in every container that has zones."""
    x = np.arange(len(times), dtype=float)
    naive = times.dt.tz_localize(None)
    yield "pandas", pd.DataFrame({"t": times, "x": x}), pd.DataFrame({"t": naive, "x": x})
    frames = [pl.DataFrame({"t": pl.from_pandas(t), "x": x}) for t in (times, naive)]
    yield "polars", *frames
    yield "arrow", *[frame.to_arrow() for frame in frames]
    objects = [[t.to_pydatetime() for t in part] for part in (times, naive)]
    yield "objects", *[pd.DataFrame({"t": pd.Series(o, dtype=object), "x": x}) for o in objects]


@pytest.mark.parametrize("name", ["pandas", "polars", "arrow", "objects"])
def test_naive_times_are_local_times(name):
    tables = {key: (zoned, naive) for key, zoned, naive in containers(local_times())}
    zoned, naive = tables[name]
    vae = VAETransformer(1, **QUICK).fit(zoned)
    unique = ~local_times().dt.tz_localize(None).duplicated(keep=False).to_numpy()
    difference = np.abs(vae.score_samples(zoned) - vae.score_samples(naive))[unique]
    assert difference.max() == 0
    np.testing.assert_array_equal(vae.transform(zoned)[unique], vae.transform(naive)[unique])


def test_naive_conditions_are_local_times():
    table = pd.DataFrame({"t": local_times(), "x": np.arange(200.0)})
    vae = VAETransformer(1, **QUICK).fit(table)
    asked = datetime.datetime(2021, 7, 4, 12)
    drawn = vae.sample(2, given={"t": asked}, random_state=0)["t"]
    assert (drawn.dt.tz_localize(None) == asked).all()
    in_zone = asked.replace(tzinfo=zoneinfo.ZoneInfo(ZONE))
    assert (vae.sample(2, given={"t": in_zone}, random_state=0)["t"] == in_zone).all()


def test_times_that_the_clock_skips_or_repeats():
    table = pd.DataFrame({"t": local_times(), "x": np.arange(200.0)})
    vae = VAETransformer(1, **QUICK).fit(table)
    strange = pd.DataFrame(
        {"t": pd.to_datetime(["2021-03-14 02:30", "2021-11-07 01:30"]), "x": 1.0}
    )
    utc = ["2021-03-14 07:00", "2021-11-07 05:30"]  # the next that exists; the first of both
    expected = pd.DataFrame({"t": pd.to_datetime(utc).tz_localize("UTC"), "x": 1.0})
    np.testing.assert_array_equal(vae.score_samples(strange), vae.score_samples(expected))


def test_times_in_a_zone_for_a_naive_column_are_refused():
    table = pd.DataFrame({"t": local_times().dt.tz_localize(None), "x": np.arange(200.0)})
    vae = VAETransformer(1, **QUICK).fit(table)
    with pytest.raises(TypeError, match="'t' was fitted with times without a zone"):
        vae.score_samples(table.assign(t=local_times()))
