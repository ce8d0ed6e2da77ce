//! The plan for a package as text: what a dry run shows.

use std::fmt;

use bytesize::ByteSize;

use super::{PackagePlan, VersionAction};

impl fmt::Display for PackagePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Versions of the package {}", self.package)?;
        for planned in &self.versions {
            let name = self.package.name_of(&planned.version);
            match &planned.action {
                VersionAction::Remove { with, .. } => {
                    let with = with.as_ref().map(|with| format!(" with {with}")).unwrap_or_default();
                    writeln!(f, "  remove  {name}{with}  ({})", ByteSize::b(planned.bytes).display().si())?;
                }
                VersionAction::Keep(reason) => writeln!(f, "  keep    {name}  ({reason})")?,
            }
        }
        if self.versions.is_empty() { writeln!(f, "  none that is named") } else { Ok(()) }
    }
}
