//! Any bytes as a ledger's document: `cargo +nightly fuzz run ledger -- -max_len=1048576`.

#![no_main]

use watchparty_cache::cache::ledger::{Ledger, Scope};
use watchparty_cache::engine::LedgerContent;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let content = LedgerContent::Document(text.to_owned());
    // What can be read under the name that it gives itself can be written, and read again.
    let Some(key) = serde_json::from_str::<serde_json::Value>(text)
        .ok()
        .and_then(|value| serde_json::from_value(value.get("key")?.clone()).ok())
    else {
        assert!(Ledger::open_found(&content, "", &Scope::Local).is_err());
        return;
    };
    let Ok(ledger) = Ledger::open(&content, &key) else { return };
    let written = LedgerContent::Document(ledger.encode().expect("what was read is not too large"));
    assert!(Ledger::open(&written, &key).is_ok());
});
