//! Many sets of records as one, in which nothing is stale.
//!
//! # Why nothing is stale
//!
//! A record with inputs carries only its operation's digest. What it was applied to are its inputs, so its meaning is the
//! set of its **derivations**: choose one alternative of each input, and one derivation of that alternative's record. A
//! record without inputs has one derivation, its digest. A source claims of each derivation of a record that it leads to
//! the record's results. Two sources may claim different results of one derivation (somebody built it twice); both are
//! right, and the newer one is wanted. But a result must never be served for a derivation of which no source claims it.
//!
//! The merged graph is made of *nodes*, and each record of a source is *placed* in some of them. All along:
//!
//! 1. **The derivations of a node belong to each record placed in it.** So whatever result of theirs the node takes, a
//!    source claims it of every derivation of the node: *nothing is invented*.
//! 2. **No derivation belongs to two nodes**, and the derivations of a record are those of the nodes in which it is
//!    placed: *nothing is lost*. The node's result is the newest of the records placed in it.
//!
//! A record is added when its inputs are placed already. Its alternatives are then (selector, node) pairs, so its
//! derivations are a product of sets of such pairs, as each node's are. Where products share a tuple, that is, **where
//! digest and number of inputs are equal and every input shares a pair** (BuildKit's rule, `CacheChains.Add`), the node is
//! split in what is shared and what is not; the record is placed in the shared part, and in nodes of its own for the rest
//! of it. Where nothing differs, which is the rule, nothing is split: the record joins the node. BuildKit unites such
//! records instead, and so claims one's result for derivations that only the other had: a copy of `version.txt` that once
//! was `1` and once `2`, from a step that is not deterministic, would then stand for both contents.
//!
//! As no two nodes share a tuple, the same rule finds nothing to unite when BuildKit imports the graph. And there are no
//! loops: a new node leads to nodes that were there, a split one to where its original led.
//!
//! What does not fit `limits` is dropped. That loses derivations; it cannot invent one.
#![expect(clippy::indexing_slicing, reason = "all indexes are of vectors in here that only grow")]

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use super::limits::{LAYERS, LINKS, RECORDS};
use super::order::topological;
use super::{Chain, Digest, Layer, Link, Outcome, Record, Records, ResultRef};

/// The nodes in which one record is placed, at most. Only records made to be split need more.
const PLACES: usize = 16;
/// The parts in which one product falls, at most.
const PARTS: usize = 64;

impl Records {
    /// Merges sets of records, the most trusted first: it wins where two results are equally new, and where two sets
    /// describe a layer differently. Each record keeps its newest result only.
    ///
    /// The same sets in the same order give the same result, and a set merged with itself stays as it is.
    #[must_use]
    pub fn merge(sources: impl IntoIterator<Item = Self>) -> Self {
        let mut merge = Merge::default();
        for source in sources {
            merge.add(source);
        }
        merge.finish(|_| true)
    }

    /// The same, with the results of `older` where these records say none, or an older one, of what both know.
    ///
    /// A capture after an import knows the steps in between by their keys and not always by their layers: BuildKit 0.8 takes
    /// over what it needs. Of `older` only results count whose layers are among these records' own, in the same order; no
    /// derivation is added.
    #[must_use]
    pub fn completed_by(self, older: Self) -> Self {
        let blobs = |records: &Self, chain: usize| -> Vec<Digest> {
            let outcome = Outcome { chain, created_at: None };
            ResultRef { records, outcome }.layers_from_top().map(|layer| layer.blob).collect()
        };
        let own: BTreeSet<Vec<Digest>> = (0..self.chains.len()).map(|chain| blobs(&self, chain)).collect();
        let older =
            older.keep(|result| own.contains(&result.layers_from_top().map(|layer| layer.blob).collect::<Vec<_>>()));
        let count = self.records.len();
        let mut merge = Merge::default();
        merge.add(self);
        merge.add(older);
        merge.finish(|node| node.members.iter().any(|member| *member < count))
    }
}

/// A number for a selector.
type Selector = usize;
/// One alternative of an input: a selector and a node.
type Pair = (Selector, usize);
/// The alternatives of each input.
type Product = Vec<BTreeSet<Pair>>;

#[derive(Default)]
struct Merge {
    forest: Forest,
    selectors: HashMap<String, Selector>,
    nodes: Vec<Node>,
    /// The nodes without inputs.
    roots: HashMap<Digest, usize>,
    /// How many inputs an operation has. BuildKit does not compare it, but takes a record with fewer inputs for the one
    /// with more; no operation has both, so the first one counts.
    arity: HashMap<Digest, usize>,
    /// By input, alternative and digest: the nodes that have, or once had, this alternative.
    children: HashMap<(usize, Pair, Digest), Vec<usize>>,
    /// The newest result of each record that was added.
    results: Vec<Option<Outcome>>,
    /// The nodes in which each of them is placed.
    places: Vec<Vec<usize>>,
    links: usize,
}

struct Node {
    digest: Digest,
    inputs: Product,
    /// The records placed here, in order of their sources.
    members: Vec<usize>,
    /// Which nodes have this one as an alternative, of which input and with which selector.
    users: Vec<(usize, usize, Selector)>,
}

