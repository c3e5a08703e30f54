//! `--profile-guests`: what `perf` finds of the guests of a job; and `cargo bench -- profile`, which
//! folds what `perf` says.

#[path = "../../host/benches/throughput/profile/fold.rs"]
mod fold;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::support::{Folder, Running, dshost, finish, stderr, stdout};

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

/// Runs the job to its end in `dir`, told to tell a profiler in `form`; its process and its output.
fn profiled(folder: &Folder, topology: &Path, form: &str, dir: &Path) -> (u32, Output) {
    let input = File::open(folder.file("lines.txt", "to be\n")).unwrap();
    let child = dshost()
        .stdin(input)
        .args(["run", "--once", "--profile-guests", form])
        .arg(topology)
        .current_dir(dir)
        .env("XDG_CACHE_HOME", folder.path.path().join("cache"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = child.id();
    (process, finish(Running { child }))
}

#[test]
fn a_map_names_the_users_functions_also_of_code_from_the_cache() {
    let (folder, topology) = job();
    for start in ["compiled", "from the cache"] {
        let (process, output) = profiled(&folder, &topology, "perf-map", folder.path.path());
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stdout(&output).contains("to\nbe\n"), "{}", stdout(&output));
        let path = format!("/tmp/perf-{process}.map");
        let map = fs::read_to_string(&path).unwrap();
        fs::remove_file(path).unwrap();
        let of_split = |line: &&str| line.contains("wordcount::split") && line.contains("::run");
        let line = map.lines().find(of_split);
        let line = line.unwrap_or_else(|| panic!("{start}: {map}"));
        let mut parts = line.split(' ');
        for number in [parts.next(), parts.next()] {
            let number = number.unwrap().trim_start_matches("0x");
            assert_ne!(u64::from_str_radix(number, 16).unwrap(), 0, "{line}");
        }
    }
}

#[test]
fn a_dump_holds_the_machine_code() {
    let (folder, topology) = job();
    let dir = folder.path.path();
    let (process, output) = profiled(&folder, &topology, "jitdump", dir);
    assert!(output.status.success(), "{}", stderr(&output));
    let dump = fs::read(dir.join(format!("jit-{process}.dump"))).unwrap();
    let magic = u32::from_ne_bytes(*dump.first_chunk().unwrap());
    assert_eq!(magic, 0x4a69_5444, "\"JiTD\", as the format says");
    let name = b"wordcount::split";
    assert!(dump.windows(name.len()).any(|bytes| bytes == name));
}

#[test]
fn who_did_not_ask_for_names_gets_no_file() {
    let (folder, topology) = job();
    let (process, output) = profiled(&folder, &topology, "off", folder.path.path());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!Path::new(&format!("/tmp/perf-{process}.map")).exists());
}

#[test]
fn guests_without_names_are_told_by_number() {
    let (folder, topology) = job();
    let plugin = folder.plugin("wordcount");
    // A custom section of another name means nothing.
    let mut component = fs::read(&plugin).unwrap();
    let (section, other) = (b"\x04name", b"\x04none");
    let found = (0..component.len()).filter(|at| component[*at..].starts_with(section));
    let found: Vec<usize> = found.collect();
    assert_ne!(found, [], "a component has names");
    for at in found {
        component[at..at + other.len()].copy_from_slice(other);
    }
    fs::write(&plugin, component).unwrap();
    let (process, output) = profiled(&folder, &topology, "perf-map", folder.path.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let path = format!("/tmp/perf-{process}.map");
    let map = fs::read_to_string(&path).unwrap();
    fs::remove_file(path).unwrap();
    assert!(!map.contains("wordcount::split"), "{map}");
    assert!(map.contains("::function["), "{map}");
}

#[test]
fn a_place_that_cannot_be_written_to_is_told() {
    let (folder, topology) = job();
    // Nobody makes files there.
    let (process, output) = profiled(&folder, &topology, "jitdump", Path::new("/proc"));
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    let wanted = format!(
        "cannot write the names of guests' functions for a profiler to `/proc/jit-{process}.dump`"
    );
    assert!(stderr(&output).contains(&wanted), "{}", stderr(&output));
}

// === the bench's table ===

/// Samples of process 7 and of another one, as `perf script` writes them.
const SAMPLES: &str = "\
  7/7    55d0c0de1000 _ZN6dshost6driver6report4made17h0123456789abcdefE (/b/throughput)
  7/8    7f0000001000 <dshost_guest::link::narrow::MapRecords<dshost_guest::record::Unkeyed\
<dshost_guest::column::pieces::Text>, (), fn(i64) -> i64, <wordcount::split as \
dshost_guest::definition::Plugged>::item::{closure#0}> as dshost_guest::shape::Link>::run \
(/tmp/perf-7.map)
  7/8    7f0000001008 <dshost_guest::link::narrow::MapRecords<(), (), (), <wordcount::split as \
dshost_guest::definition::Plugged>::item::{closure#0}> as dshost_guest::shape::Link>::run \
(/tmp/perf-7.map)
  7/8    7f0000002000 <alloc::raw_vec::RawVec<u32>>::grow_one (/tmp/perf-7.map)
  7/8    7f0000003000 wasm[0]::function[12] (/tmp/perf-7.map)
  7/8    55d0c0de2000 _ZN6dshost6plugin4lift7columns4text17h0123456789abcdefE (/b/throughput)
  7/9    55d0c0de3000 _ZN4core3ptr46drop_in_place$LT$dshost..batch..chunk..Chunk$GT$17h0123456789\
abcdefE (/b/throughput)
  7/9    55d0c0de4000 _ZN99_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..iter..Extend$LT$T$GT$$GT\
$6extend17h0123456789abcdefE (/b/throughput)
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
