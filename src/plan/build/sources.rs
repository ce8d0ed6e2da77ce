//! Where the hits of a build can come from, the builder's own records aside.

use crate::outcome::build::CacheSource as Origin;
use crate::project::target::{CacheSource, Target};

/// Where they come from; nothing if the builder is offered nothing. `offered` says where the records come from that we offer
/// it ourselves; what is left in `cache_from` is imported from elsewhere.
pub(super) fn origin(target: &Target, offered: Option<Origin>) -> Option<Origin> {
    let imports = target.cache_from.iter().map(|source| match source {
        CacheSource::BuildKit(option) if option.kind == "local" => Origin::Image,
        CacheSource::Image(_) | CacheSource::BuildKit(_) => Origin::Registry,
    });
    imports.chain(offered).reduce(|one, other| if one == other { one } else { Origin::Mixed })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Origin, origin};
    use crate::project::target::{CacheSource, Context, Dockerfile, Target};

    #[test]
    fn one_origin_or_a_mixture() {
        let context = Context::Local(PathBuf::from("/w"));
        let target = Target::new("app", context, Dockerfile::InContext("Dockerfile".to_owned()));
        let with_import =
            Target { cache_from: vec![CacheSource::Image("ghcr.io/org/app".parse().unwrap())], ..target.clone() };
        assert_eq!(origin(&target, None), None);
        assert_eq!(origin(&target, Some(Origin::Image)), Some(Origin::Image));
        assert_eq!(origin(&with_import, None), Some(Origin::Registry));
        assert_eq!(origin(&with_import, Some(Origin::Image)), Some(Origin::Mixed));
    }
}
