//! What a function of the wrong shape is told, and where. `TRYBUILD=overwrite cargo test -p
//! dshost-guest --test ui` writes the expectations anew.

#[test]
fn a_function_of_the_wrong_shape_is_told_the_right_ones() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
