//! The plan of a clear as text: what a dry run shows.

use std::fmt;

use bytesize::ByteSize;

use super::{CacheKind, ClearPlan, ImageAction, PlannedBuilder, PlannedImage, RecordSum};

/// As many digits of an id as docker shows.
const SHORT_ID: usize = 12;

impl fmt::Display for ClearPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut heading = None;
        for image in &self.images {
            let now = heading_of(image);
            if heading.replace(now) != Some(now) {
                writeln!(f, "{now}")?;
            }
            writeln!(f, "  {image}")?;
        }
        if let Some(builder) = self.builder {
            builder.fmt(f)?;
        }
        if !self.tombstones.is_empty() {
            let repositories: Vec<_> = self.tombstones.iter().map(String::as_str).collect();
            writeln!(f, "The next build will know that these were cleared: {}", repositories.join(", "))?;
        }
        if self.is_empty() { writeln!(f, "Nothing to remove.") } else { Ok(()) }
    }
}

fn heading_of(image: &PlannedImage) -> &'static str {
    match image.cache.as_ref().map(|cache| cache.kind) {
        None => "Images",
        Some(CacheKind::Stage | CacheKind::Capture) => "Stage images of the image cache",
        Some(CacheKind::Ledger) => "Ledgers of the image cache",
    }
}

impl fmt::Display for PlannedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name == self.id { short(&self.id) } else { &self.name };
        let verb = match self.action {
            ImageAction::Remove => "remove",
            ImageAction::Untag { .. } => "untag",
            ImageAction::Keep(_) => "keep",
        };
        write!(f, "{verb:<6}  {name}")?;
        if let Some(of) = self.cache.as_ref().map(|cache| &cache.of).filter(|of| !of.is_empty()) {
            write!(f, " ({of})")?;
        }
        match &self.action {
            // The image is counted once, under the first of its names.
            ImageAction::Remove if self.bytes == 0 => Ok(()),
            ImageAction::Remove => write!(f, "  ({})", size(self.bytes)),
            ImageAction::Untag { remains } => write!(f, "  (the image stays as {remains})"),
            ImageAction::Keep(reason) => write!(f, "  ({reason})"),
        }
    }
}

impl fmt::Display for PlannedBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Builder cache of the engine, whichever project it is of")?;
        if self.remove.count > 0 {
            writeln!(f, "  remove  {} ({})", self.remove, size(self.remove.bytes))?;
        }
        if self.in_use.count > 0 {
            writeln!(f, "  keep    {} ({}, in use by another build)", self.in_use, size(self.in_use.bytes))?;
        }
        if self.remove.count == 0 && self.in_use.count == 0 { writeln!(f, "  empty") } else { Ok(()) }
    }
}

impl fmt::Display for RecordSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} builder {}", self.count, if self.count == 1 { "record" } else { "records" })
    }
}

pub(super) fn size(bytes: u64) -> impl fmt::Display {
    ByteSize::b(bytes).display().si()
}

fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..SHORT_ID).unwrap_or(hex)
}
