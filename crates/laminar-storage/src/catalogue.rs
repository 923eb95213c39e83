//! Which operator has which id. The truth is in namespace 0 of the state itself; this is what it says.

use std::collections::{BTreeMap, BTreeSet};

use laminar_vfs::planted;

use crate::keyspace::Namespace;

/// The namespace of the catalogue.
pub(crate) const CATALOGUE: Namespace = Namespace(0);
/// The name of the operator that a store's own methods use.
pub(crate) const DEFAULT_OPERATOR: &str = "";

/// An operator of a store, for quick access: see [`WalStateStore::operator_by_id`](crate::WalStateStore::operator_by_id). Stays valid as
/// long as the store is open, also when the operator is cleared; for another store, or the next opening of the same, it means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperatorId {
    /// What the opening of the store that gave it out is told by.
    tag: u32,
    index: u32,
}

const _: () = assert!(size_of::<OperatorId>() <= 8, "a handle is passed in a register");

/// Names and ids.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    /// The namespace of each operator: looked up with every access, so they lie close together.
    namespaces: Vec<Namespace>,
    /// The name of each.
    names: Vec<Box<str>>,
    by_name: BTreeMap<Box<str>, OperatorId>,
    /// Of the handles that are given out.
    tag: u32,
    /// The operator with the empty name: what most stores work on is not searched for each time.
    default: Option<OperatorId>,
    /// Asked for each entry that a sweep looks at, mostly of very few: a search is faster than a hash.
    live: BTreeSet<Namespace>,
    greatest: u32,
}

impl Catalogue {
    /// Of no operators yet. The tag is drawn anew for each opening of a store, so that its handles are told from those of others.
    pub(crate) fn tagged(tag: u32) -> Self {
        Self { tag, ..Self::default() }
    }

    /// Whether a handle is one of this catalogue's.
    #[inline]
    pub(crate) fn gave_out(&self, operator: OperatorId) -> bool {
        operator.tag == self.tag
    }

    /// The operator of this name.
    pub(crate) fn find(&self, name: &str) -> Option<OperatorId> {
        self.by_name.get(name).copied()
    }

    /// The operator that a store's own methods use.
    #[inline]
    pub(crate) fn default_operator(&self) -> Option<OperatorId> {
        self.default
    }

    /// The namespace that an operator's keys are in now.
    #[inline]
    pub(crate) fn namespace(&self, operator: OperatorId) -> Option<Namespace> {
        self.namespaces.get(operator.index as usize).copied()
    }

    /// An operator's name.
    pub(crate) fn name(&self, operator: OperatorId) -> Option<&str> {
        self.names.get(operator.index as usize).map(|name| &**name)
    }

    /// All names, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(|name| &**name)
    }

    /// A namespace that was never given out, if there is one left.
    pub(crate) fn fresh_namespace(&self) -> Option<Namespace> {
        if planted("namespace-given-out-again") {
            return (1..).map(Namespace).find(|namespace| !self.live.contains(namespace));
        }
        Some(Namespace(self.greatest + 1)).filter(|&namespace| self.can_have(namespace))
    }

    /// Whether an entry with this namespace can be one of a catalogue in which nothing else is yet than what this one has: each operator has
    /// one of its own, and the greatest number is none.
    pub(crate) fn can_have(&self, namespace: Namespace) -> bool {
        namespace != CATALOGUE && namespace.0 < u32::MAX && !self.live.contains(&namespace)
    }

    /// Takes over what the catalogue's entry for `name` says.
    pub(crate) fn set(&mut self, name: &str, namespace: Namespace) -> OperatorId {
        self.greatest = self.greatest.max(namespace.0);
        self.live.insert(namespace);
        if let Some(&operator) = self.by_name.get(name) {
            if let Some(own) = self.namespaces.get_mut(operator.index as usize) {
                if *own != namespace {
                    self.live.remove(own);
                }
                *own = namespace;
            }
            return operator;
        }
        #[expect(clippy::cast_possible_truncation, reason = "each operator has a namespace of its own, of 32 bits")]
        let operator = OperatorId { tag: self.tag, index: self.namespaces.len() as u32 };
        self.namespaces.push(namespace);
        self.names.push(name.into());
        self.by_name.insert(name.into(), operator);
        if name == DEFAULT_OPERATOR {
            self.default = Some(operator);
        }
        operator
    }

    /// Whether entries under `namespace` are part of the state.
    pub(crate) fn is_live(&self, namespace: Namespace) -> bool {
        namespace == CATALOGUE || self.live.contains(&namespace)
    }
}

