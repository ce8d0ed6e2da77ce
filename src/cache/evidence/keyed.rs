//! Digests under a ledger's salt (HMAC-SHA256, RFC 2104), cut to what telling "changed" from "not" takes.

use std::fmt;
use std::str::FromStr;

use ring::hmac;
use serde::{Deserialize, Serialize};

/// Bytes of a digest that are kept. A change goes unseen once in 2^32; in return a guessed value that fits proves
/// nothing where there are more possible values than that.
pub(super) const LENGTH: usize = 4;
const SALT_LENGTH: usize = 16;

/// A ledger's salt: 16 random bytes, so that equal values in two ledgers do not look equal.
#[derive(Debug, Clone)]
pub struct Salt(hmac::Key);

/// The text is not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read salt: it is not {} hexadecimal digits", 2 * SALT_LENGTH)]
pub struct InvalidSalt;

impl FromStr for Salt {
    type Err = InvalidSalt;

    fn from_str(text: &str) -> Result<Self, InvalidSalt> {
        let bytes: [u8; SALT_LENGTH] = from_hex(text).ok_or(InvalidSalt)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

/// What a digest is of: equal bytes of two kinds give different digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Argument = 1,
    Instruction = 2,
    Name = 3,
    File = 4,
    Unread = 5,
    Link = 6,
    Other = 7,
    Coverage = 8,
}

impl Salt {
    pub(super) fn keyed(&self, of: Of, parts: &[&[u8]]) -> Keyed {
        let mut hasher = self.hasher(of);
        for part in parts {
            hasher.part(part);
        }
        hasher.finish()
    }

    pub(super) fn hasher(&self, of: Of) -> Hasher {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&[of as u8]);
        Hasher(context)
    }
}

/// A digest in the making.
pub(super) struct Hasher(hmac::Context);

impl Hasher {
    /// Adds bytes with their length before them: `ab`, `c` is not `a`, `bc`.
    pub(super) fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Adds a piece of the last part, whose length nothing follows.
    pub(super) fn piece(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Keyed {
        let mut kept = [0; LENGTH];
        for (kept, byte) in kept.iter_mut().zip(self.0.sign().as_ref()) {
            *kept = *byte;
        }
        Keyed(kept)
    }
}

/// A digest under a salt; 8 hexadecimal digits in JSON.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Keyed(pub(super) [u8; LENGTH]);

impl fmt::Display for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyed({self})")
    }
}

impl From<Keyed> for String {
    fn from(keyed: Keyed) -> Self {
        keyed.to_string()
    }
}

impl TryFrom<String> for Keyed {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        from_hex(&text).map(Self).ok_or("not 8 hexadecimal digits")
    }
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = text.bytes().map(digit).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    if rest.is_empty() { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::{InvalidSalt, Keyed, Of, Salt};

    const SALT: &str = "000102030405060708090a0b0c0d0e0f";

    #[test]
    fn depends_on_salt_kind_and_parts() {
        let salt: Salt = SALT.parse().unwrap();
        let other: Salt = "ff0102030405060708090a0b0c0d0e0f".parse().unwrap();
        let digest = salt.keyed(Of::Argument, &[b"ab", b"c"]);
        assert_eq!(digest, salt.keyed(Of::Argument, &[b"ab", b"c"]));
        assert_ne!(digest, other.keyed(Of::Argument, &[b"ab", b"c"]));
        assert_ne!(digest, salt.keyed(Of::Instruction, &[b"ab", b"c"]));
        assert_ne!(digest, salt.keyed(Of::Argument, &[b"a", b"bc"]));
    }

    #[test]
    fn a_salt_is_32_digits() {
        for text in [
            "",
            "00",
            "0001020304050607080900a0b0c0d0e",
            &format!("{SALT}00"),
            &SALT.replace('f', "g"),
            &"é".repeat(16),
        ] {
            assert_eq!(text.parse::<Salt>().unwrap_err(), InvalidSalt, "{text}");
        }
        assert!(!format!("{:?}", SALT.parse::<Salt>().unwrap()).contains("0102"));
    }

    #[test]
    fn is_eight_digits_in_json() {
        let keyed = Keyed([0x01, 0xab, 0, 0xff]);
        assert_eq!(serde_json::to_string(&keyed).unwrap(), "\"01ab00ff\"");
        assert_eq!(serde_json::from_str::<Keyed>("\"01ab00ff\"").unwrap(), keyed);
        for damaged in ["\"\"", "\"01ab00f\"", "\"01ab00ff00\"", "\"x1ab00ff\"", "7"] {
            assert!(serde_json::from_str::<Keyed>(damaged).is_err(), "{damaged}");
        }
    }
}
