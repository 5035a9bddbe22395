"""Which characters are drawn like a Latin letter, or stand for one.

A small table of what evaders use, not Unicode's whole confusables.txt (UTS 39): each row more is
a chance more to read a real word wrongly.
"""

from string import ascii_lowercase
from unicodedata import name

LOOKALIKES = {
    "a": "аɑαᴀ", "b": "ьʙβƅ", "c": "сϲᴄ", "d": "ԁɗᴅ", "e": "еҽεᴇ", "f": "ƒꜰϝ", "g": "ɡɢց",
    "h": "һհʜн", "i": "іιɪɩ", "j": "јϳᴊ", "k": "кκᴋ", "l": "ӏլʟɭ", "m": "мᴍ", "n": "ոηпɴ",
    "o": "оοօσᴏ", "p": "рρᴘ", "q": "ԛգǫ", "r": "гʀᴦ", "s": "ѕꜱ", "t": "тτᴛ", "u": "սυᴜʋ",
    "v": "ѵνᴠ", "w": "ԝѡωᴡ", "x": "хχ", "y": "уγүʏ", "z": "ᴢʐ",
    "A": "АΑᎪꓮ", "B": "ВΒᏴꓐ", "C": "СϹᏟꓚ", "D": "Ꭰꓓ", "E": "ЕΕᎬꓰ", "F": "ϜꓝҒ", "G": "Ԍꓖ",
    "H": "НΗᎻꓧ", "I": "ІΙӀꓲ", "J": "ЈᎫꓙ", "K": "КΚᏦꓗ", "L": "Ꮮꓡ", "M": "МΜᎷꓟ", "N": "Νꓠ",
    "O": "ОΟՕꓳ", "P": "РΡᏢꓑ", "Q": "Ԛ", "R": "ЯᏒꓣ", "S": "ЅᏚꓢ", "T": "ТΤᎢꓔ", "U": "Սꓴ",
    "V": "ѴᏙꓦ", "W": "ԜᎳꓪ", "X": "ХΧꓫ", "Y": "УΥҮꓬ", "Z": "ΖᏃꓜ",
}  # fmt: skip
"""By Latin letter: letters of other scripts, and small capitals, that are drawn like it."""

ENCLOSED = "".join(map(chr, (*range(0x1F150, 0x1F16A), *range(0x1F170, 0x1F18A))))
"""A to Z, white in a black circle, then in a black square. NFKC resolves the others."""

DRAWN_LIKE = "".join(LOOKALIKES.values())
STYLED = ENCLOSED + "".join(char for char in DRAWN_LIKE if name(char).startswith("LATIN"))
"""Latin letters in fancy dress: they always mean what they look like."""
FOREIGN = "".join(char for char in DRAWN_LIKE if char not in STYLED)
"""Letters of other scripts: they mean themselves, unless they stand among Latin ones."""

AS_LATIN = {ord(lookalike): letter for letter, row in LOOKALIKES.items() for lookalike in row} | {
    ord(sign): ascii_lowercase[at % 26] for at, sign in enumerate(ENCLOSED)
}
"""For `str.translate`: each look-alike as its Latin letter."""

DIGITS_AS_LETTERS = (
    str.maketrans("01345789@$!", "oieastbgasi"),
    str.maketrans("01345789@$!", "oleastbgasi"),
)
"""For `str.translate`: what digits and signs among letters stand for; a 1 is an i or an l."""
