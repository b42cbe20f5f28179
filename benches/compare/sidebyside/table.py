"""Plain text tables for a terminal."""

NOT_RUN = "not run"


def number(value, digits=3):
    """A figure with `digits` significant digits and grouped thousands; None is a dash."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 10 ** digits:
        return f"{round(value):,}"
    if value == 0:
        return "0"
    return f"{value:.{digits}g}"


def megabytes(value):
    """Bytes as MB."""
    return "-" if value is None else f"{value / 1e6:,.1f}"


def show(title, head, rows, notes=()):
    """Prints a table: the first column to the left, the others to the right."""
    cells = [list(map(str, head))] + [[number(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]

    def line(row):
        first, *others = (cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        return "  ".join([first, *others]).rstrip()

    print(f"\n{title}\n{line(cells[0])}\n{'  '.join('-' * w for w in widths)}")
    for row in cells[1:]:
        print(line(row))
    for note in notes:
        print(f"  {note}")
    print(flush=True)
