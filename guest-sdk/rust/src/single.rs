//! A pair that is one value.

use serde::{Deserialize, Serialize};

/// One `MessagePack` value, also where a plain one would be a column of its own: `Single((a, b))`
/// is a value of two elements, where `(a, b)` would be a key and a value.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Single<T>(pub T);
