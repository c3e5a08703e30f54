//! `MessagePack` as others encode it: no guest of ours writes an integer but in its shortest form,
//! so these come from a source.

use crate::support::job::with_input;
use crate::support::{Folder, dshost, stderr, stdout};

/// What `op` gives of `input`, a line each.
fn given(op: &str, input: &[u8]) -> (Vec<String>, String) {
    let folder = Folder::new();
    let topology = folder.topology(&format!(
        r#"
[topology]
name = "values"
batch = "10s"
workers = 2
on_error = "skip"
[source.values]
type = "stdin"
format = "msgpack"
[stream.given]
from = "values"
{op}
[sink.out]
from = "given"
type = "print"
count = 1000
"#
    ));
    let output = with_input(dshost().args(["run", "--once"]).arg(topology), input);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let shown = stdout(&output);
    let of_blocks =
        |line: &&str| !line.is_empty() && !line.starts_with("-----") && !line.starts_with("Time: ");
    (
        shown.lines().filter(of_blocks).map(str::to_owned).collect(),
        said,
    )
}

const COUNTED: &str = "op = \"count_by_value\"\npartitions = 1";

#[test]
fn an_integer_is_one_value_in_every_encoding() {
    // 1 as fixint, uint8, uint16, uint32, uint64 and int64; −1 as fixint and int32.
    let ones = [
        &[0x01][..],
        &[0xcc, 1],
        &[0xcd, 0, 1],
        &[0xce, 0, 0, 0, 1],
        &[0xcf, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0xd3, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0xff],
        &[0xd2, 0xff, 0xff, 0xff, 0xff],
    ];
    let (counts, _) = given(COUNTED, &ones.concat());
    assert_eq!(counts, ["(1,6)", "(-1,2)"]);
}

#[test]
fn an_integer_is_no_float_and_floats_are_compared_as_doubles() {
    let values = [
        &[0x01][..],
        &[0xca, 0x3f, 0x80, 0, 0],
        &[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
    ];
    let (counts, _) = given(COUNTED, &values.concat());
    assert_eq!(counts, ["(1,1)", "(1.0,2)"]);
}

#[test]
fn a_map_key_that_stands_twice_in_two_encodings_rejects_the_record() {
    // {1: 7, 1: 8}, the second 1 as uint8; then {2: 7, 1: 8} and {1: 8, 2: 7}.
    let maps = [
        &[0x82, 1, 7, 0xcc, 1, 8][..],
        &[0x82, 2, 7, 1, 8],
        &[0x82, 1, 8, 2, 7],
    ];
    let (counts, said) = given(COUNTED, &maps.concat());
    assert_eq!(counts, ["([[1,8],[2,7]],2)"]);
    assert!(said.contains("it cannot be compared"), "{said}");
}

#[test]
fn what_is_not_a_key_passes_as_it_is_also_with_a_map_key_twice() {
    let (values, _) = given("op = \"glom\"", &[0x82, 1, 7, 0xcc, 1, 8]);
    assert_eq!(values, ["[[[1,7],[1,8]]]"]);
}
