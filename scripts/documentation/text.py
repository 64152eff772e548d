"""The text of a comment as blocks, and as the parts that a page has."""

import dataclasses
import re


@dataclasses.dataclass
class Parts:
    """The parts of a function's comment."""

    about: str = ""
    parameters: list = dataclasses.field(default_factory=list)  # (name, text)
    more_parameters: list = dataclasses.field(default_factory=list)  # sentences about those that are described elsewhere
    returns: str = ""
    threads: str = ""
    since: str = ""


def join(text):
    return re.sub(r"\s+", " ", text).strip()


def parts_of(doc):
    parts = Parts()
    since = re.search(r"\s*Since: (\S+)\s*$", doc)
    if since:
        parts.since, doc = since[1], doc[: since.start()]
    # What a callback must keep to may name the rule without the words.
    doc, marker, threads = doc.partition("Thread rule: ")
    if marker:
        threads, _, rest = threads.partition("\n\n")
        parts.threads, doc = join(threads), doc.rstrip() + ("\n\n" + rest if rest else "")
    about, *tagged = re.split(r"(?:^|(?<=\s))(?=@(?:param|returns)\b)", doc)
    parts.about = about.strip("\n")
    for text in tagged:
        if text.startswith("@returns"):
            parts.returns = text.removeprefix("@returns").strip(" ")
            continue
        text, *rest = text.split("\n\n", 1)
        # "(fd and flags as for vhushmem_region_map)", on a line of its own
        note = re.search(r"^\((.*)\)\s*$", text, re.MULTILINE | re.DOTALL)
        if note:
            parts.more_parameters.append(join(note[1]))
            text = text[: note.start()]
        name, _, text = text.removeprefix("@param").strip().partition(" ")
        parts.parameters.append((name, join(text)))
        if rest:
            parts.about += "\n\n" + rest[0]
    return parts


def sentence(text):
    """The first sentence, for NAME: without its full stop, and small where it begins."""
    text = join(text)
    text = re.match(r'((?:"[^"]*"|.)*?)(?:(?<!\.\.)[.:;](?:\s|$)|$)', text)[1].strip()
    if re.match(r"[A-Z][a-z]* ", text) and text.split()[0] not in ("Linux",):
        text = text[0].lower() + text[1:]
    return re.sub(r"\s*\([^()]*$", "", text)


ERROR = re.compile(r"^(\s+)(-E[A-Z0-9]+)\s+(\S.*)$")
KEY = re.compile(r"^(\s{4,})(\"[\w\"., ]+?\")(?:\s{2,}| as )(\S.*)$")


def blocks_of(text):
    """("text", [line]), ("code", lines), ("list", [(term or "", text)]) in their order."""
    blocks = []
    for paragraph in re.split(r"\n[ \t]*\n", text.strip("\n")):
        blocks += list(blocks_of_paragraph(paragraph.split("\n")))
    # A piece of code may have blank lines in it.
    merged = []
    for kind, content in blocks:
        if merged and kind == "code" == merged[-1][0]:
            merged[-1][1].extend(["", *content])
        else:
            merged.append((kind, content))
    return merged


def blocks_of_paragraph(lines):
    plain, code, entries, indent = [], [], [], 0

    def flush():
        nonlocal plain, code, entries
        for kind, content in (("text", [join(" ".join(plain))]), ("code", code), ("list", entries)):
            if content and content != [""]:
                yield kind, [(term, join(words)) for term, words in content] if kind == "list" else content
        plain, code, entries = [], [], []

    for line in lines:
        entry = ERROR.match(line) or KEY.match(line)
        bullet = re.match(r"^(\s+)- (\S.*)$", line)
        depth = len(line) - len(line.lstrip())
        if entry or bullet:
            if plain or code:
                yield from flush()
            indent = depth
            entries.append([entry[2], entry[3]] if entry else ["", bullet[2]])
        elif entries and depth > indent:
            entries[-1][1] += " " + line
        elif depth >= 4 and not plain and not entries or code and depth >= 4:
            code.append(line)
        else:
            if entries or code:
                yield from flush()
            plain.append(line)
    yield from flush()
