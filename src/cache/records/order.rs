//! An order in which everything comes after what it needs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Link, Record};

/// The node, by index, that needs itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loop(pub(super) usize);

/// The indexes `0..count`, each after those that `needs` names for it (all below `count`; others are ignored). What is
/// in such an order already stays in it. Without recursion, as the depth is the input's choice.
pub(super) fn topological<I: Iterator<Item = usize>>(
    count: usize,
    needs: impl Fn(usize) -> I,
) -> Result<Vec<usize>, Loop> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    fn mark(states: &mut [State], node: usize, state: State) {
        if let Some(slot) = states.get_mut(node) {
            *slot = state;
        }
    }

    let mut states = vec![State::New; count];
    let mut order = Vec::with_capacity(count);
    let mut stack = Vec::new();
    for start in 0..count {
        if states.get(start) == Some(&State::New) {
            stack.push((start, needs(start)));
            mark(&mut states, start, State::Open);
        }
        while let Some((node, needed)) = stack.last_mut() {
            let node = *node;
            match needed.next() {
                Some(next) => match states.get(next) {
                    Some(State::New) => {
                        mark(&mut states, next, State::Open);
                        stack.push((next, needs(next)));
                    }
                    Some(State::Open) => return Err(Loop(next)),
                    Some(State::Done) | None => {}
                },
                None => {
                    mark(&mut states, node, State::Done);
                    order.push(node);
                    stack.pop();
                }
            }
        }
    }
    Ok(order)
}

/// These records in such an order, their links after them.
pub(super) fn ordered(records: &[Record]) -> Result<Vec<Record>, Loop> {
    let inputs_of = |index: usize| records.get(index).into_iter().flat_map(|record| &record.inputs);
    let order = topological(records.len(), |index| inputs_of(index).flatten().map(|link| link.record))?;
    let places: BTreeMap<usize, usize> = order.iter().copied().zip(0..).collect();
    let moved = |link: &Link| Some(Link { selector: link.selector.clone(), record: *places.get(&link.record)? });
    let sorted = |links: &Vec<Link>| links.iter().filter_map(moved).collect::<BTreeSet<Link>>().into_iter().collect();
    let records = order.iter().filter_map(|index| records.get(*index)).map(|record| Record {
        digest: record.digest,
        inputs: record.inputs.iter().map(sorted).collect(),
        results: record.results.clone(),
    });
    Ok(records.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(needs: &[&[usize]]) -> Result<Vec<usize>, Loop> {
        topological(needs.len(), |node| needs[node].iter().copied())
    }

    #[test]
    fn what_is_needed_comes_first() {
        assert_eq!(order(&[]), Ok(vec![]));
        assert_eq!(order(&[&[1, 2], &[2], &[]]), Ok(vec![2, 1, 0]));
        assert_eq!(order(&[&[], &[0], &[0], &[2, 1]]), Ok(vec![0, 1, 2, 3]));
    }

    #[test]
    fn loops_are_found() {
        assert_eq!(order(&[&[0]]), Err(Loop(0)));
        assert_eq!(order(&[&[], &[2], &[3], &[1]]), Err(Loop(1)));
    }

    #[test]
    fn a_deep_chain_needs_no_stack() {
        let count = 1_000_000;
        let order = topological(count, |node| (node + 1 < count).then_some(node + 1).into_iter()).unwrap();
        assert_eq!(order.first(), Some(&(count - 1)));
    }
}
