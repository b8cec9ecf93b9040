"""What the benchmark of run-time widths measures, and how it is shown."""

from benchmarks import widths
from benchmarks.result import figures_of


def made_up():
    runs = {key: {} for key in widths.FIGURES}
    runs["accuracy"][widths.BASE] = [50.0, 52.0]
    for number, share in enumerate(widths.SHARES):
        name = f"{share:g}"
        for way in widths.WAYS:
            if share != 1 or way in (widths.SHARED, widths.ALONE):
                runs["accuracy"][f"{way}, {name}"] = [60.0 - number, 62.0 - number]
        for key in ("int8_accuracy", "int8_bytes", "macs", "lite_ms", "signature_ms"):
            runs[key][name] = [100.0 / (number + 1)] * 2
    for name, size in ((widths.ONE, 1000.0), (widths.SEVERAL, 1100.0)):
        runs["export_bytes"] |= {name: [2 * size], f"{name}: variables": [size]}
    return figures_of(widths.FIGURES, runs)


def test_the_table_has_a_row_per_width():
    lines = widths.table_lines(made_up())
    rows = [line for line in lines if line.startswith(("| 1 |", "| 0."))]

    assert [row.split("|")[1].strip() for row in rows] == ["1", "0.5", "0.25"]
    assert rows[0].split("|")[2:6] == [" 61.0 % ± 1.4 ", "  ", "  ", " 61.0 % ± 1.4 "]
    assert "2,200, 1,100 of them variables" in lines[-1]
    assert len({line.count("|") for line in lines[:5]}) == 1
