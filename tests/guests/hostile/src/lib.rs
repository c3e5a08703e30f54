//! A guest that breaks promises, one function for each way. It speaks the contract without the SDK,
//! which would not let it.
//!
//! Each function is named after what it does; `tests/e2e/plugin` has a test for every one.
#![cfg(target_arch = "wasm32")]

mod calls;
mod functions;
mod states;

wit_bindgen::generate!({
    inline: "
        package test:hostile;
        world hostile {
            import dshost:plugin/host@0.1.0;
            import dshost:plugin/accumulators@0.1.0;
            import dshost:plugin/tables@0.1.0;
            export dshost:plugin/plugin@0.1.0;
            export dshost:plugin/chunks@0.1.0;
            export dshost:plugin/folds@0.1.0;
            export dshost:plugin/batch-pairs@0.1.0;
            export dshost:plugin/updates@0.1.0;
            export dshost:plugin/records@0.1.0;
        }
    ",
    path: "../../../wit",
    world: "test:hostile/hostile",
    generate_all,
});

struct Hostile;

export!(Hostile);
