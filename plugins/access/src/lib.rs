//! Access logs of web servers: Apache's `common`, `combined` and `vhost` formats, nginx's default.
//!
//! All of them are `[VHOST] HOST IDENT USER [TIME] "REQUEST" CODE BYTES`, and whatever follows.

use std::net::IpAddr;

use dshost_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// What is asked of a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    /// The client: an address, or a name where the server looks them up.
    ip: String,
    /// The answer's status; 0 where there was none.
    code: u16,
    /// Bytes that were sent; 0 where there was no body.
    bytes: u64,
}

/// Reads a line; one that is no entry is rejected.
#[map]
fn parse(line: &str) -> Result<Entry, String> {
    let (before, rest) = line
        .split_once(" [")
        .ok_or("it is no entry of an access log: it has no ` [time]`")?;
    let (_, rest) = rest
        .split_once("] \"")
        .ok_or("it is no entry of an access log: no `\"request\"` follows its time")?;
    let ip = host(before).ok_or("it is no entry of an access log: it begins with no host")?;
    let (code, bytes) = answer(rest)
        .ok_or("it is no entry of an access log: no code and bytes follow its request")?;
    Ok(Entry {
        ip: ip.to_owned(),
        code,
        bytes,
    })
}

/// The client: the first word, or the second where the first is the virtual host's name.
fn host(before: &str) -> Option<&str> {
    let mut words = before.split_ascii_whitespace();
    let first = words.next()?;
    let is_address = |word: &&str| word.parse::<IpAddr>().is_ok();
    let second = words
        .next()
        .filter(|second| !is_address(&first) && is_address(second));
    Some(second.unwrap_or(first))
}

/// The code and the bytes behind the quote that ends the request. A quote within it is escaped,
/// by servers that do so; else it is one that no code and bytes follow.
fn answer(rest: &str) -> Option<(u16, u64)> {
    let mut escaped = false;
    let mut quotes = rest.char_indices().filter_map(|(at, character)| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends.then_some(at + 1)
    });
    quotes.find_map(|end| {
        let mut numbers = rest[end..].strip_prefix(' ')?.split_ascii_whitespace();
        let code = number(numbers.next()?)?;
        Some((u16::try_from(code).ok()?, number(numbers.next()?)?))
    })
}

