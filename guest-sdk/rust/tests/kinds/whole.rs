//! Functions of a whole partition, of a whole batch, and of two.

use dshost_guest::wit::batch_pairs;

use crate::columns::{at, context, ints, open, pairs, shown, texts, told, values};
use crate::functions::Plugin;
use crate::{check, params, run};

#[test]
fn a_function_of_a_partition_sees_all_records_at_once() {
    let input = values(texts(&["a", "abc", "ab"]));
    check(&["longest"], input.clone(), "of values: abc", "3-0");
    check(&["longest"], values(texts(&[])), "of values: ", "0-0");
    let (answer, report) = run(&["longest"], input, None, &[at(0, 1)]);
    assert_eq!((answer.as_str(), report.as_str()), ("of values: ab", "2-0"));
}

#[test]
fn a_function_of_a_batch_refuses_all_of_it() {
    let input = pairs(texts(&["a", "b"]), ints(&[1, 2]));
    let (answer, report) = run(&["ranked"], input.clone(), Some(&params("least", 2)), &[]);
    assert_eq!((answer.as_str(), report.as_str()), ("1 2 => b a", "2-0"));
    let (answer, report) = run(&["ranked"], input, Some(&params("least", 3)), &[]);
    assert_eq!(
        (answer.as_str(), report.as_str()),
        (" => of keys: ", "2-2; 0.0 too few")
    );
}

#[test]
fn batch_pairs_become_one() {
    let handle = open::<Plugin>(&["missing"], false, None).unwrap();
    let (left, right) = (values(texts(&["a", "b"])), values(texts(&["b"])));
    let outcome =
        <Plugin as batch_pairs::Guest>::process(handle, context(), left.clone(), right).unwrap();
    assert_eq!(shown(&left, &outcome.output), "a");
    assert_eq!(told(&outcome.report), "3-0");
}
