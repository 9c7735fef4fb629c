"""A Debian of its own in a folder: nothing of this machine's Python or packages is in it.

It is made once by debootstrap, in .cache, from the archive that this machine's apt uses, with the packages
that ours depends on downloaded but not installed; each test works on a copy.  A command in it gets its own
process and mount namespaces, so that nothing it starts or mounts outlives it.  The network is shared.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.system.support.processes import CHECKOUT, Child, program

_SECONDS = 300
#: Downloaded beside what our package depends on, for tests that want the system to boot.
_MORE = "systemd systemd-sysv"
#: The environment of commands in it.
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def build(folder: Path) -> Path:
    """Build our package into a folder; always of the same time, so that it is always the same package.

    Raises:
        RuntimeError: it cannot be built.
    """
    done = subprocess.run(
        [sys.executable, CHECKOUT / "scripts/make-deb", "--output", folder],
        capture_output=True,
        text=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1767225600"},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Path(done.stdout.strip())


def newer(package: Path, folder: Path) -> Path:
    """Make the next version of a package: higher number, one configuration file of its own changed."""
    tree = folder / "newer"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^(Version: .*)$", r"\1+next", control.read_text()))
    rotation = tree / "etc/logrotate.d/tpop3d-py"
    rotation.write_text(f"{rotation.read_text()}# next\n")
    made = folder / "tpop3d-py_next_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", tree, made], check=True, capture_output=True
    )
    return made


class CleanRoot:
    """A folder to install packages in.

    Attributes:
        path: where it is on this machine.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def copy(self, path: Path) -> CleanRoot:
        """Copy it, owners and all."""
        subprocess.run(["cp", "-a", "--reflink=auto", self.path, path], check=True)
        return CleanRoot(path)

    def attempt(self, command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a shell command in it as root, whatever comes of it."""
        return subprocess.run(
            self._inside("sh", "-c", command),
            input=stdin,
            capture_output=True,
            text=True,
            env=QUIET,
            timeout=_SECONDS,
            check=False,
        )

    def run(self, command: str, stdin: str = "") -> str:
        """Run a shell command that must succeed; return its output."""
        done = self.attempt(command, stdin)
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, command: Sequence[str], log: Path) -> Service:
        """Start a server in it."""
        return Service(self._inside(*command), log)

    def install(self, package: Path, *more: str) -> str:
        """Install a package from its file, and others by name, without what they only recommend."""
        shutil.copy(package, self.path / "root")
        # What was downloaded is enough; the archive is asked only if the dependencies have changed since.
        words = " ".join([f"/root/{package.name}", *more])
        return self.run(f"apt-get install -q -y --no-install-recommends {words} 2>&1")

    def _inside(self, *command: str) -> list[str]:
        namespaces = ["--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={self.path}/proc"]
        return [program("unshare"), *namespaces, program("chroot"), str(self.path), *command]


class Service(Child):
    """A server in a clean root: the first process of its namespace, below the one that made that."""

    def kill(self, number: int) -> None:
        """Send it a signal."""
        below = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        os.kill(int(below[0]), number)

    def stop(self) -> None:
        """Ask it to end, and wait; whoever waits for it in between takes no signals meanwhile."""
        with contextlib.suppress(OSError, IndexError):  # it has ended
            self.kill(signal.SIGTERM)
        super().stop()


def prepared(package: Path) -> CleanRoot:
    """Return the clean system, made if it is not there; it must not be changed.

    Args:
        package: its dependencies are downloaded.
    """
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    root = CleanRoot(CHECKOUT / ".cache" / f"clean-{suite}")
    stamp = root.path.with_suffix(".complete")
    depends = (
        subprocess.run(
            ["dpkg-deb", "-f", package, "Depends"], capture_output=True, text=True, check=True
        ).stdout
        + _MORE
    )
    if not stamp.exists() or stamp.read_text() != depends:
        stamp.unlink(missing_ok=True)
        if root.path.exists():
            shutil.rmtree(root.path)
        _make(root, suite, package)
        stamp.write_text(depends)
    return root


def _make(root: CleanRoot, suite: str, package: Path) -> None:
    root.path.parent.mkdir(exist_ok=True)
    subprocess.run(
        [program("debootstrap"), "--variant=minbase", suite, root.path, _archive(suite)],
        capture_output=True,
        env={**os.environ, **QUIET},
        check=True,
    )
    # A system that lives for a minute need not wait for the disk.
    (root.path / "etc/dpkg/dpkg.cfg.d/unsafe").write_text("force-unsafe-io\n")
    shutil.copy(package, root.path / "root/package.deb")
    root.run("apt-get update")
    root.run(f"apt-get install -y --no-install-recommends --download-only /root/package.deb {_MORE}")
    (root.path / "root/package.deb").unlink()


def _archive(suite: str) -> str:
    """Return where this machine's apt gets the suite from."""
    listed = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for line in listed.splitlines():
        where, release, component = line.split()
        if (release, component) == (suite, "main"):
            return where
    raise RuntimeError(f"apt on this machine has no main component of {suite}")
