"""Results as the page ``docs/flywheel.md`` shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

__all__ = ["put_into", "report"]

_BEGIN, _END = "<!-- benchmarks/flywheel -->", "<!-- end of benchmarks/flywheel -->"
_BAR, _LEVEL = -0.01, 0.05
_LABELS = {"traces": "traces", "naive": "naive recipe", "people": "people's judgments (oracle)"}
_RIVALS = {**_LABELS, "hybrid": "hybrid search without training"}

Found = Mapping[str, Any]


def report(results: Found) -> str:
    """Everything: the set-up, labels, systems, pairs, promises, other domains, bars, seconds."""
    parts = [_setup(results), _labels(results), _systems(results["test"]), _pairs(results["test"])]
    parts += [_promises(results), _others(results), _bars(results), _seconds(results)]
    return "\n\n".join(part for part in parts if part)


def put_into(path: Path, text: str) -> None:
    """Replace what stands between the markers."""
    head, rest = path.read_text("utf-8").split(_BEGIN, 1)
    path.write_text(f"{head}{_BEGIN}\n\n{text}\n\n{_END}{rest.split(_END, 1)[1]}", "utf-8")


def _setup(results: Found) -> str:
    test, plan = results["test"], results["plan"]
    seeds = ", ".join(map(str, results["seeds"]))
    return (
        f"`{results['command']}` on {results['machine']}.\n\n"
        f"{test['collection']}: {test['documents']:,} documents. {results['train_questions']:,} questions "
        f"were asked {plan['asked']} times each (`{plan['traffic']}`: {results['traffic_says']}) in an app "
        f"whose retriever is `{results['app']}`; {test['queries']['all']:,} others are the test. "
        f"Seeds: {seeds}, each a traffic, a build and a training of its own; "
        f"a system's value for a question is the mean over them."
    )


def _labels(results: Found) -> str:
    rows = []
    for labels, says in _LABELS.items():
        some = [turn[f"{labels}/data"] for turn in results["turns"] if f"{labels}/data" in turn]
        if some:
            right = (
                f"{_share(some, kind):.1%} of {mean(one[kind] for one in some):,.0f}"
                for kind in ("positives", "negatives")
            )
            rows.append([says, f"{mean(one['questions'] for one in some):,.0f}", *right])
    return _table(["labels", "train questions", "positives that people agree with", "negatives"], rows)


def _share(some: Sequence[Found], kind: str) -> float:
    return float(sum(one[f"{kind}_right"] for one in some) / max(1, sum(one[kind] for one in some)))


def _systems(test: Found) -> str:
    parts = list(test["queries"])
    rows = []
    for one in test["systems"]:
        gaps = one.get("against_base", {})
        cells = [
            f"{_figure(one['means'][part])}{' ' + _gap(gaps[part]) if part in gaps else ''}" for part in parts
        ]
        seeds = str(one["seeds"] or "")
        rows.append([one["system"], seeds, *cells, _figure(one["recall@10"]), one.get("verdict", "")])
    heads = [f"nDCG@10, {_slice(part)} ({test['queries'][part]})" for part in parts]
    advice = test["recommended"]
    refused = "".join(f" Not {name}: {why}." for name, why in advice["refused"].items())
    return (
        f"{_table(['system', 'seeds', *heads, 'recall@10', 'verdict'], rows)}\n\n"
        f"In brackets the paired difference to the base and its 95 % interval. "
        f"Of what there is without people's judgments, `ragwheel evaluate` recommends **{advice['system']}**."
        f"{refused}"
    )


def _pairs(test: Found) -> str:
    rows = []
    for one in test["pairs"]:
        cells = [f"{_gap(row)}, {_p(row)}" for row in one["parts"].values()]
        rows.append([one["step"], f"{_RIVALS[one['a']]} − {_RIVALS[one['b']]}", *cells])
    heads = [f"nDCG@10, {_slice(part)}" for part in test["queries"]]
    return _table(["step", "labels", *heads], rows) if rows else ""


def _promises(results: Found) -> str:
    """What training expected from the traces alone, beside what people's labels of unasked questions say."""
    rows = []
    measured = {one["system"]: one.get("against_base", {}) for one in results["test"]["systems"]}
    for step in ("adapter", "features"):
        gaps = measured.get(f"{step} of traces", {})
        turns = [turn.get(f"traces/{step}", {}).get("expected_gain") for turn in results["turns"]]
        for part in (one for one in ("seen", "unseen") if one in gaps):
            gains = [turn[part] for turn in turns if turn and turn.get(part)]
            if gains:
                promise = {key: mean(gain[key] for gain in gains) for key in ("mean", "low", "high")}
                rows.append([f"{step} of traces", _slice(part), _gap(promise), _gap(gaps[part])])
    if not rows:
        return ""
    return (
        "What training promised from the traces alone (held-out train questions, means over seeds), and what "
        "people's labels say of the test questions, against the base.\n\n"
        + _table(["system", "questions", "promised", "measured"], rows)
    )


