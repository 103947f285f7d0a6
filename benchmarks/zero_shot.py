"""Zero-shot figures of BM25, MiniLM and their fusion on the collections that the tests use.

    RAGWHEEL_TEST_DATA=FOLDER python benchmarks/zero_shot.py [--out DIR]

Prints a table with intervals, and says for each figure whether it is within .01 nDCG@10 of what was measured
before ragwheel had an evaluation of its own. That was with exponential gains (2^grade - 1), so the comparison
is, too; the table has trec_eval's linear ones. They differ where grades do: on noveleval.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

import ir_measures

from ragwheel.evaluate import Collection, Run, baselines, evaluate, markdown, read_beir, write_results

BEFORE: Final = {
    "scifact": {"bm25": 0.662, "base": 0.648},
    "noveleval": {"bm25": 0.585, "base": 0.710},
    "mtrag_human_sub": {"bm25": 0.617, "base": 0.706},
}
TOLERANCE: Final = 0.01


def exponential(run: Run, collection: Collection) -> float:
    """Mean nDCG@10 with the gain 2^grade - 1."""
    measure = ir_measures.nDCG(dcg="exp-log2") @ 10
    judged = collection.qrels["evalset"].items()
    qrels = [ir_measures.Qrel(query, one, grade) for query, some in judged for one, grade in some.items()]
    ranked = [
        ir_measures.ScoredDoc(query, one, -place)
        for query, ranking in run.rankings.items()
        for place, one in enumerate(ranking)
    ]
    return float(ir_measures.calc_aggregate([measure], qrels, ranked)[measure])


def main() -> int:
    """Evaluate, print, compare; the exit code says whether all figures were met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="keep figures per query and rankings there")
    parser.add_argument("--only", choices=list(BEFORE), help="one collection")
    options = parser.parse_args()
    root = os.environ.get("RAGWHEEL_TEST_DATA")
    if not root:
        parser.error(
            "RAGWHEEL_TEST_DATA must name the folder that holds scifact/, noveleval/, mtrag_human_sub/"
        )
    met = True
    for name in [options.only] if options.only else BEFORE:
        collection = read_beir(Path(root) / name)
        found = evaluate(collection, baselines("minilm"))
        print(markdown(found), end="\n\n", flush=True)
        for system, before in BEFORE[name].items():
            got = exponential(found.runs[system], collection)
            within = abs(got - before) <= TOLERANCE
            met &= within
            print(
                f"{name} {system}: {got:.3f}, before {before:.3f}, {'met' if within else 'MISSED'}",
                flush=True,
            )
        print(f"{name}: {found.elapsed_s:.0f} s\n", flush=True)
        if options.out is not None:
            write_results(found, collection, options.out / name)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
