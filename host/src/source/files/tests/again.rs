//! Parts of files that are opened again by their names, in a source that never cut them.

use std::collections::{BTreeMap, HashMap};

use super::*;
use crate::batch::Chunk;
use crate::batch::position::PartName;
use crate::batch::source::{Part, SourceErrorKind};
use crate::source::testing::{all_parts, parts_until};

/// The chunks of a partition, and how many pieces were rejected with the first reasons.
type Given = Vec<(Chunk, u64, Vec<String>)>;

fn given(partition: &dyn Partition) -> Given {
    let decoded = testing::decoded(partition).into_iter();
    decoded
        .map(|decoded| (decoded.chunk, decoded.rejected, decoded.samples))
        .collect()
}

/// A name as it comes out of a plan that was saved.
fn saved(name: &PartName) -> PartName {
    let text = serde_json::to_string(name).unwrap();
    let name: PartName = serde_json::from_str(&text).unwrap();
    rmp_serde::from_slice(&rmp_serde::to_vec(&name).unwrap()).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn a_part_that_is_opened_by_its_name_gives_the_same_chunks() {
    let rows: String = (0..40_000).map(|n| format!("{n},\"x\n{n}\"\n")).collect();
    let table = format!("\u{feff}\n\r\nid,\"na\nme\"\n{rows}odd\n1,2");
    let text: String = (0..60_000).map(|n| format!("{n}\r\n")).collect();
    let values = (0..30_000u32).flat_map(|n| rmp_serde::to_vec(&(n, "value")).unwrap());
    let csv = Format::Csv { header: true };
    let kinds: [(&str, Format, Vec<u8>); 6] = [
        (
            "a.txt",
            Format::Text,
            [text.as_bytes(), b"\xff\nend"].concat(),
        ),
        ("a.csv", csv, table.clone().into_bytes()),
        ("a.csv.gz", csv, gzip(table.as_bytes())),
        ("a.json", Format::Json, text.into_bytes()),
        ("a.msgpack", Format::Msgpack, values.collect()),
        ("a.lone", csv, b"a,b\r1,2\r".to_vec()),
    ];
    for (name, format, bytes) in kinds {
        let place = Place {
            once: true,
            ..Place::new()
        };
        place.put(name, bytes);
        let plan = SourcePlan {
            max_bytes_per_batch: 200_000,
            max_record: 100,
            ..plan(format)
        };
        let mut first = place.open(&plan);
        let parts = all_parts(&mut first);
        drop(first);
        let place = Place {
            once: false,
            ..place
        };
        let mut second = place.open(&plan);
        assert!(name == "a.lone" || parts.len() > 2, "{name}");
        for part in parts.iter().rev() {
            let again = second.open(&saved(&part.name), None).unwrap();
            assert_eq!(given(&*again), given(&*part.data), "{:?}", part.name);
        }
    }
}

#[test]
fn what_was_opened_again_is_put_away_once_it_is_acknowledged_to_its_end() {
    let place = Place {
        existing: true,
        ..Place::new()
    };
    place.put("a", "a\n".repeat(100_000));
    let mut first = place.open(&plan(Format::Text));
    let cut = eventually(|| first.cut().ok().filter(|cut| cut.bytes > 0));
    drop(first);
    let place = Place {
        existing: false,
        after: After::Delete,
        ..place
    };
    let mut second = place.open(&plan(Format::Text));
    second.open(&cut.parts[0].name, None).unwrap();
    let upto = |part: &PartName| [(part.lane.clone(), part.upto.clone())];
    second.acknowledge(&upto(&cut.parts[0].name));
    second.acknowledge(&[(LaneName("unknown".to_owned()), Position::number(1))]);
    assert!(second.shared.lock().durable.is_empty() && place.path("a").exists());
    second.acknowledge(&cut.positions());
    eventually(|| (!place.path("a").exists()).then_some(()));
}

#[test]
fn a_part_of_a_file_that_is_another_now_cannot_be_opened_again() {
    let place = Place {
        existing: true,
        ..Place::new()
    };
    place.put("a", "a\n");
    let mut files = place.open(&plan(Format::Text));
    let cut = eventually(|| files.cut().ok().filter(|cut| cut.bytes > 0));
    let name = saved(&cut.parts[0].name);
    place.put("a", "b\n");
    let mut second = place.open(&plan(Format::Text));
    let error = second.open(&name, None).err().unwrap();
    assert_eq!(error.kind, SourceErrorKind::Changed, "{error}");
    let foreign = PartName {
        facts: b"?".to_vec(),
        ..name
    };
    let error = second.open(&foreign, None).err().unwrap();
    assert_eq!(error.kind, SourceErrorKind::Lasting, "{error}");
}

/// A start of the job that goes on behind these parts.
fn going_on(place: &Place, plan: &SourcePlan, behind: &[PartName]) -> Files {
    let behind = behind.iter().map(saved).collect();
    let behind = BTreeMap::from([(plan.name.clone(), behind)]);
    place.open_behind(plan, Some(Arc::new(behind)))
}

/// The last part of each lane, as a job keeps them.
fn last_parts(parts: &[Part]) -> Vec<PartName> {
    let mut last: HashMap<LaneName, PartName> = HashMap::new();
    for part in parts {
        last.insert(part.name.lane.clone(), part.name.clone());
    }
    last.into_values().collect()
}

#[test]
fn a_start_goes_on_within_a_file_behind_what_was_committed() {
    let rows: String = (0..30_000).map(|n| format!("{n},\"x\n{n}\"\n")).collect();
    let table = format!("id,name\n{rows}");
    for (name, bytes) in [
        ("a.csv", table.clone().into_bytes()),
        ("a.csv.gz", gzip(table.as_bytes())),
    ] {
        let place = Place {
            once: true,
            ..Place::new()
        };
        place.put(name, bytes);
        let plan = SourcePlan {
            max_bytes_per_batch: 100_000,
            ..plan(Format::Csv { header: true })
        };
        let all = |mut files: Files| all_parts(&mut files);
        let records = |parts: &[Part]| -> Vec<Given> {
            parts.iter().map(|part| given(&*part.data)).collect()
        };
        let whole = all(place.open(&plan));
        assert!(whole.len() > 4, "{name}");
        let middle = whole.len() / 2;
        // It was renamed meanwhile.
        fs::rename(place.path(name), place.path(&format!("b{name}"))).unwrap();
        let rest = all(going_on(&place, &plan, &last_parts(&whole[..middle])));
        assert_eq!(records(&rest), records(&whole[middle..]), "{name}");
        assert_eq!(rest[0].name, whole[middle].name);
        let nothing = all(going_on(&place, &plan, &last_parts(&whole)));
        assert!(nothing.is_empty(), "{name}");
    }
}

#[test]
fn files_that_came_while_the_job_was_away_are_read_and_no_others() {
    let place = Place::new();
    place.put("old", "old\n");
    let plan = plan(Format::Text);
    let mut first = place.open(&plan);
    let mut behind = first.passed_over();
    assert_eq!(behind.len(), 1);
    place.put("a", "one\n");
    let parts = parts_until(&mut first, |parts, _| !parts.is_empty());
    behind.extend(last_parts(&parts));
    drop(first);
    place.put("b", "two\n");
    // Under the name of one that was read.
    fs::remove_file(place.path("a")).unwrap();
    place.put("a", "three\n");
    let mut second = going_on(&place, &plan, &behind);
    let (lines, _) = cut_until(&mut second, |lines, _| lines.len() >= 2);
    assert_eq!(lines, ["three", "two"]);
    assert!(second.passed_over().is_empty());
}

#[test]
fn a_file_that_an_earlier_start_read_is_put_away_once_that_is_durable() {
    let place = Place {
        after: After::Delete,
        existing: true,
        ..Place::new()
    };
    place.put("a", "one\n");
    let plan = plan(Format::Text);
    let mut first = place.open(&plan);
    let parts = parts_until(&mut first, |parts, _| !parts.is_empty());
    drop(first);
    let mut second = going_on(&place, &plan, &last_parts(&parts));
    assert!(second.cut().unwrap().parts.is_empty());
    assert!(place.path("a").exists(), "nobody said that it is durable");
    let PartName { lane, upto, .. } = parts[0].name.clone();
    second.acknowledge(&[(lane, upto)]);
    eventually(|| (!place.path("a").exists()).then_some(()));
}
