"""Mutation scores of the critical packages: ``python -m tools.mutants [PACKAGE ...]``, or ``make mutants``.

Mutants are drawn by their hash, so that a change elsewhere in a file leaves the draw as it is, plus every
one of ``by_hand.toml``. A mutant that was noticed is not run again while its function is the same; survivors
are. ``scores.json`` holds the score of each package and a digest of its code: without arguments, packages
whose code differs from that digest are run. A score below the recorded one fails; a better one is recorded.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tools.mutants import runner
from tools.mutants.operators import Mutant, mutants_of
from tools.mutants.runner import KILLED, ROOT, SURVIVED, UNREACHED

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
SCORES = HERE / "scores.json"
CACHE = ROOT / ".mutants"


@dataclass(frozen=True)
class Package:
    """Some modules whose tests are judged together."""

    name: str
    sources: list[Path]
    tests: list[str]

    def digest(self) -> str:
        """Return a hash of the code."""
        text = b"".join((ROOT / path).read_bytes() for path in self.sources)
        return hashlib.sha256(text).hexdigest()[:16]


def packages() -> dict[str, Package]:
    """Read ``packages.toml``: which modules and which tests belong together."""
    table = tomllib.loads((HERE / "packages.toml").read_text(encoding="utf-8"))
    return {
        name: Package(
            name,
            sorted(
                path.relative_to(ROOT)
                for pattern in entry["modules"]
                for path in (ROOT / "src/ragwheel").glob(pattern)
            ),
            entry["tests"],
        )
        for name, entry in table.items()
    }


def by_hand(package: Package) -> list[Mutant]:
    """Return the mutants of ``by_hand.toml`` that are in a package; says which of them are out of date."""
    listed = tomllib.loads((HERE / "by_hand.toml").read_text(encoding="utf-8"))["mutant"]
    found = []
    for entry in listed:
        path = Path("src/ragwheel") / entry["path"]
        if path not in package.sources:
            continue
        source = (ROOT / path).read_text(encoding="utf-8")
        if source.count(entry["old"]) != 1:
            print(
                f"out of date: {entry['path']}: {entry['old']!r} is there {source.count(entry['old'])} times"
            )
            continue
        start = source.index(entry["old"])
        line = source.count("\n", 0, start) + 1
        offset = len(source[:start].encode())
        function = f"by hand: {entry['rule']}"
        end = offset + len(entry["old"].encode())
        last = line + entry["old"].count("\n")
        found.append(Mutant(path, function, line, last, offset, end, entry["old"], entry["new"]))
    return found


def equivalent() -> dict[tuple[str, str, str], str]:
    """Return the mutants that change nothing anybody can see, with the reasons."""
    listed = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8")).get("mutant", [])
    return {(e["path"], e["original"], e["replacement"]): e["reason"] for e in listed}


def drawn(package: Package, size: int) -> list[Mutant]:
    """Draw mutants of a package by their hashes; those shown to be equivalent are left out."""
    same = equivalent()
    everything = []
    for path in package.sources:
        everything += mutants_of(path, (ROOT / path).read_text(encoding="utf-8"))
    different = [
        m for m in everything
        if (m.path.relative_to("src/ragwheel").as_posix(), m.original, m.replacement) not in same
    ]  # fmt: skip
    return sorted(different, key=lambda mutant: mutant.key)[:size]


def function_digests(sources: list[Path]) -> dict[Path, dict[str, str]]:
    """Return a hash of each function's text, by file and qualified name."""
    digests: dict[Path, dict[str, str]] = {}
    for path in sources:
        names: dict[str, str] = {}

        def visit(node: ast.AST, prefix: str, names: dict[str, str] = names) -> None:
            for child in ast.iter_child_nodes(node):
                inside = prefix
                if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                    inside = f"{prefix}.{child.name}" if prefix else child.name
                    names[inside] = hashlib.sha256(ast.dump(child).encode()).hexdigest()[:16]
                visit(child, inside)

        visit(ast.parse((ROOT / path).read_text(encoding="utf-8")), "")
        digests[path] = names
    return digests


class Results:
    """Outcomes so far, kept between runs: what was noticed stays so while its function is the same."""

    def __init__(self, package: Package) -> None:
        self.path = CACHE / f"{package.name}.jsonl"
        self.digests = function_digests(package.sources)
        self.outcomes: dict[str, tuple[str, str]] = {}
        self.load()

    def load(self) -> None:
        """Read the file; the last line about a mutant counts."""
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                mark, outcome, detail = json.loads(line)
                self.outcomes[mark] = (outcome, detail)

    def _mark(self, mutant: Mutant) -> str:
        return f"{mutant.key}/{self.digests[mutant.path].get(mutant.function, '')}"

    def outcome(self, mutant: Mutant) -> str | None:
        """Return what became of a mutant; None: it was not run."""
        outcome = self.outcomes.get(self._mark(mutant))
        return None if outcome is None else outcome[0]

    def keep(self, mutant: Mutant, outcome: str, detail: str) -> None:
        """Append an outcome to the file; several processes may do so at once."""
        CACHE.mkdir(exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([self._mark(mutant), outcome, detail]) + "\n")


