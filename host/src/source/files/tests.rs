//! What the source `files` promises.

use std::path::{Path, PathBuf};

use super::*;
use crate::source::Behind;
use crate::source::testing::{self, context, cut_until, data, eventually, texts};
use crate::topology::plan::Format;

mod again;

/// Something that happens to a file.
type Change = fn(&Path);

fn plan(format: Format) -> SourcePlan {
    testing::plan(format)
}

struct Place {
    dir: tempfile::TempDir,
    existing: bool,
    after: After,
    once: bool,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        Self {
            dir,
            existing: false,
            after: After::Keep,
            once: false,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("in").join(name)
    }

    /// As it is to be done: under another name first.
    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let whole = self.path(&format!(".{name}"));
        fs::write(&whole, text).unwrap();
        fs::rename(whole, self.path(name)).unwrap();
    }

    fn open(&self, plan: &SourcePlan) -> Files {
        self.open_behind(plan, None)
    }

    fn open_behind(&self, plan: &SourcePlan, behind: Option<Arc<Behind>>) -> Files {
        let (_runtime, context) = context(self.once);
        let context = OpenContext { behind, ..context };
        let watched = FilesKeys {
            dir: self.dir.path().join("in"),
            pattern: "*".to_owned(),
            decompress: true,
            existing: self.existing,
            after: self.after.clone(),
        };
        open(plan, &watched, &context).unwrap()
    }
}

#[test]
fn what_appears_is_read_once_and_what_lay_there_is_not() {
    let place = Place::new();
    place.put("old", "old\n");
    let mut files = place.open(&plan(Format::Text));
    place.put("a", "one\ntwo");
    cut_until(&mut files, |lines, _| lines == ["one", "two"]);
    place.put("b", "three\n");
    let (lines, _) = cut_until(&mut files, |lines, _| !lines.is_empty());
    assert_eq!(lines, ["three"]);
}

#[test]
fn files_of_one_batch_come_by_name() {
    let place = Place {
        existing: true,
        once: true,
        ..Place::new()
    };
    for name in ["c", "a", "b"] {
        place.put(name, format!("{name}\n"));
    }
    let mut files = place.open(&plan(Format::Text));
    let (lines, _) = cut_until(&mut files, |_, cut| cut.ended);
    assert_eq!(lines, ["a", "b", "c"]);
}

#[test]
fn once_reads_all_that_lies_there() {
    let place = Place {
        once: true,
        ..Place::new()
    };
    place.put("a", "a\n");
    let mut files = place.open(&plan(Format::Text));
    assert_eq!(cut_until(&mut files, |_, cut| cut.ended).0, ["a"]);
    assert_eq!(
        cut_until(
            &mut Place {
                once: true,
                ..Place::new()
            }
            .open(&plan(Format::Text)),
            |_, cut| cut.ended
        )
        .0,
        [""; 0]
    );
}

/// The lines of `files` per partition and batch.
fn batches(files: &mut Files) -> Vec<Vec<Vec<String>>> {
    let mut batches = Vec::new();
    eventually(|| {
        let cut = files.cut().unwrap();
        if !cut.parts.is_empty() {
            let parts = data(&cut.parts);
            let lines = parts.chunks(1).map(|partition| texts(partition).0);
            batches.push(lines.collect());
        }
        cut.ended.then_some(())
    });
    batches
}

