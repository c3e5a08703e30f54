//! `dshost build`: guest crates to components in a plugin directory.
//!
//! Cargo does the work, once per workspace; this module chooses its settings, keeps an outer
//! cargo's away, and moves what came out into the directory by rename, so that a running job never
//! sees half a file.
//!
//! Start reading at [`build`].

mod tools;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;

use tools::{cargo, install_target, not_started};

/// What guests are compiled for.
const TARGET: &str = "wasm32-wasip2";

/// Settings that a guest's own manifest need not repeat, as cargo's `--config` takes them. The
/// names of functions are kept, for the backtrace of a trap and for a profiler, and mangled so that
/// they say for which of the user's functions the SDK's were made, which costs 2 % of the file; line
/// tables are not, because those of the standard library alone make a component of 130 KB one of
/// 2.8 MB.
const SETTINGS: [&str; 6] = [
    "target.wasm32-wasip2.rustflags=['-C', 'target-feature=+simd128', \
     '-C', 'symbol-mangling-version=v0']",
    "profile.release.opt-level=3",
    "profile.release.lto='fat'",
    "profile.release.codegen-units=1",
    "profile.release.panic='abort'",
    "profile.release.debug=0",
];

/// The first bytes of every wasm binary; two bytes of version and two of layer follow.
const MAGIC: &[u8; 4] = b"\0asm";

/// Magic, version and layer, in bytes.
const HEADER_BYTES: usize = 8;

/// How guests are built.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// Where cargo keeps what it compiles; none: the workspace's own `target`.
    pub target_dir: Option<PathBuf>,
    /// The lock file must be there and fit.
    pub locked: bool,
    /// Nothing is downloaded.
    pub offline: bool,
    /// Cargo tells only of warnings and errors.
    pub quiet: bool,
}

