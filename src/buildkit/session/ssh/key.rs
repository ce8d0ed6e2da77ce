//! Private keys: what one is, what it is called on the wire, and how it signs.
//!
//! All signing is ring's, which rustls brings anyway. The `rsa` crate is not used: its private operations leak through
//! their timing (RUSTSEC-2023-0071).

use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair};

use super::wire::{put_mpint, put_string};

/// Flags of a request to sign (draft-ietf-sshm-ssh-agent, section 3.6.1).
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// Why a file cannot be used as a key. Holds nothing of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Something else, as a public key.
    #[error("it is not a private key in OpenSSH or PEM form")]
    NotAKey,
    /// It needs a passphrase.
    #[error("it is encrypted with a passphrase")]
    Encrypted,
    /// A key that cannot sign here.
    #[error("keys of the kind {kind} are not supported")]
    Unsupported {
        /// As `ecdsa-sha2-nistp521`.
        kind: String,
    },
    /// Its parts do not fit.
    #[error("the key is damaged, or an RSA key of less than 2048 or more than 4096 bits")]
    Damaged,
}

/// A key that signs.
pub(super) struct PrivateKey {
    signer: Signer,
    /// The public key as SSH writes it: the key's name in the agent's protocol.
    blob: Vec<u8>,
}

/// The kinds of keys.
pub(super) enum Signer {
    Ed25519(Box<Ed25519KeyPair>),
    Ecdsa(Curve, Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

/// The curves of ECDSA keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

impl Curve {
    /// As in `ecdsa-sha2-…`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
        }
    }

    /// Bytes of a coordinate.
    pub(super) fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

impl PrivateKey {
    pub(super) fn new(signer: Signer) -> Self {
        let mut blob = Vec::new();
        match &signer {
            Signer::Ed25519(pair) => {
                put_string(&mut blob, b"ssh-ed25519");
                put_string(&mut blob, pair.public_key().as_ref());
            }
            Signer::Ecdsa(curve, pair) => {
                put_string(&mut blob, format!("ecdsa-sha2-{}", curve.name()).as_bytes());
                put_string(&mut blob, curve.name().as_bytes());
                put_string(&mut blob, pair.public_key().as_ref());
            }
            Signer::Rsa(pair) => {
                put_string(&mut blob, b"ssh-rsa");
                let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                put_mpint(&mut blob, &e);
                put_mpint(&mut blob, &n);
            }
        }
        Self { signer, blob }
    }

    /// The public key (RFC 4253, section 6.6; RFC 5656, section 3.1; RFC 8709, section 4).
    pub(super) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// A signature with the name of its algorithm (RFC 5656, 8332 and 8709). `None` for what cannot be signed: RSA with
    /// SHA-1, which servers do not take any more.
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let (algorithm, signature) = match &self.signer {
            Signer::Ed25519(pair) => ("ssh-ed25519".to_owned(), pair.sign(data).as_ref().to_vec()),
            Signer::Ecdsa(curve, pair) => {
                let fixed = pair.sign(&random, data).ok()?;
                let (r, s) = fixed.as_ref().split_at_checked(curve.size())?;
                let mut signature = Vec::new();
                put_mpint(&mut signature, r);
                put_mpint(&mut signature, s);
                (format!("ecdsa-sha2-{}", curve.name()), signature)
            }
            Signer::Rsa(pair) => {
                let (algorithm, padding) = match flags {
                    flags if flags & RSA_SHA2_512 != 0 => ("rsa-sha2-512", &RSA_PKCS1_SHA512),
                    flags if flags & RSA_SHA2_256 != 0 => ("rsa-sha2-256", &RSA_PKCS1_SHA256),
                    _ => return None,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &random, data, &mut signature).ok()?;
                (algorithm.to_owned(), signature)
            }
        };
        let mut out = Vec::new();
        put_string(&mut out, algorithm.as_bytes());
        put_string(&mut out, &signature);
        Some(out)
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}
