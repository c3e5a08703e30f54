//! `--profile-guests`: what `perf` finds of the guests of a job; and `cargo bench -- profile`, which
//! folds what `perf` says.

#[path = "../../host/benches/throughput/profile/fold.rs"]
mod fold;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Folder, Running, assert_said, dshost, finish, stderr, stdout};
use fold::{Profile, Row};

const TOPOLOGY: &str = r#"
[topology]
batch = "100ms"
checkpoint = false
[plugins]
dir = "plugins"
[source.lines]
type = "stdin"
[stream.words]
from = "lines"
op = "flat_map"
function = "wordcount/split"
[sink.out]
from = "words"
type = "print"
"#;

/// A folder with a job, and a cache of compiled code for it alone.
fn job() -> (Folder, PathBuf) {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let topology = folder.topology(TOPOLOGY);
    (folder, topology)
}

/// Runs the job to its end with `--profile-guests FORM`; its map, if it has left one, and its output.
fn profiled(folder: &Folder, topology: &Path, form: &str) -> Option<String> {
    let input = File::open(folder.file("lines.txt", "to be\n")).unwrap();
    let child = dshost()
        .args(["run", "--once", "--profile-guests", form])
        .arg(topology)
        .env("XDG_CACHE_HOME", folder.path.path().join("cache"))
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let path = format!("/tmp/perf-{}.map", child.id());
    let output = finish(Running { child });
    let map = fs::read_to_string(&path).ok();
    // Before anything else can fail: it lies where all processes write theirs.
    let _ = fs::remove_file(path);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_said(&stdout(&output), &["to\nbe\n"]);
    map
}

#[test]
fn a_map_names_the_users_functions_also_of_code_from_the_cache() {
    let (folder, topology) = job();
    for start in ["compiled", "from the cache"] {
        let map = profiled(&folder, &topology, "perf-map");
        let map = map.unwrap();
        let of_split = |line: &&str| line.contains("::split as ") && line.ends_with("::run");
        let line = map.lines().find(of_split);
        let line = line.unwrap_or_else(|| panic!("{start}: {map}"));
        for number in line.split(' ').take(2) {
            let digits = number.trim_start_matches("0x");
            assert_ne!(u64::from_str_radix(digits, 16).unwrap(), 0, "{line}");
        }
    }
}

#[test]
fn who_does_not_ask_for_names_gets_no_file() {
    let (folder, topology) = job();
    let map = profiled(&folder, &topology, "off");
    assert_eq!(map, None);
}

#[test]
fn guests_without_names_are_told_by_number() {
    let (folder, topology) = job();
    let plugin = folder.plugin("wordcount");
    let mut component = fs::read(&plugin).unwrap();
    // A custom section of another name means nothing. What begins with a subsection is no field of
    // a record that has the same name.
    let (section, other) = (b"\x04name", b"\x04none");
    let begins = |at: &usize| {
        let rest = component[*at..].strip_prefix(section);
        matches!(rest, Some([0 | 1, ..]))
    };
    let found: Vec<usize> = (0..component.len()).filter(begins).collect();
    assert!(!found.is_empty(), "a component has names");
    for at in found {
        component[at..at + other.len()].copy_from_slice(other);
    }
    fs::write(&plugin, component).unwrap();
    let map = profiled(&folder, &topology, "perf-map");
    let map = map.unwrap();
    assert!(!map.contains("::split as "), "{map}");
    assert!(map.contains("::function["), "{map}");
}

#[test]
fn a_map_that_cannot_be_written_is_told() {
    let (_folder, topology) = job();
    // Where the map is to lie lies a directory: the shell has the number that the job will have.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "mkdir /tmp/perf-$$.map && exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_dshost"))
        .args(["run", "--once", "--profile-guests", "perf-map"])
        .arg(topology)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = shell.spawn().unwrap();
    let path = format!("/tmp/perf-{}.map", child.id());
    let output = finish(Running { child });
    fs::remove_dir(&path).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let told = format!("cannot write the names of guests' functions for a profiler to `{path}`");
    assert_said(&stderr(&output), &[&told, "caused by: "]);
}

