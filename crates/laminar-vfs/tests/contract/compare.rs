//! The disks against each other: the same random calls on both, the same outcome of each.

use super::*;

/// A small generator, so that a failing seed stays a failing seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

const PATHS: [&str; 12] = ["a", "b", "d", "e", "d/a", "d/b", "e/a", "d/e", "d/e/a", "e/d", "e/d/b", "a/b"];

/// One disk, and the files that are open on it.
struct Side<'a> {
    vfs: &'a dyn Vfs,
    dir: &'a Path,
    open: Vec<Arc<dyn VfsFile>>,
}

impl Side<'_> {
    /// What one random call comes to, in words.
    fn call(&mut self, random: &mut Random) -> String {
        let choice = random.below(14);
        let (one, two) = (self.dir.join(random.pick(&PATHS)), self.dir.join(random.pick(&PATHS)));
        let (offset, len) = (random.below(12_000), random.below(6_000));
        let byte = random.below(3).to_le_bytes()[0];
        let open = usize::try_from(random.below(6)).unwrap();
        let vfs = self.vfs;
        let outcome = match choice {
            0 => self.opened(vfs.open(&one, OpenMode::CreateNew)),
            1 => self.opened(vfs.open(&one, OpenMode::Write)),
            2 => vfs.create_dir(&one).map(|()| String::new()),
            3 | 4 => vfs.rename(&one, &two).map(|()| String::new()),
            5 => vfs.hard_link(&one, &two).map(|()| String::new()),
            6 => vfs.remove_file(&one).map(|()| String::new()),
            7 => vfs.remove_dir(&one).map(|()| String::new()),
            8 => vfs.kind(&one).map(|kind| format!("{kind:?}")),
            9 => vfs.list(&one).map(|entries| format!("{entries:?}")),
            10 => vfs.sync_dir(&one).map(|()| String::new()),
            _ => match self.open.get(open) {
                None => return "nothing open".to_owned(),
                Some(file) => Self::use_file(&**file, choice, &vec![byte; usize::try_from(len).unwrap()], offset),
            },
        };
        let outcome = outcome.map_err(|error| (error.op(), error.io().kind()));
        format!("call {choice} of {} and {}: {outcome:?}", one.display(), two.display())
            .replace(&self.dir.display().to_string(), "")
    }

    fn opened(&mut self, file: Result<Arc<dyn VfsFile>>) -> Result<String> {
        let file = file?;
        if self.open.len() == 6 {
            self.open.remove(0);
        }
        self.open.push(file);
        Ok(String::new())
    }

    fn use_file(file: &dyn VfsFile, choice: u64, bytes: &[u8], offset: u64) -> Result<String> {
        match choice {
            11 => file.write_all_at(bytes, offset)?,
            12 => file.set_len(offset)?,
            _ => file.sync_data()?,
        }
        Ok(format!("{} bytes, {:?}", file.len()?, file.map(ReadMode::Owned)?.iter().max()))
    }

    /// Every path below a directory, with what is there.
    fn tree(&self, dir: &Path, into: &mut Vec<(String, Option<Vec<u8>>)>) {
        for entry in self.vfs.list(dir).unwrap() {
            let path = dir.join(&entry.name);
            let bytes = (entry.kind == Kind::File).then(|| read(self.vfs, &path));
            into.push((path.strip_prefix(self.dir).unwrap().display().to_string(), bytes));
            if entry.kind == Kind::Dir {
                self.tree(&path, into);
            }
        }
    }
}

#[test]
fn random_calls_have_the_same_outcomes_on_both_disks() {
    for seed in 0..25 {
        let scratch = tempfile::tempdir().unwrap();
        let sim = SimDisk::new(seed);
        let (real_vfs, sim_vfs) = (RealDisk::new(), sim.env().vfs);
        let mut real = Side { vfs: &real_vfs, dir: scratch.path(), open: Vec::new() };
        let mut simulated = Side { vfs: &*sim_vfs, dir: "/".as_ref(), open: Vec::new() };
        let (mut random, mut same) = (Random(seed), Random(seed));
        for step in 0..300 {
            let (expected, found) = (real.call(&mut random), simulated.call(&mut same));
            assert_eq!(expected.replace('/', ""), found.replace('/', ""), "seed {seed}, step {step}");
        }
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        real.tree(real.dir, &mut expected);
        simulated.tree(simulated.dir, &mut found);
        assert_eq!(expected, found, "seed {seed}");
    }
}