#[test]
fn a_large_file_spans_batches_and_is_cut_like_a_connection() {
    for format in [Format::Text, Format::Csv { header: false }] {
        let place = Place {
            once: true,
            ..Place::new()
        };
        let text: Vec<u8> = (0..100_000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        place.put("large", &text);
        let plan = SourcePlan {
            max_bytes_per_batch: 200_000,
            partitions: 2,
            ..plan(format)
        };
        let mut files = place.open(&plan);
        let mut bytes = Vec::new();
        let mut rows = 0;
        eventually(|| {
            let cut = files.cut().unwrap();
            if cut.bytes > 0 {
                bytes.push((cut.bytes, cut.parts.len()));
                let all = cut.parts.iter();
                rows += all
                    .map(|piece| testing::records(&*piece.data).0.len())
                    .sum::<usize>();
            }
            cut.ended.then_some(())
        });
        assert_eq!(bytes, [(200_000, 2), (200_004, 2), (188_886, 2)]);
        assert_eq!(rows, 100_000);
    }
}

#[test]
fn files_that_a_bound_holds_back_come_one_by_one_and_are_told() {
    let place = Place::new();
    let mut files = place.open(&plan(Format::Text));
    files.bound(Some(15));
    for name in ["a", "b", "c"] {
        place.put(name, "ten bytes\n");
    }
    // No two have room, and none is cut in two.
    let mut cuts = Vec::new();
    eventually(|| {
        files.bound(Some(15));
        let cut = files.cut().unwrap();
        if cut.bytes > 0 {
            cuts.push(cut.bytes);
        }
        (cuts.len() == 3).then_some(())
    });
    assert_eq!(cuts, [10, 10, 10]);
    // One that is larger than that comes in parts, a record at least.
    place.put("d", "ten bytes\n".repeat(3));
    let mut next = || {
        eventually(|| {
            files.bound(Some(5));
            let cut = files.cut().unwrap();
            (cut.bytes > 0).then_some((cut.bytes, cut.held_back))
        })
    };
    let told = [next(), next(), next()];
    assert_eq!(told, [(10, true), (10, true), (10, false)]);
}

#[test]
fn pieces_of_a_file_are_those_of_a_connection() {
    let place = Place {
        once: true,
        ..Place::new()
    };
    let text: String = (0..60_000).map(|n| format!("{n}\n")).collect();
    place.put("a", &text);
    let plan = plan(Format::Text);
    let expected = crate::source::partitions_of_connection(&plan, text.into());
    let expected: Vec<_> = expected.chunks(1).map(|piece| texts(piece).0).collect();
    assert!(expected.len() > 3);
    assert_eq!(batches(&mut place.open(&plan)), [expected]);
}

#[test]
fn a_header_holds_for_all_pieces_of_its_file() {
    let place = Place {
        once: true,
        ..Place::new()
    };
    let rows: String = (0..30_000).map(|n| format!("{n},x\r\n")).collect();
    place.put("a", format!("\u{feff}id,\"na\nme\"\r\n{rows}"));
    let mut files = place.open(&plan(Format::Csv { header: true }));
    let cut = eventually(|| files.cut().ok().filter(|cut| cut.bytes > 0));
    assert!(cut.parts.len() > 1);
    let mut ids = 0..30_000;
    for part in &cut.parts {
        let (records, rejected) = testing::records(&*part.data);
        assert_eq!(rejected, 0);
        for record in records {
            let row: Vec<(String, String)> =
                rmp_serde::from_slice::<std::collections::BTreeMap<_, _>>(&record)
                    .unwrap()
                    .into_iter()
                    .collect();
            let id = ids.next().unwrap().to_string();
            assert_eq!(row, [("id".into(), id), ("na\nme".into(), "x".into())]);
        }
    }
    assert_eq!(ids.next(), None);
}

#[test]
fn a_rate_loses_nothing() {
    let place = Place {
        once: true,
        ..Place::new()
    };
    let text: String = (0..2000).map(|n| format!("{n}\n")).collect();
    place.put("a", &text);
    place.put("b", "last");
    let plan = SourcePlan {
        rate: Some(2000),
        ..plan(Format::Text)
    };
    let batches = batches(&mut place.open(&plan));
    let lines: Vec<String> = batches.into_iter().flatten().flatten().collect();
    assert_eq!(lines.len(), 2001);
    assert_eq!(lines[1999..], ["1999", "last"]);
}

#[test]
fn a_file_that_changes_or_vanishes_ends_the_job_with_its_name() {
    let changes: [(&str, Change); 3] = [
        ("changed", |path| fs::write(path, "other").unwrap()),
        ("changed", |path| {
            let other = path.with_extension("tmp");
            fs::write(&other, "a\n").unwrap();
            fs::rename(other, path).unwrap();
        }),
        ("vanished", |path| fs::remove_file(path).unwrap()),
    ];
    for (what, change) in changes {
        let place = Place {
            existing: true,
            ..Place::new()
        };
        place.put("a", "a\n");
        let expected = format!(
            "file `{}` {what} before its batch was committed",
            place.path("a").display()
        );
        // Before it is decoded.
        let mut files = place.open(&plan(Format::Text));
        let cut = eventually(|| files.cut().ok().filter(|cut| cut.bytes > 0));
        change(&place.path("a"));
        let error = cut.parts[0].data.chunks().find_map(Result::err).unwrap();
        assert_eq!(error.message, expected);
        assert!(error.hint.is_some());
    }
}

#[test]
fn the_next_file_of_a_name_is_read_whatever_becomes_of_the_first() {
    for after in [After::Keep, After::Delete] {
        let place = Place {
            after,
            ..Place::new()
        };
        let mut files = place.open(&plan(Format::Text));
        for text in ["one", "two", "three"] {
            place.put("latest.txt", text);
            let mut lines = Vec::new();
            eventually(|| {
                let cut = files.cut().unwrap();
                lines.extend(texts(&data(&cut.parts)).0);
                files.acknowledge(&cut.positions());
                (!lines.is_empty()).then_some(())
            });
            assert_eq!(lines, [text]);
        }
    }
}

#[test]
fn a_file_that_grows_after_it_was_read_is_told_and_stays() {
    let place = Place {
        after: After::Delete,
        existing: true,
        ..Place::new()
    };
    place.put("a", "a\n");
    let mut files = place.open(&plan(Format::Text));
    let mut upto = Vec::new();
    cut_until(&mut files, |lines, cut| {
        upto.extend(cut.positions());
        lines == ["a"]
    });
    let mut file = fs::File::options()
        .append(true)
        .open(place.path("a"))
        .unwrap();
    std::io::Write::write_all(&mut file, b"more\n").unwrap();
    eventually(|| {
        files.acknowledge(&upto);
        files.cut().unwrap();
        let state = files.health().state;
        state.contains("1 file was written to").then_some(())
    });
    assert!(place.path("a").exists());
}

#[test]
fn compressed_files_are_read_like_others() {
    let text: String = (0..60_000).map(|n| format!("{n}\n")).collect();
    let (first, second) = text.split_at(100_000);
    let gzip = |text: &str| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
        packed.finish().unwrap()
    };
    let zstd = |text: &str| {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        ruzstd::encoding::compress_to_vec(text.as_bytes(), level)
    };
    // Several members or frames, and a frame of somebody's own.
    let own = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"own"].concat();
    let packed = [
        ("a.gz", [gzip(first), gzip(second)].concat()),
        ("a.ZST", [zstd(first), own, zstd(second)].concat()),
    ];
    for (name, bytes) in packed {
        let place = Place {
            once: true,
            ..Place::new()
        };
        place.put(name, &bytes);
        let plan = SourcePlan {
            max_bytes_per_batch: 200_000,
            ..plan(Format::Text)
        };
        let batches = batches(&mut place.open(&plan));
        assert_eq!(batches.len(), 2, "{name}");
        let lines: Vec<String> = batches.into_iter().flatten().flatten().collect();
        assert!(
            lines.iter().eq(text.lines().collect::<Vec<_>>().iter()),
            "{name}"
        );

        place.put(&format!("half.{name}"), &bytes[..bytes.len() - 5]);
        fs::remove_file(place.path(name)).unwrap();
        let mut files = place.open(&plan);
        let error = eventually(|| files.cut().err());
        assert!(
            error.message.starts_with("cannot decompress file `"),
            "{error}"
        );
        assert!(error.message.contains(&format!("half.{name}")), "{error}");
    }
}

