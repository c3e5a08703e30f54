//! `dshost new`: a plugin or a topology that builds and runs as it is, anywhere.
//!
//! The binary carries the sources of the guest SDK and the contract, and writes them beside every
//! plugin, in the same relative places as in the repository. A path dependency then needs no
//! registry to have them, and a plugin goes with the `dshost` that made it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

/// The folder of the SDK beside a plugin.
const SDK_FOLDER: &str = ".dshost-sdk";

/// The plugin of a new topology.
const FUNCTIONS: &str = "functions";

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Names that cargo refuses, because the language or its libraries have them.
const RESERVED: [&str; 54] = [
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "const", "continue",
    "core", "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen",
    "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv",
    "pub", "ref", "return", "self", "static", "std", "struct", "super", "test", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while",
];

/// Names in `[plugins]` that are settings, and so no plugins.
const SETTINGS: [&str; 3] = ["build", "dir", "limits"];

static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/rust/src");
static MACROS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk/rust/macros/src");
static CONTRACT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../wit");
const SDK_MANIFEST: &str = include_str!("../../../guest-sdk/rust/Cargo.toml");
const MACROS_MANIFEST: &str = include_str!("../../../guest-sdk/rust/macros/Cargo.toml");
const WORKSPACE_MANIFEST: &str = include_str!("../../../Cargo.toml");

/// The versions that the SDK was tested with; cargo drops the crates that a plugin does not need.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// A folder that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Created {
    /// The folder.
    pub(super) folder: PathBuf,
    /// Commands to go on with, to be given in the folder.
    pub(super) next: Vec<String>,
}

/// A folder that could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NewError {
    /// The name is none.
    #[error("`{name}` is no name: {reason}")]
    Name {
        /// The name as it was given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something stands there already; nothing is overwritten.
    #[error("cannot make `{}`: it exists", path.display())]
    Exists {
        /// What stands there.
        path: PathBuf,
    },
    /// A file or folder could not be written. What had been written is gone again.
    #[error("cannot write `{}`", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl NewError {
    /// What the user may do about it.
    #[must_use]
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Name { .. } => Some("a name is a letter, then letters, digits, `-` and `_`"),
            Self::Exists { .. } => Some("choose another name, or remove it first"),
            Self::Io { .. } => None,
        }
    }
}

/// Makes the plugin crate `name` in the folder `parent`.
///
/// # Errors
///
/// If the name is none, or something of that name is there, or the disk refuses.
pub(super) fn plugin(name: &str, parent: &Path) -> Result<Created, NewError> {
    check_plugin_name(name)?;
    let folder = create(&parent.join(name), |folder| write_plugin(name, folder))?;
    let next = ["cargo test", "dshost build --into plugins ."];
    Ok(Created {
        folder,
        next: next.map(str::to_owned).to_vec(),
    })
}

/// Makes the folder `name` with a topology, its plugin and a scenario in the folder `parent`.
///
/// # Errors
///
/// As [`plugin`].
pub(super) fn topology(name: &str, parent: &Path) -> Result<Created, NewError> {
    check_name(name)?;
    let folder = create(&parent.join(name), |folder| {
        let fill = |template: &str| template.replace("{{name}}", name);
        let template = fill(include_str!("../../templates/topology/topology.toml.in"));
        write(&folder.join("topology.toml"), &template)?;
        let template = fill(include_str!("../../templates/topology/scenario.toml.in"));
        write(&folder.join("scenario.toml"), &template)?;
        let template = fill(include_str!("../../templates/topology/README.md.in"));
        write(&folder.join("README.md"), &template)?;
        write(&folder.join(".gitignore"), "/plugins/\n/.dshost/\n")?;
        let functions = folder.join(FUNCTIONS);
        create_folder(&functions)?;
        write_plugin(FUNCTIONS, &functions)
    })?;
    let next = [
        "dshost build topology.toml",
        "dshost test scenario.toml",
        "dshost run topology.toml",
    ];
    Ok(Created {
        folder,
        next: next.map(str::to_owned).to_vec(),
    })
}

// === Names ===

