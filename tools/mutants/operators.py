"""Small faults that a parsed module can be given, one at a time, as replacements of its source text.

Each operator is a function from a syntax node to the sources that may stand in its place. Lines keep
their numbers, so that the lines which a test ran tell which mutants it can notice.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mutant", "mutants_of"]

COMPARISONS = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}
TWINS = {"min": "max", "max": "min", "any": "all", "all": "any"}
PASS_THROUGH = {"reversed", "sorted", "abs", "set", "frozenset"}
TELLING = {"warn", "warning", "info", "debug", "error", "exception", "warn_once", "print", "echo"}
"""What tells people something is judged by people: calls of these names are not mutated."""


@dataclass(frozen=True)
class Mutant:
    """One replacement in one file: the offsets are of its UTF-8 bytes."""

    path: Path
    function: str
    line: int
    end_line: int
    start: int
    end: int
    original: str
    replacement: str

    @property
    def key(self) -> str:
        """Names the mutant also after lines elsewhere have moved."""
        text = f"{self.path.name}\0{self.function}\0{self.original}\0{self.replacement}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        change = f"{_brief(self.original)}  ->  {_brief(self.replacement)}"
        return f"{self.path}:{self.line} {self.function}: {change}"


def _brief(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 90 else text[:87] + "..."


def _compare(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
        yield f"{left} {COMPARISONS[type(node.ops[0])]} {right}"


def _operand_dropped(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.BoolOp):
        for dropped in node.values:
            rest = [value for value in node.values if value is not dropped]
            yield ast.unparse(rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest))


def _negation_dropped(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield ast.unparse(node.operand)


def _branch(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield ast.unparse(node.body)
        yield ast.unparse(node.orelse)


def _filter_dropped(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
        for generator in node.generators:
            for condition in list(generator.ifs):
                if any(isinstance(inner, ast.NamedExpr) for inner in ast.walk(condition)):
                    continue
                generator.ifs.remove(condition)
                yield ast.unparse(node)
                generator.ifs.append(condition)


def _number(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and not isinstance(node.value, bool):
        if isinstance(node.value, int):
            yield repr(node.value + 1)
        elif isinstance(node.value, float):
            yield repr(node.value * 2 + 0.5)


def _end(node: ast.AST) -> Iterator[str]:
    """The first for the last, a slice without its bounds."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
        return
    value = ast.unparse(node.value)
    if isinstance(node.slice, ast.Slice):
        if node.slice.lower or node.slice.upper:
            yield f"{value}[:]"
    elif ast.unparse(node.slice) in {"0", "-1"}:
        yield f"{value}[{'-1' if ast.unparse(node.slice) == '0' else '0'}]"


def _arithmetic(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        strings = (ast.JoinedStr, ast.List, ast.Tuple)
        parts = (node.left, node.right)
        if any(
            isinstance(p, strings) or (isinstance(p, ast.Constant) and isinstance(p.value, str))
            for p in parts
        ):
            return
        yield ast.unparse(ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right))


def _call(node: ast.AST) -> Iterator[str]:
    if not isinstance(node, ast.Call):
        return
    name = ast.unparse(node.func)
    if name in TWINS:
        yield ast.unparse(ast.Call(ast.Name(TWINS[name]), node.args, node.keywords))
    if name in PASS_THROUGH and len(node.args) == 1:
        yield f"list({ast.unparse(node.args[0])})" if name != "abs" else ast.unparse(node.args[0])
    for keyword in node.keywords:
        if keyword.arg in {"reverse", "key", "strict", "default"}:
            rest = [other for other in node.keywords if other is not keyword]
            yield ast.unparse(ast.Call(node.func, node.args, rest))


EXPRESSIONS: tuple[Callable[[ast.AST], Iterator[str]], ...] = (
    _compare, _operand_dropped, _negation_dropped, _branch, _filter_dropped, _number, _end, _arithmetic,
    _call,
)  # fmt: skip


def _condition(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """A guard that never holds, or always."""
    if isinstance(node, (ast.If, ast.While)) and "TYPE_CHECKING" not in ast.unparse(node.test):
        if any(isinstance(inner, ast.NamedExpr) for inner in ast.walk(node.test)):
            yield node.test, f"({ast.unparse(node.test)}) and False"
            return
        yield node.test, "False"
        if isinstance(node, ast.If):
            yield node.test, "True"


def _statement(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """A statement left out."""
    sets_part = isinstance(node, ast.Assign) and not isinstance(node.targets[0], (ast.Name, ast.Tuple))
    only_calls = isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.Await))
    if isinstance(node, (ast.Continue, ast.Break, ast.AugAssign, ast.Delete)) or sets_part or only_calls:
        yield node, "pass"


def _skipped(node: ast.AST) -> bool:
    """What is no behaviour, or is judged by people: annotations, messages, logging."""
    if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)):
        return True
    if isinstance(node, ast.Call):
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        return name in TELLING
    return isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)


class _Walker:
    """Walks a module and remembers the enclosing function of each node."""

    def __init__(self, path: Path, source: str) -> None:
        self.path = path
        self.source = source.encode()
        self.starts = [0]
        for line in self.source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.found: list[Mutant] = []

    def walk(self, node: ast.AST, function: str) -> None:
        if _skipped(node):
            return
        self.look_at(node, function)
        inside = function
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inside = f"{function}.{node.name}" if function else node.name
        for name, value in ast.iter_fields(node):
            if name in {"annotation", "returns", "decorator_list", "bases"}:
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self.walk(child, inside)

    def look_at(self, node: ast.AST, function: str) -> None:
        for operator in EXPRESSIONS:
            for replacement in operator(node):
                wrap = isinstance(node, (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.IfExp, ast.BinOp))
                self.add(node, f"({replacement})" if wrap else replacement, function)
        for target, replacement in (*_condition(node), *_statement(node)):
            if not (isinstance(target, ast.Expr) and _skipped(target.value)):
                self.add(target, replacement, function)

    def add(self, node: ast.AST, replacement: str, function: str) -> None:
        assert isinstance(node, (ast.expr, ast.stmt))
        if ast.unparse(node) == replacement:
            return
        start = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        original = self.source[start:end].decode()
        changed = (self.source[:start] + replacement.encode() + self.source[end:]).decode()
        try:
            compile(changed, str(self.path), "exec")
        except (SyntaxError, ValueError):
            return
        self.found.append(
            Mutant(
                self.path,
                function,
                node.lineno,
                node.end_lineno or node.lineno,
                start,
                end,
                original,
                replacement,
            )
        )


def mutants_of(path: Path, source: str) -> list[Mutant]:
    """Return every mutant of a module, in the order of its lines."""
    walker = _Walker(path, source)
    walker.walk(ast.parse(source), "")
    return walker.found
