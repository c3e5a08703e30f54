//! Tables, right and wrong.

use super::*;
use crate::topology::plan::Format;

fn rows(csv: &[u8], max_record: usize, header: bool) -> (Vec<String>, Rejections) {
    let framing = Framing::new(Format::Csv { header }, max_record);
    framed_rows(csv, framing, header)
}

fn framed_rows(csv: &[u8], framing: Framing, header: bool) -> (Vec<String>, Rejections) {
    let mut rejected = Rejections::default();
    let (header, rows) = if header {
        let end = CsvScanner::new(framing).next_end(csv).unwrap();
        (Some(Header::parse(&csv[..end], framing)), &csv[end..])
    } else {
        (None, csv)
    };
    let (column, end) = decode(rows, framing, header.as_ref(), &mut rejected);
    assert_eq!(end, rows.len(), "all of it is decoded at once");
    let shown = column.iter().map(|value| {
        let mut out = Vec::new();
        text::write_json(&mut out, value);
        String::from_utf8(out).unwrap()
    });
    (shown.collect(), rejected)
}

#[test]
fn a_row_is_an_array_of_texts() {
    let (found, rejected) = rows(
        b"1,two,\n\n\r\n\"a \"\"b\"\",\nc\",x\"y\r\nlone\rcr,\"end\r\"\n,\nlast",
        100,
        false,
    );
    assert_eq!(
        found,
        [
            r#"["1","two",""]"#,
            r#"["a \"b\",\nc","x\"y"]"#,
            r#"["lone\rcr","end\r"]"#,
            r#"["",""]"#,
            r#"["last"]"#
        ]
    );
    assert_eq!(rejected, Rejections::default());
}

#[test]
fn a_row_without_quotes_is_what_the_reader_makes_of_it() {
    for delimiter in [b',', b';', b'\t', b' '] {
        let mut fields = Fields::new(delimiter);
        for row in [
            "a",
            ",",
            ",,",
            "a,b",
            "a,,b,",
            "\u{feff}",
            "\u{feff}a,b",
            "\u{e9},\u{20ac};\u{1f600}",
            "a\rb,\r",
            " a , b ",
            "\0,\t;",
            "a;b c\td,e",
            "x\"y,z",
            "\"a,b\",c",
        ] {
            let read: Vec<String> = fields
                .unquoted(row.as_bytes())
                .into_iter()
                .map(ToOwned::to_owned)
                .collect();
            assert_eq!(fields.of(row), read, "{row:?}");
        }
    }
}

#[test]
fn rows_are_the_same_whether_anything_is_quoted_or_not() {
    for csv in [
        "a,b\n\nc\r\n\r\n,\n",
        "\u{feff}a,b\n\u{feff}\u{feff}c\n",
        "lone\rcr,x\n",
        "0123456789012345678901234567890,too long\nfine,row\n",
        "\u{e9},\u{20ac}\n",
    ] {
        let (plain, rejected) = rows(csv.as_bytes(), 20, false);
        // Behind a quoted row, the scanner looks for the ends of all.
        let quoted = format!("\"q\"\n{csv}");
        let (all, of_all) = rows(quoted.as_bytes(), 20, false);
        assert_eq!(all[1..], plain, "{csv:?}");
        assert_eq!(rejected, of_all, "{csv:?}");
    }
}

