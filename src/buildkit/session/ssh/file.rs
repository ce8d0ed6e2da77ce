//! Files of private keys: OpenSSH's own form (PROTOCOL.key in its sources) and the PEM forms before it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, RsaKeyPair,
};

use super::key::{Curve, KeyError, PrivateKey, Signer};
use super::wire::{Reader, without_zeros};

const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Reads the one key of a file.
pub(super) fn parse(content: &[u8]) -> Result<PrivateKey, KeyError> {
    let text = std::str::from_utf8(content).map_err(|_| KeyError::NotAKey)?;
    let (label, data) = pem(text)?;
    let signer = match label {
        "OPENSSH PRIVATE KEY" => openssh(&data)?,
        "RSA PRIVATE KEY" => Signer::Rsa(Box::new(RsaKeyPair::from_der(&data).map_err(|_| KeyError::Damaged)?)),
        "EC PRIVATE KEY" => sec1(&data)?,
        "PRIVATE KEY" => pkcs8(&data)?,
        "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
        "DSA PRIVATE KEY" => return Err(unsupported("ssh-dss")),
        _ => return Err(KeyError::NotAKey),
    };
    Ok(PrivateKey::new(signer))
}

/// The label and the content of the first PEM block (RFC 7468, and RFC 1421 for what old OpenSSL encrypts).
fn pem(text: &str) -> Result<(&str, Vec<u8>), KeyError> {
    let (_, rest) = text.split_once("-----BEGIN ").ok_or(KeyError::NotAKey)?;
    let (label, rest) = rest.split_once("-----").ok_or(KeyError::NotAKey)?;
    let (body, _) = rest.split_once("-----END ").ok_or(KeyError::Damaged)?;
    if body.lines().any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED")) {
        return Err(KeyError::Encrypted);
    }
    let body: String = body.split_whitespace().collect();
    Ok((label, STANDARD.decode(body).map_err(|_| KeyError::Damaged)?))
}

fn openssh(data: &[u8]) -> Result<Signer, KeyError> {
    let private = private_part(data)?.ok_or(KeyError::Encrypted)?;
    let mut reader = Reader::new(private);
    let checks = (reader.u32(), reader.u32());
    if checks.0.is_none() || checks.0 != checks.1 {
        return Err(KeyError::Damaged);
    }
    let signer = match reader.text().ok_or(KeyError::Damaged)? {
        "ssh-ed25519" => ed25519(&mut reader),
        "ecdsa-sha2-nistp256" => ecdsa(&mut reader, Curve::P256),
        "ecdsa-sha2-nistp384" => ecdsa(&mut reader, Curve::P384),
        "ssh-rsa" => rsa(&mut reader),
        other => return Err(unsupported(other)),
    };
    signer.ok_or(KeyError::Damaged)
}

/// The part of an OpenSSH key that holds its secrets; `None` if it is encrypted.
fn private_part(data: &[u8]) -> Result<Option<&[u8]>, KeyError> {
    let mut reader = Reader::new(data.strip_prefix(MAGIC).ok_or(KeyError::Damaged)?);
    let parts = (reader.text(), reader.text(), reader.string(), reader.u32(), reader.string(), reader.string());
    match parts {
        (Some("none"), Some("none"), Some(_), Some(1), Some(_), Some(private)) => Ok(Some(private)),
        (Some("none") | None, ..) => Err(KeyError::Damaged),
        (Some(_), ..) => Ok(None),
    }
}

fn ed25519(reader: &mut Reader<'_>) -> Option<Signer> {
    let (public, private) = (reader.string()?, reader.string()?);
    let seed = private.get(..32)?;
    Some(Signer::Ed25519(Box::new(Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()?)))
}

fn ecdsa(reader: &mut Reader<'_>, curve: Curve) -> Option<Signer> {
    let (_name, public, private) = (reader.string()?, reader.string()?, reader.mpint()?);
    let mut scalar = vec![0; curve.size().checked_sub(private.len())?];
    scalar.extend(private);
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm(curve), &scalar, public, &random).ok()?;
    Some(Signer::Ecdsa(curve, Box::new(pair)))
}

fn rsa(reader: &mut Reader<'_>) -> Option<Signer> {
    let (n, e, d) = (reader.mpint()?, reader.mpint()?, reader.mpint()?);
    let (q_inv, p, q) = (reader.mpint()?, reader.mpint()?, reader.mpint()?);
    let (d_p, d_q) = (remainder(d, &minus_one(p)?), remainder(d, &minus_one(q)?));
    let public_key = PublicKeyComponents { n, e };
    let components = KeyPairComponents { public_key, d, p, q, dP: &d_p, dQ: &d_q, qInv: q_inv };
    Some(Signer::Rsa(Box::new(RsaKeyPair::from_components(&components).ok()?)))
}