#[cfg(test)]
mod tests {
    use laminar_vfs::sim::SimDisk;
    use laminar_wal::BatchPart;

    use super::*;
    use crate::{StateStore, StoreOptions, WalStateStore, format};

    #[test]
    fn a_cleared_operator_keeps_its_handle_and_never_gets_an_old_namespace() {
        let mut catalogue = Catalogue::default();
        let a = catalogue.set("a", Namespace(1));
        let b = catalogue.set("b", Namespace(2));
        assert_eq!(catalogue.fresh_namespace(), Some(Namespace(3)));
        assert_eq!(catalogue.set("a", Namespace(3)), a);
        assert_eq!(catalogue.namespace(a), Some(Namespace(3)));
        assert_eq!(catalogue.namespace(b), Some(Namespace(2)));
        assert_eq!(catalogue.fresh_namespace(), Some(Namespace(4)));
        assert_eq!([0, 1, 2, 3].map(|id| catalogue.is_live(Namespace(id))), [true, false, true, true]);
        assert_eq!(catalogue.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(catalogue.find("c"), None);
        assert_eq!(catalogue.default_operator(), None);
        let default = catalogue.set("", Namespace(4));
        assert_eq!(catalogue.default_operator(), Some(default));
    }

    /// Opens a store into whose log someone has written these entries of the catalogue.
    fn opened(entries: &[(&str, u32)]) -> crate::Result<()> {
        let disk = SimDisk::new(1);
        let open = || WalStateStore::open("/store", StoreOptions::new().env(disk.env()));
        let (mut store, _) = open().unwrap();
        store.put(b"of", b"namespace 1").unwrap();
        store.commit().unwrap().wait().unwrap();
        let mut first = None;
        for (name, namespace) in entries {
            let (name, value) = (name.as_bytes(), namespace.to_le_bytes());
            let put = |into: &mut [u8]| format::encode_put(into, CATALOGUE.id(), name, &value);
            let range = store.wal.append_with(format::put_len(name, &value), BatchPart::More, put).unwrap();
            first = first.or(Some(range.start));
        }
        let mut commit = Vec::new();
        format::encode_commit(&mut commit, first, &BTreeMap::new());
        store.wal.append(&commit).unwrap();
        store.wal.sync().unwrap();
        drop(store);
        open().map(|_| ())
    }

    #[test]
    fn entries_that_no_store_writes_are_refused() {
        opened(&[("a", 2), ("b", 9), ("", 10)]).unwrap();
        // The catalogue's own, the last there is, one that another has.
        for entries in [&[("a", 0)][..], &[("a", u32::MAX)], &[("a", 1)], &[("a", 7), ("b", 7)]] {
            let error = opened(entries).unwrap_err();
            assert!(matches!(error, crate::Error::Corrupt { .. }), "{entries:?}: {error}");
        }
    }

    #[test]
    fn the_last_namespace_is_given_out_once() {
        let mut catalogue = Catalogue::default();
        catalogue.set("a", Namespace(u32::MAX - 2));
        assert_eq!(catalogue.fresh_namespace(), Some(Namespace(u32::MAX - 1)));
        catalogue.set("a", Namespace(u32::MAX - 1));
        assert_eq!(catalogue.fresh_namespace(), None);
    }

    #[test]
    fn without_a_namespace_left_a_clear_is_refused_and_the_rest_goes_on() {
        let disk = SimDisk::new(1);
        let open = || WalStateStore::open("/store", StoreOptions::new().env(disk.env())).unwrap().0;
        let mut store = open();
        store.catalogue.set("before", Namespace(u32::MAX - 2));
        store.put(b"k", b"v").unwrap();
        assert!(matches!(store.clear(), Err(crate::Error::NamespacesUsedUp)));
        assert!(matches!(store.operator("another").map(drop), Err(crate::Error::NamespacesUsedUp)));
        store.put(b"l", b"v").unwrap();
        store.commit().unwrap().wait().unwrap();
        drop(store);
        let mut store = open();
        assert_eq!(store.len().unwrap(), 2);
        assert!(matches!(store.clear(), Err(crate::Error::NamespacesUsedUp)));
    }

    #[test]
    fn handles_are_told_apart_by_their_tags() {
        let (mut one, mut other) = (Catalogue::tagged(1), Catalogue::tagged(2));
        let (of_one, of_other) = (one.set("a", Namespace(1)), other.set("a", Namespace(1)));
        assert!(one.gave_out(of_one) && other.gave_out(of_other));
        assert!(!one.gave_out(of_other) && !other.gave_out(of_one));
        assert_eq!(one.find("a"), Some(of_one));
    }
}