#[test]
fn a_header_makes_maps() {
    let (found, rejected) = rows(
        b"\xef\xbb\xbfid,\"na,me\"\r\n1,a\n2\n\xff,b\n3,c",
        100,
        true,
    );
    assert_eq!(
        found,
        [r#"{"id":"1","na,me":"a"}"#, r#"{"id":"3","na,me":"c"}"#]
    );
    assert_eq!(
        rejected.samples,
        [
            "a row is not taken: it has 1 field, where the header names 2 columns: `2`",
            "a row is not taken: it is not UTF-8: `\u{fffd},b`"
        ]
    );
}

#[test]
fn rows_under_an_unusable_header_are_rejected() {
    let (found, rejected) = rows(b"a,a\n1,2\n", 100, true);
    assert_eq!(found, [""; 0]);
    assert_eq!(
        rejected.samples,
        ["a row is not taken: the header is not usable: column `a` comes twice: `1,2`"]
    );
}

#[test]
fn fields_may_lie_between_other_bytes_than_commas() {
    let framing = Framing {
        delimiter: b';',
        ..Framing::new(Format::Csv { header: true }, 100)
    };
    let (found, rejected) = framed_rows(b"a;b\n1,5;\"x;y\n\"\n", framing, true);
    assert_eq!(found, [r#"{"a":"1,5","b":"x;y\n"}"#]);
    assert_eq!(rejected, Rejections::default());
}

#[test]
fn a_byte_order_mark_before_a_quote_is_no_part_of_the_field() {
    let csv = b"\xef\xbb\xbf\"a\n b\",c\n1,2\n\xef\xbb\xbf\"3\n\",4\n";
    let (found, rejected) = rows(csv, 100, true);
    assert_eq!(
        found,
        [r#"{"a\n b":"1","c":"2"}"#, r#"{"a\n b":"3\n","c":"4"}"#]
    );
    assert_eq!(rejected, Rejections::default());
}

#[test]
fn a_file_of_lone_carriage_returns_is_told() {
    let (found, rejected) = rows(b"a,b\r1,2\r3,4\r", 100, false);
    assert_eq!(found, [""; 0]);
    assert!(rejected.samples[0].contains(LONE_RETURNS));
}

#[test]
fn rows_that_grow_by_their_names_come_in_several_goes() {
    let framing = Framing::new(Format::Csv { header: true }, 16 << 20);
    let header = Header::parse(
        &[b"x".repeat(100 << 10), b",b\n".to_vec()].concat(),
        framing,
    );
    let rows = b"1,2\n".repeat(270);
    let mut rejected = Rejections::default();
    let (mut at, mut goes, mut count) = (0, 0, 0);
    while at < rows.len() {
        let (column, end) = decode(&rows[at..], framing, Some(&header), &mut rejected);
        assert!(column.data().len() < MAX_DECODED_BYTES + (101 << 10));
        (at, goes, count) = (at + end, goes + 1, count + column.len());
    }
    assert_eq!((count, rejected.count), (270, 0));
    assert!(goes > 40, "{goes}");
}

#[test]
fn names_too_large_for_every_row_are_told_and_its_rows_take_no_memory() {
    let name = b"x".repeat(16 << 20);
    let csv = [&name[..], b",b\n", &b"1,2\n".repeat(270)].concat();
    let (found, rejected) = rows(&csv, 32 << 20, true);
    assert_eq!((found.len(), rejected.count), (0, 270));
    assert_eq!(
        rejected.samples[0],
        "a row is not taken: the header is not usable: its names take 16777223 bytes, which every \
         row would carry, and 524288 are allowed: `1,2`"
    );
}

#[test]
fn many_fields_fit() {
    let (found, _) = rows(&b",".repeat(1000), 1000, false);
    assert_eq!(found[0].matches("\"\"").count(), 1001);
}

#[test]
fn a_quote_that_is_never_closed_costs_one_row_and_what_it_hides() {
    let (found, rejected) = rows(b"a\n\"b,1\nc\nd,\"1\ne\nf\n", 8, false);
    assert_eq!(found, [r#"["a"]"#, r#"["e"]"#, r#"["f"]"#]);
    assert_eq!(
        rejected.samples,
        ["a record of 12 bytes is larger than `max_record` (8)"]
    );
}

#[test]
fn ends_are_found_however_the_bytes_come() {
    let csv = b"1,\"a\nb\"\"\n\",2\r\n\n\"x\",\"\n01234567890123456789\n,\"y\n\",3\n4";
    let ends = |step: usize| {
        let mut scanner = CsvScanner::new(Framing::new(Format::Csv { header: false }, 16));
        let mut ends = Vec::new();
        for (index, mut piece) in csv.chunks(step).enumerate() {
            let mut at = index * step;
            while let Some(length) = scanner.next_end(piece) {
                at += length;
                ends.push(at);
                piece = &piece[length..];
            }
        }
        ends
    };
    let expected = ends(csv.len());
    assert_eq!(expected.len(), 4);
    for step in 1..csv.len() {
        assert_eq!(ends(step), expected, "in steps of {step}");
    }
}
