//! The log under crashes, faults and bad disks.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use super::*;
use crate::batch::position::{LaneName, PartName, Position};
use crate::batch::sink::JobId;
use crate::journal::disk::real::RealDisk;
use crate::journal::disk::simulated::{Fault, SimulatedDisk};
use crate::journal::frame::ALIGN;
use crate::topology::problem::with_causes;

const DIR: &str = "/job/journal";

const fn start(number: u64) -> Incarnation {
    Incarnation {
        job: JobId(1),
        number,
    }
}

fn block(number: u64) -> BlockName {
    BlockName {
        source: "lines".to_owned(),
        part: PartName {
            lane: LaneName("1.1".to_owned()),
            from: Position::number(number),
            upto: Position::number(number + 1),
            facts: Vec::new(),
        },
    }
}

fn open(disk: &SimulatedDisk, number: u64) -> Result<(LocalLog, Vec<LogGroup>), JournalError> {
    LocalLog::open(Arc::new(disk.clone()), Path::new(DIR), start(number))
}

fn entries(groups: &[LogGroup]) -> Vec<&[u8]> {
    groups.iter().map(|group| &*group.entries).collect()
}

/// The file of a segment.
fn file(number: u64) -> PathBuf {
    Path::new(DIR).join(segment::file_name(number))
}

/// A disk with a log of one segment per start, each of so many groups and a block before each.
fn written(starts: u64, groups: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(0);
    for start in 1..=starts {
        let (mut log, _) = open(&disk, start).unwrap();
        for group in 0..groups {
            let number = start * 100 + group;
            log.keep(&block(number), &[b"block ", &[number as u8; 5]])
                .unwrap();
            log.append(number.to_string().as_bytes());
            log.sync().unwrap();
        }
    }
    disk
}

