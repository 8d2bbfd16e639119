"""What an installed wheel must do, without the tests and their packages: python tests/smoke.py."""

import pathlib
import tempfile

import numpy as np
import pandas as pd

import skvae


def main() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=200), "level": rng.choice(["a", "b"], 200)})
    X["y"] = X["x"] + 0.1 * rng.normal(size=200)
    X.loc[::10, "y"] = np.nan

    vae = skvae.VAETransformer(2, max_iter=5, random_state=0).fit(X)
    assert vae.transform(X).shape == (200, 2)
    assert not vae.impute(X).isna().any(axis=None)
    assert len(vae.sample(10, random_state=0)) == 10
    assert np.isfinite(skvae.VAEOutlierDetector(1, max_iter=5).fit(X).score_samples(X)).all()
    path = pathlib.Path(tempfile.mkdtemp()) / "model.skvae"
    vae.save(path)
    assert (skvae.load(path).score_samples(X) == vae.score_samples(X)).all()
    assert (pathlib.Path(skvae.__file__).parent / "py.typed").exists()
    print(f"skvae {skvae.__version__} from {pathlib.Path(skvae.__file__).parent} works")


if __name__ == "__main__":
    main()
