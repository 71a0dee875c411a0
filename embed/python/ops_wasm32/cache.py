"""Cache: a folder of this user's, for modules as the engine has compiled them.

Compiled code is run as it is, without the engine's checks. So it is read only from
where nobody but this user and root can write, and files appear in it whole. A file's
name is a hash of the module's content and of the engine; the engine refuses what was
made by another version, or for another processor.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
import sys
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import wasmtime

from ops_wasm32.instance import compiled, shared_engine
from ops_wasm32.module import ModuleFile, check_declarations

VARIABLE = "OPS_WASM32_CACHE"  # a folder, or "off"
_LIMIT = 1 << 30  # bytes of all files; what was used last stays
_TICK = 2_000_000_000  # ns; a file that was written before shows each later write


def cache_folder() -> Path | None:
    """The folder for what is kept between runs; None where that is off."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        return None if given in ("", "off") else Path(given).absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    # Without a home, or with a wrong one, nothing is kept.
    return Path(base) / "ops-wasm32" if base and os.path.isabs(base) else None


def kept_module(file: ModuleFile, what: str) -> wasmtime.Module:
    """The module of a file as the engine compiles it, from the cache if it is there.

    Errors: ModuleError.
    """
    check_declarations(file, what)
    engine = shared_engine()
    kept = Cache(engine, cache_folder())
    digest = kept.digest_of(file.state)
    if digest and (found := kept.module(digest)):
        return found
    data = file[:]
    digest = hashlib.sha256(data).hexdigest()
    module = kept.module(digest) or compiled(data, what, engine)
    kept.keep(module, digest, file.state)
    return module


class Cache:
    """Compiled modules of one engine. folder: None where nothing is to be kept."""

    def __init__(self, engine: wasmtime.Engine, folder: Path | None) -> None:
        self._engine = engine
        self._folder = _private(folder / "modules") if folder else None

    def digest_of(self, file: os.stat_result) -> str | None:
        """The hash of a file's content, if it was read before and not written since."""
        if self._folder is None:
            return None
        path = self._folder / f"{_state(file)}.sha256"
        with suppress(OSError, UnicodeDecodeError):
            if _owned(path):
                return path.read_text()
        return None

    def module(self, digest: str) -> wasmtime.Module | None:
        """The compiled module of that content, if it is there."""
        path = self._path(digest)
        if path is None or not _owned(path):
            return None
        try:
            found = wasmtime.Module.deserialize_file(self._engine, str(path))
        except wasmtime.WasmtimeError:
            # Of another version or processor, or damaged: it is made anew.
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        return found

    def keep(
        self, module: wasmtime.Module, digest: str, file: os.stat_result | None
    ) -> None:
        """Keep a module by its content, and the hash of the file that it came from."""
        path = self._path(digest)
        if self._folder is None or path is None:
            return
        with suppress(OSError, wasmtime.WasmtimeError):
            if not _owned(path):
                _write(path, module.serialize())
                _trim(self._folder, path)
            if file is not None and _settled(file):
                _write(self._folder / f"{_state(file)}.sha256", digest.encode())

    def _path(self, digest: str) -> Path | None:
        key = hashlib.sha256(f"{digest} {_engine()}".encode()).hexdigest()
        return self._folder / f"{key}.cwasm" if self._folder else None


@cache
def _engine() -> str:
    """What the engine is, so that several of them keep a file each."""
    try:
        number = version("wasmtime")
    except PackageNotFoundError:
        number = ""
    return f"{number} {platform.machine()} {sys.platform}"


def _state(file: os.stat_result) -> str:
    """What changes when a file is written, as a name."""
    parts = (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _settled(file: os.stat_result) -> bool:
    """Whether a file's last write is so long ago that the next one shows."""
    return max(file.st_mtime_ns, file.st_ctime_ns) < time.time_ns() - _TICK


def _private(folder: Path) -> Path | None:
    """The folder, made if it is missing; None where others could write into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    if not hasattr(os, "geteuid"):
        return folder  # Windows: a user's own folders are private
    folder = folder.resolve()
    safe = all(_closed(path.lstat()) for path in (folder, *folder.parents))
    return folder if safe and folder.lstat().st_uid == os.geteuid() else None


def _closed(found: os.stat_result) -> bool:
    """Whether only this user and root can put something into a folder, or a file."""
    mine = found.st_uid in (0, os.geteuid())
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return mine and (not shared or bool(found.st_mode & stat.S_ISVTX))


def _owned(path: Path) -> bool:
    """Whether there is such a file, written by this user and by nobody else."""
    try:
        found = path.lstat()
    except OSError:
        return False
    if not stat.S_ISREG(found.st_mode):
        return False
    if not hasattr(os, "geteuid"):
        return True
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return found.st_uid == os.geteuid() and not shared


def _write(path: Path, data: bytes | bytearray) -> None:
    """Write a file whole, or not at all."""
    new = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with open(new, "xb", opener=_opened) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _trim(folder: Path, newest: Path) -> None:
    """Remove the files that were not used for longest, until the others fit."""
    entries = [(p, p.lstat()) for p in folder.iterdir() if p != newest]
    excess = sum(s.st_size for _, s in entries) + newest.stat().st_size - _LIMIT
    for path, found in sorted(entries, key=lambda e: e[1].st_mtime_ns):
        if excess <= 0:
            break
        path.unlink(missing_ok=True)
        excess -= found.st_size
