"""ICC profiles built by hand (ICC.1:2001-04), and the colors that they mean, worked out without LittleCMS."""

import struct

import numpy as np

# Linear RGB to XYZ, adapted to D50 by Bradford's matrix, from the primaries of each standard.
TO_D50 = {
    "srgb": [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]],
    "p3": [[0.515102, 0.291965, 0.157153], [0.241182, 0.692236, 0.066582], [-0.001049, 0.041882, 0.784378]],
    "adobe": [[0.6097559, 0.2052401, 0.1492240], [0.3111242, 0.6256560, 0.0632197], [0.0194811, 0.0608902, 0.7448387]],
}
_D50 = (0.9642, 1.0, 0.8249)


def srgb_curve(values):
    """0..1 as stored to 0..1 linear (IEC 61966-2-1)."""
    values = np.asarray(values, float)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def stored_srgb(linear):
    """Linear to levels 0..255, not rounded."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def to_srgb(pixels, space="p3", curve=srgb_curve):
    """[..., 3] levels in `space` -> [..., 3] levels in sRGB, not rounded."""
    matrix = np.linalg.inv(TO_D50["srgb"]) @ np.array(TO_D50[space])
    return stored_srgb(curve(np.asarray(pixels) / 255) @ matrix.T)


def profile(space=b"RGB ", kind=b"mntr", connection=b"XYZ ", **tags):
    """A profile of version 2.1 with these tags, and what every profile has."""
    tags = {"desc": _description(b"made up"), "cprt": b"text\0\0\0\0none\0", "wtpt": xyz(*_D50), **tags}
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name.encode() + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"none", 0x02100000, kind, space, connection)
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp").ljust(44, b"\0")
    header += struct.pack(">3i", *(round(65536 * value) for value in _D50))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def matrix_profile(space="p3", curve=None):
    """Three colorants and one curve; by default sRGB's, as a table of 1024 values."""
    curve = curve or table_curve(srgb_curve(np.linspace(0, 1, 1024)))
    columns = np.array(TO_D50[space]).T
    colorants = {f"{name}XYZ": xyz(*column) for name, column in zip("rgb", columns, strict=True)}
    return profile(**colorants, **{f"{name}TRC": curve for name in "rgb"})


def gray_profile(gamma):
    return profile(space=b"GRAY", kTRC=gamma_curve(gamma))


def cmyk_profile(lab_of_inks):
    """A printer's profile: `lab_of_inks` gives (L, a, b) of each of the 16 full overprints (c, m, y, k)."""
    corners = [lab_of_inks(*(number >> shift & 1 for shift in (3, 2, 1, 0))) for number in range(16)]
    to_lab = bytes(round(value) for light, a, b in corners for value in (light * 2.55, a + 128, b + 128))
    # The way back: black ink for what is dark, none for what is light.
    to_inks = b"".join(bytes([0, 0, 0, 0 if number & 4 else 255]) for number in range(8))
    return profile(b"CMYK", b"prtr", b"Lab ", A2B0=_lut(4, 3, to_lab), B2A0=_lut(3, 4, to_inks))


def xyz(*values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in values))


def gamma_curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def table_curve(values):
    levels = np.round(65535 * np.asarray(values)).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(levels)) + levels.tobytes()


def parametric_curve(kind, *parameters):
    numbers = [round(65536 * parameter) for parameter in parameters]
    return b"para\0\0\0\0" + struct.pack(f">HH{len(numbers)}i", kind, 0, *numbers)


def _lut(inputs, outputs, corners):
    identity = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    return b"mft1\0\0\0\0" + bytes([inputs, outputs, 2, 0]) + matrix + identity * inputs + corners + identity * outputs


def _description(text):
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(8) + bytes(3 + 67)
