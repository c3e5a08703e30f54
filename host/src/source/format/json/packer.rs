//! From the events of a JSON parser to `MessagePack`, without a tree of values between.
//!
//! An object's entries are written as they come. Most come in another order than that of their keys,
//! so they are put in order once the object has ended: few entries, and one copy of their bytes. How
//! many elements an array or object has is known at its end, too: its header is written as that of
//! a small one, of one byte, and only a larger one moves what stands behind it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The most elements that a header of one byte can tell.
const FEW: usize = 15;

/// Writes values to a buffer.
#[derive(Debug)]
pub(super) struct Packer<'a> {
    out: &'a mut Vec<u8>,
    objects: &'a mut Objects,
}

/// What is known of the objects that are open; kept from value to value, so that it grows once.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// The entries of the outermost object, then those of the one within it, and so on.
    entries: Vec<Entry>,
    /// Where entries are put in order.
    ordered: Vec<u8>,
}

/// An entry of an object, by places in the output.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Its first byte.
    start: usize,
    /// The first eight bytes of the key's text, zeros behind a shorter one: what orders most keys.
    prefix: u64,
    /// The first byte of the key's text.
    key: usize,
    /// The byte after that text; there its value begins.
    value: usize,
    /// The byte after it.
    end: usize,
}

impl<'a> Packer<'a> {
    /// Writes to the end of `out`.
    pub(super) const fn new(out: &'a mut Vec<u8>, objects: &'a mut Objects) -> Self {
        Self { out, objects }
    }

    /// The same for a value within a value.
    fn within(&mut self) -> Packer<'_> {
        Packer {
            out: self.out,
            objects: self.objects,
        }
    }

    fn text(&mut self, text: &str) {
        rmp::encode::write_str(self.out, text).expect(WHOLE);
    }

    /// Begins an array or object, and gives the place of its header.
    fn begin(&mut self) -> usize {
        self.out.push(0);
        self.out.len() - 1
    }

    /// Writes the header at `place` of so many elements.
    fn end(&mut self, place: usize, count: usize, header: Header) {
        if count <= FEW {
            self.out[place] = header.few | count as u8;
            return;
        }
        let mut long = Vec::new();
        // More cannot lie in a line.
        (header.many)(&mut long, u32::try_from(count).unwrap_or(u32::MAX)).expect(WHOLE);
        self.out.splice(place..=place, long);
    }

    /// Puts the entries from number `first` on, which stand behind each other, in order of their keys,
    /// and of those with one key leaves the last. Gives how many are left.
    fn sort(&mut self, first: usize) -> usize {
        let Objects { entries, ordered } = &mut *self.objects;
        let entries = &mut entries[first..];
        let out: &[u8] = self.out;
        let key = |entry: &Entry| (entry.prefix, &out[entry.key..entry.value]);
        let in_order = entries.is_sorted_by(|one, other| key(one) < key(other));
        let Some(start) = entries
            .first()
            .map(|entry| entry.start)
            .filter(|_| !in_order)
        else {
            return entries.len();
        };
        entries.sort_by(|one, other| key(one).cmp(&key(other)));
        ordered.clear();
        let mut left = 0;
        for (at, entry) in entries.iter().enumerate() {
            let is_last = |next: &Entry| key(next) != key(entry);
            if entries.get(at + 1).is_none_or(is_last) {
                ordered.extend_from_slice(&out[entry.start..entry.end]);
                left += 1;
            }
        }
        self.out.truncate(start);
        self.out.extend_from_slice(ordered);
        left
    }
}

/// How an array or object begins.
#[derive(Clone, Copy)]
struct Header {
    /// With few elements.
    few: u8,
    /// With any number.
    many: fn(&mut Vec<u8>, u32) -> Written,
}

/// Whether a header was written.
type Written = Result<rmp::Marker, rmp::encode::ValueWriteError>;

const ARRAY: Header = Header {
    few: 0x90,
    many: rmp::encode::write_array_len,
};

const OBJECT: Header = Header {
    few: 0x80,
    many: rmp::encode::write_map_len,
};

const WHOLE: &str = "a vector takes all bytes";

impl<'de> DeserializeSeed<'de> for Packer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Packer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        rmp::encode::write_nil(self.out).expect(WHOLE);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        rmp::encode::write_bool(self.out, value).expect(WHOLE);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        rmp::encode::write_uint(self.out, value).expect(WHOLE);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        rmp::encode::write_sint(self.out, value).expect(WHOLE);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        rmp::encode::write_f64(self.out, value).expect(WHOLE);
        Ok(())
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        self.text(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let place = self.begin();
        let mut count = 0;
        while elements.next_element_seed(self.within())?.is_some() {
            count += 1;
        }
        self.end(place, count, ARRAY);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        let place = self.begin();
        let first = self.objects.entries.len();
        while let Some(entry) = object.next_key_seed(Key(self.out))? {
            let number = self.objects.entries.len();
            self.objects.entries.push(entry);
            object.next_value_seed(self.within())?;
            self.objects.entries[number].end = self.out.len();
        }
        let count = self.sort(first);
        self.objects.entries.truncate(first);
        self.end(place, count, OBJECT);
        Ok(())
    }
}

/// Writes a key.
struct Key<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Entry;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Entry, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Entry, E> {
        let start = self.0.len();
        rmp::encode::write_str(self.0, key).expect(WHOLE);
        let end = self.0.len();
        Ok(Entry {
            start,
            prefix: prefix(key.as_bytes()),
            key: end - key.len(),
            value: end,
            end,
        })
    }
}

/// The first eight bytes as a number that is ordered as they are, zeros behind fewer.
fn prefix(key: &[u8]) -> u64 {
    if let Some(first) = key.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let mut bytes = [0; 8];
    bytes[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(bytes)
}
