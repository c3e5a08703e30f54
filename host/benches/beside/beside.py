"""What DuckDB and Polars take for the work of `cargo bench -- wide`, on the same input.

    DSHOST_BENCH_DATA=DIR cargo bench -p dshost -- wide
    python3 host/benches/beside/beside.py DIR

Both read files, which the page cache holds, on 1 and on 2 threads. A figure is the median of five runs,
and the million records a second that it comes to.
"""

import os
import statistics
import subprocess
import sys
import time

RUNS = 5
THREADS = (1, 2)


def duckdb_parts(folder, threads):
    """Queries by part, and how many records each processes."""
    import duckdb

    db = duckdb.connect(config={"threads": threads})
    lines = "columns={'line': 'VARCHAR'}, delim='\x01', quote='', escape='', header=false"
    pairs = "columns={'key': 'VARCHAR', 'value': 'BIGINT'}, delim=' ', header=false"
    weight = 'strlen("user") + strlen(page) + strlen(country) + cents + millis + ok::int'
    queries = {
        "wide-keys": (
            f"""create or replace temp table counts as
                select word, count(*) as number from
                (select unnest(string_split(trim(line), ' ')) as word
                 from read_csv('{folder}/keys.txt', {lines})) group by word""",
            1_000_000,
        ),
        "wide-json": (
            f"""select sum({weight}) from read_json('{folder}/visits.jsonl',
                format='newline_delimited', columns={{'user': 'VARCHAR', 'page': 'VARCHAR',
                'country': 'VARCHAR', 'cents': 'BIGINT', 'millis': 'BIGINT', 'ok': 'BOOLEAN'}})""",
            500_000,
        ),
        "wide-csv": (
            f"select sum({weight}) from read_csv('{folder}/visits.csv', header=true)",
            500_000,
        ),
        "wide-join": (
            f"""create or replace temp table joined as
                select key, l.value as v, r.value as w
                from read_csv('{folder}/left.txt', {pairs}) l
                join read_csv('{folder}/right.txt', {pairs}) r using (key)""",
            2_000_000,
        ),
    }
    for part, (query, records) in queries.items():
        yield part, lambda query=query: db.execute(query).fetchall(), records


def polars_parts(folder, _threads):
    """Queries by part; Polars takes its threads from `POLARS_MAX_THREADS`."""
    import polars as pl

    def keys():
        lines = pl.scan_csv(
            f"{folder}/keys.txt",
            has_header=False,
            separator="\x01",
            quote_char=None,
            new_columns=["line"],
        )
        words = pl.col("line").str.strip_chars().str.split(" ").explode().alias("word")
        return lines.select(words).group_by("word").len().collect()

    lengths = [pl.col(name).str.len_bytes().cast(pl.Int64) for name in ("user", "page", "country")]
    numbers = [pl.col(name).cast(pl.Int64) for name in ("cents", "millis", "ok")]
    weight = pl.sum_horizontal(lengths + numbers).sum()

    def visits_json():
        return pl.scan_ndjson(f"{folder}/visits.jsonl").select(weight).collect()

    def visits_csv():
        return pl.scan_csv(f"{folder}/visits.csv").select(weight).collect()

    def join():
        sides = [
            pl.scan_csv(
                f"{folder}/{side}.txt", has_header=False, separator=" ", new_columns=["key", side]
            )
            for side in ("left", "right")
        ]
        return sides[0].join(sides[1], on="key").collect()

    yield "wide-keys", keys, 1_000_000
    yield "wide-json", visits_json, 500_000
    yield "wide-csv", visits_csv, 500_000
    yield "wide-join", join, 2_000_000


PROGRAMS = {"duckdb": duckdb_parts, "polars": polars_parts}


def measure(program, folder, threads):
    """Prints a line per part."""
    for part, run, records in PROGRAMS[program](folder, threads):
        times = []
        for _ in range(RUNS):
            begun = time.perf_counter()
            run()
            times.append(time.perf_counter() - begun)
        seconds = statistics.median(times)
        rate = records / seconds / 1e6
        figures = f"{seconds:.3f} s, {rate:.2f} M records/s"
        print(f"  {program} {part}, {threads} threads: {figures}", flush=True)


def main():
    """Starts itself again for each program and number of threads, because Polars reads it once."""
    if len(sys.argv) == 4:
        measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))
        return
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for program in PROGRAMS:
        try:
            __import__(program)
        except ImportError:
            print(f"  {program} is not installed: `python3 -m pip install {program}`")
            continue
        for threads in THREADS:
            environment = {**os.environ, "POLARS_MAX_THREADS": str(threads)}
            command = [sys.executable, __file__, program, sys.argv[1], str(threads)]
            subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
