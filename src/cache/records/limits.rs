//! How much of everything is read: records come from images that anybody may have made.
//!
//! The numbers are far above what builds have (a Dockerfile of 100 steps has about 300 records) and low enough that the
//! largest accepted document costs some 100 MB and a second at most.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

/// Bytes of one document: a manifest, a cache config, an image config. BuildKit itself imports no more than 1 MiB
/// (`remotecache/import.go`, `readBlob`), but exports what there is.
pub(super) const DOCUMENT_BYTES: usize = 4 << 20;
/// Records of a set.
pub(super) const RECORDS: usize = 20_000;
/// Layers, and entries of the layer forest, of a set.
pub(super) const LAYERS: usize = 20_000;
/// Layers above each other.
pub(super) const DEPTH: usize = 512;
/// Inputs of a record.
pub(super) const INPUTS: usize = 512;
/// Alternatives of one input.
pub(super) const ALTERNATIVES: usize = 1_024;
/// Links of a set: all alternatives of all inputs of all records.
pub(super) const LINKS: usize = 100_000;
/// Results of a record.
pub(super) const RESULTS: usize = 64;
/// Bytes of a selector; BuildKit's are digests.
pub(super) const SELECTOR_BYTES: usize = 256;
/// Bytes of a media type or a time.
pub(super) const WORD_BYTES: usize = 128;
/// Bytes of the text that created a layer; longer ones are left out, as BuildKit only shows them.
pub(super) const DESCRIPTION_BYTES: usize = 16 << 10;
/// Bytes of each blob that is offered: BuildKit refuses more than 1 MiB.
pub(super) const OFFER_BYTES: usize = 900 << 10;

/// A list of at most `N` values; `null` is the empty list, as Go writes it.
#[derive(Debug, Clone)]
pub(super) struct Bounded<T, const N: usize>(pub(super) Vec<T>);

impl<T, const N: usize> Default for Bounded<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for List<T, N> {
            type Value = Bounded<T, N>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a list of at most {N} values")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Bounded::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                // A length that the input claims is never reserved.
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    if values.len() == N {
                        return Err(A::Error::custom(format_args!("more than {N} values in a list")));
                    }
                    values.push(value);
                }
                Ok(Bounded(values))
            }
        }

        deserializer.deserialize_any(List(PhantomData))
    }
}

impl<T: Serialize, const N: usize> Serialize for Bounded<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
