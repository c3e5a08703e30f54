//! Guests are built for real, in a target directory that all tests share.

use super::tools::is_foreign;
use super::*;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn refused(path: PathBuf) -> BuildError {
    let into = tempfile::tempdir().unwrap();
    build(&[path], into.path(), &BuildOptions::default()).unwrap_err()
}

#[test]
fn guests_of_one_workspace_become_components_under_their_names() {
    let crates = ["wordcount", "lines"].map(|name| repository().join("plugins").join(name));
    let into = tempfile::tempdir().unwrap();
    let options = BuildOptions {
        target_dir: Some(repository().join("target/guests")),
        locked: true,
        quiet: true,
        ..BuildOptions::default()
    };
    let built = build(&crates, into.path(), &options).unwrap();
    let names: Vec<&str> = built.iter().map(|built| built.package.as_str()).collect();
    assert_eq!(names, ["lines", "wordcount"]);
    for component in &built {
        let bytes = fs::read(&component.path).unwrap();
        assert_eq!(bytes[..HEADER_BYTES], *b"\0asm\x0d\0\x01\0");
        assert_eq!(bytes.len() as u64, component.bytes);
    }
    let files = fs::read_dir(into.path()).unwrap();
    assert_eq!(files.count(), 2, "nothing but the components is left");
}

#[test]
fn what_is_no_crate_is_told_apart() {
    let empty = tempfile::tempdir().unwrap();
    let error = refused(empty.path().to_owned());
    assert!(matches!(error, BuildError::NoCrate { .. }), "{error}");
    let error = refused(repository());
    assert!(matches!(error, BuildError::NoPackage { .. }), "{error}");
    let error = refused(repository().join("guest-sdk/rust/macros"));
    assert_eq!(
        error.to_string(),
        "cannot build package `dshost-guest-macros`: it has no library of type `cdylib`"
    );
}

#[test]
fn a_manifest_that_cargo_refuses_is_told_in_cargos_words() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("Cargo.toml"), "[package\n").unwrap();
    let error = refused(folder.path().to_owned());
    assert!(matches!(error, BuildError::Manifest { .. }), "{error}");
}

#[test]
fn variables_of_a_cargo_around_are_not_passed_on() {
    for name in [
        "RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_PKG_NAME",
        "CARGO_MAKEFLAGS",
    ] {
        assert!(is_foreign(name), "{name}");
    }
    for name in [
        "CARGO_HOME",
        "CARGO",
        "CARGO_NET_OFFLINE",
        "RUSTC_WRAPPER",
        "PATH",
    ] {
        assert!(!is_foreign(name), "{name}");
    }
}

#[test]
fn of_cargos_messages_only_wasm_artifacts_count() {
    let messages = concat!(
        r#"{"reason":"compiler-artifact","manifest_path":"/x/Cargo.toml","filenames":["/t/libx.rlib"]}"#,
        "\nnot json\n",
        r#"{"reason":"compiler-artifact","manifest_path":"/a/Cargo.toml","filenames":["/t/a.wasm"]}"#,
        "\n",
        r#"{"reason":"build-finished","success":true}"#,
        "\n",
    );
    let expected = [(PathBuf::from("/a/Cargo.toml"), PathBuf::from("/t/a.wasm"))];
    assert_eq!(artifacts(messages.as_bytes()), BTreeMap::from(expected));
}
