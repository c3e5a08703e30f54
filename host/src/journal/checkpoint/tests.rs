//! Which checkpoint is the newest, and what is kept.

use std::path::{Path, PathBuf};

use super::*;
use crate::journal::Directory;
use crate::journal::disk::Disk;
use crate::journal::disk::simulated::{Fault, SimulatedDisk};

fn checkpoints(disk: &SimulatedDisk) -> Checkpoints {
    let root = Directory::on(Arc::new(disk.clone()), Path::new("/root"));
    Checkpoints::new(Arc::new(root), JobId(1))
}

/// Makes the checkpoint `number`: one partition in a file that is always the same and one of its
/// own.
fn make(checkpoints: &Checkpoints, number: u64) -> Result<(), CheckpointError> {
    let files = [b"base".to_vec(), number.to_le_bytes().to_vec()];
    let files = files.iter().map(|bytes| checkpoints.put(bytes));
    let files = files.collect::<Result<_, _>>()?;
    checkpoints.commit(&manifest(number, files))
}

fn manifest(number: u64, files: Vec<CheckpointFile>) -> Manifest<String> {
    Manifest {
        incarnation: Incarnation {
            job: JobId(1),
            number: 7,
        },
        position: LogPosition(number),
        parts: vec![CheckpointPart {
            stream: "totals".to_owned(),
            partition: 3,
            files,
        }],
        job: format!("number {number}"),
    }
}

fn newest(checkpoints: &Checkpoints) -> Newest<String, ()> {
    let load = |manifest: &Manifest<String>| {
        let mut files = manifest.parts.iter().flat_map(|part| &part.files);
        files.try_for_each(|file| checkpoints.get(file).map(drop))
    };
    checkpoints.newest(load).unwrap()
}

/// The places of those that are kept.
fn retain(checkpoints: &Checkpoints) -> Result<Vec<u64>, StorageError> {
    let kept = checkpoints.retain::<String>(|_, _| false)?.into_iter();
    Ok(kept.map(|manifest| manifest.position.0).collect())
}

fn count(disk: &SimulatedDisk, folder: &str) -> usize {
    disk.list(&Path::new("/root").join(folder)).unwrap().len()
}

#[test]
fn the_newest_comes_back_and_old_ones_go_with_what_only_they_need() {
    let disk = SimulatedDisk::new(0);
    let checkpoints = checkpoints(&disk);
    assert!(newest(&checkpoints).checkpoint.is_none());
    assert!(retain(&checkpoints).unwrap().is_empty());
    for number in 1..=12 {
        make(&checkpoints, number).unwrap();
        let found = newest(&checkpoints);
        assert_eq!(found.checkpoint.unwrap().0.position, LogPosition(number));
        assert!(found.passed_over.is_empty());
        let oldest = number.saturating_sub(2).max(1);
        let kept: Vec<u64> = (oldest..=number).collect();
        assert_eq!(retain(&checkpoints).unwrap(), kept);
    }
    assert_eq!((count(&disk, MANIFESTS), count(&disk, FILES)), (3, 4));
    assert_eq!(count(&disk, COPIES), 1, "of what several name");
}

#[test]
fn a_damaged_one_is_passed_over_with_the_reason() {
    let disk = SimulatedDisk::new(0);
    let checkpoints = checkpoints(&disk);
    (1..=3).for_each(|number| make(&checkpoints, number).unwrap());
    let path = |name: String| PathBuf::from("/root").join(name);
    // Another number is a manifest, too.
    let newest_path = path(manifest_name(LogPosition(3), 7));
    let text = String::from_utf8(disk.read(&newest_path).unwrap()).unwrap();
    let changed = text.replace("\"partition\":3", "\"partition\":2");
    assert_ne!(changed, text);
    disk.truncate(&newest_path, 0).unwrap();
    disk.extend(&newest_path, changed.as_bytes());
    let file = CheckpointFile {
        digest: Digest::of(&2u64.to_le_bytes()).into(),
        bytes: 8,
    };
    disk.flip(&path(file.name()), 2);
    let found = newest(&checkpoints);
    assert_eq!(found.checkpoint.unwrap().0.job, "number 1");
    let told: Vec<String> = found.passed_over.iter().map(ToString::to_string).collect();
    assert!(
        told[0].contains("000003-0000000007.json` is damaged"),
        "{told:?}"
    );
    assert!(told[1].contains("have another digest"), "{told:?}");
    disk.create(&path("checkpoints/notes.json".to_owned()))
        .unwrap();
    assert_eq!(retain(&checkpoints).unwrap(), [1, 2]);
    // What is damaged is written again by whoever needs it.
    let put = checkpoints.put(&2u64.to_le_bytes()).unwrap();
    assert_eq!(put, file);
    checkpoints.get(&file).unwrap();
    disk.remove(&path(file.name())).unwrap();
    assert_eq!(newest(&checkpoints).passed_over.len(), 1, "it has a copy");
    disk.remove(&path(file.copy_name())).unwrap();
    let told = newest(&checkpoints).passed_over[1].to_string();
    assert!(told.contains("is missing"), "{told}");
}

