"""Turns the book's MyST Markdown into what Jupyter, Colab, VS Code and GitHub all show.

The book's own parser says what is a role, a directive, a target or a labelled equation. Only these
are replaced; all other characters stay what they are. What this does not know is an error, so that
no MyST slips through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, count
from typing import NamedTuple

import notebooks
from book_labels import FENCES, Book, Directive, Numbers, Place, directive, parser
from markdown_it.token import Token

# The parser's tokens that all four show as they stand, and those that are replaced here.
AS_IT_IS = set(
    """
    text softbreak hardbreak code_inline code_block em_open em_close strong_open strong_close s_open
    s_close link_open math_inline math_inline_double math_block hr inline html_inline html_block
    heading_close paragraph_open paragraph_close blockquote_open blockquote_close bullet_list_open
    bullet_list_close ordered_list_open ordered_list_close list_item_open list_item_close table_open
    table_close thead_open thead_close tbody_open tbody_close tr_open tr_close th_open th_close
    td_open td_close footnote_reference_close
    """.split()
)
LEFT_OUT = {"myst_target", "myst_line_comment", "myst_block_break"}

ADMONITIONS = set(
    "admonition attention caution danger error hint important note seealso tip warning".split()
)
OBJECTS = {"attr", "class", "data", "exc", "func", "meth", "mod"}
CITATIONS = {"cite": "p", "cite:p": "p", "cite:t": "t"}

TEXT_AND_TARGET = re.compile(r"(.+?)\s*<([^<>]+)>", re.DOTALL)
LINK_END = re.compile(r"\]\(<?([^()\s<>]*)>?(\s+\"[^\"]*\")?\)(\{[^}]*\})?")
EQUATION_END = re.compile(r"\s*\$\$\s*\([^)]*\)\s*$")
ELSEWHERE = re.compile(r"[a-z]+:|//", re.IGNORECASE)


class Edit(NamedTuple):
    """New text for the characters from ``start`` to ``end``."""

    start: int
    end: int
    text: str


@dataclass
class PlainMarkdown:
    """Writes the texts of one page, in their order from its first to its last.

    Args:
        book: Where everything is.
        page: The page, such as ``"book/rope"``.
        numbers: Counts its headings.
    """

    book: Book
    page: str
    numbers: Numbers
    level: int = 1  # of the last heading
    in_solution: bool = False
    exercise: str = ""  # the label of the one that has begun
    footnotes: dict[str, str] = field(default_factory=dict)

    def cell(self, text: str) -> str:
        """The text of the page's next cell; nothing is left of one inside a solution.

        Raises:
            ValueError: There is something in it that this cannot say in plain Markdown, or a
                reference that leads nowhere.
        """
        tokens, starts = _parse(text)
        left_out = list(self._solutions(tokens, starts))
        return _tidy(_apply(text, [*left_out, *self._edits(text, tokens, starts)]))

    def line(self, text: str) -> str:
        """A caption or a title: text inside a cell, of which nothing is left out."""
        tokens, starts = _parse(text)
        return _tidy(_apply(text, self._edits(text, tokens, starts)))

    def _solutions(self, tokens: list[Token], starts: list[int]) -> Iterator[Edit]:
        begin = 0
        for token in tokens:
            found = directive(token)
            if found and found.name == "solution-start":
                self.in_solution, begin = True, starts[_lines(token)[0]]
            elif found and found.name == "solution-end":
                yield Edit(begin, starts[_lines(token)[1]], "")
                self.in_solution = False
        if self.in_solution:
            yield Edit(begin, starts[-1], "")

    def _edits(self, text: str, tokens: list[Token], starts: list[int]) -> Iterator[Edit]:
        at = 0  # nothing is replaced before it
        for token in tokens:
            if token.map:
                first, last = (starts[i] for i in token.map)
                at = max(at, first)
                block = text[first:last]
            if token.type == "inline":
                for edit in self._inline(text, token, at):
                    yield edit
                    at = edit.end
            elif token.type in LEFT_OUT:
                yield Edit(first, last, "")
            elif token.type == "heading_open":
                yield self._heading(block, token, first)
            elif token.type == "math_block_label":
                yield Edit(first, last, self._equation(block, token.info))
            elif token.type == "footnote_reference_open":
                mark = f"[^{token.meta['label']}]:"
                number = self._footnote(token.meta["label"])
                yield Edit(first, first + len(mark), f"<sup>{number}</sup>")
            elif found := directive(token):
                apart = "" if text[:first].endswith("\n\n") else "\n"
                yield Edit(first, last, apart + _indented(self._directive(found), block))
                at = last
            elif token.type in FENCES:
                if token.type == "colon_fence":
                    raise ValueError(f"a fence of colons without a directive: {block!r}")
                at = last
            elif token.type not in AS_IT_IS:
                raise ValueError(f"{token.type!r} has no form in plain Markdown: {block!r}")

    def _heading(self, block: str, token: Token, start: int) -> Edit:
        hashes = re.match(r"\s*#+[ \t]+", block)
        if not hashes:
            raise ValueError(f"write the heading with '#': {block!r}")
        self.level = int(token.tag[1])
        number = self.numbers.heading(self.level)
        place = start + hashes.end()
        return Edit(place, place, f"{number}. " if number else "")

    def _equation(self, block: str, label: str) -> str:
        number = self.book.label(label).text.strip("()")
        indent = block[: len(block) - len(block.lstrip())]
        formula = EQUATION_END.sub("", block)
        return f"{formula} \\tag{{{number}}}\n{indent}$$\n"

    def _footnote(self, label: str) -> str:
        if label not in self.footnotes:
            free = (str(n) for n in count(1) if str(n) not in self.footnotes.values())
            self.footnotes[label] = label if label.isdigit() else next(free)
        return self.footnotes[label]

    # Inside a line

    def _inline(self, text: str, token: Token, at: int) -> Iterator[Edit]:
        ends: list[str | None] = []  # the targets of the links that are open; None for one as it is
        for child in token.children or []:
            if child.type == "code_inline" and not child.attrs:
                at = _find(text, at, child.markup, child.content, child.markup).end()
            elif child.type == "myst_role":
                name = child.meta["name"]
                found = _find(text, at, "{" + name + "}`", child.content, "`")
                at = found.end()
                yield Edit(found.start(), at, self._role(name, child.content))
            elif child.type == "link_open":
                ends.append(None if child.markup else str(child.attrs["href"]))
            elif child.type in ("link_close", "image"):
                target = ends.pop() if child.type == "link_close" else str(child.attrs["src"])
                if target is None:
                    continue
                link = LINK_END.search(text, at)
                if not link or parser().normalizeLink(link[1]) != target:
                    raise ValueError(f"write the link to {target!r} as [words](target)")
                at = link.end()
                address = self._address(link[1], image=child.type == "image")
                words = "" if text[link.start() - 1] != "[" else self._title(link[1])
                yield Edit(link.start(), at, f"{words}]({address}{link[2] or ''})")
            elif child.type == "footnote_ref":
                found = _find(text, at, "[^", child.meta["label"], "]")
                at = found.end()
                number = self._footnote(child.meta["label"])
                yield Edit(found.start(), at, f"<sup>{number}</sup>")
            elif child.type not in AS_IT_IS or child.type == "code_inline":
                raise ValueError(f"{child.type!r} has no form in plain Markdown: {token.content!r}")

    def _address(self, target: str, *, image: bool = False) -> str:
        """Where a link of the book leads from outside the book."""
        if ELSEWHERE.match(target):
            return target
        path, _, anchor = target.partition("#")
        if image:
            url, tag = notebooks.repository()
            return f"{url}/raw/{tag}/book/{path}"
        if not path:
            return self._url(self.book.label(anchor))
        page = f"book/{path.rpartition('.')[0]}"
        if path.endswith((".ipynb", ".md")) and page in self.book.chapters:
            return self.book.url(page, anchor)
        return self._url(self.book.label(target))

    def _title(self, target: str) -> str:
        """The words of a link that has none of its own."""
        page = f"book/{target.rpartition('.')[0]}"
        return self.book.titles.get(page) or self.book.label(target.lstrip("#")).text

    def _url(self, place: Place) -> str:
        return self.book.url(place.page, place.anchor)

    def _role(self, name: str, content: str) -> str:
        split = TEXT_AND_TARGET.fullmatch(content)
        words, target = (split[1], split[2]) if split else ("", content)
        if name in CITATIONS:
            return self._citation(CITATIONS[name], content)
        if name == "term":
            return f"[{words or target}]({self._url(self.book.term(target))})"
        if name == "doc":
            page = f"book/{target}"
            return f"[{words or self.book.titles[page]}]({self.book.url(page)})"
        if name in ("numref", "eq", "ref"):
            place = self.book.label(target)
            words = re.sub(r"%s|\{number\}", place.text.rpartition(" ")[2], words) or place.text
            # What has a number stands in this notebook, too; a section has none to look for.
            here = place.page == self.page and not place.in_solution and name != "ref"
            return words if here else f"[{words}]({self._url(place)})"
        if name in OBJECTS:
            short = target.startswith("~")
            place = self.book.thing(target.lstrip("~"))
            words = words or (place.text.rpartition(".")[2] if short else place.text)
            words += "()" if name in ("func", "meth") and not split else ""
            return f"[`{words}`]({self._url(place)})"
        raise ValueError(f"the role {name!r} has no form in plain Markdown: {content!r}")

    def _citation(self, form: str, keys: str) -> str:
        written = []
        for key in keys.split(","):
            names, year = self.book.work(key.strip())
            url = self.book.work_url(key.strip())
            written.append(
                f"{names} [[{year}]({url})]" if form == "t" else f"[{names}, {year}]({url})"
            )
        joined = ", ".join(written)
        return joined if form == "t" else f"[{joined}]"

    # Directives

    def _directive(self, found: Directive) -> str:
        if found.name in ADMONITIONS:
            title = self.line(found.argument) or found.name.capitalize()
            return _quoted(f"**{title}**\n\n{self.line(found.content)}")
        if found.name in DIRECTIVES:
            return DIRECTIVES[found.name](self, found)
        raise ValueError(f"the directive {found.name!r} has no form in plain Markdown")

    def _unwrapped(self, found: Directive) -> str:
        content = self.line(found.content)
        return content if "\n" in content else f"**{content}**"

    def _tab(self, found: Directive) -> str:
        return f"**{self.line(found.argument)}**\n\n{self.line(found.content)}"

    def _fold(self, found: Directive) -> str:
        title, content = self.line(found.argument), self.line(found.content)
        return f"<details>\n<summary>{title}</summary>\n\n{content}\n\n</details>"

    def _code(self, found: Directive) -> str:
        return f"```{found.argument}\n{found.content}\n```"

    def _maths(self, found: Directive) -> str:
        label = found.options.get("label")
        tag = f" \\tag{{{self.book.label(label).text.strip('()')}}}" if label else ""
        return f"$$\n{found.content}{tag}\n$$"

    def _begin_exercise(self, found: Directive) -> str:
        self.exercise = found.options["label"]
        title = f" ({self.line(found.argument)})" if found.argument else ""
        head = f"{'#' * (self.level + 1)} {self.book.label(self.exercise).text}{title}"
        return f"{head}\n\n{self.line(found.content)}"

    def _end_exercise(self, _: Directive) -> str:
        return f"[Solution, on the page]({self._url(self.book.label(self.exercise))})"

    def _whole_exercise(self, found: Directive) -> str:
        return f"{self._begin_exercise(found)}\n\n{self._end_exercise(found)}"

    def _nothing(self, _: Directive) -> str:
        return ""


DIRECTIVES: dict[str, Callable[[PlainMarkdown, Directive], str]] = {
    "div": PlainMarkdown._unwrapped,
    "container": PlainMarkdown._unwrapped,
    "tab-set": PlainMarkdown._unwrapped,
    "tab-item": PlainMarkdown._tab,
    "dropdown": PlainMarkdown._fold,
    "code-block": PlainMarkdown._code,
    "math": PlainMarkdown._maths,
    "exercise": PlainMarkdown._whole_exercise,
    "exercise-start": PlainMarkdown._begin_exercise,
    "exercise-end": PlainMarkdown._end_exercise,
    "solution": PlainMarkdown._nothing,
    "solution-start": PlainMarkdown._nothing,
    "solution-end": PlainMarkdown._nothing,
}


def _parse(text: str) -> tuple[list[Token], list[int]]:
    """The tokens of a text, and where each of its lines begins."""
    lengths = (len(line) + 1 for line in text.split("\n"))
    return parser().parse(text), [0, *accumulate(lengths)]


def _lines(token: Token) -> tuple[int, int]:
    """The first line of a block, and the first after it."""
    first, last = token.map or (0, 0)
    return first, last


def _find(text: str, at: int, begin: str, content: str, end: str) -> re.Match[str]:
    """Where the parser's token stands in the source, whose line breaks it has made spaces."""
    words = r"\s+".join(map(re.escape, content.split()))
    found = re.compile(rf"{re.escape(begin)}\s*{words}\s*{re.escape(end)}").search(text, at)
    if not found:
        raise ValueError(f"{begin}{content}{end} is not written in its usual form")
    return found


def _apply(text: str, edits: Iterator[Edit] | list[Edit]) -> str:
    """The text after its edits; the ones inside another do not count."""
    pieces, done = [], 0
    for start, end, new in sorted(edits, key=lambda edit: (edit.start, -edit.end)):
        if start >= done:
            pieces += [text[done:start], new]
            done = end
    return "".join([*pieces, text[done:]])


def _tidy(text: str) -> str:
    """At most one blank line where something was left out."""
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _indented(text: str, block: str) -> str:
    """A directive's text in place of the directive, with a blank line after it."""
    indent = block[: len(block) - len(block.lstrip())]
    lines = (f"{indent}{line}".rstrip() for line in text.splitlines())
    return "\n".join([*lines, "", ""]) if text else ""