fn damage(disk: &SimulatedDisk) -> String {
    match open(disk, 9) {
        Ok((_, groups)) => panic!("opened with {} groups", groups.len()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_was_appended_is_found_again_in_its_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let open = |number| LocalLog::open(Arc::new(RealDisk), &path, start(number)).unwrap();
    let (mut log, groups) = open(1);
    assert!(groups.is_empty());
    assert_eq!(log.append(b"one"), LogPosition(1));
    log.keep(&block(1), &[b"some ", b"bytes"]).unwrap();
    assert_eq!(log.read(&block(1)).unwrap().unwrap(), b"some bytes");
    assert_eq!(log.append(b""), LogPosition(2));
    log.sync().unwrap();
    drop(log);
    let (mut log, groups) = open(2);
    assert_eq!(entries(&groups), [&b"one"[..], b""]);
    assert_eq!(log.read(&block(1)).unwrap().unwrap(), b"some bytes");
    assert_eq!(log.read(&block(2)).unwrap(), None);
    assert_eq!(log.append(b"three"), LogPosition(3));
    log.sync().unwrap();
    std::fs::write(path.join("notes.txt"), "not ours").unwrap();
    std::fs::create_dir(path.join("0000000000000099.log")).unwrap();
    let (_, groups) = open(3);
    assert_eq!(groups[2].position, LogPosition(3));
    let incarnations: Vec<u64> = groups.iter().map(|group| group.incarnation).collect();
    assert_eq!(incarnations, [1, 1, 2]);
}

/// What a run of random operations must find again.
#[derive(Default)]
struct Expected {
    durable: Vec<Vec<u8>>,
    /// Appended since.
    loose: Vec<Vec<u8>>,
    blocks: BTreeMap<u64, Vec<u8>>,
    loose_blocks: BTreeMap<u64, Vec<u8>>,
}

#[test]
fn whatever_crashes_come_what_was_synced_is_there_and_of_the_rest_a_beginning() {
    for seed in 0..300 {
        let mut random = SmallRng::seed_from_u64(seed);
        let disk = SimulatedDisk::new(seed);
        let mut expected = Expected::default();
        let mut number = 0;
        for incarnation in 1..8 {
            if random.random_range(0..3) == 0 {
                // Opening dies, too.
                disk.fail_after(random.random_range(0..6), Fault::Death);
                if open(&disk, incarnation).is_err() {
                    disk.crash();
                }
                disk.crash();
            }
            let (mut log, groups) = open(&disk, incarnation).unwrap_or_else(|error| {
                panic!("seed {seed}: {error:?}");
            });
            let found: Vec<Vec<u8>> = groups.into_iter().map(|group| group.entries).collect();
            let all = [&expected.durable[..], &expected.loose[..]].concat();
            assert!(found.len() >= expected.durable.len(), "seed {seed}");
            assert_eq!(found, all[..found.len()], "seed {seed}");
            for (number, bytes) in &expected.blocks {
                let read = log.read(&block(*number)).unwrap();
                assert_eq!(read.as_ref(), Some(bytes), "seed {seed}");
            }
            for (number, bytes) in std::mem::take(&mut expected.loose_blocks) {
                // Whole or not at all.
                if let Some(read) = log.read(&block(number)).unwrap() {
                    assert_eq!(read, bytes, "seed {seed}");
                    expected.blocks.insert(number, bytes);
                }
            }
            (expected.durable, expected.loose) = (found, Vec::new());
            disk.fail_after(random.random_range(0..30), Fault::Death);
            for _ in 0..30 {
                number += 1;
                let bytes = vec![number as u8; random.random_range(0..50)];
                let done = match random.random_range(0..4) {
                    0 => {
                        log.append(&bytes);
                        expected.loose.push(bytes);
                        Ok(())
                    }
                    1 => {
                        expected.loose_blocks.insert(number, bytes.clone());
                        log.keep(&block(number), &[&bytes])
                    }
                    2 => log.write(),
                    _ => log.sync().map(|()| {
                        expected.durable.append(&mut expected.loose);
                        expected.blocks.append(&mut expected.loose_blocks);
                    }),
                };
                if done.is_err() {
                    break;
                }
            }
            match random.random() {
                true => disk.crash(),
                false => disk.kill(),
            }
        }
    }
}

#[test]
fn what_only_its_process_left_is_made_durable_before_it_is_believed() {
    let disk = written(1, 2);
    let (mut log, _) = open(&disk, 2).unwrap();
    log.append(b"written and not synced");
    log.write().unwrap();
    disk.kill();
    let (_, found) = open(&disk, 3).unwrap();
    assert_eq!(found.len(), 3);
    disk.crash();
    let (_, again) = open(&disk, 4).unwrap();
    assert_eq!(again, found);
}

#[test]
fn what_is_too_large_is_an_error() {
    let disk = SimulatedDisk::new(0);
    let (mut log, _) = open(&disk, 1).unwrap();
    let part = vec![0; MAX_PAYLOAD / 4];
    let error = log.keep(&block(1), &[&part[..]; 5]).unwrap_err();
    let JournalError::Disk { source, .. } = error else {
        panic!("{error:?}")
    };
    let told = source.to_string();
    assert!(
        told.starts_with("a part of source `lines` has 13"),
        "{told}"
    );
    log.sync().unwrap_err();
}

#[test]
fn the_tail_may_be_cut_at_every_byte_of_the_last_records() {
    let whole = written(2, 4);
    let (_, groups) = open(&written(2, 4), 9).unwrap();
    let path = file(2);
    let length = whole.read(&path).unwrap().len();
    for cut in length - 3 * 72..length {
        for zeros in [false, true] {
            let disk = written(2, 4);
            disk.truncate(&path, cut as u64).unwrap();
            if zeros {
                disk.extend(&path, &[0; 100]);
            }
            let (mut log, found) = open(&disk, 9).unwrap();
            assert!(
                found.len() >= 6 && groups.starts_with(&found),
                "cut at {cut}"
            );
            log.append(b"more");
            log.sync().unwrap();
            let (_, again) = open(&disk, 10).unwrap();
            assert_eq!(again.len(), found.len() + 1);
        }
    }
}

#[test]
fn damage_in_the_middle_is_told_and_never_passed_over() {
    let disk = written(2, 3);
    let length = disk.read(&file(1)).unwrap().len();
    let (_, whole) = open(&disk, 9).unwrap();
    for at in 0..length {
        let disk = written(2, 3);
        disk.flip(&file(1), at);
        match open(&disk, 9) {
            // Zeros between two records mean nothing.
            Ok((_, groups)) => assert_eq!(groups, whole, "byte {at}"),
            Err(JournalError::Damaged { .. }) => {}
            Err(error) => panic!("byte {at}: {error:?}"),
        }
    }
    // Of the last segment all but what was written last: that may be torn.
    let last = written(2, 2).read(&file(2)).unwrap().len();
    for at in (0..last).step_by(ALIGN) {
        let disk = written(2, 3);
        disk.flip(&file(2), at);
        let told = damage(&disk);
        assert!(told.contains("is damaged"), "byte {at}: {told}");
    }
}

/// What becomes of a disk.
type Spoil = fn(&SimulatedDisk);

#[test]
fn a_segment_that_is_missing_swapped_or_of_another_is_told() {
    let cases: [(Spoil, &str); 6] = [
        (
            |disk| disk.remove(&file(2)).unwrap(),
            "`/job/journal/0000000000000003.log` follows segment 2, which is missing",
        ),
        (
            |disk| {
                disk.remove(&file(2)).unwrap();
                disk.link(&file(3), &file(2)).unwrap();
            },
            "`/job/journal/0000000000000002.log` is segment 3",
        ),
        (
            |disk| disk.truncate(&file(1), 0).unwrap(),
            "does not begin as a segment does",
        ),
        (
            |disk| {
                let length = disk.read(&file(2)).unwrap().len();
                disk.truncate(&file(2), length as u64 - 8).unwrap();
            },
            "follows a segment of",
        ),
        (
            |disk| disk.flip(&file(3), 5),
            "does not begin as a segment does",
        ),
        (
            |disk| {
                let other = Incarnation {
                    job: JobId(2),
                    number: 1,
                };
                let disk: Arc<dyn Disk> = Arc::new(disk.clone());
                LocalLog::open(disk, Path::new(DIR), other)
                    .map(drop)
                    .unwrap();
            },
            "belongs to another job",
        ),
    ];
    for (spoil, expected) in cases {
        let disk = match expected.starts_with("belongs") {
            true => SimulatedDisk::new(0),
            false => written(3, 2),
        };
        spoil(&disk);
        let told = damage(&disk);
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn after_a_write_or_a_sync_that_fails_nothing_is_written_any_more() {
    for (after, kind) in [(0, ErrorKind::StorageFull), (1, ErrorKind::Other)] {
        let disk = written(1, 1);
        let (mut log, _) = open(&disk, 2).unwrap();
        log.append(b"lost");
        disk.fail_after(after, Fault::Error(kind));
        let error = log.sync().unwrap_err();
        assert!(matches!(error, JournalError::Disk { .. }));
        let operations = disk.operations();
        log.append(b"more");
        let again = log.sync().unwrap_err();
        assert_eq!(
            with_causes(&again),
            with_causes(&error),
            "whoever asks later"
        );
        log.keep(&block(5), &[&[0; 2 * WRITE_BYTES]]).unwrap_err();
        assert_eq!(disk.operations(), operations, "{kind:?}");
    }
}

#[test]
fn whole_segments_go_once_nobody_needs_them_and_positions_go_on() {
    let disk = written(3, 2);
    let (mut log, groups) = open(&disk, 4).unwrap();
    assert_eq!(groups.len(), 6);
    let there = || disk.list(Path::new(DIR)).unwrap().len();
    log.trim(LogPosition(4), |name| *name == block(200))
        .unwrap();
    assert_eq!(there(), 3, "group 4 is in the second");
    log.trim(LogPosition(7), |name| *name == block(200))
        .unwrap();
    assert_eq!(there(), 3, "block 200 is in the second");
    assert_eq!(
        log.read(&block(200)).unwrap().unwrap(),
        b"block \xc8\xc8\xc8\xc8\xc8"
    );
    assert_eq!(log.read(&block(201)).unwrap(), None);
    log.trim(LogPosition(7), |_| false).unwrap();
    assert_eq!(there(), 1);
    let (mut log, groups) = open(&disk, 5).unwrap();
    assert!(groups.is_empty());
    assert_eq!(log.append(b"next"), LogPosition(7));
}

#[test]
fn after_a_sync_of_the_directory_that_fails_no_more_segments_go() {
    let disk = written(3, 2);
    let (mut log, _) = open(&disk, 4).unwrap();
    let trim = |log: &mut LocalLog| log.trim(LogPosition(7), |_| false).unwrap_err();
    // The oldest segment is removed, and may come back.
    disk.fail_after(1, Fault::Error(ErrorKind::Other));
    let error = trim(&mut log);
    let operations = disk.operations();
    assert_eq!(with_causes(&trim(&mut log)), with_causes(&error));
    assert_eq!(disk.operations(), operations, "the next one stays");
    disk.crash();
    open(&disk, 5).unwrap();
}

#[test]
fn a_long_segment_is_followed_by_another() {
    let disk = SimulatedDisk::new(0);
    let (mut log, _) = open(&disk, 1).unwrap();
    // Nothing that gets smaller.
    let mut large = vec![0; SEGMENT_BYTES as usize / 2];
    SmallRng::seed_from_u64(1).fill_bytes(&mut large);
    for number in 0..3 {
        log.keep(&block(number), &[&large]).unwrap();
        log.append(b"group");
        log.sync().unwrap();
    }
    assert_eq!(disk.list(Path::new(DIR)).unwrap().len(), 2);
    let (mut log, groups) = open(&disk, 2).unwrap();
    assert_eq!(groups.len(), 3);
    for number in 0..3 {
        assert_eq!(log.read(&block(number)).unwrap().unwrap(), large);
    }
    assert!(log.size() > 3 * large.len() as u64);
}

#[test]
fn a_log_of_another_version_says_so() {
    let disk = SimulatedDisk::new(0);
    let info = rmp_serde::to_vec(&(FORMAT + 1, "anything")).unwrap();
    let head = FrameHead {
        kind: FrameKind::Segment,
        incarnation: 1,
        number: 1,
        synced: 0,
    };
    let mut bytes = Vec::new();
    frame::write(frame::MAGIC, head, &[&info], &mut bytes);
    disk.create(&file(1)).unwrap().append(&bytes).unwrap();
    let told = damage(&disk);
    let newer = FORMAT + 1;
    let expected = format!("has version {newer} of the journal's format, and this dshost reads");
    assert!(told.contains(&expected), "{told}");
}

/// What compresses to much less.
fn text() -> Vec<u8> {
    "one line, and the next one is the same\n".repeat(20).into()
}

/// A log of two blocks, of which the second is compressed, and a group behind each, and one more;
/// where the second one's frame lies.
fn compressed() -> (SimulatedDisk, std::ops::Range<usize>) {
    let disk = SimulatedDisk::new(0);
    let (mut log, _) = open(&disk, 1).unwrap();
    let mut lengths = Vec::new();
    for number in 0..2 {
        lengths.push(log.size() as usize);
        log.keep(&block(number), &[&text()[..9], &text()[9..]])
            .unwrap();
        lengths.push(log.size() as usize);
        log.append(b"group");
        log.sync().unwrap();
    }
    log.append(b"behind what is durable");
    log.sync().unwrap();
    assert!(lengths[1] - lengths[0] > text().len());
    assert!(lengths[3] - lengths[2] < text().len() / 2);
    (disk, lengths[2]..lengths[3])
}

#[test]
fn both_forms_of_a_block_are_read_by_the_same_start_and_by_later_ones() {
    let (disk, _) = compressed();
    for start in 2..4 {
        let (mut log, _) = open(&disk, start).unwrap();
        let own = 10 * start;
        for number in [own, own + 1, own + 2] {
            log.keep(&block(number), &[&text()]).unwrap();
        }
        log.sync().unwrap();
        for number in [0, 1, own, own + 1, own + 2] {
            assert_eq!(log.read(&block(number)).unwrap(), Some(text()), "{number}");
        }
    }
}

#[test]
fn a_compressed_block_is_torn_or_damaged_like_any_other() {
    let (whole, frame) = compressed();
    let length = whole.read(&file(1)).unwrap().len();
    for cut in frame.start..length {
        for zeros in [0, 100] {
            let (disk, _) = compressed();
            disk.truncate(&file(1), cut as u64).unwrap();
            disk.extend(&file(1), &vec![0; zeros]);
            let (mut log, _) = open(&disk, 2).unwrap();
            assert_eq!(log.read(&block(0)).unwrap(), Some(text()));
            let read = log.read(&block(1)).unwrap();
            assert!(read.is_none_or(|read| read == text()), "cut at {cut}");
        }
    }
    // Something durable follows.
    for at in frame {
        let (disk, _) = compressed();
        disk.flip(&file(1), at);
        match open(&disk, 2) {
            // Zeros at its end mean nothing.
            Ok((mut log, _)) => assert_eq!(log.read(&block(1)).unwrap(), Some(text())),
            Err(error) => {
                let told = error.to_string();
                assert!(told.contains("holds no record at bytes"), "{at}: {told}");
            }
        }
    }
}

/// A log with a compressed block of that form under a checksum that fits, and a name before it.
fn forged(stored: &[u8]) -> SimulatedDisk {
    let disk = written(1, 1);
    let mark = segment::scan(&disk.read(&file(1)).unwrap())
        .unwrap()
        .info
        .mark;
    let head = rmp_serde::to_vec(&BlockHead { name: block(7) }).unwrap();
    let head_length = (head.len() as u32).to_le_bytes();
    let frame_head = FrameHead {
        kind: FrameKind::CompressedBlock,
        incarnation: 1,
        number: 7,
        synced: 0,
    };
    let mut forged = Vec::new();
    frame::write(
        mark,
        frame_head,
        &[&head_length, &head, stored],
        &mut forged,
    );
    disk.extend(&file(1), &forged);
    disk
}

#[test]
fn a_compressed_block_that_lies_is_damage_and_nothing_is_made_room_for() {
    for stored in [
        &b""[..],
        b"\0\0\0",
        b"\xff\xff\xff\xff....",
        b"\0\x08\0\0......",
    ] {
        let told = damage(&forged(stored));
        assert!(told.contains("of an impossible length"), "{told}");
    }
    // Nothing that LZ4 writes; more, or less, than it says.
    for stored in [
        &b"\x05\0\0\0....."[..],
        b"\x02\0\0\0\x10a",
        b"\0\0\0\0\x10a",
    ] {
        let (mut log, _) = open(&forged(stored), 9).unwrap();
        let told = log.read(&block(7)).unwrap_err().to_string();
        assert!(
            told.contains("holds no compressed block at byte "),
            "{told}"
        );
    }
    let (mut log, _) = open(&forged(b"\x01\0\0\0\x10a"), 9).unwrap();
    assert_eq!(log.read(&block(7)).unwrap().unwrap(), b"a");
}
