//! What the label of a ledger's image tells without opening it: enough to find an image's ledger, and to clear.

use serde::{Deserialize, Serialize};

use super::document::{SCHEMA, probe};
use super::{ImageId, Ledger, LedgerKey, Refusal};

/// The summary of a ledger. Anybody can write a label: before a ledger is used, the document is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLabel {
    schema: u32,
    /// What the ledger is about.
    #[serde(flatten)]
    pub key: LedgerKey,
    /// The engine's ids of the images that it names.
    pub images: Vec<ImageId>,
    /// The engine's ids of images that the same builds made before, as far as they were there.
    #[serde(default)]
    pub superseded: Vec<ImageId>,
}

impl LedgerLabel {
    /// Reads the label of the image that has the name `name`.
    ///
    /// # Errors
    /// [`Refusal`], also if the name is that of another ledger.
    pub fn read(name: &str, text: &str) -> Result<Self, Refusal> {
        probe(text.as_bytes())?;
        let label: Self = serde_json::from_str(text).map_err(|error| Refusal::Unreadable(error.to_string()))?;
        if label.key.name() == name { Ok(label) } else { Err(Refusal::OtherKey) }
    }

    /// Whether the ledger names an image.
    pub fn knows(&self, image: &str) -> bool {
        self.images.iter().any(|known| known.as_str() == image)
    }

    /// Whether the builds that write this ledger made an image, the last one or one before.
    pub fn made(&self, image: &str) -> bool {
        self.knows(image) || self.superseded.iter().any(|known| known.as_str() == image)
    }

    /// The label's text.
    ///
    /// # Errors
    /// Whatever `serde_json` says; the types leave it nothing to say.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// The label of a stage's image: whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageLabel {
    schema: u32,
    /// The ledger that names it.
    #[serde(flatten)]
    pub key: LedgerKey,
    /// The stage.
    pub stage: String,
}

impl StageLabel {
    /// The name of the label.
    pub const NAME: &str = "watchparty-cache.stage";

    /// The label of a stage of this ledger's image.
    pub fn new(key: &LedgerKey, stage: &str) -> Self {
        Self { schema: SCHEMA, key: key.clone(), stage: stage.to_owned() }
    }

    /// The label's text.
    pub fn encode(&self) -> String {
        // The types leave serde_json nothing to fail at.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Ledger {
    /// The summary for the label.
    pub fn label(&self) -> LedgerLabel {
        let images = self.images.iter().map(|image| image.id.clone());
        let superseded = self.superseded.clone();
        LedgerLabel { schema: SCHEMA, key: self.key.clone(), images: images.collect(), superseded }
    }
}

#[cfg(test)]
mod tests {
    use super::LedgerLabel;
    use crate::cache::ledger::Refusal;
    use crate::cache::ledger::document::tests::{id, ledger};

    #[test]
    fn reads_back_what_it_wrote_under_its_own_name_only() {
        let ledger = ledger();
        let (name, text) = (ledger.key.name(), ledger.label().encode().unwrap());
        let label = LedgerLabel::read(&name, &text).unwrap();
        assert_eq!(label, ledger.label());
        assert!(label.knows(id(1).as_str()) && !label.knows(id(9).as_str()));

        assert_eq!(LedgerLabel::read("watchparty-cache/ledger:other", &text), Err(Refusal::OtherKey));
        assert_eq!(LedgerLabel::read(&name, &text.replace("trusted", "untrusted")), Err(Refusal::OtherKey));
        let newer = text.replace("\"schema\":1", "\"schema\":2");
        assert_eq!(LedgerLabel::read(&name, &newer), Err(Refusal::Newer { schema: 2 }));
        assert_eq!(LedgerLabel::read(&name, "{}"), Err(Refusal::Foreign));
        assert!(matches!(LedgerLabel::read(&name, "{\"schema\":1}"), Err(Refusal::Unreadable(_))));
    }
}
