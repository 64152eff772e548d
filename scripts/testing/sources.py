"""Finds the tests, and reads the comments near their top that say something about a group. docs/testing.md has the form of these comments."""

import fnmatch
import os
import re

from testing.runner import ROOT

# The number of lines of a test that may have such comments.
HEAD = 40


def is_chosen(name):
    """If VHUSHMEM_TEST_ONLY has patterns of names, only those tests run: to find the reason of a failure."""
    patterns = os.environ.get("VHUSHMEM_TEST_ONLY", "").split()
    return not patterns or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def c_sources(folder):
    return sorted(path for suffix in ("c", "cpp") for path in (ROOT / "Tests" / folder).glob(f"*.{suffix}"))


def c_tests_of(folder):
    return [source for source in c_sources(folder) if is_chosen(source.stem)]


def python_tests_of(folder):
    sources = sorted((ROOT / "Tests" / folder).glob("*.py"))
    return [source for source in sources if not source.name.startswith("_") and is_chosen(source.stem)]


def says(source, group, word):
    """The match of a comment `GROUP: WORD (reason)`, or None. `word` is a pattern."""
    head = "\n".join(source.read_text(errors="replace").splitlines()[:HEAD])
    return re.search(rf"(?:/\*|//|#)\s*{group}:\s*{word}\s*\((?P<reason>.+?)\)\s*(?:\*/)?\s*$", head, re.MULTILINE)


def opt_out(source, group):
    """The reason why a test stays out of a group, or nothing."""
    match = says(source, group, "no")
    return match["reason"] if match else ""


def opts_in(source, group):
    """Whether a test belongs to a group that takes only tests that name it."""
    return says(source, group, "yes") is not None


def scale(source, group):
    """The VHUSHMEM_TEST_SCALE that a test wants in a group: an environment."""
    match = says(source, group, r"scale (?P<scale>\d+)")
    return {"VHUSHMEM_TEST_SCALE": match["scale"]} if match else {}
