//! What a lane promises, whatever the blocks in which its bytes come.

use proptest::prelude::*;

use super::super::replay;
use super::*;
use crate::batch::source::Partition;
use crate::source::bytes::stretch::PIECE_BYTES;
use crate::source::format::Framing;
use crate::source::testing::{data, decoded, records};
use crate::topology::plan::Format;

const ALL: Share = Share {
    bytes: u64::MAX,
    records: None,
};
const MAX_RECORD: usize = 2000;
const FORMATS: [Format; 5] = [
    Format::Text,
    Format::Bytes,
    Format::Json,
    Format::Csv { header: false },
    Format::Msgpack,
];

fn lane(format: Format) -> Lane {
    Lane::new(
        LaneName("l".to_owned()),
        &Arc::new(Decoder::new(Framing::new(format, MAX_RECORD))),
    )
}

/// SplitMix64.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

/// Records of all lengths, some too long, some malformed, the last one unfinished.
fn input(format: Format, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < 6 * PIECE_BYTES as usize {
        let length = match random(&mut seed) % 50 {
            0 => random(&mut seed) % 40_000,
            1..5 => random(&mut seed) % 2100,
            _ => random(&mut seed) % 200,
        } as usize;
        match format {
            Format::Msgpack if length % 20 == 3 => bytes.push(0xc1),
            Format::Msgpack => {
                let value = (length, vec!["x"; length % 7], "y".repeat(length));
                bytes.extend(rmp_serde::to_vec(&value).unwrap());
            }
            Format::Csv { .. } => {
                let alphabet = b"abcdefgh,,\"\n";
                let field = |seed: &mut u64| alphabet[random(seed) as usize % alphabet.len()];
                bytes.extend((0..length).map(|_| field(&mut seed)));
                bytes.push(b'\n');
            }
            _ => {
                bytes.extend(std::iter::repeat_n(b'1', length));
                if length % 30 == 7 {
                    bytes.push(0xff);
                }
                bytes.extend(if length.is_multiple_of(2) {
                    &b"\r\n"[..]
                } else {
                    b"\n"
                });
            }
        }
    }
    bytes.extend(b"\x02");
    bytes
}

/// Feeds a lane in blocks of up to `most` bytes; `between` is called after each.
fn feed(lane: &mut Lane, bytes: &[u8], most: u64, seed: u64, mut between: impl FnMut(&mut Lane)) {
    let (mut rest, mut seed) = (Bytes::copy_from_slice(bytes), seed);
    while !rest.is_empty() {
        let size = 1 + random(&mut seed) % most;
        let block = rest.split_to(rest.len().min(size as usize));
        lane.receive(block);
        between(lane);
    }
    lane.close();
}

/// Per partition and chunk: how many records, and how many rejected.
fn shape(taken: &LaneCut) -> Vec<Vec<(usize, u64)>> {
    let chunks = |partition: &Arc<dyn Partition>| {
        let chunks = decoded(&**partition).into_iter();
        chunks
            .map(|chunk| (chunk.chunk.len(), chunk.rejected))
            .collect()
    };
    data(&taken.parts).iter().map(chunks).collect()
}

