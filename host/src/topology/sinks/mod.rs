//! `[sink.NAME]`: where records go. Each type stands in a file of its own.

pub(super) mod dead_letters;
mod print;
mod spec;
mod text_files;

use super::item::Item;
use super::problem::{listed, quoted};
use super::reader::{Reader, Text};
use super::table::Table;
use spec::SinkType;

pub(crate) use dead_letters::DeadLettersKeys;
pub(crate) use print::PrintKeys;
pub(super) use spec::SinkSpec;
pub(crate) use text_files::TextFilesKeys;

/// Every `type`.
const TYPES: &[SinkType] = &[print::TYPE, text_files::TYPE];

/// Reads `[sink.NAME]` of all names.
pub(super) fn read<'t>(reader: &mut Reader<'_>, items: &[Item<'t>]) -> Vec<SinkSpec<'t>> {
    let sinks: Vec<SinkSpec<'t>> = items.iter().map(|item| read_one(reader, item)).collect();
    TYPES.iter().for_each(|kind| (kind.check)(reader, &sinks));
    sinks
}

fn read_one<'t>(reader: &mut Reader<'_>, item: &Item<'t>) -> SinkSpec<'t> {
    let mut spec = SinkSpec {
        name: item.key.to_owned(),
        at: item.key_at,
        from: None,
        target: None,
    };
    let Some(mut table) = Table::of(reader, item, format!("sink {}", quoted(item.key))) else {
        return spec;
    };
    spec.from = from(reader, &mut table);
    let choices: Vec<_> = TYPES.iter().map(|kind| (kind.name, kind)).collect();
    let names = TYPES.iter().map(|kind| kind.name);
    let kind = table.require(reader, "type", &format!("one of {}", listed(names)));
    let kind = kind.and_then(|item| reader.choice(&item, &choices));
    spec.target = kind.and_then(|kind| (kind.read)(reader, &mut table));
    let keys = TYPES.iter().map(|kind| (kind.name, kind.keys));
    table.refuse_keys_of_others(reader, keys, kind.map(|kind| kind.name));
    table.finish(reader);
    spec
}

/// A sink reads one stream.
fn from<'t>(reader: &mut Reader<'_>, table: &mut Table<'t>) -> Option<Text<'t>> {
    let item = table.require(reader, "from", "the stream or source that it reads")?;
    if item.value.is_array() {
        let message = format!("{} reads a list, but a sink reads one stream", table.label);
        let hint = "name one: `from = \"a\"`; a `union` makes one stream of several";
        reader.wrong_hint(item.at, &message, hint);
        return None;
    }
    reader.text(&item)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::tests::{REST, check_rejected};

    fn with(text: &str) -> String {
        let rest = REST.replace("[sink.out]\nfrom = \"lines\"\ntype = \"print\"\n", "");
        format!("{text}\n{rest}")
    }

    #[test]
    fn a_sink_reads_one_stream_and_has_a_type() {
        check_rejected(
            &with("[sink.out]\n"),
            &expect![[r#"
                1:1: sink `out` has no `from`
                  hint: the stream or source that it reads
                1:1: sink `out` has no `type`
                  hint: one of `print` and `text_files`"#]],
        );
        check_rejected(
            &with("[sink.out]\nfrom = [\"lines\"]\ntype = \"print\""),
            &expect![[r#"
                2:8: sink `out` reads a list, but a sink reads one stream
                  hint: name one: `from = "a"`; a `union` makes one stream of several"#]],
        );
        check_rejected(
            &with("[sink.out]\nfrom = \"lines\"\ntype = \"console\""),
            &expect![[r#"
                3:8: `type` of sink `out` cannot be `console`
                  hint: one of `print`, `text_files`"#]],
        );
    }

    #[test]
    fn keys_belong_to_their_type() {
        let text =
            "[sink.out]\nfrom = \"lines\"\ntype = \"print\"\nprefix = \"x\"\nfunction = \"p/f\"";
        check_rejected(
            &with(text),
            &expect![[r#"
                4:1: sink `out` cannot have `prefix`
                  hint: it belongs to `type = "text_files"`
                5:1: sink `out` has an unknown key `function`
                  hint: one of `from`, `type`, `count`"#]],
        );
        let text = "[sink.out]\nfrom = \"lines\"\ntype = \"print\"\ncount = -1";
        check_rejected(
            &with(text),
            &expect![[r#"
            4:9: `count` of sink `out` is `-1`, which is out of range
              hint: it is 0 to 4294967295"#]],
        );
    }

    #[test]
    fn directories_of_text_files_have_usable_names_of_their_own() {
        let text = "[sink.out]\nfrom = \"lines\"\ntype = \"text_files\"\nprefix = \"out/\"\nsuffix = \"a/b\"";
        check_rejected(
            &with(text),
            &expect![[r#"
            4:10: `prefix` of sink `out` ends with `/`
              hint: the time follows it after a dash: `"out/counts"` gives `out/counts-1000`
            5:10: `suffix` of sink `out` is no part of a file name
              hint: it follows the time after a dot, such as `txt`"#]],
        );
        let text = "[sink.a]\nfrom = \"lines\"\ntype = \"text_files\"\n[sink.b]\nfrom = \"lines\"\ntype = \"text_files\"";
        check_rejected(
            &with(text),
            &expect![[r#"
            4:7: sinks `a` and `b` both write the same directories
              hint: give them different `prefix` or `suffix`"#]],
        );
        let text = "[sink.a]\nfrom = \"lines\"\ntype = \"text_files\"\nprefix = \"./out/x\"\n[sink.b]\nfrom = \"lines\"\ntype = \"text_files\"\nprefix = \"out/x\"";
        check_rejected(
            &with(text),
            &expect![[r#"
            5:7: sinks `a` and `b` both write the same directories
              hint: give them different `prefix` or `suffix`"#]],
        );
    }
}
