//! SSH's data types (RFC 4251, section 5) and the frames of agent messages.

use std::io;

/// OpenSSH's own limit for a message, in bytes.
pub(super) const MAX_MESSAGE: usize = 256 << 10;

/// Reads one value after the other; `None` where the data ends too early.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string()?).ok()
    }

    /// A number that is not negative, without leading zeros.
    pub(super) fn mpint(&mut self) -> Option<&'a [u8]> {
        let number = self.string()?;
        (number.first().is_none_or(|first| first & 0x80 == 0)).then(|| without_zeros(number))
    }
}

/// Appends a string.
pub(super) fn put_string(out: &mut Vec<u8>, value: &[u8]) {
    // Everything that is written is far smaller than a message may be.
    out.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(value);
}

/// Appends a number that is not negative, given in big-endian bytes.
pub(super) fn put_mpint(out: &mut Vec<u8>, value: &[u8]) {
    let value = without_zeros(value);
    let padded = value.first().is_some_and(|first| first & 0x80 != 0);
    let number: Vec<u8> = padded.then_some(0).into_iter().chain(value.iter().copied()).collect();
    put_string(out, &number);
}

/// A number without leading zeros; zero is empty.
pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The first whole message, with its length, out of what arrived so far.
pub(super) fn take_message(pending: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let Some(length) = pending.first_chunk::<4>() else { return Ok(None) };
    let total = checked_length(u32::from_be_bytes(*length))?.saturating_add(4);
    if pending.len() < total {
        return Ok(None);
    }
    let rest = pending.split_off(total);
    Ok(Some(std::mem::replace(pending, rest)))
}

/// The size of a message from its length field.
pub(super) fn checked_length(length: u32) -> io::Result<usize> {
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if size == 0 || size > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_MESSAGE, Reader, put_mpint, put_string, take_message, without_zeros};

    #[test]
    fn messages_are_whole_however_they_arrive() {
        let mut pending = vec![0, 0, 0];
        assert!(take_message(&mut pending).unwrap().is_none());
        pending.extend([2, 11]);
        assert!(take_message(&mut pending).unwrap().is_none());
        pending.extend([7, 0, 0, 0, 1, 13]);
        assert_eq!(take_message(&mut pending).unwrap(), Some(vec![0, 0, 0, 2, 11, 7]));
        assert_eq!(take_message(&mut pending).unwrap(), Some(vec![0, 0, 0, 1, 13]));
        assert!(pending.is_empty());
        let too_long = u32::try_from(MAX_MESSAGE + 1).unwrap().to_be_bytes().to_vec();
        assert!(take_message(&mut too_long.clone()).is_err() && take_message(&mut vec![0; 4]).is_err());
    }

    #[test]
    fn numbers_are_written_as_the_rfc_shows_them() {
        for (number, written) in [
            (&[][..], &[0, 0, 0, 0][..]),
            (&[0], &[0, 0, 0, 0]),
            (&[0x09, 0xa3], &[0, 0, 0, 2, 0x09, 0xa3]),
            (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
        ] {
            let mut out = Vec::new();
            put_mpint(&mut out, number);
            assert_eq!(out, written);
        }
        assert_eq!(Reader::new(&[0, 0, 0, 1, 0x80]).mpint(), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut out = Vec::new();
            put_mpint(&mut out, &number);
            put_string(&mut out, &number);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.mpint(), Some(without_zeros(&number)));
            prop_assert_eq!(reader.string(), Some(number.as_slice()));
            prop_assert_eq!(reader.u32(), None);
        }
    }
}
