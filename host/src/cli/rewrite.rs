//! Values of a TOML file replaced in place, so that what people wrote around them stays.
//!
//! In an array a comment belongs to an element: the lines above it and what follows it on its own
//! line. The parser keeps both in front of what comes next, so they are taken apart here, and
//! put together again around the elements that stay.

use toml_edit::{Array, Decor, Item, RawString, Value};

/// Indentation of elements that stand on lines of their own, where none tells it.
const INDENT: &str = "  ";

/// Puts `value` in the place of another; what stands around that stays.
pub(super) fn replace(place: &mut Item, mut value: Value) {
    if let Some(old) = place.as_value() {
        *value.decor_mut() = old.decor().clone();
    }
    *place = Item::Value(value);
}

/// An element as it is to stand in the array from now on.
pub(super) enum Replacement {
    /// That which stands there at this index.
    Kept(usize),
    /// Another one.
    New(Value),
}

/// Gives `array` other elements. Those that are kept keep how they are written, and their comments.
pub(super) fn rewrite(array: &mut Array, elements: Vec<Replacement>) {
    let old = Written::take(array);
    // Before the first element there is only what follows the bracket.
    let mut before = old.opening.clone();
    for (at, element) in elements.into_iter().enumerate() {
        let (mut value, own, after) = match element {
            Replacement::Kept(index) => {
                let (value, around) = old.elements[index].clone();
                (value, Some((index, around.above)), around.after)
            }
            Replacement::New(value) => (value, None, String::new()),
        };
        let above = match own {
            // On one line, the space in front depends on the place alone.
            Some((index, above)) if above.contains('\n') || (index == 0) == (at == 0) => above,
            _ => old.space(at),
        };
        *value.decor_mut() = Decor::new(old.joined(&before, &above), "");
        array.push_formatted(value);
        before = after;
    }
    array.set_trailing_comma(old.ends_with_comma && !array.is_empty());
    array.set_trailing(old.joined(&before, &old.closing));
}

/// What stands in an array, taken apart.
struct Written {
    /// What follows the bracket on its line.
    opening: String,
    elements: Vec<(Value, Around)>,
    /// What stands before the closing bracket, from the end of the last element's line.
    closing: String,
    ends_with_comma: bool,
}

/// What belongs to an element.
#[derive(Clone, Default)]
struct Around {
    /// From the end of the line before.
    above: String,
    /// On its own line, behind it.
    after: String,
}

impl Written {
    /// Empties the array.
    fn take(array: &mut Array) -> Self {
        let mut this = Self {
            opening: String::new(),
            elements: Vec::with_capacity(array.len()),
            closing: String::new(),
            ends_with_comma: array.trailing_comma(),
        };
        let mut behind = String::new();
        for value in array.iter() {
            let decor = value.decor();
            let (line, above) = parted(&(behind + text(decor.prefix())));
            this.follow(line);
            // What stands between an element and its comma goes behind the comma.
            behind = text(decor.suffix()).to_owned();
            let around = Around {
                above,
                after: String::new(),
            };
            this.elements.push((value.clone(), around));
        }
        let (line, closing) = parted(&(behind + text(Some(array.trailing()))));
        this.follow(line);
        this.closing = closing;
        array.clear();
        this
    }

    /// `line` stands behind what was taken last.
    fn follow(&mut self, line: String) {
        match self.elements.last_mut() {
            Some((_, around)) => around.after = line,
            None => self.opening = line,
        }
    }

    /// What stands in front of a new element at a place.
    fn space(&self, at: usize) -> String {
        let mut above = self
            .elements
            .iter()
            .map(|(_, around)| around.above.as_str());
        if let Some((_, indent)) = above.find_map(|above| above.rsplit_once('\n')) {
            return format!("\n{indent}");
        }
        match (at, self.elements.first()) {
            (0, Some((_, first))) => first.above.clone(),
            (0, None) => String::new(),
            _ => " ".to_owned(),
        }
    }

