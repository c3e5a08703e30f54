//! Components that are refused when they are loaded, each with its reason.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dshost::batch::{Chunk, Column};
use dshost::plugin::{CacheDir, Engine, EngineConfig};
use dshost::topology::plan::Limits;
use expect_test::{Expect, expect};

use super::{Process as _, context, engine, guests, limits, link, load, path, start};

/// The refusal of `bytes`: each cause in a line, then the hint.
fn refused(bytes: &[u8], limits: &Limits) -> String {
    let error = engine()
        .load_bytes("test", path(), bytes, limits)
        .map(|_| ())
        .expect_err("it is refused");
    let mut told = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        told.push(error.to_string());
        cause = error.source();
    }
    told.extend(error.kind.hint());
    told.join("\n")
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "expectations are written in place"
)]
fn check_wat(text: &str, expected: Expect) {
    let bytes = wat::parse_str(text).expect("valid text");
    expected.assert_eq(&refused(&bytes, &limits()));
}

#[test]
fn imports_that_hold_something_are_refused_by_name() {
    check_wat(
        r#"(component (import "wasi:sockets/tcp@0.2.0" (instance)))"#,
        expect![[r#"
            cannot load plugin `test` from `plugins/test.wasm`
            it imports `wasi:sockets/tcp@0.2.0`, which this topology does not grant
            a plugin has no network; rebuild it without `std::net` and HTTP clients"#]],
    );
    check_wat(
        r#"(component (import "acme:model/weights@1.2.3" (instance)))"#,
        expect![[r#"
            cannot load plugin `test` from `plugins/test.wasm`
            it imports `acme:model/weights@1.2.3`, which this topology does not grant
            a plugin may import `dshost:plugin/host` and the parts of WASI 0.2 that hold nothing"#]],
    );
    check_wat(
        r#"(component (import "run" (func)))"#,
        expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        it imports `run`, which this topology does not grant
        a plugin may import `dshost:plugin/host` and the parts of WASI 0.2 that hold nothing"#]],
    );
}

#[test]
fn an_import_of_another_type_is_refused() {
    check_wat(
        r#"(component
            (import "wasi:random/random@0.2.0" (instance
                (export "get-random-u64" (func (result string))))))"#,
        expect![[r#"
            cannot load plugin `test` from `plugins/test.wasm`
            what it imports has another type here: component imports instance `wasi:random/random@0.2.0`, but a matching implementation was not found in the linker: instance export `get-random-u64` has the wrong type: type mismatch with results: expected `u64` found `string`
            rebuild it with the SDK of this dshost"#]],
    );
}

#[test]
fn the_contract_is_wanted_in_its_version() {
    check_wat(
        "(component)",
        expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        it does not export `dshost:plugin/plugin@0.1.0`
        is it a library (`crate-type = ["cdylib"]`) with `plugin!(…)` in it?"#]],
    );
    check_wat(
        r#"(component
            (instance $plugin)
            (export "dshost:plugin/plugin@0.2.0" (instance $plugin)))"#,
        expect![[r#"
            cannot load plugin `test` from `plugins/test.wasm`
            it exports `dshost:plugin/plugin@0.2.0`, but this dshost speaks version 0.1.0
            rebuild it with the SDK of this dshost"#]],
    );
    check_wat(
        r#"(component (import "dshost:plugin/host@0.3.0" (instance)))"#,
        expect![[r#"
            cannot load plugin `test` from `plugins/test.wasm`
            it imports `dshost:plugin/host@0.3.0`, but this dshost speaks version 0.1.0 of `dshost:plugin`
            rebuild it with the SDK of this dshost"#]],
    );
    check_wat(
        r#"(component (import "dshost:plugin/host@0.1.0" (instance
            (export "lookup" (func (result u32))))))"#,
        expect![[r#"
            cannot load plugin `test` from `plugins/test.wasm`
            it imports `dshost:plugin/host@0.1.0#lookup`, which this dshost does not offer
            rebuild it with the SDK of this dshost"#]],
    );
}

#[test]
fn an_export_of_another_type_is_refused() {
    check_wat(
        &plugin("i32.const 0", "(result u32)"),
        expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        its `describe` has another type than it should: failed to convert function to given type: type mismatch with results: expected `record` found `u32`
        rebuild it with the SDK of this dshost"#]],
    );
}

/// A component whose `describe` does `body` and is said to have `result`.
fn plugin(body: &str, result: &str) -> String {
    format!(
        r#"(component
            (core module $core
                (func (export "describe") (result i32) {body})
                (func (export "open")))
            (core instance $core (instantiate $core))
            (func $describe {result} (canon lift (core func $core "describe")))
            (func $open (canon lift (core func $core "open")))
            (instance $plugin
                (export "describe" (func $describe))
                (export "open" (func $open)))
            (export "dshost:plugin/plugin@0.1.0" (instance $plugin)))"#
    )
}

#[test]
fn a_start_function_that_loops_or_traps_is_refused() {
    let component = |start: &str| {
        format!(
            r#"(component
                (core module $core
                    (func $start {start})
                    (start $start)
                    (func (export "describe") (result i32) i32.const 0)
                    (func (export "open")))
                (core instance $core (instantiate $core))
                (func $describe (result u32) (canon lift (core func $core "describe")))
                (func $open (canon lift (core func $core "open")))
                (instance $plugin
                    (export "describe" (func $describe))
                    (export "open" (func $open)))
                (export "dshost:plugin/plugin@0.1.0" (instance $plugin)))"#
        )
    };
    check_wat(
        &component("(loop br 0)"),
        expect![[r#"
            cannot load plugin `test` from `plugins/test.wasm`
            it could not say what it holds
            it did not end within its time limit of 1 s"#]],
    );
    check_wat(
        &component("unreachable"),
        expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        it could not say what it holds
        wasm `unreachable` instruction executed"#]],
    );
    check_wat(
        &component("call $start"),
        expect![[r#"
            cannot load plugin `test` from `plugins/test.wasm`
            it could not say what it holds
            its stack passed the limit of 1048576 bytes"#]],
    );
}

#[test]
fn the_host_gives_only_so_many_random_bytes_and_handles() {
    let random = r#"(component
        (import "wasi:random/random@0.2.3" (instance $random
            (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
        (core module $memory
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0))
        (core instance $memory (instantiate $memory))
        (core func $bytes (canon lower (func $random "get-random-bytes")
            (memory (core memory $memory "memory"))
            (realloc (core func $memory "realloc"))))
        (core module $core
            (import "" "bytes" (func $bytes (param i64 i32)))
            (func $start (call $bytes (i64.const 0x100000000) (i32.const 16)))
            (start $start)
            (func (export "describe") (result i32) i32.const 0)
            (func (export "open")))
        (core instance $core (instantiate $core
            (with "" (instance (export "bytes" (func $bytes))))))
        (func $describe (result u32) (canon lift (core func $core "describe")))
        (func $open (canon lift (core func $core "open")))
        (instance $plugin
            (export "describe" (func $describe))
            (export "open" (func $open)))
        (export "dshost:plugin/plugin@0.1.0" (instance $plugin)))"#;
    check_wat(
        random,
        expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        it could not say what it holds
        it asked for 4294967296 random bytes at once"#]],
    );
    let handles = r#"(component
        (import "wasi:io/streams@0.2.0" (instance $streams
            (export "output-stream" (type (sub resource)))))
        (alias export $streams "output-stream" (type $output-stream))
        (import "wasi:cli/stdout@0.2.0" (instance $stdout
            (alias outer 1 $output-stream (type $outer))
            (export "output-stream" (type $stream (eq $outer)))
            (export "get-stdout" (func (result (own $stream))))))
        (core func $stdout (canon lower (func $stdout "get-stdout")))
        (core module $core
            (import "" "stdout" (func $stdout (result i32)))
            (func $start (loop (drop (call $stdout)) (br 0)))
            (start $start)
            (func (export "describe") (result i32) i32.const 0)
            (func (export "open")))
        (core instance $core (instantiate $core
            (with "" (instance (export "stdout" (func $stdout))))))
        (func $describe (result u32) (canon lift (core func $core "describe")))
        (func $open (canon lift (core func $core "open")))
        (instance $plugin
            (export "describe" (func $describe))
            (export "open" (func $open)))
        (export "dshost:plugin/plugin@0.1.0" (instance $plugin)))"#;
    check_wat(
        handles,
        expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        it could not say what it holds
        cannot allocate another handle: store handle limit exceeded"#]],
    );
}

#[test]
fn memories_and_tables_are_limited_from_the_start() {
    let component = |memory: &str| {
        format!(
            r#"(component
                (core module $core
                    {memory}
                    (func (export "describe") (result i32) i32.const 0)
                    (func (export "open")))
                (core instance $core (instantiate $core))
                (func $describe (result u32) (canon lift (core func $core "describe")))
                (func $open (canon lift (core func $core "open")))
                (instance $plugin
                    (export "describe" (func $describe))
                    (export "open" (func $open)))
                (export "dshost:plugin/plugin@0.1.0" (instance $plugin)))"#
        )
    };
    check_wat(
        &component("(memory 1000)"),
        expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        it could not say what it holds
        it wanted more memory than its limit of 16777216 bytes"#]],
    );
    check_wat(
        &component("(memory 65536)"),
        expect![[r#"
            cannot load plugin `test` from `plugins/test.wasm`
            it needs more than an instance can have: memory has a minimum byte size of 4294967296 which exceeds the limit of 0x10000000 bytes
            raise `memory` under `[plugins.limits]`"#]],
    );
    let tables = "(table 1 funcref)".repeat(100);
    check_wat(
        &component(&tables),
        expect![[r#"
            cannot load plugin `test` from `plugins/test.wasm`
            it needs more than an instance can have: defined tables count of 100 exceeds the per-instance limit of 8"#]],
    );
    check_wat(
        &component("(table 100000000 funcref)"),
        expect![[r#"
            cannot load plugin `test` from `plugins/test.wasm`
            it needs more than an instance can have: table index 0 has a minimum element size of 100000000 which exceeds the limit of 131072"#]],
    );
}

#[test]
fn what_is_no_component_is_told() {
    check_wat(
        "(module)",
        expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        it does not export `dshost:plugin/plugin@0.1.0`
        is it a library (`crate-type = ["cdylib"]`) with `plugin!(…)` in it?"#]],
    );
    let truncated = wat::parse_str(plugin("i32.const 0", "(result u32)")).unwrap();
    let told = refused(&truncated[..truncated.len() / 2], &limits());
    expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        it is not valid: failed to parse WebAssembly module: unexpected end-of-file (at offset 0x88)
        it may be half written; build it again"#]]
    .assert_eq(&told);
    expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        it is empty
        it may be half written; build it again"#]]
    .assert_eq(&refused(b"", &limits()));
    expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        it is not WebAssembly but an ELF file
        build it with `dshost build`, or for the target `wasm32-wasip2`"#]]
    .assert_eq(&refused(b"\x7fELF", &limits()));
}

#[test]
fn size_and_stack_are_limited() {
    let small = Limits {
        component: 3,
        ..limits()
    };
    expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        it is larger than the limit of 3 bytes
        strip it of debug information, or raise `component` under `[plugins.limits]`"#]]
    .assert_eq(&refused(b"\0asm", &small));
    let deep = Limits {
        stack: 64 * 1024 * 1024,
        ..limits()
    };
    expect![[r#"
        cannot load plugin `test` from `plugins/test.wasm`
        its stack limit of 67108864 bytes is more than the 1048576 there are
        lower `stack` under `[plugins.limits]`"#]]
    .assert_eq(&refused(b"\0asm", &deep));
}

#[test]
fn a_compilation_that_passes_its_time_is_left_alone_and_only_few_are() {
    let hurried = Limits {
        compile: Duration::from_millis(1),
        ..limits()
    };
    // Takes far longer to compile.
    let bomb = format!(
        "(component (core module {}))",
        "(func (param i64) (result i64) (i64.mul (local.get 0) (local.get 0)))".repeat(3_000)
    );
    let bomb = wat::parse_str(bomb).unwrap();
    let engine = Engine::new(EngineConfig {
        instances: 1,
        cache: CacheDir::Off,
        ..EngineConfig::default()
    })
    .unwrap();
    let told = || {
        let refused = engine.load_bytes("test", path(), &bomb, &hurried);
        refused.unwrap_err().kind.to_string()
    };
    assert_eq!(told(), "it did not compile within 0.001 s");
    assert_eq!(told(), "it did not compile within 0.001 s");
    assert_eq!(
        told(),
        "2 earlier compilations passed their time and are still going on"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let error = load(&engine(), dir.path()).map(|_| ()).unwrap_err();
    assert_eq!(
        format!("{error}: {}", error.kind),
        format!(
            "cannot load plugin `hostile` from `{}`: it is a directory, not a file",
            dir.path().display()
        )
    );
}

#[test]
fn a_core_module_is_made_a_component() {
    let path = guests::build("hostile", guests::Target::Wasip1);
    let component = load(&engine(), &path).unwrap();
    let words = start(&component, vec![link(&component, "slices-of-words")])
        .process(&context(0), &Chunk::single(Column::text(["a b", "c"])), &[])
        .unwrap();
    assert_eq!(words.chunk, Chunk::single(Column::text(["a", "b", "c"])));
}

#[test]
fn compiled_code_is_kept_and_made_anew_when_it_was_changed() {
    let dir = tempfile::tempdir().unwrap();
    let again = || {
        let engine = Engine::new(EngineConfig {
            instances: 1,
            cache: CacheDir::At(dir.path().to_owned()),
            ..EngineConfig::default()
        });
        let file = guests::build("hostile", guests::Target::Wasip2);
        load(&engine.unwrap(), &file).unwrap()
    };
    let first = again();
    let entry = only_file(dir.path());
    let written = fs::read(&entry).unwrap();
    assert_eq!(
        fs::metadata(&entry).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(again().signatures(), first.signatures());
    // Truncated, and then with a checksum that fits code that does not.
    let forged = [blake3::hash(b"code").as_bytes().as_slice(), b"code"].concat();
    for broken in [&written[..written.len() / 2], &forged] {
        fs::write(&entry, broken).unwrap();
        assert_eq!(again().signatures(), first.signatures());
        assert_eq!(fs::read(&entry).unwrap(), written, "it was made anew");
    }
}

/// The one file below `dir`.
fn only_file(dir: &std::path::Path) -> std::path::PathBuf {
    let mut path = dir.to_owned();
    while path.is_dir() {
        let mut entries = fs::read_dir(&path).expect("a directory");
        path = entries
            .next()
            .expect("an entry")
            .expect("a readable one")
            .path();
    }
    path
}
