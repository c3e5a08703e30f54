//! Parts of files that are opened again by their names, in a source that never cut them.

use super::*;
use crate::batch::Chunk;
use crate::batch::position::PartName;
use crate::batch::source::SourceErrorKind;

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
        let mut parts = Vec::new();
        eventually(|| {
            let cut = first.cut().unwrap();
            parts.extend(cut.parts);
            cut.ended.then_some(())
        });
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
