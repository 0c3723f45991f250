"""Draws the comparison as SVG: for each row a bar of sipfork's length where Kamailio's is the full width."""

from xml.sax.saxutils import escape

from table import ROWS

WIDTH, LEFT, BAR = 860, 20, 560  # pixels
STEP, HEIGHT = 46, 18
INK, OURS, THEIRS, LINE = "#7d8590", "#2f81f7", "#7d859055", "#d29922"  # seen on white and on black


def draw(results):
    """Only rows that compare costs: where more is better, the bar is Kamailio's value divided by ours."""
    lines, top = [], 50
    for row in ROWS:
        ours, theirs = row.medians(results)
        if not row.relative or not ours or not theirs:
            continue
        ratio = theirs / ours if row.more else ours / theirs
        mark = 1 / row.mark if row.more else row.mark
        length = min(ratio, 1.2) * BAR
        lines += [
            text(LEFT, top, f"{row.title}, {row.unit}"),
            box(top + 6, BAR, THEIRS), box(top + 6, length, OURS),
            f'<line x1="{LEFT + mark * BAR:.1f}" y1="{top + 3}" x2="{LEFT + mark * BAR:.1f}" y2="{top + 9 + HEIGHT}" '
            f'stroke="{LINE}" stroke-width="2"/>',
            text(LEFT + BAR + 16, top + 20, f"{ours:,.0f} to {theirs:,.0f}   ({ratio:.0%} of the cost)")]
        top += STEP
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}">',
        "<title>sipfork beside Kamailio: CPU time of the whole process tree</title>",
        text(LEFT, 20, "CPU time of sipfork (blue) where Kamailio's is the whole bar; the line is the mark")]
    return "\n".join([*head, *lines, "</svg>"]) + "\n"


def box(top, length, colour):
    return f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{HEIGHT}" rx="2" fill="{colour}"/>'


def text(x, y, words):
    return f'<text x="{x}" y="{y}">{escape(words)}</text>'
