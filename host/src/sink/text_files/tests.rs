//! The sink `text_files`: what stands where, before and after, and whose it is.

use super::*;
use crate::batch::Column;
use crate::batch::sink::JobId;

const BATCH: BatchTime = BatchTime(1000);

/// What an attempt of the first start of the job [`job`] writes into `_SUCCESS`.
fn mark(round: Round) -> String {
    format!("{{\"job\":\"0000000000000007\",\"incarnation\":1,\"batch\":1000,\"round\":{round}}}")
}

fn job(number: u64) -> Incarnation {
    Incarnation {
        job: JobId(7),
        number,
    }
}

fn other() -> Incarnation {
    Incarnation {
        job: JobId(8),
        number: 1,
    }
}

/// The sink of one start of a job, and the newest batch that it found.
fn started(dir: &Path, incarnation: Incarnation) -> (TextFiles, Option<BatchTime>) {
    let sink = TextFiles::new(DirectoryNames::new(
        dir,
        Some(dir.join("out/counts")),
        Some("txt"),
    ));
    let recovered = sink.recover(&[], incarnation).unwrap();
    (sink, recovered.newest)
}

fn sink(dir: &Path) -> TextFiles {
    started(dir, job(1)).0
}

fn words(words: &[&str]) -> Chunk {
    Chunk::single(Column::text(words.iter().copied()))
}

fn at(round: Round, partition: u32) -> Staged {
    Staged {
        batch: BATCH,
        round,
        partition,
        sequence: 0,
    }
}

/// One batch of one word.
fn write(sink: &TextFiles, round: Round, word: &str) -> Prepared {
    sink.stage(at(round, 0), &words(&[word])).unwrap();
    let prepared = sink.prepare(BATCH, round).unwrap();
    sink.publish(BATCH, &prepared).unwrap();
    prepared
}

/// All paths below `dir`, with what is in the files.
fn tree(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.push((name.clone(), "directory".into()));
            let below = tree(&entry.path()).into_iter();
            found.extend(below.map(|(below, text)| (format!("{name}/{below}"), text)));
        } else {
            found.push((name, fs::read_to_string(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

fn owned(tree: &[(&str, &str)]) -> Vec<(String, String)> {
    tree.iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
fn a_batch_is_a_directory_that_appears_whole() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path());
    sink.stage(at(4, 12), &words(&["c"])).unwrap();
    sink.stage(at(4, 0), &words(&["a"])).unwrap();
    sink.stage(at(4, 0), &words(&["b", ""])).unwrap();
    sink.stage(at(4, 3), &words(&[])).unwrap();
    let prepared = sink.prepare(BATCH, 4).unwrap();
    assert_eq!(prepared.bytes(), mark(4).as_bytes());
    assert!(!dir.path().join("out/counts-1000.txt").exists());
    sink.publish(BATCH, &prepared).unwrap();
    sink.publish(BATCH, &prepared).unwrap();
    assert_eq!(
        tree(&dir.path().join("out")),
        owned(&[
            ("counts-1000.txt", "directory"),
            ("counts-1000.txt/_SUCCESS", &(mark(4) + "\n")),
            ("counts-1000.txt/part-00000", "a\nb\n\n"),
            ("counts-1000.txt/part-00012", "c\n"),
        ])
    );
}

#[test]
fn an_empty_batch_has_a_directory_too() {
    let dir = tempfile::tempdir().unwrap();
    let sink = TextFiles::new(DirectoryNames::new(dir.path(), None, None));
    sink.recover(&[], job(1)).unwrap();
    let prepared = sink.prepare(BATCH, 1).unwrap();
    sink.publish(BATCH, &prepared).unwrap();
    assert_eq!(
        tree(dir.path()),
        owned(&[("1000", "directory"), ("1000/_SUCCESS", &(mark(1) + "\n"))])
    );
}

#[test]
fn a_replay_is_known_by_its_receipt_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let first = sink(dir.path());
    let prepared = write(&first, 1, "first");
    // The next start does not know that it is published.
    let (next, _) = started(dir.path(), job(2));
    next.publish(BATCH, &prepared).unwrap();
    assert_eq!(
        tree(&dir.path().join("out/counts-1000.txt")),
        owned(&[("_SUCCESS", &(mark(1) + "\n")), ("part-00000", "first\n")])
    );
}

#[test]
fn what_stands_in_the_way_is_named_and_never_taken_for_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out/counts-1000.txt");
    let refused = |whose: &str, incarnation| {
        let (sink, _) = started(dir.path(), incarnation);
        let before = tree(&dir.path().join("out"));
        sink.stage(at(1, 0), &words(&["lost"])).unwrap();
        let error = sink.prepare(BATCH, 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot write batch 1000: `{}` stands there {whose}",
                path.display()
            )
        );
        assert!(error.hint.unwrap().contains("move it away"));
        assert!(error.lasting);
        sink.discard(BATCH, 1);
        assert_eq!(tree(&dir.path().join("out")), before);
    };
    fs::create_dir_all(&path).unwrap();
    refused("without `_SUCCESS`", job(1));
    // As other tools leave it.
    fs::write(path.join("_SUCCESS"), "").unwrap();
    refused("from something else", job(1));
    fs::remove_dir_all(&path).unwrap();
    fs::write(&path, "").unwrap();
    refused("without `_SUCCESS`", job(1));
    fs::remove_file(&path).unwrap();
    write(&sink(dir.path()), 1, "first");
    refused("from start 1 of this job", job(2));
    refused("from another job (0000000000000007)", other());
}

