//! An agent in this process: lists keys and signs with them, and can do nothing else.

use super::key::PrivateKey;
use super::wire::{Reader, put_string};
use super::{FAILURE, REQUEST_IDENTITIES, SIGN_REQUEST};

const IDENTITIES_ANSWER: u8 = 12;
const SIGN_RESPONSE: u8 = 14;

/// Keys, each with the name that a list shows.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    keys: Vec<(String, PrivateKey)>,
}

impl Keyring {
    pub(super) fn add(&mut self, name: String, key: PrivateKey) {
        self.keys.push((name, key));
    }

    /// Answers one message; both with their length.
    pub(super) fn answer(&self, request: &[u8]) -> Vec<u8> {
        let mut reader = Reader::new(request);
        let kind = reader.u32().and_then(|_| reader.take(1)).and_then(|kind| kind.first());
        let answer = match kind {
            Some(&REQUEST_IDENTITIES) => Some(self.identities()),
            Some(&SIGN_REQUEST) => self.sign(reader),
            _ => None,
        };
        let Some(answer) = answer else { return FAILURE.to_vec() };
        let mut message = Vec::new();
        put_string(&mut message, &answer);
        message
    }

    fn identities(&self) -> Vec<u8> {
        let mut answer = vec![IDENTITIES_ANSWER];
        answer.extend(u32::try_from(self.keys.len()).unwrap_or(u32::MAX).to_be_bytes());
        for (name, key) in &self.keys {
            put_string(&mut answer, key.blob());
            put_string(&mut answer, name.as_bytes());
        }
        answer
    }

    fn sign(&self, mut request: Reader<'_>) -> Option<Vec<u8>> {
        let (blob, data, flags) = (request.string()?, request.string()?, request.u32()?);
        let (_, key) = self.keys.iter().find(|(_, key)| key.blob() == blob)?;
        let mut answer = vec![SIGN_RESPONSE];
        put_string(&mut answer, &key.sign(data, flags)?);
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::FAILURE;
    use super::super::file::parse;
    use super::super::wire::{Reader, put_string};
    use super::Keyring;

    fn message(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        put_string(&mut message, &[&[kind], content].concat());
        message
    }

    #[test]
    fn lists_and_signs_and_nothing_else() {
        let key = || parse(include_bytes!("testdata/ed25519.key")).unwrap();
        let mut keyring = Keyring::default();
        keyring.add("id_ed25519".to_owned(), key());
        let blob = key().blob().to_vec();

        let mut expected = vec![12, 0, 0, 0, 1];
        put_string(&mut expected, &blob);
        put_string(&mut expected, b"id_ed25519");
        assert_eq!(Reader::new(&keyring.answer(&message(11, b""))).string(), Some(expected.as_slice()));

        let request = |blob: &[u8]| {
            let mut content = Vec::new();
            put_string(&mut content, blob);
            put_string(&mut content, b"data");
            content.extend([0, 0, 0, 0]);
            message(13, &content)
        };
        // Ed25519 signs the same data the same way.
        let mut expected = vec![14];
        put_string(&mut expected, &key().sign(b"data", 0).unwrap());
        assert_eq!(Reader::new(&keyring.answer(&request(&blob))).string(), Some(expected.as_slice()));

        let (add, remove_all, lock, extension) = (17, 19, 22, 27);
        for refused in [
            request(b"another key"),
            message(13, b"\0\0\xff\xff"),
            message(add, b""),
            message(remove_all, b""),
            message(lock, b""),
            message(extension, b""),
            vec![],
            vec![0, 0, 0, 0],
        ] {
            assert_eq!(keyring.answer(&refused), FAILURE);
        }
    }
}
