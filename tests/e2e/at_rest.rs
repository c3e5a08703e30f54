//! Checkpoints at rest are Arrow files: other tools read what a stream holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::crash::Place;
use crate::support::{stderr, stdout};

/// Reads the files of one stream, those of a partition in their order, and shows what they come to:
/// a key in each line, or what the batches of a window came to together.
const READER: &str = r#"
import sys
import pyarrow as pa

keys, batches = {}, 0
for path in sys.argv[1:]:
    with pa.memory_map(path) as file:
        table = pa.ipc.open_file(file).read_all()
    facts = {name.decode(): fact.decode() for name, fact in table.schema.metadata.items()}
    if facts["dshost.kind"] == "batches":
        assert str(table.schema.field("batch").type) == "timestamp[ms, tz=UTC]"
        batches += sum(table.column("value").to_pylist())
    for row in table.to_pylist() if "key" in table.column_names else []:
        if row["state"] is None:
            del keys[row["key"]]
        else:
            keys[row["key"]] = row["state"]
print(facts["dshost.stream"], facts["dshost.operator"], batches)
for key in sorted(keys):
    print(key, keys[key])
"#;

/// The files that a manifest of a job names, by stream.
pub(crate) fn files(job: &Path, manifest: &Path) -> BTreeMap<String, Vec<String>> {
    let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in manifest["manifest"]["parts"].as_array().unwrap() {
        let of = files.entry(part["stream"].as_str().unwrap().to_owned());
        let of = of.or_default();
        for file in part["files"].as_array().unwrap() {
            let name = format!("{}.arrow", file["digest"].as_str().unwrap());
            of.push(job.join("parts").join(name).display().to_string());
        }
    }
    files
}

fn python(args: &[String]) -> Option<Output> {
    Command::new("python3").arg("-c").args(args).output().ok()
}

#[test]
fn what_a_checkpoint_holds_is_read_by_pyarrow() {
    let has_pyarrow = python(&["import pyarrow".to_owned()]);
    if has_pyarrow.is_none_or(|said| !said.status.success()) {
        println!("python3 has no pyarrow here, so nothing is read with it");
        return;
    }
    let place = Place::new("40ms");
    place.finish();
    let manifests = fs::read_dir(place.job().join("checkpoints")).unwrap();
    let newest = manifests.map(|entry| entry.unwrap().path()).max().unwrap();
    let files = files(&place.job(), &newest);
    let read = |stream: &str| {
        let args = [&[READER.to_owned()], &files[stream][..]].concat();
        let said = python(&args).unwrap();
        assert!(said.status.success(), "{}", stderr(&said));
        stdout(&said)
    };
    let totals = place.shown("totals").into_values().next_back().unwrap();
    let mut totals: Vec<String> = totals
        .iter()
        .map(|line| line.trim_matches(['(', ')']).replace(',', " "))
        .collect();
    totals.sort();
    let expected = format!("totals update_state_by_key 0\n{}\n", totals.join("\n"));
    assert_eq!(read("totals"), expected);
    assert_eq!(read("held"), "held count_by_window 300\n");
}