#[test]
fn what_comes_between_prepare_and_publish_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (sink, (rival, _)) = (sink(dir.path()), started(dir.path(), other()));
    sink.stage(at(1, 0), &words(&["mine"])).unwrap();
    let prepared = sink.prepare(BATCH, 1).unwrap();
    write(&rival, 1, "theirs");
    let error = sink.publish(BATCH, &prepared).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("stands there from another job (0000000000000008)"),
        "{error}"
    );
    assert!(error.lasting);
    let part = dir.path().join("out/counts-1000.txt/part-00000");
    assert_eq!(fs::read_to_string(part).unwrap(), "theirs\n");
}

#[test]
fn the_next_start_is_told_the_newest_batch_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (first, newest) = started(dir.path(), job(1));
    assert_eq!(newest, None);
    for (batch, round) in [(7000, 1), (9000, 2), (8000, 3)] {
        let prepared = first.prepare(BatchTime(batch), round).unwrap();
        first.publish(BatchTime(batch), &prepared).unwrap();
    }
    let (rival, newest) = started(dir.path(), other());
    assert_eq!(newest, None);
    let prepared = rival.prepare(BatchTime(10_000), 1).unwrap();
    rival.publish(BatchTime(10_000), &prepared).unwrap();
    assert_eq!(started(dir.path(), job(2)).1, Some(BatchTime(9000)));
}

#[test]
fn a_discarded_attempt_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path());
    sink.stage(at(1, 0), &words(&["first"])).unwrap();
    sink.prepare(BATCH, 1).unwrap();
    sink.discard(BATCH, 1);
    assert_eq!(tree(&dir.path().join("out")), []);
    sink.stage(at(2, 1), &words(&["second"])).unwrap();
    let prepared = sink.prepare(BATCH, 2).unwrap();
    sink.publish(BATCH, &prepared).unwrap();
    assert_eq!(
        tree(&dir.path().join("out/counts-1000.txt")),
        owned(&[("_SUCCESS", &(mark(2) + "\n")), ("part-00001", "second\n")])
    );
}

#[test]
fn what_cannot_be_discarded_is_tried_again_and_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path());
    sink.stage(at(1, 0), &words(&["first"])).unwrap();
    let staged = sink.names.staged(&sink.mark(BATCH, 1).unwrap());
    // A file cannot be removed as a directory, not even by root.
    fs::remove_dir_all(&staged).unwrap();
    fs::write(&staged, "").unwrap();
    sink.discard(BATCH, 1);
    assert!(staged.exists());
    write(&sink, 2, "second");
    assert!(staged.exists());
    fs::remove_file(&staged).unwrap();
    fs::create_dir(&staged).unwrap();
    sink.discard(BATCH, 3);
    assert!(!staged.exists(), "remembered and tried again");
    assert!(sink.staging().leftovers.is_empty());
}

