//! All that is on a disk, in both views: a value that is copied in time that depends on the number of files only.

use std::sync::Arc;

use super::file::{FileNode, Kept, WHOLE};
use super::names::NameOp;
use super::page::PAGE_BYTES;
use super::random::Sequence;
use super::tree::{DirNode, Ino, ROOT};

/// What a number stands for.
#[derive(Clone)]
pub(super) enum Node {
    Free,
    File(Arc<FileNode>),
    Dir(Arc<DirNode>),
}

#[derive(Clone)]
pub(super) struct Inode {
    pub(super) node: Node,
    /// How many names it has, as processes see them.
    pub(super) links: u32,
    /// How many handles are open.
    pub(super) handles: u32,
}

#[derive(Clone)]
pub(super) struct State {
    inodes: Vec<Inode>,
    free: Vec<Ino>,
    /// What lost its last visible name, but may still have a durable one or an open handle.
    nameless: Vec<Ino>,
    /// Changes of names that are not durable, in order.
    pub(super) names: Vec<NameOp>,
    /// Pages in use by what processes see.
    used_pages: u64,
    /// Pages that there are.
    pub(super) space_pages: Option<u64>,
    pub(super) ids: Sequence,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let root = Inode { node: Node::Dir(Arc::default()), links: 1, handles: 0 };
        Self {
            inodes: vec![root],
            free: Vec::new(),
            nameless: Vec::new(),
            names: Vec::new(),
            used_pages: 0,
            space_pages: None,
            ids: Sequence::new(seed),
        }
    }

    pub(super) fn node(&self, ino: Ino) -> &Node {
        self.inodes.get(ino).map_or(&Node::Free, |inode| &inode.node)
    }

    pub(super) fn node_mut(&mut self, ino: Ino) -> Option<&mut Node> {
        Some(&mut self.inodes.get_mut(ino)?.node)
    }

    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.inodes.iter_mut().map(|inode| &mut inode.node)
    }

    pub(super) fn add(&mut self, inode: Inode) -> Ino {
        match self.free.pop() {
            Some(ino) => {
                if let Some(place) = self.inodes.get_mut(ino) {
                    *place = inode;
                }
                ino
            }
            None => {
                self.inodes.push(inode);
                self.inodes.len() - 1
            }
        }
    }

    pub(super) fn links(&self, ino: Ino) -> u32 {
        self.inodes.get(ino).map_or(0, |inode| inode.links)
    }

    pub(super) fn link(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(ino) {
            inode.links += 1;
        }
    }

    pub(super) fn unlink(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(ino) {
            inode.links -= 1;
            if inode.links == 0 {
                self.nameless.push(ino);
                self.give_back(ino);
            }
        }
    }

    pub(super) fn opened(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(ino) {
            inode.handles += 1;
        }
    }

    pub(super) fn closed(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(ino) {
            inode.handles -= 1;
            self.give_back(ino);
            self.sweep();
        }
    }

    /// Gives back the space of a file that has neither name nor handle any more.
    fn give_back(&mut self, ino: Ino) {
        if let Some(Inode { node: Node::File(file), links: 0, handles: 0 }) = self.inodes.get(ino) {
            self.used_pages -= file.cache.allocated();
        }
    }

    /// Forgets files that no view of the names leads to.
    pub(super) fn sweep(&mut self) {
        if self.nameless.is_empty() || self.names_differ() {
            return;
        }
        let (inodes, free) = (&mut self.inodes, &mut self.free);
        self.nameless.retain(|ino| match inodes.get_mut(*ino) {
            Some(inode) if inode.links == 0 && inode.handles == 0 => {
                inode.node = Node::Free;
                free.push(*ino);
                false
            }
            _ => true,
        });
    }

    pub(super) fn any_diverged(&self) -> bool {
        self.inodes.iter().any(|inode| matches!(&inode.node, Node::Dir(dir) if dir.diverged))
    }

    /// Pages that may still be taken.
    pub(super) fn free_pages(&self) -> u64 {
        self.space_pages.map_or(u64::MAX, |space| space.saturating_sub(self.used_pages))
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.used_pages * PAGE_BYTES as u64
    }

    /// Changes a file's bytes, and keeps count of its space.
    pub(super) fn change_file<T>(
        &mut self,
        ino: Ino,
        change: impl FnOnce(&mut FileNode) -> T,
    ) -> Result<T, std::io::Error> {
        let file = self.file_mut(ino)?;
        let before = file.cache.allocated();
        let result = change(file);
        let after = file.cache.allocated();
        self.used_pages = self.used_pages + after - before;
        Ok(result)
    }

    /// The processes are gone, and with them their handles.
    pub(super) fn close_all(&mut self) {
        let held = self.inodes.iter().enumerate().filter(|(_, inode)| inode.handles > 0);
        let held: Vec<Ino> = held.map(|(ino, _)| ino).collect();
        for ino in held {
            if let Some(inode) = self.inodes.get_mut(ino) {
                inode.handles = 0;
            }
            self.give_back(ino);
        }
        self.sweep();
    }

    /// Counts names anew. After a failed sync of a directory, the durable names may give a directory a second name,
    /// which no file system lets stand: it is dropped.
    fn recount(&mut self) {
        self.inodes.iter_mut().for_each(|inode| inode.links = 0);
        let mut found = vec![ROOT];
        let mut second = Vec::new();
        self.link(ROOT);
        while let Some(at) = found.pop() {
            let Ok(entries) = self.dir(at).map(|dir| dir.cache.clone()) else { continue };
            for entry in entries.iter() {
                let is_dir = matches!(self.node(entry.ino), Node::Dir(_));
                if is_dir && self.links(entry.ino) > 0 {
                    second.push((at, entry.name.clone()));
                    continue;
                }
                self.link(entry.ino);
                if is_dir {
                    found.push(entry.ino);
                }
            }
        }
        for (dir, name) in second {
            self.edit_dir(dir, |dir| _ = dir.cache.set(&name, None));
        }
    }

    /// How many choices each file has, in turn. A file that no view of the names leads to has none.
    pub(super) fn choices_of_files(&self) -> impl Iterator<Item = usize> {
        let names_differ = self.names_differ();
        self.inodes.iter().map(move |inode| match &inode.node {
            Node::File(file) if inode.links > 0 || names_differ => file.choices(),
            _ => 0,
        })
    }

    /// The disk after a power cut that keeps the changes which `kept` says: first those of names, then those of each
    /// file in turn.
    pub(super) fn after_crash(&self, kept: Kept<'_>) -> Self {
        let mut next = Self {
            inodes: self.inodes.clone(),
            free: Vec::new(),
            nameless: Vec::new(),
            names: Vec::new(),
            used_pages: 0,
            space_pages: self.space_pages,
            ids: self.ids.clone(),
        };
        if self.names_differ() {
            next.settle_names(&self.names, kept);
            next.recount();
            next.harden_names();
        }
        let mut base = self.names.len();
        for ((ino, inode), choices) in next.inodes.iter_mut().enumerate().zip(self.choices_of_files()) {
            inode.handles = 0;
            if inode.links == 0 {
                inode.node = Node::Free;
                next.free.push(ino);
            }
            if let Node::File(file) = &mut inode.node {
                if !file.is_clean() {
                    *file = Arc::new(FileNode::clean(file.settle(base, kept)));
                }
                next.used_pages += file.cache.allocated();
            }
            base += choices;
        }
        next
    }

    /// Drops whatever the cache holds that is not waiting to be written.
    pub(super) fn drop_caches(&mut self) {
        if self.any_diverged() {
            let pending = std::mem::take(&mut self.names);
            self.settle_names(&pending, &|_| WHOLE);
            self.names = pending;
            self.recount();
            let nameless = self.inodes.iter().enumerate().filter(|(_, inode)| inode.links == 0);
            self.nameless = nameless.filter(|(_, i)| !matches!(i.node, Node::Free)).map(|(ino, _)| ino).collect();
        }
        self.used_pages = 0;
        for inode in &mut self.inodes {
            if let Node::File(file) = &mut inode.node {
                if !file.is_clean() {
                    Arc::make_mut(file).evict();
                }
                if inode.links > 0 || inode.handles > 0 {
                    self.used_pages += file.cache.allocated();
                }
            }
        }
    }
}
