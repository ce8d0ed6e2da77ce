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
    use super::cycle;

    #[test]
    fn finds_cycles_only() {
        assert_eq!(cycle(&[vec![1], vec![2], vec![]]), None);
        assert_eq!(cycle(&[vec![1, 2], vec![2], vec![]]), None);
        assert_eq!(cycle(&[vec![1], vec![2], vec![1]]), Some(vec![1, 2, 1]));
        assert_eq!(cycle(&[vec![0]]), Some(vec![0, 0]));
    }
}
