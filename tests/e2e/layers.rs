//! The layers of the house: each uses only those above it, siblings do not know each other, each
//! outside crate stays where it belongs, and no files import each other in a circle.
//!
//! Sources are parsed, so that every way to write a path counts: `use crate::{a, b}`,
//! `crate::a::f()`, `super::super::a`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// A layer, and the layers it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("batch", &[]),
    ("observe", &["batch"]),
    ("topology", &["batch"]),
    ("plugin", &["batch", "observe", "topology"]),
    ("dataflow", &["batch", "observe", "topology"]),
    ("source", &["batch", "observe", "topology"]),
    ("sink", &["batch", "observe", "topology"]),
    ("journal", &["batch", "observe", "topology"]),
    (
        "driver",
        &[
            "batch", "observe", "topology", "plugin", "dataflow", "source", "sink", "journal",
        ],
    ),
    ("control", &["batch", "observe", "topology", "driver"]),
    (
        "cli",
        &[
            "batch", "observe", "topology", "plugin", "dataflow", "source", "sink", "journal",
            "driver", "control",
        ],
    ),
];

/// What comes from outside, as paths begin, and the only layers that may know it.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("wasmtime", &["plugin"]),
    ("wit_component", &["plugin"]),
    ("timely", &["dataflow"]),
    ("arrow_array", &["batch"]),
    ("arrow_buffer", &["batch"]),
    ("arrow_ipc", &["batch"]),
    ("arrow_schema", &["batch"]),
    ("lz4_flex", &["journal"]),
    ("toml_edit", &["topology", "cli"]),
    ("notify", &["driver", "cli"]),
    ("sd_notify", &["control", "cli"]),
    ("command_fds", &["cli"]),
    ("socket2", &["source"]),
    ("clap", &["cli"]),
    ("anstream", &["cli"]),
    ("tokio", &["source", "driver", "control", "cli"]),
    (
        "std::fs",
        &[
            "plugin", "source", "sink", "journal", "driver", "control", "cli",
        ],
    ),
    ("std::net::TcpStream", &["source", "cli"]),
    ("std::net::TcpListener", &["source", "cli"]),
    ("std::net::UdpSocket", &["source"]),
    ("std::os::unix::net", &["control"]),
];

/// A path, as it stands in the code of a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Mention {
    /// From `host/src`.
    file: PathBuf,
    /// Begins with `crate`, or with the name of a crate.
    path: Vec<String>,
}

impl Mention {
    fn layer(&self) -> Option<&str> {
        let first = self.file.components().next()?.as_os_str().to_str()?;
        (self.file.components().count() > 1).then_some(first)
    }

    fn told(&self) -> String {
        format!("{}: {}", self.file.display(), self.path.join("::"))
    }

    fn begins_with(&self, path: &str) -> bool {
        let wanted: Vec<&str> = path.split("::").collect();
        self.path.len() >= wanted.len() && std::iter::zip(&self.path, wanted).all(|(a, b)| a == b)
    }
}

/// Collects the paths of one file.
struct Paths {
    file: PathBuf,
    /// The module that is being read.
    module: Vec<String>,
    /// Whether tests count.
    tests: bool,
    found: BTreeSet<Mention>,
}

impl Paths {
    fn add(&mut self, path: &[String]) {
        let mut full: Vec<String> = Vec::new();
        for (index, segment) in path.iter().enumerate() {
            match segment.as_str() {
                "self" if index == 0 => full.clone_from(&self.module),
                "super" => {
                    if index == 0 {
                        full.clone_from(&self.module);
                    }
                    full.pop();
                }
                _ => full.push(segment.clone()),
            }
        }
        let (file, path) = (self.file.clone(), full);
        self.found.insert(Mention { file, path });
    }

    fn add_tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) => self.add(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.add(before),
            syn::UseTree::Group(group) => {
                group
                    .items
                    .iter()
                    .for_each(|tree| self.add_tree(tree, before));
            }
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        attribute.path().is_ident("cfg")
            && list.is_ok_and(|list| list.tokens.to_string().contains("test"))
    })
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_none() || (is_test(&item.attrs) && !self.tests) {
            return;
        }
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|one| one.ident.to_string())
            .collect();
        if segments.len() > 1 {
            self.add(&segments);
        }
        visit::visit_path(self, path);
    }
}

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
    files.sort();
    files
}

