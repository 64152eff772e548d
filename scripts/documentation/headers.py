"""Reads the public headers: their comments, functions, types and constants. The headers keep to the forms that this knows."""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HEADERS = ROOT / "include" / "vhushmem"


@dataclasses.dataclass
class Item:
    """A declaration. kind: function, callback, struct, enum, type or macro."""

    kind: str
    name: str
    code: str
    doc: str
    members: list = dataclasses.field(default_factory=list)  # of a struct or an enum: (code, doc)


@dataclasses.dataclass
class Header:
    name: str
    doc: str = ""
    items: list = dataclasses.field(default_factory=list)

    @property
    def page(self):
        return f"vhushmem-{self.name.removesuffix('.h')}"

    def functions(self):
        return [item for item in self.items if item.kind == "function"]


def text_of(comment):
    """The text of a comment, without its frame; a line keeps its indentation beyond that of the frame."""
    text = re.sub(r"^/\*+<?|\*/$", "", comment)
    lines = [re.sub(r"^\s*\* ?", "", line) if number else line.strip() for number, line in enumerate(text.split("\n"))]
    return "\n".join(line.rstrip() for line in lines).strip("\n")


PIECES = re.compile(
    r"(?P<comment>/\*.*?\*/)|(?P<directive>^[ \t]*#(?:[^\n]*\\\n)*[^\n]*)|(?P<string>\"(?:[^\"\\]|\\.)*\")|(?P<other>.)", re.DOTALL | re.MULTILINE
)


def statements(source, ends):
    """Splits source at the characters `ends`, outside of brackets. Yields (code, doc before it, doc behind it)."""
    code, before, depth, pending = "", "", 0, None
    for piece in PIECES.finditer(source):
        comment = piece["comment"]
        if comment and comment.startswith("/**<"):
            # Of what ended just now, or, behind the last member of an enum, of what has not ended.
            if pending and not code.strip():
                pending = (*pending[:2], text_of(comment))
            elif not depth:
                if pending:
                    yield pending
                pending, code, before = (code.strip(), before, text_of(comment)), "", ""
            else:
                code += comment
            continue
        if comment and not depth:
            if pending:
                yield pending
                pending = None
            if not code.strip():
                before = text_of(comment) if comment.startswith("/**") else ""
            continue
        if piece["directive"] and not depth:
            if pending:
                yield pending
                pending = None
            yield (piece["directive"].strip(), before, "")
            before = before if "ifndef" in piece["directive"] else ""
            continue
        text = piece[0]
        if text in "{(":
            depth += 1
        elif text in "})":
            depth -= 1
        if text in ends and not depth:
            if pending:
                yield pending
                pending = None
            if code.strip():
                pending = (code.strip(), before, "")
            code, before = "", ""
        else:
            code += text
    if pending:
        yield pending
    if code.strip():
        yield (code.strip(), before, "")


def squeeze(code):
    """Code in one line, without comments and directives."""
    code = re.sub(r"^[ \t]*#.*$", " ", re.sub(r"/\*.*?\*/", " ", code, flags=re.DOTALL), flags=re.MULTILINE)
    return re.sub(r"\( ", "(", re.sub(r"\s+", " ", code)).strip()


def members_of(code, ends):
    body = code[code.index("{") + 1 : code.rindex("}")]
    return [(squeeze(member), before or behind) for member, before, behind in statements(body, ends) if not member.startswith("#")]


def item_of(code, doc):
    """The declaration of a statement, or None."""
    code = re.sub(r"\bG_(BEGIN|END)_DECLS\b", "", code).strip()
    line = squeeze(code)
    macro = re.match(r"#\s*define\s+(\w+)(\([^)]*\))?(.*)", code, re.DOTALL)
    if macro:
        if macro[2] or not macro[3].strip():
            return Item("macro", macro[1], code, doc) if doc else None
        return Item("macro", macro[1], code, doc) if re.match(r"VHUSHMEM_|VHOST_USER_|VIRTIO_|RAM_", macro[1]) else None
    if code.startswith("#") or "assert" in line.split("(")[0].lower() or not line:
        return None
    if line.startswith("VHUSHMEM_API"):
        line = line.removeprefix("VHUSHMEM_API ").removesuffix(" VHUSHMEM_CHECK_RESULT")
        return Item("function", re.match(r"[^(]*?(\w+)\(", line)[1], line, doc)
    callback = re.match(r"typedef .*?\(\*(\w+)\)\(", line)
    if callback and "{" not in line:
        return Item("callback", callback[1], line, doc)
    kind = re.match(r"(?:typedef )?(struct|enum)\b", line)
    if kind and "{" in line:
        name = re.search(r"}\s*(\w+)$", line) or re.match(r"struct (?:VHUSHMEM_FIELDS_OF\()?(\w+)", line)
        return Item(kind[1], name[1] if name else "", code, doc, members_of(code, ";" if kind[1] == "struct" else ","))
    alias = re.match(r"typedef [^\[]*?(\w+)$", line)
    return Item("type", alias[1], line, doc) if alias else None


def read_header(path):
    source = path.read_text()
    header = Header(path.name)
    for comment in re.findall(r"/\*\*.*?\*/", source, re.DOTALL):
        if "@file" in comment:
            header.doc = text_of(comment).partition("@file")[2].strip("\n")
            source = source.replace(comment, "")
    # What C++ is told, and what Swift is, hides nothing else.
    source = re.sub(r"^G_(BEGIN|END)_DECLS$", "", source, flags=re.MULTILINE)
    for code, doc, _ in statements(source, ";"):
        item = item_of(code, doc)
        named = item and [other for other in header.items if item.name and other.name == item.name]
        if named:
            # The typedef has the comment, the struct the fields.
            item.doc = item.doc or named[0].doc
            header.items.remove(named[0])
        if item:
            header.items.append(item)
    return header


def read_headers():
    """All headers but the umbrella, by name."""
    return [read_header(path) for path in sorted(HEADERS.glob("*.h")) if path.name != "vhushmem.h"]
