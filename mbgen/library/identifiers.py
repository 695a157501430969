"""The one name a library has: prefix of its C symbols, stem of its files, CMake target.

Knows what C, C++, CMake and file systems reserve. May not know models or templates.
"""

from __future__ import annotations

import re
import unicodedata

from mbgen.errors import InputError

LIMIT = 32  # leaves half of the 63 characters that C compares in an identifier for what mbgen appends

_KEYWORDS_C = """
auto break case char const continue default do double else enum extern float for goto if inline int long register
restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
alignas alignof bool constexpr false nullptr static_assert thread_local true typeof typeof_unqual
"""
_KEYWORDS_CPP = """
asm catch char8_t char16_t char32_t class concept consteval constinit const_cast co_await co_return co_yield decltype
delete dynamic_cast explicit export friend mutable namespace new noexcept operator private protected public
reinterpret_cast requires static_cast template this throw try typeid typename using virtual wchar_t
and and_eq bitand bitor compl not not_eq or or_eq xor xor_eq
"""
_SYSTEM_HEADERS = """
assert complex ctype endian errno features fenv float inttypes iso646 limits locale malloc math memory setjmp signal
stdalign stdarg stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string strings tgmath
threads time uchar unistd wchar wctype
"""
_RESERVED = {
    word: reason
    for reason, words in (
        ("is a keyword of C", _KEYWORDS_C),
        ("is a keyword of C++", _KEYWORDS_CPP),
        ("is the name of a system header, which include/NAME.h would hide", _SYSTEM_HEADERS),
        ("is a target of CMake's own", "all clean depend edit_cache help install package rebuild_cache test"),
        ("is a device on Windows, where no file may have that name", "aux con nul prn"),
    )
    for word in words.split()
}


def check_name(name: str) -> str:
    """Return `name` if it can be a library's name, else raise InputError with the reason and a name that can."""
    reason = _objection(name)
    if reason is not None:
        raise InputError(
            f"{name!r} cannot be the library's name: {reason}. "
            f"It is the prefix of every C symbol; try {name_from_stem(name)!r}"
        )
    return name


def name_from_stem(stem: str) -> str:
    """A library name from any text, such as a model file's name without its suffix."""
    ascii_text = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode("ascii")
    name = re.sub(r"[^a-z0-9]+", "_", ascii_text.lower()).strip("_")
    if not name:
        return "network"
    if name[0].isdigit():
        name = f"net_{name}"
    name = name[:LIMIT].rstrip("_")
    return name if _objection(name) is None else f"{name}_net"


def _objection(name: str) -> str | None:
    if not name:
        return "it is empty"
    if not name.isascii():
        return "it holds characters outside ASCII"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return "it is not a C identifier (letters, digits and underscores, no digit first)"
    if name.startswith("_") or name.endswith("_") or "__" in name:
        return "C and C++ reserve a leading underscore and two in a row (one is appended to the name)"
    if len(name) > LIMIT:
        return f"it has {len(name)} characters and {LIMIT} is the most"
    reason = _RESERVED.get(name.lower())
    return None if reason is None else f"it {reason}"
