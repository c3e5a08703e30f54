//! Files of states, and what is said of those that are none.

use expect_test::{Expect, expect};

use super::*;

const COUNTS: RecordType = RecordType::pair(ColumnType::Text, ColumnType::Int64);

fn parsed(text: &str, wanted: RecordType) -> Result<Chunk, String> {
    parse(Path::new("s.json"), text.as_bytes(), wanted).map_err(|error| error.to_string())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "expectations are written in place"
)]
fn check(text: &str, wanted: RecordType, expected: Expect) {
    let told = match parsed(text, wanted) {
        Ok(chunk) => {
            let mut shown = Vec::new();
            crate::batch::text::write_lines(&mut shown, &chunk, 0..chunk.len());
            String::from_utf8(shown).unwrap()
        }
        Err(told) => told,
    };
    expected.assert_eq(&told);
}

#[test]
fn pairs_are_read_in_file_order_and_blank_lines_are_none() {
    check(
        "[\"b\", 2]\r\n\n  \n [\"a\",-1] \n",
        COUNTS,
        expect![[r"
            (b,2)
            (a,-1)
        "]],
    );
    assert_eq!(parsed("", COUNTS).unwrap(), Chunk::empty(COUNTS));
}

#[test]
fn every_type_is_read() {
    use ColumnType::{Bool, Bytes, Float64, Int64, Msgpack};
    let pair = RecordType::pair;
    check(
        "[\"aGk=\", 1.5]",
        pair(Bytes, Float64),
        expect![[r"
        (aGk=,1.5)
    "]],
    );
    check(
        "[7, 3]",
        pair(Int64, Float64),
        expect![[r"
        (7,3.0)
    "]],
    );
    check(
        "[true, null]\n[false, {\"a\": [1]}]",
        pair(Bool, Msgpack),
        expect![[r#"
        (true,null)
        (false,{"a":[1]})
    "#]],
    );
    check(
        "[{\"bb\": 1, \"a\": 2.0}, true]",
        pair(Msgpack, Bool),
        expect![[r#"
        ({"a":2.0,"bb":1},true)
    "#]],
    );
}

#[test]
fn all_that_is_wrong_is_told_with_its_line() {
    check(
        "[\"a\", 1]\n[1, 1]\n[\"b\", 1.5]\n[\"c\"]\n{\"d\": 1}\n[\"e\", 1\n[\"a\", 2]\n",
        COUNTS,
        expect![[r#"
            s.json:2:1: the key is an integer, not text
              hint: a line is `[key, state]`, here [text, int64]
            s.json:3:1: the state is a float, not int64
              hint: a line is `[key, state]`, here [text, int64]
            s.json:4:1: an array of 1, not of 2
              hint: a line is `[key, state]`, here [text, int64]
            s.json:5:1: an object instead of an array
              hint: a line is `[key, state]`, here [text, int64]
            s.json:6:7: this is not JSON: EOF while parsing a list
              hint: a line is `[key, state]`, here [text, int64]
            s.json:7:1: the key `a` stands in line 1 already
              hint: a key has one state; leave one of the lines out"#]],
    );
    check(
        "[\"a\", 9007199254740993]",
        RecordType::pair(ColumnType::Text, ColumnType::Float64),
        expect![[r#"
            s.json:1:1: the state is 9007199254740993: an int64 beyond 2^53 is no exact float64
              hint: a line is `[key, state]`, here [text, float64]"#]],
    );
    check(
        "[\"=\", 9223372036854775808]",
        RecordType::pair(ColumnType::Bytes, ColumnType::Int64),
        expect![[r#"
            s.json:1:1: the key is not base64: Invalid symbol 61, offset 0.
              hint: a line is `[key, state]`, here [bytes, int64]"#]],
    );
    check(
        "[\"a\", 9223372036854775808]",
        COUNTS,
        expect![[r#"
            s.json:1:1: the state is an integer beyond int64, not int64
              hint: a line is `[key, state]`, here [text, int64]"#]],
    );
}

#[test]
fn keys_that_are_equal_in_canonical_form_are_the_same() {
    check(
        "[[1, {\"x\": 1, \"aa\": 2}], true]\n[[1, {\"aa\": 2, \"x\": 1}], true]\n[[1.0, 0], true]",
        RecordType::pair(ColumnType::Msgpack, ColumnType::Bool),
        expect![[r#"
            s.json:2:1: the key `[1,{"x":1,"aa":2}]` stands in line 1 already
              hint: a key has one state; leave one of the lines out"#]],
    );
}

#[test]
fn a_file_that_is_not_there_says_where_it_is_looked_for() {
    let Err(kind) = read(Path::new("nowhere/s.json"), COUNTS) else {
        panic!("there is no such file")
    };
    assert_eq!(
        kind.hint(),
        Some("the path of `initial` starts from the topology's folder")
    );
}
