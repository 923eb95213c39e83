//! Changes of names that were not synced yet: which of them may survive a power cut without which others.

use std::ffi::OsStr;
use std::sync::Arc;

use super::file::Kept;
use super::random::mix;
use super::state::{Node, State};
use super::tree::{DirNode, Ino, Name};

/// What a name is given to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Placing {
    File,
    Directory,
}

/// One name that comes to stand for something else, or for nothing.
#[derive(Clone)]
struct Set {
    dir: Ino,
    name: Name,
    to: Option<Ino>,
}

/// A change of names that happens whole or not at all.
#[derive(Clone)]
pub(super) struct NameOp {
    /// The name that is given; applied first, so that a renamed file is never without a name.
    gives: Option<Set>,
    /// The name that is taken away.
    takes: Option<Set>,
    placing: Option<Placing>,
    /// The directory that this removes.
    removes_dir: Option<Ino>,
    /// Whether it moves something from one directory to another.
    crosses: bool,
    /// Of a move between directories: whether the directory it came from was synced since.
    source_synced: bool,
    /// The same of the directory it went to.
    target_synced: bool,
}

impl NameOp {
    fn new(gives: Option<Set>, takes: Option<Set>) -> Self {
        Self {
            gives,
            takes,
            placing: None,
            removes_dir: None,
            crosses: false,
            source_synced: false,
            target_synced: false,
        }
    }

    pub(super) fn place(dir: Ino, name: &OsStr, ino: Ino, placing: Placing) -> Self {
        let gives = Set { dir, name: name.into(), to: Some(ino) };
        Self { placing: Some(placing), ..Self::new(Some(gives), None) }
    }

    pub(super) fn remove(dir: Ino, name: &OsStr, removes_dir: Option<Ino>) -> Self {
        let takes = Set { dir, name: name.into(), to: None };
        Self { removes_dir, ..Self::new(None, Some(takes)) }
    }

    pub(super) fn rename(
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        ino: Ino,
        placing: Placing,
        removes_dir: Option<Ino>,
    ) -> Self {
        let gives = Set { dir: to.0, name: to.1.into(), to: Some(ino) };
        let takes = Set { dir: from.0, name: from.1.into(), to: None };
        let crosses = from.0 != to.0;
        Self { placing: Some(placing), removes_dir, crosses, ..Self::new(Some(gives), Some(takes)) }
    }

    fn sets(&self) -> impl Iterator<Item = &Set> {
        self.gives.iter().chain(&self.takes)
    }

    fn is_within(&self, dir: Ino) -> bool {
        self.sets().all(|set| set.dir == dir)
    }

    fn touches(&self, dir: Ino) -> bool {
        self.sets().any(|set| set.dir == dir)
    }

    /// Whether this can't survive without `earlier`: changes of one name happen in order; a removed directory was
    /// empty by then; and what moves to another directory is not lost because that directory, or one above it, is.
    fn needs(&self, earlier: &Self) -> bool {
        let same_name = |a: &Set| earlier.sets().any(|b| a.dir == b.dir && a.name == b.name);
        self.sets().any(same_name)
            || self.removes_dir.is_some_and(|dir| earlier.touches(dir))
            || (self.crosses && earlier.placing == Some(Placing::Directory))
    }

    pub(super) fn hash(&self) -> u64 {
        let syncs = u64::from(self.source_synced) << 1 | u64::from(self.target_synced);
        self.sets().fold(syncs, |sum, set| {
            let place = mix(set.dir as u64) ^ set.name.hash();
            mix(sum ^ place).wrapping_add(set.to.map_or(0, |ino| mix(ino as u64)))
        })
    }
}

fn edit(dir: &mut Node, change: impl FnOnce(&mut DirNode)) {
    if let Node::Dir(dir) = dir {
        change(Arc::make_mut(dir));
    }
}

impl State {
    /// Changes names as processes see them, and remembers the change as not durable.
    pub(super) fn apply(&mut self, op: NameOp) {
        for set in op.sets() {
            let mut old = None;
            self.edit_dir(set.dir, |dir| old = dir.cache.set(&set.name, set.to));
            if let Some(new) = set.to {
                self.link(new);
            }
            if let Some(old) = old {
                self.unlink(old);
            }
        }
        self.names.push(op);
    }

    pub(super) fn edit_dir(&mut self, ino: Ino, change: impl FnOnce(&mut DirNode)) {
        if let Some(node) = self.node_mut(ino) {
            edit(node, change);
        }
    }

