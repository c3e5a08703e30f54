//! Bytes that mean something to one place only, as they are saved: as they are, and as base64 in forms
//! that people may read.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For `#[serde(with = "…")]`.
///
/// # Errors
///
/// The serializer's.
pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match serializer.is_human_readable() {
        true => BASE64_STANDARD.encode(bytes).serialize(serializer),
        false => bytes.serialize(serializer),
    }
}

/// For `#[serde(with = "…")]`.
///
/// # Errors
///
/// The deserializer's, or what should be base64 is not.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    if !deserializer.is_human_readable() {
        return Vec::deserialize(deserializer);
    }
    let text = String::deserialize(deserializer)?;
    BASE64_STANDARD.decode(text).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use crate::batch::position::{LaneName, PartName, Position};
    use crate::batch::sink::Prepared;

    #[test]
    fn opaque_bytes_come_back_from_both_forms() {
        let part = PartName {
            lane: LaneName("a".to_owned()),
            from: Position::number(1),
            upto: Position(vec![255, 0]),
            facts: vec![1, 2, 3],
        };
        let text = serde_json::to_string(&part).unwrap();
        assert_eq!(
            text,
            r#"{"lane":"a","from":"AQAAAAAAAAA=","upto":"/wA=","facts":"AQID"}"#
        );
        assert_eq!(serde_json::from_str::<PartName>(&text).unwrap(), part);
        let packed = rmp_serde::to_vec(&part).unwrap();
        assert_eq!(rmp_serde::from_slice::<PartName>(&packed).unwrap(), part);
        let receipt = Prepared::new(vec![7; 40]).unwrap();
        let text = serde_json::to_string(&receipt).unwrap();
        assert_eq!(serde_json::from_str::<Prepared>(&text).unwrap(), receipt);
        let packed = rmp_serde::to_vec(&receipt).unwrap();
        assert_eq!(rmp_serde::from_slice::<Prepared>(&packed).unwrap(), receipt);
    }
}
