"""Draws the comparison as SVG: for each row a bar of sipfork's value, where Kamailio's is the full length."""

from xml.sax.saxutils import escape

from table import ROWS

WIDTH, LEFT, BAR = 860, 20, 520  # pixels
LONGEST = 1.1  # a bar that goes beyond Kamailio's ends there
STEP, HEIGHT, TOP = 48, 18, 58
INK, OURS, THEIRS, MARK = "#7d8590", "#2f81f7", "#7d8590", "#d29922"  # seen on white and on black
HEAD = "sipfork (blue) beside Kamailio (grey, the whole bar): less is better. The line is the mark."


def draw(results):
    """Rows that both have a value in. Where more is better, the bar is Kamailio's value divided by ours: the cost."""
    lines, top = [], TOP
    for row in ROWS:
        ours, theirs = row.medians(results)
        if not ours or not theirs:
            continue
        ratio = theirs / ours if row.more else ours / theirs
        lines += [
            text(LEFT, top, f"{row.title}, {row.unit}"), box(top + 7, BAR, THEIRS, 0.35),
            box(top + 7, min(ratio, LONGEST) * BAR, OURS),
            text(LEFT + LONGEST * BAR + 16, top + 21, f"{ours:,.0f} : {theirs:,.0f}")]
        if row.relative:
            x = LEFT + BAR * (1 / row.mark if row.more else row.mark)
            lines.append(f'<path d="M{x:.1f} {top + 4}v{HEIGHT + 6}" stroke="{MARK}" stroke-width="2"/>')
        top += STEP
    height = top - 10
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}">',
        f"<title>{HEAD}</title>", text(LEFT, 22, HEAD)]
    return "\n".join([*head, *lines, "</svg>"]) + "\n"


def box(top, length, colour, opacity=1):
    size = f'width="{length:.1f}" height="{HEIGHT}" rx="2"'
    return f'<rect x="{LEFT}" y="{top}" {size} fill="{colour}" opacity="{opacity}"/>'


def text(x, y, words):
    return f'<text x="{x:g}" y="{y}">{escape(words)}</text>'