/// `p - 1` of an odd number.
fn minus_one(prime: &[u8]) -> Option<Vec<u8>> {
    let (last, rest) = prime.split_last()?;
    let mut number = rest.to_vec();
    number.push((last & 1 == 1).then_some(last - 1)?);
    Some(number)
}

/// `number mod modulus` in big-endian bytes: OpenSSH leaves the exponents of the Chinese remainder theorem out. Bit by
/// bit, which is fast enough for what is done once for a key.
fn remainder(number: &[u8], modulus: &[u8]) -> Vec<u8> {
    // One byte more than the modulus has room for twice a remainder.
    let mut rest = vec![0_u8; modulus.len().saturating_add(1)];
    for byte in number {
        for bit in (0..8).rev() {
            let mut carry = (byte >> bit) & 1;
            for digit in rest.iter_mut().rev() {
                let high = *digit >> 7;
                *digit = (*digit << 1) | carry;
                carry = high;
            }
            if !is_less(&rest, modulus) {
                subtract(&mut rest, modulus);
            }
        }
    }
    without_zeros(&rest).to_vec()
}

fn is_less(left: &[u8], right: &[u8]) -> bool {
    let (left, right) = (without_zeros(left), without_zeros(right));
    (left.len(), left) < (right.len(), right)
}

/// Takes a number that is not larger away.
fn subtract(number: &mut [u8], other: &[u8]) {
    let mut borrow = false;
    let digits = other.iter().rev().copied().chain(std::iter::repeat(0));
    for (digit, other) in number.iter_mut().rev().zip(digits) {
        let (less, first) = digit.overflowing_sub(other);
        let (less, second) = less.overflowing_sub(u8::from(borrow));
        *digit = less;
        borrow = first || second;
    }
}

fn pkcs8(data: &[u8]) -> Result<Signer, KeyError> {
    let random = SystemRandom::new();
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(data) {
        return Ok(Signer::Ed25519(Box::new(pair)));
    }
    if let Ok(pair) = RsaKeyPair::from_pkcs8(data) {
        return Ok(Signer::Rsa(Box::new(pair)));
    }
    [Curve::P256, Curve::P384]
        .into_iter()
        .find_map(|curve| {
            let pair = EcdsaKeyPair::from_pkcs8(algorithm(curve), data, &random).ok()?;
            Some(Signer::Ecdsa(curve, Box::new(pair)))
        })
        .ok_or(KeyError::Damaged)
}

