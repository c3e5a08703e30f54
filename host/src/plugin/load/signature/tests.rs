//! Descriptions that fit the contract, and such that do not.

use expect_test::{Expect, expect};

use super::*;

const TEXT: wire::RecordType = wire::RecordType {
    key: None,
    value: wire::ColumnType::Text,
};

fn upper() -> wire::Function {
    wire::Function {
        name: "upper".to_owned(),
        kind: wire::Kind::Map,
        input: vec![TEXT],
        output: TEXT,
        state: None,
        params: false,
        doc: "Shouts.\nLoud \u{1b}[1m".to_owned(),
    }
}

fn described(functions: Vec<wire::Function>) -> Result<Description, DescriptionError> {
    check(wire::Description {
        functions,
        migrations: Vec::new(),
        info: Vec::new(),
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "expectations are written in place"
)]
fn check_refused(change: impl FnOnce(&mut wire::Function), expected: Expect) {
    let mut function = upper();
    change(&mut function);
    let error = described(vec![function]).expect_err("refused");
    expected.assert_eq(&error.to_string());
}

#[test]
fn a_description_is_made_printable() {
    let description = described(vec![upper()]).unwrap();
    assert_eq!(description.functions[0].doc, "Shouts.\nLoud \\u{1b}[1m");
}

#[test]
fn names_are_fit_to_be_written_in_a_topology() {
    for name in [
        "",
        "a/b",
        "a b",
        "\u{1b}[31mred",
        "a\u{202e}b",
        &"x".repeat(129),
    ] {
        let function = wire::Function {
            name: name.to_owned(),
            ..upper()
        };
        let error = described(vec![function]).expect_err("refused");
        assert!(matches!(error, DescriptionError::Name(_)), "{error}");
    }
    assert_eq!(
        described(vec![upper(), upper()]),
        Err(DescriptionError::Duplicate("upper".to_owned()))
    );
}

#[test]
fn signatures_fit_their_kinds() {
    check_refused(
        |function| function.input.clear(),
        expect!["function `upper` of kind map must take one input"],
    );
    check_refused(
        |function| function.kind = wire::Kind::TransformWith,
        expect!["function `upper` of kind transform_with must take two inputs"],
    );
    check_refused(
        |function| function.output.key = Some(wire::ColumnType::Float64),
        expect!["function `upper` of kind map has keys of float64, which is no key"],
    );
    check_refused(
        |function| function.kind = wire::Kind::UpdateState,
        expect!["function `upper` of kind update_state must say what its state is"],
    );
    check_refused(
        |function| {
            function.kind = wire::Kind::Filter;
            function.output.value = wire::ColumnType::Int64;
        },
        expect!["function `upper` of kind filter must give what it takes"],
    );
    check_refused(
        |function| {
            function.kind = wire::Kind::MapValues;
            function.input[0].key = Some(wire::ColumnType::Text);
        },
        expect!["function `upper` of kind map_values cannot have keys in its types"],
    );
}

#[test]
fn functions_with_state_give_it_and_take_keys() {
    let state = wire::StateSignature {
        column_type: wire::ColumnType::Int64,
        version: 1,
        only_changed: false,
    };
    check_refused(
        |function| {
            function.kind = wire::Kind::UpdateState;
            function.state = Some(state);
        },
        expect!["function `upper` of kind update_state must give the key it takes and its state"],
    );
    check_refused(
        |function| {
            function.kind = wire::Kind::MapWithState;
            function.state = Some(state);
        },
        expect!["function `upper` of kind map_with_state must take keys"],
    );
}

#[test]
fn a_migration_is_from_another_version_and_there_is_one() {
    let told = |versions: &[u32], function: &str| {
        let mut total = upper();
        total.kind = wire::Kind::UpdateState;
        total.state = Some(wire::StateSignature {
            column_type: wire::ColumnType::Text,
            version: 2,
            only_changed: false,
        });
        let migrations = versions.iter().map(|from| wire::Migration {
            function: function.to_owned(),
            from_version: *from,
            column_type: wire::ColumnType::Int64,
        });
        let description = check(wire::Description {
            functions: vec![total],
            migrations: migrations.collect(),
            info: Vec::new(),
        });
        description.map_err(|error| error.to_string())
    };
    let known = told(&[1, 3], "upper").unwrap();
    assert_eq!(known.migrations.len(), 2, "also back from a later one");
    let refused = |versions, function| told(versions, function).unwrap_err();
    assert_eq!(
        refused(&[1], "lower"),
        "it migrates the state of `lower`, which has none"
    );
    assert_eq!(
        refused(&[2], "upper"),
        "it migrates the state of `upper` from version 2, which is today's"
    );
    assert_eq!(
        refused(&[1, 1], "upper"),
        "it migrates the state of `upper` from version 1, twice"
    );
    assert_eq!(
        refused(&[0], "upper"),
        "it migrates the state of `upper` from version 0, but versions count from 1"
    );
}

#[test]
fn the_number_of_entries_is_bounded() {
    let many = vec![upper(); MAX_ENTRIES + 1];
    assert_eq!(
        described(many),
        Err(DescriptionError::TooMany {
            what: "functions",
            count: MAX_ENTRIES + 1
        })
    );
}