fn all_records(partitions: &[Arc<dyn Partition>]) -> (Vec<Vec<u8>>, u64) {
    let mut all = (Vec::new(), 0);
    for partition in partitions {
        let (found, rejected) = records(&**partition);
        all.0.extend(found);
        all.1 += rejected;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_part_is_had_again_by_its_name(
        format in prop::sample::select(&FORMATS[..]),
        header: bool,
        seed in any::<u64>(),
        limit in prop::sample::select(&[700, 100_000, u64::MAX][..]),
    ) {
        let format = match format {
            Format::Csv { .. } => Format::Csv { header },
            other => other,
        };
        let bytes = input(format, seed);
        let mut whole = lane(format);
        whole.receive(Bytes::copy_from_slice(&bytes));
        whole.close();
        let share = Share { bytes: limit, records: None };
        let decoder = Decoder::new(Framing::new(format, MAX_RECORD));
        let mut end = 0;
        while !whole.is_exhausted() {
            for part in whole.take(share, 4).parts {
                let again = replay::open(&decoder, &part.name, || {
                    let blocks: Vec<Bytes> = bytes.chunks(999).map(Bytes::copy_from_slice).collect();
                    Ok(Box::new(blocks.into_iter()))
                });
                // Of what is rejected the reasons may come in another order.
                let given = |partition: &dyn Partition| {
                    let chunks = decoded(partition).into_iter();
                    let chunks = chunks.map(|chunk| (chunk.chunk.len(), chunk.rejected));
                    (chunks.collect::<Vec<_>>(), records(partition))
                };
                prop_assert_eq!(given(&again.unwrap()), given(&*part.data));
                let kept = part.kept.unwrap().keep().0.concat().into();
                let kept = replay::open_kept(&decoder, &part.name, kept).unwrap();
                prop_assert_eq!(given(&kept), given(&*part.data));
                let samples = |partition: &dyn Partition| {
                    let chunks = decoded(partition).into_iter();
                    chunks.flat_map(|chunk| chunk.samples).collect::<Vec<_>>()
                };
                prop_assert_eq!(samples(&kept), samples(&*part.data));
                prop_assert!(part.name.from.as_number().unwrap() >= end);
                end = part.name.upto.as_number().unwrap();
            }
        }
        prop_assert_eq!(end, bytes.len() as u64);
    }

    #[test]
    fn partitions_and_chunks_do_not_depend_on_blocks(
        format in prop::sample::select(&FORMATS[..]),
        seed in any::<u64>(),
        most in prop::sample::select(&[50u64, 3000, 300_000][..]),
        partitions in 1u32..9,
    ) {
        let bytes = input(format, seed);
        let mut whole = lane(format);
        whole.receive(Bytes::copy_from_slice(&bytes));
        whole.close();
        let expected = whole.take(ALL, partitions);
        let mut pieces = lane(format);
        feed(&mut pieces, &bytes, most, seed, |_| {});
        let taken = pieces.take(ALL, partitions);
        prop_assert_eq!(taken.bytes, expected.bytes);
        prop_assert_eq!(shape(&taken), shape(&expected));
        prop_assert_eq!(all_records(&data(&taken.parts)), all_records(&data(&expected.parts)));
        prop_assert!(pieces.is_exhausted());
    }

    #[test]
    fn cuts_at_any_moment_lose_and_double_nothing(
        format in prop::sample::select(&FORMATS[..]),
        seed in any::<u64>(),
        most in prop::sample::select(&[50u64, 3000, 300_000][..]),
        limit in prop::sample::select(&[1u64, 700, 100_000, u64::MAX][..]),
    ) {
        let bytes = input(format, seed);
        let mut whole = lane(format);
        whole.receive(Bytes::copy_from_slice(&bytes));
        whole.close();
        let expected = all_records(&data(&whole.take(ALL, 4).parts));

        let share = Share { bytes: limit, records: Some(limit) };
        let mut partitions = Vec::new();
        let mut pieces = lane(format);
        feed(&mut pieces, &bytes, most, seed, |lane| {
            partitions.extend(data(&lane.take(share, 4).parts));
        });
        while !pieces.is_exhausted() {
            partitions.extend(data(&pieces.take(ALL, 4).parts));
        }
        prop_assert_eq!(all_records(&partitions), expected);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_records_or_rejected(
        format in prop::sample::select(&FORMATS[..]),
        bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(&b"\r\n\",{}[]1\xef\xbb\xbf"[..])],
            0..300,
        ),
        max_record in 0usize..20,
        most in 1u64..100,
    ) {
        let mut pieces = Lane::new(LaneName("l".to_owned()), &Arc::new(Decoder::new(Framing::new(format, max_record))));
        feed(&mut pieces, &bytes, most, 1, |_| {});
        let taken = pieces.take(ALL, 4);
        let (found, rejected) = all_records(&data(&taken.parts));
        prop_assert!(pieces.is_exhausted());
        prop_assert_eq!(taken.bytes, bytes.len() as u64);
        if matches!(format, Format::Text | Format::Bytes) {
            let lines = bytes.split_inclusive(|byte| *byte == b'\n').count();
            prop_assert_eq!(found.len() as u64 + rejected, lines as u64);
            prop_assert!(found.iter().all(|line| line.len() <= max_record));
        }
    }
}

#[test]
fn a_piece_ends_at_the_first_line_end_at_or_after_its_share() {
    let bytes: Vec<u8> = (0..20_000)
        .flat_map(|number| format!("{number}\n").into_bytes())
        .collect();
    let total = bytes.len() as u64;
    let pieces = total / PIECE_BYTES;
    assert_eq!(pieces, 1);
    let bytes = bytes.repeat(5);
    let total = total * 5;
    let pieces = total / PIECE_BYTES;
    let mut lane = lane(Format::Text);
    lane.receive(bytes.clone().into());
    let taken = lane.take(ALL, 16);
    assert_eq!(taken.parts.len() as u64, pieces);
    let mut end = 0;
    for (index, partition) in data(&taken.parts).iter().enumerate() {
        let (lines, _) = records(&**partition);
        end += lines.iter().map(|line| line.len() + 1).sum::<usize>();
        let target = ((index as u64 + 1) * total / pieces) as usize;
        let line_end = bytes[target - 1..].iter().position(|byte| *byte == b'\n');
        assert_eq!(end, target + line_end.unwrap());
    }
    assert_eq!(end, bytes.len());
}