fn check_name(name: &str) -> Result<(), NewError> {
    let mut bytes = name.bytes();
    let reason = if !bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic()) {
        "it does not begin with a letter"
    } else if !bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        "it holds something else than letters, digits, `-` and `_`"
    } else if name.len() > MAX_NAME_BYTES {
        "it is longer than 64 characters"
    } else {
        return Ok(());
    };
    Err(NewError::Name {
        name: name.to_owned(),
        reason,
    })
}

fn check_plugin_name(name: &str) -> Result<(), NewError> {
    check_name(name)?;
    let reason = if SETTINGS.contains(&name) {
        "`[plugins]` has a setting of that name"
    } else if RESERVED.contains(&name) {
        "Rust has a word or library of that name"
    } else if name.starts_with("dshost") {
        "dshost's own crates have such names"
    } else if is_of_the_sdk(name) {
        "a crate that every plugin is built with has that name"
    } else {
        return Ok(());
    };
    Err(NewError::Name {
        name: name.to_owned(),
        reason,
    })
}

/// Whether the SDK is built with a crate of that name, `-` and `_` being the same to the compiler.
fn is_of_the_sdk(name: &str) -> bool {
    let lock: toml::Table = LOCK.parse().expect("cargo wrote it");
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let dependencies = |of: &str| -> Vec<String> {
        let named =
            |package: &&toml::Value| package.get("name").and_then(|name| name.as_str()) == Some(of);
        let found = packages.into_iter().flatten().filter(named);
        let listed = found.filter_map(|package| package.get("dependencies")?.as_array());
        let names = listed
            .flatten()
            .filter_map(|name| name.as_str()?.split(' ').next());
        names.map(ToOwned::to_owned).collect()
    };
    let mut reached = vec!["dshost-guest".to_owned(), "dshost-guest-macros".to_owned()];
    let mut next = 0;
    while let Some(of) = reached.get(next) {
        let new = dependencies(of)
            .into_iter()
            .filter(|name| !reached.contains(name));
        let new: Vec<String> = new.collect();
        reached.extend(new);
        next += 1;
    }
    let plain = |name: &str| name.replace('-', "_").to_ascii_lowercase();
    reached.iter().any(|known| plain(known) == plain(name))
}

// === Files ===

/// Makes `folder`, which must not exist, and fills it by `fill`; a folder that cannot be filled is
/// removed.
fn create(
    folder: &Path,
    fill: impl FnOnce(&Path) -> Result<(), NewError>,
) -> Result<PathBuf, NewError> {
    create_folder(folder)?;
    if let Err(error) = fill(folder) {
        // The first error is the one to tell; what cannot be removed either is seen by the next
        // attempt.
        let _ = fs::remove_dir_all(folder);
        return Err(error);
    }
    Ok(folder.to_owned())
}

fn create_folder(path: &Path) -> Result<(), NewError> {
    fs::create_dir(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => NewError::Exists {
            path: path.to_owned(),
        },
        _ => NewError::Io {
            path: path.to_owned(),
            source,
        },
    })
}

fn write_plugin(name: &str, folder: &Path) -> Result<(), NewError> {
    let fill = |template: &str| template.replace("{{name}}", name);
    let manifest = fill(include_str!("../../templates/plugin/Cargo.toml.in"));
    write(&folder.join("Cargo.toml"), &manifest)?;
    write(&folder.join("Cargo.lock"), LOCK)?;
    let functions = fill(include_str!("../../templates/plugin/lib.rs.in"));
    write(&folder.join("src/lib.rs"), &functions)?;
    let readme = fill(include_str!("../../templates/plugin/README.md.in"));
    write(&folder.join("README.md"), &readme)?;
    write(&folder.join(".gitignore"), "/target/\n")?;
    write_sdk(&folder.join(SDK_FOLDER))
}

/// Writes the SDK as a workspace of its own, in the places of the repository: the SDK finds the
/// contract two folders above itself.
fn write_sdk(folder: &Path) -> Result<(), NewError> {
    let sdk = folder.join("guest-sdk/rust");
    write(&folder.join("Cargo.toml"), sdk_workspace())?;
    write(&sdk.join("Cargo.toml"), SDK_MANIFEST)?;
    write(&sdk.join("macros/Cargo.toml"), MACROS_MANIFEST)?;
    write_all(&SDK, &sdk.join("src"))?;
    write_all(&MACROS, &sdk.join("macros/src"))?;
    write_all(&CONTRACT, &folder.join("wit"))
}

