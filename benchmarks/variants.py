"""Which latent family is worth its time?

The families on the same tables with the same default budget: the continuous tables of a folder (as
in ``density.py``), split 80/20. Held-out log-density L_K per row, the bound (ELBO), the gap
between the two, the share of active units or, of codes, the share of the codebook in use and its
perplexity as a share of the codes (at the worst position), and the seconds of the fit.

    python benchmarks/variants.py FOLDER [--rows 4000] [--seeds 1] [--jobs 2]
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from tables import continuous_tables, standardized_split

from skvae import ELBO, IWAE, Flow, Quantized, VAETransformer
from skvae.diagnostics import rate_distortion

TEXTBOOK = {"prior": "standard_normal"}
SCORE_FUNCTION = ELBO(gradient="score_function", n_samples=8)
PLAIN = Quantized(temperature=0.0, restart=0.0, start="random")
FAMILIES = {
    "gaussian": {},
    "gaussian, IWAE(8)": {"objective": IWAE(8)},
    "gaussian, score function": {"objective": SCORE_FUNCTION},
    "flow, affine": {"latent": "flow"},
    "flow, spline": {"latent": Flow("spline")},
    "flow, planar": {"latent": Flow("planar")},
    "flow, affine, IWAE(8)": {"latent": "flow", "objective": IWAE(8)},
    "ladder": {"latent": "ladder"},
    "ladder, IWAE(8)": {"latent": "ladder", "objective": IWAE(8)},
    "quantized": {"latent": "quantized"},
    "quantized, score function": {"latent": "quantized", "objective": SCORE_FUNCTION},
    "quantized, 256 codes": {"latent": Quantized(256)},
    "quantized, one position": {"latent": Quantized(256, n_codebooks=1)},
    "quantized, nearest code": {"latent": Quantized(temperature=0.0)},
    "quantized, plain": {"latent": PLAIN},
    "finite scalar": {"latent": "finite_scalar"},
    "finite scalar, score function": {"latent": "finite_scalar", "objective": SCORE_FUNCTION},
    "gaussian, standard normal": TEXTBOOK,
    "flow, affine, standard normal": {"latent": "flow", **TEXTBOOK},
    "ladder, standard normal": {"latent": "ladder", **TEXTBOOK},
}


def measure(X: np.ndarray, rows: int, seed: int, name: str) -> dict[str, float]:
    torch.set_num_threads(1)
    train, test = standardized_split(X, rows, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weak weights
        begin = time.perf_counter()
        vae = VAETransformer(random_state=seed, **FAMILIES[name]).fit(train)
        seconds = time.perf_counter() - begin
        score = vae.score(test)
    elbo = rate_distortion(vae, test)["elbo"].mean()
    found = {"score": score, "elbo": elbo, "gap": score - elbo, "seconds": seconds}
    found["active"] = vae.active_units_.mean()
    if hasattr(vae, "perplexity_"):
        found["active"] = vae.codebook_usage_.min()
        found["perplexity"] = vae.perplexity_.min() / vae.model_.latent.n_codes
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="names of families; the first is compared with")
    options = parser.parse_args()
    tables = continuous_tables(options.folder)
    names = options.only or list(FAMILIES)
    jobs = [(i, s, n) for i in range(len(tables)) for s in range(options.seeds) for n in names]
    found = Parallel(options.jobs, batch_size=1)(
        delayed(measure)(tables[i][1], options.rows, s, n) for i, s, n in jobs
    )
    results = {(i, n): [] for i in range(len(tables)) for n in names}
    for (i, _, n), one in zip(jobs, found, strict=True):
        results[i, n].append(one)

    def mean(i: int, name: str, key: str) -> float:
        return float(np.mean([one.get(key, np.nan) for one in results[i, name]]))

    print("| family | " + " | ".join(table for table, _ in tables) + " |")
    print("|---|" + "---:|" * len(tables))
    for name in names:
        print(f"| {name} | " + " | ".join(f"{mean(i, name, 'score'):.2f}"
                                          for i in range(len(tables))) + " |")  # fmt: skip
    print(f"\n| entries in use / perplexity, at the worst position | tables, of {len(tables)} |")
    print("|---|---|")
    for name in (n for n in names if "perplexity" in results[0, n][0]):
        pairs = [(mean(i, name, "active"), mean(i, name, "perplexity")) for i in range(len(tables))]
        met = sum(usage >= 0.9 and perplexity >= 0.5 for usage, perplexity in pairs)
        each = " ".join(f"{usage:.2f}/{perplexity:.2f}" for usage, perplexity in pairs)
        print(f"| {name} | {met} with ≥ .90 / ≥ .50: {each} |")
    print("\n| family | L_K | difference | above gaussian | ELBO | gap | units or entries in use "
          "| perplexity / codes | seconds |")  # fmt: skip
    print("|---|" + "---:|" * 8)
    for name in names:
        each = {key: np.array([mean(i, name, key) for i in range(len(tables))])
                for key in ("score", "elbo", "gap", "active", "perplexity", "seconds")}  # fmt: skip
        best = np.array([mean(i, names[0], "score") for i in range(len(tables))])
        gap = each["score"] - best
        error = gap.std(ddof=1) / len(gap) ** 0.5
        print(f"| {name} | {each['score'].mean():.2f} | {gap.mean():+.2f} ± {error:.2f} "
              f"| {int((gap > 0).sum())} of {len(gap)} | {each['elbo'].mean():.2f} "
              f"| {each['gap'].mean():.2f} | {each['active'].mean():.2f} "
              f"| {each['perplexity'].mean():.2f} | {each['seconds'].mean():.1f} |")  # fmt: skip


if __name__ == "__main__":
    main()
