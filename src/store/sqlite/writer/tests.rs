//! What one job of a batch does to the others.

use tempfile::TempDir;

use super::super::checkpoint::Gate;
use super::super::file;
use super::super::lock::Lock;
use super::*;
use crate::clock::SystemClock;
use crate::store::seal::MasterKey;

/// A job for a batch, by how it ends.
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

/// How a job's caller was told that it ended.
#[derive(Debug, PartialEq, Eq)]
enum Was {
    Done,
    Refused,
    Failed,
    Panicked,
}

fn run(writer: &mut Writer, number: i64, ends: Ends) -> Result<(), CommitError> {
    match ends {
        Ends::Refusing => return Err(CommitError::NotFound),
        Ends::Panicking => panic!("a decision panics"),
        _ => {}
    }
    let written = writer
        .db
        .execute("INSERT INTO subscription VALUES (1, 'a', ?1)", [number]);
    written.map_err(Fault::from)?;
    match ends {
        Ends::HalfDone => Err(StoreError("half done".to_owned()).into()),
        Ends::PanickingHalfDone => panic!("a fault of ours"),
        _ => Ok(()),
    }
}

struct Stage {
    folder: TempDir,
    _lock: Lock,
    writer: Writer,
    told: mpsc::UnboundedReceiver<Told>,
}

impl Stage {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let key = MasterKey::new("k", &[1; 32]).expect("an id");
        let keys = MasterKeys::new(vec![key]).expect("a key");
        let path = folder.path().join("hookturn.db");
        let (lock, mut db, _) = file::open(&path, &keys).expect("it opens");
        let (tell, told) = mpsc::unbounded_channel();
        let checkpoints = Checkpoints::new(&mut db, Gate::default()).expect("a log");
        let writer = Writer::new(Parts {
            db,
            keys,
            files: Files::new(&path, &lock).expect("files"),
            checkpoints,
            clock: Arc::new(SystemClock),
            limits: DeliveryLimits::default(),
            news: Arc::default(),
            tell,
        });
        let mut writer = writer.expect("a writer");
        // Long enough for a panic to be printed.
        writer.grows = Duration::from_secs(60);
        Self {
            folder,
            _lock: lock,
            writer,
            told,
        }
    }

    /// Runs jobs as one batch, and says how each ended and which writes are in the file.
    fn batch(&mut self, ends: &[Ends]) -> (Vec<Was>, usize) {
        let (sender, mut jobs) = mpsc::channel(ends.len());
        let mut answers = Vec::new();
        for (number, ends) in (0..).zip(ends.iter().copied()) {
            let (job, answer) = Job::new(move |writer: &mut Writer| run(writer, number, ends));
            assert!(sender.try_send(job).is_ok(), "there is room");
            answers.push(answer);
        }
        let writer = &mut self.writer;
        if let Ok(first) = jobs.try_recv() {
            writer.batch(first, &mut jobs);
        }
        let (callers, committed) = self.told.try_recv().expect("one batch");
        for tell in callers {
            tell(committed.as_ref().copied());
        }
        let ended = answers.into_iter().map(|mut answer| {
            match answer.try_recv().expect("every caller is told") {
                Ok(Ok(())) => Was::Done,
                Ok(Err(CommitError::NotFound)) => Was::Refused,
                Ok(Err(_)) => Was::Failed,
                Err(_) => Was::Panicked,
            }
        });
        let ended = ended.collect();
        let reader = Connection::open(self.folder.path().join("hookturn.db")).expect("it opens");
        let count = reader.query_row("SELECT count(*) FROM subscription", [], |row| row.get(0));
        writer
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
        // What is refused by what was not committed means nothing either.
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