/// The repository's workspace, as far as the SDK inherits from it.
fn sdk_workspace() -> String {
    let mut manifest: toml_edit::DocumentMut = WORKSPACE_MANIFEST
        .parse()
        .expect("the manifest that this crate was built with is TOML");
    manifest.retain(|name, _| name == "workspace");
    let workspace = &mut manifest["workspace"];
    workspace["members"] = toml_edit::value(toml_edit::Array::from_iter([
        "guest-sdk/rust",
        "guest-sdk/rust/macros",
    ]));
    if let Some(workspace) = workspace.as_table_mut() {
        workspace.remove("default-members");
    }
    manifest.to_string()
}

fn write_all(from: &Dir<'_>, to: &Path) -> Result<(), NewError> {
    for file in from.files() {
        let name = file.path().file_name().unwrap_or_default();
        write(&to.join(name), file.contents())?;
    }
    for folder in from.dirs() {
        let name = folder.path().file_name().unwrap_or_default();
        write_all(folder, &to.join(name))?;
    }
    Ok(())
}

/// Writes a file, and the folders that lead to it.
fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), NewError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, contents))
        .map_err(|source| NewError::Io {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::build::{BuildOptions, build};

    #[test]
    fn a_new_plugin_builds_away_from_the_repository() {
        let parent = tempfile::tempdir().unwrap();
        let created = plugin("my-words", parent.path()).unwrap();
        let options = BuildOptions {
            // What the repository's own guests compiled is used again.
            target_dir: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests")),
            offline: true,
            quiet: true,
            ..BuildOptions::default()
        };
        let built = build(&[created.folder], parent.path(), &options).unwrap();
        assert_eq!(built[0].path, parent.path().join("my-words.wasm"));
        assert!(built[0].path.is_file());
    }

    #[test]
    fn a_new_topology_has_its_plugin_beside_it() {
        let parent = tempfile::tempdir().unwrap();
        let created = topology("job", parent.path()).unwrap();
        let read = |name: &str| fs::read_to_string(created.folder.join(name)).unwrap();
        assert!(read("topology.toml").contains("name = \"job\""));
        assert!(read("functions/Cargo.toml").contains("name = \"functions\""));
        assert!(read("scenario.toml").contains("topology = \"topology.toml\""));
        assert!(read("functions/.dshost-sdk/wit/plugin.wit").contains("world guest"));
    }

    #[test]
    fn nothing_is_overwritten() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("words"), "mine").unwrap();
        let error = plugin("words", parent.path()).unwrap_err();
        assert!(matches!(error, NewError::Exists { .. }), "{error}");
        assert_eq!(
            fs::read_to_string(parent.path().join("words")).unwrap(),
            "mine"
        );
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let parent = tempfile::tempdir().unwrap();
        let refused = |name: &str| plugin(name, parent.path()).unwrap_err().to_string();
        for (name, reason) in [
            ("", "it does not begin with a letter"),
            ("../up", "it does not begin with a letter"),
            ("1st", "it does not begin with a letter"),
            (
                "a/b",
                "it holds something else than letters, digits, `-` and `_`",
            ),
            ("limits", "`[plugins]` has a setting of that name"),
            ("match", "Rust has a word or library of that name"),
            ("dshost-guest", "dshost's own crates have such names"),
            (
                "serde",
                "a crate that every plugin is built with has that name",
            ),
            (
                "Rmp_Serde",
                "a crate that every plugin is built with has that name",
            ),
            (
                "wit-bindgen",
                "a crate that every plugin is built with has that name",
            ),
        ] {
            assert_eq!(refused(name), format!("`{name}` is no name: {reason}"));
        }
        // Crates of the host and of the repository are nothing to a plugin.
        for name in ["wordcount", "tokio"] {
            plugin(name, parent.path()).unwrap();
        }
        assert!(refused(&"a".repeat(65)).ends_with("longer than 64 characters"));
        assert!(
            topology("limits", parent.path()).is_ok(),
            "only a plugin may not be called so"
        );
    }
}
