"""Symbol versions of a shared library: what it needs, what the host has, and the flag that makes a need optional.

Names as in the Linux Standard Base, "Symbol Versioning": a library lists in `.gnu.version_r` which versions (say
`GLIBC_2.38`) it needs of which library, and the loader refuses it when one is missing, unless that entry is weak.
"""

import ctypes
import struct
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection, GNUVerSymSection
from elftools.elf.sections import SymbolTableSection

VER_FLG_WEAK = 0x2
_VNA_FLAGS_OFFSET = 4  # In Elf64_Vernaux: after the four bytes of vna_hash.
_VERSYM_HIDDEN = 0x8000


@dataclass(frozen=True)
class Need:
    """One version that a library needs of another one.

    Attributes:
      library: the other library's name, as `libc.so.6`.
      version: the version's name, as `GLIBC_2.38`.
      weak: whether the loader goes on without it.
      symbols: the undefined symbols that are bound to it.
      flags_at: where its 16 flag bits lie, in bytes from the file's beginning.
    """

    library: str
    version: str
    weak: bool
    symbols: frozenset[str]
    flags_at: int


def list_needs(path: Path) -> list[Need]:
    """Every version that the library at `path` needs, in the file's order."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        section = elf.get_section_by_name(".gnu.version_r")
        if not isinstance(section, GNUVerNeedSection):
            return []
        symbols = _list_undefined_symbols(elf)
        found = []
        entry_at = section["sh_offset"]
        for library, versions in section.iter_versions():
            version_at = entry_at + library["vn_aux"]
            for version in versions:
                found.append(
                    Need(
                        library=str(library.name),
                        version=version.name,
                        weak=bool(version["vna_flags"] & VER_FLG_WEAK),
                        symbols=frozenset(symbols.get(version["vna_other"], ())),
                        flags_at=version_at + _VNA_FLAGS_OFFSET,
                    )
                )
                version_at += version["vna_next"]
            entry_at += library["vn_next"]
        return found


def list_unmet_needs(path: Path) -> list[Need]:
    """The needs of the library at `path` for which the host's libraries are too old, weak ones included."""
    return [
        need for need in list_needs(path) if need.version not in list_defined_versions(find_host_library(need.library))
    ]


def make_weak(path: Path, optional: list[Need]) -> None:
    """Marks needs of the library at `path` as weak, in place: two bytes each, nothing moves."""
    with path.open("r+b") as file:
        for need in optional:
            file.seek(need.flags_at)
            (flags,) = struct.unpack("<H", file.read(2))
            file.seek(need.flags_at)
            file.write(struct.pack("<H", flags | VER_FLG_WEAK))


def list_defined_versions(path: Path) -> set[str]:
    """The versions that the library at `path` offers."""
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".gnu.version_d")
        if not isinstance(section, GNUVerDefSection):
            return set()
        return {next(iter(names)).name for _, names in section.iter_versions()}


def list_defined_symbols(path: Path) -> set[str]:
    """The dynamic symbols that the library at `path` itself defines."""
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".dynsym")
        if not isinstance(table, SymbolTableSection):
            return set()
        return {symbol.name for symbol in table.iter_symbols() if symbol["st_shndx"] != "SHN_UNDEF"}


def is_shared_library(path: Path) -> bool:
    """Whether `path` is an ELF file at all (wheels hold text files that end in .so too)."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def find_host_library(name: str) -> Path:
    """Where the loader finds a library such as `libstdc++.so.6` for this very Python.

    Raises:
      OSError: it finds none.
    """
    ctypes.CDLL(name)
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        *_, path = line.split(maxsplit=5)
        # The mapped file may carry more digits than the name that was asked for: libstdc++.so.6.0.30.
        if Path(path).name == name or Path(path).name.startswith(f"{name}."):
            return Path(path)
    raise OSError(f"{name} is loaded, but /proc/self/maps does not show from where")


def _list_undefined_symbols(elf: ELFFile) -> dict[int, list[str]]:
    """Undefined dynamic symbols by the index of the version they are bound to (`vna_other`)."""
    versions = elf.get_section_by_name(".gnu.version")
    table = elf.get_section_by_name(".dynsym")
    if not isinstance(versions, GNUVerSymSection) or not isinstance(table, SymbolTableSection):
        return {}
    found: dict[int, list[str]] = {}
    for symbol, version in zip(table.iter_symbols(), versions.iter_symbols(), strict=True):
        index = version["ndx"]
        if symbol["st_shndx"] == "SHN_UNDEF" and isinstance(index, int):
            found.setdefault(index & ~_VERSYM_HIDDEN, []).append(symbol.name)
    return found