impl Merge {
    fn add(&mut self, source: Records) {
        let chains = self.forest.add(source.layers, &source.chains);
        let first = self.places.len();
        for record in source.records {
            let translated = record.results.iter().filter_map(|outcome| {
                let chain = chains.get(outcome.chain).copied().flatten()?;
                Some(Outcome { chain, ..*outcome })
            });
            let member = self.places.len();
            self.results.push(translated.reduce(newer));
            self.places.push(Vec::new());
            if record.inputs.is_empty() {
                self.place_root(record.digest, member);
            } else if *self.arity.entry(record.digest).or_insert(record.inputs.len()) == record.inputs.len() {
                let inputs = record.inputs.into_iter().map(|links| self.pairs(links, first)).collect();
                self.place(record.digest, inputs, member);
            }
        }
    }

    /// The alternatives of an input; `first` is the number of the source's first record.
    fn pairs(&mut self, links: Vec<Link>, first: usize) -> BTreeSet<Pair> {
        let mut pairs = BTreeSet::new();
        for link in links {
            let next = self.selectors.len();
            let selector = *self.selectors.entry(link.selector).or_insert(next);
            pairs.extend(self.places[first + link.record].iter().map(|node| (selector, *node)));
        }
        pairs
    }

    fn place_root(&mut self, digest: Digest, member: usize) {
        let node = match self.roots.entry(digest) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(_) => {
                let node = self.push(digest, Vec::new(), Vec::new());
                self.roots.extend(node.map(|node| (digest, node)));
                node
            }
        };
        node.into_iter().for_each(|node| self.join(node, member));
    }

    /// Places a record with inputs. If an input leads nowhere, because a limit took what it led to, so does the record.
    fn place(&mut self, digest: Digest, mut inputs: Product, member: usize) {
        if inputs.iter().any(BTreeSet::is_empty) {
            return;
        }
        let matches = self.matches(digest, &inputs);
        // What is left must not share anything with any node, so it is given up when not all of them are looked at.
        let mut rest = if matches.len() > PLACES { Vec::new() } else { vec![inputs.clone()] };
        for node in matches.into_iter().take(PLACES) {
            let shared = intersection(&self.nodes[node].inputs, &inputs);
            for new in self.split(node, &shared) {
                // The node may be an input of the record too.
                rest.iter_mut().chain([&mut inputs]).for_each(|product| add_part(product, node, new));
            }
            self.join(node, member);
            rest = rest.iter().flat_map(|part| difference(part, &shared)).take(PARTS).collect();
        }
        for part in rest {
            if let Some(node) = self.push(digest, part, Vec::new()) {
                self.join(node, member);
            }
        }
    }

    /// The nodes that share a tuple with a product, in order.
    fn matches(&self, digest: Digest, inputs: &Product) -> Vec<usize> {
        let candidates = |input: usize, pairs: &BTreeSet<Pair>| {
            let lists = pairs.iter().filter_map(|pair| self.children.get(&(input, *pair, digest)));
            lists.collect::<Vec<_>>()
        };
        let all = inputs.iter().enumerate().map(|(input, pairs)| candidates(input, pairs));
        // Every input must match, so the one with the fewest candidates is enough to look at.
        let fewest = all.min_by_key(|lists| lists.iter().map(|list| list.len()).sum::<usize>()).unwrap_or_default();
        let nodes: BTreeSet<usize> = fewest.into_iter().flatten().copied().collect();
        let overlaps =
            |node: &usize| self.nodes[*node].inputs.iter().zip(inputs).all(|(have, new)| !have.is_disjoint(new));
        nodes.into_iter().filter(overlaps).collect()
    }

    /// Leaves a node only the tuples in `shared`, which is a part of it, and moves the others to new nodes: with the
    /// same records placed in them, and an alternative wherever the node is one. Returns the new nodes.
    fn split(&mut self, node: usize, shared: &Product) -> Vec<usize> {
        let parts = difference(&self.nodes[node].inputs, shared);
        if parts.is_empty() {
            return Vec::new();
        }
        let (digest, members) = (self.nodes[node].digest, self.nodes[node].members.clone());
        let mut users = self.nodes[node].users.clone();
        users.retain(|(user, input, selector)| self.nodes[*user].inputs[*input].contains(&(*selector, node)));
        self.nodes[node].inputs.clone_from(shared);
        let new: Vec<usize> = parts.into_iter().filter_map(|part| self.push(digest, part, users.clone())).collect();
        for new in &new {
            members.iter().for_each(|member| self.join(*new, *member));
        }
        new
    }

    /// Adds a node that `users` have as an alternative; not beyond the limits.
    fn push(&mut self, digest: Digest, inputs: Product, users: Vec<(usize, usize, Selector)>) -> Option<usize> {
        let links = self.links + users.len() + inputs.iter().map(BTreeSet::len).sum::<usize>();
        if self.nodes.len() >= RECORDS || links > LINKS {
            return None;
        }
        self.links = links;
        let node = self.nodes.len();
        for (input, pair) in inputs.iter().enumerate().flat_map(|(input, pairs)| pairs.iter().map(move |p| (input, *p)))
        {
            self.children.entry((input, pair, digest)).or_default().push(node);
            self.nodes[pair.1].users.push((node, input, pair.0));
        }
        for (user, input, selector) in &users {
            self.nodes[*user].inputs[*input].insert((*selector, node));
            self.children.entry((*input, (*selector, node), self.nodes[*user].digest)).or_default().push(*user);
        }
        self.nodes.push(Node { digest, inputs, members: Vec::new(), users });
        Some(node)
    }

    fn join(&mut self, node: usize, member: usize) {
        self.nodes[node].members.push(member);
        self.places[member].push(node);
    }

    /// The records of the nodes that are `wanted`: with a node those that it leads to.
    fn finish(self, wanted: impl Fn(&Node) -> bool) -> Records {
        let needs = |node: usize| self.nodes[node].inputs.iter().flatten().map(|(_, source)| *source);
        // There is no loop, see above; were there one, there would be no records, and nothing stale.
        let Ok(mut order) = topological(self.nodes.len(), needs) else { return Records::default() };
        order.retain(|node| wanted(&self.nodes[*node]));
        let mut places = vec![0; self.nodes.len()];
        for (place, node) in order.iter().enumerate() {
            places[*node] = place;
        }
        let mut names = vec![String::new(); self.selectors.len()];
        for (name, selector) in self.selectors {
            names[selector] = name;
        }
        let link = |(selector, source): &Pair| Link { selector: names[*selector].clone(), record: places[*source] };
        let records = order.iter().map(|node| &self.nodes[*node]).map(|node| Record {
            digest: node.digest,
            inputs: node.inputs.iter().map(|pairs| sorted(pairs.iter().map(link).collect())).collect(),
            results: node.members.iter().filter_map(|member| self.results[*member]).reduce(newer).into_iter().collect(),
        });
        let records = records.collect();
        Records { layers: self.forest.layers, chains: self.forest.chains, records }.pruned()
    }
}