#[test]
fn a_file_is_put_away_once_its_batch_is_committed() {
    for (after, kept, moved) in [
        ("keep", true, false),
        ("delete", false, false),
        ("move", false, true),
    ] {
        let place = Place::new();
        let away = place.dir.path().join("away");
        let place = Place {
            existing: true,
            after: match after {
                "keep" => After::Keep,
                "delete" => After::Delete,
                _ => After::Move(away.clone()),
            },
            ..place
        };
        place.put("a", "a\n");
        let mut files = place.open(&plan(Format::Text));
        let mut upto = Vec::new();
        cut_until(&mut files, |lines, cut| {
            upto.extend(cut.positions());
            lines == ["a"]
        });
        assert!(place.path("a").exists());
        eventually(|| {
            // As often as one likes.
            files.acknowledge(&upto);
            files.cut().unwrap();
            let there = (place.path("a").exists(), away.join("a").exists());
            (there == (kept, moved)).then_some(())
        });
    }
}

#[test]
fn a_committed_file_is_put_away_before_the_source_is_gone() {
    let place = Place {
        after: After::Delete,
        once: true,
        ..Place::new()
    };
    place.put("a", "a\n");
    let mut files = place.open(&plan(Format::Text));
    let mut upto = Vec::new();
    cut_until(&mut files, |_, cut| {
        upto.extend(cut.positions());
        cut.ended
    });
    assert!(files.closed(true).is_empty());
    files.acknowledge(&upto);
    let lanes: Vec<&LaneName> = upto.iter().map(|(lane, _)| lane).collect();
    let closed = files.closed(true);
    assert_eq!(closed.iter().collect::<Vec<_>>(), lanes);
    assert!(!place.path("a").exists());
}

