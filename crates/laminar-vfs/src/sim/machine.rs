//! A disk in use: its state, and what happens to the calls on it.

use std::io::Error as IoError;

use xxhash_rust::xxh3::xxh3_64;

use super::fault::{Call, FaultKind, Faults, gone};
use super::random::mix;
use super::state::State;
use super::tree::Ino;
use crate::Op;

pub(super) struct Machine {
    pub(super) state: State,
    /// Which generation of processes lives.
    pub(super) life: u64,
    pub(super) locked: Vec<Ino>,
    /// Handles that are open, and the most that were at once.
    handles: u64,
    pub(super) handles_most: u64,
    pub(super) operations: u64,
    pub(super) changes: u64,
    pub(super) stop_at: u64,
    pub(super) stop_at_change: u64,
    pub(super) faults: Faults,
    pub(super) trace: u64,
    /// The disk as it was before each change, while someone wants to know.
    pub(super) history: Option<Vec<State>>,
}

impl Machine {
    pub(super) fn new(state: State) -> Self {
        Self {
            state,
            life: 0,
            locked: Vec::new(),
            handles: 0,
            handles_most: 0,
            operations: 0,
            changes: 0,
            stop_at: u64::MAX,
            stop_at_change: u64::MAX,
            faults: Faults::default(),
            trace: 0,
            history: None,
        }
    }

    /// Lets a call begin: an error ends it; a fault that comes back is for the call to carry out.
    pub(super) fn begin(&mut self, life: u64, call: &Call<'_>) -> Result<Option<FaultKind>, IoError> {
        let stopped = self.operations >= self.stop_at || (call.changes && self.changes >= self.stop_at_change);
        if stopped {
            self.stop_at = self.operations;
        }
        if life != self.life || stopped {
            return Err(gone());
        }
        self.operations += 1;
        if call.changes {
            self.changes += 1;
            if let Some(history) = &mut self.history {
                history.push(self.state.clone());
            }
        }
        self.trace_call(call);
        let fault = self.faults.strike(call);
        match fault.and_then(FaultKind::error) {
            // These have effects of their own before they fail.
            Some(_) if matches!(call.op, Op::SyncData | Op::SyncDir) || fault == Some(FaultKind::Torn) => Ok(fault),
            Some(error) => Err(error),
            None => Ok(fault),
        }
    }

    pub(super) fn opened(&mut self, ino: Ino) {
        self.state.opened(ino);
        self.handles += 1;
        self.handles_most = self.handles_most.max(self.handles);
    }

    pub(super) fn closed(&mut self, ino: Ino) {
        self.state.closed(ino);
        self.handles -= 1;
    }

    /// The processes are gone, and with them their handles and locks.
    pub(super) fn close_all(&mut self) {
        self.locked.clear();
        self.state.close_all();
        self.handles = 0;
    }

    fn trace_call(&mut self, call: &Call<'_>) {
        let path = xxh3_64(call.path.as_os_str().as_encoded_bytes());
        let place = mix(call.range.start ^ call.range.end.rotate_left(32));
        self.trace = mix(self.trace ^ path ^ place ^ call.op as u64);
    }

    pub(super) fn trace_bytes(&mut self, bytes: &[u8]) {
        self.trace = mix(self.trace ^ xxh3_64(bytes));
    }

    pub(super) fn trace_result(&mut self, success: bool) {
        self.trace = mix(self.trace ^ u64::from(success));
    }

    /// A number for a fault that has a choice.
    pub(super) fn faults_seed(&mut self) -> u64 {
        self.state.ids.next() >> 1
    }
}
