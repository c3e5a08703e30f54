//! The layers of the house: each uses only those above it, siblings do not know each other, and
//! each outside crate stays where it belongs.

use std::fs;
use std::path::{Path, PathBuf};

/// A layer, and the layers it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("batch", &[]),
    ("topology", &["batch"]),
    ("plugin", &["batch", "topology"]),
    ("dataflow", &["batch", "topology"]),
    ("source", &["batch", "topology"]),
    ("sink", &["batch", "topology"]),
    (
        "driver",
        &["batch", "topology", "plugin", "dataflow", "source", "sink"],
    ),
    ("observe", &["batch", "topology", "driver"]),
    (
        "cli",
        &[
            "batch", "topology", "plugin", "dataflow", "source", "sink", "driver", "observe",
        ],
    ),
];

/// A crate, and the only layers that may know it.
const CRATES: &[(&str, &[&str])] = &[
    ("wasmtime", &["plugin"]),
    ("wit_component", &["plugin"]),
    ("timely", &["dataflow"]),
    ("toml_edit", &["topology", "cli"]),
    ("notify", &["driver", "cli"]),
    ("clap", &["cli"]),
    ("anstream", &["cli"]),
];

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The lines of code of a layer: `FILE:LINE` and text, comments left out.
fn code(layer: &str) -> Vec<(String, String)> {
    let root = source_root();
    let mut lines = Vec::new();
    for file in rust_files(&root.join(layer)) {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        for (index, line) in text.lines().enumerate() {
            if !line.trim_start().starts_with("//") {
                lines.push((format!("{name}:{}", index + 1), line.to_owned()));
            }
        }
    }
    lines
}

#[test]
fn every_folder_is_a_layer() {
    let mut folders: Vec<String> = fs::read_dir(source_root())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let mut layers: Vec<&str> = LAYERS.iter().map(|(layer, _)| *layer).collect();
    folders.sort();
    layers.sort_unstable();
    assert_eq!(folders, layers);
}

#[test]
fn a_layer_uses_only_those_above_it() {
    let mut wrong = Vec::new();
    for (layer, allowed) in LAYERS {
        for (place, line) in code(layer) {
            for (other, _) in LAYERS {
                let used = line.contains(&format!("crate::{other}"));
                if used && other != layer && !allowed.contains(other) {
                    wrong.push(format!(
                        "{place}: `{layer}` uses `{other}`: {}",
                        line.trim()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_crate_stays_in_its_layer() {
    let mut wrong = Vec::new();
    for (name, allowed) in CRATES {
        for (layer, _) in LAYERS.iter().filter(|(layer, _)| !allowed.contains(layer)) {
            for (place, line) in code(layer) {
                if line.contains(&format!("{name}::")) || line.contains(&format!("use {name}")) {
                    wrong.push(format!(
                        "{place}: `{layer}` knows `{name}`: {}",
                        line.trim()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