/// The module that a file is, from `crate` on.
fn module_of(file: &Path) -> Vec<String> {
    let mut module = vec!["crate".to_owned()];
    let parts = file.with_extension("");
    module.extend(parts.iter().map(|part| part.to_str().unwrap().to_owned()));
    if matches!(
        module.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        module.pop();
    }
    module
}

/// All paths of the host's code, with its tests or without.
fn mentions(tests: bool) -> BTreeSet<Mention> {
    let root = source_root();
    let mut found = BTreeSet::new();
    for path in rust_files(&root) {
        let file = path.strip_prefix(&root).unwrap().to_owned();
        let of_tests = |part: &str| part == "tests" || part.starts_with("testing");
        let stem = file.with_extension("");
        if !tests && stem.iter().any(|part| of_tests(part.to_str().unwrap())) {
            continue;
        }
        let parsed = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
        let module = module_of(&file);
        let mut paths = Paths {
            file,
            module,
            tests,
            found: BTreeSet::new(),
        };
        paths.visit_file(&parsed);
        found.append(&mut paths.found);
    }
    assert!(found.len() > 1000, "the host's sources are looked at");
    found
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
    let mentions = mentions(true);
    let mut wrong = Vec::new();
    for (layer, allowed) in LAYERS {
        for mention in mentions.iter().filter(|one| one.layer() == Some(layer)) {
            let other = LAYERS
                .iter()
                .map(|(other, _)| *other)
                .find(|other| mention.begins_with(&format!("crate::{other}")));
            if other.is_some_and(|other| other != *layer && !allowed.contains(&other)) {
                wrong.push(mention.told());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_comes_from_outside_stays_in_its_layers() {
    let mentions = mentions(false);
    let mut wrong = Vec::new();
    for (path, allowed) in OUTSIDE {
        let outside = mentions.iter().filter(|one| one.begins_with(path));
        let elsewhere =
            outside.filter(|one| one.layer().is_some_and(|layer| !allowed.contains(&layer)));
        wrong.extend(elsewhere.map(Mention::told));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Which file takes something from which others. A folder's `mod.rs` stands for the folder where it
/// names its own files, so that what it hands on is no import of theirs.
fn imports() -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let mentions = mentions(false);
    let root = source_root();
    let files: BTreeMap<Vec<String>, PathBuf> = rust_files(&root)
        .into_iter()
        .map(|path| path.strip_prefix(&root).unwrap().to_owned())
        .map(|file| (module_of(&file), file))
        .collect();
    let mut imports: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for Mention { file, path } in mentions {
        let target = (1..=path.len())
            .rev()
            .find_map(|length| files.get(&path[..length]));
        let Some(target) = target.filter(|target| **target != file) else {
            continue;
        };
        let is_own_folder = file.ends_with("mod.rs") && target.starts_with(file.parent().unwrap());
        if !is_own_folder {
            imports.entry(file).or_default().insert(target.clone());
        }
    }
    imports
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    // What nobody imports, or what imports nothing that is left, is in no circle.
    let mut left = imports();
    loop {
        let before = left.len();
        let importers: BTreeSet<PathBuf> = left.keys().cloned().collect();
        left.retain(|_, targets| {
            targets.retain(|target| importers.contains(target));
            !targets.is_empty()
        });
        let imported: BTreeSet<PathBuf> = left.values().flatten().cloned().collect();
        left.retain(|file, _| imported.contains(file));
        if left.len() == before {
            break;
        }
    }
    let told = left.iter().map(|(file, targets)| {
        let targets: Vec<String> = targets
            .iter()
            .map(|one| one.display().to_string())
            .collect();
        format!("{} uses {}", file.display(), targets.join(", "))
    });
    let told: Vec<String> = told.collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn a_path_is_found_however_it_is_written() {
    let code = "use crate::{driver::job, plugin as p};\n\
                fn f() { super::super::sink::open(); std::fs::read(\"x\"); }";
    let mut paths = Paths {
        file: PathBuf::from("batch/group/word.rs"),
        module: ["crate", "batch", "group", "word"]
            .map(str::to_owned)
            .to_vec(),
        tests: true,
        found: BTreeSet::new(),
    };
    paths.visit_file(&syn::parse_file(code).unwrap());
    let found: Vec<String> = paths.found.iter().map(|one| one.path.join("::")).collect();
    let expected = [
        "crate::batch::sink::open",
        "crate::driver::job",
        "crate::plugin",
        "std::fs::read",
    ];
    assert_eq!(found, expected);
    assert_eq!(paths.found.first().unwrap().layer(), Some("batch"));
}
