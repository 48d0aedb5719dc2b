"""How far two colours are apart, for people with and without all three cones, and how far a colour is from white."""

import numpy as np

TO_XYZ = np.array(  # of linear sRGB, D65 (IEC 61966-2-1)
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
SEEN_AS = {  # linear sRGB as a dichromat sees it: Machado, Oliveira & Fernandes 2009, severity 1
    "all cones": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}


def linear(colours: np.ndarray) -> np.ndarray:
    """sRGB from 0 to 1, [..., 3], as light."""
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def contrast_with_white(colours: np.ndarray) -> np.ndarray:
    """From 1 to 21 (WCAG 2, relative luminance)."""
    return 1.05 / (linear(colours) @ TO_XYZ[1] + 0.05)


def lab(colours: np.ndarray, eyes: str = "all cones") -> np.ndarray:
    """CIE L*a*b* of sRGB colours [..., 3] as these eyes see them."""
    seen = np.clip(linear(colours) @ SEEN_AS[eyes].T, 0, 1)
    x = seen @ TO_XYZ.T / WHITE
    f = np.where(x > 216 / 24389, np.cbrt(x), (24389 / 27 * x + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def ciede2000(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The difference of two L*a*b* colours [..., 3]: Sharma, Wu & Dalal 2005, with their names."""
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(one, -1, 0), np.moveaxis(other, -1, 0)
    g = 0.5 * (1 - _seventh((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    grey = c1 * c2 == 0
    dh = np.where(grey, 0, (h2 - h1 + 180) % 360 - 180)
    dh = np.where((h2 - h1 == 180) & ~grey, 180, dh)
    big_dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh) / 2)
    total = h1 + h2
    far = np.where(total < 360, (total + 360) / 2, (total - 360) / 2)
    h = np.where(grey, total, np.where(np.abs(h1 - h2) <= 180, total / 2, far))
    lightness, c = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 - 0.17 * _cos(h - 30) + 0.24 * _cos(2 * h) + 0.32 * _cos(3 * h + 6) - 0.2 * _cos(4 * h - 63)
    s_l = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)
    s_c, s_h = 1 + 0.045 * c, 1 + 0.015 * c * t
    turn = -np.sin(np.radians(60 * np.exp(-(((h - 275) / 25) ** 2)))) * 2 * _seventh(c)
    parts = (l2 - l1) / s_l, (c2 - c1) / s_c, big_dh / s_h
    return np.sqrt(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2 + turn * parts[1] * parts[2])


def _seventh(c: np.ndarray) -> np.ndarray:
    return np.sqrt(c**7 / (c**7 + 25.0**7))


def _cos(degrees: np.ndarray) -> np.ndarray:
    return np.cos(np.radians(degrees))
