//! Build arguments and base images.

use std::collections::BTreeMap;

use super::keyed::{Keyed, Of, Salt};
use crate::project::dockerfile::{Arg, Dockerfile};
use crate::project::target::{SecretSource, Target};

/// The arguments that a build is given, and the defaults of those above the first `FROM` that it is not given.
///
/// All that are given, because a base image's `ONBUILD ARG` may declare one that the Dockerfile does not. One whose
/// value holds a secret of the build is left out.
pub fn arguments(salt: &Salt, target: &Target, dockerfile: Option<&Dockerfile>) -> BTreeMap<String, Keyed> {
    let defaults = dockerfile.map(Dockerfile::global_args).unwrap_or_default().iter();
    let defaults = defaults.filter_map(|arg| Some((&arg.name, arg.default.as_ref()?)));
    // What is given stands where both are: later entries replace earlier ones.
    defaults
        .chain(&target.build_args)
        .filter(|(_, value)| !holds_secret(target, value))
        .map(|(name, value)| (name.clone(), salt.keyed(Of::Argument, &[name.as_bytes(), value.as_bytes()])))
        .collect()
}

fn holds_secret(target: &Target, value: &str) -> bool {
    target.secrets.iter().any(|secret| match &secret.source {
        SecretSource::Value(secret) => !secret.is_empty() && value.contains(secret.expose()),
        SecretSource::File(_) => false,
    })
}

/// Where an argument is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declaration {
    /// The stage's place from 0; absent above the first `FROM`.
    pub stage: Option<usize>,
    /// The line, from 1.
    pub line: u32,
}

/// Every `ARG` of a name: only what stands below one of them in its stage can depend on its value.
pub fn declarations(dockerfile: &Dockerfile, name: &str) -> Vec<Declaration> {
    let of = |stage: Option<usize>, args: &[Arg]| -> Vec<Declaration> {
        let args = args.iter().filter(|arg| arg.name == name);
        args.map(|arg| Declaration { stage, line: arg.line }).collect()
    };
    let stages = dockerfile.stages().iter().enumerate();
    let stages = stages.flat_map(|(index, stage)| of(Some(index), stage.args()));
    of(None, dockerfile.global_args()).into_iter().chain(stages).collect()
}

/// The base images of a target: their names as the Dockerfile writes them to the names that they stand for.
///
/// The name as written is the one to keep: filled in it may show an argument's value. `build_args` may hold the
/// platform arguments too. See [`Dockerfile::image_references`] for what counts.
pub fn bases(
    dockerfile: &Dockerfile,
    target: Option<&str>,
    build_args: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let stages = dockerfile.stages();
    let written = |image: &str| {
        let stage = stages.iter().find(|stage| dockerfile.base_of(stage, build_args).as_deref() == Some(image));
        stage.map_or_else(|| image.to_owned(), |stage| stage.base().to_owned())
    };
    let images = dockerfile.image_references(target, build_args).into_iter();
    images.map(|image| (written(&image), image)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Declaration, arguments, bases, declarations};
    use crate::project::dockerfile::Dockerfile;
    use crate::project::target::{BuildSecret, Context, Dockerfile as Source, SecretSource, Target};
    use crate::secret::Secret;

    const DOCKERFILE: &str = "ARG TAG=1\nARG BARE\nFROM base:$TAG AS a\nARG COMMIT\nFROM scratch\nARG TAG\nARG COMMIT=x\n\
                              COPY --from=a / /\nCOPY --from=tools:2 / /\n";

    fn target(args: &[(&str, &str)]) -> Target {
        let mut target = Target::new("app", Context::Local("/w".into()), Source::Inline(String::new()));
        target.build_args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        target
    }

    #[test]
    fn what_is_given_stands_before_a_default() {
        let salt = "00".repeat(16).parse().unwrap();
        let dockerfile = Dockerfile::parse(DOCKERFILE).unwrap();
        let of = |args: &[(&str, &str)]| arguments(&salt, &target(args), Some(&dockerfile));
        assert_eq!(of(&[]).into_keys().collect::<Vec<_>>(), ["TAG"]);
        assert_eq!(of(&[("TAG", "1")]), of(&[]));
        assert_ne!(of(&[("TAG", "2")]), of(&[]));
        assert_eq!(of(&[("TAG", "2"), ("ELSE", "")]).into_keys().collect::<Vec<_>>(), ["ELSE", "TAG"]);
    }

    #[test]
    fn a_value_with_a_secret_is_left_out() {
        let salt = "00".repeat(16).parse().unwrap();
        let mut target = target(&[("URL", "https://hunter2@host"), ("EMPTY", "")]);
        for (id, value) in [("token", "hunter2"), ("none", "")] {
            let source = SecretSource::Value(Secret::new(value));
            target.secrets.push(BuildSecret { id: id.to_owned(), source });
        }
        assert_eq!(arguments(&salt, &target, None).into_keys().collect::<Vec<_>>(), ["EMPTY"]);
    }

    #[test]
    fn knows_every_declaration() {
        let dockerfile = Dockerfile::parse(DOCKERFILE).unwrap();
        let found = |name| {
            declarations(&dockerfile, name)
                .iter()
                .map(|Declaration { stage, line }| (*stage, *line))
                .collect::<Vec<_>>()
        };
        assert_eq!(found("TAG"), [(None, 1), (Some(1), 6)]);
        assert_eq!(found("COMMIT"), [(Some(0), 4), (Some(1), 7)]);
        assert!(found("ELSE").is_empty());
    }

    #[test]
    fn names_bases_as_they_are_written() {
        let dockerfile = Dockerfile::parse(DOCKERFILE).unwrap();
        let args = [("TAG".to_owned(), "private".to_owned())].into();
        let found: Vec<_> = bases(&dockerfile, None, &args).into_iter().collect();
        let pair = |written: &str, image: &str| (written.to_owned(), image.to_owned());
        assert_eq!(found, [pair("base:$TAG", "base:private"), pair("tools:2", "tools:2")]);
    }
}