    /// What stands behind an element, then what stands above the next: a comment ends its line.
    fn joined(&self, line: &str, above: &str) -> String {
        match line.contains('#') && !above.contains('\n') {
            true => format!("{line}\n{INDENT}{}", above.trim_start()),
            false => format!("{line}{above}"),
        }
    }
}

/// What stands on the line itself, and the rest from its end on. Space alone is of the rest.
fn parted(text: &str) -> (String, String) {
    match text.split_once('\n') {
        Some((line, _)) => (line.to_owned(), text[line.len()..].to_owned()),
        None => (String::new(), text.to_owned()),
    }
}

fn text(raw: Option<&RawString>) -> &str {
    raw.and_then(RawString::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use toml_edit::DocumentMut;

    use super::*;

    fn check(text: &str, elements: Vec<Replacement>, wanted: &Expect) {
        let mut document: DocumentMut = text.parse().unwrap();
        rewrite(document["a"].as_array_mut().unwrap(), elements);
        let now = document.to_string();
        assert!(now.parse::<DocumentMut>().is_ok(), "{now}");
        wanted.assert_eq(&now);
    }

    fn kept(indices: &[usize]) -> Vec<Replacement> {
        indices.iter().copied().map(Replacement::Kept).collect()
    }

    const LINES: &str = "\
# above
a = [ # all of them
  # the first
  [\"a\", 1], # once
  [\"b\",  2], # twice
  # the last
  3 # without a comma
  # at the end
] # behind
";

    #[test]
    fn an_array_whose_elements_stay_is_not_touched() {
        for text in [
            LINES,
            "a = [1, 2]\n",
            "a = [ 1, 2 ]\n",
            "a = [\n  1,\n  2,\n]\n",
            "a = [1,\n     2]\n",
        ] {
            let count = text.parse::<DocumentMut>().unwrap()["a"]
                .as_array()
                .unwrap()
                .len();
            let mut document: DocumentMut = text.parse().unwrap();
            let all: Vec<usize> = (0..count).collect();
            rewrite(document["a"].as_array_mut().unwrap(), kept(&all));
            assert_eq!(document.to_string(), text);
        }
    }

    #[test]
    fn comments_stay_with_the_elements_they_belong_to() {
        check(
            LINES,
            kept(&[0, 2]),
            &expect![[r##"
            # above
            a = [ # all of them
              # the first
              ["a", 1], # once
              # the last
              3 # without a comma
              # at the end
            ] # behind
        "##]],
        );
        check(
            LINES,
            kept(&[1]),
            &expect![[r##"
            # above
            a = [ # all of them
              ["b",  2] # twice
              # at the end
            ] # behind
        "##]],
        );
        check(
            LINES,
            vec![],
            &expect![[r#"
            # above
            a = [ # all of them
              # at the end
            ] # behind
        "#]],
        );
        let mut more = kept(&[2, 0]);
        more.insert(1, Replacement::New(Value::from(7)));
        check(
            LINES,
            more,
            &expect![[r##"
            # above
            a = [ # all of them
              # the last
              3, # without a comma
              7,
              # the first
              ["a", 1] # once
              # at the end
            ] # behind
        "##]],
        );
    }

    #[test]
    fn elements_on_one_line_stay_on_it() {
        let new = |number: i64| Replacement::New(Value::from(number));
        check(
            "a = [1, 2]\n",
            vec![new(0), Replacement::Kept(0), new(3)],
            &expect![[r#"
                a = [0, 1, 3]
            "#]],
        );
        check(
            "a = [ 1, 2 ]\n",
            vec![Replacement::Kept(1), Replacement::Kept(0)],
            &expect![[r#"
                a = [ 2, 1 ]
            "#]],
        );
        check(
            "a = []\n",
            vec![new(1), new(2)],
            &expect![[r#"
            a = [1, 2]
        "#]],
        );
    }
}
