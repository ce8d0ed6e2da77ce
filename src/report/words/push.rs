//! What is said of pushes.

use crate::outcome::push::{NotPushed, PushProblem, Pushes, Withheld};
use crate::report::units;

/// So many tags are named.
const SHOWN: usize = 4;

/// What the headline adds: `, pushed`.
pub(crate) fn headline(pushes: &Pushes) -> String {
    let (pushed, missing) = (pushes.pushed().count(), pushes.missing().count());
    match (pushes, pushed, missing) {
        (Pushes::NotAsked, ..) => String::new(),
        (Pushes::Withheld(_), ..) | (Pushes::Tried(_), 0, _) => ", not pushed".to_owned(),
        (Pushes::Tried(_), _, 0) => ", pushed".to_owned(),
        (Pushes::Tried(_), _, missing) => {
            format!(", {missing} of {} not pushed", units::count(pushed.saturating_add(missing), "tag"))
        }
    }
}

/// `Pushed a, b and 3 more in 3.2 s.`; nothing where nothing was.
pub(crate) fn done(pushes: &Pushes, name: impl Fn(&str) -> String) -> Option<String> {
    let tags: Vec<String> = pushes.pushed().map(|(tag, _)| tag.to_owned()).collect();
    let images = pushes.tried().iter().filter(|image| image.digest().is_some());
    let time = images.map(|image| image.interval.length()).sum();
    (!tags.is_empty()).then(|| format!("Pushed {} in {}.", super::list(&tags, SHOWN, name), units::duration(time)))
}

/// Why nothing was pushed, where that was decided before any was.
pub(crate) fn withheld(pushes: &Pushes, name: impl Fn(&str) -> String) -> Option<String> {
    match pushes {
        Pushes::Withheld(Withheld::NotBuilt) => {
            Some("Nothing was pushed, because not every image was built.".to_owned())
        }
        Pushes::Withheld(Withheld::Stale) => {
            Some(format!("Nothing was pushed, because {} is not met.", name("fail-if-stale")))
        }
        Pushes::NotAsked | Pushes::Tried(_) => None,
    }
}

/// One tag whose push failed. `sentence` writes what the engine said, `name` the tag.
pub(crate) fn problem(
    tag: &str,
    problem: &PushProblem,
    name: impl Fn(&str) -> String,
    sentence: impl Fn(&str) -> String,
) -> String {
    format!("{} is built and was not pushed: {}", name(tag), sentence(&problem.message))
}

/// The tags that were not tried, if there are any: `Not pushed either: a and b`.
pub(crate) fn untried(pushes: &Pushes, name: impl Fn(&str) -> String) -> Option<String> {
    let untried = |(tag, why): (&str, &NotPushed)| (!matches!(why, NotPushed::Failed(_))).then(|| tag.to_owned());
    let tags: Vec<String> = pushes.missing().filter_map(untried).collect();
    let either = if pushes.problems().next().is_some() { " either" } else { "" };
    (!tags.is_empty()).then(|| format!("Not pushed{either}: {}.", super::list(&tags, SHOWN, name)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{done, headline, problem, untried, withheld};
    use crate::outcome::build::Interval;
    use crate::outcome::push::{ImagePush, NotPushed, PushProblem, Pushes, TagPush, Withheld};

    fn tried(results: &[Result<&str, &str>]) -> Pushes {
        let tags = results.iter().enumerate().map(|(index, result)| TagPush {
            tag: format!("r.io/app:{index}"),
            result: result.map(str::to_owned).map_err(|message| match message {
                "cancelled" => NotPushed::Cancelled,
                "" => NotPushed::NotTried { because: "r.io/app:0".to_owned() },
                message => NotPushed::Failed(PushProblem { message: message.to_owned(), help: None }),
            }),
        });
        let interval = Interval { start: Duration::from_secs(1), end: Duration::from_secs(4) };
        Pushes::Tried(vec![ImagePush { image: "app".into(), interval, tags: tags.collect() }])
    }

    #[test]
    fn every_end_has_its_words() {
        let name = |text: &str| format!("'{text}'");
        let good = tried(&[Ok("sha256:a"), Ok("sha256:a")]);
        assert_eq!(headline(&good), ", pushed");
        assert_eq!(done(&good, name).unwrap(), "Pushed 'r.io/app:0' and 'r.io/app:1' in 3.0 s.");
        let half = tried(&[Ok("sha256:a"), Err("denied")]);
        assert_eq!(headline(&half), ", 1 of 2 tags not pushed");
        let (tag, why) = half.problems().next().unwrap();
        assert_eq!(problem(tag, why, name, str::to_owned), "'r.io/app:1' is built and was not pushed: denied");
        assert_eq!(untried(&half, name), None);
        let first = tried(&[Err("denied"), Err(""), Err("")]);
        assert_eq!(headline(&first), ", not pushed");
        assert_eq!(untried(&first, name).unwrap(), "Not pushed either: 'r.io/app:1' and 'r.io/app:2'.");
        let stopped = tried(&[Ok("sha256:a"), Err("cancelled")]);
        assert_eq!(headline(&stopped), ", 1 of 2 tags not pushed");
        assert_eq!(untried(&stopped, name).unwrap(), "Not pushed: 'r.io/app:1'.");
        let none = tried(&[Err("denied")]);
        assert_eq!((headline(&none).as_str(), done(&none, name)), (", not pushed", None));
        assert_eq!(headline(&Pushes::NotAsked), "");
        assert_eq!(headline(&Pushes::Withheld(Withheld::Stale)), ", not pushed");
        assert!(withheld(&Pushes::Withheld(Withheld::NotBuilt), name).unwrap().contains("not every image"));
        assert!(withheld(&Pushes::Withheld(Withheld::Stale), name).unwrap().contains("'fail-if-stale' is not met"));
        assert_eq!(withheld(&good, name), None);
    }
}