// === the bench's table ===

/// Samples of process 7 and of another one, as `perf script` writes them.
const SAMPLES: &str = "\
  7/7    55d0c0de1000 _ZN6dshost6driver6report4made17h0123456789abcdefE (/b/throughput)
  7/8    7f0000001000 <dshost_guest[e9cf42db0719cfde]::link::narrow::MapRecords<dshost_guest\
[e9cf42db0719cfde]::record::Unkeyed, (), fn(i64) -> i64, <wordcount[f57368fb829ede4d]::split as \
dshost_guest[e9cf42db0719cfde]::definition::Plugged>::item::{closure#0}> as dshost_guest::shape::Link>::run \
(/tmp/perf-7.map)
  7/8    7f0000001008 <dshost_guest::link::narrow::MapRecords<(), (), (), <wordcount::split as \
dshost_guest::definition::Plugged>::item::{closure#0}> as dshost_guest::shape::Link>::run \
(/tmp/perf-7.map)
  7/8    7f0000002000 <alloc::raw_vec::RawVec<u32>>::grow_one (/tmp/perf-7.map)
  7/8    7f0000003000 wasm[0]::function[12] (/tmp/perf-7.map)
  7/8    55d0c0de2000 _ZN6dshost6plugin4lift7columns4text17h0123456789abcdefE (/b/throughput)
  7/9    55d0c0de3000 _ZN4core3ptr48drop_in_place$LT$dshost..batch..chunk..Chunk$GT$17h012345678\
9abcdefE (/b/throughput)
  7/9    55d0c0de4000 _ZN72_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..iter..Extend$LT$T$GT$$\
GT$6extend17h0123456789abcdefE (/b/throughput)
  7/9    7f0000004000 __memmove_avx512_unaligned_erms (/usr/lib/libc.so.6)
  7/9    7f0000004100 _int_malloc (/usr/lib/libc.so.6)
  7/9    7f0000004200 [unknown] (/usr/lib/libc.so.6)
  7/9    ffffffff81000000 clear_page_erms ([kernel.kallsyms])
  7/9    ffffffff82000000 [unknown] ([unknown])
  8/8    55d0c0de2000 main (/b/generator)
perf: a line that is no sample
";

fn told(rows: &[Row]) -> Vec<String> {
    let row = |row: &Row| format!("{} {}", row.samples, row.name);
    rows.iter().map(row).collect()
}

#[test]
fn every_sample_of_the_jobs_threads_has_a_stage() {
    let profile = Profile::fold(SAMPLES.lines(), 7);
    let expected = [
        "2 guest: split, in MapRecords::run",
        "1 guest: RawVec::grow_one",
        "1 guest: wasm[0]::function[12]",
        "1 batch: columns",
        "1 copies: memcpy, memmove",
        "1 malloc",
        "1 plugin: lift",
        "1 standard library",
        "1 kernel: pages",
        "1 kernel: rest",
        "1 unknown: libc.so.6",
    ];
    assert_eq!(told(&profile.stages()), expected);
    // Without the main thread's, the other process's, and the line that is none.
    assert_eq!(profile.samples(), 12);
    assert!(profile.saw_kernel());
    let symbols = told(&profile.symbols());
    let lifted = "1 plugin: lift: dshost::plugin::lift::columns::text".to_owned();
    assert!(symbols.contains(&lifted), "{symbols:?}");
}

#[test]
fn rare_stages_are_one_row_and_not_lost() {
    let often = "7/8 1000 malloc (/usr/lib/libc.so.6)\n".repeat(20_000);
    let profile = Profile::fold(often.lines().chain(SAMPLES.lines()), 7);
    let expected = ["20001 malloc", "11 other, each below 0.1 %"];
    assert_eq!(told(&profile.stages()), expected);
}

#[test]
fn of_nothing_there_is_no_row() {
    let profile = Profile::fold([], 7);
    assert_eq!(profile.stages(), []);
    assert!(!profile.saw_kernel());
}
