"""Make NLTK's corpora available to the environment: found, else downloaded, else from Debian.

Run with the environment's Python (`make corpora`). Exits with status 1, after one line that
names them, if some are still missing.
"""

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nltk
from debian_packages import DebianError, unpack

DATA = Path(sys.prefix) / "nltk_data"  # NLTK looks here by itself
CORPORA = {
    "wordnet": "corpora/wordnet",
    "opinion_lexicon": "corpora/opinion_lexicon",
    "vader_lexicon": "sentiment/vader_lexicon",
}
CONNECT_LIMIT_S = 15
DOWNLOAD_LIMIT_S = 180
RELEASE = "trixie"


def found(name: str) -> bool:
    """Say whether NLTK finds a corpus on its search path."""
    for path in (CORPORA[name], f"{CORPORA[name]}.zip"):
        try:
            nltk.data.find(path)
        except (LookupError, OSError):
            continue
        return True
    return False


def download(name: str) -> str:
    """Let NLTK's downloader put a corpus into `DATA`; return "" or what went wrong."""
    code = (
        f"import nltk.downloader as d; d.NETWORK_TIMEOUT = {CONNECT_LIMIT_S};"
        f" d.Downloader().download({name!r}, {str(DATA)!r}, quiet=True, raise_on_error=True)"
    )
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"no answer within {DOWNLOAD_LIMIT_S} s"
    if done.returncode == 0:
        return ""
    last = (done.stderr.strip().splitlines() or ["the downloader failed"])[-1]
    return last.removeprefix("ValueError: ").removeprefix(f"Error loading {name}: ")


def lexicographer_files(manual: Path) -> str:
    """Build WordNet's `lexnames`, which Debian leaves out, from the table in lexnames(5WN).

    Args:
        manual: The manual page, gzipped troff.

    Returns:
        One line for each lexicographer file: number, name, and the number of its part of speech.

    Raises:
        ValueError: The page does not hold the 45 files.
    """
    parts = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
    page = gzip.decompress(manual.read_bytes()).decode()
    rows = re.findall(r"(?m)^(\d\d)\t((noun|verb|adj|adv)\.\w+)\s*\t", page)
    if [int(number) for number, _, _ in rows] != list(range(45)):
        raise ValueError(f"{manual} should list files 00 to 44, it lists {len(rows)}")
    return "".join(f"{number}\t{name}\t{parts[part]}\n" for number, name, part in rows)


def wordnet_from_debian() -> str:
    """Unpack Debian's `wordnet-base` in the layout NLTK wants; return "" or what went wrong."""
    files = DATA / "wordnet-base"
    shutil.rmtree(files, ignore_errors=True)
    try:
        unpack(["wordnet-base"], release=RELEASE, work=DATA / "apt", target=files)
        corpus = files / "usr/share/wordnet"
        names = lexicographer_files(files / "usr/share/man/man5/lexnames.5WN.gz")
        (corpus / "lexnames").write_text(names)
        target = DATA / CORPORA["wordnet"]
        target.parent.mkdir(parents=True, exist_ok=True)
        corpus.rename(target)
    except (DebianError, OSError, ValueError) as error:
        return str(error)
    finally:
        shutil.rmtree(files, ignore_errors=True)
    return ""


def main() -> int:
    """Get what is missing; return the exit status."""
    os.umask(0o022)  # NLTK reads no folder that others may write to
    absent: dict[str, str] = {}
    unreachable = ""
    for name in CORPORA:
        if found(name):
            continue
        DATA.mkdir(parents=True, exist_ok=True)
        problem = unreachable = unreachable or download(name)
        source = "NLTK's server"
        if problem and name == "wordnet":
            debian = wordnet_from_debian()
            problem = debian and f"{problem}; Debian's wordnet-base: {debian}"
            source = "Debian's wordnet-base"
        if not problem and not found(name):
            problem = f"NLTK does not find it in {DATA}"
        if problem:
            absent[name] = problem
        else:
            print(f"{name}: fetched from {source}")
    if absent:
        names, reasons = ", ".join(absent), "; ".join(dict.fromkeys(absent.values()))
        print(
            f"warning: the ops that need NLTK's {names} will not run; once there is a network:"
            f" make corpora ({reasons})"
        )
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
