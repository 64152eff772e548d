"""Manual pages, section 3: one for each header, and one for each function (or pair of functions) in it."""

import re

from documentation import text

# In two pieces, so that it is not taken for this file's own.
LICENCE = '.\\" SPDX-License-' + "Identifier: BSD-3-Clause"


def escape(line):
    line = line.replace("\\", "\\e")
    return "\\&" + line if line[:1] in (".", "'") else line


class Writer:
    """Knows which names are pages, so that each is a link where it stands."""

    def __init__(self, headers, version):
        self.headers = headers
        self.version = version
        self.page_of = {}
        for header in headers:
            for group in groups_of(header):
                self.page_of.update({item.name: group[0].name for item in group})
        self.header_pages = {header.name: header.page for header in headers}

    def words(self, line, own=()):
        """Text with its names marked."""
        line = line.replace("\\", "\\e")

        def mark(match):
            word = match[0]
            if word.endswith(".h") and word in self.header_pages:
                return f"\\fB{self.header_pages[word]}\\fP(3)"
            if word in self.page_of and word not in own:
                return f"\\fB{word}\\fP(3)"
            if word in self.page_of or re.match(r"(VHUSHMEM|VHOST_USER)_\w*[A-Z0-9]$", word):
                return f"\\fB{word}\\fP"
            return word

        line = re.sub(r"(?<![\w/.<-])[\w-]+(?:\.h\b)?(?![\w/])", mark, line)
        line = re.sub(r"`([^`]+)`", r"\\fI\1\\fP", line)
        line = re.sub(r"(?<!\w)-(?=E[A-Z]|\d)", r"\\-", line)
        line = re.sub(r"\(\)(?=\W|$)", "()", line.replace("(3)()", "(3)"))
        return "\\&" + line if line[:1] in (".", "'") else line

    def blocks(self, comment, own=()):
        out = []
        for kind, content in text.blocks_of(comment):
            if kind == "text":
                out += [".PP", self.words(content[0], own)]
            elif kind == "code":
                depth = min(len(line) - len(line.lstrip()) for line in content if line)
                out += [".PP", ".in +4n", ".nf", *(escape(line[depth:]).replace("-", "\\-") for line in content), ".fi", ".in"]
            else:
                for term, words in content:
                    term = term.replace("-", "\\-")
                    out += [".TP", f"\\fB{term}\\fP" if term else "\\(bu", self.words(words, own)]
        return out

    def heading(self, name, summary):
        names = ", ".join(name) if isinstance(name, list) else name
        title = name[0] if isinstance(name, list) else name
        return [
            '.\\" Made by scripts/man-pages from include/vhushmem.',
            LICENCE,
            f'.TH {title} 3 "" "libvhushmem {self.version}" "libvhushmem"',
            # Names are not to be broken.
            ".nh",
            ".ad l",
            ".SH NAME",
            f"{names} \\- {escape(summary)}",
        ]

    def prototype(self, code):
        """A declaration, broken at its parameters."""
        out = [".nf"]
        head, bracket, rest = code.partition("(")
        callback = re.match(r"(typedef .*?\(\*\w+\)\()(.*)$", code)
        if callback:
            head, bracket, rest = callback[1][:-1], "(", callback[2]
        if not bracket or len(code) < 72:
            return [*out, f"\\fB{escape(code)};\\fP", ".fi"]
        lines, line = [], head + "("
        for parameter in split(rest.rstrip(")")):
            if len(line) + len(parameter) > 70 and not line.endswith("("):
                lines.append(line)
                line = "    "
            line += parameter
        lines.append(line + ")")
        out += [f"\\fB{escape(line.rstrip())}\\fP" for line in lines[:-1]]
        return [*out, f"\\fB{escape(lines[-1])};\\fP", ".fi"]

    def synopsis(self, header, items):
        out = [".SH SYNOPSIS", f".B #include <vhushmem/{header.name}>"]
        for item in items:
            out += [".PP", *self.prototype(item.code)]
        return [*out, ".PP", "Link with", ".IR \\(gapkg\\-config\\ \\-\\-cflags\\ \\-\\-libs\\ vhushmem\\(ga ."]

    def errors(self, returns, own):
        """RETURN VALUE and ERRORS, from the text of @returns."""
        blocks = text.blocks_of(returns)
        listed = any(kind == "list" and any(term.startswith("-E") for term, _ in content) for kind, content in blocks)
        if not listed:
            return [".SH RETURN VALUE", *self.blocks(returns, own)[1:]]
        first, *others = blocks
        value = re.sub(r"[,;]? or$", "", first[1][0]) if first[0] == "text" else "0"
        out = [".SH RETURN VALUE", self.words(value, own) + ", or a negative errno.", ".SH ERRORS"]
        for kind, content in others if first[0] == "text" else blocks:
            if kind == "list":
                for term, words in content:
                    out += [".TP", f".B {term.replace('-', chr(92) + '-')}", self.words(words.rstrip(";."), own)]
            else:
                out += [".PP", self.words(content[0][0].upper() + content[0][1:], own)]
        return out

    def function(self, header, group):
        """The page of functions that are described together: the first one, and those that say `The same ...`."""
        names = [item.name for item in group]
        first = text.parts_of(group[0].doc)
        summary = text.sentence(first.about or "return " + first.returns)
        out = [*self.heading(names, summary), *self.synopsis(header, group), ".SH DESCRIPTION"]
        out += self.blocks(first.about or "Returns " + first.returns, names)[1:]
        parameters = list(first.parameters)
        notes = list(first.more_parameters)
        values = [(names[0], first.returns)] if first.returns and first.about else []
        for item in group[1:]:
            parts = text.parts_of(item.doc)
            out += [".PP", f"\\fB{item.name}\\fP:", *self.blocks(parts.about, names)[1:]]
            parameters += [entry for entry in parts.parameters if entry not in parameters]
            notes += parts.more_parameters
            values += [(item.name, parts.returns)] if parts.returns else []
        if parameters or notes:
            out.append(".SH PARAMETERS")
            for name, words in parameters:
                out += [".TP", f".I {name}", self.words(words, names)]
            for note in notes:
                out += [".PP", self.words(note[0].upper() + note[1:], names) + "."]
        if values:
            out += self.errors(values[0][1], names)
            for name, returns in values[1:]:
                out += [".PP", f"\\fB{name}\\fP:", *self.blocks(returns, names)[1:]]
        rule = first.threads or rule_of(header)
        if rule:
            out += [".SH THREADS", self.words(rule[0].upper() + rule[1:], names)]
        if first.since:
            out += [".SH HISTORY", f"Since version {first.since}."]
        return page_of([*out, *self.see_also(header, group)])

    def see_also(self, header, group):
        own = [item.name for item in group]
        said = " ".join(item.doc for item in group)
        links = {self.page_of[word] for word in re.findall(r"\w+", said) if word in self.page_of} - {own[0]}
        pages = ["vhushmem", header.page, *sorted(links)]
        lines = [f".BR {page} (3)," for page in pages]
        lines[-1] = lines[-1].rstrip(",")
        return [".SH SEE ALSO", *lines]

    def members(self, item):
        out = []
        for code, doc in item.members:
            out += [".TP", f"\\fB{escape(code)}\\fP" if item.kind == "enum" else f"\\fB{escape(code)};\\fP"]
            first, *more = self.blocks(doc)[1:] if doc else ["\\&"]
            # What follows the first paragraph is indented like it.
            out += [first, ".RS", *more, ".RE"] if more else [first]
        return out

    def header(self, header):
        """The page of a header: what it is about, its types and constants, its functions."""
        about = re.split(RULE, header.doc)
        summary = SUMMARIES[header.name]
        out = [*self.heading(header.page, summary), ".SH SYNOPSIS", f".B #include <vhushmem/{header.name}>", ".SH DESCRIPTION"]
        out += self.blocks(about[0])[1:] if about[0] else [escape(summary[0].upper() + summary[1:]) + "."]
        places = len(out)
        constants = [item for item in header.items if item.kind in ("enum", "macro")]
        types = [item for item in header.items if item.kind in ("struct", "type", "callback")]
        functions = [item for item in header.items if item.kind == "function"]
        if types:
            out.append(".SH TYPES")
        for item in types:
            out.append(f".SS {item.name}")
            if item.kind == "callback":
                out += [*self.prototype(item.code), ".PP"]
            elif item.kind == "type":
                out += [".nf", f"\\fB{escape(item.code)};\\fP", ".fi", ".PP"]
            parts = text.parts_of(item.doc)
            about_item = self.blocks(parts.about)
            out += about_item if item.kind in ("callback", "type") else about_item[1:]
            for name, words in parts.parameters:
                out += [".TP", f".I {name}", self.words(words)]
            out += [".PP", f"It returns {self.words(text.join(parts.returns))}"] if parts.returns else []
            out += self.members(item)
        if constants:
            out.append(".SH CONSTANTS")
        for item in constants:
            if item.kind == "enum":
                out += [".PP", *self.blocks(item.doc)[1:]] if item.doc else []
                out += self.members(item)
            else:
                value = re.match(r"#\s*define\s+\w+\s*(.*)", item.code, re.DOTALL)[1]
                shown = f"{item.name} {text.join(value)}" if len(value) < 60 else item.name
                out += [".TP", f"\\fB{escape(shown)}\\fP", *(self.blocks(item.doc)[1:] if item.doc else ["\\&"])]
        if functions:
            out.append(".SH FUNCTIONS")
        for group in groups_of(header):
            parts = text.parts_of(group[0].doc)
            out += [".TP", ", ".join(f"\\fB{item.name}\\fP(3)" for item in group)]
            out.append(self.words(text.sentence(parts.about or "returns " + parts.returns)))
        if len(about) > 1:
            rule, *more = about[1].split("\n\n")
            out += [".SH THREADS", self.words(rule[0].upper() + text.join(rule)[1:])]
            out[places:places] = [line for words in more for line in self.blocks(words)]
        others = [f".BR {name} (3)," for name in ["vhushmem", *linked_headers(header, self.header_pages)]]
        others[-1] = others[-1].rstrip(",")
        return page_of([*out, ".SH SEE ALSO", *others])


