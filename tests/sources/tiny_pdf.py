"""PDF files written by hand: lines of text at given places, ruled tables, and pages that are a picture alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Text = tuple[float, float, float, str]
"""Points from the left, points from the top, size, text. A text that begins with `*` is bold."""
WIDTH, HEIGHT = 612, 792


def text(items: Sequence[Text]) -> bytes:
    """Drawing commands for lines of text."""
    drawn = []
    for x, top, size, words in items:
        font = "F2" if words.startswith("*") else "F1"
        escaped = words.removeprefix("*").replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        drawn.append(f"BT /{font} {size} Tf {x} {HEIGHT - top - size} Td ({escaped}) Tj ET")
    return "\n".join(drawn).encode("latin-1")


def table(x: float, top: float, rows: Sequence[Sequence[str]], wide: float = 100, high: float = 20) -> bytes:
    """Drawing commands for a ruled table."""
    right, bottom = x + wide * len(rows[0]), top + high * len(rows)
    across = [f"{x} {HEIGHT - top - high * n} m {right} {HEIGHT - top - high * n} l S" for n in range(len(rows) + 1)]
    down = [f"{x + wide * n} {HEIGHT - top} m {x + wide * n} {HEIGHT - bottom} l S" for n in range(len(rows[0]) + 1)]
    cells = [
        (x + 4 + wide * column, top + 5 + high * row, 10.0, cell)
        for row, line in enumerate(rows)
        for column, cell in enumerate(line)
    ]
    return "\n".join(across + down).encode() + b"\n" + text(cells)


def picture() -> bytes:
    """Drawing commands for a picture as large as the page."""
    return f"q {WIDTH} 0 0 {HEIGHT} 0 0 cm /I1 Do Q".encode()


def write_pdf(path: Path, pages: Sequence[bytes]) -> Path:
    """A file of these pages."""
    kids = " ".join(f"{6 + 2 * n} 0 R" for n in range(len(pages)))
    resources = "<< /Font << /F1 3 0 R /F2 4 0 R >> /XObject << /I1 5 0 R >> >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
        b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceGray /Length 1 >>"
        b"\nstream\n\x80\nendstream",
    ]
    for number, content in enumerate(pages):
        box = f"[0 0 {WIDTH} {HEIGHT}]"
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox {box} /Resources {resources} /Contents {7 + 2 * number} 0 R >>"
        objects.append(page.encode())
        objects.append(f"<< /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream")
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    path.write_bytes(out)
    return path