/// `EC PRIVATE KEY` (RFC 5915), which ring reads inside PKCS #8 only (RFC 5208).
fn sec1(data: &[u8]) -> Result<Signer, KeyError> {
    // id-ecPublicKey with prime256v1 and with secp384r1.
    const ALGORITHMS: [(Curve, &[u8]); 2] = [
        (Curve::P256, b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"),
        (Curve::P384, b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22"),
    ];
    let random = SystemRandom::new();
    ALGORITHMS
        .into_iter()
        .find_map(|(curve, identifier)| {
            let mut content = vec![2, 1, 0];
            content.extend(identifier);
            content.extend(der(4, data)?);
            let pair = EcdsaKeyPair::from_pkcs8(algorithm(curve), &der(0x30, &content)?, &random).ok()?;
            Some(Signer::Ecdsa(curve, Box::new(pair)))
        })
        .ok_or_else(|| unsupported("ECDSA with another curve than nistp256 and nistp384"))
}

/// A DER value of up to 65535 bytes.
fn der(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let [high, low] = u16::try_from(content.len()).ok()?.to_be_bytes();
    let header = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    Some([&header, content].concat())
}

fn algorithm(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
    }
}

fn unsupported(kind: &str) -> KeyError {
    KeyError::Unsupported { kind: kind.to_owned() }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
    };

    use super::super::wire::Reader;
    use super::{KeyError, parse, remainder};

    macro_rules! testdata {
        ($name:literal) => {
            include_bytes!(concat!("testdata/", $name)).as_slice()
        };
    }

    /// The public key that `ssh-keygen` wrote.
    fn public(line: &[u8]) -> Vec<u8> {
        let line = std::str::from_utf8(line).unwrap();
        STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap()
    }

    /// Checks a signature with nothing but the public key.
    fn verifies(blob: &[u8], data: &[u8], signature: &[u8]) -> bool {
        let mut signature = Reader::new(signature);
        let (name, signature) = (signature.text().unwrap(), signature.string().unwrap());
        let mut key = Reader::new(blob);
        let kind = key.text().unwrap();
        let fixed = |size: usize| {
            let mut numbers = Reader::new(signature);
            let pad = |number: &[u8]| [vec![0; size - number.len()], number.to_vec()].concat();
            [pad(numbers.mpint().unwrap()), pad(numbers.mpint().unwrap())].concat()
        };
        let check = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8], signature: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(data, signature).is_ok()
        };
        match (kind, name) {
            ("ssh-ed25519", "ssh-ed25519") => check(&ED25519, key.string().unwrap(), signature),
            ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                check(&ECDSA_P256_SHA256_FIXED, key.string().and(key.string()).unwrap(), &fixed(32))
            }
            ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => {
                check(&ECDSA_P384_SHA384_FIXED, key.string().and(key.string()).unwrap(), &fixed(48))
            }
            ("ssh-rsa", "rsa-sha2-256" | "rsa-sha2-512") => {
                let (e, n) = (key.mpint().unwrap(), key.mpint().unwrap());
                let algorithm =
                    if name.ends_with("256") { &RSA_PKCS1_2048_8192_SHA256 } else { &RSA_PKCS1_2048_8192_SHA512 };
                RsaPublicKeyComponents { n, e }.verify(algorithm, data, signature).is_ok()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_of_every_kind_and_form_sign() {
        for (file, public_key) in [
            (testdata!("ed25519.key"), testdata!("ed25519.pub")),
            (testdata!("ecdsa256.key"), testdata!("ecdsa256.pub")),
            (testdata!("ecdsa256.PEM.key"), testdata!("ecdsa256.pub")),
            (testdata!("ecdsa256.PKCS8.key"), testdata!("ecdsa256.pub")),
            (testdata!("ecdsa384.key"), testdata!("ecdsa384.pub")),
            (testdata!("rsa2048.key"), testdata!("rsa2048.pub")),
            (testdata!("rsa2048.PEM.key"), testdata!("rsa2048.pub")),
            (testdata!("rsa2048.PKCS8.key"), testdata!("rsa2048.pub")),
        ] {
            let (key, blob) = (parse(file).unwrap(), public(public_key));
            assert_eq!(key.blob(), blob);
            for flags in [2, 4] {
                let signature = key.sign(b"data", flags).unwrap();
                assert!(verifies(&blob, b"data", &signature));
                assert!(!verifies(&blob, b"other", &signature));
            }
        }
        let key = parse(testdata!("ed25519.PKCS8.key")).unwrap();
        assert!(verifies(key.blob(), b"data", &key.sign(b"data", 0).unwrap()));
        assert!(parse(testdata!("rsa2048.key")).unwrap().sign(b"data", 0).is_none(), "SHA-1");
    }

    #[test]
    fn what_cannot_be_used_is_told_apart() {
        let damaged = String::from_utf8(testdata!("ed25519.key").to_vec()).unwrap().replace("mPiiU3pbx", "mPiiU3pby");
        let kind = "ecdsa-sha2-nistp521".to_owned();
        for (file, expected) in [
            (testdata!("encrypted.key"), KeyError::Encrypted),
            (testdata!("encrypted.PEM.key"), KeyError::Encrypted),
            (testdata!("encrypted.PKCS8.key"), KeyError::Encrypted),
            (testdata!("ecdsa521.key"), KeyError::Unsupported { kind }),
            (testdata!("rsa1024.key"), KeyError::Damaged),
            (testdata!("ed25519.pub"), KeyError::NotAKey),
            (b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", KeyError::NotAKey),
            (damaged.as_bytes(), KeyError::Damaged),
            (b"\xff", KeyError::NotAKey),
            (b"", KeyError::NotAKey),
        ] {
            assert_eq!(parse(file).unwrap_err(), expected, "{}", String::from_utf8_lossy(file));
        }
        assert_eq!(format!("{:?}", parse(testdata!("ed25519.key")).unwrap()), "PrivateKey(***)");
    }

    proptest! {
        #[test]
        fn remainders_are_right(number in any::<u128>(), modulus in 1_u128..) {
            let mut expected = (number % modulus).to_be_bytes().to_vec();
            expected.drain(..expected.iter().take_while(|byte| **byte == 0).count());
            prop_assert_eq!(remainder(&number.to_be_bytes(), &modulus.to_be_bytes()), expected);
        }

        #[test]
        fn no_file_panics(place in 0_usize..1900, byte in any::<u8>(), kind in 0_usize..3) {
            let mut file = [testdata!("ed25519.key"), testdata!("rsa2048.key"), testdata!("ecdsa256.PEM.key")][kind].to_vec();
            if let Some(slot) = file.get_mut(place) {
                *slot = byte;
            }
            let _ = parse(&file);
        }
    }
}
