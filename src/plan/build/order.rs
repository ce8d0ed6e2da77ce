//! Which build waits for which.

use crate::project::target::Target;

use super::PlanError;

/// For each target the indexes of those that it waits for. Names that no target has are nobody to wait for.
pub(super) fn dependencies(targets: &[Target]) -> Result<Vec<Vec<usize>>, PlanError> {
    let index_of = |name: &String| targets.iter().position(|target| target.name == *name);
    let after: Vec<Vec<usize>> =
        targets.iter().map(|target| target.after.iter().filter_map(index_of).collect()).collect();
    match cycle(&after) {
        None => Ok(after),
        Some(cycle) => {
            let name = |index: usize| targets.get(index).map(|target| target.name.clone()).unwrap_or_default();
            Err(PlanError::Cycle { cycle: cycle.into_iter().map(name).collect() })
        }
    }
}

/// For each target the indexes of those that are built before it, because both are made of the same context and Dockerfile
/// and are offered records.
///
/// Their steps are the same, as far as both need them. **Measured**: two solves that look for the same steps in the same
/// records at the same time get in each other's way. The one that is served first cancels what the other waits for, and
/// then Docker 28 runs steps again that were there, in both (`failed to get record … by blobchainid: context canceled`),
/// and Docker 20.10 fails (`failed to compute cache key: … not found`). One after the other, the second finds what the
/// first one did.
pub(super) fn turns(targets: &[Target], after: &[Vec<usize>], offered: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
    // Whoever waits for its turn and for what it needs waits for those before it in one order: never for itself.
    let mut order = Vec::with_capacity(targets.len());
    (0..targets.len()).for_each(|index| visit(index, after, &mut order));
    let mut turns = vec![Vec::new(); targets.len()];
    for (place, index) in order.iter().copied().enumerate().filter(|(_, index)| offered(*index)) {
        let (Some(target), Some(turn)) = (targets.get(index), turns.get_mut(index)) else { continue };
        let earlier = order.iter().copied().take(place).filter(|earlier| offered(*earlier));
        turn.extend(earlier.filter(|earlier| targets.get(*earlier).is_some_and(|other| other.has_sources_of(target))));
    }
    turns
}

/// What a build needs, and then the build. The dependencies have no cycle.
fn visit(index: usize, after: &[Vec<usize>], order: &mut Vec<usize>) {
    if !order.contains(&index) {
        after.get(index).into_iter().flatten().for_each(|needed| visit(*needed, after, order));
        order.push(index);
    }
}

/// A cycle, its first member again at the end.
fn cycle(after: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut done = vec![false; after.len()];
    (0..after.len()).find_map(|start| walk(start, after, &mut done, &mut Vec::new()))
}

fn walk(at: usize, after: &[Vec<usize>], done: &mut [bool], path: &mut Vec<usize>) -> Option<Vec<usize>> {
    if let Some(begin) = path.iter().position(|index| *index == at) {
        let members = path.iter().skip(begin).copied();
        return Some(members.chain(std::iter::once(at)).collect());
    }
    if done.get(at).copied().unwrap_or(true) {
        return None;
    }
    path.push(at);
    let found = after.get(at).into_iter().flatten().find_map(|next| walk(*next, after, done, path));
    path.pop();
    if let Some(done) = done.get_mut(at) {
        *done = true;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{cycle, turns};
    use crate::project::target::{Context, Dockerfile, Target};

    #[test]
    fn builds_of_the_same_steps_take_turns_if_both_are_offered_records() {
        let target = |name: &str, context: &str| {
            Target::new(name, Context::Local(context.into()), Dockerfile::Inline("FROM x".into()))
        };
        let targets = [target("a", "/1"), target("b", "/2"), target("c", "/1"), target("d", "/1")];
        let free = vec![vec![]; 4];
        assert_eq!(turns(&targets, &free, |_| true), [vec![], vec![], vec![0], vec![0, 2]]);
        assert_eq!(turns(&targets, &free, |index| index != 0), [vec![], vec![], vec![], vec![2]]);
        // The first one needs the last one: then that one is first.
        let first_needs_last = [vec![3], vec![], vec![], vec![]];
        assert_eq!(turns(&targets, &first_needs_last, |_| true), [vec![3], vec![], vec![3, 0], vec![]]);
        // Through another one, too.
        let through = [vec![1], vec![3], vec![], vec![]];
        assert_eq!(turns(&targets, &through, |_| true), [vec![3], vec![], vec![3, 0], vec![]]);
    }

    #[test]
    fn finds_cycles_only() {
        assert_eq!(cycle(&[vec![1], vec![2], vec![]]), None);
        assert_eq!(cycle(&[vec![1, 2], vec![2], vec![]]), None);
        assert_eq!(cycle(&[vec![1], vec![2], vec![1]]), Some(vec![1, 2, 1]));
        assert_eq!(cycle(&[vec![0]]), Some(vec![0, 0]));
    }
}
