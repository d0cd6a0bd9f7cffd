//! The write-ahead log, torn, cut or taken away after a kill: the server starts, and what it holds
//! is a prefix of what happened, in which nothing is half done.

use std::fs::{self, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use hookturn_test::{Answer, Request, beside, fingerprint, scratch, text};
use serde_json::json;
use tokio::task::block_in_place;

use crate::api::Api;
use crate::dice::{Dice, seed};
use crate::stage::Setup;

/// The header of the log, and the least that a change adds: a frame of one page, with its header.
const WAL_HEADER: u64 = 32;

/// What was done, one after the other.
struct Story {
    setup: Setup,
    hook: String,
    /// Each with its answer.
    done: Vec<(Request, Answer)>,
    /// How long the log was after each.
    lengths: Vec<u64>,
}

/// How many of each kind are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    rotations: usize,
    creations: usize,
    events: usize,
}

impl Held {
    /// After the first `count` steps, which go round the three kinds.
    fn after(count: usize) -> Self {
        Self {
            rotations: count.div_ceil(3),
            creations: (count + 1) / 3,
            events: count / 3,
        }
    }
}

/// What rests in the database itself is an endpoint where nobody listens; the steps are in the log
/// alone, and the attempts that fail meanwhile.
async fn story(directory: &Path) -> Story {
    let setup = Setup::in_dir(directory);
    let program = block_in_place(|| setup.start());
    let api = Api::of(&program);
    let hook = api.hook("http://127.0.0.1:9/", &["e.f"]).await;
    let hook = text(&hook, "id").to_owned();
    block_in_place(|| program.stop());
    let wal = beside(&setup.path, "-wal");
    assert!(!wal.exists(), "a server that was stopped leaves no log");

    let program = block_in_place(|| setup.start());
    let api = Api::of(&program);
    let mut done = Vec::new();
    let mut lengths = Vec::new();
    for step in 0..24 {
        let request = match step % 3 {
            0 => {
                let path = format!("/webhooks/endpoints/{hook}/secret/rotate");
                // The ring keeps one secret.
                Request::post(path, json!({ "expire_current_in": 0 }))
            }
            1 => {
                let body = json!({ "url": "http://127.0.0.1:9/", "events": ["c.d"] });
                Request::post("/webhooks/endpoints", body)
            }
            _ => {
                let id = format!("event-{step}");
                let body = json!({ "type": "e.f", "id": id, "data": { "step": step } });
                Request::post("/events", body)
            }
        };
        let request = request.with_key(format!("step-{step}"));
        let answered = api.ask(&request).await;
        assert!(answered.is_success(), "{answered:?}");
        done.push((request, answered));
        lengths.push(fs::metadata(&wal).expect("a log").len());
    }
    block_in_place(|| program.kill());
    Story {
        setup,
        hook,
        done,
        lengths,
    }
}

