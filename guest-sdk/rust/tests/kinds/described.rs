//! What a plugin says of itself, and what it refuses to open.

use dshost_guest::wit::plugin::{Binding, Guest as _, Kind, Naming};
use dshost_guest::wit::types::{ColumnType, RecordType};

use crate::functions::Plugin;
use crate::{columns, params};

#[test]
fn functions_describe_themselves_by_their_types() {
    let description = Plugin::describe();
    let described = |name: &str| {
        let mut functions = description.functions.iter();
        functions
            .find(|function| function.name == name)
            .cloned()
            .unwrap()
    };
    let single = |value| RecordType { key: None, value };
    let split = described("split");
    assert_eq!((split.kind, split.params), (Kind::FlatMap, false));
    assert_eq!(
        split.doc,
        "Splits a line on white space.\n\nAny white space will do."
    );
    assert_eq!(split.input, [single(ColumnType::Text)]);
    assert_eq!(
        described("upper").output,
        single(ColumnType::Text),
        "an alias is what it names"
    );
    assert_eq!(described("parse").output, single(ColumnType::Int64));
    assert_eq!(described("visit").output, single(ColumnType::Msgpack));
    assert_eq!(described("both").output, single(ColumnType::Msgpack));
    assert!(described("at_least").params);
    let pair = RecordType {
        key: Some(ColumnType::Text),
        value: ColumnType::Int64,
    };
    assert_eq!(described("pair").output, pair);
    assert_eq!(described("best").input, [pair]);
    assert_eq!(described("missing").input.len(), 2);
    assert_eq!(
        described("running").output,
        single(ColumnType::Int64),
        "with any key"
    );
    let session = described("session");
    assert_eq!(
        session.input,
        [RecordType {
            key: Some(ColumnType::Text),
            value: ColumnType::Text
        }]
    );
    let state = session.state.unwrap();
    assert_eq!(
        (state.version, state.column_type, state.only_changed),
        (3, ColumnType::Int64, false)
    );
    let state = described("history").state.unwrap();
    assert_eq!(
        (state.version, state.column_type, state.only_changed),
        (2, ColumnType::Msgpack, true)
    );
    let migration = &description.migrations[0];
    assert_eq!(
        (migration.function.as_str(), migration.from_version),
        ("history", 1)
    );
    assert_eq!(migration.column_type, ColumnType::Text);
    assert!(
        description
            .info
            .iter()
            .any(|info| info.name == "language" && info.value == "rust")
    );
}

#[test]
fn what_does_not_fit_is_refused_when_it_is_opened() {
    let open =
        |chain: &[&str], params: Option<&[u8]>| columns::open::<Plugin>(chain, false, params);
    let refused = |chain: &[&str], params: Option<&[u8]>| open(chain, params).unwrap_err();
    assert_eq!(
        refused(&["nothing"], None),
        "there is no function `nothing`"
    );
    assert_eq!(
        refused(&["at_least"], None),
        "cannot open `at_least`: it needs parameters, and none are given"
    );
    let wrong = params("most", 3);
    assert_eq!(
        refused(&["at_least"], Some(&wrong)),
        "cannot open `at_least`: its parameters do not fit: missing field `least`"
    );
    assert_eq!(
        refused(&["split"], Some(&wrong)),
        "cannot open `split`: it takes no parameters"
    );
    assert_eq!(
        refused(&["split", "longest"], None),
        "`longest` cannot be a link of a chain"
    );
    let binding = Binding {
        function: "split".to_owned(),
        input: vec![RecordType {
            key: None,
            value: ColumnType::Int64,
        }],
        params: None,
        rejections: Naming::FirstFew,
    };
    assert!(
        Plugin::open(vec![binding])
            .unwrap_err()
            .contains("`split` takes")
    );
}
