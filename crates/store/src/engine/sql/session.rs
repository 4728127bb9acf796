//! What the two SQL engines have in common, and what each must bring: one connection, and how to
//! make one.

use std::sync::atomic::{AtomicBool, Ordering};

use super::address::{Address, Host};
use super::fault::Fault;
use crate::engine::{Entry, Key, Version};

/// A value that goes to the engine beside the text of a statement.
#[derive(Debug, Clone, Copy)]
pub enum Param<'a> {
    Text(&'a str),
    Number(u64),
}

/// A statement in the words of all SQL engines: names between `"`, values as `?`. Its text has
/// neither otherwise.
#[derive(Debug)]
pub struct Statement<'a> {
    pub sql: String,
    pub params: Vec<Param<'a>>,
}

/// Whether something was sent that may have applied a change.
#[derive(Debug, Default)]
pub struct Sent(AtomicBool);

impl Sent {
    /// From now on an outcome is unknown until the engine has answered.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is so.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection to an SQL engine.
pub trait Session: Send + Sized + 'static {
    /// What makes an insertion answer 0 rows instead of failing if the row is there.
    const OR_NOT: &'static str;

    /// Makes the table whose quoted name is put for `{}`.
    const CREATE: &'static str;

    /// How [`shape`](Session::shape) describes such a table.
    const SHAPE: &'static str;

    /// Whether it may be of use, as far as is known without asking the engine.
    fn is_open(&self) -> bool;

    /// Asks the engine for a sign of life.
    fn ping(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Rows of the columns key, version and value.
    fn rows(
        &mut self,
        select: Statement<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, Fault>> + Send;

    /// Runs a statement as a transaction of its own, and answers how many rows it has changed.
    fn execute(
        &mut self,
        statement: Statement<'_>,
    ) -> impl Future<Output = Result<u64, Fault>> + Send;

    /// Begins a transaction with a statement that locks rows.
    fn begin(
        &mut self,
        select: Statement<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, Fault>> + Send;

    /// Runs the rest of the transaction and commits it. Each statement changes one row; if one does
    /// not, nothing is committed, or it fails as corrupt.
    fn commit(
        &mut self,
        statements: Vec<Statement<'_>>,
        sent: &Sent,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Gives the transaction up.
    fn roll_back(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// What the table `table` looks like; `None` if there is none.
    fn shape(&mut self, table: &str) -> impl Future<Output = Result<Option<String>, Fault>> + Send;

    /// Looks at the settings: what weakens the promises; fails if one would surely be broken.
    fn vet(&mut self) -> impl Future<Output = Result<Vec<String>, Fault>> + Send;
}

/// How to make connections.
pub trait Server: Send + Sync + Sized + 'static {
    /// What they are.
    type Session: Session;

    /// Connects to one host, and fails if changes cannot be made there.
    fn connect(
        &self,
        address: &Address,
        host: &Host,
    ) -> impl Future<Output = Result<Self::Session, Fault>> + Send;
}

/// A row as the engine has it.
#[derive(Debug)]
pub struct Row {
    pub key: String,
    pub version: i64,
    pub value: String,
}

impl Row {
    /// The entry that it holds.
    ///
    /// # Errors
    /// If nobody has written it who follows the rules.
    pub fn into_entry(self) -> Result<Entry, Fault> {
        let version = u64::try_from(self.version).ok().filter(|version| *version > 0);
        match (Key::checked(self.key), version) {
            (Some(key), Some(version)) => {
                Ok(Entry { key, version: Version(version), value: self.value })
            }
            (Some(key), None) => Err(Fault::corrupt(format!(
                "the version in the table was edited by hand: set it above all that it was, of {key}"
            ))),
            (None, _) => Err(Fault::corrupt(
                "the table has a key that ticketd never writes: delete what was added by hand",
            )),
        }
    }
}
