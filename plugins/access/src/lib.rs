//! Access logs in the common log format: `IP IDENT USER [TIME] "REQUEST" CODE BYTES`, and whatever
//! follows.

use dshost_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// What is asked of a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    ip: String,
    code: u16,
    bytes: u32,
}

/// Reads a line; one that is no entry is rejected.
#[map]
fn parse(line: &str) -> Result<Entry, String> {
    entry(line).ok_or_else(|| "it is no entry of an access log".to_owned())
}

fn entry(line: &str) -> Option<Entry> {
    let (ip, rest) = line.split_once(' ')?;
    // The request is in quotes and may hold spaces; the numbers follow it.
    let (_, rest) = rest.split_once('"')?;
    let (_, rest) = rest.rsplit_once('"')?;
    let mut numbers = rest.split_whitespace();
    Some(Entry {
        ip: ip.to_owned(),
        code: numbers.next()?.parse().ok()?,
        // A dash stands for an answer without a body.
        bytes: match numbers.next()? {
            "-" => 0,
            bytes => bytes.parse().ok()?,
        },
    })
}

/// One request of an IP.
#[map]
fn hit(entry: Entry) -> (String, i64) {
    (entry.ip, 1)
}

/// The bytes that an IP was sent.
#[map]
fn volume(entry: Entry) -> (String, i64) {
    (entry.ip, i64::from(entry.bytes))
}

/// One response with a code.
#[map]
fn response(Entry { code, .. }: Entry) -> (i64, i64) {
    (i64::from(code), 1)
}

plugin!(parse, hit, volume, response);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_an_ip_a_code_and_bytes() {
        let line = r#"10.0.0.7 - - [1700000000] "GET /a "b" HTTP/1.1" 404 512 a note"#;
        let expected = Entry {
            ip: "10.0.0.7".to_owned(),
            code: 404,
            bytes: 512,
        };
        assert_eq!(parse(line), Ok(expected));
        let empty = r#"::1 - - [-] "HEAD / HTTP/1.0" 304 -"#;
        assert_eq!(parse(empty).map(|entry| entry.bytes), Ok(0));
    }

    #[test]
    fn what_is_no_entry_is_rejected() {
        for line in ["", "10.0.0.7", "a \"b\" c d", "a \"b\" 200"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
