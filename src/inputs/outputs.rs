//! The one declaration of every output.

macro_rules! declare {
    ($($variant:ident = $name:literal: $description:literal;)*) => {
        /// An output of the action.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Output {
            $(#[doc = $description] $variant,)*
        }

        impl Output {
            /// Every output, in the order of `action.yml`.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name, as in `steps.<id>.outputs.<name>`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One line on what it holds.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }
        }
    };
}

declare! {
    DurationSeconds = "duration-seconds": "Wall time of the build or the clear in seconds.";
    StepsTotal = "steps-total": "Number of Dockerfile steps of all images; the builder's own are not counted.";
    StepsCached = "steps-cached": "How many of them came from a cache.";
    CacheHitPercent = "cache-hit-percent": "`steps-cached` in percent of `steps-total`.";
    CacheSource = "cache-source": "Where cached steps came from: `builder`, `image`, `registry`, `mixed` or `none`.";
    BaselineSeconds = "baseline-seconds": "The median of the builds that the build was compared with, in seconds; empty if there are none.";
    ImageId = "image-id": "The engine's id of the first image.";
    Digest = "digest": "The registry's digest of the first image; empty if it was not pushed.";
    Result = "result": "JSON, schema version 1: per image its steps, times and cache sources.";
    FreedBytes = "freed-bytes": "Bytes that a clear freed, by the engine's own figures.";
    ImagesRemoved = "images-removed": "Number of images that a clear removed.";
    CacheRecordsRemoved = "cache-records-removed": "Number of records that a clear removed from the builder cache.";
    Verified = "verified": "`true` if the survey after a clear found nothing left.";
}