    /// Makes the names in `dir` durable, and whatever they can't be durable without.
    pub(super) fn sync_dir(&mut self, dir: Ino) {
        if self.names.is_empty() && self.dir(dir).is_ok_and(|dir| dir.cache.same(&dir.disk)) {
            return;
        }
        if self.names.iter().all(|op| op.is_within(dir)) && self.dir(dir).is_ok_and(|dir| !dir.diverged) {
            // The usual case: everything that is pending is in this directory.
            self.names.clear();
            self.edit_dir(dir, |dir| dir.disk = dir.cache.clone());
            return self.sweep();
        }
        let mut synced = self.split_by_sync(dir);
        // What is durable needs what it depends on, back to front.
        for later in (0..self.names.len()).rev() {
            let (before, rest) = self.names.split_at(later);
            if let (Some(op), Some(true)) = (rest.first(), synced.get(later)) {
                before.iter().zip(&mut synced).for_each(|(earlier, synced)| *synced |= op.needs(earlier));
            }
        }
        let ops = std::mem::take(&mut self.names);
        for (op, synced) in ops.into_iter().zip(synced) {
            if synced {
                for set in op.sets() {
                    self.edit_dir(set.dir, |dir| _ = dir.disk.set(&set.name, set.to));
                }
            } else {
                self.names.push(op);
            }
        }
        if !self.names.iter().any(|op| op.touches(dir)) {
            self.edit_dir(dir, |dir| {
                if !dir.diverged {
                    dir.disk = dir.cache.clone();
                }
            });
        }
        self.sweep();
    }

    /// Which pending changes a sync of `dir` makes durable by itself. A move waits for the sync of its other directory,
    /// with one exception: of a file that moved into `dir`, the new name is durable now, and is split off. So the file
    /// may have two names after a power cut, but never none; a directory never has two.
    fn split_by_sync(&mut self, dir: Ino) -> Vec<bool> {
        let ops = std::mem::take(&mut self.names);
        let mut synced = Vec::with_capacity(ops.len() + 1);
        for mut op in ops {
            if op.crosses && op.gives.is_some() {
                op.source_synced |= op.takes.as_ref().is_some_and(|set| set.dir == dir);
                op.target_synced |= op.gives.as_ref().is_some_and(|set| set.dir == dir);
                if op.target_synced && !op.source_synced && op.placing == Some(Placing::File) {
                    let gives = Self::half(&mut op);
                    self.names.push(gives);
                    synced.push(true);
                }
                synced.push(op.source_synced && op.target_synced);
            } else {
                synced.push(op.touches(dir));
            }
            self.names.push(op);
        }
        synced
    }

    /// Splits the new name off a move.
    fn half(op: &mut NameOp) -> NameOp {
        NameOp { placing: op.placing.take(), ..NameOp::new(op.gives.take(), None) }
    }

    /// A failed sync of a directory: its changed names stay visible, and no later sync makes them durable.
    pub(super) fn fail_sync_dir(&mut self, dir: Ino) {
        let mut touched = Vec::new();
        self.names.retain(|op| {
            if op.touches(dir) {
                touched.extend(op.sets().map(|set| set.dir));
            }
            !op.touches(dir)
        });
        for ino in touched {
            self.edit_dir(ino, |dir| dir.diverged = true);
        }
    }

    /// Which of the kept changes of names survive: those that have all they need.
    fn survivors(ops: &[NameOp], kept: Kept<'_>) -> Vec<bool> {
        let mut survive: Vec<bool> = Vec::with_capacity(ops.len());
        for (nth, op) in ops.iter().enumerate() {
            let mut before = ops.iter().zip(&survive);
            survive.push(kept(nth) > 0 && before.all(|(earlier, survives)| *survives || !op.needs(earlier)));
        }
        survive
    }

    /// What each pending change is, for people.
    pub(super) fn describe_names(&self) -> impl Iterator<Item = String> {
        let place = |set: &Set| format!("{}/{}", self.path_of(set.dir).trim_end_matches('/'), set.name.display());
        self.names.iter().map(move |op| match (&op.gives, &op.takes) {
            (Some(to), Some(from)) => format!("rename {} to {}", place(from), place(to)),
            (Some(to), None) => format!("name {}", place(to)),
            (None, Some(from)) => format!("remove {}", place(from)),
            (None, None) => "nothing".to_owned(),
        })
    }

    /// Whether the two views of the names differ anywhere.
    pub(super) fn names_differ(&self) -> bool {
        !self.names.is_empty() || self.any_diverged()
    }

    /// Lets processes see the durable names with those of the pending changes over them that are kept.
    pub(super) fn settle_names(&mut self, ops: &[NameOp], kept: Kept<'_>) {
        let survive = Self::survivors(ops, kept);
        for node in self.nodes_mut() {
            if matches!(node, Node::Dir(dir) if dir.diverged) {
                edit(node, |dir| {
                    dir.cache = dir.disk.clone();
                    dir.diverged = false;
                });
            }
        }
        for dir in ops.iter().flat_map(NameOp::sets).map(|set| set.dir) {
            self.edit_dir(dir, |dir| dir.cache = dir.disk.clone());
        }
        for (op, _) in ops.iter().zip(survive).filter(|(_, survives)| *survives) {
            for set in op.sets() {
                self.edit_dir(set.dir, |dir| _ = dir.cache.set(&set.name, set.to));
            }
        }
    }

    /// Makes the names durable that processes see.
    pub(super) fn harden_names(&mut self) {
        for node in self.nodes_mut() {
            if matches!(node, Node::Dir(dir) if dir.diverged || !dir.cache.same(&dir.disk)) {
                edit(node, |dir| {
                    dir.disk = dir.cache.clone();
                    dir.diverged = false;
                });
            }
        }
    }
}