impl Story {
    /// Starts a server on what `harm` leaves of a copy, and returns how many steps it still knows.
    /// Fails unless those are the first ones, wholly.
    async fn steps_after(&self, harm: impl FnOnce(&Setup)) -> usize {
        let directory = scratch();
        let copy = self.setup.copy_to(directory.path());
        harm(&copy);
        let program = block_in_place(|| copy.start());
        let api = Api::of(&program);
        api.get("/readyz").await.is(200);
        let held = self.held(&api).await;
        let known = (0..=self.done.len())
            .find(|count| Held::after(*count) == held)
            .unwrap_or_else(|| panic!("no prefix of what happened: {held:?}"));
        // Asked in their order, the first ones are replayed, and those after them run.
        let mut last = None;
        for (step, (request, first)) in self.done.iter().enumerate() {
            let again = api.ask(request).await;
            if step < known {
                again.repeats(first);
            } else {
                assert!(again.is_success() && !again.is_replayed(), "{again:?}");
            }
            if step % 3 == 0 {
                last = Some(fingerprint(&again.member("secret")));
            }
        }
        let all = Held::after(self.done.len());
        assert_eq!(Some(self.current(&api).await), last);
        assert_eq!(
            (self.creations(&api).await, self.events(&api).await),
            (all.creations, all.events)
        );
        let log = block_in_place(|| program.kill());
        assert!(!log.contains(r#""level":"ERROR""#), "{log}");
        copy.assert_sound();
        known
    }

    async fn held(&self, api: &Api) -> Held {
        let current = self.current(api).await;
        let rotation = self
            .done
            .iter()
            .step_by(3)
            .map(|(_, answered)| fingerprint(&answered.member("secret")))
            .position(|fingerprint| fingerprint == current);
        Held {
            rotations: rotation.map_or(0, |place| place + 1),
            creations: self.creations(api).await,
            events: self.events(api).await,
        }
    }

    async fn current(&self, api: &Api) -> String {
        let secrets = api.secrets(&self.hook).await;
        text(&secrets[0], "fingerprint").to_owned()
    }

    async fn creations(&self, api: &Api) -> usize {
        api.all("/webhooks/endpoints").await.len() - 1
    }

    async fn events(&self, api: &Api) -> usize {
        let path = format!("/webhooks/endpoints/{}/deliveries", self.hook);
        api.all(&path).await.len()
    }

    /// What must be known when nothing but the first `intact` bytes of the log is sound: a step is
    /// there if it was written by then, and the one after it may be.
    fn assert_known(&self, known: usize, intact: u64) {
        let whole = self.lengths.iter().filter(|length| **length <= intact);
        let whole = whole.count();
        assert!(
            known == whole || known == whole + 1,
            "{known} of {whole} steps, with {intact} of {:?} bytes",
            self.lengths
        );
    }

    fn length(&self) -> u64 {
        *self.lengths.last().expect("there are steps")
    }
}

/// Writes over a part of a file.
fn write_at(path: &Path, place: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).expect("a file");
    file.seek(SeekFrom::Start(place)).expect("a place");
    file.write_all(bytes).expect("room");
}

fn cut(path: &Path, length: u64) {
    let file = OpenOptions::new().write(true).open(path).expect("a file");
    file.set_len(length).expect("a shorter file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_log_that_was_cut_the_first_steps_are_left_wholly() {
    let mut dice = Dice::new(seed(), 0);
    let directory = scratch();
    let story = story(directory.path()).await;
    let mut lengths = vec![0, WAL_HEADER - 1, WAL_HEADER, story.length() - 1];
    let middle = story.lengths[11];
    lengths.extend([middle - 1, middle, middle + 1]);
    lengths.extend((0..12).map(|_| dice.below(story.length())));
    for length in lengths {
        let known = story.steps_after(|copy| cut(&beside(&copy.path, "-wal"), length));
        story.assert_known(known.await, length);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_log_that_was_garbled_the_first_steps_are_left_wholly() {
    let mut dice = Dice::new(seed(), 1);
    let directory = scratch();
    let story = story(directory.path()).await;
    for round in 0..16 {
        // Zeros are what a file system leaves where it had made room and had not written yet.
        let place = dice.below(story.length());
        let most = usize::try_from(story.length() - place).expect("small");
        let garbage = match round % 4 {
            0 => vec![0; most],
            1 => (0..most).map(|_| dice.byte()).collect(),
            2 => vec![0; most.min(512)],
            _ => vec![dice.byte()],
        };
        let wal = fs::read(beside(&story.setup.path, "-wal")).expect("a log");
        let from = usize::try_from(place).expect("small");
        let differs = garbage.iter().zip(&wal[from..]).position(|(a, b)| a != b);
        let intact = place + differs.map_or(most, |at| at) as u64;
        let known =
            story.steps_after(|copy| write_at(&beside(&copy.path, "-wal"), place, &garbage));
        story.assert_known(known.await, intact);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_gone_leaves_what_the_database_held_and_its_index_is_made_again() {
    let mut dice = Dice::new(seed(), 2);
    let directory = scratch();
    let story = story(directory.path()).await;
    let all = story.done.len();
    let wal = |copy: &Setup| fs::remove_file(beside(&copy.path, "-wal")).expect("a log");
    assert_eq!(story.steps_after(wal).await, 0);
    // A copy has none.
    assert_eq!(story.steps_after(|_| ()).await, all);
    let garbage: Vec<u8> = (0..32 * 1024).map(|_| dice.byte()).collect();
    let index = |copy: &Setup| fs::write(beside(&copy.path, "-shm"), garbage).expect("room");
    assert_eq!(story.steps_after(index).await, all);
    let kept = |copy: &Setup| {
        let [from, to] = [&story.setup, copy].map(|setup| beside(&setup.path, "-shm"));
        fs::copy(from, to).expect("an index");
    };
    assert_eq!(story.steps_after(kept).await, all);
    let more = |copy: &Setup| write_at(&beside(&copy.path, "-wal"), story.length(), &[7; 9000]);
    assert_eq!(story.steps_after(more).await, all);
}