/// A component that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The package, which is the plugin's name.
    pub package: String,
    /// The component in the plugin directory.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A guest crate that could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The path is no crate.
    #[error("cannot build `{}`: it has no `Cargo.toml`", path.display())]
    NoCrate {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The manifest belongs to no package, only to a workspace.
    #[error("cannot build `{}`: it is a workspace, not a package", path.display())]
    NoPackage {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The crate does not become a plugin.
    #[error("cannot build package `{package}`: it has no library of type `cdylib`")]
    NoPlugin {
        /// The package.
        package: String,
    },
    /// A program that is needed could not be started.
    #[error("cannot start `{program}`")]
    NoProgram {
        /// `cargo`, `rustc` or `rustup`.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The target could not be installed.
    #[error("cannot install the Rust target `{TARGET}`")]
    NoTarget,
    /// Cargo does not understand the manifest; it said why on standard error or here.
    #[error("cannot read `{}`: {reason}", manifest.display())]
    Manifest {
        /// The manifest.
        manifest: PathBuf,
        /// Cargo's words.
        reason: String,
    },
    /// The crate does not compile; the compiler said why on standard error.
    #[error("cannot compile {}", list(packages))]
    Compile {
        /// The packages.
        packages: Vec<String>,
    },
    /// Cargo ended well and told of no file.
    #[error("cargo built no `.wasm` file for package `{package}`")]
    NoArtifact {
        /// The package.
        package: String,
    },
    /// What came out is no wasm.
    #[error("cargo built `{}`, which is neither a component nor a wasm module", path.display())]
    NotWasm {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl BuildError {
    /// What the user may do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoCrate { .. } => "`dshost new plugin NAME` makes a crate".to_owned(),
            Self::NoPackage { .. } => "name the folder of one of its members".to_owned(),
            Self::NoPlugin { .. } => {
                "add `[lib]` with `crate-type = [\"cdylib\", \"rlib\"]` to its `Cargo.toml`"
                    .to_owned()
            }
            Self::NoProgram { program, .. } if program == "rustup" => {
                format!("install rustup from https://rustup.rs, or the target `{TARGET}` by hand")
            }
            Self::NoProgram { .. } => "install Rust from https://rustup.rs".to_owned(),
            Self::NoTarget => format!("try `rustup target add {TARGET}`"),
            Self::Manifest { .. }
            | Self::Compile { .. }
            | Self::NoArtifact { .. }
            | Self::NotWasm { .. }
            | Self::Io { .. } => return None,
        };
        Some(hint)
    }
}

fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// Builds the guest crates in the folders `crates` and puts each component into the directory
/// `into` (made if need be) as `PACKAGE.wasm`. Progress and the compiler's messages go to standard
/// error.
///
/// # Errors
///
/// What stands in the way of the first crate that cannot be built; those before it may be in place.
pub fn build(
    crates: &[PathBuf],
    into: &Path,
    options: &BuildOptions,
) -> Result<Vec<Built>, BuildError> {
    let workspaces = workspaces(crates)?;
    fs::create_dir_all(into).map_err(io_error("create", into))?;
    let mut built = BTreeMap::new();
    for workspace in &workspaces {
        for component in workspace.build(into, options)? {
            built.insert(component.package.clone(), component);
        }
    }
    Ok(built.into_values().collect())
}

// === What there is to build ===

/// A cargo workspace and those of its packages that are asked for.
struct Workspace {
    root: PathBuf,
    target: PathBuf,
    /// All of its packages.
    members: Vec<Package>,
    /// Indices into `members`.
    wanted: Vec<usize>,
}

/// `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<CargoTarget>,
}

#[derive(Deserialize)]
struct CargoTarget {
    crate_types: Vec<String>,
}

impl Package {
    fn is_plugin(&self) -> bool {
        let mut types = self.targets.iter().flat_map(|target| &target.crate_types);
        types.any(|name| name == "cdylib")
    }
}

/// Sorts crates by their workspace, so that cargo is called once for each.
fn workspaces(crates: &[PathBuf]) -> Result<Vec<Workspace>, BuildError> {
    let mut workspaces: Vec<Workspace> = Vec::new();
    for path in crates {
        let manifest = path.join("Cargo.toml");
        let manifest = manifest
            .canonicalize()
            .map_err(|_| BuildError::NoCrate { path: path.clone() })?;
        let find = |workspaces: &[Workspace]| {
            workspaces
                .iter()
                .enumerate()
                .find_map(|(index, workspace)| {
                    let members = &workspace.members;
                    let member = members
                        .iter()
                        .position(|package| package.manifest_path == manifest)?;
                    Some((index, member))
                })
        };
        let found = match find(&workspaces) {
            Some(found) => Some(found),
            None => {
                workspaces.push(Workspace::read(&manifest)?);
                find(&workspaces)
            }
        };
        let (workspace, member) =
            found.ok_or_else(|| BuildError::NoPackage { path: path.clone() })?;
        let workspace = &mut workspaces[workspace];
        let package = &workspace.members[member];
        if !package.is_plugin() {
            let package = package.name.clone();
            return Err(BuildError::NoPlugin { package });
        }
        if !workspace.wanted.contains(&member) {
            workspace.wanted.push(member);
        }
    }
    Ok(workspaces)
}

impl Workspace {
    /// Asks cargo what belongs together with `manifest`.
    fn read(manifest: &Path) -> Result<Self, BuildError> {
        let mut cargo = cargo();
        cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
        cargo.arg("--manifest-path").arg(manifest);
        let output = cargo.output().map_err(not_started(&cargo))?;
        let wrong = |reason: String| BuildError::Manifest {
            manifest: manifest.to_owned(),
            reason,
        };
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let words = words.trim();
            return Err(wrong(words.strip_prefix("error: ").unwrap_or(words).into()));
        }
        let metadata: Metadata =
            serde_json::from_slice(&output.stdout).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            members: metadata.packages,
            wanted: Vec::new(),
        })
    }

    /// Compiles what is wanted and puts it into `into`.
    fn build(&self, into: &Path, options: &BuildOptions) -> Result<Vec<Built>, BuildError> {
        install_target(&self.root)?;
        // Cargo runs in another folder than this process.
        let target = std::path::absolute(options.target_dir.as_ref().unwrap_or(&self.target))
            .map_err(io_error("find", &self.target))?;
        // Another build must not replace a file while it is copied.
        let _lock = lock(&target)?;
        let artifacts = self.compile(&target, options)?;
        self.packages()
            .map(|package| {
                let artifact = artifacts.get(&package.manifest_path);
                let artifact = artifact.ok_or_else(|| BuildError::NoArtifact {
                    package: package.name.clone(),
                })?;
                publish(&package.name, artifact, into)
            })
            .collect()
    }

    fn packages(&self) -> impl Iterator<Item = &Package> {
        self.wanted.iter().map(|index| &self.members[*index])
    }

    /// Runs cargo; gives the components by manifest.
    fn compile(
        &self,
        target: &Path,
        options: &BuildOptions,
    ) -> Result<BTreeMap<PathBuf, PathBuf>, BuildError> {
        let mut cargo = cargo();
        // The folder decides which toolchain rustup takes and which settings cargo reads.
        cargo.current_dir(&self.root);
        cargo.args(["build", "--lib", "--release", "--target", TARGET]);
        cargo.arg("--message-format=json-render-diagnostics");
        cargo.arg("--target-dir").arg(target);
        for setting in SETTINGS {
            cargo.args(["--config", setting]);
        }
        for package in self.packages() {
            cargo.args(["--package", &package.name]);
        }
        let flags = [
            ("--locked", options.locked),
            ("--offline", options.offline),
            ("--quiet", options.quiet),
        ];
        cargo.args(flags.iter().filter(|(_, set)| *set).map(|(flag, _)| flag));
        cargo.stdout(Stdio::piped());
        let mut child = cargo.spawn().map_err(not_started(&cargo))?;
        let artifacts = child.stdout.take().map(artifacts).unwrap_or_default();
        let status = child.wait().map_err(not_started(&cargo))?;
        if status.success() {
            Ok(artifacts)
        } else {
            let packages = self.packages().map(|package| package.name.clone());
            Err(BuildError::Compile {
                packages: packages.collect(),
            })
        }
    }
}

