"""Install Apertium with English-Spanish into the environment, without root.

Run with the environment's Python (`make setup-translation`). The programs come from Debian's
packages with the C runtime they were built for, so they run on other Linux systems too (x86_64).
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from debian_packages import DebianError, unpack

TARGET = Path(sys.prefix) / "apertium"
RELEASE = "trixie"
PACKAGES = [
    *("apertium", "apertium-eng-spa", "apertium-lex-tools", "lttoolbox"),
    *("libapertium3", "libapertium-lex-tools1", "liblttoolbox3"),
    *("libicu76", "libxml2", "libpcre2-8-0", "liblzma5", "zlib1g"),
    *("libc6", "libgcc-s1", "libstdc++6"),
]


def works(root: Path) -> str:
    """Analyse one word; return "" or what went wrong."""
    loaders = sorted((root / "usr" / "lib").glob("*-linux-gnu/ld-linux*.so.*"))
    data = root / "usr/share/apertium/apertium-eng-spa/eng-spa.automorf.bin"
    if len(loaders) != 1:
        return f"expected one dynamic loader in {root}, found {loaders}"
    command = [loaders[0], "--library-path", loaders[0].parent, root / "usr/bin/lt-proc", data]
    done = subprocess.run(list(map(str, command)), input=b"film", capture_output=True)
    if done.returncode or b"film<n><sg>" not in done.stdout:
        return (done.stderr or done.stdout).decode(errors="replace").strip()
    return ""


def main() -> int:
    """Install what is missing; return the exit status."""
    if TARGET.is_dir() and not works(TARGET):
        print(f"Apertium is in {TARGET}")
        return 0
    draft = TARGET.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        unpack(PACKAGES, release=RELEASE, work=Path(sys.prefix) / "apt", target=draft)
        problem = works(draft)
    except (DebianError, OSError, subprocess.CalledProcessError) as error:
        problem = str(error)
    if problem:
        shutil.rmtree(draft, ignore_errors=True)
        print(
            f"error: Apertium could not be installed from Debian's packages: {problem}\n"
            "Install the packages apertium and apertium-eng-spa with your system's manager "
            "instead: they are found as well.",
            file=sys.stderr,
        )
        return 1
    shutil.rmtree(TARGET, ignore_errors=True)
    os.rename(draft, TARGET)
    print(f"Apertium: installed in {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