#[test]
fn a_line_that_ends_at_its_piece_s_share_ends_the_piece() {
    let line = [&[b'x'; 63][..], b"\n"].concat();
    let mut lane = lane(Format::Text);
    lane.receive(line.repeat(4096).into());
    let taken = lane.take(ALL, 16);
    let lines = data(&taken.parts);
    let lines: Vec<usize> = lines
        .iter()
        .map(|piece| records(&**piece).0.len())
        .collect();
    assert_eq!(lines, [1024; 4]);
}

#[test]
fn a_share_is_kept_and_the_rest_waits() {
    let mut lane = lane(Format::Text);
    lane.receive(Bytes::from_static(b"aaa\nbbb\nccc\nddd\nee"));
    let by_bytes = Share {
        bytes: 5,
        records: None,
    };
    assert_eq!(lane.take(by_bytes, 1).bytes, 8);
    let by_records = Share {
        bytes: 100,
        records: Some(1),
    };
    let taken = lane.take(by_records, 1);
    assert_eq!((taken.bytes, taken.records), (4, 1));
    let none = Share {
        bytes: 100,
        records: Some(0),
    };
    assert_eq!(lane.take(none, 1).bytes, 0);
    assert_eq!(lane.take(ALL, 1).bytes, 4);
    assert_eq!(lane.whole(), 0);
}

#[test]
fn a_header_names_the_columns_of_all_that_follows() {
    let mut lane = lane(Format::Csv { header: true });
    lane.receive(Bytes::from_static(b"\xef\xbb\xbfa,"));
    assert_eq!(lane.take(ALL, 1).bytes, 0);
    lane.receive(Bytes::from_static(b"b\n1,2\n"));
    let first = lane.take(ALL, 1);
    lane.receive(Bytes::from_static(b"3,4\n"));
    let second = lane.take(ALL, 1);
    for (taken, expected) in [
        (first, [("a", "1"), ("b", "2")]),
        (second, [("a", "3"), ("b", "4")]),
    ] {
        let (found, rejected) = all_records(&data(&taken.parts));
        let map: std::collections::BTreeMap<&str, &str> = rmp_serde::from_slice(&found[0]).unwrap();
        assert_eq!(map.into_iter().collect::<Vec<_>>(), expected);
        assert_eq!((found.len(), rejected), (1, 0));
    }
}

/// What a lane that is closed gives of `bytes`, and why some of it is rejected.
fn all_of(lane: &mut Lane, bytes: &'static [u8]) -> (Vec<Vec<u8>>, Vec<String>) {
    lane.receive(Bytes::from_static(bytes));
    lane.close();
    let taken = lane.take(ALL, 1);
    let pieces = data(&taken.parts);
    let reasons = pieces.iter().flat_map(|piece| decoded(&**piece));
    let reasons = reasons.flat_map(|decoded| decoded.samples).collect();
    (
        pieces
            .iter()
            .flat_map(|piece| records(&**piece).0)
            .collect(),
        reasons,
    )
}

#[test]
fn a_header_may_come_behind_empty_lines() {
    let mut lane = lane(Format::Csv { header: true });
    let (found, reasons) = all_of(&mut lane, b"\r\n\na,b\n1,2\n");
    assert_eq!(found, [b"\x82\xa1a\xa11\xa1b\xa12"]);
    assert_eq!(reasons, [""; 0]);
}

#[test]
fn a_table_of_lone_carriage_returns_is_told() {
    let mut lane = lane(Format::Csv { header: true });
    let (found, reasons) = all_of(&mut lane, b"a,b\r1,2\r3,4\r");
    assert_eq!(found, [b""; 0]);
    assert!(reasons[0].contains("carriage returns alone"), "{reasons:?}");
}

#[test]
fn pieces_end_at_the_delimiter_of_the_records() {
    let framing = Framing {
        delimiter: 0,
        ..Framing::new(Format::Text, 10)
    };
    let mut lane = Lane::new(LaneName("l".to_owned()), &Arc::new(Decoder::new(framing)));
    let (found, reasons) = all_of(&mut lane, b"a\nb\0\0longer than ten\0c");
    assert_eq!(found, [&b"a\nb"[..], b"", b"c"]);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
}