#[test]
fn a_directory_that_is_not_there_is_an_error_with_a_hint() {
    let (_runtime, context) = context(false);
    let watched = FilesKeys {
        dir: "/no/such/dir".into(),
        pattern: "*".to_owned(),
        decompress: true,
        existing: false,
        after: After::Keep,
    };
    let error = open(&plan(Format::Text), &watched, &context).err().unwrap();
    assert!(
        error
            .message
            .starts_with("source `lines` cannot watch `/no/such/dir`: No such file"),
        "{error}"
    );
    assert_eq!(
        error.hint.as_deref(),
        Some("make the directory first, or correct `dir`")
    );
}

#[test]
fn a_stop_ends_it() {
    let place = Place::new();
    let mut files = place.open(&plan(Format::Text));
    files.stop();
    assert!(files.cut().unwrap().ended);
}

#[test]
fn a_file_that_holds_no_record_is_put_away_too() {
    let place = Place {
        after: After::Delete,
        existing: true,
        ..Place::new()
    };
    place.put("header", "id,name\n");
    let mut empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut empty, b"").unwrap();
    place.put("nothing.gz", empty.finish().unwrap());
    let mut files = place.open(&plan(Format::Csv { header: true }));
    eventually(|| {
        assert!(files.cut().unwrap().parts.is_empty());
        let there = [place.path("header"), place.path("nothing.gz")];
        there.iter().all(|path| !path.exists()).then_some(())
    });
}

#[test]
fn a_file_that_cannot_be_read_for_now_holds_up_no_other_and_is_read_later() {
    let place = Place::new();
    let sub = place.path("a");
    fs::create_dir(&sub).unwrap();
    fs::write(sub.join("x"), "a\n").unwrap();
    place.put("b", "b\n");
    let mut backlog = Backlog::new(
        Decoder::of(&plan(Format::Text)),
        SpanSettings {
            dir: place.path("").into(),
            partitions: 1,
            decompress: true,
        },
    );
    for path in [sub.join("x"), place.path("b")] {
        let identity = identity::Identity::of(&fs::metadata(&path).unwrap());
        backlog.push(Snapshot::new(path, identity));
    }
    // Nobody can pass here, whatever their rights.
    fs::rename(&sub, place.path("away")).unwrap();
    std::os::unix::fs::symlink("a", &sub).unwrap();
    let room = spans::Room {
        bytes: 100,
        records: None,
        empty: true,
    };
    let error = backlog.next(room).err().unwrap();
    assert!(error.is_passing(), "{error}");
    let span = backlog.next(room).unwrap().unwrap();
    assert_eq!(span.snapshot.path(), place.path("b"));
    assert!(backlog.next(room).unwrap().is_none() && !backlog.is_empty());
    fs::remove_file(&sub).unwrap();
    fs::rename(place.path("away"), &sub).unwrap();
    backlog.retry();
    let span = backlog.next(room).unwrap().unwrap();
    assert_eq!(span.snapshot.path(), sub.join("x"));
    assert!(backlog.is_empty());
}

#[test]
fn a_file_that_gets_another_name_while_it_waits_is_read() {
    let place = Place {
        existing: true,
        ..Place::new()
    };
    place.put("a.log", "a\n");
    let mut files = place.open(&plan(Format::Text));
    let cut = eventually(|| files.cut().ok().filter(|cut| cut.bytes > 0));
    // As logs are rotated.
    fs::rename(place.path("a.log"), place.path("a.log.1")).unwrap();
    place.put("a.log", "b\n");
    assert_eq!(texts(&data(&cut.parts)).0, ["a"]);
    cut_until(&mut files, |lines, _| lines == ["b"]);
}
