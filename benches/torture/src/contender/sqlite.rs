//! SQLite with a write-ahead log and `synchronous=FULL`, a transaction for each key.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension};

use super::{Contender, Handle, Outcome};
use crate::oracle::{Oracle, key};

pub(super) struct Sqlite;

impl Contender for Sqlite {
    fn open(&self, dir: &Path) -> Outcome<Box<dyn Handle>> {
        let connection = Connection::open(dir.join("records.sqlite"))?;
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(format!("journal mode {mode}").into());
        }
        connection.execute_batch(
            "PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, content BLOB)",
        )?;
        Ok(Box::new(Open(Mutex::new(connection))))
    }
}

struct Open(Mutex<Connection>);

impl Handle for Open {
    fn commit(&self, number: u64, content: &[u8]) -> Outcome {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connection.execute("INSERT OR REPLACE INTO records VALUES (?1, ?2)", (key(number), content))?;
        Ok(())
    }

    fn read_back(&self, count: u64, oracle: &mut Oracle) -> Outcome {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut select = connection.prepare("SELECT content FROM records WHERE key = ?1")?;
        for number in 0..count {
            let content: Option<Vec<u8>> = select.query_row([key(number)], |row| row.get(0)).optional()?;
            if let Some(content) = content {
                oracle.named(number, &content);
            }
        }
        Ok(())
    }
}
