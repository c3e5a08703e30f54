//! Files whose graph is wrong.

use expect_test::expect;

use crate::topology::tests::{REST, accepted, check_rejected, parsed};

fn with(text: &str) -> String {
    format!("{text}\n{REST}")
}

fn count(name: &str, from: &str) -> String {
    format!("[stream.{name}]\nfrom = \"{from}\"\nop = \"count\"\n")
}

#[test]
fn a_stream_that_names_an_unknown_source_gets_the_nearest_as_hint() {
    check_rejected(
        &with(&count("words", "linse")),
        &expect![[r#"
        2:8: stream `words` reads from `linse`, which does not exist
          hint: did you mean `lines`?"#]],
    );
    check_rejected(
        &with(&count("words", "kafka")),
        &expect![[r#"
            2:8: stream `words` reads from `kafka`, which does not exist
              hint: it can only be `lines`"#]],
    );
}

#[test]
fn what_hangs_on_an_unknown_name_is_not_told() {
    let text = count("a", "nowhere") + &count("b", "a") + &count("c", "b");
    check_rejected(
        &with(&text),
        &expect![[r#"
            2:8: stream `a` reads from `nowhere`, which does not exist
              hint: one of `lines`, `b`, `c`"#]],
    );
}

#[test]
fn nothing_reads_from_a_sink() {
    check_rejected(
        &with(&count("words", "out")),
        &expect![[r#"
        2:8: stream `words` reads from sink `out`
          hint: a sink gives nothing; read what it reads"#]],
    );
}

#[test]
fn cycles_are_told_by_their_path() {
    check_rejected(
        &with(&count("a", "a")),
        &expect!["2:8: stream `a` reads from itself"],
    );
    let text = count("a", "c") + &count("b", "a") + &count("c", "b") + &count("d", "a");
    check_rejected(
        &with(&text),
        &expect![[r#"
        2:8: streams go round in a cycle: `a` → `b` → `c` → `a`
          hint: let one of them read something else"#]],
    );
    let text = count("a", "b") + &count("b", "a") + &count("c", "d") + &count("d", "c");
    check_rejected(
        &with(&text),
        &expect![[r#"
        2:8: streams go round in a cycle: `a` → `b` → `a`
          hint: let one of them read something else
        8:8: streams go round in a cycle: `c` → `d` → `c`
          hint: let one of them read something else"#]],
    );
}

#[test]
fn names_are_unique_and_well_formed() {
    check_rejected(
        &with(&(count("lines", "lines") + &count("out", "lines"))),
        &expect![[r#"
            1:9: `lines` is already a source
              hint: names are unique over sources, streams and sinks
            13:7: `out` is already a stream
              hint: names are unique over sources, streams and sinks"#]],
    );
    check_rejected(
        &with(&count("\"a b\"", "lines")),
        &expect![[r#"
        1:9: `a b` cannot be the name of a stream
          hint: a name is a letter, then letters, digits, `_` and `-`"#]],
    );
    check_rejected(
        &with(&count("9", "lines")),
        &expect![[r#"
        1:9: `9` cannot be the name of a stream
          hint: a name is a letter, then letters, digits, `_` and `-`"#]],
    );
    check_rejected(
        &with(&(count("a", "lines") + &count("a", "lines"))),
        &expect![[r#"
            4:9: `a` stands here for the second time
            5:1: `from` stands here for the second time
            6:1: `op` stands here for the second time"#]],
    );
}

#[test]
fn something_comes_in_and_something_goes_out() {
    check_rejected(
        "[topology]\nbatch = \"1s\"\n",
        &expect![[r#"
        1:1: there is no source, so nothing would come in
          hint: add a `[source.NAME]`, such as one of `type = "stdin"`
        1:1: there is no sink, so nothing would come out
          hint: add a `[sink.NAME]`, such as one of `type = "print"`"#]],
    );
}

#[test]
fn windows_are_multiples_of_what_they_read() {
    let text = "[stream.w]\nfrom = \"lines\"\nop = \"window\"\nwindow = \"1500ms\"\nslide = \"4s\"\n\
                [stream.v]\nfrom = \"w\"\nop = \"window\"\nwindow = \"6s\"\n";
    check_rejected(
        &with(text),
        &expect![[r#"
            4:10: `window` of stream `w` is `1500ms`, which is no multiple of `1s`
              hint: that is how often the stream fires that it reads
            9:10: `window` of stream `v` is `6s`, which is no multiple of `4s`
              hint: that is how often the stream fires that it reads"#]],
    );
}

#[test]
fn streams_that_meet_have_the_same_slide() {
    let text = "[stream.w]\nfrom = \"lines\"\nop = \"window\"\nwindow = \"2s\"\nslide = \"2s\"\n\
                [stream.u]\nfrom = [\"lines\", \"w\"]\nop = \"union\"\n";
    check_rejected(
        &with(text),
        &expect![[r#"
            7:18: stream `u` reads `lines`, which slides by `1s`, and `w`, which slides by `2s`
              hint: streams that meet have the same slide; a `window` can bring one to the other's"#]],
    );
}

#[test]
fn only_state_has_snapshots() {
    check_rejected(
        &with(&(count("a", "lines") + &count("b", "a.snapshots"))),
        &expect![[r#"
            5:8: stream `a` has no snapshots, as it is a `count`
              hint: only `map_with_state` has them"#]],
    );
}

#[test]
fn a_source_that_nobody_reads_is_only_a_warning() {
    let text = with("[source.b]\ntype = \"generate\"");
    accepted(&text);
    let warnings = parsed(&text, &[]).unwrap().warnings;
    expect![[r#"
        dir/t.toml:1:9: warning: nothing reads source `b`
          hint: what it receives is dropped"#]]
    .assert_eq(&warnings.to_string());
}