SUMMARIES = {
    "backend-call.h": "requests of a back-end to its front-end: maps, unmaps and others",
    "backend-options.h": "the options of a back-end",
    "backend.h": "the device's side: a vhost-user back-end that has shared memory regions",
    "base.h": "conventions of the library, and its opaque types",
    "channel.h": "the back-end channel alone, or single messages",
    "device.h": "devices: the regions of one vhost-user device, and their quotas",
    "error.h": "the errors of the library",
    "event.h": "events of front-ends and channels",
    "fault.h": "what to do about a guest that touches what cannot serve it",
    "frontend-options.h": "the options of a front-end",
    "frontend.h": "a whole front-end: the VMM's side of a connection",
    "guard.h": "files that are truncated while they are mapped",
    "kvm.h": "regions in a KVM guest",
    "mapping.h": "mappings: ranges of files at ranges of a region",
    "memory-region.h": "memory regions and listeners under QEMU's names",
    "migration.h": "what outlives a back-end: requests in flight, and the device's state",
    "pci.h": "regions for a guest's virtio-pci and virtio-mmio drivers",
    "queue.h": "running a device: guest memory, virtqueues, start and stop",
    "region-options.h": "the options of a region",
    "region.h": "shared memory regions and their windows",
    "request.h": "what a front-end asks of its back-end while it is ready",
    "series.h": "the names of the QEMU patch series",
    "shared-object.h": "files that devices share with each other",
    "status.h": "how front-ends, devices and regions are doing, as JSON",
    "trace.h": "traces of requests",
    "version.h": "the version of headers and library",
    "vhost-user.h": "messages of shared memory, as they travel",
    "virtqueue.h": "virtqueues, from the device's side",
}


