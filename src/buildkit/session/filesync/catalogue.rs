//! What was announced to the builder: a number for every entry, kept small because a context may have many.

use super::stat::Content;

/// The entries of one transfer by their number, which is their place in the walk.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    entries: Vec<Record>,
    /// Every entry's own name, one after the other; a path is put together from its parents' names.
    names: String,
    /// The numbers of the directories that the last entry lies in, from the top.
    parents: Vec<usize>,
}

#[derive(Debug)]
struct Record {
    parent: Option<usize>,
    name_end: usize,
    content: Content,
}

impl Catalogue {
    /// Adds the next entry of the walk; the directories above it have been added before.
    pub(super) fn add(&mut self, path: &str, content: Content) {
        let (parent, name) = match path.rsplit_once('/') {
            Some((directory, name)) => {
                let depth = directory.split('/').count();
                self.parents.truncate(depth);
                (self.parents.last().copied(), name)
            }
            None => {
                self.parents.clear();
                (None, path)
            }
        };
        self.parents.push(self.entries.len());
        self.names.push_str(name);
        self.entries.push(Record { parent, name_end: self.names.len(), content });
    }

    /// What an entry whose content is asked for has; each can be asked for once.
    pub(super) fn take(&mut self, id: u32) -> Option<Content> {
        let record = self.entries.get_mut(usize::try_from(id).ok()?)?;
        match std::mem::replace(&mut record.content, Content::None) {
            Content::None => None,
            content => Some(content),
        }
    }

    /// The path of an entry; empty for a number that was not given out.
    pub(super) fn path(&self, id: u32) -> String {
        let mut names = Vec::new();
        let mut next = usize::try_from(id).ok();
        while let Some(index) = next {
            names.push(self.name(index));
            next = self.entries.get(index).and_then(|record| record.parent);
        }
        names.reverse();
        names.join("/")
    }

    fn name(&self, index: usize) -> &str {
        let start =
            index.checked_sub(1).and_then(|before| self.entries.get(before)).map_or(0, |record| record.name_end);
        let end = self.entries.get(index).map_or(start, |record| record.name_end);
        self.names.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Catalogue, Content};

    #[test]
    fn gives_back_every_path_once() {
        let mut catalogue = Catalogue::default();
        let entries = [
            ("a", Content::None),
            ("a/b", Content::None),
            ("a/b/c.txt", Content::File),
            ("a/d", Content::File),
            ("e", Content::Empty),
            ("ä", Content::None),
            ("ä/ö", Content::File),
        ];
        for (path, content) in entries {
            catalogue.add(path, content);
        }
        for (id, (path, content)) in entries.into_iter().enumerate() {
            let id = u32::try_from(id).unwrap();
            assert_eq!(catalogue.path(id), path);
            assert_eq!(catalogue.take(id), (content != Content::None).then_some(content));
            assert_eq!(catalogue.take(id), None);
        }
        assert_eq!(catalogue.take(99), None);
        assert_eq!(catalogue.path(99), "");
    }
}