#[test]
fn damage_to_one_object_costs_one_checkpoint_at_most_and_is_mended() {
    let base = CheckpointFile {
        digest: Digest::of(b"base").into(),
        bytes: 4,
    };
    let own = CheckpointFile {
        digest: Digest::of(&3u64.to_le_bytes()).into(),
        bytes: 8,
    };
    let manifest = manifest_name(LogPosition(3), 7);
    for (object, is_found) in [
        (base.name(), 3),
        (base.copy_name(), 3),
        (own.name(), 2),
        (manifest, 2),
    ] {
        for is_lost in [true, false] {
            let disk = SimulatedDisk::new(0);
            let checkpoints = checkpoints(&disk);
            (1..=3).for_each(|number| make(&checkpoints, number).unwrap());
            let path = PathBuf::from("/root").join(&object);
            match is_lost {
                true => disk.remove(&path).unwrap(),
                false => disk.flip(&path, 2),
            }
            let found = newest(&checkpoints).checkpoint.unwrap().0.position.0;
            assert_eq!(found, is_found, "{object}");
            checkpoints.put_again(&base).unwrap();
            for name in [base.name(), base.copy_name()] {
                let there = disk.read(&PathBuf::from("/root").join(name)).unwrap();
                assert_eq!(there, b"base", "{object}");
            }
        }
    }
}

#[test]
fn one_of_another_version_or_job_says_so() {
    let disk = SimulatedDisk::new(0);
    let checkpoints = checkpoints(&disk);
    let root = &checkpoints.root;
    root.create(
        &manifest_name(LogPosition(1), 1),
        br#"{"format":9,"new":1}"#,
    )
    .unwrap();
    let found = newest(&checkpoints);
    let told = found.passed_over[0].to_string();
    assert!(told.contains("has version 9"), "{told}");
    let other = Checkpoints::new(Arc::clone(root), JobId(2));
    other.commit(&manifest(2, Vec::new())).unwrap();
    let told = newest(&other).passed_over[0].to_string();
    assert!(told.contains("belongs to another job"), "{told}");
}

#[test]
fn wherever_a_crash_comes_a_whole_checkpoint_is_the_newest() {
    for seed in 0..60 {
        for stage in 0..40 {
            let disk = SimulatedDisk::new(seed);
            let before = checkpoints(&disk);
            for number in 1..=3 {
                make(&before, number).unwrap();
                retain(&before).unwrap();
            }
            disk.fail_after(stage, Fault::Death);
            let made = make(&before, 4);
            let trimmed = made.is_ok().then(|| retain(&before));
            disk.crash();
            let after = checkpoints(&disk);
            let found = newest(&after);
            let position = found.checkpoint.expect("one is whole").0.position.0;
            assert!(
                found.passed_over.is_empty(),
                "{seed}, {stage}: {:?}",
                found.passed_over
            );
            match made {
                Ok(()) => assert_eq!(position, 4, "{seed}, {stage}"),
                Err(_) => assert!(position >= 3, "{seed}, {stage}"),
            }
            if let Some(Ok(kept)) = trimmed {
                assert_eq!(kept, [2, 3, 4]);
            }
            // And the next one can be made, by the next start.
            let next = Manifest {
                incarnation: Incarnation {
                    job: JobId(1),
                    number: 8,
                },
                ..manifest(5, vec![after.put(b"base").unwrap()])
            };
            after.commit(&next).unwrap();
            retain(&after).unwrap();
            let found = newest(&after).checkpoint.unwrap().0;
            assert_eq!(found.position, LogPosition(5));
        }
    }
}
