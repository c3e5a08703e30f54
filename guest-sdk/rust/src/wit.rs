//! The contract with the host, as `wit-bindgen` reads it from `wit/`.
//!
//! A component must export only what its functions need, and a macro of `wit-bindgen` exports a
//! whole world. So there is one small world per interface, each with an export macro of its own;
//! all share the data types of [`types`]. `wit/` lies two folders above this crate, in the
//! repository and in a folder made by `dshost new` alike.

pub use base::dshost::plugin::{host, types};
pub use base::exports::dshost::plugin::plugin;
pub use worlds::batch_pairs::exports::dshost::plugin::batch_pairs;
pub use worlds::chunks::exports::dshost::plugin::chunks;
pub use worlds::folds::exports::dshost::plugin::folds;
pub use worlds::records::exports::dshost::plugin::records;
pub use worlds::updates::exports::dshost::plugin::updates;

pub mod base {
    wit_bindgen::generate!({
        inline: "package dshost:sdk; world plugin-world {
            import dshost:plugin/host@0.1.0;
            export dshost:plugin/plugin@0.1.0;
        }",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        generate_all,
        generate_unused_types: true,
        additional_derives: [PartialEq],
    });
}

/// A world of one shape of calls.
macro_rules! shape {
    ($module:ident, $world:literal, $export:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                inline: $world,
                path: "../../wit",
                pub_export_macro: true,
                export_macro_name: $export,
                generate_all,
                with: { "dshost:plugin/types@0.1.0": crate::wit::base::dshost::plugin::types },
            });
        }
    };
}

/// The worlds, each named after its interface.
pub mod worlds {
    shape!(
        chunks,
        "package dshost:sdk; world chunks-world { export dshost:plugin/chunks@0.1.0; }",
        "export_chunks"
    );
    shape!(
        batch_pairs,
        "package dshost:sdk; world batch-pairs-world { export dshost:plugin/batch-pairs@0.1.0; }",
        "export_batch_pairs"
    );
    shape!(
        folds,
        "package dshost:sdk; world folds-world { export dshost:plugin/folds@0.1.0; }",
        "export_folds"
    );
    shape!(
        updates,
        "package dshost:sdk; world updates-world { export dshost:plugin/updates@0.1.0; }",
        "export_updates"
    );
    shape!(
        records,
        "package dshost:sdk; world records-world { export dshost:plugin/records@0.1.0; }",
        "export_records"
    );
}