fn sorted(mut links: Vec<Link>) -> Vec<Link> {
    links.sort_unstable();
    links
}

/// The newer of two results, the first one if they are equally new.
fn newer(first: Outcome, second: Outcome) -> Outcome {
    if second.created_at > first.created_at { second } else { first }
}

/// Adds a part of a node that was split wherever the node is an alternative.
fn add_part(product: &mut Product, node: usize, part: usize) {
    for pairs in product {
        let parts: Vec<Pair> = pairs.iter().filter(|pair| pair.1 == node).map(|pair| (pair.0, part)).collect();
        pairs.extend(parts);
    }
}

fn intersection(one: &Product, other: &Product) -> Product {
    one.iter().zip(other).map(|(one, other)| one & other).collect()
}

/// The tuples of a product that are not in another one, as products that share nothing with each other: the n-th has the
/// common alternatives of the inputs before n, those of input n that the other has not, and all of the inputs after it.
fn difference(one: &Product, other: &Product) -> Vec<Product> {
    let mut parts = Vec::new();
    let mut rest = one.clone();
    for (input, taken) in other.iter().enumerate() {
        let common = &rest[input] & taken;
        let others = &rest[input] - taken;
        if !others.is_empty() {
            let mut part = rest.clone();
            part[input] = others;
            parts.push(part);
        }
        if common.is_empty() {
            return parts;
        }
        rest[input] = common;
    }
    parts
}

/// The layers of all sources.
#[derive(Default)]
struct Forest {
    layers: Vec<Layer>,
    by_blob: HashMap<Digest, usize>,
    chains: Vec<Chain>,
    by_chain: HashMap<Chain, usize>,
}

impl Forest {
    /// Where the chains of a source went: nowhere if one of their layers is known under another diff id, as one of the
    /// two descriptions is wrong.
    fn add(&mut self, layers: Vec<Layer>, chains: &[Chain]) -> Vec<Option<usize>> {
        let mut known = Vec::with_capacity(layers.len());
        for layer in layers {
            let next = self.layers.len();
            let index = *self.by_blob.entry(layer.blob).or_insert(next);
            let same = self.layers.get(index).is_none_or(|known| known.diff_id == layer.diff_id);
            known.push(same.then_some(index));
            if index == next {
                self.layers.push(layer);
            }
        }
        let mut places: Vec<Option<usize>> = Vec::with_capacity(chains.len());
        for chain in chains {
            let place = match chain.parent.map(|parent| places[parent]) {
                Some(None) => None,
                parent => known[chain.layer].map(|layer| Chain { layer, parent: parent.flatten() }),
            };
            places.push(place.and_then(|chain| self.grow(chain)));
        }
        places
    }

    fn grow(&mut self, chain: Chain) -> Option<usize> {
        let next = self.chains.len();
        match self.by_chain.entry(chain) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(_) if next == LAYERS => None,
            Entry::Vacant(new) => {
                self.chains.push(chain);
                Some(*new.insert(next))
            }
        }
    }
}
