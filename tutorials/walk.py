"""Takes the steps of a tutorial's README.md: runs its commands in order and holds their output against what is shown.

    python tutorials/walk.py TUTORIAL [FOLDER]

TUTORIAL is the name of a folder beside this file. FOLDER (what the README calls it, by default, below the repository)
must not exist yet. The exit code is 1 where a command fails, or where the README shows a line that the command didn't
print. A block without a note is run; two notes, which only the page's source shows, say how one is treated otherwise:

    <!-- not run: WHY -->            it is only read
    <!-- Ctrl-C after: TEXT -->      it is interrupted, as from a keyboard, once it has printed TEXT
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
FOLDERS = {
    "peft-curation-with-sdg": "data/tutorial",
    "docker-commands": "data/docker-commands",
    "instructlab-taxonomy": "data/taxonomy",
    "law-title-lora": "data/law-title",
}
"""What each README calls the run's folder."""

_BLOCK = re.compile(r"(?:^<!-- (?P<note>.*?) -->\n)?^```(?P<kind>sh|python|text)\n(?P<content>.*?)^```$", re.M | re.S)
_INTERRUPT = "Ctrl-C after: "
_ELIDED = {"…", "^C", ""}
_SHELL = {"PYTHONUTF8": "1", "COLUMNS": "120", "NO_COLOR": "1"}
"""What is printed must not depend on who runs the walk."""


@dataclass(frozen=True)
class Step:
    """A command, or a few lines of Python, with the note above it and the output that is shown below it."""

    kind: str
    code: str
    note: str
    shown: str = ""

    @property
    def runs(self) -> bool:
        """Whether the walk runs it."""
        return not self.note.startswith("not run")

    @property
    def interrupt(self) -> str | None:
        """What it prints before it is interrupted, if it is."""
        return self.note.removeprefix(_INTERRUPT) if self.note.startswith(_INTERRUPT) else None


def steps(readme: str) -> list[Step]:
    """The blocks of a README. A block of text belongs to the step that it follows."""
    found: list[Step] = []
    for block in _BLOCK.finditer(readme):
        if block["kind"] == "text":
            step = found.pop()
            found.append(Step(step.kind, step.code, step.note, block["content"]))
        else:
            found.append(Step(block["kind"], block["content"], block["note"] or ""))
    return found


def run(step: Step, named: str, folder: Path) -> tuple[int, str]:
    """Runs a step on `folder` in place of the one that is `named`, and prints as it does.

    Returns:
        Its exit code, and what it printed.
    """
    code = step.code.replace(named, str(folder))
    command = ["bash", "-ec", code] if step.kind == "sh" else [sys.executable, "-c", code]
    process = subprocess.Popen(  # noqa: S603 - the README's own commands
        command,
        cwd=ROOT,
        env={**os.environ, **_SHELL, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,  # a process group of its own: a terminal, too, interrupts a whole group
    )
    assert process.stdout is not None
    said = []
    awaited = step.interrupt
    for line in process.stdout:
        print(line, end="", flush=True)
        said.append(line)
        if awaited and awaited in line:
            os.killpg(process.pid, signal.SIGINT)
            awaited = None
    return process.wait(), "".join(said)


def untrue(shown: str, said: str) -> Iterator[str]:
    """The lines of `shown` that `said` doesn't have, in this order.

    Seconds and port numbers never count, nor how much white space there is; `…` stands for anything.
    """
    rest = iter([_plain(line) for line in said.splitlines()])
    for line in shown.splitlines():
        if line.strip() in _ELIDED:
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in _plain(line).split("…")))
        if not any(pattern.fullmatch(candidate) for candidate in rest):
            yield line
            return


def _plain(line: str) -> str:
    line = re.sub(r"\[\d+\.\d s\]", "[s]", line)
    line = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", line)
    return " ".join(line.split())


def main() -> int:
    """Walks to the end, or to the first step that fails."""
    # Where it is ignored, as in jobs that a script starts in the background, the commands would ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tutorial", choices=FOLDERS)
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    named = FOLDERS[options.tutorial]
    folder, readme = options.folder or Path(named), HERE / options.tutorial / "README.md"
    if (ROOT / folder).exists():
        print(f"walk: {folder} exists already; the walk begins with nothing", file=sys.stderr)
        return 1
    faults = 0
    for step in filter(lambda step: step.runs, steps(readme.read_text(encoding="utf-8"))):
        print(f"\n$ {step.code}", flush=True)
        status, said = run(step, named, folder)
        if status != (130 if step.interrupt else 0):
            print(f"walk: that ended with {status}", file=sys.stderr)
            return 1
        for line in untrue(step.shown, said.replace(str(folder), named)):
            faults += 1
            print(f"walk: the README shows what that did not print: {line}", file=sys.stderr)
    print(f"\nwalk: {faults or 'no'} differences between the README and what it shows")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