/// A message of cargo's, as far as it is of interest.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Reads cargo's messages to their end: the wasm file of each package.
fn artifacts(messages: impl Read) -> BTreeMap<PathBuf, PathBuf> {
    let lines = BufReader::new(messages).lines().map_while(Result::ok);
    let messages = lines.filter_map(|line| serde_json::from_str::<Message>(&line).ok());
    messages
        .filter(|message| message.reason == "compiler-artifact")
        .filter_map(|message| {
            let mut files = message.filenames.into_iter();
            let wasm = files.find(|file| file.extension().is_some_and(|name| name == "wasm"))?;
            Some((message.manifest_path?, wasm))
        })
        .collect()
}

// === Files ===

/// Holds the folder `target` for this process until the file is dropped.
fn lock(target: &Path) -> Result<File, BuildError> {
    let path = target.join(".dshost-build.lock");
    fs::create_dir_all(target).map_err(io_error("create", target))?;
    let file = File::create(&path).map_err(io_error("create", &path))?;
    file.lock().map_err(io_error("lock", &path))?;
    Ok(file)
}

/// Copies `artifact` into the folder `into` under its final name, whole or not at all.
fn publish(package: &str, artifact: &Path, into: &Path) -> Result<Built, BuildError> {
    let mut source = File::open(artifact).map_err(io_error("open", artifact))?;
    let path = into.join(format!("{package}.wasm"));
    // A leading dot: the plugin directory is watched, and such files are none of its plugins.
    let mut builder = tempfile::Builder::new();
    let prefix = format!(".{package}.");
    builder.prefix(&prefix).suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o644));
    }
    let mut file = builder
        .tempfile_in(into)
        .map_err(io_error("write in", into))?;
    let mut header = [0; HEADER_BYTES];
    let wasm = source.read_exact(&mut header).is_ok() && header.starts_with(MAGIC);
    if !wasm {
        let path = artifact.to_owned();
        return Err(BuildError::NotWasm { path });
    }
    let bytes = io::Write::write_all(&mut file, &header)
        .and_then(|()| io::copy(&mut source, &mut file))
        .map_err(io_error("write", &path))?;
    file.persist(&path)
        .map_err(|error| io_error("write", &path)(error.error))?;
    Ok(Built {
        package: package.to_owned(),
        path,
        bytes: bytes + HEADER_BYTES as u64,
    })
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BuildError + use<> {
    let path = path.to_owned();
    move |source| BuildError::Io {
        action,
        path,
        source,
    }
}
