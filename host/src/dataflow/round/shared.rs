//! Saves and reads what is shared within a process as if it were owned.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Saves what is shared.
pub(super) fn serialize<T: Serialize, S: Serializer>(
    shared: &Arc<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    (**shared).serialize(serializer)
}

/// Reads what is to be shared.
pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Arc<T>, D::Error> {
    T::deserialize(deserializer).map(Arc::new)
}

/// The same of text.
pub(super) mod text {
    use super::{Arc, Deserialize, Deserializer, Serializer};

    /// Saves a text that is shared.
    pub(in super::super) fn serialize<S: Serializer>(
        shared: &Arc<str>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(shared)
    }

    /// Reads a text that is to be shared.
    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Into::into)
    }
}