# How the comment of a header begins to say which threads may call its functions.
RULE = r"\s*Thread rule(?: of (?:this header|the channel))?(?:,? unless a function says otherwise)?: "


def split(parameters):
    """At the commas outside of brackets; each but the last with its comma."""
    out, depth, start = [], 0, 0
    for place, character in enumerate(parameters):
        depth += (character in "(") - (character in ")")
        if character == "," and not depth:
            out.append(parameters[start : place + 1].strip() + " ")
            start = place + 1
    return [*out, parameters[start:].strip()]


def page_of(lines):
    """A page, without paragraphs that have nothing in them."""
    out = []
    for line in lines:
        starts = line.split(" ")[0] in (".PP", ".TP", ".SH", ".SS")
        if starts and out and out[-1] == ".PP":
            out.pop()
        if line != ".PP" or out[-1].split(" ")[0] not in (".SH", ".SS"):
            out.append(line)
    return "\n".join(out) + "\n"


def groups_of(header):
    """Functions in the order of the header, each with those behind it that say `The same ...`."""
    groups = []
    for item in header.functions():
        if groups and item.doc.startswith("The same"):
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def rule_of(header):
    match = re.search(RULE + r"(.*?)(?:\n\n|$)", header.doc, re.DOTALL)
    return text.join(match[1]) if match else ""


def linked_headers(header, pages):
    named = re.findall(r"([\w-]+\.h)\b", header.doc + "".join(item.doc for item in header.items))
    return sorted({pages[name] for name in named if name in pages and name != header.name})