#[test]
fn too_much_that_cannot_be_removed_stops_the_sink() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path());
    let stuck = |round| {
        let path = sink.names.staged(&sink.mark(BATCH, round).unwrap());
        fs::write(&path, "").unwrap();
        sink.remove(path);
    };
    (1..=64).for_each(stuck);
    sink.prepare(BATCH, 100).unwrap();
    stuck(65);
    let error = sink.prepare(BATCH, 101).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("65 staging directories cannot be removed, `"),
        "{error}"
    );
}

#[test]
fn only_leftovers_of_the_same_job_are_removed_and_only_when_it_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let mine = ".counts-7.txt.0000000000000007-1-3.tmp";
    let others = [
        ".counts-7.0000000000000007-1-3.tmp",
        ".counts-7.txt.0000000000000008-1-3.tmp",
        ".counts-7.txt.tmp",
        ".words-7.txt.0000000000000007-1-3.tmp",
        "counts-7.txt",
    ];
    for name in others.iter().chain([&mine]) {
        fs::create_dir_all(out.join(name)).unwrap();
    }
    let names = DirectoryNames::new(dir.path(), Some(out.join("counts")), Some("txt"));
    let sink = TextFiles::new(names);
    assert!(out.join(mine).exists());
    sink.recover(&[], job(2)).unwrap();
    assert_eq!(tree(&out), owned(&others.map(|name| (name, "directory"))));
}

#[test]
fn what_was_committed_is_completed_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let first = sink(dir.path());
    let waiting: Vec<WaitingBatch> = (1..=3)
        .map(|round| {
            let batch = BatchTime(1000 * round as i64);
            let at = Staged {
                batch,
                ..at(round, 0)
            };
            first.stage(at, &words(&["kept"])).unwrap();
            let what = first.prepare(batch, round).unwrap();
            WaitingBatch { batch, what }
        })
        .collect();
    first.stage(at(9, 0), &words(&["left behind"])).unwrap();
    let recover = |waiting: &[WaitingBatch], number| {
        let names =
            DirectoryNames::new(dir.path(), Some(dir.path().join("out/counts")), Some("txt"));
        TextFiles::new(names).recover(waiting, job(number)).unwrap()
    };
    let all = |count: i64| {
        let mut names: Vec<String> = (1..=count)
            .map(|batch| format!("counts-{batch}000.txt"))
            .collect();
        names.sort();
        names
    };
    let there = || {
        let entries = fs::read_dir(dir.path().join("out")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    // The second of them finds all published.
    for number in [2, 3] {
        let recovered = recover(&waiting, number);
        let newest = Some(BatchTime(3000));
        let lost = Vec::new();
        assert_eq!(recovered, Recovered { newest, lost });
        assert_eq!(there(), all(3));
    }
    let kept = fs::read_to_string(dir.path().join("out/counts-2000.txt/part-00000"));
    assert_eq!(kept.unwrap(), "kept\n");
    // Somebody took one away.
    fs::remove_dir_all(dir.path().join("out/counts-2000.txt")).unwrap();
    let recovered = recover(&waiting, 4);
    assert_eq!(recovered.lost, [BatchTime(2000)]);
}

#[test]
fn what_comes_after_a_lost_batch_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = sink(dir.path());
    let staged = |round: Round| {
        let batch = BatchTime(1000 * round as i64);
        let what = first.prepare(batch, round).unwrap();
        WaitingBatch { batch, what }
    };
    let waiting = [staged(1), staged(2), staged(3)];
    let names = DirectoryNames::new(dir.path(), Some(dir.path().join("out/counts")), Some("txt"));
    let lost = parse(waiting[1].what.bytes()).unwrap();
    fs::remove_dir_all(names.staged(&lost)).unwrap();
    let recovered = TextFiles::new(names).recover(&waiting, job(2)).unwrap();
    let expected = Recovered {
        newest: Some(BatchTime(1000)),
        lost: vec![BatchTime(2000), BatchTime(3000)],
    };
    assert_eq!(recovered, expected);
    let entries = fs::read_dir(dir.path().join("out")).unwrap();
    assert_eq!(entries.count(), 1, "the third is staged again");
}

#[test]
fn a_place_that_cannot_be_made_is_told_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let names = DirectoryNames::new(dir.path(), Some(file.join("counts")), None);
    let error = TextFiles::new(names).recover(&[], job(1)).unwrap_err();
    assert!(error.to_string().contains("file`"), "{error}");
    assert_eq!(
        error.hint.as_deref(),
        Some("a file stands where a directory is to be")
    );
}