def reach_for(package: Package, copy: Path, scratch: Path, *, again: bool) -> runner.Reach:
    """Return which tests reach which lines, from an earlier run while neither code nor tests have changed."""
    text = package.digest() + "".join(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in package.tests
        for path in sorted((ROOT / folder).rglob("*.py") if (ROOT / folder).is_dir() else [ROOT / folder])
    )
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    kept = CACHE / f"{package.name}-reach.json"
    if kept.exists() and not again:
        saved = json.loads(kept.read_text(encoding="utf-8"))
        if saved["digest"] == digest:
            lines = {file: {int(n): names for n, names in of.items()} for file, of in saved["lines"].items()}
            return runner.Reach(saved["seconds"], lines)
    print(f"{package.name}: which tests run which lines ({' '.join(package.tests)})", flush=True)
    reach = runner.reach_of(package.tests, package.sources, copy, scratch)
    CACHE.mkdir(exist_ok=True)
    kept.write_text(
        json.dumps({"digest": digest, "seconds": reach.seconds, "lines": reach.lines}), encoding="utf-8"
    )
    return reach


def run(package: Package, mutants: list[Mutant], options: argparse.Namespace) -> Results:
    """Run what has to be run, until the time is over."""
    results = Results(package)
    waiting = [m for m in mutants if results.outcome(m) != KILLED]
    if options.new:
        waiting = [m for m in waiting if results.outcome(m) is None]
    deadline = time.monotonic() + options.minutes * 60
    if not waiting:
        return results
    runner.import_once()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, runner.source_copy() as copy:
        reach = reach_for(package, copy, Path(folder), again=options.again)
    workers = []
    for n in range(options.jobs):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                work(waiting[n :: options.jobs], reach, results, deadline)
                status = 0
            finally:
                sys.stdout.flush()
                os._exit(status)
        workers.append(pid)
    statuses = [os.waitpid(pid, 0)[1] for pid in workers]
    if any(statuses):
        raise SystemExit("a worker of the mutation run failed (above)")
    results.load()
    return results


def work(mutants: list[Mutant], reach: runner.Reach, results: Results, deadline: float) -> None:
    """Run some mutants one after the other and note what became of each."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, runner.source_copy() as copy:
        for mutant in mutants:
            if time.monotonic() > deadline:
                return
            source = (ROOT / mutant.path).read_text(encoding="utf-8")
            outcome, detail = runner.run_mutant(mutant, source, reach, copy, Path(folder))
            results.keep(mutant, outcome, detail)
            if outcome != KILLED:
                print(f"{outcome:9} {mutant}   [{detail}]", flush=True)


def report(
    package: Package, mutants: list[Mutant], results: Results, scores: dict[str, dict[str, object]]
) -> bool:
    """Print and record the score; False: it fell below the recorded one."""
    outcomes = [results.outcome(mutant) for mutant in mutants]
    noticed = outcomes.count(KILLED)
    total = noticed + outcomes.count(SURVIVED) + outcomes.count(UNREACHED)
    if outcomes.count(None):
        print(f"{package.name}: {outcomes.count(None)} mutants not run yet (time): run again")
    if not total:
        return True
    score = round(100 * noticed / total, 1)
    before = scores.get(package.name, {})
    floor = float(str(before.get("floor", 0)))
    print(f"{package.name}: {noticed} of {total} noticed = {score} %, floor {floor} %")
    if score < floor:
        return False
    if not outcomes.count(None):
        scores[package.name] = {
            "floor": max(floor, score), "noticed": noticed, "mutants": total, "code": package.digest(),
        }  # fmt: skip
        SCORES.write_text(json.dumps(dict(sorted(scores.items())), indent=2) + "\n", encoding="utf-8")
    return True


def changed_since(table: dict[str, Package], reference: str) -> list[str]:
    """Return the packages of which a module, or a test that is to notice, differs from another commit."""
    command = ["git", "diff", "--name-only", reference]
    paths = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [
        name for name, package in table.items()
        if any(Path(path) in package.sources or path.startswith(tuple(package.tests)) for path in paths)
    ]  # fmt: skip


def score_table() -> str:
    """Return the recorded scores as a table in Markdown."""
    scores = json.loads(SCORES.read_text(encoding="utf-8")) if SCORES.exists() else {}
    lines = ["| package | mutants | noticed | score, never to fall |", "|---|---|---|---|"]
    lines += [f"| {name} | {s['mutants']} | {s['noticed']} | {s['floor']} % |" for name, s in scores.items()]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Run the packages that are named, or those whose code changed."""
    table = packages()
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("packages", nargs="*", choices=[*table, []], metavar="PACKAGE")
    parser.add_argument("--mutants", type=int, default=40, help="how many to draw per package")
    parser.add_argument("--minutes", type=float, default=30, help="per package")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--new", action="store_true", help="leave out survivors of earlier runs")
    parser.add_argument("--again", action="store_true", help="find out again which tests run which lines")
    parser.add_argument("--by-hand", action="store_true", help="only the mutants of by_hand.toml")
    parser.add_argument("--since", metavar="COMMIT", help="packages whose code or tests differ from a commit")
    parser.add_argument("--table", action="store_true", help="print the recorded scores, run nothing")
    parser.add_argument("--list", action="store_true", help="print the survivors that are known, run nothing")
    options = parser.parse_args(arguments)
    if options.table:
        print(score_table(), end="")
        return 0
    scores = json.loads(SCORES.read_text(encoding="utf-8")) if SCORES.exists() else {}
    names = options.packages or [n for n, p in table.items() if scores.get(n, {}).get("code") != p.digest()]
    if options.since:
        names = changed_since(table, options.since)
    good = True
    for name in names:
        package = table[name]
        mutants = by_hand(package) + ([] if options.by_hand else drawn(package, options.mutants))
        if options.list:
            results = Results(package)
            for mutant in mutants:
                if results.outcome(mutant) in {SURVIVED, UNREACHED}:
                    print(f"{results.outcome(mutant):9} {mutant}")
            continue
        good &= report(package, mutants, run(package, mutants, options), scores)
    if not names:
        print("no package has changed since its score was recorded")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