def _others(results: Found) -> str:
    """What training cost on other domains."""
    rows = []
    for other in results["others"]:
        for one in other["systems"]:
            if "against_base" in one and " of " in one["system"]:
                row = one["against_base"]["all"]
                rows.append(
                    [
                        one["system"],
                        other["collection"],
                        _figure(one["means"]["all"]),
                        _gap(row),
                        one["verdict"],
                    ]
                )
    if not rows:
        return ""
    return "Forgetting: the same systems on domains that they were not trained for.\n\n" + _table(
        ["system", "domain", "nDCG@10", "against the base", "verdict"], rows
    )


def _bars(results: Found) -> str:
    test, rows = results["test"], []
    for pair in test["pairs"]:
        if pair["b"] == "people":
            for part in (one for one in pair["parts"] if one != "all"):
                low = pair["parts"][part]["low"]
                what = f"{pair['step']}: no worse than with people's labels, {_slice(part)}"
                rows.append([what, f"lower bound ≥ {_BAR}", f"{low:+.3f}", _word(low >= _BAR)])
        elif pair["b"] == "hybrid":
            row = pair["parts"]["all"]
            what = f"{pair['step']}: better than hybrid search without training"
            rows.append([what, "lower bound > 0", _gap(row), _word(row["low"] > 0)])
        else:
            row = pair["parts"]["all"]
            met = row["mean"] > 0 and row["p"] <= _LEVEL
            got = f"{_gap(row)}, {_p(row)}"
            rows.append([f"{pair['step']}: beats the naive recipe", f"p ≤ {_LEVEL}", got, _word(met)])
    chosen = next(one for one in test["systems"] if one["system"] == test["recommended"]["system"])
    below = [part for part, row in chosen.get("against_base", {}).items() if row["high"] < 0]
    rows.append(
        ["what is recommended lies wholly below the base", "never", str(len(below)), _word(not below)]
    )
    return _table(["bar", "asked", "got", ""], rows)


def _word(met: bool) -> str:
    return "hit" if met else "missed"


def _seconds(results: Found) -> str:
    rows = []
    for name in dict.fromkeys(name for turn in results["turns"] for name in turn):
        some = [turn[name] for turn in results["turns"] if name in turn]
        each_s = [one["training_s"] / one["examples"] for one in some if one.get("examples")]
        extra = f"{6000 * mean(each_s) / 60:.0f} minutes for 6,000 examples at this rate" if each_s else ""
        rows.append([name, f"{mean(one['wall_s'] for one in some):,.0f}", extra])
    rows.append(["evaluate", f"{results['test']['evaluated_s']:,.0f}", "all systems and seeds, vectors kept"])
    return _table(["step", "seconds, mean over seeds", ""], rows)


def _slice(part: str) -> str:
    return {"all": "all", "seen": "relevant document trained on", "unseen": "not trained on"}[part]


def _figure(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"


def _p(row: Found) -> str:
    return "p < .001" if row["p"] < 0.001 else f"p {_figure(row['p'])}"


def _gap(row: Found) -> str:
    return f"({row['mean']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}])"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
