//! The end of a log. The clean one: everything durable, and a file that says where, so that the next opening has nothing to recover.

use laminar_vfs::planted;

use crate::format::CloseMark;
use crate::log::Log;
use crate::sync::Ordering;
use crate::{Error, Result, name};

impl Log {
    /// Makes everything durable, ends all acknowledging and following, and publishes the mark of a clean close.
    pub(crate) fn close(&self) -> Result<()> {
        let (mark, whole) = loop {
            let end = self.buffer.lock().end();
            if planted("log-closes-without-sync") {
                let mut writer = self.writer.lock();
                drop(self.hand_over(&mut writer, true));
                writer.ends_with_mark = false;
                self.durable.store(self.written.load(Ordering::Acquire), Ordering::Release);
            }
            self.wait_durable(end)?;
            let mut writer = self.writer.lock();
            self.check_poison()?;
            if writer.closed {
                return Ok(());
            }
            // What was refused for want of space.
            self.finish(&mut writer)?;
            // A mark was written since the last sync; what is appended next must start on a page of its own.
            let is_on_page = self.buffer.lock().is_on_page();
            if !is_on_page {
                self.hand_over(&mut writer, true)?;
            }
            // Also one that was refused for want of space, and written later by whoever came by: the mark of a clean close vouches for it.
            if writer.ends_with_mark && !planted("log-closes-on-unsynced-mark") {
                self.sync_file(&*writer.file, self.written.load(Ordering::Acquire))?;
                writer.ends_with_mark = false;
            }
            let mut buffer = self.buffer.lock();
            if !buffer.is_empty() || !buffer.is_on_page() || buffer.end() > self.durable.load(Ordering::Acquire) {
                continue;
            }
            buffer.freeze();
            writer.closed = true;
            let mark = CloseMark {
                log_id: self.log_id,
                segment: writer.segment.first(),
                generation: writer.segment.header.generation,
                end: buffer.end(),
                next_group: buffer.group(),
                prev_end: buffer.prev_end(),
            };
            break (mark, buffer.batch_end() == buffer.end());
        };
        self.stop();
        let published = if whole {
            // Beside a mark, a missing identity is a loss; and what else lies there is taken for durable.
            let proven = self.prove_identity(&mut self.writer.lock()).and_then(|()| self.remove_remains());
            proven.and_then(|()| self.dir.publish(name::CLOSED, &mark.encode()).map_err(Error::from))
        } else {
            // An open batch is not part of the log: the next opening has to cut it.
            Ok(())
        };
        self.give_lock_back();
        published
    }

    /// Ends the log as it is. Readers still read what was written; nobody waits for more.
    pub(crate) fn release(&self) {
        self.stop();
        // Who waits may be about to write what is left: not any more, once the lock is another's.
        self.writer.lock().closed = true;
        self.buffer.lock().freeze();
        self.give_lock_back();
    }

    /// Lets the next owner in, once a truncation that is under way has come to its end.
    fn give_lock_back(&self) {
        let _retain = self.retain.lock();
        *self.lock.lock() = None;
    }

    fn stop(&self) {
        self.end_waiting();
        self.stop_worker();
    }
}
