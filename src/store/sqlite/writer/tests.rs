//! Tests what one job of a batch does to the others.

use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::Parts;
use super::database::{Database, TRY_AGAIN_AFTER};
use super::job::Answered;
use crate::clock::SystemClock;
use crate::domain::Timestamp;
use crate::store::at_rest::{MasterKey, MasterKeys};
use crate::store::sqlite::checkpoint::{Checkpoints, Gate};
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::file;
use crate::store::sqlite::lock::{Files, Lock};
use crate::store::sqlite::transaction::Transaction;
use crate::store::sqlite::turns::Deletion;
use crate::store::{CommitError, StoreError, StoreLimits};

/// How a job of a batch ends.
#[derive(Clone, Copy)]
enum Ends {
    Well,
    /// It refuses before it writes.
    Refusing,
    /// It panics before it writes.
    Panicking,
    /// It fails with half of its writes done.
    HalfDone,
    /// It panics with half of its writes done.
    PanickingHalfDone,
}

/// The result that a job's caller got.
#[derive(Debug, PartialEq, Eq)]
enum Was {
    Done,
    Refused,
    Failed,
    Panicked,
}

fn run(tx: &Transaction<'_>, number: i64, ends: Ends) -> Result<(), CommitError> {
    match ends {
        Ends::Refusing => return Err(CommitError::NotFound),
        Ends::Panicking => panic!("a decision panics"),
        _ => {}
    }
    let written = tx
        .db
        .execute("INSERT INTO subscription VALUES (1, 'a', ?1)", [number]);
    written.map_err(Fault::from)?;
    match ends {
        Ends::HalfDone => Err(StoreError::new("half done").into()),
        Ends::PanickingHalfDone => panic!("a fault of ours"),
        _ => Ok(()),
    }
}

struct Stage {
    folder: TempDir,
    _lock: Lock,
    database: Database,
}

impl Stage {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let key = MasterKey::new("k", &[1; 32]).expect("an id");
        let keys = MasterKeys::new(vec![key]).expect("a key");
        let path = folder.path().join("hookturn.db");
        let (lock, mut db, _) = file::open(&path, &keys).expect("it opens");
        let checkpoints = Checkpoints::new(&mut db, Gate::default()).expect("a log");
        let database = Database::new(Parts {
            db,
            keys,
            files: Files::new(&path, &lock).expect("files"),
            checkpoints,
            clock: Arc::new(SystemClock),
            limits: StoreLimits::default(),
            work: Arc::default(),
        });
        Self {
            folder,
            _lock: lock,
            database: database.expect("a database"),
        }
    }

    /// Runs jobs as one batch, and returns how each ended and how many writes are in the file.
    fn batch(&mut self, ends: &[Ends]) -> (Vec<Was>, usize) {
        let database = &mut self.database;
        let begun = database.begin();
        let changes_before = database.total_changes();
        let mut callers = Vec::new();
        for (number, ends) in (0..).zip(ends.iter().copied()) {
            let (reply, answer) = oneshot::channel();
            let ended = database.atomically(|tx| run(tx, number, ends));
            callers.push((Answered::Done(reply, ended), answer));
        }
        let committed = database.commit_batch(begun, changes_before);
        let answers = callers.into_iter().map(|(ran, answer)| {
            ran.send(committed.as_ref().copied());
            answer
        });
        let ended = answers.map(|mut answer| {
            match answer.try_recv().expect("every caller gets an answer") {
                Ok(Ok(())) => Was::Done,
                Ok(Err(CommitError::NotFound)) => Was::Refused,
                Ok(Err(_)) => Was::Failed,
                Err(_) => Was::Panicked,
            }
        });
        let ended = ended.collect();
        let reader = Connection::open(self.folder.path().join("hookturn.db")).expect("it opens");
        let count = reader.query_row("SELECT count(*) FROM subscription", [], |row| row.get(0));
        database
            .transaction()
            .db
            .execute("DELETE FROM subscription", [])
            .expect("it is emptied");
        (ended, count.expect("a count"))
    }
}

#[test]
fn a_job_that_has_written_nothing_disturbs_nobody() {
    use Ends::{Panicking, Refusing, Well};
    let mut stage = Stage::new();
    let (ended, written) = stage.batch(&[Well, Refusing, Well, Panicking, Well]);
    let expected = [Was::Done, Was::Refused, Was::Done, Was::Panicked, Was::Done];
    assert_eq!(ended, expected);
    assert_eq!(written, 3);
}

#[test]
fn a_job_that_is_half_done_takes_its_batch_with_it_once_and_then_itself_alone() {
    for half_done in [Ends::HalfDone, Ends::PanickingHalfDone] {
        let mut stage = Stage::new();
        let batch = [Ends::Well, half_done, Ends::Well, Ends::Refusing];
        let (ended, written) = stage.batch(&batch);
        // A refusal is not valid either, since what it was decided on was not committed.
        assert!(
            !ended.contains(&Was::Done) && !ended.contains(&Was::Refused),
            "{ended:?}"
        );
        assert_eq!(written, 0);

        let (ended, written) = stage.batch(&batch);
        assert!(matches!(
            ended[..],
            [
                Was::Done,
                Was::Failed | Was::Panicked,
                Was::Done,
                Was::Refused
            ]
        ));
        assert_eq!(written, 2);
    }
}

#[test]
fn a_step_that_the_disk_refused_is_tried_again() {
    let mut stage = Stage::new();
    let tx = stage.database.transaction();
    let add = "INSERT INTO deletion (endpoint, tenant, deleted_at) VALUES (1, 1, 1)";
    tx.db.execute(add, []).expect("it is added");
    tx.turns.cancel_later(Deletion {
        endpoint: 1,
        tenant: 1,
        at: Timestamp::from_millis(1),
    });
    let refuse = |stage: &mut Stage, is_refused: bool| {
        let tx = stage.database.transaction();
        let set = tx.db.pragma_update(None, "query_only", is_refused);
        set.expect("it is set");
    };
    refuse(&mut stage, true);
    for _ in 0..2 {
        assert_eq!(stage.database.do_unfinished(), Some(TRY_AGAIN_AFTER));
    }
    refuse(&mut stage, false);
    assert_eq!(stage.database.do_unfinished(), None);
    let tx = stage.database.transaction();
    let left = "SELECT count(*) FROM deletion";
    let left = tx.db.query_row(left, [], |row| row.get(0));
    assert_eq!(left, Ok(0));
}
