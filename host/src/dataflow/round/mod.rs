//! What is said of a round: by the driver before it, by the workers after it, and what they ask of
//! the driver meanwhile. Values and traits, which all other rooms share.
//!
//! | where | what |
//! |---|---|
//! | `plan`, `skips`, `call_site` | one attempt of a batch as it is planned; can be saved and sent |
//! | `placement` | which worker decodes which part of the input |
//! | `control` | what goes to every operator: a round begins, a round is decided |
//! | `bounds` | how much operators may hold, and which limit says so |
//! | `partitions` | how many partitions every stream has in a round |
//! | `report`, `failure`, `letters` | what comes back beside data |
//! | `failed_call` | a call that trapped, kept so that it can be made again |
//! | `environment`, `observer` | what workers ask of the driver, and what they tell it meanwhile |

pub(super) mod bounds;
pub(super) mod call_site;
pub(super) mod control;
pub(super) mod environment;
pub(super) mod failed_call;
pub(super) mod failure;
pub(super) mod letters;
pub(super) mod observer;
pub(super) mod partitions;
pub(super) mod placement;
pub(super) mod plan;
pub(super) mod report;
mod shared;
pub(super) mod skips;
