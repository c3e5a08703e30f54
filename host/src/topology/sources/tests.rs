//! Files with wrong sources.

use expect_test::expect;

use super::files::matches_nothing;
use super::socket::is_address;
use super::*;
use crate::topology::tests::{REST, accepted, check_rejected};

/// A file whose source is `text`.
fn with(text: &str) -> String {
    let rest = REST.replace("[source.lines]\ntype = \"stdin\"\n", "");
    format!("{text}\n{rest}")
}

fn source(keys: &str) -> String {
    with(&format!("[source.lines]\n{keys}"))
}

#[test]
fn a_type_is_needed_and_known() {
    check_rejected(
        &source(""),
        &expect![[r#"
        1:1: source `lines` has no `type`
          hint: one of `socket`, `files`, `stdin` and `generate`"#]],
    );
    check_rejected(
        &source("type = \"sockt\"\naddress = \"x\""),
        &expect![[r#"
        2:8: `type` of source `lines` cannot be `sockt`
          hint: did you mean `socket`?"#]],
    );
    check_rejected(
        &source("type = \"kafka\"\ntopic = \"x\""),
        &expect![[r#"
            2:8: `type` of source `lines` cannot be `kafka`
              hint: one of `socket`, `files`, `stdin`, `generate`
            3:1: source `lines` has an unknown key `topic`
              hint: one of `type`, `format`, `header`, `delimiter`, `buffer`, `max_bytes_per_batch`, `max_record`, `rate`, `partitions`, `on_error`"#]],
    );
}

#[test]
fn an_address_is_a_host_and_a_port() {
    check_rejected(
        &source("type = \"socket\""),
        &expect![[r#"
            1:1: source `lines` has no `address`
              hint: write a host and a port, such as `"127.0.0.1:9999"`"#]],
    );
    check_rejected(
        &source("type = \"socket\"\naddress = \":9999\""),
        &expect![[r#"
            3:11: `address` of source `lines` is `:9999`, which is no address
              hint: write a host and a port, such as `"127.0.0.1:9999"`"#]],
    );
    for good in ["localhost:1", "[::1]:80", "10.0.0.1:65535"] {
        assert!(is_address(good, SocketMode::Connect), "{good}");
    }
    let wrong = [
        "",
        "x",
        "x:",
        ":1",
        "x:0",
        "x:65536",
        "x:+1",
        "::1:80",
        "a b:1",
        "http://x:1",
    ];
    for wrong in wrong {
        assert!(!is_address(wrong, SocketMode::Connect), "{wrong}");
    }
    assert!(is_address("127.0.0.1:0", SocketMode::Listen));
}

#[test]
fn keys_belong_to_their_type() {
    check_rejected(
        &source("type = \"stdin\"\naddress = \"x:1\"\ndir = \"x\""),
        &expect![[r#"
            3:1: source `lines` cannot have `address`
              hint: it belongs to `type = "socket"`
            4:1: source `lines` cannot have `dir`
              hint: it belongs to `type = "files"`"#]],
    );
    let listening = "type = \"socket\"\naddress = \"x:1\"\nmode = \"listen\"\nretry = \"1s\"";
    check_rejected(
        &source(listening),
        &expect![[r#"
        5:1: source `lines` listens, so it cannot have `retry`
          hint: it belongs to `mode = "connect"`"#]],
    );
    check_rejected(
        &source("type = \"stdin\"\nheader = true"),
        &expect![[r#"
        3:1: source `lines` cannot have `header`
          hint: it belongs to `format = "csv"`"#]],
    );
    check_rejected(
        &source("type = \"stdin\"\nadress = \"x\""),
        &expect![[r#"
            3:1: source `lines` has an unknown key `adress`
              hint: one of `type`, `format`, `header`, `delimiter`, `buffer`, `max_bytes_per_batch`, `max_record`, `rate`, `partitions`, `on_error`"#]],
    );
}

#[test]
fn common_keys_are_checked() {
    let keys = "type = \"stdin\"\nformat = \"xml\"\nrate = 0\nbuffer = \"1\"\npartitions = 0\n\
                on_error = 1";
    check_rejected(
        &source(keys),
        &expect![[r#"
            3:10: `format` of source `lines` cannot be `xml`
              hint: one of `text`, `bytes`, `json`, `msgpack`, `csv`
            4:8: `rate` of source `lines` is `0`, which is out of range
              hint: it is 1 to 1000000000
            5:10: `buffer` of source `lines` is `1`, which has no unit
              hint: write a size such as `"512B"`, `"64KiB"`, `"256MiB"` or `"1GiB"`
            6:14: `partitions` of source `lines` is `0`, which is out of range
              hint: it is 1 to 4096
            7:12: `on_error` of source `lines` is an integer, not a text"#]],
    );
    let keys = "type = \"stdin\"\nbuffer = \"1MiB\"\nmax_record = \"2MiB\"";
    check_rejected(
        &source(keys),
        &expect![[r#"
            4:14: source `lines` has a `max_record` that exceeds its `buffer`
              hint: no such record could ever be received"#]],
    );
}

#[test]
fn a_sender_that_goes_on_sends_no_header_again() {
    let keys = "type = \"socket\"\naddress = \"x:1\"\nack = true\nformat = \"csv\"\nheader = true";
    check_rejected(
        &source(keys),
        &expect![[r#"
            4:7: `ack = true` cannot have `header = true`
              hint: a sender that goes on would have to send the header again"#]],
    );
    accepted(&source("type = \"socket\"\naddress = \"x:1\"\nack = true"));
}

#[test]
fn files_need_a_directory_and_a_glob() {
    let keys = "type = \"files\"\npattern = \"[a\"\nexisting = 1\nafter = \"archive\"";
    check_rejected(
        &source(keys),
        &expect![[r#"
            1:1: source `lines` has no `dir`
              hint: the directory that is watched
            3:11: `pattern` of source `lines` is `[a`, which is no glob
              hint: a glob is such as `*.log` or `part-[0-9]*`
            4:12: `existing` of source `lines` is an integer, not `true` or `false`
            5:9: `after` of source `lines` cannot be `archive`
              hint: it is `"keep"`, `"delete"` or `"move:DIR"`"#]],
    );
    check_rejected(
        &source("type = \"files\"\ndir = \"in\"\nafter = \"move:in\""),
        &expect!["4:9: source `lines` moves files into the directory it reads"],
    );
    let plan = accepted(&source(
        "type = \"files\"\ndir = \"in\"\nafter = \"move:done\"",
    ));
    let keys = FilesKeys {
        dir: "dir/in".into(),
        pattern: "*".to_owned(),
        decompress: true,
        existing: false,
        after: After::Move("dir/done".into()),
    };
    assert_eq!(plan.sources[0].keys(), Some(&keys));
}

#[test]
fn generated_text_is_lines_or_words() {
    let generated = |keys: &str| {
        let plan = accepted(&source(&format!("type = \"generate\"\n{keys}")));
        plan.sources[0].keys::<GenerateKeys>().unwrap().unit
    };
    assert_eq!(generated(""), GenerateUnit::Lines);
    assert_eq!(generated("lines = true"), GenerateUnit::Lines);
    assert_eq!(
        generated("words = true\nrate = 10\ncount = 5\nseed = 7"),
        GenerateUnit::Words
    );
    check_rejected(
        &source("type = \"generate\"\nlines = true\nwords = true"),
        &expect![[r#"
            1:1: source `lines` generates neither lines nor words, or both
              hint: write `lines = true` or `words = true`"#]],
    );
    check_rejected(
        &source("type = \"generate\"\ncount = 0"),
        &expect![[r#"
        3:9: `count` of source `lines` is `0`, which is out of range
          hint: it is 1 or more"#]],
    );
}

#[test]
fn sources_do_not_get_into_each_others_way() {
    let stdin = "[source.a]\ntype = \"stdin\"\n[source.lines]\ntype = \"stdin\"";
    check_rejected(
        &with(stdin),
        &expect![[r#"
        3:9: sources `a` and `lines` both read standard input
          hint: let one source read it, and streams share that"#]],
    );
    let listen = |name: &str, address: &str| {
        format!("[source.{name}]\ntype = \"socket\"\nmode = \"listen\"\naddress = \"{address}\"\n")
    };
    let both = |one: &str, other: &str| with(&(listen("a", one) + &listen("lines", other)));
    check_rejected(
        &both("localhost:9999", "127.0.0.1:9999"),
        &expect![[r#"
            8:11: sources `a` and `lines` both listen on one address
              hint: give each a port of its own"#]],
    );
    check_rejected(
        &both("0.0.0.0:9999", "127.0.0.1:9999"),
        &expect![[r#"
            8:11: sources `a` and `lines` both listen on one address
              hint: give each a port of its own"#]],
    );
    accepted(&both("127.0.0.1:9998", "127.0.0.1:9999"));
    accepted(&both("127.0.0.1:0", "127.0.0.1:0"));
}

#[test]
fn a_source_is_a_table() {
    check_rejected(
        &with("source.lines = \"stdin\""),
        &expect!["1:16: source `lines` is a text, not a table"],
    );
    check_rejected(
        &with("[[source]]\nname = \"lines\""),
        &expect![[r#"
            1:1: `source` is no table of sources
              hint: each source has its own: `[source.NAME]`"#]],
    );
}

#[test]
fn a_record_is_never_larger_than_the_buffer() {
    let plan = accepted(&source(
        "type = \"stdin\"\nbuffer = \"1MiB\"\nformat = \"csv\"\nheader = true",
    ));
    assert_eq!(plan.sources[0].max_record, 1 << 20);
    assert_eq!(plan.sources[0].format, Format::Csv { header: true });
    assert_eq!(plan.sources[0].on_error, OnError::Skip);
}

#[test]
fn a_delimiter_is_one_byte_that_has_no_other_meaning() {
    let with_delimiter = |format: &str, delimiter: &str| {
        source(&format!(
            "type = \"stdin\"\nformat = \"{format}\"\ndelimiter = \"{delimiter}\""
        ))
    };
    for (format, delimiter, expected) in [
        ("csv", ";", b';'),
        ("csv", "\\t", b'\t'),
        ("text", "\\u0000", 0),
    ] {
        let plan = accepted(&with_delimiter(format, delimiter));
        assert_eq!(plan.sources[0].delimiter, Some(expected));
    }
    check_rejected(
        &with_delimiter("csv", "\\\""),
        &expect![[r#"
        4:13: `delimiter` of source `lines` is no delimiter of fields
          hint: quotes and line ends have a meaning of their own in a row"#]],
    );
    check_rejected(
        &with_delimiter("text", "ab"),
        &expect![[r#"
        4:13: `delimiter` of source `lines` is no single byte
          hint: one ASCII character, such as `";"`, `"\t"` or `"\u0000"`"#]],
    );
    check_rejected(
        &with_delimiter("text", "é"),
        &expect![[r#"
        4:13: `delimiter` of source `lines` is no single byte
          hint: one ASCII character, such as `";"`, `"\t"` or `"\u0000"`"#]],
    );
    check_rejected(
        &with_delimiter("msgpack", ","),
        &expect![[r#"
        4:13: `delimiter` of source `lines` has no use
          hint: `MessagePack` values end by themselves"#]],
    );
}

#[test]
fn a_pattern_that_can_match_no_file_is_refused() {
    for pattern in [
        "",
        ".a*",
        "*.tmp",
        "*._COPYING_",
        "logs/",
        "/var/*.log",
        "2026/.hidden/*",
    ] {
        assert!(matches_nothing(pattern), "{pattern}");
    }
    for pattern in ["*", "a.log", "2026/*.log", "**/*.log", "*.tmp.gz", "[!.]*"] {
        assert!(!matches_nothing(pattern), "{pattern}");
    }
    check_rejected(
        &source("type = \"files\"\ndir = \"in\"\npattern = \"*.tmp\"\ncompression = \"brotli\""),
        &expect![[r#"
            4:11: `pattern` of source `lines` is `*.tmp`, which matches no file
              hint: names that start with `.`, and those that end in `.tmp` or `._COPYING_`, are never read
            5:15: `compression` of source `lines` cannot be `brotli`
              hint: one of `auto`, `none`"#]],
    );
}
