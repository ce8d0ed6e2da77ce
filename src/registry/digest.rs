//! Digests: the names that a registry gives to contents.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha512};

/// A digest of one of the two registered algorithms (OCI image specification, "Descriptors", "Digests").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// In lower case.
    hex: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Algorithm {
    Sha256,
    Sha512,
}

/// A text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of the form `sha256:…` or `sha512:…`")]
pub struct DigestError;

impl Digest {
    /// The sha256 digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { algorithm: Algorithm::Sha256, hex: hex(&Sha256::digest(bytes)) }
    }

    /// Whether these bytes have this digest.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        let found = match self.algorithm {
            Algorithm::Sha256 => hex(&Sha256::digest(bytes)),
            Algorithm::Sha512 => hex(&Sha512::digest(bytes)),
        };
        found == self.hex
    }

    /// The prefix of the tags that describe the content of this digest where a registry has no referrers API (OCI
    /// distribution specification, "Referrers Tag Schema"; cosign adds `.sig` and others).
    pub(crate) fn referrers_tag(&self) -> String {
        // A tag has 128 characters at most, so a longer digest is cut.
        format!("{}-{}", self.algorithm.name(), self.hex).chars().take(128).collect()
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) = text.split_once(':').ok_or(DigestError)?;
        let (algorithm, length) = match name {
            "sha256" => (Algorithm::Sha256, 64),
            "sha512" => (Algorithm::Sha512, 128),
            _ => return Err(DigestError),
        };
        if hex.len() != length || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError);
        }
        Ok(Self { algorithm, hex: hex.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn reads_writes_and_checks() {
        // FIPS 180-2, the digests of "abc".
        let short = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let long = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                    2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        assert_eq!(Digest::of(b"abc").to_string(), short);
        for text in [short, long] {
            let digest: Digest = text.parse().unwrap();
            assert_eq!(digest.to_string(), text);
            assert!(digest.is_of(b"abc") && !digest.is_of(b"abd"));
            assert!(digest.referrers_tag().len() <= 128 && digest.referrers_tag().starts_with("sha"));
        }
        for bad in ["", "sha256", "sha256:", "sha256:abc", &short.to_uppercase(), "md5:0123", &format!("{short}0")] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