/// A number; a dash stands for none.
fn number(word: &str) -> Option<u64> {
    match word {
        "-" => Some(0),
        // The library takes signs, a log has none.
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
}

/// One request of an IP.
#[map]
fn hit(entry: Entry) -> (String, i64) {
    (entry.ip, 1)
}

/// The bytes that an IP was sent.
#[map]
fn volume(entry: Entry) -> (String, i64) {
    (entry.ip, i64::try_from(entry.bytes).unwrap_or(i64::MAX))
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

    #[track_caller]
    fn check(lines: &[(&str, &str, u16, u64)]) {
        for (line, ip, code, bytes) in lines {
            let expected = Entry {
                ip: (*ip).to_owned(),
                code: *code,
                bytes: *bytes,
            };
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn the_common_format() {
        check(&[
            (
                r#"203.0.113.9 - - [27/Nov/2026:10:00:00 +0100] "GET /index.html HTTP/1.1" 200 5120"#,
                "203.0.113.9",
                200,
                5120,
            ),
            (r#"::1 - - [-] "HEAD / HTTP/1.0" 304 -"#, "::1", 304, 0),
            (
                r#"client.example.org ident maria [27/Nov/2026:10:00:01 +0100] "POST /form HTTP/1.1" 302 0"#,
                "client.example.org",
                302,
                0,
            ),
            (
                r#"203.0.113.9 - maria bell [27/Nov/2026:10:00:01 +0100] "GET / HTTP/1.1" 401 381"#,
                "203.0.113.9",
                401,
                381,
            ),
            (
                r#"203.0.113.9 - - [27/Nov/2026:10:00:02 +0100] "-" 408 -"#,
                "203.0.113.9",
                408,
                0,
            ),
            (
                r#"203.0.113.9 - - [27/Nov/2026:10:00:02 +0100] "GET /disk.iso HTTP/1.1" 200 8589934592"#,
                "203.0.113.9",
                200,
                8_589_934_592,
            ),
            (
                r#"203.0.113.9 - - [27/Nov/2026:10:00:03 +0100] "GET / HTTP/1.1" - -"#,
                "203.0.113.9",
                0,
                0,
            ),
            (
                r#"10.0.0.7 - - [1700000000] "GET /a HTTP/1.1" 404 512 a note"#,
                "10.0.0.7",
                404,
                512,
            ),
        ]);
    }

    #[test]
    fn the_combined_format_of_apache_and_the_default_of_nginx() {
        check(&[
            (
                r#"203.0.113.9 - - [27/Nov/2026:10:00:00 +0100] "GET /a HTTP/1.1" 200 2326 "http://example.org/start" "Mozilla/5.0 (X11; Linux x86_64)""#,
                "203.0.113.9",
                200,
                2326,
            ),
            (
                r#"2001:db8::7 - - [27/Nov/2026:10:00:00 +0000] "GET /b HTTP/2.0" 499 0 "-" "curl/8.5.0""#,
                "2001:db8::7",
                499,
                0,
            ),
            (
                r#"203.0.113.9 - - [27/Nov/2026:10:00:00 +0000] "" 400 0 "-" "-""#,
                "203.0.113.9",
                400,
                0,
            ),
            (
                r#"203.0.113.9 - - [27/Nov/2026:10:00:00 +0000] "\x16\x03\x01\x00" 400 157 "-" "-""#,
                "203.0.113.9",
                400,
                157,
            ),
            (
                r#"203.0.113.9 - - [27/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 000 0 "-" "-" "198.51.100.4""#,
                "203.0.113.9",
                0,
                0,
            ),
        ]);
    }

    #[test]
    fn the_vhost_formats_begin_with_the_name_of_the_host() {
        check(&[
            (
                r#"www.example.org:443 203.0.113.9 - - [27/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 77 "-" "Wget/1.21""#,
                "203.0.113.9",
                200,
                77,
            ),
            (
                r#"www.example.org 2001:db8::7 - - [27/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 77"#,
                "2001:db8::7",
                200,
                77,
            ),
        ]);
    }

    #[test]
    fn quotes_within_the_request_and_behind_it_do_not_end_it_early() {
        check(&[
            (
                r#"203.0.113.9 - - [27/Nov/2026:10:00:00 +0100] "GET /?q=\"200 1\" HTTP/1.1" 404 9 "-" "a \"quoted\" agent""#,
                "203.0.113.9",
                404,
                9,
            ),
            (
                r#"203.0.113.9 - - [27/Nov/2026:10:00:00 +0100] "GET /?q=\" 200 1 HTTP/1.1" 404 9"#,
                "203.0.113.9",
                404,
                9,
            ),
            (
                r#"203.0.113.9 - - [27/Nov/2026:10:00:00 +0100] "GET /?q=\x22 HTTP/1.1" 404 9 "-" "-""#,
                "203.0.113.9",
                404,
                9,
            ),
            (
                r#"203.0.113.9 - - [27/Nov/2026:10:00:00 +0100] "GET /a\\" 404 9"#,
                "203.0.113.9",
                404,
                9,
            ),
            (
                r#"10.0.0.7 - - [1700000000] "GET /a "b" HTTP/1.1" 404 512"#,
                "10.0.0.7",
                404,
                512,
            ),
        ]);
    }

    #[test]
    fn what_is_no_entry_is_rejected_with_what_it_lacks() {
        let rejected = [
            ("", "no ` [time]`"),
            ("10.0.0.7", "no ` [time]`"),
            ("10.0.0.7 - - [t] GET / 200 5", "no `\"request\"`"),
            (r#"10.0.0.7 - - [t] "GET /" 200"#, "no code and bytes"),
            (r#"10.0.0.7 - - [t] "GET /" ok 5"#, "no code and bytes"),
            (r#"10.0.0.7 - - [t] "GET /" +200 5"#, "no code and bytes"),
            (r#"10.0.0.7 - - [t] "GET /" 70000 5"#, "no code and bytes"),
            (r#"10.0.0.7 - - [t] "GET / 200 5"#, "no code and bytes"),
            (r#" [t] "GET /" 200 5"#, "no host"),
        ];
        for (line, reason) in rejected {
            let told = parse(line).unwrap_err();
            assert!(told.contains(reason), "{line}: {told}");
        }
    }
}
