//! The little of BER (X.690) that LDAP needs: definite lengths, tags of one byte, and nothing deeper than a message is.
//!
//! Written by hand, since it is so little: texts of people become octet strings here and never a filter's text, so there is nothing
//! to escape and nothing to inject.

/// Tags of the universal class.
pub const BOOLEAN: u8 = 0x01;
/// A whole number.
pub const INTEGER: u8 = 0x02;
/// Bytes.
pub const OCTETS: u8 = 0x04;
/// One of several.
pub const ENUMERATED: u8 = 0x0a;
/// Several in order.
pub const SEQUENCE: u8 = 0x30;
/// Longest length that is read, in bytes: a megabyte has three.
const MAX_LENGTH_BYTES: usize = 3;

/// What cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what the LDAP server sent is not BER as LDAP uses it")]
pub struct Broken;

/// A value with its tag.
pub fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let from = length.iter().position(|byte| *byte != 0).unwrap_or(length.len());
            let digits = length.get(from..).unwrap_or_default();
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

/// Several values in one.
pub fn several(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    tagged(tag, &parts.concat())
}

/// A small number that is not negative.
pub fn number(tag: u8, value: u32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let from = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let digits = bytes.get(from..).unwrap_or_default();
    // A first bit that is set would make it negative.
    let sign: &[u8] = if digits.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    tagged(tag, &[sign, digits].concat())
}

/// A text.
pub fn text(value: &str) -> Vec<u8> {
    tagged(OCTETS, value.as_bytes())
}

/// Reads values one after another.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Over these bytes.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value, whatever it is.
    pub fn any(&mut self) -> Result<(u8, &'a [u8]), Broken> {
        let (tag, length, head) = head(self.0).ok_or(Broken)??;
        let rest = self.0.get(head..).ok_or(Broken)?;
        let (content, rest) = rest.split_at_checked(length).ok_or(Broken)?;
        self.0 = rest;
        Ok((tag, content))
    }

    /// The next value, which has this tag.
    pub fn one(&mut self, tag: u8) -> Result<&'a [u8], Broken> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Broken),
        }
    }

    /// The next value, which has others in it.
    pub fn inner(&mut self, tag: u8) -> Result<Reader<'a>, Broken> {
        self.one(tag).map(Reader)
    }

    /// The next value, a number that is not negative.
    pub fn number(&mut self, tag: u8) -> Result<u32, Broken> {
        let bytes = self.one(tag)?;
        if bytes.is_empty() || bytes.len() > 5 || bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
            return Err(Broken);
        }
        let value = bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        u32::try_from(value).map_err(|_| Broken)
    }

    /// The next value, a text.
    pub fn text(&mut self) -> Result<&'a str, Broken> {
        std::str::from_utf8(self.one(OCTETS)?).map_err(|_| Broken)
    }
}

/// Tag, length of the content, and length of both of these; nothing while more bytes are needed to know.
pub fn head(bytes: &[u8]) -> Option<Result<(u8, usize, usize), Broken>> {
    let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
    if tag & 0x1f == 0x1f {
        return Some(Err(Broken));
    }
    if first < 0x80 {
        return Some(Ok((tag, first.into(), 2)));
    }
    let digits = usize::from(first & 0x7f);
    if digits == 0 || digits > MAX_LENGTH_BYTES {
        return Some(Err(Broken));
    }
    let length = bytes.get(2..2 + digits)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    Some(Ok((tag, length, 2 + digits)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_encodings() {
        assert_eq!(number(INTEGER, 0), [2, 1, 0]);
        assert_eq!(number(INTEGER, 128), [2, 2, 0, 128]);
        assert_eq!(number(INTEGER, 256), [2, 2, 1, 0]);
        assert_eq!(text("ab"), [4, 2, b'a', b'b']);
        assert_eq!(tagged(OCTETS, &[7; 200])[..3], [4, 0x81, 200]);
        assert_eq!(tagged(OCTETS, &[7; 300])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn what_is_cut_or_of_another_form_is_broken() {
        for bytes in [&[4][..], &[4, 5, 1], &[4, 0x80], &[4, 0x84, 0, 0, 0, 1, 0], &[0x1f, 1, 0]] {
            assert_eq!(Reader::new(bytes).any(), Err(Broken), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[2, 1, 0xff]).number(INTEGER), Err(Broken));
        assert_eq!(Reader::new(&[4, 1, 0xff]).text(), Err(Broken));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: u32, content in prop::collection::vec(any::<u8>(), 0..400)) {
            let bytes = several(SEQUENCE, &[number(INTEGER, value), tagged(OCTETS, &content)]);
            let mut outer = Reader::new(&bytes);
            let mut inner = outer.inner(SEQUENCE).unwrap();
            prop_assert_eq!(inner.number(INTEGER), Ok(value));
            prop_assert_eq!(inner.one(OCTETS), Ok(&content[..]));
            prop_assert!(inner.is_over() && outer.is_over());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while reader.any().is_ok() && !reader.is_over() {}
        }
    }
}
