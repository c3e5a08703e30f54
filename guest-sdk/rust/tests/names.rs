//! Generated code takes no name away from an author, wherever `plugin!` stands.

use dshost_guest::prelude::*;
use dshost_guest::wit::plugin::Guest as _;

plugin!(filter, map, take, held, r#move, words::split);

/// As the attribute is called.
#[filter]
fn filter(line: &str) -> bool {
    !line.is_empty()
}

#[map]
fn map(line: &str) -> usize {
    line.len()
}

/// As a variable of the generated code is called.
#[map]
fn take(held: &str) -> String {
    held.to_owned()
}

#[reduce]
fn held(total: i64, item: i64) -> i64 {
    total.max(item)
}

/// As a type of the SDK is called.
#[derive(serde::Deserialize, serde::Serialize)]
struct Text {
    text: String,
}

#[map]
fn r#move(Text { text }: Text) -> Result<Text, std::convert::Infallible> {
    Ok(Text { text })
}

mod words {
    use dshost_guest::prelude::*;

    #[flat_map]
    pub fn split(line: &str) -> std::str::Split<'_, char> {
        line.split(' ')
    }
}

#[test]
fn functions_keep_their_names() {
    let functions = __DshostPlugin::describe().functions;
    let names: Vec<&str> = functions
        .iter()
        .map(|function| function.name.as_str())
        .collect();
    assert_eq!(names, ["filter", "map", "take", "held", "move", "split"]);
    assert!(filter("a") && map("ab") == 2 && take("a") == "a" && held(1, 2) == 2);
}
